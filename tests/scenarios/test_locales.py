"""Names of files are UTF-8 whatever the locale: manifests are, and so are the names that they mean."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.batches import pdf
from tests.support.command import COMMAND, TIMEOUT_S
from tests.support.scheduled import require
from tests.support.strace import needed

LOCALES = {"de_DE": ("de_DE", "ISO-8859-1"), "ja_JP.SJIS": ("ja_JP", "SHIFT_JIS")}
MANIFEST = "version: 1\nbatch: june\nattachments:\n  - file: Müller.pdf\n  - file: 中文.pdf\n  - glob: 'süd/*.pdf'\n"


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real locales, made here."""
    require("localedef")
    folder = tmp_path_factory.mktemp("locales")
    for name, (source, charset) in LOCALES.items():
        made = subprocess.run(
            ["localedef", "--no-warnings=ascii", "-i", source, "-f", charset, folder / name],
            capture_output=True,
            check=False,
        )
        if made.returncode > 1:
            needed(f"localedef cannot make {name}: {made.stderr.decode(errors='replace')}")
    return folder


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Documents and a manifest with names in UTF-8, the manifest's own included."""
    for name in ("Müller.pdf", "中文.pdf", "süd/Größe.pdf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pdf(name))
    (tmp_path / "für.yaml").write_text(MANIFEST, encoding="utf-8")
    return tmp_path


def run(
    *arguments: str | bytes, cwd: Path, locales: Path, locale: str, env: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The command in a bare environment with this locale: its code, and all that it prints."""
    ended = subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LOCPATH": str(locales), "LC_ALL": locale, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
        check=False,
    )
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("locale", LOCALES)
def test_names_are_utf_8_for_every_verb(locales: Path, letters: Path, locale: str) -> None:
    def ran(*arguments: str | bytes) -> tuple[int, bytes]:
        return run(*arguments, cwd=letters, locales=locales, locale=locale)

    assert ran("validate", "für.yaml")[0] == 0
    assert ran("upload", "für.yaml", "--local", "--ledger", "süd/é.ledger")[0] == 0
    code, told = ran("why", "für.yaml", "süd/Größe.pdf", "--local", "--ledger", "süd/é.ledger")
    assert (code, b"complete since" in told) == (0, True), told
    assert ran("report", "für.yaml", "--local", "--ledger", "süd/é.ledger", "--format", "csv", "-o", "Ö.csv")[0] == 0
    assert ran("manifest", "new", "süd", "-o", "ß.yaml")[0] == 0

    assert sorted(path.name for path in letters.iterdir() if path.suffix in (".csv", ".yaml")) == [
        "für.yaml", "Ö.csv", "ß.yaml",
    ]  # fmt: skip
    assert (letters / "süd" / "é.ledger").exists()
    assert "Müller.pdf" in (letters / "Ö.csv").read_text(encoding="utf-8")
    assert "süd/*.pdf" in (letters / "ß.yaml").read_text(encoding="utf-8")


def test_a_path_in_a_variable_is_utf_8_too(locales: Path, letters: Path) -> None:
    code, told = run(
        "upload", "für.yaml", "--local", cwd=letters, locales=locales, locale="de_DE",
        env={"BATCH_UPLOAD_LEDGER": "süd/ö.ledger"},
    )  # fmt: skip

    assert code == 0, told
    assert (letters / "süd" / "ö.ledger").exists()


def test_a_text_that_is_typed_in_the_locale_is_taken_as_such(locales: Path, letters: Path) -> None:
    code, told = run(
        "why", "für.yaml".encode("latin-1"), "Müller.pdf".encode("latin-1"),
        cwd=letters, locales=locales, locale="de_DE",
    )  # fmt: skip

    assert code == 0, told
    assert "`Müller.pdf` of batch `june`".encode("latin-1") in told


def test_a_file_whose_own_name_is_not_utf_8_can_be_named_as_an_argument(locales: Path, letters: Path) -> None:
    name = "für.yaml".encode("latin-1")
    (letters / "für.yaml").rename(letters / os.fsdecode(name))

    assert run("validate", name, cwd=letters, locales=locales, locale="de_DE")[0] == 0


def test_what_is_printed_keeps_the_encoding_of_the_locale(locales: Path, letters: Path) -> None:
    (letters / "Müller.pdf").unlink()

    code, told = run("validate", "für.yaml", cwd=letters, locales=locales, locale="de_DE")

    assert code == 21
    assert "`Müller.pdf` does not exist".encode("latin-1") in told
    assert b"Traceback" not in told


def test_pythons_own_variable_changes_nothing(locales: Path, letters: Path) -> None:
    for mode in ("0", "1"):
        code, told = run("validate", "für.yaml", cwd=letters, locales=locales, locale="de_DE", env={"PYTHONUTF8": mode})
        assert code == 0, told
