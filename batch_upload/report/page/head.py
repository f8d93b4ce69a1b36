"""What stands above the items: whose they are, how many are where, the course of the runs, and what to do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batch_upload.model import Fault, Lane, OutcomeKind, State
from batch_upload.report.advice import RETRIES, advice
from batch_upload.report.page.board import KINDS, STATES, Json
from batch_upload.report.summary_text import IDS_SHOWN, Invocation
from batch_upload.summary import EXIT_REASONS
from batch_upload.words import fault_name

ATTENTION = (State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""What a person should look at, first things first."""
STEPS = 96
"""A course has at most so many steps: as many columns as a chart can show apart."""
_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class PageRun:
    """One run of the batch. Without an end it is under way, or its process died.

    `tally` counts its attempts by their ends, None for those without; `steps` are (number, end, count), where a step
    is `width_s` seconds long and the first begins with the run. `last_at` is when the last attempt ended.
    """

    run_id: str
    verb: str
    began_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    reason: str | None
    tally: Mapping[OutcomeKind | None, int]
    last_at: datetime | None
    width_s: float
    steps: Sequence[tuple[int, OutcomeKind, int]]


@dataclass(frozen=True, slots=True)
class LearnedPace:
    """Create calls a second, as the last run learned it."""

    rate: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Running:
    """The run that is under way: who runs it, how fast it creates, and how long what is left takes.

    `left_s` is in seconds, None where nothing is left to be sent; `rate` in create calls a second.
    """

    run_id: str
    who: str
    left: int
    rate: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose page it is. `lane` and `endpoint` are None before a first run."""

    batch: str
    manifest: str
    ledger: str
    lane: Lane | None
    endpoint: str | None
    program: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the items of the manifest stand. `states` counts all of them; `listed` are shown, of the `chosen`.

    `only` are the words of `--only`, empty where everything was chosen.
    """

    states: Mapping[State, int]
    chosen: int
    listed: int
    only: Sequence[str] = ()
    attempts_left_out: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Items that are in one state for one reason, with one thing to do about it. `ids` are the first few."""

    state: State
    name: str
    advice: str
    count: int
    ids: Sequence[str]
    fault: Fault | None
    resume_after: datetime | None


@dataclass(slots=True)
class Causes:
    """Counts what needs attention, item by item."""

    _counts: dict[tuple[State, str, str], int] = field(default_factory=lambda: defaultdict(int))
    _ids: dict[tuple[State, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    _first: dict[tuple[State, str, str], tuple[Fault | None, datetime | None]] = field(default_factory=dict)

    def add(self, item_id: str, state: State, fault: Fault | None, resume_after: datetime | None) -> None:
        """Count one item; those that need nobody's attention are passed over."""
        if state not in ATTENTION:
            return
        name = cause_name(state, fault)
        key = (state, name, advice(state, fault if name else None))
        self._counts[key] += 1
        self._first.setdefault(key, (fault, resume_after))
        if len(self._ids[key]) < IDS_SHOWN:
            self._ids[key].append(item_id)

    def found(self) -> list[Cause]:
        """The causes: by state, then the most frequent first."""
        ordered = sorted(self._counts, key=lambda key: (ATTENTION.index(key[0]), -self._counts[key], *key[1:]))
        return [Cause(*key, self._counts[key], self._ids[key], *self._first[key]) for key in ordered]


def cause_name(state: State, fault: Fault | None) -> str:
    """By what the items of one state are grouped."""
    return fault_name(fault) if state in (State.FAILED, State.PARKED) and fault is not None else ""


def step_width_s(span_s: float) -> float:
    """The shortest round step with which a run of this length has at most `STEPS` of them."""
    return next((width for width in _WIDTHS_S if span_s / width < STEPS), span_s / STEPS * 1.01)


def head_json(
    identity: Identity,
    standing: Standing,
    causes: Iterable[Cause],
    runs: Sequence[PageRun],
    pace: LearnedPace | None,
    invocation: Invocation,
    at: datetime,
    *,
    more_runs: bool = False,
    running: Running | None = None,
) -> Json:
    """Read by assets/overview.js, attention.js and course.js. `runs` are newest first, and `more_runs` there were."""
    return {
        "batch": identity.batch,
        "manifest": identity.manifest,
        "ledger": identity.ledger,
        "account": None if identity.lane is None else identity.lane.account,
        "region": None if identity.lane is None else identity.lane.region,
        "endpoint": identity.endpoint,
        "program": identity.program,
        "at": _ms(at),
        "total": sum(standing.states.values()),
        "states": [standing.states.get(state, 0) for state in STATES],
        "chosen": standing.chosen,
        "listed": standing.listed,
        "only": list(standing.only),
        "attempts_left_out": standing.attempts_left_out,
        "causes": [_cause_json(cause, invocation) for cause in causes],
        "runs": [_run_json(run) for run in runs],
        "more_runs": more_runs,
        "running": None if running is None else _running_json(running),
        "pace": None if pace is None else {"rate": pace.rate, "at": _ms(pace.at)},
        "commands": {"csv": invocation.command("report", "--format", "csv"), "upload": invocation.command("upload")},
    }


def _running_json(running: Running) -> Json:
    return {
        "run": running.run_id,
        "who": running.who,
        "left": running.left,
        "rate": running.rate,
        "left_ms": None if running.left_s is None else round(running.left_s * 1000),
    }


def _cause_json(cause: Cause, invocation: Invocation) -> Json:
    fault = cause.fault if cause.name else None
    return {
        "state": STATES.index(cause.state),
        "name": cause.name,
        "message": "" if fault is None else fault.message,
        "count": cause.count,
        "ids": list(cause.ids),
        "advice": cause.advice,
        "retries": None if fault is None else dict(fault.fields).get(RETRIES),
        "resume_after": _ms(cause.resume_after),
        "why": invocation.why(cause.ids[0]),
    }


def _run_json(run: PageRun) -> Json:
    return {
        "id": run.run_id,
        "verb": run.verb,
        "began": _ms(run.began_at),
        "ended": _ms(run.ended_at),
        "exit": run.exit_code,
        "reason": run.reason or _reason(run.exit_code),
        "tally": [run.tally.get(kind, 0) for kind in KINDS],
        "open": run.tally.get(None, 0),
        "last": _ms(run.last_at),
        "width": run.width_s,
        "steps": [[number, KINDS.index(kind), count] for number, kind, count in run.steps],
    }


def _reason(exit_code: int | None) -> str | None:
    if exit_code is None:
        return None
    known = {int(code): reason for code, reason in EXIT_REASONS.items()}
    return known.get(exit_code, "a code of another version")


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)
