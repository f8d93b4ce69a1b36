"""`--metrics-file`: the numbers of a run in Prometheus' text format, for node_exporter's textfile collector.

A file has numbers that a run which fails early cannot know, such as the last success: they are taken over from the
file that is replaced.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from batch_upload.errors import ExitCode
from batch_upload.events import LanesChosen, OfLane, RunStarted
from batch_upload.model import State
from batch_upload.report.lane_progress import LanesProgress
from batch_upload.report.progress import RunProgress
from batch_upload.summary import LaneSummary, Summary

METRIC_PREFIX = "batch_upload_"
HELP: Mapping[str, str] = {
    "run_info": "What ran last, or runs now: its run id, the program's version, its host, and whose lane.",
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
    "lease_fence": "How often the lane was taken, also by other runs and hosts.",
    "lease_held": "1 while the run holds the lane's lease, 0 once it has given the lane back or lost it.",
    "lease_held_seconds": "How long the run has held the lane's lease so far, or held it.",
    "lane_exit_code": "Exit code of the lane in the last run that ended there.",
    "lane_last_success_timestamp_seconds": "When the lane last ended with exit code 0, in seconds since 1970.",
    "lanes": "Lanes of the run, by what they do: waiting, running, done, or failed (ended with another code than 0).",
    "lanes_items": "Items of all lanes of the run together, by state.",
    "lanes_uploaded_items": "Items of all lanes that became known as created in the run.",
}
"""Every metric without its prefix, and what it is. All are gauges: a run begins with nothing."""
CARRIED = frozenset(
    {
        *("run_end_timestamp_seconds", "run_exit_code", "last_success_timestamp_seconds", "items", "rate_per_second"),
        *("lease_fence", "lane_exit_code", "lane_last_success_timestamp_seconds"),
    }
)
"""Metrics that stay true of earlier runs until a run knows better."""
LANES_WRITTEN_MAX = 300
"""Lanes with series of their own, about 25 lines and 5 kB each. Of more, those with failed items come first."""
SUCCESSES = (ExitCode.DONE, ExitCode.THERE_IS_WORK)
_SAMPLE_LINE = re.compile(rf"^{METRIC_PREFIX}([a-z_]+)\{{(.*)\}} (\S+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_LANE_LABELS = ("batch", "account", "region")
_OF_EACH_LANE = frozenset({"items", "rate_per_second", "lease_fence"})
"""Carried metrics that each lane of several has, not the run."""

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number. `name` is without the prefix, `labels` without those that all of a file have."""

    name: str
    value: float
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CarriedMetrics:
    """What an earlier run wrote that is still true: samples, and the labels of its batch and lane."""

    samples: tuple[Sample, ...] = ()
    lane_labels: Labels = field(default_factory=dict)


class RunMetrics:
    """Counts one run, and returns at any time what its file should hold. Times are aware."""

    def __init__(
        self,
        *,
        manifest: str,
        verb: str,
        run_id: str,
        version: str,
        host: str,
        began_at: datetime,
        carried: CarriedMetrics,
    ) -> None:
        self._always = {"manifest": manifest, "verb": verb}
        self._about = {"run_id": run_id, "version": version, "host": host}
        self._began_at = began_at
        self._lane_labels = {name: carried.lane_labels.get(name, "") for name in _LANE_LABELS}
        self._carried = carried
        self._progress = LanesProgress()

    def notify(self, event: object) -> None:
        """Count one event."""
        self._progress.notify(event)
        inner = event.event if isinstance(event, OfLane) else event
        if isinstance(inner, LanesChosen) or (isinstance(inner, RunStarted) and inner is not event):
            self._lane_labels = {"batch": inner.batch, "account": "", "region": ""}  # those differ from lane to lane
        elif isinstance(inner, RunStarted):
            self._lane_labels = {"batch": inner.batch, "account": inner.lane.account, "region": inner.lane.region}

    def samples(self, at: datetime, summary: Summary | None = None) -> list[Sample]:
        """Return all that is known at a moment; with the summary once the run has ended."""
        found = [
            Sample("run_info", 1, self._about),
            Sample("run_in_progress", summary is None),
            Sample("run_start_timestamp_seconds", self._began_at.timestamp()),
            Sample("run_duration_seconds", (at - self._began_at).total_seconds()),
        ]
        if summary is not None:
            found.append(Sample("run_end_timestamp_seconds", at.timestamp()))
            found.append(Sample("run_exit_code", summary.exit.code))
            if summary.exit.code in SUCCESSES:
                found.append(Sample("last_success_timestamp_seconds", at.timestamp()))
        lanes = self._progress.lanes
        if (
            lanes
            or (summary is not None and summary.lanes)
            or any("target" in it.labels for it in self._carried.samples)
        ):
            found += self._samples_of_all_lanes(at, summary)
        else:
            found += _samples_of(self._progress.whole, summary, at)
        known = {(sample.name, sample.labels.get("target")) for sample in found}
        return [*found, *(each for each in self._still_true() if (each.name, each.labels.get("target")) not in known)]

    def _samples_of_all_lanes(self, at: datetime, summary: Summary | None) -> Iterator[Sample]:
        """Yield the sums, then the samples of each lane, at most of `LANES_WRITTEN_MAX` lanes."""
        progress, ended = self._progress, {lane.label: lane for lane in summary.lanes} if summary is not None else {}
        states, uploaded = progress.states, progress.created
        if summary is not None and summary.lanes:
            states, uploaded = Counter(summary.states), max(uploaded, summary.uploaded)
        activities = {activity.value: count for activity, count in progress.activities.items()}
        yield from (Sample("lanes", count, {"state": name}) for name, count in activities.items())
        yield from (Sample("lanes_items", states[state.value], {"state": state.value}) for state in State)
        yield Sample("lanes_uploaded_items", uploaded)
        labels = list(dict.fromkeys((*progress.lanes, *(label for label in ended if label is not None))))
        if len(labels) > LANES_WRITTEN_MAX:
            labels.sort(key=lambda label: not (label in progress.lanes and progress.lanes[label].failed))
        for label in labels[:LANES_WRITTEN_MAX]:
            lane, end = progress.lanes.get(label), ended.get(label)
            account = (end and end.account) or (lane and lane.account) or ""
            region = (end and end.region) or (lane and lane.region) or ""
            of_lane = {"target": label, "account": account, "region": region}
            code = end.exit.code if end is not None else lane.lane_ended.code if lane and lane.lane_ended else None
            samples = _samples_of(lane or RunProgress(), end, at)
            if code is not None:
                samples.append(Sample("lane_exit_code", code))
            if code in SUCCESSES:
                ended_at = lane.lane_ended.at if lane is not None and lane.lane_ended is not None else at
                samples.append(Sample("lane_last_success_timestamp_seconds", ended_at.timestamp()))
            yield from (Sample(each.name, each.value, {**of_lane, **each.labels}) for each in samples)

    def _still_true(self) -> Iterator[Sample]:
        """Yield what earlier runs wrote, without lanes that the manifest no longer has."""
        lanes, chosen, room = self._progress.lanes, self._progress.chosen, LANES_WRITTEN_MAX - len(self._progress.lanes)
        is_every_lane = chosen is not None and len(chosen.labels) == chosen.total
        others: set[str] = set()
        for sample in self._carried.samples:
            label = sample.labels.get("target")
            if label is not None and label not in lanes:
                if is_every_lane or (label not in others and len(others) >= room):
                    continue
                others.add(label)
            elif label is None and lanes and sample.name in _OF_EACH_LANE:
                continue  # of the time when the manifest had no `targets`
            yield sample

    def text(self, at: datetime, summary: Summary | None = None) -> str:
        """Return the file's content."""
        labels = dict(self._lane_labels)
        if summary is not None:
            known_labels = {"batch": summary.batch, "account": summary.account, "region": summary.region}
            if summary.lanes:
                known_labels = {"batch": summary.batch}
            labels.update((name, value) for name, value in known_labels.items() if value)
        used = {name: value for name, value in labels.items() if value}
        return exposition(self.samples(at, summary), {**self._always, **used})


