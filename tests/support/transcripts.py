"""Transcripts: a command and what it prints, side by side. `python -m tests.support.transcripts` writes them anew.

A line that begins with `$ ` is a command; what follows is its output, standard output and error as they come, with
what differs from run to run replaced by a name in angle brackets. `[exit N]` ends the output where N is not 0.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.command import COMMAND, TIMEOUT_S, Result
from tests.support.emulator_process import ROOT

FOLDER = ROOT / "tests" / "scenarios" / "transcripts"
PROMPT = "$ "
WIDE = {"COLUMNS": "100"}
Run = Callable[[Sequence[str], Path], Result]
_DIFFERS = (
    (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "<run>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z", "<time>"),
    (r"registration-attachment-[0-9a-f]{32}", "<attachment>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<request>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\d+(\.\d+)?/s", "<rate>/s"),
    (r'"(elapsed_s|rate|time_s|left_s)": \d+\.\d+', r'"\1": <number>'),
    (r'"requests": \{[^}]*\}', '"requests": <counts>'),
    (r"(accepted after) [\d.]+ s", r"\1 <duration>"),
    (r"elapsed: .*", "elapsed: <duration>"),
    (r"requests: \d+ \(.*", "requests: <counts>"),
    (r"user \S+ on [^\s,]+", "user <user> on <host>"),
    (r'"os_user": "[^"]*"', '"os_user": "<user>"'),
    (r'"host": "[^"]*"', '"host": "<host>"'),
    (r"(ok {4}programs +).*", r"\1<versions>"),
    (r"(ok|warn)  ( *ledger disk +).*", r"<verdict>\2<disk>"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command line and what it printed."""

    command: str
    printed: tuple[str, ...]


def steps_of(text: str) -> list[Step]:
    """The steps of a transcript."""
    blocks = re.split(rf"(?m)^{re.escape(PROMPT)}", text)[1:]
    lines = (block.rstrip("\n").split("\n") for block in blocks)
    return [Step(command, tuple(printed)) for command, *printed in lines]


def installed(arguments: Sequence[str], folder: Path) -> Result:
    """Run the installed command. The result has both outputs, as they come, as standard output."""
    ended = subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **WIDE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    return Result(ended.returncode, ended.stdout, "")


def played(commands: Sequence[str], folder: Path, run: Run = installed) -> Iterator[Step]:
    """Run the commands one after another in `folder`, and tell what they print."""
    for command in commands:
        name, *arguments = shlex.split(command, comments=True)
        if name != "batch-upload":
            raise ValueError(f"`{name}` is not our command")
        ended = run(arguments, folder)
        said = [*normal(ended.stdout), *([f"[exit {ended.code}]"] if ended.code else [])]
        yield Step(command, tuple(said))


def copy_of_manifests(folder: Path) -> Path:
    """The manifests of the repository, copied to where they may be used."""
    return Path(shutil.copytree(ROOT / "manifests", folder / "manifests", ignore=shutil.ignore_patterns("*.local.*")))


def normal(text: str) -> list[str]:
    """Return the lines of a text, with what differs from run to run replaced by its name."""
    for pattern, name in _DIFFERS:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.rstrip("\n").split("\n")] if text else []


def _write() -> None:
    for path in sorted(FOLDER.glob("*.txt")):
        commands = [step.command for step in steps_of(path.read_text(encoding="utf-8"))]
        with tempfile.TemporaryDirectory() as folder:
            steps = list(played(commands, copy_of_manifests(Path(folder))))
        text = "\n\n".join("\n".join([f"{PROMPT}{step.command}", *step.printed]) for step in steps)
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
