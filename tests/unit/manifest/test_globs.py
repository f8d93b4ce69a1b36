"""What a glob takes and leaves out: `exclude`, `optional`, `min_age`, entries of `file`, and other spellings."""

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from batch_upload.manifest.globs import GlobFindings
from batch_upload.manifest.patterns import ALTERNATIVES_MAX, Exclusion, alternatives
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import Listed, Problem

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: acme-2026\nattachments:\n"
NOW_S = 1_764_288_000.0
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Société.pdf") for form in ("NFC", "NFD"))


def grow(folder: Path, *names: str, age_s: float = 3_600) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF-1.4")
        os.utime(path, (NOW_S - age_s, NOW_S - age_s))


class Found:
    """What a manifest lists, what its globs found besides, and its problems."""

    def __init__(self, path: Path) -> None:
        self.findings = GlobFindings(now_s=NOW_S)
        _, self.listed, self.problems = list_manifest(
            path, allow_outside=False, findings=self.findings, take=lambda _, listed: tuple(listed)
        )

    @property
    def ids(self) -> list[str]:
        return [each.item_id for each in self.listed]

    @property
    def young(self) -> list[str]:
        return [each.listed.item_id for each in self.findings.young]

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.problems]


@pytest.fixture
def found(write: Write) -> Callable[..., Found]:
    """What entries list, a line for each; `head` is what comes before them."""

    def of(*entries: str, head: str = HEAD) -> Found:
        return Found(write(head + "".join(f"  - {entry}\n" for entry in entries)))

    return of


Find = Callable[..., Found]


# braces


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.pdf", ["*.pdf"]),
        ("*.{pdf,png}", ["*.pdf", "*.png"]),
        ("{a,b}/{c,d}", ["a/c", "a/d", "b/c", "b/d"]),
        ("{a,{b,c}x}", ["a", "bx", "cx"]),
        ("{,a}", ["", "a"]),
        ("{a,a}", ["a"]),
        ("{a}", ["{a}"]),
        ("{a{b,c}}", ["{ab}", "{ac}"]),
        ("[{,]a}", ["[{,]a}"]),
        ("[{]a,b}", ["[{]a,b}"]),
        ("{[,],b}", ["[,]", "b"]),
        ("{[],b}", ["[]", "b"]),
        ("{a,b", ["{a,b"]),
        ("}{a,b}", ["}a", "}b"]),
        ("{x{a,b}", ["{xa", "{xb"]),
    ],
)
def test_braces_stand_for_alternatives(pattern: str, expected: Sequence[str]) -> None:
    assert list(alternatives(pattern)) == expected


def test_braces_are_bounded() -> None:
    ten = "{0,1,2,3,4,5,6,7,8,9}"

    assert len(alternatives(ten * 3)) == ALTERNATIVES_MAX
    with pytest.raises(ValueError, match="more than 1,000 patterns"):
        alternatives(f"{ten * 3}{{a,b}}")
    assert alternatives("{" * 4_000) == ("{" * 4_000,)
    assert alternatives("[" * 4_000) == ("[" * 4_000,)


def test_a_file_that_several_alternatives_match_is_listed_once(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "in/b.PNG", "in/c.txt")

    assert found('glob: "in/{*.pdf,a.*,*.{png,jpg}}"').ids == ["in/a.pdf", "in/b.PNG"]


def test_with_targets_braces_hold_alternatives_and_templates(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "acme/a.pdf", "acme/b.png", "acme/old/c.pdf", "beta/d.jpg", "beta/keep/e.pdf")
    head = (
        "version: 1\nbatch: b\ndefaults: {target: all}\ntargets:\n  defaults: {regions: [us-east-1]}\n  list:\n"
        '    - {name: acme, account: "111122223333", vars: {skip: old}}\n'
        '    - {name: beta, account: "444455556666", vars: {skip: none}}\nattachments:\n'
    )

    result = found('{glob: "{target}/**/*.{pdf,{png,jpg}}", exclude: "{vars.skip}"}', head=head)

    assert (result.ids, result.messages) == (["acme/a.pdf", "acme/b.png", "beta/d.jpg", "beta/keep/e.pdf"], [])


# extensions and brackets


