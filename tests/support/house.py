"""How finely the package is cut: `python -m tests.support.house [FOLDER]` prints the numbers as a table.

Files and lines; private helpers with one caller; comment lines; module-level names that several modules define;
imports of our own modules per module; public names of the package. Read from the syntax tree, nothing is imported.
"""

import ast
import sys
import tokenize
from collections import defaultdict
from pathlib import Path
from statistics import mean

HERE = Path(__file__).parents[2] / "batch_upload"
LONGEST = 400


def numbers(package: Path) -> dict[str, str]:
    """Return each number with its name, as it is printed."""
    files = sorted(package.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    helpers = [(path, name) for path, tree in trees.items() for name in private_functions(tree)]
    once = sum(uses(trees[path], name) == 1 for path, name in helpers)
    twice = {name: where for name, where in definitions(trees).items() if len(where) > 1}
    rooms_apart = {name for name, where in twice.items() if len({room(package, path) for path in where}) > 1}
    own = [own_imports(tree) for tree in trees.values()]
    return {
        "files": f"{len(files):,}",
        "lines": f"{sum(lines.values()):,}",
        "lines of a file, in the middle": f"{sorted(lines.values())[len(lines) // 2]:,}",
        f"files over {LONGEST} lines": f"{sum(count > LONGEST for count in lines.values()):,}",
        "functions and methods": f"{len(functions):,}",
        "private helpers with one caller": f"{once:,} ({once / len(functions):.0%})",
        "comment lines": f"{sum(map(comment_lines, files)):,}",
        "module-level names defined twice or more": f"{len(twice):,}",
        "of them in several rooms": f"{len(rooms_apart):,}",
        "imports of our own modules, per module": f"{mean(own):.1f}",
        "names of the public API": f"{public_names(trees[package / '__init__.py']):,}",
    }


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def private_functions(tree: ast.Module) -> list[str]:
    """Return the names of functions and methods that begin with one underscore."""
    names = (node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS))
    return [name for name in names if name.startswith("_") and not name.startswith("__")]


def uses(tree: ast.Module, name: str) -> int:
    """Count how often a module reads a name or an attribute of that name."""
    found = 0
    for node in ast.walk(tree):
        found += isinstance(node, ast.Name) and node.id == name
        found += isinstance(node, ast.Attribute) and node.attr == name
    return found


def definitions(trees: dict[Path, ast.Module]) -> dict[str, set[Path]]:
    """Return the modules that define each name at their top level, private ones and `__all__` left out."""
    found: defaultdict[str, set[Path]] = defaultdict(set)
    for path, tree in trees.items():
        for node in tree.body:
            for name in defined(node):
                if not name.startswith("_"):
                    found[name].add(path)
    return found


def defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def room(package: Path, path: Path) -> str:
    """Return the folder of a module below the package, or the module itself."""
    return path.relative_to(package).parts[0]


def own_imports(tree: ast.Module) -> int:
    """Count the modules of this package that a module imports."""
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return sum(module.split(".")[0] == "batch_upload" for module in modules)


def comment_lines(path: Path) -> int:
    """Count the lines that hold a comment, pragmas of linters left out."""
    with path.open("rb") as file:
        comments = [each for each in tokenize.tokenize(file.readline) if each.type == tokenize.COMMENT]
    return sum(not each.string.startswith(("# noqa", "# type:")) for each in comments)


def public_names(tree: ast.Module) -> int:
    """Count what `__all__` of the package lists."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and "__all__" in defined(node) and isinstance(node.value, ast.List | ast.Tuple):
            return len(node.value.elts)
    return 0


def main() -> None:
    """Print the numbers of the package, or of the folder that is named."""
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, number in numbers(package).items():
        print(f"{number:>14}  {name}")  # noqa: T201 - a tool


if __name__ == "__main__":
    main()
