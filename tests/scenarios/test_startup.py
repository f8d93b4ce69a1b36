"""What a command loads before it can answer: by name, since names do not depend on the machine."""

import signal
import sys
from pathlib import Path

import pytest

from tests.support.command import Result, run, started
from tests.support.preloaded import Preloaded

SERVICE = {"aiobotocore", "aiohttp", "boto3", "botocore"}
LEDGER = {"sqlalchemy", "sqlite3"}
PAGES = {"pygments", "rich"}
FILES = {"pydantic", "rfc8785", "yaml"}
NEVER = {"hypothesis", "pytest"}

TELLING = {"PYTHONPROFILEIMPORTTIME": "1"}
MANIFEST = "version: 1\nbatch: june\nattachments:\n  - file: a.pdf\n"


COUNTING = """
import gc, sys
from batch_upload.cli.main import main
before = sum(each["collections"] for each in gc.get_stats())
try:
    main()
finally:
    print(sum(each["collections"] for each in gc.get_stats()) - before)
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The packages that the installed command imported on its way."""
    return packages(modules(*arguments, cwd=cwd))


def modules(*arguments: str, cwd: Path) -> set[str]:
    ended = run(*arguments, cwd=cwd, env=TELLING)
    assert ended.code == 0
    return names_in(ended)


def names_in(ended: Result) -> set[str]:
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 50
    return {line.rpartition("|")[2].strip() for line in lines}


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_what_tells_of_itself_loads_nothing_that_does_the_work(flag: str, tmp_path: Path) -> None:
    forbidden = SERVICE | LEDGER | PAGES | FILES | NEVER | {"anyio", "asyncio"}

    assert loaded(flag, cwd=tmp_path) & forbidden == set()


def test_help_does_not_ask_which_version_is_installed(tmp_path: Path) -> None:
    assert "importlib.metadata" not in modules("--help", cwd=tmp_path)


def test_the_help_of_a_verb_loads_nothing_that_does_its_work(tmp_path: Path) -> None:
    # typer itself takes pydantic to read the values of flags
    forbidden = SERVICE | LEDGER | PAGES | FILES - {"pydantic"} | NEVER | {"anyio", "asyncio"}

    assert loaded("upload", "--help", cwd=tmp_path) & forbidden == set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest of one item, with its file."""
    (tmp_path / "june.yaml").write_text(MANIFEST)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    return tmp_path


@pytest.fixture
def uploaded(folder: Path, command: Preloaded) -> Path:
    """The same, with a ledger in which the item is complete."""
    assert command.run("upload", "june.yaml", "--local", cwd=folder).code == 0
    return folder


def test_validate_loads_neither_service_nor_ledger_nor_pages(folder: Path) -> None:
    names = loaded("validate", "june.yaml", cwd=folder)

    assert names & (SERVICE | LEDGER | PAGES | NEVER | {"asyncio"}) == set()
    assert "yaml" in names


@pytest.mark.parametrize(
    "line",
    [
        "plan june.yaml --offline",
        "status june.yaml",
        "why june.yaml a.pdf",
        "report june.yaml",
        "report june.yaml --format html",
    ],
)
def test_what_talks_to_nobody_loads_nothing_that_talks(line: str, uploaded: Path) -> None:
    names = loaded(*line.split(), "--local", cwd=uploaded)

    assert names & (SERVICE | PAGES | NEVER) == set()
    assert "sqlalchemy" in names


def test_a_quiet_run_loads_nothing_that_draws(uploaded: Path) -> None:
    assert loaded("upload", "june.yaml", "--local", "--quiet", cwd=uploaded) & PAGES == set()


def test_watch_loads_its_server_and_no_client_of_the_service(uploaded: Path) -> None:
    with started("watch", "june.yaml", "--local", "--json", cwd=uploaded, env=TELLING) as watch:
        watch.until("listening")
        watch.signal(signal.SIGINT)
        names = packages(names_in(watch.finish()))

    assert names & ((SERVICE | PAGES | NEVER) - {"aiohttp"}) == set()
    assert "aiohttp" in names


def test_what_a_command_imports_is_not_looked_through_again_and_again(folder: Path) -> None:
    ended = run("plan", "june.yaml", "--local", "--quiet", cwd=folder, command=(sys.executable, "-c", COUNTING))

    assert int(ended.stdout) < 50


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    slow = 'import time\nprint(\'{"event": "importing"}\', flush=True)\ntime.sleep(60)\n'
    (tmp_path / "typer.py").write_text(slow, encoding="utf-8")

    with started("fleet", "upload", "x.yaml", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}) as running:
        running.until("importing")
        running.signal(signal.SIGINT)
        ended = running.finish()

    assert (ended.code, ended.stderr) == (130, "")
