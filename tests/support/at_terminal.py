"""The installed command at a terminal of a size: everything that it writes, as the terminal gets it."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import COMMAND, TIMEOUT_S
from tests.support.terminal import said, terminal_of

_ESCAPE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Shown:
    """How a command ended, and all that was ever written to its terminal."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """Everything that was drawn, line by line, without movements and colours."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", _ESCAPE.sub("", self.text)) if line.strip()]

    @property
    def colours(self) -> set[str]:
        return set(_COLOUR.findall(self.text))

    @property
    def moves(self) -> bool:
        """Whether the cursor was ever moved, or anything erased."""
        return bool(_ESCAPE.search(_COLOUR.sub("", self.text)))


def at_terminal(*arguments: str | Path, cwd: Path, env: Mapping[str, str], columns: int, rows: int = 24) -> Shown:
    """Run the command to its end with all three streams at a terminal."""
    ours, its = terminal_of(columns, rows)
    clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    try:
        with subprocess.Popen(
            [COMMAND, *arguments],
            cwd=cwd,
            env={**clean, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env},
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        ) as process:
            os.close(its)
            text = "".join(said(ours))
            return Shown(process.wait(timeout=TIMEOUT_S), text)
    finally:
        os.close(ours)
