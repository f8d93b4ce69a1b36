"""The wheel in an environment of its own: what is installed is all that is needed beside the dependencies."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.command import TIMEOUT_S, Result, run
from tests.support.emulator_process import ROOT
from tests.support.transcripts import copy_of_manifests

DEPENDENCIES = Path(sysconfig.get_path("purelib"))


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has our wheel, and the dependencies by their folder alone.

    A `.pth` of a `.pth` is not read, so the checkout, which is installed by one, is not importable there.
    """
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    environment = folder / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    _pip("--python", python, "install", "--no-index", "--no-deps", wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
    return environment / "bin"


def _run(installed: Path, *arguments: str, cwd: Path) -> Result:
    return run(*arguments, cwd=cwd, command=[installed / "batch-upload"])


def test_the_wheel_brings_everything_that_is_ours(installed: Path, tmp_path: Path) -> None:
    script = "import batch_upload, importlib.resources as r; print(batch_upload.__file__); print(r.files(batch_upload))"
    found = run("-c", script, cwd=tmp_path, command=[installed / "python"])

    package = Path(found.stdout.splitlines()[0]).parent
    assert package.is_relative_to(installed.parent)
    ours = {path.relative_to(ROOT) for path in (ROOT / "batch_upload").rglob("*") if "__pycache__" not in path.parts}
    assert {path.relative_to(package.parent) for path in package.rglob("*")} >= ours


def test_its_help_and_the_demo_work(installed: Path, tmp_path: Path) -> None:
    folder = copy_of_manifests(tmp_path)

    told = _run(installed, "--help", cwd=folder)
    first = _run(installed, "upload", "demo.yaml", "--local", "--json", cwd=folder)
    again = _run(installed, "upload", "demo.yaml", "--local", "--json", cwd=folder)

    assert told.code == 0
    assert (first.code, first.states) == (0, {"complete": first.summary["items"]}), first.stderr
    assert first.summary["items"] >= 12
    assert (again.code, again.summary["unchanged"]) == (0, first.summary["items"])
