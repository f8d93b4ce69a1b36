"""Only what passes by itself is tried again, after a jittered wait that a stop ends."""

import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import anyio
import pytest

from batch_upload.engine.lane import LaneControl, Stop, StopKind, Withheld
from batch_upload.engine.retry import CONVENIENCE, RetryPolicy, Tries, Wire, outcome_of
from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    ChangedSincePlan,
    Disagreement,
    LaneLost,
    LedgerUnusable,
    NoAnswer,
    NotSent,
    OutOfResources,
    Refused,
    Throttled,
)
from batch_upload.events import Requested, Retrying
from batch_upload.model import Fault, OutcomeKind
from batch_upload.operations import CREATE, DESCRIBE
from batch_upload.pacing import FixedRate, Pacer
from tests.support.engine_world import Heard
from tests.support.manual_clock import ManualClock
from tests.support.recording_law import RecordingLaw

FINAL = [
    Refused("no"),
    ChangedSincePlan("changed"),
    AccessFault("no"),
    CapacityExhausted("full"),
    AccountFull("full"),
    Disagreement("no"),
    LedgerUnusable("full"),
    ValueError("ours"),
]


def wired(
    clock: ManualClock, heard: Heard, lane: LaneControl | None = None, *, seed: int = 1, rate: float = 1e4
) -> Wire:
    return Wire(
        {name: Pacer(FixedRate(rate), clock) for name in (CREATE, DESCRIBE)},
        lane=lane or LaneControl(),
        clock=clock,
        observer=heard,
        policy=RetryPolicy(),
        chance=random.Random(seed),
    )


def failing(*errors: Exception) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    """A request that raises these, one a call, and succeeds then; and how often it was called."""
    left, calls = list(errors), list[int]()

    async def request() -> str:
        calls.append(len(calls))
        if left:
            raise left.pop(0)
        return "answer"

    return request, calls


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
async def test_what_does_not_pass_by_itself_is_asked_once(clock: ManualClock, error: Exception) -> None:
    request, calls = failing(error)

    with pytest.raises(type(error)):
        await wired(clock, Heard()).call(DESCRIBE, request)

    assert len(calls) == 1
    assert clock.monotonic() == 0


async def test_throttles_and_lost_answers_are_tried_again_each_in_a_slot_of_its_own(clock: ManualClock) -> None:
    heard = Heard()
    request, calls = failing(Throttled("slow"), NoAnswer("lost"), Throttled("slow"))

    answer = await wired(clock, heard).call(DESCRIBE, request)

    assert (answer, len(calls)) == ("answer", 4)
    told = [event for event in heard.events if isinstance(event, Requested)]
    assert [event.outcome for event in told] == [
        OutcomeKind.THROTTLED, OutcomeKind.UNKNOWN, OutcomeKind.THROTTLED, OutcomeKind.ACCEPTED,
    ]  # fmt: skip
    assert len([event for event in heard.events if isinstance(event, Retrying)]) == 3


@pytest.mark.parametrize(
    ("error", "policy", "calls"),
    [
        (NoAnswer("lost"), RetryPolicy(), 10),
        (Throttled("slow"), RetryPolicy(), 100),
        (NoAnswer("lost"), CONVENIENCE, 3),
        (Throttled("slow"), CONVENIENCE, 5),
    ],
)
async def test_when_the_tries_are_used_up_the_last_error_is_raised(
    clock: ManualClock, error: Exception, policy: RetryPolicy, calls: int
) -> None:
    request, made = failing(*[error] * 1_000)

    with pytest.raises(type(error)):
        await wired(clock, Heard()).call(DESCRIBE, request, policy=policy)

    assert len(made) == calls


async def test_throttles_do_not_use_up_the_tries_of_lost_answers(clock: ManualClock) -> None:
    request, made = failing(*[Throttled("slow")] * 50, *[NoAnswer("lost")] * 9)

    await wired(clock, Heard()).call(DESCRIBE, request)

    assert len(made) == 60


@pytest.mark.parametrize("tries", range(1, 12))
def test_the_ceiling_of_the_wait_doubles_up_to_its_cap_and_the_first_throttle_waits_for_its_slot_alone(
    tries: int,
) -> None:
    policy = RetryPolicy()

    assert policy.ceiling_s(NoAnswer("lost"), tries) == min(20.0, 0.25 * 2**tries)
    assert policy.ceiling_s(Throttled("slow"), tries) == (0.0 if tries == 1 else min(5.0, 0.25 * 2 ** (tries - 1)))


async def test_waits_are_drawn_from_all_of_the_interval(clock: ManualClock) -> None:
    heard = Heard()
    for seed in range(60):
        request, _ = failing(NoAnswer("lost"))
        await wired(clock, heard, seed=seed).call(DESCRIBE, request)

    waits = sorted(event.delay_s for event in heard.events if isinstance(event, Retrying))
    assert 0 <= waits[0] < 0.1
    assert 0.4 < waits[-1] <= 0.5


async def test_what_the_service_asks_for_is_waited_at_least(clock: ManualClock) -> None:
    request, _ = failing(Throttled("slow", retry_after_s=40.0))

    await wired(clock, Heard()).call(DESCRIBE, request)

    assert 40 <= clock.monotonic() <= 41


