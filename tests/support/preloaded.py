"""The command many times over, quickly: a process imports it once and forks for each run.

Each run is a process of its own that ends by the command's own exit code; only the imports are shared.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from tests.support.command import Result
from tests.support.emulator_process import ROOT
from tests.support.preloading import import_everything

TIMEOUT_S = 60


class Preloaded:
    """Runs commands one after another."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        redirected: Mapping[int, str | None] = MappingProxyType({}),
    ) -> Result:
        """As `tests.support.command.run`; a run that does not end is killed, and ends with a negative code.

        `redirected`: where standard descriptors go by their numbers, None for one that is closed.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        out, err = self._folder / "out", self._folder / "err"
        environment = {**os.environ, **(env or {})}
        asked = {"argv": [str(each) for each in arguments], "cwd": str(cwd), "env": environment}
        streams = {0: os.devnull, 1: str(out), 2: str(err), **redirected}
        out.write_bytes(b"")
        err.write_bytes(b"")
        self._process.stdin.write(json.dumps({**asked, "streams": list(streams.values())}) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Result(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


@contextmanager
def preloaded() -> Iterator[Preloaded]:
    """Import the command in a process of its own, which ends with this context."""
    command = [sys.executable, "-m", "tests.support.preloaded"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process,
    ):
        yield Preloaded(process, Path(folder))


def _serve() -> None:
    import_everything("batch_upload.app.upload", "batch_upload.cli.on_lane", "batch_upload.app.validate")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            become(asked["argv"], asked["cwd"], asked["env"], asked["streams"])
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def become(
    argv: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[str | None], *, timeout_s: int = TIMEOUT_S
) -> NoReturn:
    """Be the command with these arguments, in this forked process, until it ends or is killed after `timeout_s`.

    `streams`: the files of descriptors 0, 1 and 2, which exist; None closes one.
    """
    from batch_upload.cli.main import main

    for number, path in enumerate(streams):
        if path is not None:
            os.dup2(os.open(path, os.O_RDWR), number)
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
