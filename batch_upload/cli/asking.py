"""Questions to a person at the terminal, which signals and deadlines can end."""

import sys

import anyio


def can_ask() -> bool:
    """Whether there is somebody to ask: both ways go to a terminal."""
    return sys.stdin is not None and sys.stderr is not None and sys.stdin.isatty() and sys.stderr.isatty()


async def ask(question: str) -> str:
    """Ask on the terminal; the line that was typed, without its end. Raises EOFError where none came that is text.

    The wait can be cancelled: the terminal hands a line over only when it is complete.
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


async def is_agreed(question: str) -> bool:
    """Ask on the terminal. Anything but a yes is a no."""
    try:
        return (await ask(f"{question} [y/N] ")).strip().lower() in ("y", "yes")
    except EOFError:
        return False
