"""Names of files are UTF-8 here, whatever the locale says."""

import os
import sys


def demand_utf8_names() -> None:
    """Start this command again in Python's UTF-8 mode where the locale would have names of files in another encoding.

    Manifests are UTF-8, and so are the names they mean. Python encodes names by the locale (PEP 383), and only at its
    start is that decided (PEP 540). The process keeps its id, descriptors and working folder; what is printed keeps the
    locale's encoding. Returns where nothing has to be done, which is so in every locale with UTF-8, C and POSIX.
    """
    if sys.getfilesystemencoding() == "utf-8" or "utf8" in sys._xoptions or not sys.executable:
        return
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace" if sys.stdout else "utf-8")
    words = [os.fsencode(sys.executable), b"-X", b"utf8", *(_as_utf8(word) for word in sys.orig_argv[1:])]
    os.execve(words[0], words, os.environb)  # noqa: S606 - no shell is wanted


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
