"""The head of the page: whose items they are, their states, the runs over time, and what to do."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from batch_upload.errors import ExitCode
from batch_upload.model import Fault, Known, Lane, OutcomeKind, State
from batch_upload.records import Bucket, RateRecord, RunRecord, RunTally
from batch_upload.report.advice import RETRIES_FIELD, ROOM_IN_ACCOUNT, advice
from batch_upload.report.item_text import IDS_SHOWN
from batch_upload.report.ndjson import LaneRef
from batch_upload.report.page.board import KINDS, STATES, Json, epoch_ms
from batch_upload.report.summary_text import Invocation, commands_after
from batch_upload.summary import EXIT_REASONS, LaneSummary, exit_of, reason_of_lanes
from batch_upload.targets import id_with_lane
from batch_upload.words import fault_name, who_words

ATTENTION = (State.FAILED, State.INVALID, State.UNKNOWN, State.PARKED, State.SENDING)
"""States whose items are listed before all others, the most urgent first."""
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

    `left_s` is in seconds, None where nothing is left to be sent; `rate` in create calls a second.
    """

    run_id: str
    holder: str
    left: int
    rate: float
    left_s: float | None


@dataclass(slots=True)
class Cause:
    """Items that need a person, in one state for one reason, with one thing to do. `ids` are the first few."""

    state: State
    name: str
    advice: str
    fault: Fault | None
    count: int = 0
    ids: list[str] = field(default_factory=list)
    first: tuple[str | None, str] = (None, "")
    """The target of the first item's lane, None without `targets`, and its id."""

    def as_json(self, invocation: Invocation, *, has_manifest: bool = True) -> Json:
        """Return the cause as assets/attention.js reads it. Without `has_manifest` no verb that needs one is named."""
        fault = self.fault if self.name else None
        commands = [(invocation.why(self.first[1], target=self.first[0]), "its whole history")]
        if has_manifest:
            commands += _next_commands(self.state, invocation)
        return {
            "state": STATES.index(self.state),
            "name": self.name,
            "message": "" if fault is None else fault.message,
            "count": self.count,
            "ids": list(self.ids),
            "advice": self.advice,
            "retries": None if fault is None else dict(fault.fields).get(RETRIES_FIELD),
            "commands": commands,
        }


def _next_commands(state: State, invocation: Invocation) -> list[tuple[str, str]]:
    if state is State.PARKED:
        return commands_after(ExitCode.ACCOUNT_FULL, invocation)
    if state is State.UNKNOWN:
        return commands_after(ExitCode.OUTCOMES_UNKNOWN, invocation)
    if state is State.INVALID:
        again = (invocation.command("upload"), "once they are corrected")
        return [*commands_after(ExitCode.INVALID, invocation), again]
    return [(invocation.command("upload"), "once that is done")]


def needs_person(item: Known) -> bool:
    """Return whether a person must act before another run can complete the item.

    A parked item needs one if the account is full. The day's quota needs none: it ends at midnight (`resume_after`).
    """
    if item.state is State.PARKED:
        return item.resume_after is None
    return item.state in (State.FAILED, State.UNKNOWN, State.INVALID)


def causes_of(known: Iterable[Known], *, target: str | None = None) -> list[Cause]:
    """Group the items that need a person: by state, then the most frequent cause first.

    `target` is that of their lane; then ids are shown as `--only` takes them.
    """
    causes: dict[tuple[State, str, str], Cause] = {}
    for item in known:
        state, fault = item.state, item.fault
        if not needs_person(item):
            continue
        # `causeOf` in assets/data.js groups by the same name
        name = fault_name(fault) if state in (State.FAILED, State.PARKED) and fault is not None else ""
        to_do = ROOM_IN_ACCOUNT if state is State.PARKED else advice(state, fault if name else None)
        key = (state, name, to_do)
        cause = causes.setdefault(key, Cause(*key, fault, first=(target, item.item_id)))
        cause.count += 1
        if len(cause.ids) < IDS_SHOWN:
            cause.ids.append(id_with_lane(target, item.item_id))
    return _in_order(causes.values())


def joint_causes(of_lanes: Iterable[Sequence[Cause]]) -> list[Cause]:
    """Return the causes of several lanes, each once, with the sum of its items."""
    joint: dict[tuple[State, str, str], Cause] = {}
    for cause in (each for causes in of_lanes for each in causes):
        key = (cause.state, cause.name, cause.advice)
        found = joint.get(key)
        if found is None:
            joint[key] = replace(cause, ids=list(cause.ids))
        else:
            found.count += cause.count
            found.ids += cause.ids[: IDS_SHOWN - len(found.ids)]
    return _in_order(joint.values())


def _in_order(causes: Iterable[Cause]) -> list[Cause]:
    return sorted(causes, key=lambda each: (ATTENTION.index(each.state), -each.count, each.name, each.advice))


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
    """How many of its items need a person."""
    last_run: RunTimeline | None = None
    is_running: bool = False
    holder: str = ""

    def as_json(self) -> Json:
        """Return the lane as assets/lanes.js reads it."""
        run = None if self.last_run is None else self.last_run.as_json()
        return {
            "label": self.lane.target,
            "account": self.lane.account,
            "region": self.lane.region,
            "states": [self.states.get(state, 0) for state in STATES],
            "people": self.people,
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
        """How many items need a person."""
        return sum(cause.count for cause in self.causes)

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
