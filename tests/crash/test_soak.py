"""The long proofs: none is left out of `make soak`, and what has passed is not run again."""

import json
from pathlib import Path

import pytest

from tests.support.soak import PARTS, ROOT, Part, read, run, table, write

TESTS = """
import os
import pytest
from tests.support.soak import note

@pytest.mark.soak
@pytest.mark.parametrize("number", range(3))
def test_long(number):
    open("runs", "a").write(f"{number} ")
    assert number != 1 or os.path.exists("mended")
    note({"kind": "step", "script": f"number {number}", "points": number, "kills": number})
"""
PART = Part("a trial", ["test_trial.py"], workers=0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project of one program and three long tests, the second of which fails until a file is there."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = soak: long\n", encoding="utf-8")
    (tmp_path / "test_trial.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "batch_upload").mkdir()
    (tmp_path / "batch_upload" / "program.py").write_text("1\n", encoding="utf-8")
    (tmp_path / "tests" / "crash").mkdir(parents=True)
    (tmp_path / "tests" / "crash" / "soak.json").write_text('{"trial": {"tests": 9}}', encoding="utf-8")
    return tmp_path


def test_every_long_test_is_in_exactly_one_part() -> None:
    marked = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.soak" in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]

    assert sorted(file for part in PARTS.values() for file in part.files) == marked


def test_only_what_has_not_passed_is_run_again(place: Path) -> None:
    failed = run("trial", PART, place)
    (place / "mended").touch()
    mended, again = run("trial", PART, place), run("trial", PART, place)

    assert (failed, mended, again) == (1, 0, 0)
    assert (place / "runs").read_text(encoding="utf-8").split() == ["0", "1", "2", "1"]
    assert table({"trial": PART}, place).split(" passed")[0].split() == ["trial", "3", "of", "3"]


def test_after_a_change_of_the_program_everything_is_run_again(place: Path) -> None:
    (place / "mended").touch()
    run("trial", PART, place)
    (place / "batch_upload" / "program.py").write_text("2\n", encoding="utf-8")

    assert read("trial", place).seconds == {}


def test_only_a_part_that_has_passed_whole_is_written_down(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("trial", PART, place)
    write({"trial": PART}, place)
    before = json.loads((place / "tests" / "crash" / "soak.json").read_text(encoding="utf-8"))
    (place / "mended").touch()
    run("trial", PART, place)
    write({"trial": PART}, place)
    after = json.loads((place / "tests" / "crash" / "soak.json").read_text(encoding="utf-8"))["trial"]

    assert before == {"trial": {"tests": 9}}
    assert "trial: left as it is, 1 tests have not passed" in capsys.readouterr().out
    assert after["tests"] == 3
    assert [count["points"] for count in after["counts"]] == [0, 1, 2], "in one order, whatever ran last"
