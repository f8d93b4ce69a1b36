"""`--metrics-file`: the numbers of a run in Prometheus' text format, for node_exporter's textfile collector.

What only a run that came so far can know (the last success, items by state) outlives one that did not: it is taken
over from the file that is replaced.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batch_upload.errors import ExitCode
from batch_upload.events import ItemChanged, Requested, RunStarted
from batch_upload.model import OutcomeKind, State
from batch_upload.summary import Summary

PREFIX = "batch_upload_"
HELP: Mapping[str, str] = {
    "run_info": "What ran last, or runs now: its run id, the program's version, and whose lane.",
    "run_in_progress": "1 while a run goes on, 0 once it has ended.",
    "run_start_timestamp_seconds": "When the run began, in seconds since 1970.",
    "run_end_timestamp_seconds": "When the last run that ended did so, in seconds since 1970.",
    "run_duration_seconds": "How long the run has taken so far, or took.",
    "run_exit_code": "Exit code of the last run that ended.",
    "last_success_timestamp_seconds": "When a run last ended with exit code 0, in seconds since 1970.",
    "items": "Items of the manifest, by state.",
    "run_uploaded_items": "Items that became known as created in the run.",
    "run_sent_bytes": "Bytes of the documents that were accepted in the run.",
    "run_requests": "Requests on the wire in the run, by operation.",
    "run_throttled_requests": "Requests that the service throttled in the run, by operation.",
    "rate_per_second": "Requests a second that the run holds to, learned from the answers, by operation.",
}
"""Every metric without its prefix, and what it is. All are gauges: a run begins with nothing."""
CARRIED = frozenset(
    {"run_end_timestamp_seconds", "run_exit_code", "last_success_timestamp_seconds", "items", "rate_per_second"}
)
"""What stays true of earlier runs until a run knows better."""
SUCCESSES = (ExitCode.DONE, ExitCode.THERE_IS_WORK)
_LINE = re.compile(rf"^{PREFIX}([a-z_]+)\{{(.*)\}} (\S+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_IDENTITY = ("manifest", "verb")
_WHERE = ("batch", "account", "region")

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number. `name` is without the prefix, `labels` without those that all of a file have."""

    name: str
    value: float
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds that an earlier run wrote: samples, and where it sent things."""

    samples: tuple[Sample, ...] = ()
    where: Labels = field(default_factory=dict)


class RunMetrics:
    """Counts one run, and says at any time what its file should hold. Times are aware."""

    def __init__(self, *, manifest: str, verb: str, run_id: str, version: str, began_at: datetime, kept: Kept) -> None:
        self._always = {"manifest": manifest, "verb": verb}
        self._about = {"run_id": run_id, "version": version}
        self._began_at = began_at
        self._where = {name: kept.where.get(name, "") for name in _WHERE}
        self._kept = kept
        self._states: Counter[str] | None = None
        self._open: dict[str, State] = {}
        self._requests: Counter[str] = Counter()
        self._throttled: Counter[str] = Counter()
        self._rates: dict[str, float] = {}
        self._uploaded = self._bytes = 0

    def notify(self, event: object) -> None:
        """Count one event."""
        match event:
            case Requested():
                self._requests[event.operation] += 1
                self._throttled[event.operation] += event.outcome is OutcomeKind.THROTTLED
                if event.rate is not None:
                    self._rates[event.operation] = event.rate
            case RunStarted():
                lane = event.lane
                self._where = {"batch": event.batch, "account": lane.account, "region": lane.region}
                self._begin_counting(event)
            case ItemChanged():
                self._count(event)

    def samples(self, at: datetime, summary: Summary | None = None) -> list[Sample]:
        """All that is known at a moment; with the summary once the run has ended."""
        if summary is not None:
            self._take_summary(summary)
        found = [*self._of_run(at, summary), *self._counts()]
        known = {sample.name for sample in found}
        return [*found, *(each for each in self._kept.samples if each.name not in known)]

    def text(self, at: datetime, summary: Summary | None = None) -> str:
        """The file's content."""
        labels = {**self._always, **{name: value for name, value in self._where.items() if value}}
        return exposition(self.samples(at, summary), labels)

    def _begin_counting(self, event: RunStarted) -> None:
        self._open = {each.item_id: each.state for each in event.plan.actions if each.item is not None}
        self._states = Counter(event.states)

    def _count(self, event: ItemChanged) -> None:
        known = event.known
        before = self._open.get(known.item_id)
        if self._states is not None and before is not None:
            self._states[before.value] -= 1
            self._states[known.state.value] += 1
            self._open[known.item_id] = known.state
        if event.created:
            self._uploaded += 1
            self._bytes += known.size_bytes or 0

    def _take_summary(self, summary: Summary) -> None:
        self._where.update(
            (name, value) for name in _WHERE if isinstance(value := getattr(summary, name), str) and value
        )
        if summary.items:
            self._states = Counter(summary.states)
        self._requests = Counter(summary.requests) or self._requests
        self._uploaded = max(self._uploaded, summary.uploaded)

    def _of_run(self, at: datetime, summary: Summary | None) -> Iterator[Sample]:
        yield Sample("run_info", 1, self._about)
        yield Sample("run_in_progress", summary is None)
        yield Sample("run_start_timestamp_seconds", self._began_at.timestamp())
        yield Sample("run_duration_seconds", (at - self._began_at).total_seconds())
        if summary is None:
            return
        yield Sample("run_end_timestamp_seconds", at.timestamp())
        yield Sample("run_exit_code", summary.exit.code)
        if summary.exit.code in SUCCESSES:
            yield Sample("last_success_timestamp_seconds", at.timestamp())

    def _counts(self) -> Iterator[Sample]:
        if self._states is not None:
            yield from (Sample("items", self._states[state.value], {"state": state.value}) for state in State)
        yield Sample("run_uploaded_items", self._uploaded)
        yield Sample("run_sent_bytes", self._bytes)
        for name, counts in (("run_requests", self._requests), ("run_throttled_requests", self._throttled)):
            yield from (Sample(name, counts[each], {"operation": each}) for each in sorted(self._requests))
        yield from (Sample("rate_per_second", rate, {"operation": each}) for each, rate in sorted(self._rates.items()))


