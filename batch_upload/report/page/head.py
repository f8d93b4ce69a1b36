"""The head of the page: whose items they are, their states, the runs over time, and what to do."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from batch_upload.errors import ExitCode
from batch_upload.model import Lane, OutcomeKind, State
from batch_upload.records import Bucket, RateRecord, RunRecord, RunTally
from batch_upload.report.ndjson import LaneRef
from batch_upload.report.page.board import KINDS, STATES, Json, epoch_ms
from batch_upload.report.page.causes import Cause, CauseKind
from batch_upload.report.summary_text import Invocation, commands_after
from batch_upload.summary import EXIT_REASONS, LaneSummary, exit_of, reason_of_lanes
from batch_upload.words import who_words

_OF_ITEMS = frozenset({ExitCode.ITEMS_FAILED, ExitCode.OUTCOMES_UNKNOWN, ExitCode.ACCOUNT_FULL})
"""Exit codes that ask a person to act on single items. The page shows these items with what to do."""
WHO_SHOWN = 2
"""How many uploaders of a run in several lanes are named: ARNs are long."""
STEPS_MAX = 96
"""Steps of a run's timeline: as many columns as a chart can show apart."""
_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class RunTimeline:
    """One run of the batch. Without an end in its record it is under way, or its process died.

    `tallies` count its attempts by outcome; `steps` count them over time, each step `width_s` seconds long, the first
    beginning with the run.
    """

    record: RunRecord
    tallies: Sequence[RunTally]
    width_s: float
    steps: Sequence[Bucket]
    others: Sequence[RunRecord] = ()
    """The records of the same run in its other lanes."""

    @property
    def who(self) -> str | None:
        """Who uploaded, in the words of `who_words`; if lanes differ, the first WHO_SHOWN. None if not recorded."""
        records = [each for each in (self.record, *self.others) if each.host is not None]
        found = list(dict.fromkeys(who_words(each.principal, each.os_user, each.host) for each in records))
        more = [f"{len(found) - WHO_SHOWN:,} more"] if len(found) > WHO_SHOWN else []
        return "; ".join([*found[:WHO_SHOWN], *more]) or None

    @property
    def last_at(self) -> datetime | None:
        """When the last attempt ended."""
        return max((tally.last_at for tally in self.tallies), default=None)

    @property
    def reason(self) -> str | None:
        """Why it ended as it did; None without an end."""
        record = self.record
        reason = (record.summary or {}).get("exit", {}).get("reason")
        if not reason and record.exit_code is not None:
            reasons = {int(code): text for code, text in EXIT_REASONS.items()}
            reason = reasons.get(record.exit_code, "a code of another version")
        return None if reason is None else str(reason)

    @property
    def blocking_code(self) -> ExitCode | None:
        """The exit code, if a person must act before another run can go on and no item shows why; else None."""
        code = next((each for each in ExitCode if each == self.record.exit_code), None)
        return code if code is not None and code not in _OF_ITEMS and exit_of(code).wants_a_person else None

    def as_json(self) -> Json:
        """Return the run as assets/runs.js reads it."""
        record, counts = self.record, {tally.kind: tally.count for tally in self.tallies}
        return {
            "id": record.run_id,
            "verb": record.verb,
            "who": self.who,
            "program": record.program,
            "began": epoch_ms(record.began_at),
            "ended": epoch_ms(record.ended_at),
            "exit": record.exit_code,
            "reason": self.reason,
            "tally": [counts.get(kind, 0) for kind in KINDS],
            "open": counts.get(None, 0),
            "last": epoch_ms(self.last_at),
            "width": self.width_s,
            "steps": [[step.number, KINDS.index(step.kind), step.count] for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """The run that is under way: the process that runs it, how fast it creates, and how long what is left takes.

    `left_s` is in seconds, None where nothing is left to be sent or bound; `rate` in create calls a second. `binds` are
    the items that are still to be put into a field.
    """

    run_id: str
    holder: str
    left: int
    rate: float
    left_s: float | None
    binds: int = 0


def joint_timelines(of_lanes: Iterable[Sequence[RunTimeline]]) -> list[RunTimeline]:
    """Return the runs of several lanes, each once, latest first: sums over its lanes, and how many ended how.

    Steps of lanes are added up in steps as long as the longest of them. A run has ended when it has in every lane.
    """
    by_id: dict[str, list[RunTimeline]] = {}
    for timeline in (each for timelines in of_lanes for each in timelines):
        by_id.setdefault(timeline.record.run_id, []).append(timeline)
    found = [_joint_timeline(timelines) for timelines in by_id.values()]
    return sorted(found, key=lambda each: each.record.began_at, reverse=True)


def _joint_timeline(timelines: Sequence[RunTimeline]) -> RunTimeline:
    began_at = min(each.record.began_at for each in timelines)
    width_s = max(each.width_s for each in timelines)
    steps: Counter[tuple[int, OutcomeKind]] = Counter()
    tallies: dict[OutcomeKind | None, RunTally] = {}
    for each in timelines:
        offset_s = (each.record.began_at - began_at).total_seconds()
        for step in each.steps:
            steps[int((offset_s + step.number * each.width_s) / width_s), step.kind] += step.count
        for tally in each.tallies:
            before = tallies.get(tally.kind)
            count = tally.count + (0 if before is None else before.count)
            last_at = tally.last_at if before is None else max(before.last_at, tally.last_at)
            tallies[tally.kind] = replace(tally, count=count, last_at=last_at)
    record = timelines[0].record
    ends = [each.record.ended_at for each in timelines]
    codes = [each.record.exit_code for each in timelines]
    ended = [end for end in ends if end is not None]
    exits = [exit_of(ExitCode(code)) for code in codes if code in set(ExitCode)]
    record = replace(record, began_at=began_at, ended_at=None, exit_code=None, summary=None)
    if len(ended) == len(ends) and len(exits) == len(codes):
        worst = min(exits, key=lambda each: (not each.wants_a_person, each.code is ExitCode.DONE, each.code))
        reason = reason_of_lanes([LaneSummary(None, None, None, each) for each in exits])
        record = replace(record, ended_at=max(ended), exit_code=int(worst.code), summary={"exit": {"reason": reason}})
    buckets = [Bucket(record.run_id, number, kind, count) for (number, kind), count in sorted(steps.items())]
    others = [each.record for each in timelines[1:]]
    return RunTimeline(record, tuple(tallies.values()), width_s, buckets, others)


def step_width_s(span_s: float) -> float:
    """Return the shortest round step with which a run of this length has at most `STEPS_MAX` of them."""
    return next((width for width in _WIDTHS_S if span_s / width < STEPS_MAX), span_s / STEPS_MAX * 1.01)


@dataclass(frozen=True, slots=True)
class LaneHead:
    """One lane of several: its items by state, how its last run ended, and whether one is under way there.

    `holder` is the process that holds the lane, where several hosts share the ledger; else empty.
    """

    lane: LaneRef
    states: Mapping[State, int]
    people: int = 0
    """How many of its items need a person, without those of `denied`."""
    last_run: RunTimeline | None = None
    is_running: bool = False
    holder: str = ""
    denied: int = 0
    """How many of its attachments a reviewer has denied."""

    def as_json(self) -> Json:
        """Return the lane as assets/lanes.js reads it."""
        run = None if self.last_run is None else self.last_run.as_json()
        return {
            "label": self.lane.target,
            "account": self.lane.account,
            "region": self.lane.region,
            "states": [self.states.get(state, 0) for state in STATES],
            "people": self.people,
            "denied": self.denied,
            "exit": None if run is None else run["exit"],
            "reason": None if run is None else run["reason"],
            "running": self.is_running,
            "holder": self.holder,
            "run": None if run is None else run["id"],
            "who": None if run is None else run["who"],
        }


@dataclass(frozen=True, slots=True)
class PageHead:
    """Everything above the items. `lane` and `endpoint` are None before a first run.

    `states` counts all items of the manifest; `listed` are shown, of the `chosen`. `only` are the words of `--only`,
    empty where everything was chosen. `runs` are newest first, and there are `more_runs` before them.
    """

    batch: str
    manifest: str
    ledger: str
    lane: Lane | None
    endpoint: str | None
    program: str
    at: datetime
    states: Mapping[State, int]
    chosen: int
    listed: int
    only: Sequence[str] = ()
    attempts_left_out: bool = False
    causes: Sequence[Cause] = ()
    runs: Sequence[RunTimeline] = ()
    more_runs: bool = False
    active: ActiveRun | None = None
    pace: RateRecord | None = None
    """What the last run learned of creates; its `learned` has `rate`, in calls a second."""
    is_ledger_alone: bool = False
    """Whether the manifest was not read, so that no verb that needs it is named."""
    lanes: Sequence[LaneHead] = ()
    """Of a manifest with `targets`, in its order. The other values are of all of them."""

    @property
    def people(self) -> int:
        """How many items need a person before another run can complete them."""
        return sum(cause.count for cause in self.causes) - self.denied

    @property
    def denied(self) -> int:
        """How many attachments a reviewer has denied."""
        return sum(cause.count for cause in self.causes if cause.kind is CauseKind.DENIED)

    def as_json(self, invocation: Invocation) -> Json:
        """Return the head as the scripts in assets/ read it."""
        active, running, pace = self.active, None, None
        if self.pace is not None:
            pace = {"rate": self.pace.learned["rate"], "at": epoch_ms(self.pace.learned_at)}
        if active is not None:
            left_ms = None if active.left_s is None else round(active.left_s * 1000)
            running = {
                "run": active.run_id,
                "who": active.holder,
                "left": active.left,
                "rate": active.rate,
                "left_ms": left_ms,
                "binds": active.binds,
            }
        return {
            "batch": self.batch,
            "manifest": self.manifest,
            "ledger": self.ledger,
            "account": None if self.lane is None else self.lane.account,
            "region": None if self.lane is None else self.lane.region,
            "endpoint": self.endpoint,
            "program": self.program,
            "at": epoch_ms(self.at),
            "total": sum(self.states.values()),
            "states": [self.states.get(state, 0) for state in STATES],
            "chosen": self.chosen,
            "listed": self.listed,
            "only": list(self.only),
            "attempts_left_out": self.attempts_left_out,
            "people": self.people,
            "denied": self.denied,
            "causes": [cause.as_json(invocation, has_manifest=not self.is_ledger_alone) for cause in self.causes],
            "block": self._block_json(invocation),
            "runs": [run.as_json() for run in self.runs],
            "more_runs": self.more_runs,
            "running": running,
            "pace": pace,
            "commands": {"csv": invocation.command("report", "--format", "csv")},
            **({"lanes": [lane.as_json() for lane in self.lanes]} if self.lanes else {}),
        }

    def _block_json(self, invocation: Invocation) -> Json | None:
        """Return how the last run ended if a person must put that right, as assets/attention.js reads it."""
        code = self.runs[0].blocking_code if self.runs and self.active is None else None
        if code is None:
            return None
        commands = [] if self.is_ledger_alone else commands_after(code, invocation)
        return {"exit": int(code), "reason": self.runs[0].reason, "commands": commands}
