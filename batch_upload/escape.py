"""Names from files and services, made harmless for a terminal, a shell line and an encoding."""

import os
import re
import shlex
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath
from typing import TextIO

QUOTED_PATH_MAX = 300
"""Characters of a path in a message. A file's own name has at most 255 bytes on the usual file systems, so it fits."""
_JOINERS = frozenset("\u200c\u200d")
"""Invisible, but part of how Persian and emoji are spelled; they move nothing."""
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    """Return the text with every character that moves, hides or reorders others as an escape (`\\x1b`, `\\u202e`).

    Those are control characters, bidi overrides and other format characters, line separators and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_unsafe(char) else char for char in text)


def quoted(name: str | PurePath, *, max_length: int | None = None) -> str:
    """Return a name in backticks for a message, its end cut off beyond `max_length` characters.

    Every character that is not printable is escaped. That covers more than `printable`: also a no-break space, which
    looks like a space in a message about a name.
    """
    text = str(name)
    if max_length is not None and len(text) > max_length:
        text = text[: max_length - 1] + "…"
    return f"`{''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)}`"


def quoted_path(path: str | PurePath) -> str:
    """Return a path for a message, as `quoted`; a long one loses its beginning, since the end names the file."""
    text = str(path)
    return quoted(text if len(text) <= QUOTED_PATH_MAX else "…" + text[1 - QUOTED_PATH_MAX :])


def escaped_for(text: str, encoding: str) -> str:
    """Return the text with what `encoding` cannot take as escapes."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def stream_encoding(stream: TextIO) -> str:
    """Return the encoding of a text stream; UTF-8 where it has none, as in memory."""
    return getattr(stream, "encoding", None) or "utf-8"


def terminal_width(stream: TextIO) -> int | None:
    """Return how many columns the terminal of a stream has; None if it is no terminal, or one without a size."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):
        return None


def write_text(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines for people and flush them; what the stream's encoding cannot take becomes escapes.

    Raises OSError as the stream does.
    """
    encoding = stream_encoding(stream)
    stream.writelines(f"{escaped_for(line, encoding)}\n" for line in lines)
    stream.flush()


def shell_word(text: str) -> str:
    """Return one word of a POSIX shell line that can be typed, and copied, as it is shown.

    A text with control characters takes the form `$'…'`, which bash, zsh and ksh read.
    """
    if printable(text) == text:
        return shlex.quote(text)
    escaped = re.sub(r"[\\']", lambda found: "\\" + found.group(), text)
    return "$'" + "".join(_shell_escaped(char) if _is_unsafe(char) else char for char in escaped) + "'"


def _is_unsafe(char: str) -> bool:
    return char not in _JOINERS and unicodedata.category(char) in _UNSAFE_CATEGORIES


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shell_escaped(char: str) -> str:
    # Python decodes a byte of a name that is not UTF-8 to one of these surrogates; the shell gets the byte back.
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", errors))
