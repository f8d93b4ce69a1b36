"""What a command loads before it can answer: by name, since names do not depend on the machine."""

from pathlib import Path

import pytest

from tests.support.command import run

SERVICE = {"aiobotocore", "aiohttp", "boto3", "botocore"}
LEDGER = {"sqlalchemy", "sqlite3"}
PAGES = {"pygments", "rich"}
FILES = {"pydantic", "rfc8785", "yaml"}
NEVER = {"hypothesis", "pytest"}

MANIFEST = "version: 1\nbatch: june\nattachments:\n  - file: a.pdf\n"


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The packages that the installed command imported on its way."""
    ended = run(*arguments, cwd=cwd, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.code == 0
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 50
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_what_tells_of_itself_loads_nothing_that_does_the_work(flag: str, tmp_path: Path) -> None:
    forbidden = SERVICE | LEDGER | PAGES | FILES | NEVER | {"anyio", "asyncio"}

    assert loaded(flag, cwd=tmp_path) & forbidden == set()


def test_the_help_of_a_verb_loads_nothing_that_does_its_work(tmp_path: Path) -> None:
    # typer itself takes pydantic to read the values of flags
    forbidden = SERVICE | LEDGER | PAGES | FILES - {"pydantic"} | NEVER | {"anyio", "asyncio"}

    assert loaded("upload", "--help", cwd=tmp_path) & forbidden == set()


def test_validate_loads_neither_service_nor_ledger_nor_pages(tmp_path: Path) -> None:
    (tmp_path / "june.yaml").write_text(MANIFEST)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")

    names = loaded("validate", "june.yaml", cwd=tmp_path)

    assert names & (SERVICE | LEDGER | PAGES | NEVER | {"asyncio"}) == set()
    assert "yaml" in names
