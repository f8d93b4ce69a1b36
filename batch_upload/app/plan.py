"""`plan`: what `upload` would do now, and what that takes. Changes nothing, also while a run goes on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from batch_upload.app.exits import STATE_OF_STATUS, lane_summary
from batch_upload.app.items import Prepared, check_only, invalid, ready_to_read
from batch_upload.app.ledger_view import RUNS_LOOKED_AT, check_lane, refusal_of, unplanned
from batch_upload.app.observers import Both, Silent
from batch_upload.app.rates import expected_create_rate, laws, remembered_latency_s
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import time_limit
from batch_upload.engine.listing import Cost, cost_of, describe_found
from batch_upload.engine.plan import LaneOutlook, Selection, Unfinished, plan_unfinished, tokens_of, unfinished_items
from batch_upload.engine.retry import CONVENIENCE, NOT_ALLOWED
from batch_upload.engine.rows import BatchRows, carried_tries, is_absent, is_unsent, new_row, shown_row
from batch_upload.engine.survey import Seen, look_through
from batch_upload.engine.tally import Tally
from batch_upload.errors import AccessFault, ExitCode, Refused, ServiceError, Transient
from batch_upload.ledger import find_reader
from batch_upload.model import (
    ActionKind,
    Attachment,
    Capacity,
    Known,
    Lane,
    Plan,
    Problem,
    RateRecord,
    State,
)
from batch_upload.operations import DESCRIBE, LIMITS, LIST_TAGS
from batch_upload.ports import Observer
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Summary, exit_of

if TYPE_CHECKING:
    from batch_upload.app.lane import Reached
    from batch_upload.service.access import Ask

FOUND = "found at the service"
LOOKED_FOR = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE)
"""What `upload` looks through the lane for."""
NOT_LOOKED = "this ledger is new, and attachments of this batch that are at the service could not be looked for"
NOT_ASKED = "this ledger is new: attachments of this batch may already be at the service; `--offline` did not look"
WORK = (*LOOKED_FOR, ActionKind.RETAG)


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What a plan is made of: the manifest's items, and what the ledger holds of them."""

    prepared: Prepared
    settings: Settings
    unfinished: Unfinished
    """The items that are not simply complete, and the number of those that are."""
    rows: BatchRows = field(default_factory=BatchRows)
    unplanned: Sequence[Known | None] = ()
    """The rows of attachments whose files cannot be sent; None for one that the ledger does not know."""
    lane: Lane | None = None
    attachments: Mapping[str, str | None] = field(default_factory=dict)
    """The identity tag of every attachment of the lane that the ledger knows, None for one without."""
    is_new: bool = True
    """Whether the ledger has never listed its lane: it may not know attachments of this batch that exist."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty if it does not."""
    rates: Sequence[RateRecord] = ()
    """The rates that runs have learned."""

    @property
    def items(self) -> int:
        """How many items there are, those that cannot be sent included."""
        return len(self.prepared.items) + len(self.unplanned)

    @property
    def absent(self) -> list[str]:
        """The attachments that an earlier run did not find, and that `upload` asks for once more."""
        return [row.attachment_id for row in self.rows.absent if row.attachment_id is not None]

    def plan(self, outlook: LaneOutlook) -> Plan:
        """Plan what can be sent. What the manifest may still list is no orphan."""
        is_part = self.prepared.manifest.part_of is not None or bool(self.prepared.unmatched)
        made = plan_unfinished(self.unfinished, self.rows, outlook, is_part=is_part)
        unread = {listed.item_id for listed, _ in self.prepared.unread}
        return replace(made, actions=tuple(each for each in made.actions if each.item_id not in unread))

    def states(self) -> Counter[State]:
        """Count every item of the manifest by its state."""
        rows = (*(shown_row(item, self.rows) for item in self.unfinished.items), *self.unplanned)
        states = Counter(State.PENDING if row is None else row.state for row in rows)
        states[State.COMPLETE] += self.unfinished.complete
        return +states

    def corrected(self, there: Sequence[Attachment]) -> "PlanInput":
        """Return the same with what exists after all: `upload` adopts it and asks for its status."""
        ids = {each.attachment_id for each in there}
        rows = (
            row._replace(state=State.PROCESSING, fault=None) if row.attachment_id in ids and is_absent(row) else row
            for row in self.rows.by_token.values()
        )
        return replace(self, rows=BatchRows.of(list(rows))) if ids else self

    def adopting(self, seen: Seen | None) -> "PlanInput":
        """Return the same with what `upload` will find at the service and adopt instead of creating it."""
        if seen is None or not seen.by_token:
            return self
        tries = carried_tries(self.unfinished.items, seen.by_token, self.rows)
        items = {each.client_token: each for each in tries if is_unsent(each, self.rows)}
        taken = [
            new_row(items[token])._replace(
                state=STATE_OF_STATUS[attachment.status],
                attachment_id=attachment.attachment_id,
                attachment_arn=attachment.attachment_arn,
                attachment_status=attachment.status,
            )
            for token, attachment in seen.by_token.items()
            if token in items
        ]
        tokens = {row.client_token for row in taken}
        rows = [row for row in self.rows.by_token.values() if row.client_token not in tokens]
        return replace(self, rows=BatchRows.of([*rows, *taken]))


