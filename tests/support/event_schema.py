"""What `docs/events.schema.json` says of a line of `--json`. `python -m tests.support.event_schema` writes events.md.

The schema is the one place where an event is described: a line with a member that is not declared there fails the
test that reads it, and so does a declared event that no verb ever tells.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.emulator_process import ROOT

SCHEMA = ROOT / "docs" / "events.schema.json"
PAGE = ROOT / "docs" / "events.md"
SUFFIX = "_event"
_COMMON = frozenset({"event", "schema_version"})
LANE = frozenset({"target", "account", "region"})
OPTIONAL = LANE | {"lanes", "shard"}
"""Members that only lines of a manifest with `targets` have."""
_BEGIN = "<!-- written by `python -m tests.support.event_schema` -->\n"


@cache
def schema() -> dict[str, Any]:
    """The published schema."""
    read: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return read


@cache
def shapes() -> dict[str, dict[str, Any]]:
    """Each kind of line by the name of its definition: `item` and `item_history` are both events `item`."""
    found = {name.removesuffix(SUFFIX): shape for name, shape in schema()["$defs"].items() if name.endswith(SUFFIX)}
    if [each["$ref"] for each in schema()["anyOf"]] != [f"#/$defs/{name}{SUFFIX}" for name in found]:
        raise ValueError("`anyOf` does not name each event once, in order")
    return found


@cache
def _closed() -> dict[str, Draft202012Validator]:
    """A validator for each shape that lets nothing undeclared pass, at any depth."""
    closed = {"$defs": _closed_below(schema()["$defs"])}
    return {name: Draft202012Validator({**closed, "$ref": f"#/$defs/{name}{SUFFIX}"}) for name in shapes()}


def _closed_below(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_closed_below(each) for each in value]
    if not isinstance(value, dict):
        return value
    below = {key: _closed_below(each) for key, each in value.items()}
    is_shape = "required" in value and isinstance(value.get("properties"), dict)
    return {"additionalProperties": False, **below} if is_shape else below


def shape_of(line: Mapping[str, Any]) -> str:
    """The shape that a line has. Raises AssertionError where it has none, saying what is wrong with it."""
    candidates = [name for name, shape in shapes().items() if shape["title"] == line.get("event")]
    wrong: list[str] = [f"`{line.get('event')}` is no event of docs/events.schema.json"]
    for name in candidates:
        wrong = [f"{name}: {each.json_path}: {each.message}" for each in _closed()[name].iter_errors(line)]
        if not wrong:
            return name
    raise AssertionError(f"{'; '.join(wrong)}\nin {json.dumps(line)}")


def page() -> str:
    """`docs/events.md`: the schema, for people to read."""
    head = PAGE.read_text(encoding="utf-8").partition(_BEGIN)[0]
    return "\n".join([head + _BEGIN, *_tables()]) + "\n"


def _tables() -> Iterator[str]:
    for name, shape in shapes().items():
        verbs = ", ".join(
            f"`{verb}`" if " " not in verb or verb.startswith(("manifest", "targets")) else verb
            for verb in shape["x-verbs"]
        )
        of = "" if name == shape["title"] else f", of {verbs}"
        lane = [member for member in shape["properties"] if member in LANE - set(shape["required"])]
        also = f" With `targets` it has the lane: {', '.join(f'`{member}`' for member in lane)}." if lane else ""
        yield f"## `{shape['title']}`{of}\n\n{_sentence(shape['description'])} Written by {verbs}.{also}\n"
        yield "| member | type | |\n|---|---|---|"
        for member, what in _members(shape):
            is_optional = member in OPTIONAL - set(shape["required"])
            if member not in lane:
                yield f"| `{member}` | {_type(what)}{', or absent' if is_optional else ''} | {_text(what)} |"
        yield ""


def _members(shape: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for member, what in shape["properties"].items():
        if member not in _COMMON:
            yield member, what
            yield from ((f"{member}.{inner}", of) for inner, of in what.get("properties", {}).items())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if not text.startswith("`") else f"{text}."


def _type(what: Mapping[str, Any]) -> str:
    if "$ref" in what:
        return str(what["$ref"].rpartition("/")[2]).replace("_", " ")
    if "anyOf" in what:
        return " or ".join(_type(each) for each in what["anyOf"])
    if "enum" in what:
        return ", ".join("null" if each is None else f"`{each}`" for each in what["enum"])
    kinds = what.get("type", "anything")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _text(what: Mapping[str, Any]) -> str:
    return str(what.get("description", "")).replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
