"""The kind of file system that a path is on. Only Linux has the table of mounts."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes spaces and other special characters."""


def file_system_of(real: Path, *, mounts: Path = MOUNTS) -> str | None:
    """Return the kernel's name of the file system that a resolved path is on (proc(5), mountinfo).

    Return None if the system has no table. Blocking.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), before.split()[4])
        if real.is_relative_to(point) and (best is None or len(point) >= best[0]):
            best = (len(point), after.split()[0])
    return best[1] if best else None