@pytest.mark.parametrize("kind", [StopKind.SIGNAL, StopKind.ACCESS])
async def test_a_stop_ends_a_wait_between_tries(clock: ManualClock, kind: StopKind) -> None:
    lane = LaneControl()
    request, calls = failing(*[Throttled("slow", retry_after_s=1_000.0)] * 5)

    async with anyio.create_task_group() as group:

        async def stop() -> None:
            await clock.sleep(5)
            lane.stop_with(Stop(kind, Fault("x", "y")))

        group.start_soon(stop)
        with pytest.raises(Withheld):
            await wired(clock, Heard(), lane).call(DESCRIBE, request)

    assert (clock.monotonic(), len(calls)) == (5, 1)


async def test_a_slot_that_a_stop_overtakes_is_given_back_as_told_nothing(clock: ManualClock) -> None:
    lane = LaneControl()
    wire = wired(clock, Heard(), lane, rate=0.1)
    await wire.slot(CREATE)

    async with anyio.create_task_group() as group:

        async def stop() -> None:
            await clock.sleep(5)
            lane.stop_with(Stop(StopKind.DEADLINE, Fault("x", "y")))

        group.start_soon(stop)
        with pytest.raises(Withheld):
            await wire.slot(CREATE)

    assert clock.monotonic() == 5


async def test_a_request_that_is_cut_off_is_counted(clock: ManualClock) -> None:
    heard = Heard()

    async def hanging() -> str:
        await clock.sleep(1_000)
        return "late"

    with anyio.move_on_after(5):
        await wired(clock, heard).call(DESCRIBE, hanging)

    assert heard.tally.requests == {DESCRIBE: 1}


async def test_tries_go_on_where_they_were(clock: ManualClock) -> None:
    tries = Tries(unanswered=8)
    request, made = failing(*[NoAnswer("lost")] * 5)

    with pytest.raises(NoAnswer):
        await wired(clock, Heard()).retried(DESCRIBE, request, tries)

    assert len(made) == 2


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (None, "accepted"),
        (Refused("no"), "accepted"),
        (AccessFault("no"), "accepted"),
        (Throttled("slow"), "throttled None"),
        (Throttled("slow", retry_after_s=3.0), "throttled 3.0"),
        (NoAnswer("lost"), "unanswered"),
        (OutOfResources("no descriptor"), "unanswered"),
        (ValueError("ours"), "unanswered"),
    ],
    ids=repr,
)
async def test_the_law_learns_only_from_answers_and_a_refusal_counts_as_accepted(
    clock: ManualClock, error: Exception | None, report: str
) -> None:
    law = RecordingLaw(100)
    wire = Wire(
        {CREATE: Pacer(law, clock)},
        lane=LaneControl(),
        clock=clock,
        observer=Heard(),
        policy=RetryPolicy(),
        chance=random.Random(1),
    )
    request, _ = failing(*([error] if error else []))

    with pytest.raises(type(error)) if error else nullcontext():
        (await wire.send(CREATE, await wire.slot(CREATE), request)).result()

    assert law.reports == [(1, report)]


# the right to send to the lane


async def test_no_slot_is_given_until_requests_may_leave_to_the_lane_again(clock: ManualClock) -> None:
    until_s = 0.0
    wire = wired(clock, Heard())
    wire.send_while(lambda: until_s)
    request, calls = failing()

    async with anyio.create_task_group() as group:
        group.start_soon(wire.call, DESCRIBE, request)
        await clock.sleep(40)
        assert calls == []
        until_s = clock.monotonic() + 20

    assert len(calls) == 1
    assert clock.monotonic() == pytest.approx(40, abs=0.5)


async def test_a_run_that_stops_does_not_wait_until_requests_may_leave(clock: ManualClock) -> None:
    lane = LaneControl()
    wire = wired(clock, Heard(), lane)
    wire.send_while(lambda: 0.0)

    async with anyio.create_task_group() as group:

        async def ends() -> None:
            with pytest.raises(Withheld):
                await wire.slot(CREATE)

        group.start_soon(ends)
        await clock.sleep(1)
        lane.stop_with(Stop(StopKind.DEADLINE, Fault("Deadline", "over")))

    assert clock.monotonic() == pytest.approx(1, abs=0.1)


async def test_a_lane_that_was_taken_over_ends_the_wait_for_a_slot(clock: ManualClock) -> None:
    wire = wired(clock, Heard())

    def lost() -> float:
        raise LaneLost("another run has taken it over", pid=None, host=None, since=None)

    wire.send_while(lost)

    with pytest.raises(LaneLost):
        await wire.slot(DESCRIBE)


async def test_what_was_not_sent_since_the_right_had_lapsed_is_withdrawn_and_tried_again(clock: ManualClock) -> None:
    heard = Heard()
    request, calls = failing(NotSent("not sent", code="RightLapsed"))

    await wired(clock, heard).call(DESCRIBE, request)

    assert len(calls) == 2
    assert [event.outcome for event in heard.events if isinstance(event, Requested)] == [OutcomeKind.ACCEPTED]
    assert outcome_of(NotSent("not sent"), clock.now()).kind is OutcomeKind.WITHDRAWN
