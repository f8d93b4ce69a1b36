"""`plan`: what `upload` would do now, and what that takes. Changes nothing, also while a run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from batch_upload.actions import ActionKind, Plan
from batch_upload.app.choice import check_only, ready_to_plan
from batch_upload.app.exits import exit_with_invalid, lane_summary, summary_of_lanes
from batch_upload.app.items import invalid
from batch_upload.app.lanes import (
    LaneOutcome,
    SharedAccess,
    counted_requests,
    error_exit,
    in_each_lane,
    one_at_a_time,
    shared_access,
)
from batch_upload.app.ledger_view import check_lane
from batch_upload.app.observers import Both, Silent, observer_of_lane
from batch_upload.app.plan_input import PlanInput, read_plan_inputs
from batch_upload.app.rates import expected_create_rate, laws, remembered_latency_s
from batch_upload.app.registrations import look_at, registration_reads
from batch_upload.app.sendable import Prepared
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.binding import NO_REGISTRATIONS
from batch_upload.engine.groups import time_limit
from batch_upload.engine.listing import Cost, cost_of, describe_found
from batch_upload.engine.plan import LaneOutlook, Selection
from batch_upload.engine.registrations import RegistrationLook
from batch_upload.engine.retry import CONVENIENCE, NOT_ALLOWED
from batch_upload.engine.survey import Seen, look_through
from batch_upload.engine.tally import Tally
from batch_upload.errors import (
    AccessFault,
    BatchUploadError,
    ExitCode,
    LedgerOfAnotherLane,
    Refused,
    ServiceError,
    Transient,
)
from batch_upload.model import Attachment, Capacity, Lane, Problem, State
from batch_upload.operations import DESCRIBE, LIMITS, LIST_TAGS, PUT_FIELD
from batch_upload.ports import Observer
from batch_upload.settings import RunOptions
from batch_upload.summary import Summary, exit_of

if TYPE_CHECKING:
    from batch_upload.app.lane import Reached
    from batch_upload.service.access import Ask

FOUND = "found at the service"
LOOKED_FOR = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE)
"""What `upload` looks through the lane for."""
NOT_LOOKED = "this ledger is new, and attachments of this batch that are at the service could not be looked for"
NOT_ASKED = "this ledger is new: attachments of this batch may already be at the service; `--offline` did not look"
NOT_LOOKED_AT = "what `bind` names could not be checked"
WORK = (*LOOKED_FOR, ActionKind.RETAG, ActionKind.BIND)


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
    registrations: RegistrationLook | None = None
    """What a look at the registrations found that items are bound to; None without a look."""
    notices: tuple[str, ...] = ()
    """What that look could not find out."""
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
    """Why `upload` sends nothing: files that cannot be sent, globs that match none, and `bind`s without a field. With
    `skip_invalid` what it leaves out."""
    warnings: Sequence[Problem]
    """Of the manifest's files."""
    put_rate: float = 1.0
    """Attachments a second to expect that are put into fields."""
    registration_reads: Mapping[str, int] = field(default_factory=dict)
    """The calls of `upload`'s look at registrations, by operation. Empty if nothing is to be bound."""
    lanes: Sequence[LaneOutcome["PlanResult"]] = ()
    """Of a manifest with `targets`, the plan of each lane; where a lane was not reached, from the ledger alone. `plan`,
    `answer.requests`, `summary` and `create_rate` are then those of all lanes together."""

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

    def read() -> tuple[Prepared, list[PlanInput]]:
        prepared, settings = ready_to_plan(Path(manifest), wanted)
        check_only(settings, prepared)
        return prepared, read_plan_inputs(prepared, settings, whole=True)

    prepared, given = await to_thread.run_sync(read, abandon_on_cancel=True)
    is_asked = not offline and not prepared.stops
    answers = await ask_lanes(given, observer or Silent(), ask=ask) if is_asked else [None] * len(given)
    return planned(prepared, given, answers, started=started)


LanePlanAnswer = LaneAnswer | BatchUploadError | None
"""What a lane answered, the error for which it did not, or None where it was not asked."""


async def ask_lanes(
    given: Sequence[PlanInput], observer: Observer, *, ask: "Ask | None" = None
) -> Sequence[LanePlanAnswer]:
    """Ask every lane what a plan needs to know, side by side: all of it takes as long as the slowest lane.

    Ends at the deadline with what is known by then. Raises as `in_each_lane`.
    """
    began, asking = counting_s(), one_at_a_time(ask)
    async with shared_access(given) as shared:

        async def one(each: PlanInput) -> LaneAnswer:
            deadline_s, listener = each.settings.deadline_s, observer_of_lane(each.target, observer)
            left_s = None if deadline_s is None else max(0.0, deadline_s - (counting_s() - began))
            return await ask_lane(each, listener, ask=asking, limit_s=left_s, shared=shared)

        return await in_each_lane(given, one)


