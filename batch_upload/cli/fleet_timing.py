"""What the verbs of `fleet` share: how soon a worker counts as dead, and the sentence without the extra."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import parse_duration
from batch_upload.errors import UsageError

if TYPE_CHECKING:
    from batch_upload.fleet.jobs import Timing

HEARTBEATS = 6
"""Heartbeats, and sweeps, in the time after which a worker without one is dead."""
POLL_MAX_S = 2.0
"""Between two looks for jobs, at most."""

DeadAfter = Annotated[
    str, typer.Option("--dead-after", metavar="30s", help="a worker without a heartbeat for so long is dead")
]


def timing_of(dead_after: str) -> "Timing":
    """Return the times of a fleet whose workers are dead after so long without a heartbeat. Raises UsageError."""
    with needs_fleet():
        from batch_upload.fleet.jobs import Timing

    try:
        dead_after_s = parse_duration(dead_after)
    except ValueError as error:
        raise UsageError(f"`--dead-after {dead_after}` is not a duration", hint="such as `30s`") from error
    if dead_after_s < 1:
        raise UsageError(f"`--dead-after {dead_after}` is below 1 s", hint="such as `30s`")
    every_s = dead_after_s / HEARTBEATS
    return Timing(every_s, dead_after_s, every_s, min(POLL_MAX_S, every_s))


@contextmanager
def needs_fleet() -> Iterator[None]:
    """Raise UsageError where what is within cannot be imported: the queue comes with an extra."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"`fleet` needs more than is installed ({error})",
            hint="install it with `pip install 'batch-upload[fleet]'`",
        ) from error
