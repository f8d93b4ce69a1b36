"""Names of files are UTF-8 here, whatever the locale says."""

import io
import os
import sys

_PRINTED_AS = "printed_as"
"""The `-X` option of ours that carries the encoding of what is printed over to the process that starts again."""


def demand_utf8_names() -> None:
    """Start this command again in Python's UTF-8 mode where the locale would have names of files in another encoding.

    Manifests are UTF-8, and so are the names they mean. Python encodes names by the locale (PEP 383), and only at its
    start is that decided (PEP 540). The process keeps its id, environment, descriptors and working folder; what is
    printed keeps the locale's encoding. Does nothing in the locales with UTF-8, and in C and POSIX.
    """
    options = sys._xoptions
    if _PRINTED_AS in options:
        _print_as(str(options[_PRINTED_AS]))
    elif sys.getfilesystemencoding() != "utf-8" and "utf8" not in options and sys.executable:
        printed_as = sys.stdout.encoding if sys.stdout else "utf-8"
        words = [sys.executable, "-X", "utf8", "-X", f"{_PRINTED_AS}={printed_as}"]
        # no shell is wanted: it would take the arguments apart
        os.execv(sys.executable, [*map(os.fsencode, words), *map(_as_utf8, sys.orig_argv[1:])])  # noqa: S606


def _print_as(encoding: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _as_utf8(word: str) -> bytes:
    """An argument for UTF-8 mode: its own bytes where they name a file or are UTF-8, else its text in UTF-8."""
    typed = os.fsencode(word)
    if os.path.lexists(typed):
        return typed
    try:
        typed.decode("utf-8")
    except UnicodeDecodeError:
        return word.encode("utf-8", "surrogateescape")
    return typed
