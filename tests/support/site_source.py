"""The pages of the site, made from the repository: `python -m tests.support.site_source FOLDER`.

MkDocs takes one folder of pages and no link out of it. The repository's pages link to each other, to files of
`deploy/` and to folders. So every page is copied, the README as the first one; a file that is linked becomes a page
that shows it, a folder one that lists its files; and each link is turned into one to these. `make docs` does it.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FROM_THE_TOP: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
"""Pages that are not in docs/, and where the site has them."""
FILES: Final = "files"
"""The folder of pages that show files."""
AS_THEY_ARE: Final = frozenset({".css", ".json", ".png", ".svg"})
"""Files of docs/ that are copied, not shown."""
LANGUAGES: Final = {
    "": "text",
    ".json": "json",
    ".py": "python",
    ".rules": "text",
    ".service": "ini",
    ".sh": "bash",
    ".sql": "sql",
    ".timer": "ini",
    ".txt": "text",
    ".yaml": "yaml",
}
"""What a file is highlighted as, by its suffix."""
UNSEARCHED: Final = (
    "changelog.md",
    "contributing.md",
    "at-a-glance.md",
    "licences.md",
    "decisions/",
    f"{FILES}/",
)
"""Pages that no search should find before those that tell how to do something."""
BOOSTS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("index.md", "questions.md"), 8),
    **dict.fromkeys(("manifest.md", "spreadsheets.md", "operations.md", "report.md", "prune.md"), 6),
    **dict.fromkeys(("registrations.md", "ledger.md", "fleet.md", "security.md", "doctor.md"), 4),
    **dict.fromkeys(("documents.md", "pacing.md"), 2),
    **dict.fromkeys(("api.md", "command.md", "manifest-schema.md", "events.md"), 0.3),
    **dict.fromkeys(("pacing-library.md", "emulator.md"), 0.3),
    **dict.fromkeys(("fleet-schedulers.md", "fleet-dask.md", "performance.md", "python.md", "design.md"), 0.5),
}
"""What the search counts a page for, beside 1: what tells how to do something comes before the reference."""
FENCED: Final = re.compile(r"^(?P<fence>`{3,})[^\n]*\n.*?^(?P=fence)$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"(?P<open>!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\()(?P<target>[^)\s]+)\)")


class Source:
    """What is written so far, and which files and folders were linked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shown: set[PurePosixPath] = set()
        self._waiting: list[PurePosixPath] = []

    def make(self) -> None:
        """Write every page into the folder, which is emptied before. Raise ValueError if a link leads nowhere."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for page in [ROOT / name for name in FROM_THE_TOP] + sorted((ROOT / "docs").rglob("*.md")):
            self._page(PurePosixPath(page.relative_to(ROOT)))
        for path in sorted((ROOT / "docs").rglob("*")):
            if path.suffix in AS_THEY_ARE:
                target = self._folder / path.relative_to(ROOT / "docs")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        while self._waiting:
            self._show(self._waiting.pop())
        self._write(PurePosixPath("manifest-schema.md"), manifest_schema())
        self._write(PurePosixPath("command.md"), manual())
        self._write(PurePosixPath("api.md"), API)

    def _page(self, page: PurePosixPath) -> None:
        text = (ROOT / page).read_text(encoding="utf-8")
        parts, end = [], 0
        for fence in FENCED.finditer(text):
            parts += [self._linked(text[end : fence.start()], page), fence[0]]
            end = fence.end()
        self._write(self._place(page), "".join([*parts, self._linked(text[end:], page)]))

    def _linked(self, text: str, page: PurePosixPath) -> str:
        here = self._place(page).parent

        def turned(found: re.Match[str]) -> str:
            target = found["target"]
            path, mark, anchor = target.partition("#")
            if "://" in target or not path:
                return found[0]
            meant = PurePosixPath(os.path.normpath(page.parent / path))
            if not (ROOT / meant).exists():
                raise ValueError(f"{page}: {target} leads nowhere")
            return f"{found['open']}{os.path.relpath(self._place(meant), here)}{mark}{anchor})"

        return LINK.sub(turned, text)

    def _place(self, path: PurePosixPath) -> PurePosixPath:
        """Return where the site has what the repository has at this path; it is shown if it is no page."""
        if str(path) in FROM_THE_TOP:
            return PurePosixPath(FROM_THE_TOP[str(path)])
        if path.parts[0] == "docs" and path.suffix in {".md", *AS_THEY_ARE}:
            return path.relative_to("docs")
        if path not in self._shown:
            self._shown.add(path)
            self._waiting.append(path)
        is_folder = (ROOT / path).is_dir()
        return PurePosixPath(FILES) / (path / "index.md" if is_folder else path.with_name(f"{path.name}.md"))

    def _show(self, path: PurePosixPath) -> None:
        place = self._place(path)
        if (ROOT / path).is_dir():
            named = [path / each.name for each in sorted((ROOT / path).iterdir()) if each.name != "__pycache__"]
            lines = [f"- [{each.name}]({os.path.relpath(self._place(each), place.parent)})" for each in named]
            self._write(place, f"# {path}/\n\nThe files of this folder.\n\n" + "\n".join(lines) + "\n")
            return
        text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
        self._write(place, f"# {path}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n")

    def _write(self, place: PurePosixPath, text: str) -> None:
        target = self._folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        above = ""
        if str(place).startswith(UNSEARCHED):
            above = "---\nsearch:\n  exclude: true\n---\n\n"
        elif str(place) in BOOSTS:
            above = f"---\nsearch:\n  boost: {BOOSTS[str(place)]}\n---\n\n"
        target.write_text(above + text, encoding="utf-8")


API = """# The Python API

