"""System calls of a process: seen, failed, or used to kill it, by strace."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

SKIP_NOTHING = "BATCH_UPLOAD_TESTS_SKIP_NOTHING"
QUIET = ("-f", "-e", "signal=none")
_CALL = re.compile(r"^(?P<thread>\d+) +(?P<at>[\d.]+ )?(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +(?P<at>[\d.]+ )?<\.\.\. (?P<name>\w+) resumed>")


def needed(reason: str) -> NoReturn:
    """Skip the test for this reason, or fail it where nothing may be skipped."""
    if os.environ.get(SKIP_NOTHING) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def require_strace() -> None:
    """Skip the test where processes cannot be traced."""
    reason = _missing()
    if reason:
        needed(reason)


@cache
def _missing() -> str:
    if not sys.platform.startswith("linux") or shutil.which("strace") is None:
        return "strace is not installed"
    traced = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return "" if traced.returncode == 0 else f"processes may not be traced here: {traced.stderr.strip()}"


def signalled_at(path: Path, number: signal.Signals) -> tuple[str, ...]:
    """What a command is started through so that this signal comes when it first opens the file."""
    require_strace()
    calls = "openat,openat2"
    inject = f"inject={calls}:signal={number.name}:when=1"
    return ("strace", *QUIET, "-qq", "-o", os.devnull, "-P", str(path), "-e", f"trace={calls}", "-e", inject)


@contextmanager
def attached(process_id: int, options: Sequence[str]) -> Iterator[None]:
    """Trace a process and its threads, from now until it ends."""
    command = ["strace", *QUIET, *options, "-p", str(process_id)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8") as tracer:
        if tracer.stderr is None:
            raise RuntimeError("the tracer has no stderr")
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace: {said}{tracer.stderr.read()}")
        yield
        tracer.stderr.read()


@dataclass(frozen=True, slots=True)
class Call:
    """One system call as strace wrote it down. `began` and `ended` are places in the trace."""

    thread: int
    name: str
    text: str
    began: int
    ended: int


def calls_of(trace: Path) -> list[Call]:
    """The calls of a trace (`strace -f -o FILE`) in the order in which they began."""
    calls: list[Call] = []
    open_at: dict[int, int] = {}
    for place, line in enumerate(trace.read_text(encoding="utf-8", errors="replace").splitlines()):
        resumed = _RESUMED.match(line)
        if resumed is not None:
            index = open_at.pop(int(resumed["thread"]))
            before = calls[index]
            calls[index] = Call(before.thread, before.name, before.text + line, before.began, place)
            continue
        found = _CALL.match(line)
        if found is None:
            continue
        if "<unfinished ...>" in line:
            open_at[int(found["thread"])] = len(calls)
        calls.append(Call(int(found["thread"]), found["name"], found["rest"], place, place))
    return calls


def most_of_a_thread(calls: Iterable[Call]) -> dict[str, int]:
    """By name of the call, how many the thread with the most of them made: strace counts each thread by itself."""
    counts = Counter((call.name, call.thread) for call in calls)
    most: dict[str, int] = {}
    for (name, _), count in counts.items():
        most[name] = max(most.get(name, 0), count)
    return most
