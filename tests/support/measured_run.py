"""The command under way: stopped and gone on with, signalled, and measured when it ends.

`python -m tests.support.measured_run` imports the command once and forks for each run that it is asked for, several at
a time if need be. Each run is a process of its own that ends by the command's own exit code; only the imports are
shared, and the clocks (`tests.support.clocks`) that this process was started with.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command import Result
from tests.support.emulator_process import ROOT
from tests.support.preloaded import become
from tests.support.preloading import import_everything

KIB_A_MIB = 1024
LONGEST_S = 180
"""A run that is forgotten is killed after so long."""
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Measured:
    """How a run ended, after how many real seconds, and the most memory that was resident. `code` is negative where a
    signal ended it."""

    result: Result
    seconds: float
    peak_mib: float

    @property
    def code(self) -> int:
        return self.result.code


class Launcher:
    """Starts runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, *arguments: str | Path, cwd: Path, env: Mapping[str, str], outputs: Path) -> "MeasuredRun":
        """Start the command. `outputs` with suffixes is where its stdout and stderr go."""
        out, err = outputs.with_suffix(".out"), outputs.with_suffix(".err")
        for path in (out, err):
            path.touch()  # a run may be killed before it opens them
        argv = [str(each) for each in arguments]
        began = time.monotonic()
        asked = {
            "argv": argv,
            "cwd": str(cwd),
            "env": {**os.environ, **env},
            "streams": [os.devnull, str(out), str(err)],
        }
        return MeasuredRun(self, self.ask({"start": asked}), argv, (out, err), began)

    def ask(self, question: object) -> Any:  # noqa: ANN401 - a process id, or what was used
        """Send the process a question and return its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class MeasuredRun:
    """A process of the command. Use it as a context: it is killed at the end if it still runs."""

    def __init__(
        self, launcher: Launcher, process_id: int, argv: list[str], outputs: tuple[Path, Path], began: float
    ) -> None:
        self._launcher = launcher
        self._process_id = process_id
        self._handle = os.pidfd_open(process_id)
        self._argv = argv
        self._outputs = outputs
        self._began = began
        self._is_reaped = False

    def __enter__(self) -> "MeasuredRun":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_reaped:
            self.signal(signal.SIGKILL)
            self._reap()
        os.close(self._handle)

    def ended_within(self, seconds: float) -> bool:
        """Wait for the end, at most so long."""
        return bool(select.select([self._handle], [], [], max(0.0, seconds))[0])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it, so that nothing of it runs in the context, and let it go on afterwards."""
        self.signal(signal.SIGSTOP)
        while not self.ended_within(LOOK_S) and _state_of(self._process_id) != "T":
            pass
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def finish(self, *, within_s: float) -> Measured:
        """Wait for the end. Raises TimeoutError where it has not come so many seconds after the start."""
        if not self.ended_within(within_s - (time.monotonic() - self._began)):
            raise TimeoutError(f"`batch-upload {' '.join(self._argv)}` still ran after {within_s} s")
        seconds = time.monotonic() - self._began
        code, peak_kib = self._reap()
        out, err = (each.read_text(encoding="utf-8", errors="replace") for each in self._outputs)
        return Measured(Result(code, out, err), seconds, peak_kib / KIB_A_MIB)

    def _reap(self) -> tuple[int, int]:
        self._is_reaped = True
        code, peak_kib = self._launcher.ask({"reap": self._process_id})
        return code, peak_kib


def _state_of(process_id: int) -> str:
    """The letter of its state, as proc(5) has it; empty once it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()[0]
    return ""


@contextmanager
def launcher(env: Mapping[str, str]) -> Iterator[Launcher]:
    """Import the command in a process of its own, with these variables added; it ends with this context."""
    command = [sys.executable, "-m", "tests.support.measured_run"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        yield Launcher(process)


def _serve() -> None:
    modules = ("cli.session", "app.upload", "app.reconcile", "app.prune")
    import_everything(*(f"batch_upload.{each}" for each in modules))
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer: object = os.fork()
            if answer == 0:
                become(**question["start"], timeout_s=LONGEST_S)
        else:
            _, status, used = os.wait4(question["reap"], 0)
            answer = [os.waitstatus_to_exitcode(status), used.ru_maxrss]
        os.write(1, f"{json.dumps(answer)}\n".encode())


if __name__ == "__main__":
    _serve()
