"""The programs of docs/pacing-library.md run, and do what the page says."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from batch_upload.pacing import FixedRate, LearnedRate, SettlingSchedule
from tests.support.bucket_simulation import TokenBucket
from tests.support.manual_clock import ManualClock

PAGE = Path(__file__).parents[3] / "docs" / "pacing-library.md"
HOUR_S = 3_600.0


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the blocks of the page define."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(block, names)  # noqa: S102 - our own page
    return names


def request_to(
    bucket: TokenBucket, clock: ManualClock, refusal: type[Exception], sent: list[bool]
) -> Callable[[], Awaitable[None]]:
    """A request of 20 ms to a service with this limiter; `sent` collects whether it was admitted."""

    async def request() -> None:
        await clock.sleep(0.01)
        sent.append(bucket.admits(clock.monotonic()))
        await clock.sleep(0.01)
        if not sent[-1]:
            raise refusal

    return request


async def test_a_program_sends_everything_near_the_rate_and_the_next_run_starts_there(
    page: dict[str, Any], clock: ManualClock
) -> None:
    bucket, sent, law = TokenBucket(20, 5), list[bool](), LearnedRate(1.0)
    requests = [request_to(bucket, clock, page["TooManyRequests"], sent) for _ in range(400)]

    await page["send_all"](requests, law, clock)

    assert sum(sent) == 400
    assert len(sent) <= 1.03 * 400
    assert clock.monotonic() <= 1.15 * (400 - 5) / 20
    again = page["restored"](page["saved"](law), HOUR_S)
    assert again.rate == law.rate == pytest.approx(20, rel=0.05)


async def test_an_error_that_is_no_throttle_leaves_the_loop_and_frees_the_slot(
    page: dict[str, Any], clock: ManualClock
) -> None:
    async def failing() -> None:
        raise ConnectionError

    with pytest.raises(ExceptionGroup) as raised:
        await page["send_all"]([failing], LearnedRate(1.0), clock)

    assert raised.group_contains(ConnectionError)


def test_a_law_that_met_no_throttle_is_saved_as_null_and_starts_anew(page: dict[str, Any]) -> None:
    text = page["saved"](LearnedRate(5.0))

    assert json.loads(text) is None
    assert page["restored"](text, 0.0).rate == 1.0


def test_a_loop_without_a_pacer_keeps_the_rate(page: dict[str, Any]) -> None:
    now, sent = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def request() -> bool:
        sent.append(now[0])
        return True

    page["send_in_turn"]([request] * 4, FixedRate(2.0), lambda: now[0], sleep, lambda answer: not answer)

    assert sent == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_a_program_that_asks_for_the_ends_knows_them_soon_and_asks_seldom(page: dict[str, Any]) -> None:
    now, ends, calls = [0.0], {str(number): 12.0 + number for number in range(20)}, list[float]()
    schedule = SettlingSchedule()
    for item, end in ends.items():
        schedule.sent(end - 12.0, item)

    def is_finished(ids: Sequence[str]) -> dict[str, bool]:
        now[0] += 0.5
        calls.append(now[0])
        return {item: ends[item] <= now[0] for item in ids}

    now[0] = 19.0
    page["settle"](schedule, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds), is_finished)

    assert max(ends.values()) <= now[0] <= max(ends.values()) + 2.5
    assert len(calls) <= 25
