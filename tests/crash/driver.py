"""The command many times over, each time to be killed somewhere: `python -m tests.crash.driver`.

One process imports everything once and forks for each run that it is asked for, a JSON object a line. A run is the
command itself, in a process of its own; only the imports are shared. Two lines answer: the run's process id, and how it
ended. A run that is asked to wait begins when a further line has come: a tracer was attached meanwhile.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from asyncio import Handle
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.preloading import import_everything

TIMEOUT_S = 60
NEVER = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as it is asked for. `at` is the point that kills, counted from 1; NEVER counts only."""

    argv: Sequence[str]
    cwd: str
    env: dict[str, str]
    out: str
    err: str
    report: str
    kind: str = "none"
    at: int = NEVER
    waits: bool = False
    file_size_max_bytes: int | None = None


class Points:
    """Counts what a run passes, and kills it at the chosen one. What was passed is left in `report`."""

    def __init__(self, report: Path, at: int) -> None:
        self._report = report
        self._at = at
        self.seen = 0
        self._names: list[str] = []

    def passed(self, name: str) -> None:
        """One more point, by this name; this may be the last that the process does."""
        self.seen += 1
        if self._at == NEVER:
            self._names.append(name)
        if self.seen == self._at:
            self.write(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, name: str) -> None:
        """Leave what is known for whoever asked."""
        self._report.write_text(json.dumps({"seen": self.seen, "name": name, "names": self._names}), encoding="utf-8")


class CountedQueue(deque[Handle]):
    """The callbacks that are ready: each is a point before it is run."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    def popleft(self) -> Handle:
        self._points.passed("callback")
        return super().popleft()


class CountedLoop(asyncio.SelectorEventLoop):
    """An event loop whose callbacks are points."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._ready = CountedQueue(points)


class CountedPolicy(asyncio.DefaultEventLoopPolicy):
    """Whoever asks for an event loop gets one whose callbacks are points."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return CountedLoop(self._points)


def serve() -> None:
    """Fork for each line until there are none."""
    modules = ("app.upload", "cli.upload", "cli.session")
    import_everything(*(f"batch_upload.{each}" for each in modules), "tests.crash.steps")
    for line in sys.stdin:
        asked = Asked(**json.loads(line))
        gate, opener = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(opener)
            _become(asked, gate)
        os.close(gate)
        _say(child)
        if asked.waits:
            sys.stdin.readline()
        os.close(opener)
        _, status = os.waitpid(child, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def _become(asked: Asked, gate: int) -> None:
    """Be the run. Never returns."""
    code = 1
    try:
        _redirect(asked)
        points = Points(Path(asked.report), asked.at)
        if asked.waits:
            os.read(gate, 1)
        code = _run(asked, points)
        points.write("end")
    except BaseException:  # noqa: BLE001 - an uncaught fault ends a process with a traceback and 1
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(asked: Asked) -> None:
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, asked.err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    signal.alarm(TIMEOUT_S)
    os.chdir(asked.cwd)
    os.environ.clear()
    os.environ.update(asked.env)


def _run(asked: Asked, points: Points) -> int:
    from batch_upload.cli.main import main
    from tests.crash.steps import upload_step_by_step

    if asked.file_size_max_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.file_size_max_bytes, asked.file_size_max_bytes))
    if asked.kind == "step":
        return upload_step_by_step(asked.argv, points)
    if asked.kind == "callback":
        asyncio.set_event_loop_policy(CountedPolicy(points))
    sys.argv = ["batch-upload", *asked.argv]
    return _code_of(main)


def _code_of(main: Any) -> int:  # noqa: ANN401 - the command's own entry point
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    return 0


if __name__ == "__main__":
    serve()
