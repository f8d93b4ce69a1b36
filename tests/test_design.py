"""The walks of docs/design.md, and what it says of where to change what, lead to functions and files that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "batch_upload"
STATIONS_MAX = 12
"""A newcomer can keep so many stations in mind."""
_STATION = re.compile(r"^\| \d+ \| `(?P<file>[\w/]+\.py):(?P<name>[\w.]+)` \| \S", re.MULTILINE)


def walks() -> dict[str, list[tuple[str, str]]]:
    """Return each walk by its heading: (file, function) of its stations, in order."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = text.partition("\n## Three walks\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (.+)\n", section, flags=re.MULTILINE)[1:]
    return {
        heading: [(found["file"], found["name"]) for found in _STATION.finditer(table)]
        for heading, table in zip(parts[::2], parts[1::2], strict=True)
    }


def rows_of(heading: str) -> int:
    """Return how many rows the table of a walk has."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = text.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return len(re.findall(r"^\| \d+ \|", table, re.MULTILINE))


@cache
def definitions(file: str) -> frozenset[str]:
    """Return the functions, classes and constants of a file, and methods and fields as `Class.name`."""
    found: set[str] = set()
    for node in ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for each in node.body for name in names_of(each)}
    return frozenset(found)


def names_of(statement: ast.stmt) -> tuple[str, ...]:
    """Return the name that a statement in a class defines: a method, or a field with its type."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
    return ()


def test_there_are_three_walks_of_at_most_twelve_stations_that_visit_none_twice() -> None:
    found = walks()

    assert len(found) == 3
    for heading, stations in found.items():
        assert 5 <= len(stations) <= STATIONS_MAX, heading
        assert len(set(stations)) == len(stations), heading
        assert len(stations) == rows_of(heading), f"{heading}: each row names a file and a function"


@pytest.mark.parametrize(
    ("file", "name"), sorted({station for stations in walks().values() for station in stations}), ids=lambda part: part
)
def test_each_station_of_a_walk_exists(file: str, name: str) -> None:
    assert (PACKAGE / file).is_file(), file
    assert name in definitions(file), f"{file} defines no `{name}`"


def test_every_room_that_the_design_lists_exists_and_none_is_missing() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = text.partition("\n## The house\n")[2].partition("\n**Arrows.**")[0]
    named = {
        name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    rooms = {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert {name for name in named if name.count("/") < 2 and name != "ledger/sqlite/"} == modules | rooms


def test_each_place_where_something_is_to_be_changed_exists() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = text.partition("\n## Where to change what\n")[2].partition("\n## ")[0]
    places = re.findall(r"`([\w/]+\.py)(?::(\w+))?`", table)

    assert len(places) >= 10
    for file, name in places:
        assert (PACKAGE / file).is_file(), file
        assert not name or name in definitions(file), f"{file} defines no `{name}`"
