"""How the values of a manifest are spelled: as every YAML reader, 1.1 and 1.2, reads them, and as people do."""

import re

from batch_upload.model import KB, KIB

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 or 1.2 takes for something else than text."""


def yaml_text(text: str, *, ascii_only: bool = False) -> str:
    """A scalar in double quotes that every YAML reader, 1.1 and 1.2, reads as exactly this text.

    Not JSON's escapes: YAML knows no pairs of surrogates, and does not take DEL, C1 and U+FEFF unescaped.
    """
    return '"' + "".join(_yaml_char(char, ascii_only=ascii_only) for char in text) + '"'


def yaml_scalar(text: str) -> str:
    """The same text, without quotes where nobody could take it for anything else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return yaml_text(text)


def size_text(size_bytes: int) -> str:
    """A size as a manifest spells it: `500KB`, `64KiB`, or plain bytes."""
    for factor, unit in ((KIB**2, "MiB"), (KB, "KB"), (KIB, "KiB")):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def _yaml_char(char: str, *, ascii_only: bool) -> str:
    code = ord(char)
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable() and (char.isascii() or not ascii_only):
        return char
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
