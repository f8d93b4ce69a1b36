"""CPU of starting a command, beside that of Python itself, best of several.

python -m benchmarks.startup [--times 7]

Modules are read compiled, as an installation leaves them, whatever `PYTHONDONTWRITEBYTECODE` says: the first time
compiles.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = Path(sys.executable).with_name("batch-upload")


def cpu_s(command: list[str], folder: Path) -> float:
    """Seconds of user and system time of one process, all of its children included. Raise if it fails."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def small_manifest(folder: Path) -> None:
    """A manifest of one item, with its file."""
    (folder / "june.yaml").write_text("version: 1\nbatch: june\nattachments:\n  - file: a.pdf\n")
    (folder / "a.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    times: int = parser.parse_args().times
    commands = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        "`python -c 'import boto3'`, what a script would begin with": [sys.executable, "-c", "import boto3"],
        "`batch-upload --help`": [str(COMMAND), "--help"],
        "`batch-upload --version`": [str(COMMAND), "--version"],
        "`batch-upload validate`, one item": [str(COMMAND), "validate", "june.yaml"],
        "`batch-upload status`, one item": [str(COMMAND), "status", "june.yaml"],
        "`batch-upload plan --offline`, one item": [str(COMMAND), "plan", "--offline", "june.yaml"],
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        small_manifest(folder)
        best = {name: min(cpu_s(command, folder) for _ in range(times)) for name, command in commands.items()}
    bare_s = best["`python -c pass`"]
    print("| command | CPU, ms | times Python itself |")
    print("|---|---:|---:|")
    for name, used_s in best.items():
        print(f"| {name} | {1_000 * used_s:.0f} | {used_s / bare_s:.1f} × |")


if __name__ == "__main__":
    main()
