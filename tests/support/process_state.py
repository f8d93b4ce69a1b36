"""What a library must leave alone: the state of the process that a caller shares with it."""

import gc
import locale
import logging
import os
import resource
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
LOGGERS = (None, "batch_upload", "aiobotocore", "botocore", "aiohttp", "asyncio")


def process_state() -> dict[str, object]:
    """Return what a caller can see of the process, to be compared before and after a call."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    umask = os.umask(0)
    os.umask(umask)
    return {
        "signals": [signal.getsignal(each) for each in SIGNALS],
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "logging": (
            [(each.level, tuple(each.handlers)) for each in loggers],
            logging.lastResort,
            logging.root.disabled,
        ),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.getrecursionlimit(), sys.getswitchinterval()),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "umask": umask,
        "limits": [resource.getrlimit(each) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    }


def descriptors() -> list[str]:
    """Return what the open file descriptors of this process lead to."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # the descriptor of this listing
            continue
    return sorted(links)
