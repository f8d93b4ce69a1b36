"""The command and what it prints, side by side. After a change that is meant: `python -m tests.support.transcripts`."""

from pathlib import Path

import pytest

from tests.support.transcripts import FOLDER, copy_of_manifests, played, steps_of

TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_what_is_printed_is_what_the_transcript_says(path: Path, tmp_path: Path) -> None:
    expected = steps_of(path.read_text(encoding="utf-8"))

    steps = list(played([step.command for step in expected], copy_of_manifests(tmp_path)))

    assert expected
    for found, wanted in zip(steps, expected, strict=True):
        assert "\n".join(found.printed) == "\n".join(wanted.printed).rstrip("\n"), found.command
