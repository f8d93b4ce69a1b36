"""A command in a terminal: what its screen shows, from moment to moment."""

import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

_TOKEN = re.compile(r"\x1b\[(?P<numbers>[\d;?]*)(?P<what>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")

_TORN = re.compile(r"\x1b(\[[\d;?]*)?$")


@dataclass(slots=True)
class Screen:
    """The lines of a terminal, with their colours as they came. Understands what a live display of lines needs.

    A line is written from its beginning, after it was erased; anything else raises ValueError.
    """

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    _is_at_start: bool = True

    def write(self, text: str) -> None:
        """Show this, too."""
        for token in _TOKEN.finditer(text):
            self._take(token)

    def _take(self, token: "re.Match[str]") -> None:
        match token["what"], token["control"]:
            case None, "\r":
                self._is_at_start = True
            case None, "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            case "A", None:
                self.row -= int(token["numbers"] or 1)
            case "K", None:
                self.lines[self.row] = ""
            case "m", None:
                self._put(token[0])
            case "h" | "l", None:
                pass  # the cursor is shown or hidden
            case None, None:
                self._put(token["text"])
            case _:
                raise ValueError(f"a terminal is asked for {token[0]!r}")

    def _put(self, text: str) -> None:
        if self._is_at_start and self.lines[self.row]:
            raise ValueError(f"{text!r} is written over {self.lines[self.row]!r}")
        self.lines[self.row] += text
        self._is_at_start = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What a screen showed at this many seconds from the start."""

    at_s: float
    lines: tuple[str, ...]


def recorded(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], columns: int, rows: int = 50
) -> Iterator[Frame]:
    """Run a command in a terminal; its screen each time it has changed. Raises CalledProcessError where it fails."""
    started_s, screen = monotonic(), Screen()
    ours, its = terminal_of(columns, rows)
    try:
        with subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        ) as process:
            os.close(its)
            for text in said(ours):
                screen.write(text)
                yield Frame(monotonic() - started_s, tuple(screen.lines))
    finally:
        os.close(ours)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, [str(each) for each in command])


def terminal_of(columns: int, rows: int) -> tuple[int, int]:
    """A terminal of this size: our end of it, and the one for a process."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return ours, its


def said(terminal: int) -> Iterator[str]:
    """What is written to a terminal, never ending within a character or a control sequence."""
    decode, waiting = codecs.getincrementaldecoder("utf-8")().decode, ""
    while True:
        try:
            waiting += decode(os.read(terminal, 65_536))
        except OSError:  # the way in which Linux says that the other end is closed
            return
        cut = _TORN.search(waiting)
        whole, waiting = (waiting, "") if cut is None else (waiting[: cut.start()], waiting[cut.start() :])
        yield whole
