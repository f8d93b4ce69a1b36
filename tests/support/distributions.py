"""The wheel and the sdist as hatchling builds them from this checkout, and environments to install them into."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.emulator_process import ROOT

REQUIREMENTS = ROOT / "requirements"
BUILD_S = 120.0
INSTALL_S = 600.0


@dataclass(frozen=True, slots=True)
class Distributions:
    """The two files that are released."""

    wheel: Path
    sdist: Path


def build(folder: Path, source: Path = ROOT) -> Distributions:
    """Build both from `source` into `folder`, with the hatchling that is pinned, fetching nothing."""
    complete(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=source, timeout_s=BUILD_S)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


def complete(*command: str | Path, cwd: Path, env: dict[str, str] | None = None, timeout_s: float = INSTALL_S) -> str:
    """Run a command that must succeed, and return what it printed."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def interpreters() -> Sequence[Path]:
    """Return a Python of each minor version from 3.11 on that this machine has: on PATH, or kept by pyenv."""
    found: dict[tuple[int, ...], Path] = {}
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    named = (shutil.which(f"python3.{minor}") for minor in range(11, 20))
    for path in (Path(sys.executable), *(Path(each) for each in named if each), *kept):
        told = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        version = tuple(int(part) for part in told.stdout.split())
        if told.returncode == 0 and version >= (3, 11):
            found.setdefault(version, path)
    return [found[version] for version in sorted(found)]


def constraints(name: str, folder: Path) -> Path:
    """Write the pins of `requirements/NAME.txt` without their hashes, which pip would ask of our own wheel as well."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.removesuffix("\\").strip() for line in lines if line[:1].isalnum()]
    path = folder / f"{name}-constraints.txt"
    path.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    return path
