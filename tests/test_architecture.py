"""Who may import whom, read from the imports themselves, those within functions too."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeVar

import pytest

N = TypeVar("N", bound=ast.AST)

PACKAGE = Path(__file__).parents[1] / "batch_upload"
ROOMS = frozenset({"manifest", "documents", "ledger", "service", "engine", "report"})
SHARED = frozenset(
    {
        "errors",
        "model",
        "registration",
        "actions",
        "document",
        "operations",
        "records",
        "token",
        "ports",
        "events",
        "settings",
        "clock",
        "spelling",
        "mounts",
        "moments",
        "shortage",
        "escape",
        "words",
        "summary",
        "targets",
        "ledger_address",
        "form",
    }
)
"""The modules that every room may use."""
MAY_IMPORT = {
    "errors": frozenset({"model", "summary"}),  # for its types alone, see below
    "model": frozenset({"form", "registration", "targets"}),
    "registration": frozenset[str](),
    "actions": frozenset({"model"}),
    "form": frozenset({"model"}),  # for its types alone
    "targets": frozenset({"errors"}),
    "mounts": frozenset[str](),
    "moments": frozenset[str](),
    "operations": frozenset[str](),
    "document": frozenset({"errors", "model"}),
    "records": frozenset({"model", "registration"}),
    "token": frozenset({"errors", "model"}),
    "events": frozenset({"actions", "errors", "model"}),
    "shortage": frozenset({"errors"}),
    "spelling": frozenset({"document", "model", "targets"}),
    "ports": frozenset({"clock", "document", "errors", "model", "moments", "records", "registration", "token"}),
    "ledger_address": frozenset({"errors"}),
    "settings": frozenset({"errors", "ledger_address", "model", "targets", "token"}),
    "escape": frozenset[str](),
    "words": frozenset({"escape", "model", "registration"}),
    "summary": frozenset({"errors", "events", "model", "words"}),
    "clock": frozenset[str](),
    **{room: SHARED | {room} for room in ROOMS},
    "engine": SHARED | {"engine", "pacing"},
    "pacing": frozenset({"clock"}),
    "emulator": frozenset({"emulator"}),
    "watch": SHARED | {"watch", "app", "engine", "ledger", "report"},
    "app": SHARED | (ROOMS - {"report"}) | {"app", "pacing", "emulator"},
    "fleet": SHARED | {"app", "engine", "fleet", "ledger"},
    "cli": SHARED | ROOMS | {"app", "cli", "emulator", "fleet", "watch"},
    "__main__": frozenset({"cli"}),
    "__init__": SHARED | {"app"},
}
AT_HOME = {
    "sqlalchemy": {"ledger"},
    "sqlite3": {"ledger"},
    "psycopg": {"ledger", "fleet"},
    "aiobotocore": {"service"},
    "botocore": {"service", "emulator"},
    "aiohttp": {"emulator", "watch", "service"},
    "yaml": {"manifest"},
    "openpyxl": {"manifest", "report"},
    "procrastinate": {"fleet"},
    "distributed": {"fleet"},
    "dask": {"fleet"},
    "typer": {"cli"},
    "rich": {"report"},
    "pybase64": {"ports"},
}
SQLITE_ONLY = re.compile(r"PRAGMA|json_each|julianday|sqlite_master|BEGIN IMMEDIATE|GLOB|WITHOUT ROWID")
HEAVY = (
    "aiobotocore",
    "botocore",
    "sqlalchemy",
    "rich",
    "yaml",
    "pydantic",
    "aiohttp",
    "boto3",
    "hypothesis",
    "psycopg",
)


@dataclass(frozen=True, slots=True)
class Import:
    """`target` is dotted; `level` counts the dots of a relative import; `is_for_types` stands under TYPE_CHECKING,
    `is_lazy` within a function."""

    module: str
    target: str
    level: int
    is_for_types: bool
    is_lazy: bool

    @property
    def room(self) -> str:
        return self.module.split(".")[1]

    @property
    def is_ours(self) -> bool:
        return self.target.split(".")[0] == "batch_upload"

    @property
    def target_room(self) -> str:
        parts = self.target.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


def name_of(path: Path) -> str:
    return ".".join(("batch_upload", *path.relative_to(PACKAGE).with_suffix("").parts))


def imports_of(path: Path) -> Iterator[Import]:
    tree, module = ast.parse(path.read_text()), name_of(path)
    typed = within(tree, ast.If, lambda node: isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    lazy = within(tree, ast.FunctionDef) | within(tree, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        kind = id(node) in typed, id(node) in lazy
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, 0, *kind) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(module, target, node.level, *kind) for target in targets_of(node))


def within(tree: ast.AST, kind: type[N], matches: Callable[[N], bool] = lambda _: True) -> set[int]:
    """Every node that stands within a node of a kind."""
    outer = [node for node in ast.walk(tree) if isinstance(node, kind) and matches(node)]
    return {id(inner) for node in outer for inner in ast.walk(node)}


def targets_of(node: ast.ImportFrom) -> Iterator[str]:
    """`from batch_upload.engine import plan` imports a module, `from batch_upload.engine.plan import plan` does not."""
    base = node.module or ""
    for alias in node.names:
        below = PACKAGE.parent / base.replace(".", "/") / alias.name
        is_module = below.with_suffix(".py").exists() or below.is_dir()
        yield f"{base}.{alias.name}" if is_module else base


MODULES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [each for path in MODULES for each in imports_of(path)]


def test_every_module_stands_in_a_room_that_has_a_rule() -> None:
    rooms = {name_of(path).split(".")[1] for path in MODULES}

    assert rooms <= MAY_IMPORT.keys()


def test_rooms_import_only_what_stands_before_them() -> None:
    wrong = [each for each in IMPORTS if each.is_ours and each.target_room not in MAY_IMPORT[each.room] | {each.room}]

    assert wrong == []


def test_the_errors_know_the_model_by_its_types_alone() -> None:
    assert [each for each in IMPORTS if each.room == "errors" and each.is_ours and not each.is_for_types] == []


def test_only_app_and_cli_reach_into_the_emulator() -> None:
    assert {each.room for each in IMPORTS if each.is_ours and each.target_room == "emulator"} <= {
        "app",
        "cli",
        "emulator",
    }


def test_the_server_of_the_page_knows_nothing_of_what_it_shows() -> None:
    imports = [each for each in IMPORTS if each.module == "batch_upload.watch.serve" and each.is_ours]

    assert {each.target_room for each in imports} == {"errors"}


def test_the_emulator_imports_nothing_of_ours() -> None:
    """So that the tests of another project can use it. Also not by a detour."""
    script = "import sys, batch_upload; before = set(sys.modules); import batch_upload.emulator.__main__; "
    script += "print(*sorted(name for name in set(sys.modules) - before if name.startswith('batch_upload.')))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert {each.target_room for each in IMPORTS if each.room == "emulator" and each.is_ours} == {"emulator"}
    assert {name.split(".")[1] for name in loaded.stdout.split()} == {"emulator"}


@pytest.mark.parametrize(("library", "rooms"), AT_HOME.items())
def test_a_library_lives_in_its_own_room(library: str, rooms: set[str]) -> None:
    found = {each.module for each in IMPORTS if each.target.split(".")[0] == library and each.room not in rooms}

    assert found == set()


def test_a_ledger_is_opened_by_its_room_and_known_by_its_ports() -> None:
    inner = [each for each in IMPORTS if each.target.startswith("batch_upload.ledger.") and each.room != "ledger"]

    assert inner == []


def test_what_only_sqlite_understands_lives_in_its_own_folder() -> None:
    home = PACKAGE / "ledger" / "sqlite"
    others = [path for path in (PACKAGE / "ledger").rglob("*.py") if not path.is_relative_to(home)]

    assert [path.name for path in others for each in imports_of(path) if each.target.split(".")[0] == "sqlite3"] == []
    assert [path.name for path in others if SQLITE_ONLY.search(path.read_text())] == []


def test_the_driver_of_postgresql_lives_in_its_own_folder() -> None:
    home = PACKAGE / "ledger" / "postgres"
    others = [path for path in (PACKAGE / "ledger").rglob("*.py") if not path.is_relative_to(home)]

    assert [path.name for path in others for each in imports_of(path) if each.target.split(".")[0] == "psycopg"] == []


def test_no_import_is_relative() -> None:
    assert [each for each in IMPORTS if each.level] == []


def test_nothing_of_the_tests_or_of_test_tools_is_imported() -> None:
    strange = {"tests", "pytest", "hypothesis", "boto3", "_pytest", "benchmarks"}

    assert [each for each in IMPORTS if each.target.split(".")[0] in strange] == []


def test_no_module_needs_itself_to_be_loaded() -> None:
    """Raises CycleError, which names the modules."""
    names = {name_of(path).removesuffix(".__init__") for path in MODULES}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for each in IMPORTS:
        if each.target in names and not each.is_for_types and not each.is_lazy:
            graph[each.module.removesuffix(".__init__")].add(each.target)

    assert len(tuple(TopologicalSorter(graph).static_order())) == len(names)


def test_no_room_needs_itself_by_a_detour() -> None:
    """Raises CycleError, which names the rooms."""
    graph: dict[str, set[str]] = {}
    for each in IMPORTS:
        if each.is_ours and not each.is_for_types and each.target_room != each.room:
            graph.setdefault(each.room, set()).add(each.target_room)

    assert tuple(TopologicalSorter(graph).static_order())


def test_only_flags_and_settings_read_the_environment() -> None:
    readers = {name_of(path) for path in MODULES for node in ast.walk(ast.parse(path.read_text())) if reads_env(node)}

    assert readers <= {"batch_upload.cli.flags", "batch_upload.settings"}


def reads_env(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
        return node.attr in ("environ", "environb", "getenv", "getenvb", "putenv")
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in each.name for each in node.names)


def test_the_events_are_everybodys_beside_the_model() -> None:
    assert (PACKAGE / "events.py").is_file()
    assert (PACKAGE / "model.py").is_file()


@pytest.mark.parametrize("module", ["batch_upload", "batch_upload.cli.main", "batch_upload.pacing"])
def test_the_package_a_help_text_and_the_pacing_library_need_nothing_that_is_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert set(loaded.stdout.split()).isdisjoint(HEAVY)


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    assert [name_of(path) for path in MODULES if len(path.read_text().splitlines()) > 400] == []
