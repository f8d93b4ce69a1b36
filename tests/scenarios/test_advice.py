"""What people write in manifests and tables, and how they are told what to write instead; each from outside.

The inputs are those that people reported of this and other programs: names from Macs and from Windows, patterns without
quotes, patterns that overlap, files that are not what their names say.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_upload.manifest.new import EXCLUDED_MAX
from tests.support.preloaded import Preloaded
from tests.support.real_documents import real_pdf

NFC = "Société Générale.pdf"
NFD = unicodedata.normalize("NFD", NFC)
HEAD = "version: 1\nbatch: june\nattachments:\n"


def grow(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(real_pdf(name.encode("ascii", "replace").decode()))


@pytest.fixture
def told(command: Preloaded, tmp_path: Path) -> Callable[..., list[str]]:
    """What `validate` says of entries, a line for each: its problems, without the file's name."""

    def found(*entries: str) -> list[str]:
        (tmp_path / "m.yaml").write_text(HEAD + "".join(f"  - {entry}\n" for entry in entries), encoding="utf-8")
        ended = command.run("validate", "m.yaml", cwd=tmp_path)
        assert ended.code == 21, ended.stderr
        return [line.removeprefix("m.yaml:") for line in ended.stderr.splitlines() if line.startswith("m.yaml:")]

    return found


Told = Callable[..., list[str]]


def test_a_line_break_in_a_name_of_thousands_names_the_file(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, *(f"n/{number:04d}.pdf" for number in range(50)), "n/two\nlines.pdf")

    assert told("glob: n/*.pdf") == [r"4:11: the name `n/two\nlines.pdf` has a line break: rename the file"]


def test_globs_that_overlap_are_one_problem_whose_advice_works(told: Told, command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, *(f"in/{number:02d}.pdf" for number in range(13)))

    (line,) = told('glob: "in/*.pdf"', 'glob: "in/**/*.pdf"')
    (tmp_path / "m.yaml").write_text(HEAD + '  - glob: "in/*.pdf"\n', encoding="utf-8")

    assert "match the same 13 files, such as `in/00.pdf`: leave one of the two out" in line
    assert command.run("validate", "m.yaml", cwd=tmp_path).code == 0


def test_a_slash_behind_a_file_is_a_problem(told: Told, tmp_path: Path) -> None:
    grow(tmp_path, "ok.pdf")

    assert told("file: ok.pdf", "file: ok.pdf/") == [
        "5:11: `ok.pdf/` ends as only folders do: write `ok.pdf` for a file, or use a `glob`"
    ]


def test_one_file_in_several_spellings_and_the_same_bytes_are_warnings_that_stop_nothing(
    command: Preloaded, tmp_path: Path
) -> None:
    for name in ("a.pdf", "b.pdf", "sub/c.pdf"):
        grow(tmp_path, name)
    (tmp_path / "b.pdf").write_bytes((tmp_path / "a.pdf").read_bytes())
    entries = ("a.pdf", "./a.pdf", "sub/c.pdf", "sub//c.pdf", "b.pdf")
    (tmp_path / "m.yaml").write_text(HEAD + "".join(f"  - file: {name}\n" for name in entries), encoding="utf-8")

    validated = command.run("validate", "m.yaml", cwd=tmp_path)
    told = command.run("validate", "m.yaml", "--json", cwd=tmp_path)
    planned = command.run("plan", "m.yaml", "--offline", "--json", cwd=tmp_path)
    uploaded = command.run("upload", "m.yaml", "--local", "--json", cwd=tmp_path)
    silent = command.run("upload", "m.yaml", "--local", "--quiet", cwd=tmp_path)

    each_is_uploaded = "each is uploaded; leave out what is not needed"
    warnings = [
        f"m.yaml:5:11: warning: `./a.pdf` is the same file as `a.pdf` in line 4: {each_is_uploaded}",
        f"m.yaml:7:11: warning: `sub//c.pdf` is the same file as `sub/c.pdf` in line 6: {each_is_uploaded}",
        f"m.yaml:8:11: warning: `b.pdf` has the same bytes as `a.pdf` in line 4: {each_is_uploaded}",
    ]
    assert validated.stderr.splitlines() == [*warnings, "`m.yaml` is valid: 5 items, 3 warnings"]
    for ended in (told, planned, uploaded):
        assert (ended.code, ended.summary["warnings"]) == (0, 3)
        assert [line["code"] for line in ended.of("warning")] == ["same-file", "same-file", "same-bytes"]
        assert set(warnings) <= set(ended.stderr.splitlines())
    assert uploaded.summary["uploaded"] == 5
    assert (silent.code, silent.stderr) == (0, "")


