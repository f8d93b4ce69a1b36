"""Reading a manifest: what stands in it, as it stands in it, and where."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_upload.document import DATABASE_HEADER
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.cursor import Loader
from batch_upload.manifest.problems import excerpt
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Entry, Manifest, Position, Problem, SourceKind
from batch_upload.targets import Target

Write = Callable[..., Path]
Places = Callable[..., list[tuple[int, int, str]]]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: acme-2026\n"

Read = Callable[[str], Manifest]


def test_a_whole_manifest_is_read(write: Write, tmp_path: Path, loader: Loader) -> None:
    path = write(
        """\
version: 1
ledger: june.ledger
batch: acme-2026
target:
  region: us-east-1
  account: "012345678901"
  profile: acme
  role_arn: arn:aws:iam::123456789012:role/teams/uploader
defaults:
  tags: {Customer: acme}
  max_size: 1MiB
  generation: 3
  identity_tag: false
attachments:
  - id: acme/loa
    file: files/acme-loa.pdf
    tags: {Country: "NO"}
    generation: 2
    max_size: 400KB
  - glob: screenshots/**/*.png
  - url: s3://bucket/terms.pdf
"""
    )

    manifest = read_manifest(path, loader=loader)

    assert manifest == Manifest(
        path=path,
        folder=tmp_path.resolve(),
        batch="acme-2026",
        entries=(
            Entry(
                SourceKind.FILE,
                "files/acme-loa.pdf",
                Position(16, 11),
                item_id="acme/loa",
                id_at=Position(15, 9),
                tags={"Country": "NO"},
                tags_at={"Country": Position(17, 12)},
                generation=2,
                max_size_bytes=400_000,
            ),
            Entry(SourceKind.GLOB, "screenshots/**/*.png", Position(20, 11)),
            Entry(SourceKind.URL, "s3://bucket/terms.pdf", Position(21, 10)),
        ),
        ledger="june.ledger",
        target=Target("us-east-1", "012345678901", "acme", "arn:aws:iam::123456789012:role/teams/uploader"),
        tags={"Customer": "acme"},
        tags_at={"Customer": Position(10, 10)},
        max_size_bytes=1_048_576,
        has_max_size=True,
        generation=3,
        identity_tag=False,
    )


def test_what_is_not_said_has_its_default(read: Read) -> None:
    manifest = read(HEAD + "attachments: [{file: a.pdf}]\n")

    assert (manifest.max_size_bytes, manifest.generation, manifest.identity_tag) == (500_000, 1, True)
    assert (manifest.ledger, manifest.target, manifest.tags) == (None, Target(), {})
    assert manifest.part_of is None
    assert manifest.entries == (Entry(SourceKind.FILE, "a.pdf", Position(3, 22)),)


@pytest.mark.parametrize(
    "text",
    ["NO", "yes", "0123", "1e3", "1_000", "2026-11-23", "null", "Null", "0x1F", "12:30:00", ".5", "true", "=", "-"],
)
def test_text_stays_what_was_written(text: str, read: Read) -> None:
    # A lone dash must stand in quotes; everything else here is plain.
    written = f'"{text}"' if text == "-" else text

    (entry,) = read(f"{HEAD}attachments:\n  - file: a.pdf\n    id: {written}\n    tags: {{A: {written}}}\n").entries

    assert (entry.item_id, entry.tags) == (text, {"A": text})


def test_an_empty_tag_value_must_be_meant(read: Read) -> None:
    (entry,) = read(HEAD + "attachments:\n  - file: a.pdf\n    tags: {A: \"\", B: ''}\n").entries

    assert entry.tags == {"A": "", "B": ""}


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_line_ends_and_a_byte_order_mark_change_nothing(newline: str, mark: str, write: Write, loader: Loader) -> None:
    text = mark + (HEAD + "# é😀\nattachments:\n  - {id: 😀é, file: a.pdf}\n").replace("\n", newline)

    manifest = read_manifest(write(text), loader=loader)

    (entry,) = manifest.entries
    assert (entry.item_id, entry.id_at, entry.at) == ("😀é", Position(5, 10), Position(5, 20))
    assert manifest.batch == "acme-2026"


def test_tabs_may_stand_within_quotes_and_behind_texts(read: Read) -> None:
    (entry,) = read(f'{HEAD}attachments:\n  - file: a.pdf\t# loa\n    tags:\n      A: "a\n\tb"\n').entries

    assert entry.tags == {"A": "a b"}


def test_keys_may_come_in_any_order(read: Read) -> None:
    manifest = read("attachments: [{file: a.pdf}]\ndefaults: {generation: 7}\nbatch: b\nversion: 1\n")

    assert (manifest.batch, manifest.generation, len(manifest.entries)) == ("b", 7, 1)


def test_one_document_may_be_marked_as_such(read: Read) -> None:
    assert read("%YAML 1.1\n---\n" + HEAD + "attachments: [{file: a.pdf}]\n...\n# the end\n").batch == "acme-2026"


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("1", 1),
        ("1B", 1),
        ("2KB", 2_000),
        ("2KiB", 2_048),
        ("5MB", 5_000_000),
        ("5MiB", 5_242_880),
        ("5242880", 5_242_880),
    ],
)
def test_sizes_are_counted_in_thousands_or_in_1024s(written: str, size_bytes: int, read: Read) -> None:
    assert (
        read(f"{HEAD}defaults: {{max_size: {written}}}\nattachments: [{{file: a.pdf}}]\n").max_size_bytes == size_bytes
    )


def test_forty_nine_tags_and_the_identity_tag_are_as_many_as_there_may_be(
    read: Read, write: Write, places_of: Places
) -> None:
    def content(count: int, identity_tag: str) -> str:
        tags = ", ".join(f"t{number}: x" for number in range(count))
        return f"{HEAD}defaults: {{identity_tag: {identity_tag}}}\nattachments: [{{file: a.pdf, tags: {{{tags}}}}}]\n"

    assert len(read(content(49, "true")).entries[0].tags) == 49
    assert len(read(content(50, "false")).entries[0].tags) == 50
    assert len(places_of(write(content(51, "false")))) == 1


def test_problems_come_in_the_order_of_the_file(write: Write, problems_of: ProblemsOf) -> None:
    path = write("batch: B\nattachments:\n  - file: a.pdf\n    generation: 0\ndefaults: {generation: x}\n")

    places = [problem.at for problem in problems_of(path)]

    assert places == sorted(places)
    assert len(places) == 4


def test_the_error_counts_its_problems(write: Write) -> None:
    path = write("batch: B\n")

    with pytest.raises(ManifestInvalid) as caught:
        read_manifest(path)

    assert caught.value.message == f"3 problems in {excerpt(str(path))}"
    assert str(caught.value.problems[0]).startswith(f"{path}:1:1: `version` is missing")


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "fifo", "/dev/zero", "loop", "nul\0.yaml"])
def test_what_is_no_regular_file_is_a_usage_error_and_never_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(UsageError) as caught:
        read_manifest(tmp_path / name)

    assert caught.value.message.startswith("the manifest `")
    assert caught.value.message.isprintable()


def test_the_folder_is_the_real_one_when_the_manifest_is_a_link(write: Write, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.yaml"
    link.symlink_to(write(HEAD + "attachments: [{file: a.pdf}]\n"))

    manifest = read_manifest(link)

    assert (manifest.path, manifest.folder) == (link, tmp_path.resolve())


def test_strange_names_are_escaped_in_messages(write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write(f'{HEAD}"a\\x1b[31m\\u202e": 1\nattachments: [{{file: a.pdf}}]\n'))

    assert problem.message.startswith("`a\\x1b[31m\\u202e` is not a key of the manifest")


def test_a_long_name_is_cut_in_messages(write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write(f"{HEAD}? {'k' * 5_000}\n: 1\nattachments: [{{file: a.pdf}}]\n"))

    assert len(problem.message) < 300


def test_an_unquoted_template_is_told_to_be_excerpt(write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write(HEAD + "attachments:\n  - file: a.pdf\n    tags: {Name: {stem}}\n"))

    assert problem.message == '`Name` must be text, not a mapping: put a template in quotes, as in `"{stem}"`'


LINES = st.lists(
    st.sampled_from(
        [
            "version: 1",
            "batch: b",
            "attachments:",
            "  - file: a.pdf",
            "    id: x",
            "    tags: {A: b}",
            "  - *a",
            "<<: &a {}",
            "  - glob: '*'",
            "defaults:",
            "  max_size: 1KB",
            "\t",
            "---",
            "...",
            "  - [",
            "]",
            "? x",
            ": y",
            "!x",
            "# c",
            "  -",
            '"',
        ]
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(lines=LINES)
def test_whatever_is_written_is_a_manifest_or_problems(lines: list[str], write: Write) -> None:
    path = write("\n".join(lines))

    with contextlib.suppress(ManifestInvalid):
        assert read_manifest(path).entries


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(content=st.binary(max_size=60))
@example(content=DATABASE_HEADER)
def test_whatever_bytes_there_are_nothing_else_is_raised(content: bytes, write: Write) -> None:
    expected = UsageError if content.startswith(DATABASE_HEADER) else ManifestInvalid  # such as a ledger

    with pytest.raises(expected):
        read_manifest(write(content))
