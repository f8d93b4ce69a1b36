"""What a library must leave alone: the state of the process that a caller shares with it."""

import gc
import logging
import os
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


def process_state() -> dict[str, object]:
    """Signal handlers, garbage collector, logging, streams, folder and environment, to be compared before and after."""
    root = logging.getLogger()
    return {
        "signals": [signal.getsignal(each) for each in SIGNALS],
        "collector": (gc.isenabled(), gc.get_threshold()),
        "logging": (root.level, tuple(root.handlers), logging.lastResort),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