def test_a_plan_shows_ten_warnings_and_validate_all(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, *(f"{number:02d}.pdf" for number in range(12)))
    entries = (f"{dots}{number:02d}.pdf" for dots in ("", "./") for number in range(12))
    (tmp_path / "m.yaml").write_text(HEAD + "".join(f"  - file: {name}\n" for name in entries), encoding="utf-8")

    planned = command.run("plan", "m.yaml", "--offline", cwd=tmp_path).stderr.splitlines()
    validated = command.run("validate", "m.yaml", cwd=tmp_path).stderr.splitlines()

    assert sum(" warning: " in line for line in planned) == 10
    assert "and 2 warnings more; `validate` lists all of them" in planned
    assert sum(" warning: " in line for line in validated) == 12


def test_the_first_manifest_that_people_write_gets_its_quotes(told: Told, command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, "a.pdf")

    assert told("glob: *.pdf") == ['4:12: this is not YAML: put it in quotes: `glob: "*.pdf"`']
    (tmp_path / "m.yaml").write_text(HEAD + '  - glob: "*.pdf"\n', encoding="utf-8")
    assert command.run("validate", "m.yaml", cwd=tmp_path).code == 0


def test_a_name_from_a_mac_is_found_and_the_difference_named(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, NFD)
    (tmp_path / "t.csv").write_text(f"file\n{NFC}\n", encoding="utf-8")

    table = command.run("manifest", "new", "t.csv", "-o", "t.yaml", cwd=tmp_path)

    (tmp_path / "m.yaml").write_text(f"{HEAD}  - file: {NFC}\n", encoding="utf-8")
    listed = command.run("validate", "m.yaml", cwd=tmp_path)

    other_form = f"the file of `{NFC}` has a name in another Unicode form (on Macs, NFD); it is used"
    assert (listed.code, f"m.yaml:4:11: warning: {other_form}" in listed.stderr) == (0, True)
    assert table.code == 0, table.stderr
    assert command.run("upload", "t.yaml", "--local", cwd=tmp_path).code == 0


def test_a_name_from_a_mac_can_be_a_tag(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, NFD)
    (tmp_path / "m.yaml").write_text(HEAD + '  - glob: "*.pdf"\n    tags: {Name: "{stem}"}\n', encoding="utf-8")

    assert command.run("validate", "m.yaml", cwd=tmp_path).code == 0


