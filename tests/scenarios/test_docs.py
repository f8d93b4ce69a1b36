"""What the documents say of other files, of commands and of exit codes is so."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import pytest

from batch_upload.app.rates import DOCUMENTED
from batch_upload.errors import ExitCode
from batch_upload.operations import ASSUME_ROLE, IDENTITY
from batch_upload.summary import exit_of
from tests.support.emulator_process import ROOT
from tests.support.preloaded import Preloaded
from tests.support.scheduled import CRONTAB

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (?P<text>\S.*)$", re.MULTILINE)
_CODE = re.compile(r"(`+).+?\1")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| (?P<code>\d+) \| `(?P<name>\w+)` \| (?P<wake>yes|no) \|", re.MULTILINE)


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, punctuation gone, a hyphen for each space."""
    headings = (found["text"].strip().lower() for found in _HEADING.finditer(_prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def _broken_links(page: Path) -> Iterator[str]:
    for found in _LINK.finditer(_CODE.sub(lambda code: "x" * len(code[0]), _prose(page))):
        target = found["target"]
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in _anchors(linked)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_or_a_heading_leads_there(page: Path) -> None:
    assert list(_broken_links(page)) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (found["target"].partition("#")[0] for found in _LINK.finditer(_prose(page)))
        linked = ((page.parent / unquote(target)).resolve() for target in targets if target and "://" not in target)
        waiting.extend(inner for each in linked for inner in (sorted(each.glob("*.md")) if each.is_dir() else [each]))

    assert set(PAGES) - reached == set()


def _commands() -> list[str]:
    """The commands of ours that stand in blocks of code, without what follows a `#`."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = (found["text"] for page in pages for found in _FENCED.finditer(page))
    indented = (found["text"] for page in pages for found in _INDENTED.finditer(page))
    lines = (line.removeprefix("$ ").strip() for block in (*blocks, *indented) for line in block.splitlines())
    return sorted({line for line in lines if line.startswith("batch-upload ")})


def _arguments(line: str) -> list[str]:
    """What the shell hands to our command: up to a pipe, a redirection or a comment."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set("();<>|&"), words))[1:]


def test_every_command_that_is_shown_has_verbs_and_flags_that_exist(command: Preloaded, tmp_path: Path) -> None:
    assert len(_commands()) >= 8
    for line in _commands():
        told = command.run(*_arguments(line), "--help", cwd=tmp_path)
        assert told.code == 0, f"{line}: {told.stderr}"


def test_operations_has_a_row_for_each_exit_code_and_wakes_somebody_where_a_person_must_act() -> None:
    rows = {int(row["code"]): row for row in _ROW.finditer((ROOT / "docs" / "operations.md").read_text("utf-8"))}

    assert list(rows) == [int(code) for code in ExitCode]
    for code in ExitCode:
        assert rows[code]["name"] == exit_of(code).name
        assert (rows[code]["wake"] == "yes") == exit_of(code).wants_a_person, code


def test_operations_has_the_rate_of_each_operation_of_the_service() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    told = {name: float(rate) for name, rate in re.findall(r"^ *\| `(\w+)` \| (\d+) \|", text, re.MULTILINE)}

    assert told == {name: rate for name, rate in DOCUMENTED.items() if name not in (IDENTITY, ASSUME_ROLE)}


def test_operations_shows_the_crontab_as_it_is() -> None:
    lines = CRONTAB.read_text(encoding="utf-8").splitlines()
    shown = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert "\n".join(lines[lines.index("SHELL=/bin/sh") :]) in shown


def test_every_test_that_the_threat_model_names_is_there_and_every_claim_has_one() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    claims = [row for table in text.split("| claim | test |\n")[1:] for row in table.split("\n\n")[0].splitlines()[1:]]

    assert len(named) > len(claims) > 30
    assert [row for row in claims if "::" not in row] == []
    for path, name in named:
        assert re.search(rf"def {name}\(", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{name}"
