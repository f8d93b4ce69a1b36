"""From what happened to one exit code, and to the summary of a verb."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime

from batch_upload.clock import counting_s
from batch_upload.engine.lane import StopKind
from batch_upload.engine.run import LaneResult
from batch_upload.errors import ExitCode
from batch_upload.model import AttachmentStatus, Lane, State
from batch_upload.summary import Exit, LaneSummary, Summary, exit_of, reason_of_lanes
from batch_upload.targets import Target
from batch_upload.words import count_words, duration_words

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
"""Of several exit codes the first of these wins."""

UNREACHED_S = 24 * 3_600.0
"""A run that would end with 10 ends with 22 after so long without an answer of the service."""

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
    State.BINDING: ExitCode.TRANSIENT,
    State.PROCESSING: ExitCode.STILL_PROCESSING,
}
STATE_OF_STATUS = {
    AttachmentStatus.IN_PROGRESS: State.PROCESSING,
    AttachmentStatus.COMPLETE: State.COMPLETE,
    AttachmentStatus.FAILED: State.FAILED,
    AttachmentStatus.DELETED: State.FAILED,
}
"""The state of an item by the status of its attachment at the service."""


def first_of(codes: Collection[ExitCode]) -> ExitCode:
    """Return the code that wins; DONE of none."""
    return next((code for code in PRECEDENCE if code in codes), ExitCode.DONE)


def exit_of_run(result: LaneResult, *, signalled: ExitCode | None) -> Exit:
    """Return how a run ends. Only what was chosen with `--only` counts."""
    states, stop = result.chosen_states(), result.stop
    codes = {_STATES[state] for state in states if state in _STATES}
    if State.PARKED in states:
        chosen = result.known if result.selected is None else result.selected & result.known.keys()
        rows = [row for row in map(result.known.__getitem__, chosen) if row.state is State.PARKED]
        # the day's quota is new at midnight; an item parked without a time waits for room in the account
        is_account_full = any(row.resume_after is None for row in rows)
        codes.add(ExitCode.ACCOUNT_FULL if is_account_full else ExitCode.NO_CAPACITY)
    if result.retags_left or result.binds_left:
        codes.add(ExitCode.TRANSIENT)
    if result.duplicates:
        codes.add(ExitCode.DISAGREEMENT)
    of_stop = _code_of_stop(result)
    if of_stop is ExitCode.LOCKED:  # what is left is another run's, which holds the lane
        codes.clear()
    if of_stop is not None:
        codes.add(of_stop)
    if stop is not None and stop.kind is StopKind.DEADLINE and codes:
        codes.add(ExitCode.DEADLINE)
    if signalled is not None:
        codes.add(signalled)
    code = first_of(codes)
    if stop is not None and of_stop is code:
        return Exit(code, stop.fault.message)
    if reason := _reason_of(code, result, states):
        return Exit(code, reason)
    parked = [row.resume_after for row in result.known.values() if row.state is State.PARKED]
    times = [at for at in parked if at is not None]
    # of several times the last one: before that a rerun would leave some
    resume_after = max(times) if times and len(times) == len(parked) else None
    return exit_of(code, resume_after=resume_after if code is ExitCode.NO_CAPACITY else None)


def _reason_of(code: ExitCode, result: LaneResult, states: Set[State]) -> str:
    """Return a reason that says more than the code's own; empty if there is none."""
    if code is ExitCode.TRANSIENT and not states & {State.PENDING, State.SENDING} and not result.retags_left:
        return "not every attachment is in the field of its registration yet"
    if code is not ExitCode.DISAGREEMENT:
        return ""
    first, *others = result.duplicates
    more = f", and so are {len(others):,} more" if others else ""
    ids = f"`{first.kept_id}` and `{first.attachment_id}`"
    return f"`{first.item_id}` is at AWS twice, as {ids}{more}: another copy of the ledger is in use, or was"


def exit_with_invalid(ending: Exit, count: int) -> Exit:
    """Return how a verb ends that went on without `count` attachments that cannot be sent: 20, unless more is wrong."""
    if not count or first_of({ending.code, ExitCode.ITEMS_FAILED}) is not ExitCode.ITEMS_FAILED:
        return ending
    if ending.code is ExitCode.ITEMS_FAILED:
        return replace(ending, reason=f"{ending.reason}, {count:,} {'is' if count == 1 else 'are'} invalid")
    are = "is" if count == 1 else "are"
    return Exit(ExitCode.ITEMS_FAILED, f"{count_words(count, 'item')} {are} invalid and cannot be sent")


def _code_of_stop(result: LaneResult) -> ExitCode | None:
    if result.ledger_error is not None:
        return result.ledger_error.exit_code
    return None if result.stop is None else _STOPS.get(result.stop.kind)


def made_visible(ending: Exit, *, failing_since: datetime | None, now: datetime) -> tuple[Exit, float | None]:
    """Return an exit 22 for one that was transient for a day, which does not mend itself; else the exit as it is.

    Also return for how many seconds no run has got an answer, None if the exit is as it was. `failing_since` is
    `LedgerWriter.failing_since`.
    """
    failing_s = 0.0 if failing_since is None else (now - failing_since).total_seconds()
    if ending.code is not ExitCode.TRANSIENT or failing_s < UNREACHED_S:
        return ending, None
    words = f"{ending.reason}; no run has got an answer for {duration_words(failing_s)}"
    return Exit(ExitCode.ACCESS, words), failing_s


