"""A client in its own process, and its CPU and memory as the kernel counts them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pacing import CREDENTIALS

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("batch-upload")


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a whole process. `peak_bytes`: the most memory that was resident."""

    user_s: float
    system_s: float
    peak_bytes: int

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


_MEASURED = """
import os, sys
report_fd = int(sys.argv[1])
os.set_inheritable(report_fd, False)
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
os.write(report_fd, f"{os.waitstatus_to_exitcode(status)} {used.ru_utime} {used.ru_stime} {used.ru_maxrss}".encode())
"""
"""Starts a command and reports its cost. Small, because the memory of a parent counts as its child's."""


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end. Raise RuntimeError with its output if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BATCH_UPLOAD_"))}
    read_fd, report_fd = os.pipe()
    with tempfile.TemporaryFile() as output, open(read_fd, encoding="ascii") as measured:
        starter = [sys.executable, "-I", "-S", "-c", _MEASURED, str(report_fd), *command]
        with open(report_fd, "wb"):
            subprocess.run(
                starter,
                env={**kept, **CREDENTIALS},
                cwd=ROOT,
                stdout=output,
                stderr=output,
                pass_fds=[report_fd],
                check=True,
            )
        code, user_s, system_s, peak_kib = measured.read().split()
        if code != "0":
            output.seek(0)
            raise RuntimeError(f"{command}: exit {code}\n{output.read().decode()[-2_000:]}")
    return Cost(float(user_s), float(system_s), int(peak_kib) * 1024)


def upload(manifest: Path, url: str, *flags: str) -> Sequence[str]:
    """Return the installed command for a manifest, at full speed."""
    fast = ("--rate", "10000", "--fixed-rate", "--quiet", "--json")
    return (str(COMMAND), "upload", str(manifest), "--endpoint-url", url, *fast, *flags)