What `import batch_upload` offers, from its docstrings. [Use it from Python](python.md) shows a program.

::: batch_upload
    options:
      members: [validate, plan, upload, status, verify, RunOptions, RunResult, Interruption, BatchUploadError]
      show_root_toc_entry: false

## Values that they return and tell

::: batch_upload.events
    options:
      show_root_toc_entry: false
      heading_level: 3

::: batch_upload.summary
    options:
      show_root_toc_entry: false
      heading_level: 3
"""


def manual() -> str:
    """Return the manual page, whose few macros man_page.py writes, as Markdown."""
    lines, is_example, before = ["# The command", "", "As `man batch-upload` shows it.", ""], False, ""
    for line in (ROOT / "docs" / "man" / "batch-upload.1").read_text(encoding="ascii").splitlines():
        request, _, rest = line.partition(" ")
        if request in MACROS:
            lines += [part.format(unescaped(rest)) for part in MACROS[request]]
            is_example = {".RS": True, ".RE": False}.get(request, is_example)
        elif not line.startswith('.\\"'):
            text = unescaped(line, bold="" if is_example else "`")
            lines.append(f"  {text}" if before == ".B" else text)
        before = request
    return "\n".join(lines) + "\n"


MACROS: Final[Mapping[str, Sequence[str]]] = {
    ".B": ["", "- `{}`:"],
    ".PP": [""],
    ".RE": [],
    ".RS": [],
    ".SH": ["", "## {}", ""],
    ".SS": ["", "### `{}`", ""],
    ".TH": [],
    ".TP": [],
    ".fi": ["```", ""],
    ".nf": ["```sh"],
}
"""The lines that each of them becomes, with the text behind it."""


def unescaped(text: str, bold: str = "") -> str:
    """Return what a line of the manual page says, with what is bold in these marks."""
    text = re.sub(r"\\f[BI](.*?)\\fR", lambda found: f"{bold}{found[1]}{bold}", text)
    text = text if not bold else re.sub(r"(\[[A-Z]+\])", r"`\1`", text)
    text = re.sub(r"\\\[u([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), text)
    for escape, meant in (("\\-", "-"), ("\\(aq", "'"), ("\\(dq", '"'), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(escape, meant)
    return text


def manifest_schema() -> str:
    """Return the page of the manifest's JSON Schema: a table for each object of it."""
    schema: dict[str, Any] = json.loads((ROOT / "docs" / "manifest.schema.json").read_text(encoding="utf-8"))
    lines = [
        "# The manifest's schema",
        "",
        "Every key, from [manifest.schema.json](manifest.schema.json), which editors read. "
        "[The manifest](manifest.md) explains them.",
        "",
        *_table("The manifest", schema),
    ]
    for name, inner in schema.get("$defs", {}).items():
        lines += _table(name, inner)
    return "\n".join(lines)


def _table(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## `{title}`" if title[0].islower() else f"## {title}", "")
    if told := schema.get("description"):
        yield from (told, "")
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties:
        yield from (type_of(schema), "")
        return
    yield from ("| key | type | |", "|---|---|---|")
    for key, value in properties.items():
        needed = "**needed**. " if key in schema.get("required", ()) else ""
        told = " ".join(str(value.get("description", "")).split())
        yield f"| `{key}` | {type_of(value)} | {needed}{told} |".replace("\\|", "|")
    yield ""


def type_of(schema: Mapping[str, Any]) -> str:
    """Return a JSON Schema's type in a few words, for a cell of a table."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(each) for each in schema[several]))
    named = schema.get("type", "any")
    named = " or ".join(named) if isinstance(named, list) else str(named)
    if named == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    extra = schema.get("additionalProperties")
    if named == "object" and isinstance(extra, Mapping):
        return f"mapping to {type_of(extra)}"
    bounds = [f"{word} {schema[key]}" for key, word in BOUNDS.items() if key in schema]
    return named + (f" ({', '.join(bounds)})" if bounds else "")


BOUNDS: Final = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "minLength": "characters at least",
    "maxLength": "characters at most",
}


def on_post_page(output: str, **_: object) -> str:
    """Give the search a name for those who hear the page: MkDocs calls this with each page, before it is written."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


if __name__ == "__main__":
    Source(Path(sys.argv[1])).make()
