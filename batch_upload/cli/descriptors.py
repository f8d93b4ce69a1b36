"""The limit of open files and sockets (RLIMIT_NOFILE), and how many requests at once fit into it."""

import resource
from dataclasses import replace

from batch_upload.cli.output import Output
from batch_upload.settings import Settings

WANTED = 4_096
"""What `--local` with the largest `--concurrency` (1,000) needs, rounded up."""
RESERVE = 40
"""Kept free for standard streams, event loop, ledger, lock, log, metrics, monitor, STS and imports. A run over AWS
keeps 14 of them open, one with `--local` 20 (counted on Linux, Python 3.11); the rest are open for a moment."""
A_CALL = 2
"""Descriptors of a request: its socket, and the document that is read meanwhile."""
A_LOCAL_CALL = 3
"""The same with `--local`: the emulator's end of the socket is in this process, too."""


def raise_limit() -> None:
    """Raise the soft limit of open files to WANTED, or to the hard limit if that is lower.

    The limit is the whole process's, and programs that we start inherit it. So only the command itself calls this.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit of its own beneath the hard one
        return


def fitting_concurrency(concurrency: int, *, limit: int, local: bool) -> int:
    """Return how many requests at once fit into a limit of open files: from 1 to `concurrency`."""
    return max(1, min(concurrency, (limit - RESERVE) // (A_LOCAL_CALL if local else A_CALL)))


def fit(settings: Settings, output: Output) -> Settings:
    """Lower `--concurrency` to what fits into the limit of open files, with a warning if that is less."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return settings
    fits = fitting_concurrency(settings.concurrency, limit=limit, local=settings.local)
    if fits < settings.concurrency:
        output.warn(
            f"`--concurrency {settings.concurrency}` needs more than the {limit} open files that are allowed: at most"
            f" {fits} requests are sent at once; allow more files with `ulimit -n`"
        )
    return replace(settings, concurrency=fits)
