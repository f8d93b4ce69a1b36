"""What `plan` does. It reads the ledger as any reader does, and asks the service for its capacity alone."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from batch_upload.cli.output import Ended, Output
from batch_upload.cli.prepare import check_only, ready_to_read
from batch_upload.cli.rates import expected_create_rate, remembered_latency_s
from batch_upload.engine.plan import Knowledge, LaneOutlook, Selection, state_of
from batch_upload.engine.retry import CONVENIENCE, LIMITS
from batch_upload.engine.sift import Sifted, plan_rest, sift
from batch_upload.engine.tally import Tally
from batch_upload.errors import AccessFault, ExitCode, LedgerOfAnotherLane, Refused, Transient
from batch_upload.ledger.reading import find_reader
from batch_upload.model import Action, ActionKind, Capacity, Item, Lane, Plan, RateRecord, State
from batch_upload.report.ndjson import action_line
from batch_upload.report.observers import Observers
from batch_upload.report.plan_table import PlanTotals, totals, write_plan
from batch_upload.report.summary import Summary, exit_of
from batch_upload.settings import Flags, Settings

if TYPE_CHECKING:
    from batch_upload.cli.compose import Reached

WORK = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.RETAG)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the service said. Nothing with `--offline`."""

    lane: Lane | None = None
    capacity: Capacity | None = None
    warning: str = ""


def planned(path: Path, flags: Flags, output: Output, *, offline: bool, detailed_exitcode: bool) -> Ended:
    """Show the plan. Raises BatchUploadError as `upload` would."""
    started = time.monotonic()
    prepared, settings = ready_to_read(path, flags)
    manifest = prepared.manifest
    check_only(settings, prepared)
    lane, found, remembered = _found(settings.ledger, manifest.batch, prepared.items, whole=_is_whole(output, settings))
    tally = Tally()
    asked = Asked() if offline else anyio.run(_ask, settings, tally, output)
    check_lane(lane, asked.lane, settings)
    made = _plan(found, asked, settings)
    rate = expected_create_rate(settings, remembered, now=datetime.now(UTC))
    added_up = totals(
        made,
        rate,
        asked.capacity,
        latency_s=remembered_latency_s(remembered),
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
    )
    _show(made, asked, added_up, output)
    return _ended(made, asked, lane, tally, manifest.batch, started, detailed_exitcode=detailed_exitcode)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is left to be planned, and what the ledger knows of it and of what the manifest does not list."""

    sifted: Sifted
    knowledge: Knowledge


def _is_whole(output: Output, settings: Settings) -> bool:
    """Whether every item is told of by itself, or may be chosen, also those that nothing is done for."""
    by_itself = output.json or output.verbose > 0
    return by_itself or bool(settings.only_ids) or State.COMPLETE in settings.only_states


def _found(
    ledger: Path, batch: str, items: Sequence[Item], *, whole: bool
) -> tuple[Lane | None, _Found, Sequence[RateRecord]]:
    reader = find_reader(ledger)
    if reader is None:
        return None, _Found(Sifted(rest=tuple(items)), Knowledge()), ()
    with reader:
        if whole:
            found = _Found(Sifted(rest=tuple(items)), Knowledge.of(reader.known(batch)))
        else:
            sifted = reader.sift(batch, partial(sift, items))
            rows = reader.known_of_ids(batch, [*dict.fromkeys((*sifted.ids, *sifted.unlisted))])
            found = _Found(sifted, Knowledge.of(rows))
        return reader.lane(), found, reader.rates()


async def _ask(settings: Settings, tally: Tally, output: Output) -> Asked:
    from batch_upload.cli.audience import Everybody  # what draws, and the SDK: `--offline` does without both
    from batch_upload.cli.compose import reach

    observer = Everybody([tally], Observers(*output.witnesses.observers()))
    async with reach(settings, observer, reads_only=True) as reached:
        return await _ask_capacity(reached)


async def _ask_capacity(reached: "Reached") -> Asked:
    try:
        capacity = await reached.wire.call(LIMITS, reached.service.capacity, policy=CONVENIENCE)
    except AccessFault as error:
        if error.code != "AccessDeniedException":
            raise
        return Asked(reached.lane, warning="capacity is not known: no permission for `sms-voice:DescribeAccountLimits`")
    except (Refused, Transient) as error:
        return Asked(reached.lane, warning=f"capacity is not known: {error.message}")
    return Asked(reached.lane, capacity)


def check_lane(ledger: Lane | None, asked: Lane | None, settings: Settings) -> None:
    """Raise LedgerOfAnotherLane where a ledger that is only read belongs to another lane than the one asked."""
    if ledger is not None and asked is not None and ledger != asked:
        raise LedgerOfAnotherLane(
            f"`{settings.ledger}` belongs to account {ledger.account} in {ledger.region},"
            f" these credentials are of account {asked.account} in {asked.region}",
            hint="`--ledger PATH` names another, `--profile` and `--region` choose the account",
        )


def _plan(found: _Found, asked: Asked, settings: Settings) -> Plan:
    selection = Selection(settings.only_states, settings.only_ids)
    outlook = LaneOutlook(datetime.now(UTC), asked.capacity, selection.tries_parked)
    made = plan_rest(found.sifted, found.knowledge, outlook)
    if selection == Selection():
        return made
    return Plan(tuple(action for action in made.actions if selection.takes(action.item_id, state_of(action))))


def _show(made: Plan, asked: Asked, added_up: PlanTotals, output: Output) -> None:
    for action in made.actions:
        output.event(action_line(action))
    output.event(added_up.as_json())
    if asked.warning:
        output.say(f"warning: {asked.warning}")
    if output.quiet:
        return
    stream = sys.stderr if output.json else sys.stdout
    write_plan(made, added_up, stream, verbose=output.verbose > 0)


def _ended(
    made: Plan,
    asked: Asked,
    lane: Lane | None,
    tally: Tally,
    batch: str,
    started: float,
    *,
    detailed_exitcode: bool,
) -> Ended:
    of_items = [action for action in made.actions if action.kind is not ActionKind.ORPHAN]
    there_is_work = any(_is_work(action) for action in of_items)
    code = ExitCode.THERE_IS_WORK if detailed_exitcode and there_is_work else ExitCode.DONE
    states = Counter(state_of(action).value for action in of_items)
    states[State.COMPLETE.value] += made.complete
    whose = asked.lane or lane
    summary = Summary(
        verb="plan",
        exit=exit_of(code),
        batch=batch,
        account=whose.account if whose else None,
        region=whose.region if whose else None,
        items=len(of_items) + made.complete,
        states=+states,
        unchanged=made.counts[ActionKind.UNCHANGED],
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=time.monotonic() - started,
    )
    return Ended(summary, lines=())


def _is_work(action: Action) -> bool:
    """Whether `upload` would ask the service for anything on behalf of this item."""
    if action.kind in WORK:
        return True
    return action.kind is ActionKind.UNCHANGED and state_of(action) is State.PROCESSING
