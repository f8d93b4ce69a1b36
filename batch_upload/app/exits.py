"""From what happened to one exit code: of several the first of this list wins."""

from collections.abc import Collection, Sequence
from datetime import datetime

from batch_upload.engine.lane import StopKind
from batch_upload.engine.run import LaneResult
from batch_upload.errors import ExitCode
from batch_upload.model import Duplicate, State
from batch_upload.summary import Exit, exit_of
from batch_upload.words import duration_words

PRECEDENCE = (
    ExitCode.OUR_FAULT,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.LEDGER,
    ExitCode.ACCESS,
    ExitCode.DISAGREEMENT,
    ExitCode.TOO_MANY_FAILURES,
    ExitCode.OUTCOMES_UNKNOWN,
    ExitCode.ACCOUNT_FULL,
    ExitCode.ITEMS_FAILED,
    ExitCode.INVALID,
    ExitCode.DEADLINE,
    ExitCode.NO_CAPACITY,
    ExitCode.TRANSIENT,
    ExitCode.STILL_PROCESSING,
    ExitCode.LOCKED,
    ExitCode.DONE,
)

UNREACHED_S = 24 * 3_600.0
"""After so long without an answer of the service, a run that would end with 10 ends with 22."""

_STOPS = {
    StopKind.LEDGER: ExitCode.LEDGER,
    StopKind.ACCESS: ExitCode.ACCESS,
    StopKind.DISAGREEMENT: ExitCode.DISAGREEMENT,
    StopKind.TOO_MANY_FAILURES: ExitCode.TOO_MANY_FAILURES,
}
_STATES = {
    State.UNKNOWN: ExitCode.OUTCOMES_UNKNOWN,
    State.FAILED: ExitCode.ITEMS_FAILED,
    State.PENDING: ExitCode.TRANSIENT,
    State.SENDING: ExitCode.TRANSIENT,
    State.PROCESSING: ExitCode.STILL_PROCESSING,
}


def first_of(codes: Collection[ExitCode]) -> ExitCode:
    """The code that wins; DONE of none."""
    return next((code for code in PRECEDENCE if code in codes), ExitCode.DONE)


def exit_of_run(result: LaneResult, *, signalled: ExitCode | None) -> Exit:
    """How a run ends. Only what was chosen with `--only` counts."""
    states = result.chosen_states()
    codes = {_STATES[state] for state in states if state in _STATES}
    if State.PARKED in states:
        codes.add(_code_of_parked(result))
    if result.retags_left:
        codes.add(ExitCode.TRANSIENT)
    if result.duplicates:
        codes.add(ExitCode.DISAGREEMENT)
    if result.stop is not None and result.stop.kind in _STOPS:
        codes.add(_STOPS[result.stop.kind])
    if result.stop is not None and result.stop.kind is StopKind.DEADLINE and codes:
        codes.add(ExitCode.DEADLINE)
    if signalled is not None:
        codes.add(signalled)
    code = first_of(codes)
    if result.stop is not None and _STOPS.get(result.stop.kind) is code:
        return Exit(code, result.stop.fault.message)
    if code is ExitCode.DISAGREEMENT:
        return Exit(code, _said_of(result.duplicates))
    return exit_of(code, resume_after=_resume_after(result) if code is ExitCode.NO_CAPACITY else None)


def made_visible(ending: Exit, *, failing_since: datetime | None, now: datetime) -> tuple[Exit, float | None]:
    """The exit of a run, and for how many seconds no run has got an answer if that makes 22 of a 10; None otherwise.

    `failing_since` is `LedgerWriter.failing_since`. What has been transient for a day does not mend itself.
    """
    failing_s = 0.0 if failing_since is None else (now - failing_since).total_seconds()
    if ending.code is not ExitCode.TRANSIENT or failing_s < UNREACHED_S:
        return ending, None
    words = f"{ending.reason}; no run has got an answer for {duration_words(failing_s)}"
    return Exit(ExitCode.ACCESS, words), failing_s


def _code_of_parked(result: LaneResult) -> ExitCode:
    """The day's quota is new at midnight; an item that is parked without such a time waits for room in the account."""
    chosen = result.known if result.selected is None else result.selected & result.known.keys()
    parked = [row for row in map(result.known.__getitem__, chosen) if row.state is State.PARKED]
    is_account_full = any(row.resume_after is None for row in parked)
    return ExitCode.ACCOUNT_FULL if is_account_full else ExitCode.NO_CAPACITY


def _said_of(duplicates: Sequence[Duplicate]) -> str:
    first, *others = duplicates
    more = f", and so are {len(others):,} more" if others else ""
    return (
        f"`{first.item_id}` is at AWS twice, as `{first.kept_id}` and `{first.attachment_id}`{more}:"
        " another copy of the ledger is in use, or was"
    )


def _resume_after(result: LaneResult) -> datetime | None:
    """When everything that is parked may be tried again; None where that depends on the account's capacity."""
    times = [row.resume_after for row in result.known.values() if row.state is State.PARKED]
    known = [at for at in times if at is not None]
    return max(known) if known and len(known) == len(times) else None
