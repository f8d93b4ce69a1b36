"""Questions to the person at the terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from batch_upload.cli.asking import MANY_LANES, is_first_run_agreed


@contextmanager
def terminal() -> Iterator[int]:
    """Make standard input and standard error a terminal; yields the end at which a person is."""
    person, ours = os.openpty()
    with (
        os.fdopen(os.dup(ours), encoding="utf-8") as stdin,
        os.fdopen(ours, "w", encoding="utf-8") as stderr,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stderr", stderr)
        yield person
    os.close(person)


@pytest.mark.parametrize("answer", ["y", "yes", "n", ""])
async def test_a_first_run_over_many_lanes_is_confirmed_by_the_person_at_the_terminal(answer: str) -> None:
    with terminal() as person:
        os.write(person, f"{answer}\n".encode())
        agreed = await is_first_run_agreed(lambda: MANY_LANES + 1, 240, yes=False)
        shown = b""
        while b"[y/N]" not in shown:  # behind the echo of the answer
            shown += os.read(person, 4_096)

    assert agreed is (answer in ("y", "yes"))
    assert b"11 lanes, 240 items" in shown


async def test_there_is_no_question_for_few_lanes_or_with_yes() -> None:
    with terminal():
        few = await is_first_run_agreed(lambda: MANY_LANES, 240, yes=False)
        sure = await is_first_run_agreed(lambda: MANY_LANES + 1, 240, yes=True)

    assert (few, sure) == (True, True)


async def test_there_is_no_question_without_a_terminal() -> None:
    assert await is_first_run_agreed(lambda: MANY_LANES + 1, 240, yes=False)