@dataclass(frozen=True, slots=True)
class LaneAnswer:
    """What the service answered about the lane. Empty if it was not asked."""

    lane: Lane | None = None
    capacity: Capacity | None = None
    warning: str = ""
    """What could not be found out, and why."""
    found: Sequence[Attachment] = ()
    """Of the attachments that an earlier run did not find, those that are there after all."""
    seen: Seen | None = None
    """What a look through the lane found, for a ledger that has never listed it; None without a look."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Attempts on the wire, by operation."""
    throttled: int = 0

    @property
    def attachments(self) -> int | None:
        """How many attachments the lane holds, as it was counted or as the service says; None if not known."""
        if self.seen is not None:
            return self.seen.attachments
        return None if self.capacity is None else self.capacity.used


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What `upload` would do now."""

    plan: Plan
    """Of what `only_states` and `only_ids` choose."""
    answer: LaneAnswer
    summary: Summary
    """Counts every item of the manifest. Its exit is what `upload` would end with before it sends anything."""
    create_rate: float
    """Creates a second to expect."""
    latency_s: float | None
    """How long a create takes, from the last run; None if not known."""
    look: Cost | None
    """What the look through the lane before the first create takes at most; None if nothing is to be created."""
    refusal: str
    """Why `upload` refuses this ledger until `reconcile` has run; empty if it does not."""
    problems: Sequence[Problem]
    """Why `upload` sends nothing: files that cannot be sent, and globs that match none."""
    warnings: Sequence[Problem]
    """Of the manifest's files."""

    @property
    def has_work(self) -> bool:
        """Whether `upload` would send any request on behalf of an item."""
        return any(
            each.kind in WORK or (each.kind is ActionKind.UNCHANGED and each.state is State.PROCESSING)
            for each in self.plan.actions
        )


async def plan(
    manifest: str | Path,
    options: RunOptions | None = None,
    *,
    offline: bool = False,
    observer: Observer | None = None,
    ask: "Ask | None" = None,
) -> PlanResult:
    """Return what `upload` would do with a manifest now, and why. Changes nothing, here or at the service.

    The service is asked for the account and its capacity, and is looked through for a ledger that has never listed its
    lane; `offline` asks nothing and needs no credentials. `observer` gets the events of `events.py`. `ask` is called
    where a profile needs the code of an MFA device.

    Files that cannot be sent are in `result.problems`: then the plan is from the ledger alone. Raises ManifestInvalid
    for them where the ledger knows nothing, and for other problems; UsageError, LedgerUnusable, LedgerOfAnotherLane,
    AccessFault or NoAnswer.
    """
    started, wanted = counting_s(), options or RunOptions()

    def read() -> PlanInput:
        prepared, settings = ready_to_read(Path(manifest), wanted)
        check_only(settings, prepared)
        return read_plan_input(prepared, settings, whole=True)

    given = await to_thread.run_sync(read, abandon_on_cancel=True)
    is_asked = not offline and not given.prepared.problems
    answer = await ask_lane(given, observer or Silent(), ask=ask) if is_asked else None
    return planned(given, answer, started=started)


def read_plan_input(prepared: Prepared, settings: Settings, *, whole: bool) -> PlanInput:
    """Read what the ledger holds of a manifest. `whole`: also of items that nothing is done for. Blocking.

    Raises LedgerUnusable.
    """
    items, batch = prepared.items, prepared.manifest.batch
    reader = find_reader(settings.ledger)
    if reader is None:
        return PlanInput(prepared, settings, Unfinished(items=items), unplanned=(None,) * len(prepared.unread))
    with reader:
        if whole or prepared.problems:
            unfinished, rows = Unfinished(items=items), reader.known(batch)
        else:
            unfinished = unfinished_items(items, reader.compare(batch, tokens_of(items)))
            rows = reader.known_of_ids(batch, [*dict.fromkeys((*unfinished.ids, *unfinished.unlisted))])
        return PlanInput(
            prepared,
            settings,
            unfinished,
            BatchRows.of(rows),
            unplanned=unplanned(prepared, rows),
            lane=reader.lane(),
            attachments=reader.attachment_tokens(),
            is_new=reader.listed_at() is None,
            refusal=refusal_of(reader.runs(batch, limit=RUNS_LOOKED_AT)),
            rates=reader.rates(),
        )


