"""The command many times over, quickly: a process imports it once and forks for each run.

Each run is a process of its own that ends by the command's own exit code; only the imports are shared, which cost four
times as much CPU as a short run does.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NoReturn

from tests.support.command import Result, Running
from tests.support.emulator_process import ROOT
from tests.support.pauses import Pause, install
from tests.support.preloading import import_everything

TIMEOUT_S = 60
SAME = "&1"


class Preloaded:
    """Runs commands, one after another or several at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._numbers = count()

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        base: Mapping[str, str] | None = None,
        redirected: Mapping[int, str | None] = MappingProxyType({}),
    ) -> Result:
        """As `tests.support.command.run`; a run that does not end is killed, and ends with a negative code.

        `base`: what `env` is laid over, the environment of the test unless given.
        `redirected`: where standard descriptors go by their numbers, None for one that is closed, `SAME` for where
        standard output goes.
        """
        out, err = self._folder / "out", self._folder / "err"
        out.write_bytes(b"")
        err.write_bytes(b"")
        streams = {0: os.devnull, 1: str(out), 2: str(err), **redirected}
        environment = {**(os.environ if base is None else base), **(env or {})}
        code = self.ask({"reap": self._start(arguments, cwd, environment, list(streams.values()))})
        return Result(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    @contextmanager
    def started(
        self,
        *arguments: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        pause: Pause | None = None,
        lease_s: float | None = None,
        away_s: float | None = None,
        timeout_s: int = TIMEOUT_S,
    ) -> Iterator[Running]:
        """As `tests.support.command.started`. `pause`, `lease_s` and `away_s` as `tests.support.pauses.install`."""
        number = next(self._numbers)
        out, err = self._folder / f"out{number}", self._folder / f"err{number}"
        os.mkfifo(out)
        err.write_bytes(b"")
        streams = [os.devnull, str(out), str(err)]
        environment = {**os.environ, **(env or {})}
        process_id = self._start(arguments, cwd, environment, streams, pause, lease_s, away_s, timeout_s)
        with out.open(encoding="utf-8") as stdout, err.open(encoding="utf-8") as errors:
            process = ForkedProcess(self, process_id, stdout)
            try:
                yield Running(process, errors, [])
            finally:
                process.close()

    def ask(self, question: object) -> int:
        """Send the process a question and return its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def _start(
        self,
        arguments: Sequence[str | Path],
        cwd: Path,
        environment: Mapping[str, str],
        streams: Sequence[str | None],
        pause: Pause | None = None,
        lease_s: float | None = None,
        away_s: float | None = None,
        timeout_s: int = TIMEOUT_S,
    ) -> int:
        argv = [str(each) for each in arguments]
        start = {"argv": argv, "cwd": str(cwd), "env": dict(environment), "streams": streams}
        pausing = None if pause is None else asdict(pause)
        hooks = {"pause": pausing, "lease_s": lease_s, "away_s": away_s, "timeout_s": timeout_s}
        return self.ask({"start": start | hooks})


class ForkedProcess:
    """A run under way, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, preloaded: Preloaded, process_id: int, stdout: IO[str]) -> None:
        self.pid = process_id
        self.stdout: IO[str] | None = stdout
        self._preloaded = preloaded
        self._handle = os.pidfd_open(process_id)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired where the run has not ended within `timeout` seconds."""
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("batch-upload", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it still runs, and leave nothing of it."""
        self.kill()
        self.wait()
        os.close(self._handle)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self._code is None and select.select([self._handle], [], [], seconds)[0]:
            self._code = self._preloaded.ask({"reap": self.pid})
        return self._code


@contextmanager
def preloaded(*modules: str, env: Mapping[str, str] = MappingProxyType({})) -> Iterator[Preloaded]:
    """Import the command, and these modules, in a process of its own, which ends with this context.

    `env` is laid over the environment of the test. Here are variables that the loader reads, such as `LD_PRELOAD`: in
    the `env` of a run they have no effect.
    """
    command = [sys.executable, "-m", "tests.support.preloaded", *modules]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=pipe, stdout=pipe, encoding="utf-8"
        ) as process,
    ):
        yield Preloaded(process, Path(folder))


def _serve() -> None:
    import_everything("batch_upload.app.upload", "batch_upload.cli.session", "batch_upload.app.validate", *sys.argv[1:])
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            answer = os.fork()
            if answer == 0:
                become(**asked["start"])
        else:
            _, status = os.waitpid(asked["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        os.write(1, f"{answer}\n".encode())


def become(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    streams: Sequence[str | None],
    *,
    pause: Mapping[str, Any] | None = None,
    lease_s: float | None = None,
    away_s: float | None = None,
    timeout_s: int = TIMEOUT_S,
) -> NoReturn:
    """Be the command with these arguments, in this forked process, until it ends or is killed after `timeout_s`.

    `streams`: the files of descriptors 0, 1 and 2, which exist; None closes one, `SAME` joins it to standard output.
    """
    from batch_upload.cli.main import main

    if pause is not None or lease_s is not None or away_s is not None:
        install(None if pause is None else Pause(**pause), lease_s, away_s)
    for number, path in enumerate(streams):
        if path is not None:
            os.dup2(1 if path == SAME else os.open(path, os.O_RDWR), number)
    for number, path in enumerate(streams):
        if path is None:
            os.close(number)
    if streams[0] is not None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    signal.alarm(timeout_s)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["batch-upload", *argv]
    code: object = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - an uncaught fault ends a process with a traceback and 1
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    _serve()
