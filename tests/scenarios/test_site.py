"""The documentation site: made of the repository, whole, of one host, and readable by everybody."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from markdown_it import MarkdownIt
from packaging.utils import canonicalize_name

from tests.support.browser import Scheme, launched
from tests.support.built_site import opened_page, require_site, served
from tests.support.dependencies import SITE_LICENCES, SPDX, pins, words_of
from tests.support.site_source import API, GENERATED, REPOSITORY, START, source_pages, write_source
from tests.support.strace import needed

THEME = {"404.html"}
"""Pages that no source has."""
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "form": "action", "link": "href"}
COUNTED = {"ul", "ol", "li", "table", "tr", "blockquote", "pre", "h2", "h3", "img"}
_ADDRESS = re.compile(r"""url\(\s*["']?(?!data:|#)([^"')]+)|@import\s+["']([^"']+)""")


class _Tags(HTMLParser):
    """What a page has: all tags, and those of its text alone (inside of `article`)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str]]] = []
        self.text: Counter[str] = Counter()
        self._depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == "article"
        self.all.append((tag, {name: value or "" for name, value in attrs}))
        self.text[tag] += self._depth > 0

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return require_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, _Tags]:
    """Every page, by its path in the site."""
    found = {path.relative_to(site).as_posix(): path for path in site.glob("**/*.html")}
    return {name: _Tags(path.read_text(encoding="utf-8")) for name, path in found.items()}


def test_every_page_of_the_documentation_is_named_in_the_navigation_once() -> None:
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)  # type: ignore[attr-defined]
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    named = sorted(_named(yaml.load(text, loader)["nav"]))  # noqa: S506 - a safe loader that knows one more tag

    files = {path.relative_to(REPOSITORY).as_posix() for path in source_pages(REPOSITORY)} - {START}
    assert named == sorted([*files, "index.md", API, *(f"{name}.md" for name in GENERATED)])


def _named(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else _named(value)


def test_a_link_to_a_file_or_a_folder_of_the_repository_becomes_a_page(tmp_path: Path) -> None:
    root, folder = tmp_path / "repository", tmp_path / "source"
    _write(root / "README.md", "[a](docs/a.md#top), [all](deploy/), `[no](link.md)`, [w](https://example.com/x.yaml)\n")
    _write(root / "docs" / "a.md", "# A\n\n[file](../deploy/x.yaml), [home](../README.md)\n\n```\n[no](link)\n```\n")
    _write(root / "deploy" / "x.yaml", "a: 1\n")
    _write(root / "batch_upload" / "__init__.py", '__all__ = ["upload"]\n')
    for name in GENERATED:
        _write(root / name, '{"title": "it", "$defs": {}}')

    write_source(root, folder)

    start = (folder / "index.md").read_text(encoding="utf-8")
    assert start == ("[a](docs/a.md#top), [all](deploy/index.md), `[no](link.md)`, [w](https://example.com/x.yaml)\n")
    assert "[file](../deploy/x.yaml.md), [home](../index.md)" in (folder / "docs" / "a.md").read_text("utf-8")
    assert "[no](link)" in (folder / "docs" / "a.md").read_text("utf-8")
    assert "[x.yaml](../deploy/x.yaml.md)" in (folder / "deploy" / "index.md").read_text("utf-8")
    assert "```yaml\na: 1\n```" in (folder / "deploy" / "x.yaml.md").read_text("utf-8")
    assert (folder / "deploy" / "x.yaml").read_text("utf-8") == "a: 1\n"
    assert "::: batch_upload.upload" in (folder / API).read_text("utf-8")


@pytest.mark.parametrize("target", ["absent.md", "../../outside.md", "absent/"])
def test_a_link_that_leads_nowhere_stops_the_site(tmp_path: Path, target: str) -> None:
    root = tmp_path / "repository"
    _write(tmp_path / "outside.md", "")
    for name in GENERATED:
        _write(root / name, '{"title": "it", "$defs": {}}')
    _write(root / "docs" / "a.md", f"[x]({target})\n")

    with pytest.raises(ValueError, match=re.escape(f"docs/a.md links to {target}")):
        write_source(root, tmp_path / "source")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_every_document_is_a_page_with_the_lists_tables_and_code_that_it_has(pages: dict[str, _Tags]) -> None:
    """The site's Markdown and the repository's differ in when a list begins, for one thing."""
    read = MarkdownIt("commonmark").enable("table")
    for path in source_pages(REPOSITORY):
        name = "index.html" if path.name == START else path.relative_to(REPOSITORY).with_suffix(".html").as_posix()
        text = re.sub(
            r"^- (\d+)\. ", r"- \1\\. ", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )  # no list of one
        expected = _Tags(f"<article>{read.render(text)}</article>").text
        assert {tag: pages[name].text[tag] for tag in COUNTED} == {tag: expected[tag] for tag in COUNTED}, name


def test_no_page_loads_anything_from_another_host(site: Path, pages: dict[str, _Tags]) -> None:
    loaded = {
        attributes[LOADED[tag]]
        for page in pages.values()
        for tag, attributes in page.all
        if LOADED.get(tag) in attributes and attributes.get("rel") != "canonical"
    }
    styles = (path.read_text(encoding="utf-8") for path in site.glob("**/*.css"))
    loaded |= {found[1] or found[2] for text in styles for found in _ADDRESS.finditer(text)}

    assert len(loaded) > 5
    assert {address for address in loaded if "//" in address} == set()


def test_every_link_leads_to_a_page_and_a_heading_of_the_site(site: Path, pages: dict[str, _Tags]) -> None:
    ids = {name: {attributes.get("id", "") for _, attributes in page.all} for name, page in pages.items()}
    broken = []
    for name, page in pages.items():
        for target in {attributes["href"] for tag, attributes in page.all if tag == "a" and "href" in attributes}:
            path, _, anchor = unquote(target).partition("#")
            if name in THEME or re.match(r"[a-z]+:", target):
                continue
            linked = (site / name).parent.joinpath(path).resolve() if path else site / name
            inner = linked.relative_to(site.resolve()).as_posix()
            if not linked.is_file() or (anchor and anchor not in ids[inner]):
                broken.append(f"{name}: {target}")

    assert broken == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "docs/manifest.html", "docs/manifest.schema.json.html"])
async def test_a_page_asks_one_host_and_everybody_can_read_it(site: Path, name: str, scheme: Scheme) -> None:
    with served(site) as address:
        async with launched() as browser, opened_page(browser, address + name, scheme=scheme) as watched:
            assert await watched.violations() == []

    assert [url for url in watched.requests if not url.startswith(address)] == []
    assert watched.complaints == []


def test_the_licences_of_what_builds_the_site_are_as_its_packages_say() -> None:
    folder = REPOSITORY / ".venv-docs"
    found = {canonicalize_name(each.name): each for path in folder.glob("lib/*/site-packages") for each in _in(path)}
    if not found:
        needed("the site's tools are not installed: make docs")
    pinned = {canonicalize_name(pin.name) for pin in pins("docs")}

    assert SITE_LICENCES.keys() == pinned
    for name in pinned & found.keys():
        told = words_of(found[name].metadata)
        assert SITE_LICENCES[name] in {*told, *map(partial(SPDX.get), told)} or " :: " in told[-1], (name, told)


def _in(path: Path) -> Iterator[Any]:
    return iter(distributions(path=[str(path)]))