async def ask_lane(given: PlanInput, observer: Observer, *, ask: "Ask | None" = None) -> LaneAnswer:
    """Ask the service what a plan needs to know: not needed if files cannot be sent, as `upload` sends nothing then.

    Ends at the deadline with what is known by then. Raises AccessFault, NoAnswer, UsageError.
    """
    from batch_upload.app.lane import reach  # imports the SDK, which a plan without the service does not need

    settings, tally = given.settings, Tally()
    answer = LaneAnswer(warning="no answer before the deadline: neither the account nor its capacity was looked at")
    reaching = reach(settings, Both(tally, observer), remembered=given.rates, reads_only=True, ask=ask)
    async with time_limit(settings.deadline_s, SystemClock()), reaching as reached:
        answer = await capacity_answer(reached)
        try:
            answer = replace(answer, found=await describe_found(reached, given.absent))
        except (Refused, Transient) as error:
            answer = replace(answer, warning=f"what was not found could not be looked for: {error.message}")
        if given.is_new and given.unfinished.items:
            try:
                seen = await look_through(reached, given.unfinished.items, answer.capacity, given.attachments)
                answer = replace(answer, seen=seen)
            except (AccessFault, Refused, Transient) as error:
                if isinstance(error, AccessFault) and error.code not in NOT_ALLOWED:
                    raise
                answer = replace(answer, warning=f"{NOT_LOOKED}: {error.message}")
    return replace(answer, requests=dict(tally.requests), throttled=tally.throttled)


async def capacity_answer(reached: "Reached") -> LaneAnswer:
    """Ask for the capacity of a lane; an answer has a warning instead if it cannot be known. Raises AccessFault."""
    try:
        capacity = await reached.wire.call(LIMITS, reached.service.capacity, policy=CONVENIENCE)
    except AccessFault as error:
        if error.code not in NOT_ALLOWED:
            raise
        warning = f"capacity is not known: no permission for `sms-voice:{LIMITS}`"
        return LaneAnswer(reached.lane, warning=warning)
    except ServiceError as error:
        return LaneAnswer(reached.lane, warning=f"capacity is not known: {error.message}")
    return LaneAnswer(reached.lane, capacity)


def planned(given: PlanInput, answer: LaneAnswer | None, *, started: float) -> PlanResult:
    """Plan from what ledger and service hold; `answer` is None where the service was not asked.

    `started` is the moment of `counting_s()` from which the elapsed time counts. Raises LedgerOfAnotherLane, and
    ManifestInvalid where files cannot be sent and the ledger does not know the lane.
    """
    prepared, settings = given.prepared, given.settings
    if prepared.problems and given.lane is None:
        raise invalid(prepared.manifest.path, prepared.problems)
    if answer is None:
        answer = LaneAnswer(warning=NOT_ASKED if given.is_new and given.unfinished.items else "")
    check_lane(given.lane, answer.lane, settings)
    given = given.corrected(answer.found).adopting(answer.seen)
    now = datetime.now(UTC)
    is_untold = answer.lane is not None and answer.capacity is None
    outlook = LaneOutlook(now, answer.capacity, State.PARKED in settings.only_states, is_untold)
    found = {} if answer.seen is None else answer.seen.by_token
    actions = (
        replace(each, reason=FOUND) if each.kind is ActionKind.UNCHANGED and each.client_token in found else each
        for each in given.plan(outlook).actions
    )
    whole = Plan(tuple(actions))
    selection = Selection(settings.only_states, settings.only_ids)
    chosen = whole
    if selection != Selection():
        chosen = Plan(tuple(each for each in whole.actions if selection.takes(each.item_id, each.state)))
    summary = replace(
        lane_summary(
            "plan",
            answer.lane or given.lane,
            given.states(),
            batch=prepared.manifest.batch,
            items=given.items,
            started=started,
            ending=exit_of(ExitCode.INVALID if prepared.problems else ExitCode.DONE),
        ),
        unchanged=whole.counts[ActionKind.UNCHANGED],
        requests=answer.requests,
        throttled=answer.throttled,
        warnings=len(prepared.warnings),
    )
    return PlanResult(
        chosen,
        answer,
        summary,
        create_rate=expected_create_rate(settings, given.rates, now=now),
        latency_s=remembered_latency_s(given.rates),
        look=look_cost(chosen, answer, given, now=now),
        refusal=given.refusal,
        problems=prepared.problems,
        warnings=prepared.warnings,
    )


def look_cost(made: Plan, answer: LaneAnswer, given: PlanInput, *, now: datetime) -> Cost | None:
    """Return what the look through the lane before the first create takes at most; None if nothing is created."""
    if answer.seen is None and not made.of(*LOOKED_FOR):
        return None
    paced = laws(given.settings, given.rates, now=now)
    attachments = answer.attachments
    cost = cost_of(
        None if attachments is None else Capacity(attachments, attachments),
        len(given.attachments),
        describes_per_s=paced[DESCRIBE].rate,
        reads_per_s=paced[LIST_TAGS].rate,
    )
    if cost.time_s is None:
        return cost
    return replace(cost, time_s=cost.time_s - 1 / paced[DESCRIBE].rate)  # the first page is asked for at once
