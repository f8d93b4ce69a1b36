"""Several things at once: how they end when the run stops."""

import anyio
import pytest

from batch_upload.engine.groups import for_each
from batch_upload.engine.lane import Withheld


async def test_once_the_run_stops_what_has_begun_ends_and_nothing_else_begins() -> None:
    began: list[int] = []
    ended: list[int] = []
    may_end = anyio.Event()

    async def work(number: int) -> None:
        began.append(number)
        if number == 1:
            may_end.set()
            raise Withheld
        await may_end.wait()
        await anyio.lowlevel.checkpoint()
        ended.append(number)

    with pytest.raises(Withheld):
        await for_each(range(10), work, at_once=2)

    assert (began, ended) == ([0, 1], [0])