def test_extensions_of_documents_match_in_any_case(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/SCAN001.PDF", "in/scan002.pdf", "in/Scan003.Pdf", "in/x.TXT", "in/y.txt", "in/z.JPEG")

    assert found("glob: in/*.pdf").ids == ["in/SCAN001.PDF", "in/Scan003.Pdf", "in/scan002.pdf"]
    assert found("glob: in/*.Jpeg").ids == ["in/z.JPEG"]
    assert found("glob: in/*.txt").ids == ["in/y.txt"]
    assert found("glob: in/SCAN*.[P]DF").ids == ["in/SCAN001.PDF"]


def test_names_that_are_almost_matched_are_warned_of(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/scan-1.pdf", "in/SCAN-2.pdf", "in/Scan-3.PDF", "in/other.pdf")

    result = found("glob: in/scan-*.pdf")

    assert (result.ids, result.messages) == (["in/scan-1.pdf"], [])
    assert [(each.code, each.at.line, each.message) for each in result.findings.warnings] == [
        (
            "similar-names",
            4,
            "2 more files would match `in/scan-*.pdf` with other capital letters, such as `in/SCAN-2.pdf`: "
            "they are left out; rename them, or add a `glob` or `exclude`",
        )
    ]


def test_a_name_in_another_unicode_form_is_warned_of(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, COMPOSED, DECOMPOSED)

    result = found(f"glob: '{COMPOSED[:-4]}*.pdf'")

    assert result.ids == [COMPOSED]
    assert [each.message for each in result.findings.warnings] == [
        f"1 more file would match `{COMPOSED[:-4]}*.pdf` in another Unicode form (Macs write names in NFD), such as "
        f"`{DECOMPOSED}`: it is left out; rename it, or add a `glob` or `exclude`"
    ]


@pytest.mark.parametrize("other", ["glob: in/SCAN*.pdf", "{id: x, file: in/SCAN-2.pdf}", "file: ./in/SCAN-2.pdf"])
def test_similar_names_that_are_listed_or_excluded_are_no_warning(other: str, found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/scan-1.pdf", "in/SCAN-2.pdf")

    for entries in (("glob: in/scan*.pdf", other), (other, "glob: in/scan*.pdf")):
        assert found(*entries).findings.warnings == []
    assert found("{glob: in/scan*.pdf, exclude: SCAN-2.pdf}").findings.warnings == []


# exclude


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("draft-*", ["in/a.pdf", "in/deep/old/c.PDF"]),
        ("old", ["in/a.pdf", "in/deep/draft-b.pdf"]),
        ("old/", ["in/a.pdf", "in/deep/draft-b.pdf"]),
        ("in/deep", ["in/a.pdf"]),
        ("./in//deep/", ["in/a.pdf"]),
        ("in/deep/**", ["in/a.pdf"]),
        ("**/draft-*", ["in/a.pdf", "in/deep/old/c.PDF"]),
        ("in/**/*.pdf", []),
        ("in/*.pdf", ["in/deep/draft-b.pdf", "in/deep/old/c.PDF"]),
        ("**/old/*", ["in/a.pdf", "in/deep/draft-b.pdf"]),
        ("in/**/old/**/*.pdf", ["in/a.pdf", "in/deep/draft-b.pdf"]),
        ("deep/*", ["in/a.pdf", "in/deep/draft-b.pdf", "in/deep/old/c.PDF"]),
        ("*.{png,pdf}", []),
        ("[a]*", ["in/deep/draft-b.pdf", "in/deep/old/c.PDF"]),
        ("A.pdf", ["in/a.pdf", "in/deep/draft-b.pdf", "in/deep/old/c.PDF"]),
        ("nothing", ["in/a.pdf", "in/deep/draft-b.pdf", "in/deep/old/c.PDF"]),
    ],
)
def test_what_is_excluded_is_left_out(pattern: str, left: list[str], found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "in/deep/draft-b.pdf", "in/deep/old/c.PDF")

    assert found(f"{{glob: 'in/**/*.pdf', exclude: '{pattern}', optional: true}}").ids == left


def test_a_list_of_patterns_is_added_to_that_of_the_defaults(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "in/b.pdf", "in/c.pdf", "in/d.pdf")
    head = "version: 1\nbatch: b\ndefaults: {exclude: [a.*]}\nattachments:\n"

    assert found("{glob: in/*.pdf, exclude: [b.*, in/c.pdf]}", "file: in/a.pdf", head=head).ids == [
        "in/d.pdf",
        "in/a.pdf",
    ]


def test_both_unicode_forms_and_hidden_names_are_excluded() -> None:
    exclusion = Exclusion([COMPOSED, "*.tmp.pdf"])

    assert all(exclusion.excludes(f"in/{name}") for name in (COMPOSED, DECOMPOSED, ".a.tmp.pdf"))
    assert not exclusion.excludes("in/Societe.pdf")


def test_a_glob_all_of_whose_matches_are_excluded_has_no_match(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "in/b.pdf")

    assert found("{glob: in/*.pdf, exclude: in}").messages == [
        "`in/*.pdf` matches 2 files, all of which `exclude` leaves out: narrow `exclude`, or write `optional: true`"
    ]
    assert found("{glob: in/a*.pdf, exclude: in}").messages == [
        "`in/a*.pdf` matches 1 file, which `exclude` leaves out: narrow `exclude`, or write `optional: true`"
    ]


def test_a_hundred_thousand_names_are_compared_in_bounded_steps() -> None:
    exclusion = Exclusion(["/".join(["**", "a*"] * 20) + "/x"])

    assert not exclusion.excludes("/".join(["aaa"] * 1_000))


# optional


def test_an_optional_glob_may_match_nothing(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.txt")

    for pattern in ("in/*.pdf", "missing/*.pdf", "in/a.txt/*.pdf"):
        result = found(f"{{glob: {pattern}, optional: true}}")
        assert (result.ids, result.messages) == ([], [])
    assert [each.code for each in found("{glob: in/*.pdf, optional: false}").problems] == ["no-match"]


# min_age


def test_young_files_are_left_for_a_later_run(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/old.pdf", age_s=61)
    grow(tmp_path, "in/edge.pdf", age_s=60)
    grow(tmp_path, "in/young.pdf", age_s=59)
    grow(tmp_path, "in/future.pdf", age_s=-3_600)

    result = found("{glob: in/*.pdf, min_age: 60s}")

    assert (result.ids, result.messages) == (["in/edge.pdf", "in/old.pdf"], [])
    assert [(each.listed.item_id, each.min_age_s, each.is_future) for each in result.findings.young] == [
        ("in/future.pdf", 60, True),
        ("in/young.pdf", 60, False),
    ]


def test_a_glob_with_only_young_files_is_no_problem(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/young.pdf", age_s=1)

    result = found("{glob: in/*.pdf, min_age: 1m}")

    assert (result.ids, result.messages, result.young) == ([], [], ["in/young.pdf"])


def test_the_age_of_the_defaults_is_for_globs_and_a_glob_may_turn_it_off(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "b.pdf", "c.pdf", age_s=1)
    head = "version: 1\nbatch: b\ndefaults: {min_age: 2h}\nattachments:\n"

    result = found("glob: in/*.pdf", "{glob: b*.pdf, min_age: 0s}", "file: c.pdf", head=head)

    assert (result.ids, result.young) == (["b.pdf", "c.pdf"], ["in/a.pdf"])


def test_a_broken_link_is_old(found: Find, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").symlink_to("nowhere.pdf")

    assert found("{glob: '*.pdf', min_age: 60s}").ids == ["a.pdf"]
    assert GlobFindings(now_s=NOW_S).age_of(str(tmp_path / "vanished.pdf")) is None


# file and glob


def test_a_file_entry_wins_over_a_globs_match_whichever_comes_first(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "in/b.pdf", "in/c.pdf")

    special = "{file: in/b.pdf, tags: {Special: 'yes'}, generation: 2}"
    for entries, expected in (
        (("glob: in/*.pdf", special), ["in/a.pdf", "in/c.pdf", "in/b.pdf"]),
        ((special, "glob: in/*.pdf"), ["in/b.pdf", "in/a.pdf", "in/c.pdf"]),
        (("{glob: in/*.pdf, exclude: c.pdf}", "{id: other, file: ./in//b.pdf}"), ["in/a.pdf", "other"]),
        ((f"file: {tmp_path}/in/b.pdf", "glob: in/[ab].pdf"), [f"{tmp_path}/in/b.pdf", "in/a.pdf"]),
    ):
        result = found(*entries)
        assert (result.ids, result.messages) == (expected, [])


def test_a_file_entry_wins_in_another_unicode_form_only_if_it_means_that_file(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, f"in/{DECOMPOSED}", "in/b.pdf")

    assert found("glob: in/*.pdf", f"file: in/{COMPOSED}").ids == ["in/b.pdf", f"in/{COMPOSED}"]

    grow(tmp_path, f"in/{COMPOSED}")

    assert found("glob: in/*.pdf", f"file: in/{COMPOSED}").ids == [f"in/{DECOMPOSED}", "in/b.pdf", f"in/{COMPOSED}"]


def test_a_file_entry_wins_only_in_its_own_lanes(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/acme.pdf", "in/beta.pdf")
    head = (
        "version: 1\nbatch: b\ntargets:\n  defaults: {regions: [us-east-1]}\n  list:\n"
        '    - {name: acme, account: "111122223333"}\n    - {name: beta, account: "444455556666"}\nattachments:\n'
    )

    def lanes(result: Found) -> list[tuple[str | None, str]]:
        return [(each.lane_label, each.item_id) for each in result.listed]

    assert lanes(found("{glob: in/*.pdf, target: all}", "{file: 'in/{target}.pdf', target: acme}", head=head)) == [
        ("beta/us-east-1", "in/acme.pdf"),
        ("acme/us-east-1", "in/beta.pdf"),
        ("beta/us-east-1", "in/beta.pdf"),
        ("acme/us-east-1", "in/acme.pdf"),
    ]
    assert lanes(found("{glob: in/*.pdf, target: all}", "{file: 'in/{target}.pdf', target: all}", head=head)) == [
        ("beta/us-east-1", "in/acme.pdf"),
        ("acme/us-east-1", "in/beta.pdf"),
        ("acme/us-east-1", "in/acme.pdf"),
        ("beta/us-east-1", "in/beta.pdf"),
    ]


def test_matches_are_marked(found: Find, tmp_path: Path) -> None:
    grow(tmp_path, "in/a.pdf", "b.pdf")

    def marks(listed: Sequence[Listed]) -> list[bool]:
        return [each.is_match for each in listed]

    assert marks(found("glob: in/*.pdf", "file: b.pdf").listed) == [True, False]