def _samples_of(progress: RunProgress, ended: Summary | LaneSummary | None, at: datetime) -> list[Sample]:
    """Return the counts of one lane at a moment; with how it ended, if it has."""
    states = progress.states if progress.started is not None else None
    requests, uploaded = progress.requests, progress.created
    if ended is not None:
        states = Counter(ended.states) if ended.items else states
        requests = Counter(ended.requests) or requests
        uploaded = max(uploaded, ended.uploaded) if isinstance(ended, Summary) else uploaded
    found = [] if states is None else [Sample("items", states[state.value], {"state": state.value}) for state in State]
    found.append(Sample("run_uploaded_items", uploaded))
    found.append(Sample("run_sent_bytes", progress.created_bytes))
    for name, counts in (("run_requests", requests), ("run_throttled_requests", progress.throttled_requests)):
        found += [Sample(name, counts[operation], {"operation": operation}) for operation in sorted(requests)]
    for operation, rate in sorted(progress.rates.items()):
        found.append(Sample("rate_per_second", rate, {"operation": operation}))
    if progress.taken is not None:
        until = at if progress.given_back is None else progress.given_back.at
        found.append(Sample("lease_fence", progress.taken.fence))
        found.append(Sample("lease_held", progress.given_back is None))
        found.append(Sample("lease_held_seconds", (until - progress.taken.at).total_seconds()))
    return found


def exposition(samples: Iterable[Sample], labels: Labels) -> str:
    """Return the samples in Prometheus' text format 0.0.4, each with these labels too, in the order of HELP."""
    by_name: dict[str, list[Sample]] = {name: [] for name in HELP}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines = []
    for name, found in by_name.items():
        if found:
            lines += [f"# HELP {METRIC_PREFIX}{name} {HELP[name]}", f"# TYPE {METRIC_PREFIX}{name} gauge"]
        for sample in found:
            shown = ",".join(f'{key}="{_escape_label(text)}"' for key, text in {**labels, **sample.labels}.items())
            number = f"{sample.value:.3f}".rstrip("0").rstrip(".")
            lines.append(f"{METRIC_PREFIX}{name}{{{shown}}} {number}")
    return "".join(f"{line}\n" for line in lines)


def carried_metrics(text: str, *, manifest: str, verb: str) -> CarriedMetrics:
    """Return what of a file is still true for this manifest and verb; skip what is damaged or of another program."""
    samples: list[Sample] = []
    lane_labels: dict[str, str] = {}
    for line in text.split("\n"):
        found = _SAMPLE_LINE.match(line)
        if found is None or found[1] not in HELP:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        labels = {key: _unescape_label(raw) for key, raw in _LABEL.findall(found[2])}
        if (labels.pop("manifest", None), labels.pop("verb", None)) != (manifest, verb):
            continue
        if "target" in labels:  # a lane of several keeps its account and Region
            lane_labels |= {"batch": batch} if (batch := labels.pop("batch", "")) else {}
        else:
            lane_labels = {name: labels.pop(name) for name in _LANE_LABELS if name in labels}
        if found[1] in CARRIED:
            samples.append(Sample(found[1], value, labels))
    return CarriedMetrics(tuple(samples), lane_labels)


def _escape_label(text: str) -> str:
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unescape_label(text: str) -> str:
    return re.sub(r'\\[\\"n]', lambda found: _UNESCAPED[found.group()], text)
