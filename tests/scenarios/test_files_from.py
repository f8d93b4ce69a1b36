"""`manifest new --files-from`: a manifest of a list of files, such as `find` makes."""

from pathlib import Path

import pytest

from tests.support.batches import pdf
from tests.support.command import Result, run

NAMES = ("f/a.pdf", "f/Ü b.pdf", "g/[c] {d}.pdf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pdf(name))
    return tmp_path


def new(folder: Path, *flags: str, piped: str = "") -> Result:
    return run("manifest", "new", *flags, "--batch", "june", cwd=folder, piped=piped)


@pytest.mark.parametrize(
    ("flags", "piped"),
    [
        ((), "".join(f"./{name}\n" for name in NAMES)),
        ((), "\r\n".join(NAMES)),
        (("--null",), "".join(f"{name}\0" for name in NAMES)),
        (("-0",), "\0".join(NAMES)),
    ],
)
def test_a_list_on_standard_input_becomes_a_manifest_that_is_valid(
    folder: Path, flags: tuple[str, ...], piped: str
) -> None:
    made = new(folder, "--files-from", "-", *flags, "-o", "june.yaml", piped=piped)
    table = run("report", "june.yaml", "--format", "jsonl", cwd=folder)

    assert (made.code, made.stderr.count("3 attachments in `june.yaml`")) == (0, 1)
    assert run("validate", "june.yaml", cwd=folder).code == 0
    assert [line for line in NAMES if f'"id": "{line}"' not in table.stdout.replace("\\u00dc", "Ü")] == []


def test_a_list_on_standard_input_names_the_batch_as_the_manifest(folder: Path) -> None:
    flags = ("manifest", "new", "--files-from", "-")

    made = run(*flags, "-o", "July 1.yaml", cwd=folder, piped="f/a.pdf\n")
    nameless = run(*flags, cwd=folder, piped="f/a.pdf\n")

    assert made.code == 0, made.stderr
    assert "batch: july-1\n" in (folder / "July 1.yaml").read_text(encoding="utf-8")
    assert nameless.code == 2
    assert "`--batch NAME`" in nameless.stderr


def test_a_list_in_a_file_names_the_batch_and_its_paths_start_at_the_working_directory(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "letters.txt").write_text("f/a.pdf\n", encoding="utf-8")

    made = run(
        *("manifest", "new", "--files-from", "letters.txt", "--tag", "Name={stem}"),
        *("-o", "out/l.yaml", "--allow-outside"),
        cwd=folder,
    )

    text = (folder / "out" / "l.yaml").read_text(encoding="utf-8")
    assert made.code == 0, made.stderr
    assert "batch: letters" in text
    assert 'file: "../f/a.pdf"' in text
    assert run("validate", "out/l.yaml", "--allow-outside", cwd=folder).code == 0


def test_every_problem_is_told_with_its_line_and_nothing_is_written(folder: Path) -> None:
    (folder / "f" / "text.pdf").write_text("no document")

    made = new(folder, "--files-from", "-", "-o", "june.yaml", piped="f/a.pdf\nnone.pdf\nf/text.pdf\nf/a.pdf\n")

    assert made.code == 21
    assert "-:2: `none.pdf` does not exist" in made.stderr
    assert "-:3: `f/text.pdf`" in made.stderr
    assert "-:4: the id `f/a.pdf` is used in line 1 already" in made.stderr
    assert not (folder / "june.yaml").exists()


@pytest.mark.parametrize(
    ("flags", "piped", "words"),
    [
        ((), "", "name a folder, a table, or a list of files"),
        (("f", "--files-from", "-"), "f/a.pdf", "one of them"),
        (("f", "--null"), "", "`--null` goes with `--files-from` only"),
        (("--files-from", "-"), "\n\n", "the list `-` names no file"),
        (("--files-from", "none.txt"), "", "`none.txt` cannot be read: no such file"),
        (("--files-from", "-", "--tag", "A={col:B}"), "f/a.pdf", "a list of files has no columns"),
        (("--files-from", "-", "--target-column", "B"), "f/a.pdf", "a list of files has no columns"),
    ],
)
def test_what_cannot_be_a_list_is_a_usage_error(folder: Path, flags: tuple[str, ...], piped: str, words: str) -> None:
    made = new(folder, *flags, piped=piped)

    assert (made.code, made.stdout) == (2, "")
    assert words in made.stderr
