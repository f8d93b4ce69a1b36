"""What `plan` does. It reads the ledger as any reader does, and asks the service for its capacity alone."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from batch_upload.cli.output import Ended, Output
from batch_upload.cli.prepare import check_only, ready_to_read
from batch_upload.cli.rates import expected_create_rate, remembered_latency_s
from batch_upload.cli.signals import until_interrupted
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import time_limit
from batch_upload.engine.listing import describe_found
from batch_upload.engine.plan import Knowledge, LaneOutlook, Selection, is_absent, state_of
from batch_upload.engine.retry import CONVENIENCE, LIMITS, NOT_ALLOWED
from batch_upload.engine.sift import Sifted, plan_rest, sift
from batch_upload.engine.tally import Tally
from batch_upload.errors import AccessFault, ExitCode, LedgerOfAnotherLane, Refused, ServiceError, Transient
from batch_upload.ledger.reading import find_reader
from batch_upload.model import Action, ActionKind, Attachment, Capacity, Item, Lane, Plan, RateRecord, State
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
    found: Sequence[Attachment] = ()
    """Of the attachments that an earlier run did not find, those that are there after all."""


def planned(path: Path, flags: Flags, output: Output, *, offline: bool, detailed_exitcode: bool) -> Ended:
    """Show the plan. Raises BatchUploadError as `upload` would."""
    started = counting_s()
    prepared, settings = ready_to_read(path, flags)
    manifest = prepared.manifest
    check_only(settings, prepared)
    lane, found, remembered = _found(settings.ledger, manifest.batch, prepared.items, whole=_is_whole(output, settings))
    tally = Tally()
    asking = partial(_ask, settings, tally, output, found.absent)
    asked = Asked() if offline else anyio.run(until_interrupted, asking)
    check_lane(lane, asked.lane, settings)
    found = found.corrected(asked.found)
    whole = _plan(found, asked, settings)
    made = _chosen(whole, Selection(settings.only_states, settings.only_ids))
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
    there_is_work = any(_is_work(action) for action in made.actions)
    code = ExitCode.THERE_IS_WORK if detailed_exitcode and there_is_work else ExitCode.DONE
    summary = _summary(whole, asked.lane or lane, tally, items=len(prepared.items), code=code)
    return Ended(replace(summary, batch=manifest.batch, elapsed_s=counting_s() - started), lines=())


@dataclass(frozen=True, slots=True)
class _Found:
    """What is left to be planned, and what the ledger knows of it and of what the manifest does not list."""

    sifted: Sifted
    knowledge: Knowledge

    @property
    def absent(self) -> list[str]:
        """The attachments that an earlier run did not find, and that `upload` asks for once more."""
        return [row.attachment_id for row in self.knowledge.absent if row.attachment_id is not None]

    def corrected(self, there: Sequence[Attachment]) -> "_Found":
        """The same, with what is there after all: `upload` takes it over and asks for its status."""
        ids = {each.attachment_id for each in there}
        rows = (
            replace(row, state=State.PROCESSING, fault=None) if row.attachment_id in ids and is_absent(row) else row
            for row in self.knowledge.by_token.values()
        )
        return replace(self, knowledge=Knowledge.of(list(rows))) if ids else self


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


async def _ask(settings: Settings, tally: Tally, output: Output, absent: Sequence[str]) -> Asked:
    from batch_upload.cli.audience import Everybody  # what draws, and the SDK: `--offline` does without both
    from batch_upload.cli.compose import reach

    observer = Everybody([tally], Observers(*output.witnesses.observers(), on_lost=output.lost))
    asked = Asked(warning="no answer before the deadline: neither the account nor its capacity was looked at")
    async with time_limit(settings.deadline_s, SystemClock()), reach(settings, observer, reads_only=True) as reached:
        asked = await _ask_capacity(reached)
        try:
            asked = replace(asked, found=await describe_found(reached, absent))
        except (Refused, Transient) as error:
            asked = replace(asked, warning=f"what was not found could not be looked for: {error.message}")
    return asked


async def _ask_capacity(reached: "Reached") -> Asked:
    try:
        capacity = await reached.wire.call(LIMITS, reached.service.capacity, policy=CONVENIENCE)
    except AccessFault as error:
        if error.code not in NOT_ALLOWED:
            raise
        return Asked(reached.lane, warning="capacity is not known: no permission for `sms-voice:DescribeAccountLimits`")
    except ServiceError as error:
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
    """The plan of the whole manifest."""
    is_untold = asked.lane is not None and asked.capacity is None
    tries_parked = State.PARKED in settings.only_states
    outlook = LaneOutlook(datetime.now(UTC), asked.capacity, tries_parked, is_untold)
    return plan_rest(found.sifted, found.knowledge, outlook)


def _chosen(whole: Plan, selection: Selection) -> Plan:
    """The part of a plan that `--only` chooses."""
    if selection == Selection():
        return whole
    return Plan(tuple(action for action in whole.actions if selection.takes(action.item_id, state_of(action))))


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


def _summary(whole: Plan, whose: Lane | None, tally: Tally, *, items: int, code: ExitCode) -> Summary:
    """A summary that counts every item of the manifest, whatever `--only` chose of it."""
    of_items = [action for action in whole.actions if action.kind is not ActionKind.ORPHAN]
    states = Counter(state_of(action).value for action in of_items)
    states[State.COMPLETE.value] += whole.complete
    return Summary(
        verb="plan",
        exit=exit_of(code),
        account=whose.account if whose else None,
        region=whose.region if whose else None,
        items=items,
        states=+states,
        unchanged=whole.counts[ActionKind.UNCHANGED],
        requests=dict(tally.requests),
        throttled=tally.throttled,
    )


def _is_work(action: Action) -> bool:
    """Whether `upload` would ask the service for anything on behalf of this item."""
    if action.kind in WORK:
        return True
    return action.kind is ActionKind.UNCHANGED and state_of(action) is State.PROCESSING
