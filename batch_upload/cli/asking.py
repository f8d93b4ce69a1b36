"""Questions to the person at the terminal; signals and deadlines can end the wait."""

import sys
from collections.abc import Awaitable, Callable

import anyio

from batch_upload.words import count_words

MANY_LANES = 10
"""Lanes that a first run may have without a question."""


def can_ask() -> bool:
    """Whether a person can be asked: standard input and standard error are a terminal."""
    return sys.stdin is not None and sys.stderr is not None and sys.stdin.isatty() and sys.stderr.isatty()


async def ask(question: str) -> str:
    """Ask on the terminal and return the typed line without its line end.

    Raises EOFError if the terminal is closed or the answer is not text. The wait can be cancelled: the terminal
    delivers a line only when it is complete.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    await anyio.wait_readable(sys.stdin)
    try:
        line = sys.stdin.readline()
    except (OSError, UnicodeDecodeError) as error:  # the terminal was closed, or the answer is no text
        raise EOFError from error
    if not line:
        raise EOFError
    return line.rstrip("\n")


def asker() -> Callable[[str], Awaitable[str]] | None:
    """Return `ask` if a person can be asked, else None."""
    return ask if can_ask() else None


async def is_agreed(question: str) -> bool:
    """Ask a yes-or-no question on the terminal; return True only for `y` or `yes`."""
    try:
        return (await ask(f"{question} [y/N] ")).strip().lower() in ("y", "yes")
    except EOFError:
        return False


async def is_first_run_agreed(count_new_lanes: Callable[[], int], items: int, *, yes: bool) -> bool:
    """Return whether a run may begin. `count_new_lanes` is `app.lanes.new_lanes`, called only if a person can be asked.

    A person at the terminal is asked if there are more than MANY_LANES; not with `yes`, and not without a terminal.
    """
    if yes or not can_ask() or (lanes := count_new_lanes()) <= MANY_LANES:
        return True
    return await is_agreed(f"first run over {lanes:,} lanes, {count_words(items, 'item')}: `plan` lists them; go on?")
