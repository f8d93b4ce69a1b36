"""Limits of a process: none of our own descriptors left for a while, and commands that run under a limit."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import COMMAND

STANDARD_STREAMS = 3


@contextmanager
def no_descriptors() -> Iterator[None]:
    """While this lasts nothing can be opened in this process; `restore` may end it sooner."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (STANDARD_STREAMS, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def restore(_seconds: float = 0.0) -> None:
    """Let files be opened again."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def under(limit: str, value: int) -> tuple[str | Path, ...]:
    """The command under `ulimit -LIMIT VALUE`, soft and hard."""
    return ("sh", "-c", f'ulimit -{limit} {value} && exec "$@"', "sh", COMMAND)
