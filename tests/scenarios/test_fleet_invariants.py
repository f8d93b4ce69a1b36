"""The checks of shared lanes have teeth: each of them finds a history that is broken in its own way, and only that."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.fleet_history import History, Item, Request, Write
from tests.support.fleet_invariants import assert_done, assert_history, assert_no_secret, longest_pause_s

LANE = "111122223333/us-east-1"
BEGAN = datetime(2026, 11, 27, tzinfo=UTC)


def at(second: float) -> datetime:
    return BEGAN + timedelta(seconds=second)


def group(number: int, second: float, *, fence: int = 1, holder: str = "a", token: str | None = None) -> list[Write]:
    """A transaction that is the lane's `number`-th, and notes an intent for `token`."""
    writes = [Write(number, "lane", LANE, None, fence, number, holder, at(second))]
    if token is not None:
        writes.append(Write(number, "attempt", LANE, token, None, None, None, at(second)))
        writes.append(Write(number, "item", LANE, token, None, None, None, at(second)))
    return writes


def attachment(token: str, number: int = 0) -> dict[str, str]:
    account, _, region = LANE.partition("/")
    named = {"account": account, "region": region, "client_token": token}
    return {**named, "id": f"of-{token}-{number}", "status": "UPLOAD_COMPLETE"}


def history(*writes: Sequence[Write], creates: Sequence[Request] | None = None) -> History:
    """Two tokens, one create each at 1 a second; the second by the holder that took the lane over."""
    told = writes or (group(1, 0), group(2, 1, token="t1"), group(3, 2, fence=2, holder="b", token="t2"))
    made = [Request(at(1.1), LANE, "t1", "accepted"), Request(at(2.1), LANE, "t2", "accepted")]
    return History(
        [write for each in told for write in each],
        made if creates is None else creates,
        [Item(LANE, token, token, "complete", f"of-{token}-0") for token in ("t1", "t2")],
        [attachment("t1"), attachment("t2")],
    )


def test_a_history_as_it_should_be_passes() -> None:
    assert_history(history(), rate=1)
    assert_done(history(), {LANE: 2})


def test_a_token_that_has_two_attachments_is_found() -> None:
    broken = replace(history(), held=[*history().held, attachment("t1", 1)])

    with pytest.raises(AssertionError, match="t1"):
        assert_history(broken)


def test_a_complete_item_that_the_service_does_not_hold_is_found() -> None:
    with pytest.raises(AssertionError, match="of-t2"):
        assert_history(replace(history(), held=[attachment("t1")]))


def test_an_item_with_two_rows_is_found() -> None:
    with pytest.raises(AssertionError, match="t1"):
        assert_history(replace(history(), items=[*history().items, history().items[0]]))


def test_a_create_before_its_intent_is_found() -> None:
    early = [Request(at(0.9), LANE, "t1", "accepted")]

    with pytest.raises(AssertionError, match="after 0 intents"):
        assert_history(history(creates=early))


def test_a_second_create_of_one_intent_is_found() -> None:
    twice = [Request(at(second), LANE, "t1", "replayed") for second in (1.1, 3.1)]

    with pytest.raises(AssertionError, match="create 2 came"):
        assert_history(history(creates=twice))


def test_a_create_whose_intent_a_failover_lost_is_no_fault() -> None:
    unknown = [*history().creates, Request(at(4), LANE, "t3", "accepted")]

    assert_history(history(creates=unknown), lost=frozenset({"t3"}))
    with pytest.raises(AssertionError, match="t3"):
        assert_history(history(creates=unknown))


def test_a_write_without_a_fence_is_found() -> None:
    unfenced = group(2, 1, token="t1")[1:]

    with pytest.raises(AssertionError, match="not fenced"):
        assert_history(history(group(1, 0), unfenced, group(3, 2, fence=2, holder="b", token="t2")))


def test_a_write_with_an_old_fence_is_found() -> None:
    woken = group(4, 3, fence=1)

    with pytest.raises(AssertionError, match="after fence 2"):
        assert_history(
            history(*[group(1, 0), group(2, 1, token="t1"), group(3, 2, fence=2, holder="b", token="t2")], woken)
        )


def test_two_holders_of_one_fence_number_are_found() -> None:
    other = group(4, 3, fence=2, holder="c")

    with pytest.raises(AssertionError, match="two holders"):
        assert_history(
            history(*[group(1, 0), group(2, 1, token="t1"), group(3, 2, fence=2, holder="b", token="t2")], other)
        )


def test_a_commit_that_is_counted_twice_or_not_at_all_is_found() -> None:
    skipped = group(5, 3, fence=2, holder="b")

    with pytest.raises(AssertionError, match="after 3"):
        assert_history(
            history(*[group(1, 0), group(2, 1, token="t1"), group(3, 2, fence=2, holder="b", token="t2")], skipped)
        )


def test_controllers_that_together_are_too_fast_are_found() -> None:
    writes = [group(number + 1, number / 10, token=f"t{number}") for number in range(10)]
    creates = [Request(at(number / 10 + 0.05), LANE, f"t{number}", "accepted") for number in range(10)]

    assert_history(history(*writes, creates=creates), rate=10)
    with pytest.raises(AssertionError, match="creates in"):
        assert_history(history(*writes, creates=creates), rate=2)


def test_items_that_are_not_done_or_not_there_are_found() -> None:
    with pytest.raises(AssertionError):
        assert_done(history(), {LANE: 3})
    with pytest.raises(AssertionError):
        assert_done(replace(history(), items=[replace(each, state="sending") for each in history().items]), {LANE: 2})
    with pytest.raises(AssertionError):
        assert_done(replace(history(), held=[attachment("t1"), attachment("t1", 1)]), {LANE: 2})


def test_a_secret_in_a_text_is_found() -> None:
    assert_no_secret({"log": "nothing"}, ["hush"])
    with pytest.raises(AssertionError, match="job"):
        assert_no_secret({"log": "nothing", "job": "a hush b"}, ["hush"])


def test_the_longest_pause_of_a_lane_is_between_two_creates() -> None:
    assert longest_pause_s(history(), LANE) == pytest.approx(1.0)
