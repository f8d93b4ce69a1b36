"""Runs of the command that are killed at a chosen point, and the points of a run that is not."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command import Result
from tests.support.emulator_process import ROOT
from tests.support.strace import attached

KILLED = -9


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `seen` points were passed by its own count, the last one by this name.

    `names`: those of all points, of a run that only counted.
    """

    result: Result
    seen: int
    name: str
    names: Sequence[str] = ()

    @property
    def code(self) -> int:
        return self.result.code


@dataclass(frozen=True, slots=True)
class Kill:
    """Where to kill: at the `at`-th point of a kind (`callback` or `step`), counted from 1; 0 only counts."""

    kind: str
    at: int = 0


NOWHERE = Kill("none")


class Driver:
    """Runs the command, one run after another, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        env: Mapping[str, str],
        kill: Kill = NOWHERE,
        strace: Sequence[str] = (),
        file_size_max_bytes: int | None = None,
    ) -> Ended:
        """Run `batch-upload` with these arguments to its end, traced by strace with these options if there are any."""
        out, err, report = (self._folder / name for name in ("out", "err", "report"))
        report.unlink(missing_ok=True)
        asked = {
            "argv": [str(each) for each in arguments],
            "cwd": str(cwd),
            "env": {**os.environ, **env},
            "out": str(out),
            "err": str(err),
            "report": str(report),
            "kind": kill.kind,
            "at": kill.at,
            "waits": bool(strace),
            "file_size_max_bytes": file_size_max_bytes,
        }
        self._tell(json.dumps(asked))
        code = self._followed(strace)
        found: dict[str, Any] = {"seen": 0, "name": "", "names": ()}
        if report.exists():
            found = json.loads(report.read_text(encoding="utf-8"))
        result = Result(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
        return Ended(result, found["seen"], found["name"], found["names"])

    def _followed(self, strace: Sequence[str]) -> int:
        process_id = self._heard()
        if not strace:
            return self._heard()
        with attached(process_id, strace):
            self._tell("")
            return self._heard()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the driver has no stdin")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _heard(self) -> int:
        if self._process.stdout is None:
            raise RuntimeError("the driver has no stdout")
        return int(self._process.stdout.readline())


@contextmanager
def driver() -> Iterator[Driver]:
    """Import the command in a process of its own, which ends with this context."""
    command = [sys.executable, "-m", "tests.crash.driver"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process,
    ):
        yield Driver(process, Path(folder))


def spread(total: int, sample: int) -> list[int]:
    """At most so many of the points 1 to `total`, evenly spread, the first and the last among them."""
    if total <= sample:
        return list(range(1, total + 1))
    step = (total - 1) / (sample - 1)
    return sorted({1 + round(step * index) for index in range(sample)})
