"""How many files and sockets this process may have open (RLIMIT_NOFILE), and what fits into that."""

import resource
from dataclasses import replace

from batch_upload.cli.output import Output
from batch_upload.settings import Settings

WANTED = 4_096
"""Descriptors that the largest `--concurrency`, 1,000, can use with `--local`, rounded up."""
RESERVE = 40
"""Kept for all but calls: standard streams, event loop, ledger, lock, log, metrics, a monitor, identity, imports. A run
over AWS has 14 open, one with `--local` 20 (counted on Linux, Python 3.11); the rest is open for a moment."""
A_CALL = 2
"""A socket, and the document that is read meanwhile."""
A_LOCAL_CALL = 3
"""With `--local` the other end of the socket is in this process, too."""


def raise_limit() -> None:
    """Raise the soft limit of open files to WANTED, as far as the hard limit lets us. A process-wide effect, which
    programs that are started from here inherit: so the command does it, and nothing beneath it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit of its own beneath the hard one
        return


def fitting_concurrency(concurrency: int, *, limit: int, local: bool) -> int:
    """As many calls at once as fit into a limit of open files beside RESERVE, at least 1 and at most `concurrency`."""
    return max(1, min(concurrency, (limit - RESERVE) // (A_LOCAL_CALL if local else A_CALL)))


def fit(settings: Settings, output: Output) -> Settings:
    """The settings with a `--concurrency` that fits into the limit of open files. Says so where it is less."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return settings
    fits = fitting_concurrency(settings.concurrency, limit=limit, local=settings.local)
    if fits < settings.concurrency:
        output.warn(
            f"{settings.concurrency} calls at once do not fit into the limit of {limit} open files: at most {fits} are"
            " made at once; raise it with `ulimit -n`"
        )
    return replace(settings, concurrency=fits)
