"""The installed command, run as a user runs it: through a process, its exit code and what it prints."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol

COMMAND = Path(sys.executable).with_name("batch-upload")
TIMEOUT_S = 60.0
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        """Each line of `--json`, held against the published schema.

        Raises ValueError where one is not JSON, AssertionError where `docs/events.schema.json` does not know it.
        """
        return _held_against_schema(self.stdout)

    @property
    def summary(self) -> Event:
        """The last line of `--json`."""
        return self.events[-1]

    @property
    def states(self) -> dict[str, int]:
        """The summary's counts by state."""
        states: dict[str, int] = self.summary["states"]
        return states

    def of(self, event: str) -> list[Event]:
        """The lines of one kind."""
        return [line for line in self.events if line["event"] == event]

    def item(self, item_id: str) -> Event:
        """The last line of one item."""
        return [line for line in self.of("item") if line["id"] == item_id][-1]


@lru_cache(maxsize=16)
def _held_against_schema(stdout: str) -> list[Event]:
    from tests.support.event_schema import shape_of  # for tests that ask, not for the processes they start

    lines: list[Event] = [json.loads(line) for line in stdout.split("\n") if line]
    for line in lines:
        shape_of(line)
    return lines


def run(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    command: Sequence[str | Path] = (COMMAND,),
    piped: str = "",
) -> Result:
    """Run the command to its end. `env` is laid over the environment of the test, `piped` is on standard input."""
    ended = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=piped,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )
    return Result(ended.returncode, ended.stdout, ended.stderr)


class Process(Protocol):
    """What tests use of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class Running:
    """A command that is under way with `--json`."""

    process: Process
    errors: IO[str]
    seen: list[str]

    def until(self, event: str) -> Event:
        """Read on to the next line of this kind. Raises EOFError where none comes."""
        for line in self._output():
            self.seen.append(line)
            found: Event = json.loads(line)
            if found["event"] == event:
                return found
        raise EOFError(f"no `{event}` came: {self._said()}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, timeout_s: float = TIMEOUT_S) -> Result:
        """Wait for the end; what was read before is part of the result."""
        self.seen.extend(self._output())
        code = self.process.wait(timeout=timeout_s)
        return Result(code, "".join(self.seen), self._said())

    def _output(self) -> IO[str]:
        if self.process.stdout is None:
            raise RuntimeError("the command has no stdout")
        return self.process.stdout

    def _said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()


@contextmanager
def started(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start the command, and kill it at the end if it still runs."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
        with process:
            try:
                yield Running(process, errors, [])
            finally:
                if process.poll() is None:
                    process.kill()
