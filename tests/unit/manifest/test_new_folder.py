"""Folders that become manifests: which patterns and lists stand for what is in them, and what is left out."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from batch_upload.manifest.expand import expand
from batch_upload.manifest.new import EXCLUDED_MAX, FromFolder, OneByOne, Rejection, entries_of_folder, manifest_lines
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Entry, Manifest, SourceKind


def manifest_of(folder: Path, entries: Sequence[Entry]) -> Manifest:
    return Manifest(path=folder / "x", folder=folder, batch="june", entries=tuple(entries))


def read_back(manifest: Manifest, folder: Path) -> Manifest:
    path = folder / "made.yaml"
    path.write_text("".join(f"{line}\n" for line in manifest_lines(manifest)), encoding="utf-8", newline="")
    return read_manifest(path)


def grow(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found_in(folder: Path, *, bad: Sequence[str] = ()) -> FromFolder:
    root = folder.resolve()

    def judge(path: Path, source: str) -> Rejection | None:
        return ("bad", f"`{path.name}` is bad") if path.name in bad else None

    return entries_of_folder(root, manifest_folder=root, judge=judge)


def test_each_folder_and_extension_is_a_glob_that_finds_just_its_documents(tmp_path: Path) -> None:
    names = ["a.pdf", "b/c.pdf", "b/d.PDF", "b/e.png", "b[1]*/x?.png", "**/y.png", "# n: o/z.png"]
    grow(tmp_path, *names, ".hidden/a.pdf", ".a.pdf")

    found = found_in(tmp_path)
    listed, problems = expand(read_back(manifest_of(tmp_path, found.entries), tmp_path), allow_outside=False)

    assert problems == ()
    assert {each.kind for each in found.entries} == {SourceKind.GLOB}
    assert sorted(each.item_id for each in listed) == sorted(names)
    assert found.documents == len(names)


def test_what_cannot_be_uploaded_is_left_out_and_the_others_keep_their_ids(tmp_path: Path) -> None:
    grow(tmp_path, "a/1.pdf", "a/2.pdf", "a/3.png", "b/4.pdf")

    found = found_in(tmp_path, bad=["2.pdf"])

    assert [(each.kind, each.source) for each in found.entries] == [
        (SourceKind.GLOB, "a/*.pdf"),
        (SourceKind.GLOB, "a/*.png"),
        (SourceKind.GLOB, "b/*.pdf"),
    ]
    assert [(each.path, each.code) for each in found.left_out] == [("a/2.pdf", "bad")]
    grow(tmp_path, "a/later.pdf")
    listed, _ = expand(read_back(manifest_of(tmp_path, found.entries), tmp_path), allow_outside=False)
    assert [each.item_id for each in listed] == ["a/1.pdf", "a/later.pdf", "a/3.png", "b/4.pdf"]


def test_only_what_cannot_be_uploaded_is_excluded_whatever_its_name_is(tmp_path: Path) -> None:
    bad = ["*.pdf", "[ab].pdf", "{a,b}.pdf", "# x: y.pdf", "{account}.pdf", "?.pdf", "B.PDF", "!.pdf", "ü ' \".pdf"]
    good = ["a.pdf", "b.pdf", "x.pdf", "sub/[a].pdf"]
    grow(tmp_path, *bad, *good, *(f"sub/{name}" for name in bad))

    found = found_in(tmp_path, bad=bad)
    manifest = read_back(manifest_of(tmp_path, found.entries), tmp_path)
    listed, problems = expand(manifest, allow_outside=False)

    assert problems == ()
    assert {each.kind for each in found.entries} == {SourceKind.GLOB}
    assert sorted(each.item_id for each in listed) == sorted(good)


def test_names_that_no_manifest_can_hold_are_left_out(tmp_path: Path) -> None:
    grow(tmp_path, "good.pdf", "bad\x1b.pdf")
    Path(tmp_path, "not-utf8-\udcff.pdf").write_bytes(b"x")

    found = found_in(tmp_path)

    assert [each.source for each in found.entries] == ["good.pdf"]
    assert sorted(each.code for each in found.left_out) == ["control-character", "id"]


def test_a_link_to_a_folder_is_told_and_not_followed(tmp_path: Path) -> None:
    grow(tmp_path, "a/1.pdf")
    (tmp_path / "loop").symlink_to(tmp_path)

    found = found_in(tmp_path)

    assert [each.source for each in found.entries] == ["a/*.pdf"]
    assert [each.path for each in found.left_out] == ["loop"]


def test_a_list_in_the_place_of_a_pattern_is_told_with_its_reason(tmp_path: Path) -> None:
    bad = [f"{number:03d}.pdf" for number in range(EXCLUDED_MAX + 1)]
    grow(tmp_path, "a/good.pdf", *(f"a/{name}" for name in bad), "b/good.pdf", *(f"b/{name}" for name in bad[1:]))
    grow(tmp_path, "c/000.pdf")

    found = found_in(tmp_path, bad=bad)

    assert found.one_by_one == [OneByOne("a/*.pdf", [f"a/{name}" for name in bad])]
    assert [(each.kind, each.source) for each in found.entries] == [
        (SourceKind.FILE, "a/good.pdf"),
        (SourceKind.GLOB, "b/*.pdf"),
    ]


def test_a_bad_file_whose_name_is_a_good_ones_in_the_other_unicode_form_is_not_excluded(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Müller.pdf") for form in ("NFC", "NFD")]
    grow(tmp_path, *names)

    found = found_in(tmp_path, bad=names[:1])

    assert [(each.kind, each.source) for each in found.entries] == [(SourceKind.FILE, names[1])]


def test_what_programs_leave_in_folders_is_passed_over(tmp_path: Path) -> None:
    grow(tmp_path, "a/1.pdf", "a/~$draft.pdf", "a/Thumbs.db", "a/desktop.ini", "a/.DS_Store")

    found = found_in(tmp_path, bad=["~$draft.pdf", "Thumbs.db", "desktop.ini"])

    assert [(each.kind, each.source) for each in found.entries] == [(SourceKind.GLOB, "a/*.pdf")]
    assert found.left_out == []


def test_a_name_with_a_line_break_is_left_out_by_its_name(tmp_path: Path) -> None:
    grow(tmp_path, "a/good.pdf", "a/two\nlines.pdf")

    found = found_in(tmp_path)

    assert [each.message for each in found.left_out] == [
        r"the name `a/two\nlines.pdf` has a line break: rename the file"
    ]
