"""One decision of several lanes, whatever becomes of each of them."""

from collections.abc import Mapping

import anyio
import pytest
from anyio.lowlevel import checkpoint

from batch_upload.app.joint_decision import JointDecision
from batch_upload.errors import UsageError

LANES = ("acme/us-east-1", "beta/us-east-1")


class Decider:
    """Decides when `answer` is set. `asked` has what it was asked with."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str | None, int]] = []
        self.answer = anyio.Event()

    async def __call__(self, found: Mapping[str | None, int]) -> bool:
        self.asked.append(dict(found))
        await self.answer.wait()
        return True


def decision_of(decide: Decider) -> JointDecision[int]:
    made = JointDecision(decide)
    for label in LANES:
        made.expect(label)
    return made


async def checkpoints() -> None:
    """Let every other task go on as far as it can."""
    for _ in range(10):
        await checkpoint()


async def test_it_is_made_once_over_what_all_lanes_found_and_every_lane_gets_it() -> None:
    decide, agreed = Decider(), list[bool]()
    decision = decision_of(decide)
    decide.answer.set()

    async def lane(label: str, found: int) -> None:
        agreed.append(await decision.of(label, found))

    async with anyio.create_task_group() as group:
        for number, label in enumerate(LANES):
            group.start_soon(lane, label, number)

    assert (decide.asked, agreed) == ([{LANES[0]: 0, LANES[1]: 1}], [True, True])


async def test_without_the_lanes_that_ended_before_it_is_made_of_the_others() -> None:
    decide = Decider()
    decision = decision_of(decide)
    decide.answer.set()
    decision.leave(LANES[1])
    decision.leave(LANES[1])

    assert await decision.of(LANES[0], 7)
    assert decide.asked == [{LANES[0]: 7}]


async def test_where_every_lane_ended_before_there_is_none() -> None:
    decide = Decider()
    decision = decision_of(decide)

    for label in LANES:
        decision.leave(label)
    await checkpoints()

    assert decide.asked == []


async def test_an_interruption_ends_the_question_that_a_lane_which_ended_has_brought_about() -> None:
    decide = Decider()
    decision = decision_of(decide)

    async with anyio.create_task_group() as group:
        group.start_soon(decision.of, LANES[0], 1)
        await checkpoints()
        decision.leave(LANES[1])
        await checkpoints()
        group.cancel_scope.cancel()

    assert decide.asked == [{LANES[0]: 1}]


async def test_a_lane_whose_time_is_up_while_it_asks_does_not_answer_for_the_others() -> None:
    decide, agreed = Decider(), list[bool]()
    decision = decision_of(decide)
    scopes = {label: anyio.CancelScope() for label in LANES}

    async def lane(label: str) -> None:
        with scopes[label]:
            agreed.append(await decision.of(label, 1))

    async with anyio.create_task_group() as group:
        for label in LANES:
            group.start_soon(lane, label)
        await checkpoints()
        for label in LANES:
            scopes[label].cancel()
            await checkpoints()

    assert (len(decide.asked), agreed) == (1, [])


async def test_an_error_of_the_decision_is_raised_in_every_lane() -> None:
    async def refuse(_: Mapping[str | None, int]) -> bool:
        raise UsageError("too many")

    decision, raised = JointDecision(refuse), list[str]()
    for label in LANES:
        decision.expect(label)

    async def lane(label: str) -> None:
        with pytest.raises(UsageError, match="too many"):
            await decision.of(label, 1)
        raised.append(label)

    async with anyio.create_task_group() as group:
        for label in LANES:
            group.start_soon(lane, label)

    assert sorted(raised) == sorted(LANES)
