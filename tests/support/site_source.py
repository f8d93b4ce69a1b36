"""What the documentation site is built of: `python -m tests.support.site_source FOLDER`, a part of `make docs`.

The folder is laid out as the repository is, so a link that works in the repository works in the site. README.md is the
start page. A file or a folder that a page links to becomes a page, too. Needs nothing but the standard library.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tests.support.site_pages import api_page, file_page, folder_page, manual_page, schema_page

REPOSITORY = Path(__file__).resolve().parents[2]
START = "README.md"
PICTURES = frozenset({".png", ".svg"})
GENERATED = {
    "docs/manifest.schema.json": schema_page,
    "docs/events.schema.json": schema_page,
    "docs/man/batch-upload.1": manual_page,
}
"""Files that are shown as more than their text, whether a page links to them or not."""
API = "docs/python-reference.md"
ASSETS = Path(__file__).with_name("site")
"""Scripts and styles of our own, beside the theme's."""
BOOSTS = {
    ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/decisions/", "docs/licences.md", "docs/stories/"): 0.1,
    (
        "docs/comparison.md",
        "docs/design.md",
        "docs/emulator.md",
        "docs/events",
        "docs/fleet-dask.md",
        "docs/man/",
        "docs/manifest.schema",
        "docs/pacing-library.md",
        "docs/performance.md",
        "docs/python",
    ): 0.5,
}
"""What search puts behind the guides: first what is for those who work on the project, then the reference."""
_CODE = re.compile(r"^```.*?^```|(`+).+?\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) +")
_BULLET = len("- ")
_NUMBER = re.compile(r"^(?:- |  )\d+(?=\. )")
_FENCE = re.compile(r"^(`+\w*).*")
_OUTSIDE = re.compile(r"[a-z]+:")


def source_pages(root: Path) -> list[Path]:
    """Return the Markdown files of the repository that are pages of the site."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])


def write_source(root: Path, folder: Path) -> None:
    """Write the source of the site into a new folder.

    Raises ValueError if a page links to what is not there, or to what is outside of the repository.
    """
    linked = {root / path for path in GENERATED}
    waiting = [*source_pages(root), *sorted(linked)]
    while waiting:
        path = waiting.pop()
        page = folder / _page_of(path, root)
        page.parent.mkdir(parents=True, exist_ok=True)
        text, links = _followed(_text_of(path, root), path, root)
        page.write_text(text, encoding="utf-8")
        if path.is_file() and path.suffix != ".md":
            shutil.copyfile(path, folder / path.relative_to(root))  # for whoever downloads it
        for target in sorted(links - linked):
            if target.suffix in PICTURES:
                destination = folder / target.relative_to(root)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target, destination)
            elif target.suffix != ".md":
                waiting.append(target)
        linked |= links
    (folder / API).write_text(_boosted(api_page(root), API), encoding="utf-8")
    shutil.copytree(ASSETS, folder / "assets")


def _page_of(path: Path, root: Path) -> Path:
    """The page of a file or a folder, relative to the root of the source."""
    relative = path.relative_to(root)
    if path.is_dir():
        return relative / "index.md"
    if relative == Path(START):
        return Path("index.md")
    return relative if path.suffix == ".md" else relative.with_name(f"{path.name}.md")


def _text_of(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    if path.is_dir():
        return folder_page(path, name)
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        text = GENERATED.get(name, file_page)(text, name)
    return _boosted(_respelled(text), name)


def _respelled(text: str) -> str:
    """Return the text so that Python-Markdown reads it as GitHub does.

    What is inside of a list item is indented by fours, and a number at the start of its text makes no list. A table
    ends where a list goes on. What follows the language of a block of code is dropped.
    """
    lines: list[str] = [""]
    marker, shift, is_code = 0, 0, False
    for line in text.split("\n"):
        content = line.lstrip(" ")
        indent = len(line) - len(content)
        if is_code:
            is_code = not content.startswith("```")
        else:
            if content and not indent:
                found = _ITEM.match(line)
                marker = len(found[0]) if found else 0
                if found and lines[-1].lstrip().startswith("|"):
                    lines.append("")
            if marker == _BULLET:
                line = _NUMBER.sub(r"\g<0>\\", line)
            shift = indent // marker * 4 + indent % marker - indent if marker and content else 0
            if content.startswith("```"):
                is_code = True
                line = line[:indent] + _FENCE.sub(r"\1", content)
        lines.append(" " * shift + line if line.strip() else line)
    return "\n".join(lines[1:])


def _boosted(text: str, name: str) -> str:
    boosts = [boost for names, boost in BOOSTS.items() if name.startswith(names)]
    return f"---\nsearch:\n  boost: {boosts[0]}\n---\n\n{text}" if boosts else text


def _followed(text: str, path: Path, root: Path) -> tuple[str, set[Path]]:
    """Return the text with links that lead to pages of the site, and what the links led to."""
    here = path if path.is_dir() else path.parent
    found: set[Path] = set()

    def follow(link: re.Match[str]) -> str:
        target = (here / unquote(link["path"])).resolve()
        if _OUTSIDE.match(link["path"]) or target == path:  # its own text, to download
            return link[0]
        if not target.exists() or not target.is_relative_to(root):
            raise ValueError(f"{path.relative_to(root)} links to {link['path']}, which is not in the repository")
        found.add(target)
        if target.suffix in PICTURES:
            return link[0]
        page = _page_of(target, root)
        ascent = "../" * len(here.relative_to(root).parts)
        return f"]({ascent}{page.as_posix()}{link['anchor'] or ''})"

    return "".join(part if is_code else _LINK.sub(follow, part) for part, is_code in _parts(text)), found


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces: code, in which nothing is a link, and the rest."""
    end = 0
    for code in _CODE.finditer(text):
        yield text[end : code.start()], False
        yield code[0], True
        end = code.end()
    yield text[end:], False


def main(folder: Path) -> None:
    """Write the source anew."""
    shutil.rmtree(folder, ignore_errors=True)
    write_source(REPOSITORY, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
