"""Names from files and services, made harmless for a terminal, a shell line and an encoding."""

import re
import shlex
import unicodedata
from collections.abc import Iterable
from typing import TextIO

_JOINERS = frozenset("\u200c\u200d")
"""Invisible, but part of how Persian and emoji are spelled; they move nothing."""
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
_HELD_BY_QUOTES = re.compile(r"[\\']")


def printable(text: str) -> str:
    """The text with every character that moves, hides or reorders others written as an escape (`\\x1b`, `\\u202e`).

    Those are control characters, bidi overrides and other format characters, line separators and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_unsafe(char) else char for char in text)


def quoted(text: str) -> str:
    """Return the text in backticks, with an escape for every character that is not printable.

    That covers more than `printable`: also a no-break space, which looks like a space in a message about a name.
    """
    return f"`{''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)}`"


def encodable(text: str, encoding: str) -> str:
    """The text with what `encoding` cannot take written as escapes."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def stream_encoding(stream: TextIO) -> str:
    """The encoding of a text stream; UTF-8 where it has none, as in memory."""
    return getattr(stream, "encoding", None) or "utf-8"


def write_text(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines for people and flush them; what the stream's encoding cannot take becomes escapes.

    Raises OSError as the stream does.
    """
    encoding = stream_encoding(stream)
    stream.writelines(f"{encodable(line, encoding)}\n" for line in lines)
    stream.flush()


def shell_word(text: str) -> str:
    """One word of a POSIX shell line that can be typed, and copied, as it is shown.

    A text with control characters takes the form `$'…'`, which bash, zsh and ksh read.
    """
    if printable(text) == text:
        return shlex.quote(text)
    escaped = _HELD_BY_QUOTES.sub(lambda found: "\\" + found.group(), text)
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
    return "".join(
        f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape" if _is_raw_byte(char) else "surrogatepass")
    )


def _is_raw_byte(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"
