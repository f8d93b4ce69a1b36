"""What `plan` does. It reads the ledger as any reader does, and asks the service for its capacity alone."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from batch_upload.app.items import Prepared, check_only, invalid, ready_to_read
from batch_upload.app.rates import expected_create_rate, laws, remembered_latency_s
from batch_upload.cli.asking import asker
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.messages import PROBLEMS_SHOWN
from batch_upload.cli.output import Ended, Output, failure
from batch_upload.cli.recorded import RUNS_LOOKED_AT, refusal_of, unplanned
from batch_upload.cli.signals import until_interrupted
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import time_limit
from batch_upload.engine.listing import describe_found
from batch_upload.engine.looking import cost_of
from batch_upload.engine.plan import (
    Knowledge,
    LaneOutlook,
    Selection,
    fresh,
    is_absent,
    shown_row,
    state_of,
)
from batch_upload.engine.retry import CONVENIENCE, DESCRIBE, LIMITS, LIST_TAGS, NOT_ALLOWED, Wire
from batch_upload.engine.sift import Sifted, plan_rest, sift
from batch_upload.engine.survey import Seen, is_unsent, look_through
from batch_upload.engine.tally import Tally
from batch_upload.engine.tries import carried_tries
from batch_upload.errors import AccessFault, ExitCode, LedgerOfAnotherLane, Refused, ServiceError, Transient
from batch_upload.ledger.reading import find_reader
from batch_upload.model import (
    Action,
    ActionKind,
    Attachment,
    AttachmentStatus,
    Capacity,
    Item,
    Known,
    Lane,
    Plan,
    RateRecord,
    State,
)
from batch_upload.ports import AttachmentService, Clock, Observer
from batch_upload.report.ndjson import action_line, event_line
from batch_upload.report.observers import Observers
from batch_upload.report.plain import event_sentence
from batch_upload.report.plan_table import Look, PlanTotals, totals, write_plan
from batch_upload.settings import Settings
from batch_upload.summary import Summary, exit_of

if TYPE_CHECKING:
    from batch_upload.app.lane import Reached

FOUND = "found at the service"
LOOKED_FOR = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE)
"""What `upload` looks through the lane for."""
_NOT_LOOKED = "this ledger is new, and attachments of this batch that are at the service could not be looked for"
WORK = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.RETAG)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the service said. Nothing with `--offline`."""

    lane: Lane | None = None
    capacity: Capacity | None = None
    warning: str = ""
    found: Sequence[Attachment] = ()
    """Of the attachments that an earlier run did not find, those that are there after all."""
    seen: Seen | None = None
    """What a look through the lane found, for a ledger that has never listed it; None without a look."""


def planned(path: Path, flags: Flags, output: Output, *, offline: bool, detailed_exitcode: bool) -> Ended:
    """Show the plan. Raises BatchUploadError as `upload` would.

    Where a file cannot be sent, show what is known from the ledger, and end as `upload` would.
    """
    started = counting_s()
    prepared, settings = ready_to_read(path, options_of(flags))
    manifest = prepared.manifest
    check_only(settings, prepared)
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    found, remembered = read_ledger(settings.ledger, prepared, whole=_is_whole(output, settings))
    lane = found.lane
    if prepared.problems and lane is None:
        raise invalid(path, prepared.problems)
    tally = Tally()
    asking = partial(_ask, settings, tally, output, found, remembered)
    is_offline = offline or prepared.problems  # nothing is sent, so the capacity does not matter
    asked = Asked(warning=_unseen(found)) if is_offline else anyio.run(until_interrupted, asking)
    check_lane(lane, asked.lane, settings)
    found = found.corrected(asked.found).adopting(asked.seen)
    whole = _plan(found, asked, settings, prepared)
    made = _chosen(whole, Selection(settings.only_states, settings.only_ids))
    rate = expected_create_rate(settings, remembered, now=datetime.now(UTC))
    added_up = totals(
        made,
        rate,
        asked.capacity,
        latency_s=remembered_latency_s(remembered),
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
        look=_look_of(made, asked, found, settings, remembered),
    )
    if found.refusal:
        output.say(f"warning: `upload` refuses this ledger until `reconcile` has run: {found.refusal}")
    _show(made, asked, added_up, output)
    there_is_work = any(_is_work(action) for action in made.actions)
    code = ExitCode.THERE_IS_WORK if detailed_exitcode and there_is_work else ExitCode.DONE
    states, items = found.states(), len(prepared.items) + len(found.unplanned)
    summary = _summary(whole, states, asked.lane or lane, tally, items=items, code=code)
    elapsed_s = counting_s() - started
    summary = replace(summary, batch=manifest.batch, elapsed_s=elapsed_s, warnings=len(prepared.warnings))
    if prepared.problems:
        return failure(invalid(path, prepared.problems), output, summary)
    return Ended(summary, lines=())


