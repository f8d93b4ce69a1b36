"""From entries to attachments: globs, defaults, templates, ids."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Listed, Position, Problem
from tests.support.privileges import unprivileged

Write = Callable[..., Path]
Places = Callable[..., list[tuple[int, int, str]]]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: acme-2026\n"

Items = Callable[..., tuple[Listed, ...]]


def grow(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-1.4")


def ids(items: tuple[Listed, ...]) -> list[str]:
    return [item.item_id for item in items]


def test_an_item_has_what_its_entry_and_the_defaults_say(listed: Items, tmp_path: Path) -> None:
    items = listed(
        HEAD
        + "defaults: {tags: {Customer: acme, Country: US}, max_size: 1KB, generation: 3, identity_tag: false}\n"
        + "attachments:\n  - file: files/a.pdf\n"
        + "  - {id: b, file: ./b.pdf, tags: {Country: NO}, generation: 4, max_size: 2KB}\n"
        + "  - url: s3://bucket/c.pdf\n"
    )

    folder = tmp_path.resolve()
    rest: dict[str, Any] = {"batch": "acme-2026", "identity_tag": False}
    plain: dict[str, Any] = {"tags": {"Customer": "acme", "Country": "US"}, "generation": 3, "max_size_bytes": 1_000}
    assert items == (
        Listed(
            item_id="files/a.pdf",
            source="files/a.pdf",
            folder=folder,
            at=Position(5, 11),
            **plain,
            **rest,
        ),
        Listed(
            item_id="b",
            source="./b.pdf",
            folder=folder,
            tags={"Customer": "acme", "Country": "NO"},
            generation=4,
            max_size_bytes=2_000,
            at=Position(6, 19),
            **rest,
        ),
        Listed(
            item_id="s3://bucket/c.pdf", source="s3://bucket/c.pdf", folder=None, at=Position(7, 10), **plain, **rest
        ),
    )


def test_matches_come_in_the_order_of_code_points(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, "é.pdf", "b.pdf", "a/b.pdf", "a.pdf", "Z.pdf", "a-b.pdf", "😀.pdf")

    assert ids(listed(HEAD + 'attachments: [{glob: "**/*.pdf"}]\n')) == [
        "Z.pdf", "a-b.pdf", "a.pdf", "a/b.pdf", "b.pdf", "é.pdf", "😀.pdf",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.pdf", ["a.pdf"]),
        ("./*.pdf", ["a.pdf"]),
        ("?.pdf", ["a.pdf"]),
        ("[!b].pdf", ["a.pdf"]),
        ("a.pdf", ["a.pdf"]),
        ("*", ["a.pdf"]),
        ("**", ["a.pdf", "d/b.PDF", "d/e/c.pdf", "d/f.png/g.pdf", "s/h.pdf"]),
        ("**/*.pdf", ["a.pdf", "d/b.PDF", "d/e/c.pdf", "d/f.png/g.pdf", "s/h.pdf"]),
        ("**/**/e//*", ["d/e/c.pdf"]),
        ("d/**/*.pdf", ["d/b.PDF", "d/e/c.pdf", "d/f.png/g.pdf"]),
        ("d/*.Pdf", ["d/b.PDF"]),
        ("d/B.pdf", None),
        ("{a,s/h}.pdf", ["a.pdf", "s/h.pdf"]),
        ("{a,[s]/h}.{pdf,png}", ["a.pdf", "s/h.pdf"]),
        ("{[a],{d,s}/*}.pdf", ["a.pdf", "d/b.PDF", "s/h.pdf"]),
        ("{,d/e/}[ac].pdf", ["a.pdf", "d/e/c.pdf"]),
        ("*/*/c.pdf", ["d/e/c.pdf"]),
        (".h*", [".hidden.pdf"]),
        (".dot/*", [".dot/i.pdf"]),
        ("**/.h*", [".hidden.pdf"]),
        ("*.pdf/../a.pdf", None),
        ("d/../*.pdf", ["d/../a.pdf"]),
        ("link/*.pdf", ["link/h.pdf"]),
        ("*.png", None),
        ("d/*.png", None),
        ("[", None),
        ("a.pdf/*", None),
    ],
)
def test_a_pattern_matches_what_a_shell_would(
    pattern: str, expected: list[str] | None, write: Write, places_of: Places, tmp_path: Path
) -> None:
    grow(tmp_path, "a.pdf", "d/b.PDF", "d/e/c.pdf", "d/f.png/g.pdf", "s/h.pdf", ".hidden.pdf", ".dot/i.pdf")
    (tmp_path / "link").symlink_to("s")
    content = f'{HEAD}attachments: [{{glob: "{pattern}"}}]\n'

    if expected is None:
        assert places_of(write(content, ".june")) == [(3, 22, "no-match")]
        return
    found, problems = expand(read_manifest(write(content, ".june")), allow_outside=False)
    assert (ids(found), problems) == (expected, ())


def test_links_to_files_match_even_when_they_lead_nowhere(listed: Items, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").symlink_to("nowhere.pdf")

    assert ids(listed(HEAD + 'attachments: [{glob: "*.pdf"}]\n')) == ["broken.pdf"]


def test_a_circle_of_links_ends(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, "d/a.pdf")
    (tmp_path / "d" / "again").symlink_to("..")

    assert ids(listed(HEAD + 'attachments: [{glob: "**/*.pdf"}]\n')) == ["d/a.pdf"]


def test_many_double_stars_cost_no_more_than_one(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, "d/" * 40 + "a.pdf")
    pattern = "/".join(["**", "d"] * 12) + "/**/a.pdf"

    assert len(listed(f'{HEAD}attachments: [{{glob: "{pattern}"}}]\n')) == 1


def test_a_folder_that_cannot_be_read_is_a_problem(write: Write, places_of: Places, tmp_path: Path) -> None:
    grow(tmp_path, "locked/a.pdf", "b.pdf")
    (tmp_path / "locked").chmod(0)

    with unprivileged():
        places = places_of(write(HEAD + 'attachments: [{glob: "**/*.pdf"}]\n'))

    (tmp_path / "locked").chmod(0o700)
    assert places == [(3, 22, "folder-unreadable")]


def test_a_folder_whose_name_is_too_long_is_a_problem(write: Write, places_of: Places, tmp_path: Path) -> None:
    grow(tmp_path, "d/b.pdf")

    for last in ("*.pdf", "b.pdf", "*/*.pdf"):
        places = places_of(write(f'{HEAD}attachments: [{{glob: "{"d/../" * 1000}{last}"}}]\n'))
        assert places == [(3, 22, "folder-unreadable")]


def test_a_name_that_is_not_utf_8_is_a_problem(write: Write, problems_of: ProblemsOf, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.pdf", "wb"):
        pass

    (problem,) = problems_of(write(HEAD + 'attachments: [{glob: "*.pdf"}]\n'))

    assert (problem.code, problem.message) == ("id", "the name `\\udcff.pdf` is not UTF-8: rename the file")


def test_a_name_with_a_control_character_is_a_problem(write: Write, places_of: Places, tmp_path: Path) -> None:
    grow(tmp_path, "a\nb.pdf")

    assert places_of(write(HEAD + 'attachments: [{glob: "*.pdf"}]\n')) == [(3, 22, "control-character")]


def test_outside_may_be_allowed(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf")
    up = f"../{tmp_path.name}/a.pdf"

    items = listed(
        f'{HEAD}attachments: [{{file: {up}}}, {{file: {tmp_path}/b.pdf}}, {{glob: "{tmp_path}/*.pdf"}}]\n',
        allow_outside=True,
    )

    assert ids(items) == [up, f"{tmp_path}/b.pdf", f"{tmp_path}/a.pdf"]
    assert [item.path for item in items] == [tmp_path / up, tmp_path / "b.pdf", tmp_path / "a.pdf"]


def test_an_absolute_path_into_the_folder_is_not_outside(listed: Items, tmp_path: Path) -> None:
    assert ids(listed(f"{HEAD}attachments: [{{file: {tmp_path.resolve()}/b.pdf}}]\n")) == [
        f"{tmp_path.resolve()}/b.pdf"
    ]


def test_a_folder_whose_name_begins_alike_is_outside(write: Write, places_of: Places, tmp_path: Path) -> None:
    path = write(f"{HEAD}attachments: [{{file: ../{tmp_path.name}2/a.pdf}}, {{file: ..a.pdf}}]\n")

    assert places_of(path) == [(3, 22, "outside")]


@pytest.mark.parametrize(
    ("source", "stem", "name", "parent"),
    [
        ("file: files/screens/a.b.png", "a.b", "a.b.png", "screens"),
        ("file: files/x/../a.png", "a", "a.png", "files"),
        ("file: .hidden", ".hidden", ".hidden", None),
        ("file: a.png", "a", "a.png", None),
        ("url: s3://bucket/2026/terms.pdf", "terms", "terms.pdf", "2026"),
        ("url: s3://bucket/terms", "terms", "terms", "bucket"),
        ("url: s3://bucket/a%20b/..", "..", "..", "a%20b"),
    ],
)
def test_templates_name_the_parts_of_a_source(
    source: str, stem: str, name: str, parent: str | None, listed: Items, write: Write, tmp_path: Path
) -> None:
    tags = '{S: "{stem}", N: "{name}", P: "x{parent}x"}' if "%" not in source else '{S: "{stem}", N: "{name}"}'

    (item,) = listed(f"{HEAD}attachments:\n  - {source}\n    tags: {tags}\n")

    assert (item.tags["S"], item.tags["N"]) == (stem, name)
    assert item.tags.get("P", f"x{parent}x") == f"x{tmp_path.name if parent is None else parent}x"


def test_templates_of_the_defaults_are_each_items_own(listed: Items) -> None:
    items = listed(
        HEAD
        + 'defaults: {tags: {Name: "{batch}/{id}", Kind: "{stem}"}}\n'
        + "attachments: [{file: a.pdf}, {id: b, file: c.pdf, tags: {Kind: fixed}}]\n"
    )

    assert [item.tags for item in items] == [
        {"Name": "acme-2026/a.pdf", "Kind": "a"},
        {"Name": "acme-2026/b", "Kind": "fixed"},
    ]


def test_what_a_template_put_in_is_not_a_template(listed: Items, write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write(HEAD + 'attachments: [{id: "{batch}", file: a.pdf, tags: {Name: "{id}"}}]\n'))

    assert problem.code == "tag-value"
    assert "`{batch}`" in problem.message


def test_a_rendered_value_that_is_too_long_is_a_problem(write: Write, places_of: Places) -> None:
    path = write(f'{HEAD}attachments: [{{file: {"a" * 200}.pdf, tags: {{Name: "{{stem}}-{{stem}}"}}}}]\n')

    assert places_of(path) == [(3, 235, "tag-value")]


def test_ids_are_told_apart_to_the_letter(listed: Items) -> None:
    assert ids(listed(HEAD + "attachments: [{file: a.pdf}, {file: ./a.pdf}, {file: A.pdf}]\n")) == [
        "a.pdf",
        "./a.pdf",
        "A.pdf",
    ]
