"""What to say about text that YAML cannot read: the position, the reason, and usually which quotes are missing."""

import re

import yaml

from batch_upload.manifest.problems import excerpt
from batch_upload.model import Position

LINE_LENGTH_MAX = 2_000
"""A longer line was written by a program, and advice about quotes would not help."""
_KEYS = re.compile(r"(?:^|[\s{,-])([A-Za-z_][\w.-]*):[ \t]+(?=\S)")
_ENTRY = re.compile(r"\s*-[ \t]+(?=\S)")
_COMMENT = re.compile(r"\s+#.*$")
_INDICATORS = frozenset("*&!%@`|>[]{},#")
"""Characters that do not begin a plain scalar in YAML, although people expect it (YAML 1.2.2, 5.3, c-indicator)."""


def in_quotes(text: str) -> str:
    """Return a text as a YAML scalar in the kind of quotes that needs no escapes."""
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def position_of_fault(error: yaml.YAMLError) -> Position:
    """Return where YAML cannot be read on."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return Position(mark.line + 1, mark.column + 1) if mark else Position()


def syntax_message(error: yaml.YAMLError, line: str, column: int) -> str:
    """Return what is wrong, and what to write instead where quotes help. `line` has the fault at `column`, from 1."""
    begin = getattr(error, "context_mark", None)
    if begin is not None and "quoted scalar" in str(error) and "end of stream" in str(error):
        # the text that the quotation mark begins goes to the end of the file
        return f"the quotation mark in line {begin.line + 1}, column {begin.column + 1} is not closed"
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    return advice_for_line(line, column) or ", ".join(part for part in parts if part) or str(error)


def advice_for_line(line: str, column: int) -> str | None:
    """Return what to write where YAML cannot read on at `column`, from 1, or None if quotes would not help."""
    if len(line) > LINE_LENGTH_MAX:
        return None
    key, start = "", 0
    for found in _KEYS.finditer(line):
        if found.end() < column:
            key, start = f"{found[1]}: ", found.end()
    if not start:
        entry = _ENTRY.match(line)
        if entry is None or entry.end() >= column or line[entry.end()] not in "*[":
            return None
        key, start = "- glob: ", entry.end()
    value = line[start:]
    if line.count("{", 0, start) > line.count("}", 0, start):  # in a mapping in braces
        value = re.split(r"[,}]", value, maxsplit=1)[0]
    value = _COMMENT.sub("", value).strip()
    advice, bare = _quotes_advice(value)
    return f"{advice}: {excerpt(key + in_quotes(bare))}" if advice else None


def _quotes_advice(value: str) -> tuple[str, str]:
    """Return what to do about a value, empty if quotes do not help, and the value without misplaced quotes."""
    if value[:1] == '"':
        bare = value.replace('"', "")
        if "\\" in value:
            advice = (
                "a backslash in double quotes begins a special character; use single quotes, or write paths with `/`"
            )
            return advice, bare
        return "put the whole value in one pair of quotes", bare
    if value[:1] == "'":
        advice = "put the whole value in one pair of quotes, and write each `'` in it twice, or use double quotes"
        return advice, value[1:].removesuffix("'")
    if value[:1] in _INDICATORS:
        return "put it in quotes", value
    if ": " in value or value.endswith(":"):
        return "a value with a colon in it needs quotes", value
    return "", value


VALUE_EXAMPLES = {
    "the manifest": "begin with `version: 1`",
    "`version`": "write `version: 1`",
    "`batch`": "write `batch: acme-2026`",
    "`target`": "write `target: {region: us-east-1}`",
    "`targets`": "write `targets: {from: accounts.yaml}`",
    "`list`": 'put a line such as `- {name: acme, account: "123456789012"}` below it for each target',
    "a target": 'write `- {name: acme, account: "123456789012"}`',
    "`regions`": "write `regions: [us-east-1]`",
    "`groups`": "write `groups: [tier1]`",
    "`vars`": "write `vars: {brand: acme}`",
    "`defaults`": "write `defaults: {max_size: 500KB}`",
    "`tags`": "write tags as `tags: {Customer: acme}`",
    "`attachments`": "put a line such as `- file: files/a.pdf` below it for each document",
    "an entry": "write `- file: files/a.pdf`",
    "`file`": "an entry names one file; write an entry for each",
    "`glob`": "an entry has one pattern, in quotes if it begins with `[`; write an entry for each",
    "`url`": "an entry has one address; write an entry for each",
    "`bind`": "write `bind: {registration: registration-0123abcd, field: messagingUseCase.optInImage}`",
    "`registration`": 'a template needs quotes, as in `"{col:Registration}"`',
    "`field`": 'a template needs quotes, as in `"{col:Field}"`',
    "`exclude`": "write `exclude: draft-*`, or a list of patterns",
    "`forms`": "write `forms: {my-logo: {types: [png], pixels: 224x224}}`",
    "a form": "write `my-logo: {types: [png], pixels: 224x224}`",
    "`types`": "write `types: [png]`",
}
"""How a value is written, by the name of the value in messages."""
