"""Pages of the documentation site that no Markdown file holds: schemas, the manual page, files, folders, the API."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LANGUAGES: Mapping[str, str] = {
    ".json": "json",
    ".py": "python",
    ".service": "ini",
    ".sh": "sh",
    ".sql": "sql",
    ".timer": "ini",
    ".yaml": "yaml",
}
_NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
_SHOWN_BYTES = 65_536
"""Larger files (pins with their hashes) are only to be downloaded."""


def file_page(text: str, name: str) -> str:
    """Return the page of a file of the repository: its text, and a link to download it. Search leaves it out."""
    path = Path(name)
    language = "docker" if path.name == "Dockerfile" else _LANGUAGES.get(path.suffix, "text")
    fence = "`" * (3 + text.count("```"))
    shown = f"\n{fence}{language}\n{text.rstrip()}\n{fence}\n" if len(text.encode()) <= _SHOWN_BYTES else ""
    return f"{_NOT_SEARCHED}# {path.name}\n\n`{name}` of the repository. [Download]({path.name})\n{shown}"


def folder_page(folder: Path, name: str) -> str:
    """Return the page of a folder of the repository: a link to everything in it, with the title of each page."""
    lines = [_NOT_SEARCHED + f"# {name}/", "", "What this folder of the repository holds.", ""]
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            inner = sorted(each for each in path.iterdir() if each.is_file())
            lines += [f"- `{path.name}/`: " + ", ".join(f"[{each.name}]({path.name}/{each.name})" for each in inner)]
        elif path.suffix == ".md":
            title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            lines.append(f"- [{title}]({path.name})")
        else:
            lines.append(f"- [{path.name}]({path.name})")
    return "\n".join(lines) + "\n"


def api_page(root: Path) -> str:
    """Return the page from which mkdocstrings makes the reference: a directive for each public name of the package."""
    module = ast.parse((root / "batch_upload" / "__init__.py").read_text(encoding="utf-8"))
    names = next(
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    about = "The public names of `batch_upload`. [Use it from Python](python.md) shows them at work."
    above = f"# Python reference\n\n{about}\n"
    return "\n".join([above, *(f"::: batch_upload.{name}\n" for name in names)])


def manual_page(text: str, name: str) -> str:
    """Return the manual page, written in `man`'s macros by tests/support/man_page.py, as Markdown."""
    lines = [f"# {Path(name).stem}(1)", "", f"The manual page. [Download]({Path(name).name})", ""]
    is_term = is_literal = False
    for line in text.splitlines():
        macro, _, rest = line.partition(" ")
        if macro in (".nf", ".fi"):
            is_literal = macro == ".nf"
            lines += ["```text" if is_literal else "```", ""][: 1 if is_literal else 2]
        elif macro in (".SH", ".SS"):
            lines += ["", f"## {_plain(rest).capitalize()}" if macro == ".SH" else f"### `{_plain(rest)}`", ""]
        elif macro == ".B" and is_term:
            lines += ["", f"**`{_plain(rest)}`**  "]
            is_term = False
        elif macro == ".PP":
            lines.append("")
        elif macro == ".TP":
            is_term = True
        elif not line.startswith((".", "'")):
            lines.append(_plain(line) if is_literal else _unescaped(line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _plain(roff: str) -> str:
    characters = re.sub(r"\\f[BIR]", "", roff).replace("\\-", "-").replace("\\(aq", "'").replace("\\&", "")
    return characters.replace("\\e", "\\")


def _unescaped(roff: str) -> str:
    """Bold of the manual is code here; upper case in italics stays as it is."""
    marked = re.sub(r"\\fB(.*?)\\fR", r"`\1`", re.sub(r"\\fI(.*?)\\fR", r"*\1*", roff))
    return _plain(re.sub(r"([][])(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\\1", marked))  # no link, but for what is code


def schema_page(text: str, name: str) -> str:
    """Return a JSON Schema as tables: one of its top, and one of each definition that has members of its own."""
    schema: dict[str, Any] = json.loads(text)
    path = Path(name)
    lines = [f"# {path.name}", "", f"{_sentence(schema)}. [Download the schema]({path.name})", ""]
    lines += _members(schema)
    for key, definition in sorted(schema["$defs"].items(), key=lambda each: _titled(*each).lower()):
        lines += [f"## {_titled(key, definition)} {{#{key.lower()}}}", ""]
        about = [f"{_sentence(definition)}."] if "description" in definition else []
        if "x-verbs" in definition:
            about.append("Written by " + ", ".join(f"`{verb}`" for verb in definition["x-verbs"]) + ".")
        if "properties" not in definition:
            about.append(f"Values: {_kind(definition)}.")
        lines += [" ".join(about), "", *_members(definition)]
    return "\n".join(lines)


def _titled(key: str, definition: Mapping[str, Any]) -> str:
    title = str(definition.get("title", key.removesuffix("Model")))
    return f"{title} ({key})" if key.endswith("_event") and title != key.removesuffix("_event") else title


def _sentence(schema: Mapping[str, Any]) -> str:
    text = " ".join(str(schema.get("description", schema.get("title", ""))).split())
    return text[:1].upper() + text[1:].removesuffix(".")


def _members(schema: Mapping[str, Any]) -> list[str]:
    rows = list(_rows(schema, ""))
    return ["| member | value | about |", "|---|---|---|", *rows, ""] if rows else []


def _rows(schema: Mapping[str, Any], above: str) -> Iterator[str]:
    required = schema.get("required", [])
    for key, member in schema.get("properties", {}).items():
        inner = member.get("items", member) if isinstance(member.get("items", {}), dict) else member
        about = [
            *(["must be given"] if key in required and not above else []),
            *([_sentence(member)] if "description" in member else []),
            *([f"default: {_value(member['default'])}"] if "default" in member else []),
            *(["example: " + _value(member["examples"][0])] if member.get("examples") else []),
        ]
        cells = (f"`{above}{key}`", _kind(member), "; ".join(about))
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        if "properties" in inner:
            yield from _rows(inner, f"{above}{key}{'[]' if inner is not member else ''}.")


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        key = schema["$ref"].rpartition("/")[2]
        return f"[{key.removesuffix('Model')}](#{key.lower()})"
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return ", ".join(_value(each) for each in schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        kinds = dict.fromkeys(_kind(each) for each in schema["anyOf"])
        if kinds.keys() >= _SCALARS:  # YAML takes 2026 or yes for text that nobody has quoted
            kinds = {kind: None for kind in kinds if kind not in _SCALARS} | {"text": None}
        return " or ".join(kinds)
    types = schema.get("type", "any")
    if types == "array" and schema.get("items"):
        return f"list of {_kind(schema['items'])}"
    words = " or ".join([types] if isinstance(types, str) else types)
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([words, *bounds])


_SCALARS = {"string", "integer", "number", "boolean"}
_BOUNDS: Mapping[str, str] = {
    "minimum": "from",
    "maximum": "to",
    "exclusiveMaximum": "below",
    "maxLength": "characters up to",
    "minItems": "elements from",
    "maxItems": "elements up to",
}


def _value(value: object) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"
