"""Tell errors apart that mean that this process or machine lacks file descriptors, memory or threads.

A shortage is our own fault and passes when something is freed. It says nothing about the file, host or item.
"""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from batch_upload.errors import OutOfResources, with_causes

Done = TypeVar("Done")

READ_PAUSE_S = 0.1
READ_TRIES = 50
"""How often a file is tried during a shortage: for 5 s, within which other reads of files end."""
_NO_THREAD = "can't start new thread"
"""CPython's message of the RuntimeError (Modules/_threadmodule.c)."""


def shortage_of(error: BaseException) -> OutOfResources | None:
    """Return the shortage that an error means, or None. Follows its causes, since libraries wrap what they catch."""
    for each in with_causes(error):
        if isinstance(each, OutOfResources):
            return each
        if isinstance(each, OSError) and each.errno in (errno.EMFILE, errno.ENFILE):
            return out_of_descriptors()
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno == errno.ENOMEM):
            hint = "free some memory or raise its limit (`ulimit -v`), then run the same command again"
            return OutOfResources("out of memory", may_have_left=True, hint=hint)
        if isinstance(each, RuntimeError) and _NO_THREAD in str(each):
            limits = "raise the limit of processes (`ulimit -u`) or of memory (`ulimit -v`)"  # each thread has a stack
            hint = f"{limits}, then run the same command again"
            return OutOfResources("no thread can be started", hint=hint)
        if isinstance(each, ImportError) and os.strerror(errno.EMFILE) in str(each):  # dlopen(3)
            return out_of_descriptors()
    return None


def out_of_descriptors() -> OutOfResources:
    """Return the error of a process that may open no more files."""
    return OutOfResources(
        "out of file descriptors",
        hint="raise the limit of open files (`ulimit -n 1024`), then run the same command again",
    )


def are_descriptors_free(count: int) -> bool:
    """Tell whether `count` more files can be opened now. Blocking, but short."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(count))
    except OSError:
        return False
    finally:
        for descriptor in opened:
            with suppress(OSError):
                os.close(descriptor)
    return True


def through_shortages(work: Callable[[], Done], *, pause: Callable[[float], None] = time.sleep) -> Done:
    """Do blocking `work`, and repeat it while it fails for a shortage, for READ_TRIES × READ_PAUSE_S at most.

    Raises OutOfResources after that. Every other error is raised at once.
    """
    for _ in range(READ_TRIES - 1):
        try:
            return work()
        except (OSError, MemoryError, RuntimeError, OutOfResources) as error:
            if shortage_of(error) is None:
                raise
        pause(READ_PAUSE_S)
    try:
        return work()
    except (OSError, MemoryError, RuntimeError) as error:
        short = shortage_of(error)
        if short is None:
            raise
        raise short from error
