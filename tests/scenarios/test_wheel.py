"""The wheel in an environment of its own: what is installed is all that is needed beside the dependencies."""

import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.support.command import Result, run
from tests.support.distributions import Distributions, build, complete
from tests.support.emulator_process import ROOT
from tests.support.transcripts import copy_of_manifests

DEPENDENCIES = Path(sysconfig.get_path("purelib"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"batch_upload-{PROJECT['version']}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Both distributions, built from the checkout as it is."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has our wheel, and the dependencies by their folder alone.

    A `.pth` of a `.pth` is not read, so the checkout, which is installed by one, is not importable there.
    """
    environment = tmp_path_factory.mktemp("wheel") / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python)
    complete(*pip, "install", "--no-index", "--no-deps", built.wheel, cwd=environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
    return environment / "bin"


def _run(installed: Path, *arguments: str, cwd: Path) -> Result:
    return run(*arguments, cwd=cwd, command=[installed / "batch-upload"])


def _metadata(built: Distributions) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        return BytesParser().parsebytes(wheel.read(f"{NAME}.dist-info/METADATA"))


def test_the_wheel_brings_everything_that_is_ours(installed: Path, tmp_path: Path) -> None:
    script = "import batch_upload, importlib.resources as r; print(batch_upload.__file__); print(r.files(batch_upload))"
    found = run("-c", script, cwd=tmp_path, command=[installed / "python"])

    package = Path(found.stdout.splitlines()[0]).parent
    assert package.is_relative_to(installed.parent)
    ours = {path.relative_to(ROOT) for path in (ROOT / "batch_upload").rglob("*") if "__pycache__" not in path.parts}
    assert {path.relative_to(package.parent) for path in package.rglob("*")} >= ours


def test_the_wheel_holds_the_package_its_licence_and_its_manual_page_and_nothing_else(built: Distributions) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())

    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "batch_upload").rglob("*") if path.is_file()}
    information = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert names == {name for name in package if "__pycache__" not in name} | information | {
        f"{NAME}.dist-info/licenses/LICENSE",
        f"{NAME}.data/data/share/man/man1/batch-upload.1",
    }
    assert {"batch_upload/py.typed", "batch_upload/report/page/assets/page.html"} <= names


def test_the_sdist_builds_the_same_wheel_to_the_byte(built: Distributions, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")

    again = build(tmp_path / "dist", tmp_path / NAME)

    assert again.wheel.name == built.wheel.name
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


def test_the_sdist_has_what_tests_and_operators_need_and_nothing_that_a_run_left(built: Distributions) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0 and (ROOT / ".git").exists():
        assert set(tracked.stdout.splitlines()) <= names
    assert {"SECURITY.md", "requirements/runtime.txt", "deploy/crontab", "tests/conftest.py", ".ci/run"} <= names
    left = (".ledger", ".ledger-wal", ".ledger.lock", ".pyc", ".local.service")
    assert [name for name in names if name.endswith(left) and not name.startswith("tests/crash/ledgers/")] == []


def test_its_metadata_says_what_it_is_and_names_no_address(built: Distributions) -> None:
    told = _metadata(built)

    assert told["License-Expression"] == "Apache-2.0"
    assert told["License-File"] == "LICENSE"
    assert told["Requires-Python"] == ">=3.11"
    assert told.get_all("Provides-Extra") == ["dask", "fleet"]
    assert told["Description-Content-Type"] == "text/markdown"
    description = told.get_payload(decode=True)
    assert isinstance(description, bytes)
    assert description.decode().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert [value for value in told.values() if "://" in value] == []
    assert "Typing :: Typed" in told.get_all("Classifier", [])


def test_its_help_its_version_and_its_manual_page_are_there(installed: Path, tmp_path: Path) -> None:
    told = _run(installed, "--help", cwd=tmp_path)
    version = _run(installed, "--version", cwd=tmp_path)

    assert (told.code, version.code) == (0, 0)
    assert version.stdout == f"batch-upload {PROJECT['version']}\n"
    assert (installed.parent / "share" / "man" / "man1" / "batch-upload.1").read_bytes().startswith(b'.\\"')


def test_the_demo_works(installed: Path, tmp_path: Path) -> None:
    folder = copy_of_manifests(tmp_path)

    first = _run(installed, "upload", "demo.yaml", "--local", "--json", cwd=folder)
    again = _run(installed, "upload", "demo.yaml", "--local", "--json", cwd=folder)

    assert (first.code, first.states) == (0, {"complete": first.summary["items"]}), first.stderr
    assert first.summary["items"] >= 12
    assert (again.code, again.summary["unchanged"]) == (0, first.summary["items"])
