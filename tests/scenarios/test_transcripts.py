"""The command and what it prints, side by side. After a change that is meant: `python -m tests.support.transcripts`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.preloaded import SAME, Preloaded
from tests.support.transcripts import FOLDER, WIDE, copy_of_manifests, installed, played, steps_of

TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))
INSTALLED = ("demo",)
"""What the README begins with is run as it is installed; the others, by forks of one that is imported."""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_what_is_printed_is_what_the_transcript_says(path: Path, tmp_path: Path, command: Preloaded) -> None:
    def forked(arguments: Sequence[str], folder: Path) -> Result:
        return command.run(*arguments, cwd=folder, env=WIDE, redirected={2: SAME})

    expected = steps_of(path.read_text(encoding="utf-8"))
    run = installed if path.stem in INSTALLED else forked

    steps = list(played([step.command for step in expected], copy_of_manifests(tmp_path), run))

    assert expected
    for found, wanted in zip(steps, expected, strict=True):
        assert "\n".join(found.printed) == "\n".join(wanted.printed).rstrip("\n"), found.command
