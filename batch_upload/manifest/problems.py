"""Where problems are gathered while a manifest is read, and how their messages quote it."""

from batch_upload.manifest.codes import Code
from batch_upload.model import Position, Problem

QUOTED_LENGTH = 80
PATH_LENGTH = 300
"""A file's own name has at most 255 bytes on the usual file systems, so that it is always shown."""


def quoted(text: str) -> str:
    """The text in backticks, on one line, without control characters, bidi overrides or endless length."""
    clipped = text if len(text) <= QUOTED_LENGTH else text[: QUOTED_LENGTH - 1] + "…"
    return f"`{printable(clipped)}`"


def quoted_path(path: str) -> str:
    """The same for a path, of which the end is never cut off: it names the file."""
    clipped = path if len(path) <= PATH_LENGTH else "…" + path[1 - PATH_LENGTH :]
    return f"`{printable(clipped)}`"


def printable(text: str) -> str:
    """The text without control characters and bidi overrides, which are written as escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Problems:
    """Every problem of one manifest, in the order of their places."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, at: Position, code: Code, message: str) -> None:
        self._found.append(Problem(self._file, at, code.value, message))

    def in_order(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._found, key=lambda problem: problem.at))
