"""What the command sets for its whole process and a library must not: names of files, memory, open files, loggers."""

import io
import logging
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace

from batch_upload.settings import Settings

COLLECTED_AFTER = 10_000
"""New objects after which the garbage collector looks for cycles, instead of Python's 700. What is imported stays: at
700 the collector takes 7 % of a start with the SDK or SQLAlchemy. At 10,000 it takes 1 % of reading 400,000 entries."""
OPEN_FILES_WANTED = 4_096
"""What `--local` with the largest `--concurrency` (1,000) needs, rounded up."""
OPEN_FILES_RESERVED = 40
"""Kept free for standard streams, event loop, ledger, lock, log, metrics, monitor, STS and imports. A run over AWS
keeps 14 of them open, one with `--local` 20 (counted on Linux, Python 3.11); the rest are open for a moment."""
FILES_PER_CALL = 2
"""Descriptors of a request: its socket, and the document that is read meanwhile."""
FILES_PER_LOCAL_CALL = 3
"""The same with `--local`: the emulator's end of the socket is in this process, too."""
LARGEST_FREED_BYTES = 16 * 1024 * 1024
"""glibc then keeps twice as much at most in each of its arenas; it ignores a piece above 32 MiB."""
LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "urllib3", "boto3", "s3transfer", "asyncio", "sqlalchemy")
"""At DEBUG botocore prints the session token and the whole document."""
_PRINTED_AS = "printed_as"
"""Our own `-X` option: the encoding of what is printed, for the process that starts again."""


def demand_utf8_names() -> None:
    """Start this command again in Python's UTF-8 mode if the locale gives names of files another encoding.

    Manifests are UTF-8, and so are the names in them. Python encodes names by the locale (PEP 383), which is decided
    once, at its start (PEP 540). The process keeps its id, environment, descriptors and working folder; what is
    printed keeps the locale's encoding. Does nothing in the locales with UTF-8, and in C and POSIX.
    """

    def as_utf8(word: str) -> bytes:
        """An argument for UTF-8 mode: its own bytes if they name a file or are UTF-8, else its text in UTF-8."""
        typed = os.fsencode(word)
        if os.path.lexists(typed):
            return typed
        try:
            typed.decode("utf-8")
        except UnicodeDecodeError:
            return word.encode("utf-8", "surrogateescape")
        return typed

    options = sys._xoptions
    if _PRINTED_AS in options:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=str(options[_PRINTED_AS]), errors="backslashreplace")
    elif sys.getfilesystemencoding() != "utf-8" and "utf8" not in options and sys.executable:
        printed_as = sys.stdout.encoding if sys.stdout else "utf-8"
        words = [sys.executable, "-X", "utf8", "-X", f"{_PRINTED_AS}={printed_as}"]
        # without a shell, which would split the arguments
        os.execv(sys.executable, [*map(os.fsencode, words), *map(as_utf8, sys.orig_argv[1:])])  # noqa: S606


def raise_open_files_limit() -> None:
    """Raise the soft limit of open files to OPEN_FILES_WANTED, or to the hard limit if that is lower.

    Programs that this process starts inherit the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(OPEN_FILES_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower limit of its own
        return


def fit_concurrency(settings: Settings, warn: Callable[[str], None], *, lanes: int = 1) -> Settings:
    """Lower `--concurrency` to what fits into the limit of open files, at least 1, with a warning if that is less.

    It is of each lane: all lanes together may fill the limit.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return settings
    per_call = FILES_PER_LOCAL_CALL if settings.local else FILES_PER_CALL
    fits = max(1, min(settings.concurrency, (limit - OPEN_FILES_RESERVED) // (per_call * max(1, lanes))))
    if fits < settings.concurrency:
        where = " in each lane" if lanes > 1 else ""
        warn(
            f"`--concurrency {settings.concurrency}` needs more than the {limit} open files that are allowed: at most"
            f" {fits} requests are sent at once{where}; allow more files with `ulimit -n`"
        )
    return replace(settings, concurrency=fits)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next document instead of giving it back to the system.

    Its measure is the largest piece that was ever freed (mallopt(3), M_MMAP_THRESHOLD); this one is never touched and
    so takes no memory. With documents of 450 KB it saves a sixth of an upload's time, without which an upload costs
    more than the bare SDK's (docs/decisions/the-call.md).
    """
    bytes(LARGEST_FREED_BYTES)


def quiet_libraries() -> None:
    """Hold the libraries' loggers at WARNING, whatever the root logger's level, and keep all of them off stderr.

    Without a handler anywhere, `logging` would write warnings to stderr itself. Python's own warnings are logged, too.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, logging.NullHandler) for handler in root.handlers):
        root.addHandler(logging.NullHandler())
    logging.captureWarnings(True)  # noqa: FBT003 - the library's signature
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