def exposition(samples: Iterable[Sample], labels: Labels) -> str:
    """The samples in Prometheus' text format 0.0.4, each with these labels too, in the order of HELP."""
    by_name: dict[str, list[Sample]] = {name: [] for name in HELP}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines = [line for name, found in by_name.items() if found for line in _family(name, found, labels)]
    return "".join(f"{line}\n" for line in lines)


def kept(text: str, *, manifest: str, verb: str) -> Kept:
    """What of a file is still true for this manifest and verb. What is not ours, or damaged, is passed over."""
    own = {"manifest": manifest, "verb": verb}
    samples, where = [], {}
    for name, labels, value in _parsed(text):
        if {each: labels.get(each) for each in _IDENTITY} != own:
            continue
        where = {each: labels[each] for each in _WHERE if each in labels}
        if name in CARRIED:
            rest = {key: text for key, text in labels.items() if key not in (*_IDENTITY, *_WHERE)}
            samples.append(Sample(name, value, rest))
    return Kept(tuple(samples), where)


def _family(name: str, samples: Sequence[Sample], labels: Labels) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {HELP[name]}"
    yield f"# TYPE {PREFIX}{name} gauge"
    for sample in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**labels, **sample.labels}.items())
        yield f"{PREFIX}{name}{{{told}}} {_number(sample.value)}"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _parsed(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.split("\n"):
        found = _LINE.match(line)
        if found is None or found[1] not in HELP:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        yield found[1], {key: _unescaped(raw) for key, raw in _LABEL.findall(found[2])}, value


def _unescaped(text: str) -> str:
    return re.sub(r'\\[\\"n]', lambda found: _ESCAPES[found.group()], text)
