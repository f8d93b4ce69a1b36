"""Patterns that match the same files, and names that patterns match almost."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_upload.model import Listed, Problem

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[Problem]]
Items = Callable[..., tuple[Listed, ...]]

HEAD = "version: 1\nbatch: acme-2026\nattachments:\n"


def grow(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-1.4")


@pytest.fixture
def told(write: Write, problems_of: ProblemsOf) -> Callable[..., list[tuple[int, str]]]:
    """The line and message of each problem of entries, a line for each."""

    def found(*entries: str) -> list[tuple[int, str]]:
        path = write(HEAD + "".join(f"  - {entry}\n" for entry in entries))
        return [(problem.at.line, problem.message) for problem in problems_of(path)]

    return found


Told = Callable[..., list[tuple[int, str]]]


def test_overlapping_globs_are_one_problem_with_the_count(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, *(f"in/{number:02d}.pdf" for number in range(13)), "in/deep/a.pdf")

    assert told('glob: "in/*.pdf"', 'glob: "in/**/*.pdf"') == [
        (
            5,
            "`in/*.pdf` in line 4 and `in/**/*.pdf` match the same 13 files, such as `in/00.pdf`: "
            'leave line 4 out, which matches nothing else, or add `exclude: "in/*.pdf"` to this one',
        )
    ]
    assert told('glob: "in/**/*.pdf"', 'glob: "in/*.pdf"')[0][1].endswith(
        "match the same 13 files, such as `in/00.pdf`: leave this one out, which matches nothing else, "
        'or add `exclude: "in/*.pdf"` to line 4'
    )
    assert told('glob: "in/*.pdf"', 'glob: "in/*.pdf"')[0][1].endswith(": leave one of the two out")
    assert told('glob: "in/*0.pdf"', 'glob: "in/0*.pdf"') == [
        (5, "`in/*0.pdf` in line 4 and `in/0*.pdf` match the same file, such as `in/00.pdf`: "
            'add `exclude: "in/*0.pdf"` to this one')
    ]  # fmt: skip


def test_three_globs_are_a_problem_for_each_pair(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf", "b.pdf")

    assert [(line, message.split(" match ")[0]) for line, message in told("glob: '*'", "glob: '*.*'", "glob: a.*")] == [
        (5, "`*` in line 4 and `*.*`"),
        (6, "`*` in line 4 and `a.*`"),
        (6, "`*.*` in line 5 and `a.*`"),
    ]


def test_globs_in_one_line_are_told_apart(write: Write, problems_of: ProblemsOf, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf")

    (problem,) = problems_of(write("version: 1\nbatch: b\nattachments: [{glob: a.*}, {glob: '*.pdf'}]\n"))

    assert problem.message.startswith("`a.*` in line 3 and `*.pdf` match the same file")


def test_the_advice_on_overlapping_globs_can_be_followed(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, "in/10.pdf", "in/00.pdf", "in/01.pdf", "in/deep/a.pdf")

    for globs in (
        ("{glob: 'in/*0.pdf'}", "{glob: 'in/0*.pdf', exclude: 'in/*0.pdf'}"),
        ("{glob: 'in/*.pdf'}", "{glob: 'in/**/*.pdf', exclude: 'in/*.pdf'}"),
        ("{glob: 'in/**/*.pdf', exclude: 'in/*.pdf'}", "{glob: 'in/*.pdf'}"),
    ):
        found = [each.item_id for each in listed(HEAD + "".join(f"  - {each}\n" for each in globs))]
        assert len(found) == len(set(found))


def test_ids_that_are_paths_of_matches_are_one_problem_of_the_glob(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf", "b.pdf", "c.pdf", "x/1.pdf", "x/2.pdf")

    assert told("{id: a.pdf, file: x/1.pdf}", "{id: b.pdf, file: x/2.pdf}", "glob: '*.pdf'") == [
        (6, "`*.pdf` matches 2 files whose paths are the ids of other entries, such as `a.pdf` in line 4: "
            "give each of them another `id`, or use `exclude`")
    ]  # fmt: skip
    assert told("{id: a.pdf, file: x/1.pdf}", "glob: '*.pdf'")[0][1] == (
        "`*.pdf` matches a file whose path is the id of another entry, `a.pdf` in line 4: "
        "give each of them another `id`, or use `exclude`"
    )


def test_an_entry_behind_a_glob_with_the_id_of_a_match_is_told_which(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf", "b.pdf")

    assert told("glob: '*.pdf'", "file: b.pdf", "{id: a.pdf, file: other.pdf}") == [
        (6, "the id `a.pdf` is that of a file which the glob `*.pdf` in line 4 matches: give this entry another `id`"),
    ]


def test_no_advice_names_an_id_for_a_glob(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf", "b.pdf")

    for entries in (("glob: '*'", "glob: '*.pdf'"), ("file: a.pdf", "glob: '*'")):
        assert all("`id`" not in message for _, message in told(*entries))


def test_a_name_with_a_line_break_is_named(told: Told, tmp_path: Path) -> None:
    folder = "d" * 120
    grow(tmp_path, "n/two\nlines.pdf", "n/tab\t.pdf", "n/bell\x07.pdf", f"{folder}/x\r.pdf")

    assert told("glob: n/*.pdf", f"glob: {folder}/*") == [
        (4, "the name `n/bell\\x07.pdf` has the control character U+0007: rename the file"),
        (4, "the name `n/tab\\t.pdf` has a tab: rename the file"),
        (4, "the name `n/two\\nlines.pdf` has a line break: rename the file"),
        (5, f"the name `{folder}/x\\r.pdf` has a line break: rename the file"),
    ]


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("Société*.pdf", "1 file would match it in another Unicode form (Macs write names in NFD), such as "
                         "`Socie\u0301te\u0301.pdf`: rename the files, or write `*` for the accented letters"),
        ("a*.jp*", "1 file would match it with other capital letters, such as `A.JPG`: write them as they are there"),
        ("*.jp[g]", "2 files would match it with other capital letters, such as `A.JPG`: write them as they are there"),
        ("In/*.pdf", "1 file would match it with other capital letters, such as `in/x.pdf`: "
                     "write them as they are there"),
        (r"in\*.pdf", r"write folders with `/` instead of `\`: `in/*.pdf`"),
        ("~/in/*.pdf", "`~` is not expanded here: write the path from the manifest's folder, with `/`"),
        ("$HOME/*.pdf", "variables such as `$HOME` are not expanded here: "
                        "write the path from the manifest's folder, with `/`"),
        ("Acme [2026]/*.pdf", "1 file would match it with brackets in the name, such as `Acme [2026]/a.pdf`: "
                              "write `Acme [[]2026]/*.pdf`"),
        ("Acme [2027]/*.pdf", "`[…]` stands for one character: write `[[]` for a bracket in a name"),
        ("other/*.pdf", "check the pattern"),
    ],
)  # fmt: skip
def test_a_pattern_that_matches_nothing_is_told_what_it_matches_almost(
    pattern: str, advice: str, told: Told, tmp_path: Path
) -> None:
    grow(tmp_path, unicodedata.normalize("NFD", "Société.pdf"), "A.JPG", "b.Jpg", "in/x.pdf", "Acme [2026]/a.pdf")

    assert told(f"glob: '{pattern}'") == [(4, f"`{pattern}` matches no file: {advice}")]


def test_what_programs_leave_in_folders_is_matched_by_no_pattern(listed: Items, tmp_path: Path) -> None:
    grow(
        tmp_path,
        "in/a.pdf",
        "in/~$a.pdf",
        "in/Thumbs.db",
        "in/thumbs.db",
        "in/Desktop.ini",
        "in/.DS_Store",
        "in/~b.pdf",
    )

    for pattern in ("in/*", "**", "i?/[!z]*"):
        found = [item.item_id for item in listed(HEAD + f"  - glob: '{pattern}'\n") if item.item_id != "june.yaml"]
        assert found == ["in/a.pdf", "in/~b.pdf"]


def test_a_template_takes_accents_from_a_macs_name(listed: Items, tmp_path: Path) -> None:
    grow(tmp_path, unicodedata.normalize("NFD", "Société Générale.pdf"))

    (item,) = listed(HEAD + "  - glob: '*.pdf'\n    tags: {Name: '{stem}'}\n")

    assert item.tags == {"Name": "Société Générale"}
    assert item.item_id == unicodedata.normalize("NFD", "Société Générale.pdf")


def test_a_value_that_tags_could_hold_stays_as_it_is(listed: Items, tmp_path: Path) -> None:
    jamo = unicodedata.normalize("NFD", "한글")
    grow(tmp_path, f"{jamo}.pdf")

    (item,) = listed(HEAD + "  - glob: '*.pdf'\n    tags: {Name: '{stem}'}\n")

    assert item.tags == {"Name": jamo}
