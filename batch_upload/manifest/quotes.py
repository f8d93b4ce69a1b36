"""Values that need quotes: what to write instead of a line that YAML cannot read."""

import re

from batch_upload.manifest.problems import quoted

_KEYS = re.compile(r"(?:^|[\s{,-])([A-Za-z_][\w.-]*):[ \t]+(?=\S)")
_ENTRY = re.compile(r"\s*-[ \t]+(?=\S)")
_COMMENT = re.compile(r"\s+#.*$")
_INDICATORS = frozenset("*&!%@`|>[]{},#")
"""What begins a plain scalar for people, and something else for YAML (YAML 1.2.2, 5.3, c-indicator)."""


def in_quotes(text: str) -> str:
    """A text as a YAML scalar in quotes, in the kind of them that needs no escapes."""
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


LINE_LENGTH = 2_000
"""A longer line was written by a program, which quotes would not help."""


def advice_for_line(line: str, column: int) -> str | None:
    """What to write where YAML cannot read on at `column` of a line, from 1; None where quotes would not help."""
    if len(line) > LINE_LENGTH:
        return None
    key, start = "", 0
    for found in _KEYS.finditer(line):
        if found.end() < column:
            key, start = f"{found[1]}: ", found.end()
    if not start:
        entry = _ENTRY.match(line)
        if entry is None or entry.end() >= column:
            return None
        key, start = "- glob: ", entry.end()
        if line[start] not in "*[":
            return None
    value = _value(line, start)
    how = _how(value)
    return None if how is None else f"{how}: {quoted(key + in_quotes(_without_quotes(value)))}"


def _value(line: str, start: int) -> str:
    """The value that begins there, as its writer meant it."""
    is_in_braces = line.count("{", 0, start) > line.count("}", 0, start)
    value = line[start:]
    if is_in_braces:
        value = re.split(r"[,}]", value, maxsplit=1)[0]
    return _COMMENT.sub("", value).strip()


def _how(value: str) -> str | None:
    if value[:1] == '"':
        if "\\" in value:
            return "a backslash in double quotes begins a special character; use single quotes, or write paths with `/`"
        return "put the whole value in one pair of quotes"
    if value[:1] == "'":
        return "put the whole value in one pair of quotes, and write each `'` in it twice, or use double quotes"
    if value[:1] in _INDICATORS:
        return "put it in quotes"
    if ": " in value or value.endswith(":"):
        return "a value with a colon in it needs quotes"
    return None


def _without_quotes(value: str) -> str:
    """The text in a value that has quotes in the wrong places."""
    if value[:1] == '"':
        return value.replace('"', "")
    if value[:1] == "'":
        return value[1:].removesuffix("'")
    return value
