"""Clocks of a process that a test moves while it runs: machines that sleep, are set to another time, or are slow.

`clocks.c` is preloaded into the process and adds offsets to what the system says. One world has one true time, in which
its service lives; each machine in it has a wall clock that may be wrong and a monotonic clock that stops in its sleep.
"""

import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.strace import needed

SOURCE = Path(__file__).with_name("clocks.c")
OFFSETS_FILE = "BATCH_UPLOAD_TESTS_CLOCKS"
_LAYOUT = struct.Struct("=3q")
_NS = 1_000_000_000


def require_shifted_clocks() -> None:
    """Skip the test where a process cannot be given shifted clocks."""
    if not sys.platform.startswith("linux"):
        needed("clocks are shifted on Linux only")
    if shutil.which("cc") is None:
        needed("there is no C compiler `cc` to build the shifted clocks with")


def build_library(folder: Path) -> Path:
    """Compile `clocks.c` into this folder and return the library. Skips the test where that is impossible."""
    require_shifted_clocks()
    library = folder / "clocks.so"
    flags = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run(["cc", *flags, "-o", library, SOURCE], check=True)
    return library


class Clocks:
    """The offsets of one machine, in a file that its processes map. All begin at zero.

    `asleep_s`: how long the machine slept. `wrong_s`: how far its wall clock is ahead of the true time. `passed_s`: how
    far the true time is ahead of the system's.
    """

    def __init__(self, library: Path, path: Path) -> None:
        path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._env = {"LD_PRELOAD": str(library), OFFSETS_FILE: str(path)}
        self.reset(0.0)

    @property
    def env(self) -> Mapping[str, str]:
        """The variables that give a process these clocks."""
        return self._env

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass at once, as if the machine were busy with something else."""
        self.passed_s += seconds
        self._write()

    def sleep(self, seconds: float) -> None:
        """Let so much time pass in a suspend: CLOCK_MONOTONIC does not count it, the other clocks do.

        A process that runs would see its clocks jump one after another: stop it before.
        """
        self.asleep_s += seconds
        self.pass_time(seconds)

    def reset(self, passed_s: float) -> None:
        """Be the clocks of a machine that is right and never slept, in a world whose time is so far ahead."""
        self.passed_s, self.asleep_s, self.wrong_s = passed_s, 0.0, 0.0
        self._write()

    def set_wall(self, wrong_s: float) -> None:
        """Set the wall clock to the true time plus so much."""
        self.wrong_s = wrong_s
        self._write()

    def close(self) -> None:
        """Give the mapping back. Processes keep what was written last."""
        self._mapped.close()

    def _write(self) -> None:
        offsets_s = (self.passed_s + self.wrong_s, self.passed_s - self.asleep_s, self.passed_s)
        self._mapped[:] = _LAYOUT.pack(*(round(each * _NS) for each in offsets_s))