@dataclass(frozen=True, slots=True)
class Found:
    """What is left to be planned, and what the ledger knows of it and of what the manifest does not list."""

    sifted: Sifted
    knowledge: Knowledge
    unplanned: Sequence[Known | None] = ()
    """What is reported of the attachments whose files cannot be sent; None for one that the ledger does not know."""
    lane: Lane | None = None
    attachments: Mapping[str, str | None] = field(default_factory=dict)
    """Every attachment of the lane that the ledger knows: its identity tag, None for one without."""
    is_new: bool = True
    """Whether the ledger has never listed its lane: attachments of this batch may be there that it does not know."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty where it does not."""

    def plan(self, prepared: Prepared, outlook: LaneOutlook) -> Plan:
        """Plan what can be sent. What the manifest may list all the same is no orphan."""
        is_part = prepared.manifest.part_of is not None or bool(prepared.unmatched)
        made = plan_rest(self.sifted, self.knowledge, outlook, is_part=is_part)
        unread = {listed.item_id for listed, _ in prepared.unread}
        return replace(made, actions=tuple(each for each in made.actions if each.item_id not in unread))

    def states(self) -> Counter[State]:
        """Count every item of the manifest by its state."""
        rows = (*(shown_row(item, self.knowledge) for item in self.sifted.rest), *self.unplanned)
        states = Counter(State.PENDING if row is None else row.state for row in rows)
        states[State.COMPLETE] += self.sifted.complete
        return +states

    @property
    def absent(self) -> list[str]:
        """The attachments that an earlier run did not find, and that `upload` asks for once more."""
        return [row.attachment_id for row in self.knowledge.absent if row.attachment_id is not None]

    def corrected(self, there: Sequence[Attachment]) -> "Found":
        """The same, with what is there after all: `upload` takes it over and asks for its status."""
        ids = {each.attachment_id for each in there}
        rows = (
            replace(row, state=State.PROCESSING, fault=None) if row.attachment_id in ids and is_absent(row) else row
            for row in self.knowledge.by_token.values()
        )
        return replace(self, knowledge=Knowledge.of(list(rows))) if ids else self

    def adopting(self, seen: Seen | None) -> "Found":
        """The same, with what `upload` will find at the service and take over instead of creating it."""
        if seen is None or not seen.by_token:
            return self
        tries = carried_tries(self.sifted.rest, seen.by_token, self.knowledge)
        items = {each.client_token: each for each in tries}
        taken = [
            _taken_over(items[token], attachment)
            for token, attachment in seen.by_token.items()
            if token in items and is_unsent(items[token], self.knowledge)
        ]
        tokens = {row.client_token for row in taken}
        rows = [row for row in self.knowledge.by_token.values() if row.client_token not in tokens]
        return replace(self, knowledge=Knowledge.of([*rows, *taken]))


def _taken_over(item: Item, attachment: Attachment) -> Known:
    """What the ledger will know of an item whose attachment was found at the service."""
    states = {AttachmentStatus.IN_PROGRESS: State.PROCESSING, AttachmentStatus.COMPLETE: State.COMPLETE}
    return replace(
        fresh(item),
        state=states.get(attachment.status, State.FAILED),
        attachment_id=attachment.attachment_id,
        attachment_arn=attachment.attachment_arn,
        attachment_status=attachment.status,
    )


def _is_whole(output: Output, settings: Settings) -> bool:
    """Whether every item is told of by itself, or may be chosen, also those that nothing is done for."""
    by_itself = output.json or output.verbose > 0
    return by_itself or bool(settings.only_ids) or State.COMPLETE in settings.only_states


def read_ledger(ledger: Path, prepared: Prepared, *, whole: bool) -> tuple[Found, Sequence[RateRecord]]:
    """Read what a plan needs to know; `whole`: of every item, also of those that nothing is done for.

    Raises LedgerUnusable.
    """
    items, batch = prepared.items, prepared.manifest.batch
    reader = find_reader(ledger)
    if reader is None:
        return Found(Sifted(rest=items), Knowledge(), unplanned=(None,) * len(prepared.unread)), ()
    with reader:
        if whole or prepared.problems:
            sifted, rows = Sifted(rest=items), reader.known(batch)
        else:
            sifted = reader.sift(batch, partial(sift, items))
            rows = reader.known_of_ids(batch, [*dict.fromkeys((*sifted.ids, *sifted.unlisted))])
        found = Found(
            sifted,
            Knowledge.of(rows),
            unplanned=unplanned(prepared, rows),
            lane=reader.lane(),
            attachments=reader.attachment_tokens(),
            is_new=reader.listed_at() is None,
            refusal=refusal_of(reader.runs(batch, limit=RUNS_LOOKED_AT)),
        )
        return found, reader.rates()


