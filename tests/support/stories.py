"""The pages of docs/stories/: their commands, run one after another in an empty folder, and what they are to print.

Blocks of `sh` are commands for one shell, from the top of the page to its end. A block of `text` right behind one is
what its commands print, standard output and error as they come; without one they print nothing. The last command of
each block succeeds. `…` stands for the rest of a line, or as a line of its own for any number of lines, and what
differs from run to run is compared by its kind (`tests.support.transcripts`).
`python -m tests.support.stories PAGE` shows what the commands of a page print.
"""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import COMMAND
from tests.support.emulator_process import ROOT
from tests.support.postgres import free_port
from tests.support.transcripts import WIDE, normal

STORIES = tuple(sorted((ROOT / "docs" / "stories").glob("*.md")))
NEEDS_POSTGRES = "postgresql://"
LIMIT_S = 300.0
"""How long a story may take: one waits 30 s for a lease, and a busy machine takes its time."""
_BLOCK = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n?```text\n(?P<shown>.*?)^```$)?", re.MULTILINE | re.DOTALL)
_END = "\x1e"
_PORT = "4566"
"""The port of the emulator on the pages. A test takes a free one."""


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of a page, and what it says they print."""

    commands: str
    shown: str


@dataclass(frozen=True, slots=True)
class Printed:
    """What the commands of a block printed, and the exit code of the last one."""

    text: str
    code: int


def blocks_of(page: str) -> list[Block]:
    """Return the commands of a page in their order."""
    return [Block(found["commands"], found["shown"] or "") for found in _BLOCK.finditer(page)]


def told(
    blocks: Sequence[Block], folder: Path, programs: Path = COMMAND.parent, env: Mapping[str, str] | None = None
) -> list[Printed]:
    """Run the commands in `folder`, which is empty and the home, too, with `programs` first on PATH.

    `env` is laid over an environment of a few variables. Processes that the commands leave are killed. Raises
    TimeoutError after LIMIT_S.
    """
    port = str(free_port())
    parts = [f"{block.commands.replace(_PORT, port)}printf '{_END}%s{_END}' $?\n" for block in blocks]
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
        **WIDE,
        **(env or {}),
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", "".join(parts)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(shell)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what the commands left; the shell's number is not free yet
            shell.wait()
        output.seek(0)
        texts = output.read().replace(port, _PORT).split(_END)
    return [Printed(text, int(code)) for text, code in zip(texts[:-1:2], texts[1::2], strict=True)]


def disagreements(blocks: Sequence[Block], printed: Sequence[Printed]) -> list[str]:
    """Return what the commands printed, for each block that shows something else or whose last command failed."""
    ended = [*printed, *[Printed("(the shell ended before)", -1)] * (len(blocks) - len(printed))]
    return [
        f"$ {block.commands}{each.text}[exit {each.code}]"
        for block, each in zip(blocks, ended, strict=True)
        if each.code != 0 or not _agree(block.shown, each.text)
    ]


def _agree(shown: str, printed: str) -> bool:
    lines = (r"(?:.*\n)*" if line == "…" else _line(line) + r"\n" for line in normal(shown))
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in normal(printed))) is not None


def _line(shown: str) -> str:
    return ".*".join(re.escape(part) for part in shown.split("…"))


def _wait_for(shell: "subprocess.Popen[bytes]") -> None:
    """Return when the shell has ended, and leave its process for `wait`. Raises TimeoutError after LIMIT_S."""
    handle = os.pidfd_open(shell.pid)
    try:
        if not select.select([handle], [], [], LIMIT_S)[0]:
            raise TimeoutError(f"a story took more than {LIMIT_S:.0f} s")
    finally:
        os.close(handle)


def main() -> None:
    """Run the stories that are named and print what their commands print."""
    for page in sys.argv[1:]:
        blocks = blocks_of(Path(page).read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            for block, each in zip(blocks, told(blocks, Path(folder)), strict=False):
                sys.stdout.write(f"```sh\n{block.commands}```\n\n```text\n{each.text}```\n[exit {each.code}]\n\n")


if __name__ == "__main__":
    main()
