"""On what the command runs, and what it says elsewhere."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ON_WINDOWS = """
import os, runpy, sys
sys.platform = "win32"
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
del os.O_NOFOLLOW, os.O_NONBLOCK
runpy.run_module("batch_upload", run_name="__main__")
"""
"""Python as it is on Windows, as far as this package could notice: without POSIX's modules and flags of `open`."""


@pytest.mark.parametrize("arguments", ["--help", "validate m.yaml", "upload m.yaml --local --quiet", "doctor --json"])
def test_windows_is_told_in_one_sentence_what_to_use_instead(tmp_path: Path, arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ON_WINDOWS, *arguments.split()],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: batch-upload runs on Linux and macOS; on Windows run it within WSL\n"


def test_the_installed_command_begins_where_windows_is_noticed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["scripts"] == {"batch-upload": "batch_upload.__main__:main"}


def test_where_there_is_no_other_python_that_is_said_and_is_no_failure(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.pythons"],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert ended.stdout == f"pythons: none but {version} is here, so there is nothing to run\n"
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_pages_that_tell_how_to_install_it_say_on_what_it_runs(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())

    assert "Linux and macOS" in text
    assert "WSL" in text
