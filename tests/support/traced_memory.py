"""How much memory some Python code takes, in a process of its own: what other tests do and leave is not to count."""

import subprocess
import sys
from pathlib import Path

from tests.support.emulator_process import ROOT


def most_bytes_of(work: str, *arguments: str | Path, imports: str) -> int:
    """Return the most bytes that Python objects made by `work` took at a time, beside what the imports take.

    `work` is code that finds the arguments as texts in `arguments`. Raises CalledProcessError if it fails.
    """
    code = (
        f"import sys, tracemalloc\n{imports}\narguments = sys.argv[1:]\ntracemalloc.start()\n{work}\n"
        "print(tracemalloc.get_traced_memory()[1])"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
