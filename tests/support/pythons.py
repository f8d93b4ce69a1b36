"""The tests that may differ with the Python, on each other Python that this machine has: `make pythons`.

Each has an environment of its own (`.venv-3.13`), with the same pins. Ends with the exit code of the first that fails,
after all have run. Where there is no other Python, that is said, and it is no failure.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.distributions import interpreters
from tests.support.emulator_process import ROOT

ALL = (
    "tests/unit",
    "tests/contract",
    *(f"tests/scenarios/test_{name}.py" for name in ("bind", "readme", "rerun", "stopping", "verbs", "wheel")),
)
"""What runs unless other tests are named: what needs most of the language and its library, and each verb once."""


def others() -> Mapping[str, Path]:
    """Return the Pythons from 3.11 on that are not this one, by version (`3.13`), oldest first."""
    found = interpreters()
    versions = {_version(path): path for path in found}
    return {version: path for version, path in versions.items() if version != _version(Path(sys.executable))}


def main(arguments: Sequence[str]) -> int:
    """Run the tests, one Python after the other, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.pythons", description=__doc__)
    parser.add_argument("--newest", action="store_true", help="only on the newest of them")
    parser.add_argument("tests", nargs="*", help=f"default: {' '.join(ALL)}")
    chosen = parser.parse_args(arguments)
    found = list(others().items())
    if not found:
        sys.stdout.write(f"pythons: none but {_version(Path(sys.executable))} is here, so there is nothing to run\n")
        return 0
    codes = [_run(version, path, chosen.tests or ALL) for version, path in (found[-1:] if chosen.newest else found)]
    return next((code for code in codes if code), 0)


def _version(python: Path) -> str:
    command: list[str | Path] = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    told: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told.strip()


def _run(version: str, python: Path, tests: Sequence[str]) -> int:
    """Make the environment, if it is not there yet, and run these tests in it."""
    venv = f".venv-{version}"
    sys.stdout.write(f"pythons: {version}, {python}\n")
    sys.stdout.flush()
    # a `make` of its own: what the outer one was told about Python and environment is not for this one
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")}
    make = ["make", "--silent", "test", f"PYTHON={python}", f"VENV={venv}", f"TESTS={' '.join(tests)}"]
    return subprocess.run(make, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