def test_an_id_in_another_unicode_form_can_be_asked_for_as_the_hint_says(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, NFD)
    (tmp_path / "m.yaml").write_text(HEAD + '  - glob: "*.pdf"\n', encoding="utf-8")

    unknown = command.run("why", "m.yaml", NFC, cwd=tmp_path)
    only = command.run("plan", "m.yaml", "--offline", "--only", NFC, cwd=tmp_path)

    for ended in (unknown, only):
        assert ended.code == 2
        assert f"hint: there is `{NFD}`, spelt with other code points (NFD, as Macs write them)" in ended.stderr
        assert r"in ASCII: `$'Socie\u0301te\u0301 Ge\u0301ne\u0301rale.pdf'`" in ended.stderr
    assert command.run("why", "m.yaml", NFD, cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        (r"in\a.pdf", r"write folders with `/` instead of `\`: `in/a.pdf`"),
        (r"C:\Users\jane\a.pdf", "begins a path of Windows"),
        ("~/docs/a.pdf", "`~` is not expanded here"),
        ("$HOME/a.pdf", "variables such as `$HOME` are not expanded here"),
        ("“in/a.pdf”", "the quotation marks `“` are part of the name"),
        ("s3://bucket/a.pdf", "this is an address: "),
        ("https://example.com/a.pdf", "download the file, and name it here"),
    ],
)
def test_a_path_as_people_write_it_gets_a_hint_in_manifest_and_table(
    written: str, advice: str, told: Told, command: Preloaded, tmp_path: Path
) -> None:
    grow(tmp_path, "in/a.pdf")
    (tmp_path / "t.csv").write_text(f"file\n{written}\n", encoding="utf-8")

    (line,) = told(f"file: {written}")
    table = command.run("manifest", "new", "t.csv", "-o", "t.yaml", cwd=tmp_path)

    assert line.startswith(f"4:11: `{written}` does not exist: ")
    assert advice in line
    assert table.code == 21
    assert f"t.csv:2: `{written}` does not exist: " in table.stderr
    assert advice in table.stderr


def test_a_pattern_or_a_backslash_where_none_can_be_is_told_so(told: Told) -> None:
    assert told(r'file: "in\new.pdf"')[0].startswith(r"4:11: `file` has a line break, since `\n` in double quotes")
    assert told("file: files/*.pdf") == [
        '4:11: `files/*.pdf` does not exist: `file` names one file; for a pattern write `glob: "files/*.pdf"`'
    ]
    assert "write `s3://bucket/a.pdf`" in told("url: https://bucket.s3.amazonaws.com/a.pdf")[0]
    assert "copy the object to a key without spaces" in told("url: s3://bucket/my a.pdf")[0]


