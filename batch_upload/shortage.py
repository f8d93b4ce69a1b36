"""When this process or this machine has no file descriptor, memory or thread to spare: told apart from other errors.

A shortage is our own fault and passes when something is freed. It says nothing of the file, host or item at hand.
"""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from batch_upload.errors import OutOfResources

T = TypeVar("T")

READ_PAUSE_S = 0.1
READ_TRIES = 50
"""How often a file is tried while there is a shortage: for 5 s, since whatever else reads files ends within that."""
_NO_THREAD = "can't start new thread"
"""CPython's message of the RuntimeError (Modules/_threadmodule.c)."""


def shortage_of(error: BaseException) -> OutOfResources | None:
    """The shortage that an error means, or None. Looks through its causes, since libraries wrap what they catch."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
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
        each = each.__cause__ or each.__context__
    return None


def out_of_descriptors() -> OutOfResources:
    """The error of a process that may open no more files."""
    return OutOfResources(
        "out of file descriptors",
        hint="raise the limit of open files (`ulimit -n 1024`), then run the same command again",
    )


def are_descriptors_free(count: int) -> bool:
    """Whether so many more files can be opened now. Blocking, and short."""
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


def through_shortages(work: Callable[[], T], *, pause: Callable[[float], None] = time.sleep) -> T:
    """Do blocking `work`, and do it again while it fails for a shortage, for READ_TRIES × READ_PAUSE_S at most.

    Raises OutOfResources then. Every other error leaves at once, as it is.
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