def _unseen(found: Found) -> str:
    """What cannot be known of a new ledger without a look at the service; empty where nothing is unknown."""
    if not found.is_new or not found.sifted.rest:
        return ""
    return "this ledger is new: attachments of this batch may already be at the service; `--offline` did not look"


@dataclass(frozen=True, slots=True)
class LaneReading:
    """A lane that is looked through, and where that is reported. Implements `engine.survey.Reading`."""

    service: AttachmentService
    wire: Wire
    clock: Clock
    observer: Observer


@dataclass(frozen=True, slots=True)
class _Said:
    """Reports a look to people and programs: the requests themselves are counted elsewhere."""

    output: Output

    def notify(self, event: object) -> None:
        if (line := event_line(event)) is not None:
            self.output.event(line)
        self.output.say(*filter(None, [event_sentence(event)]))


async def _ask(
    settings: Settings, tally: Tally, output: Output, found: Found, remembered: Sequence[RateRecord]
) -> Asked:
    from batch_upload.app.lane import reach
    from batch_upload.cli.audience import Everybody  # what draws, and the SDK: `--offline` does without both

    observer = Everybody([tally], Observers(*output.witnesses.observers(), on_lost=output.lost))
    asked = Asked(warning="no answer before the deadline: neither the account nor its capacity was looked at")
    reaching = reach(settings, observer, remembered=remembered, reads_only=True, ask=asker())
    async with time_limit(settings.deadline_s, SystemClock()), reaching as reached:
        asked = await _ask_capacity(reached)
        try:
            asked = replace(asked, found=await describe_found(reached, found.absent))
        except (Refused, Transient) as error:
            asked = replace(asked, warning=f"what was not found could not be looked for: {error.message}")
        if found.is_new and found.sifted.rest:
            reading = LaneReading(reached.service, reached.wire, reached.clock, _Said(output))
            asked = await _look(reading, asked, found)
    return asked


async def _look(reading: LaneReading, asked: Asked, found: Found) -> Asked:
    """Look for attachments of this batch that a new ledger does not know."""
    try:
        seen = await look_through(reading, found.sifted.rest, asked.capacity, found.attachments)
    except AccessFault as error:
        if error.code not in NOT_ALLOWED:
            raise
        return replace(asked, warning=f"{_NOT_LOOKED}: {error.message}")
    except (Refused, Transient) as error:
        return replace(asked, warning=f"{_NOT_LOOKED}: {error.message}")
    return replace(asked, seen=seen)


def _look_of(
    made: Plan, asked: Asked, found: Found, settings: Settings, remembered: Sequence[RateRecord]
) -> Look | None:
    """What `upload` will need to look through the lane before its first create; None where it creates nothing."""
    if asked.seen is None and not made.of(*LOOKED_FOR):
        return None
    attachments = asked.capacity.used if asked.capacity is not None else None
    if asked.seen is not None:
        attachments = asked.seen.attachments
    paced = laws(settings, remembered, now=datetime.now(UTC))
    capacity = None if attachments is None else Capacity(attachments, attachments)
    describes_per_s, reads_per_s = paced[DESCRIBE].rate, paced[LIST_TAGS].rate
    cost = cost_of(capacity, len(found.attachments), describes_per_s=describes_per_s, reads_per_s=reads_per_s)
    time_s = 0.0 if cost.time_s is None else cost.time_s - 1 / describes_per_s  # the first page is asked for at once
    return Look(attachments, cost.pages or 1, cost.tag_reads or 0, time_s)


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


def _plan(found: Found, asked: Asked, settings: Settings, prepared: Prepared) -> Plan:
    """The plan of the whole manifest."""
    is_untold = asked.lane is not None and asked.capacity is None
    tries_parked = State.PARKED in settings.only_states
    outlook = LaneOutlook(datetime.now(UTC), asked.capacity, tries_parked, is_untold)
    made = found.plan(prepared, outlook)
    seen = {} if asked.seen is None else asked.seen.by_token
    told = (
        replace(each, reason=FOUND) if each.kind is ActionKind.UNCHANGED and each.client_token in seen else each
        for each in made.actions
    )
    return replace(made, actions=tuple(told))


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


def _summary(
    whole: Plan, states: Mapping[State, int], whose: Lane | None, tally: Tally, *, items: int, code: ExitCode
) -> Summary:
    """A summary that counts every item of the manifest, whatever `--only` chose of it."""
    return Summary(
        verb="plan",
        exit=exit_of(code),
        account=whose.account if whose else None,
        region=whose.region if whose else None,
        items=items,
        states={state.value: count for state, count in states.items()},
        unchanged=whole.counts[ActionKind.UNCHANGED],
        requests=dict(tally.requests),
        throttled=tally.throttled,
    )


def _is_work(action: Action) -> bool:
    """Whether `upload` would ask the service for anything on behalf of this item."""
    if action.kind in WORK:
        return True
    return action.kind is ActionKind.UNCHANGED and state_of(action) is State.PROCESSING