def test_files_of_other_types_are_named(told: Told, tmp_path: Path) -> None:
    for name, content in (
        ("a.jpg", b"\x00\x00\x00\x18ftypheic" + bytes(16)),
        ("b.pdf", b"<!DOCTYPE html><html><body>Sign in</body></html>"),
        ("c.pdf", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
        ("d.pdf", bytes(4_096)),
    ):
        (tmp_path / name).write_bytes(content)

    lines = told("file: a.jpg", "file: b.pdf", "file: c.pdf", "file: d.pdf")

    assert [line.split(": ", 1)[1] for line in lines] == [
        "`a.jpg` is a HEIC photo (as iPhones make them), although it is named `.jpg`: open it and export it as JPEG",
        "`b.pdf` is a web page, although it is named `.pdf`: "
        "the download was answered by a page instead, perhaps one to log in: download it again",
        "`c.pdf` is a Git LFS pointer, although it is named `.pdf`: get the file itself with `git lfs pull`",
        "`d.pdf` is all zero bytes, although it is named `.pdf`: the copy was not completed: copy or download it again",
    ]


def test_a_folder_in_the_place_of_a_manifest_gets_the_command_that_makes_one(
    command: Preloaded, tmp_path: Path
) -> None:
    grow(tmp_path, "Letters 2026/a.pdf")

    refused = command.run("upload", "Letters 2026", cwd=tmp_path)
    made = command.run("manifest", "new", "Letters 2026", "-o", "letters-2026.yaml", cwd=tmp_path)

    assert refused.code == 2
    assert "hint: make a manifest of it first: `batch-upload manifest new 'Letters 2026' -o letters-2026.yaml`" in (
        refused.stderr
    )
    assert made.code == 0


def test_a_cell_that_no_tag_can_hold_is_told_at_its_line_and_nothing_is_written(
    command: Preloaded, tmp_path: Path
) -> None:
    grow(tmp_path, "a.pdf", "b.pdf")
    (tmp_path / "t.csv").write_text(f"file,Company\na.pdf,A & B\nb.pdf,{'x' * 300}\n", encoding="utf-8")

    refused = command.run("manifest", "new", "t.csv", "-o", "t.yaml", "--tag", "Company={col:Company}", cwd=tmp_path)

    assert refused.code == 21
    assert "t.csv:2: `&` is not allowed in the tag `Company`: `A & B`" in refused.stderr
    assert "t.csv:3: the tag `Company` has 300 characters: at most 256 are allowed" in refused.stderr
    assert "`--clean-tags _` replaces what tags may not have" in refused.stderr
    assert not (tmp_path / "t.yaml").exists()


def test_a_pattern_that_had_to_become_a_list_says_what_it_will_not_find(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, "letters/a.pdf", "letters/b.pdf")
    for number in range(EXCLUDED_MAX + 1):
        (tmp_path / "letters" / f"draft-{number:03d}.pdf").write_text("just text", encoding="utf-8")

    made = command.run("manifest", "new", "letters", "-o", "m.yaml", cwd=tmp_path)

    assert made.code == 0
    assert (
        "PDFs added in `letters` later will not be found, because `draft-000.pdf` and 100 others cannot be uploaded, "
        "and `letters/*.pdf` would match it\n"
        "to find them, move away what cannot be uploaded, and make the manifest again with `--force`\n"
    ) in made.stderr


def test_what_programs_leave_in_a_folder_changes_nothing(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, "letters/a.pdf")
    for name in ("~$a.pdf", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "letters" / name).write_bytes(b"\x01")

    made = command.run("manifest", "new", "letters", "-o", "m.yaml", cwd=tmp_path)
    (tmp_path / "all.yaml").write_text(HEAD + "  - glob: letters/*\n", encoding="utf-8")

    assert (made.code, "left out" in made.stderr) == (0, False)
    assert 'glob: "letters/*.pdf"' in (tmp_path / "m.yaml").read_text(encoding="utf-8")
    assert command.run("validate", "m.yaml", cwd=tmp_path).code == 0
    assert command.run("validate", "all.yaml", cwd=tmp_path).code == 0


def test_a_file_that_is_too_large_is_told_the_flag_that_lets_it_in(command: Preloaded, tmp_path: Path) -> None:
    grow(tmp_path, "letters/a.pdf", "letters/b.pdf")
    os.truncate(tmp_path / "letters" / "b.pdf", 1_200_000)

    made = command.run("manifest", "new", "letters", "-o", "m.yaml", cwd=tmp_path)
    again = command.run("manifest", "new", "letters", "-o", "m.yaml", "--force", "--max-size", "2MiB", cwd=tmp_path)

    assert "make it smaller, or add `--max-size 2MiB` (most registration forms take only 500 KB)" in made.stderr
    assert again.code == 0
    assert "2 attachments" in again.stderr


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (("failed",), "error: nothing has failed, so there is nothing to write\n"),
        (("parked", "failed"), "error: no item is `failed` or `parked`, so there is nothing to write\n"),
    ],
)
def test_a_manifest_of_nothing_says_what_there_is_none_of(
    command: Preloaded, tmp_path: Path, only: tuple[str, ...], words: str
) -> None:
    grow(tmp_path, "a.pdf")
    (tmp_path / "m.yaml").write_text(HEAD + "  - file: a.pdf\n", encoding="utf-8")
    chosen = [word for state in only for word in ("--only", state)]

    ended = command.run("report", "m.yaml", "--format", "manifest", *chosen, "-o", "failed.yaml", cwd=tmp_path)

    assert (ended.code, ended.stderr) == (2, words)
    assert not (tmp_path / "failed.yaml").exists()


def test_only_the_verb_that_sends_says_that_nothing_was_sent(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(HEAD + "  - fil: a.pdf\n", encoding="utf-8")

    said = {
        verb: command.run(verb, "m.yaml", "--local", cwd=tmp_path).stderr for verb in ("upload", "status", "report")
    }

    assert said["upload"].startswith("error: 1 problem in `m.yaml`, nothing was sent\n")
    assert said["status"].startswith("error: 1 problem in `m.yaml`\n")
    assert said["report"].startswith("error: 1 problem in `m.yaml`\n")