async def ask_lane(
    given: PlanInput, observer: Observer, *, ask: "Ask | None", limit_s: float | None, shared: SharedAccess
) -> LaneAnswer:
    """Ask one lane: for its account and capacity, and a look through it if its ledger is new.

    Returns after `limit_s` seconds with what is known by then. Raises AccessFault, NoAnswer, UsageError.
    """
    from batch_upload.app.lane import reach  # imports the SDK, which a plan without the service does not need

    tally = Tally()
    answer = LaneAnswer(warning="no answer before the deadline: neither the account nor its capacity was looked at")
    reaching = reach(
        given.settings,
        Both(tally, observer),
        remembered=given.rates,
        reads_only=True,
        ask=ask,
        accounts=shared.accounts,
        local_url=shared.local_url,
    )
    try:
        async with time_limit(limit_s, SystemClock()), reaching as reached:
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
            if items := given.items_to_look_at:
                notices: list[str] = []
                try:
                    look = await look_at(reached, items, given.bound, given.definitions, notice=notices.append)
                    answer = replace(answer, registrations=look)
                except Transient as error:
                    notices.append(f"{NOT_LOOKED_AT}: {error.message}")
                answer = replace(answer, notices=tuple(notices))
    except BatchUploadError as error:
        error.summary = counted_requests("plan", error, tally)
        raise
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


def planned(
    prepared: Prepared, given: Sequence[PlanInput], answers: Sequence[LanePlanAnswer], *, started: float
) -> PlanResult:
    """Plan from what ledger and service hold of each lane.

    `started` is the moment of `counting_s()` from which the elapsed time counts. Raises ManifestInvalid where files
    cannot be sent and the ledger knows no lane, and LedgerOfAnotherLane for a manifest without `targets`.
    """
    if prepared.stops and all(each.lane is None for each in given):
        raise invalid(
            prepared.manifest.path,
            prepared.problems,
            is_strict=any(each.part.settings.strict for each in given),
            is_skippable=bool(prepared.items),
        )
    if not prepared.manifest.targets:
        (only,), (answer,) = given, answers
        if isinstance(answer, BatchUploadError):
            raise answer
        return planned_lane(only, answer, started=started)
    lanes = [_lane_outcome(each, answer, started=started) for each, answer in zip(given, answers, strict=True)]
    results = [lane.value for lane in lanes]
    counted = summary_of_lanes(
        "plan",
        [(lane.target, lane.value.summary) for lane in lanes],
        batch=prepared.manifest.batch,
        elapsed_s=counting_s() - started,
    )
    ending = exit_of(ExitCode.INVALID) if prepared.stops else counted.exit
    problems = dict.fromkeys((*prepared.problems, *(problem for each in results for problem in each.problems)))
    return PlanResult(
        Plan(
            tuple(action for each in results for action in each.plan.actions),
            sum(each.plan.complete for each in results),
            sum(each.plan.more_orphans for each in results),
        ),
        LaneAnswer(requests=counted.requests, throttled=counted.throttled),
        replace(counted, exit=ending, warnings=len(prepared.warnings)),
        create_rate=sum(each.create_rate for each in results),
        latency_s=None,
        look=None,
        refusal=next((each.refusal for each in results if each.refusal), ""),
        problems=tuple(problems),
        warnings=prepared.warnings,
        lanes=lanes,
    )


def _lane_outcome(given: PlanInput, answer: LanePlanAnswer, *, started: float) -> LaneOutcome[PlanResult]:
    """Plan one lane of several: from the ledger alone if the lane was not reached, or is not the ledger's."""
    if not isinstance(answer, BatchUploadError):
        try:
            return LaneOutcome(given.target, planned_lane(given, answer, started=started))
        except LedgerOfAnotherLane as error:
            answer = error
    sent = answer.summary or Summary(verb="plan", exit=error_exit(answer))
    unreached = LaneAnswer(warning=answer.message, requests=sent.requests, throttled=sent.throttled)
    result = planned_lane(given, unreached, started=started)
    result = replace(result, summary=replace(result.summary, exit=error_exit(answer)))
    return LaneOutcome(given.target, result, answer)


def planned_lane(given: PlanInput, answer: LaneAnswer | None, *, started: float) -> PlanResult:
    """Plan one lane; `answer` is None where the service was not asked. Raises LedgerOfAnotherLane."""
    prepared, settings = given.prepared, given.settings
    if answer is None:
        answer = LaneAnswer(warning=NOT_ASKED if given.is_new and given.unfinished.items else "")
    check_lane(given.lane, answer.lane, settings)
    given = given.corrected(answer.found).adopting(answer.seen)
    registrations = NO_REGISTRATIONS
    if answer.registrations is not None:
        given, registrations = given.looked_at(answer.registrations), answer.registrations.registrations
        prepared = given.prepared
    now = datetime.now(UTC)
    is_untold = answer.lane is not None and answer.capacity is None
    outlook = LaneOutlook(now, answer.capacity, State.PARKED in settings.only_states, is_untold, registrations)
    found = {} if answer.seen is None else answer.seen.by_token
    made = given.plan(outlook)
    actions = (
        replace(each, reason=FOUND) if each.kind is ActionKind.UNCHANGED and each.client_token in found else each
        for each in made.actions
    )
    whole = replace(made, actions=tuple(actions))
    selection = Selection(settings.only_states, settings.only_ids)
    chosen = whole
    if selection != Selection():
        chosen = Plan(tuple(each for each in whole.actions if selection.takes(each.item_id, each.state)))
    ending = exit_with_invalid(exit_of(ExitCode.DONE), len(prepared.unread))
    if prepared.stops:
        ending = exit_of(ExitCode.INVALID)
    summary = replace(
        lane_summary(
            "plan",
            answer.lane or given.lane,
            given.states(),
            batch=prepared.manifest.batch,
            items=given.items,
            started=started,
            ending=ending,
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
        put_rate=laws(settings, given.rates, now=now)[PUT_FIELD].rate,
        registration_reads=registration_reads(answer.requests) if given.items_to_look_at else {},
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