def summary_of_lanes(
    verb: str,
    lanes: Sequence[tuple[Target, Summary]],
    *,
    batch: str | None,
    elapsed_s: float,
    run_id: str | None = None,
) -> Summary:
    """Return the summary of a verb over several lanes: sums, the exit code that wins, and each lane's own end."""
    ends = tuple(
        LaneSummary(
            target.label,
            target.account or summary.account,  # an error may have the lane that the ledger has for the target
            target.region,
            summary.exit,
            summary.items,
            summary.states,
            summary.requests,
            summary.throttled,
            summary.registrations_ready,
        )
        for target, summary in lanes
    )
    codes = {end.exit.code for end in ends}
    # a code outside the order, such as `plan`'s THERE_IS_WORK, weighs more than DONE and less than every other
    code = first_of(codes) if codes & {*PRECEDENCE} - {ExitCode.DONE} else max(codes, default=ExitCode.DONE)
    times = [end.exit.resume_after for end in ends if end.exit.code is code]
    known_times = [at for at in times if at is not None]
    reasons = {end.exit.reason for end in ends}
    reason = reasons.pop() if code is ExitCode.DONE and len(reasons) == 1 else reason_of_lanes(ends)
    states, requests = Counter[str](), Counter[str]()
    for end in ends:
        states.update(end.states)
        requests.update(end.requests)
    unreached = [summary.unreached_for_s for _, summary in lanes if summary.unreached_for_s is not None]
    accounts, regions = ({getattr(each, name) for _, each in lanes} for name in ("account", "region"))
    return Summary(
        verb=verb,
        exit=Exit(code, reason, max(known_times) if known_times and len(known_times) == len(times) else None),
        run_id=run_id,
        batch=batch,
        account=accounts.pop() if len(accounts) == 1 else None,
        region=regions.pop() if len(regions) == 1 else None,
        states=states,
        items=sum(summary.items for _, summary in lanes),
        uploaded=sum(summary.uploaded for _, summary in lanes),
        adopted=sum(summary.adopted for _, summary in lanes),
        unchanged=sum(summary.unchanged for _, summary in lanes),
        bound=sum(summary.bound for _, summary in lanes),
        requests=requests,
        throttled=sum(summary.throttled for _, summary in lanes),
        bytes_sent=sum(summary.bytes_sent for _, summary in lanes),
        elapsed_s=elapsed_s,
        unreached_for_s=max(unreached, default=None),
        registrations_ready=tuple(sorted({each for _, summary in lanes for each in summary.registrations_ready})),
        notes=tuple(dict.fromkeys(note for _, summary in lanes for note in summary.notes)),
        lanes=ends,
    )


def one_per_lane(parts: Sequence[tuple[Target, Summary]]) -> list[tuple[Target, Summary]]:
    """Return one summary for each lane; where there are several batches in a lane, with the sums over them."""
    lanes: dict[str | None, tuple[Target, Summary]] = {}
    for target, summary in parts:
        if target.label in lanes:
            _, before = lanes[target.label]
            states = Counter(before.states)
            states.update(summary.states)
            batch = before.batch if before.batch == summary.batch else None
            summary = replace(before, states=states, items=before.items + summary.items, batch=batch)
        lanes[target.label] = target, summary
    return list(lanes.values())


def joint_batch(batches: Iterable[str | None]) -> str | None:
    """Return the batch if there is one; None for several, or for none."""
    names = {batch for batch in batches if batch}
    return names.pop() if len(names) == 1 else None


def joint_summary(
    verb: str, parts: Sequence[tuple[Target, Summary]], *, elapsed_s: float, run_id: str | None = None
) -> Summary:
    """Return the summary of all batches of all lanes; that of the only lane as it is where it has no label."""
    lanes = one_per_lane(parts)
    if lanes[0][0].label is None:
        return replace(lanes[0][1], run_id=run_id)
    batch = joint_batch(summary.batch for _, summary in parts)
    return summary_of_lanes(verb, lanes, batch=batch, elapsed_s=elapsed_s, run_id=run_id)


def lane_summary(
    verb: str,
    lane: Lane | None,
    states: Mapping[State, int],
    *,
    batch: str | None,
    items: int,
    started: float,
    ending: Exit | None = None,
    run_id: str | None = None,
) -> Summary:
    """Return the summary of a verb that only reads. `ending`: done unless it is given.

    `items` is counted apart from `states`, so that `adds_up` proves something. `started` is the moment of
    `counting_s()` from which the elapsed time counts.
    """
    return Summary(
        verb=verb,
        exit=ending or exit_of(ExitCode.DONE),
        run_id=run_id,
        batch=batch,
        account=lane.account if lane else None,
        region=lane.region if lane else None,
        items=items,
        states={state.value: count for state, count in states.items()},
        elapsed_s=counting_s() - started,
    )
