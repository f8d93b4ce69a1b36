"""A report that is a manifest: read back by a YAML reader, it means the same documents."""

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.errors import UsageError
from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Item, Listed
from batch_upload.registration import Bind
from batch_upload.report.rerun_manifest import write_manifest
from batch_upload.spelling import size_text, yaml_text
from batch_upload.targets import Target
from tests.unit.report.samples import item, listed, manifest_at

LOADERS = [yaml.SafeLoader, yaml.CSafeLoader]


def written(folder: Path, items: Sequence[Item | Listed], *, into: Path) -> str:
    """The report as it stands in a file of `into`."""
    stream = io.StringIO()
    write_manifest(
        stream, manifest=manifest_at(folder), items=items, ledger=folder / "june.ledger", folder=into, is_part=False
    )
    return stream.getvalue()


def read_back(text: str) -> dict[str, Any]:
    """What a YAML reader makes of it."""
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def identity(one: Listed) -> tuple[object, ...]:
    """All that a ClientToken is made of, where the document is, its form, and the field that it goes into."""
    where = one.source if one.path is None else str(one.path.resolve())
    limits = one.generation, one.max_size_bytes, one.identity_tag
    return (one.batch, one.item_id, dict(one.tags), *limits, where, one.bind, one.form)


def test_the_whole_text_of_a_report_beside_its_manifest(tmp_path: Path) -> None:
    items = [
        listed("acme/loa", "files/loa.pdf", folder=tmp_path, tags={"Country": "NO", "Name": '{a} \\ "b"'}),
        listed("terms", "s3://bucket/terms.pdf", folder=tmp_path)._replace(generation=2, max_size_bytes=2 * 1_048_576),
        listed("opt-in", "a.png", folder=tmp_path)._replace(bind=Bind("registration-1", "messagingUseCase.optInImage")),
    ]

    assert written(tmp_path, items, into=tmp_path) == (
        "version: 1\n"
        'ledger: "june.ledger"\n'
        'batch: "june"\n'
        "target:\n"
        '  region: "us-east-1"\n'
        '  account: "123456789012"\n'
        "defaults:\n"
        "  identity_tag: true\n"
        "  max_size: 500KB\n"
        "attachments:\n"
        '  - id: "acme/loa"\n'
        '    file: "files/loa.pdf"\n'
        "    tags:\n"
        '      "Country": "NO"\n'
        '      "Name": "{{a}} \\\\ \\"b\\""\n'
        "    generation: 1\n"
        '  - id: "terms"\n'
        '    url: "s3://bucket/terms.pdf"\n'
        "    generation: 2\n"
        "    max_size: 2MiB\n"
        '  - id: "opt-in"\n'
        '    file: "a.png"\n'
        "    bind:\n"
        '      registration: "registration-1"\n'
        '      field: "messagingUseCase.optInImage"\n'
        "    generation: 1\n"
        "    max_size: 500KB\n"
    )


def test_a_report_in_a_folder_below_reaches_back_and_says_so(tmp_path: Path) -> None:
    below = tmp_path / "out"
    below.mkdir()

    text = written(tmp_path, [listed("a", "files/a.pdf", folder=tmp_path)], into=below)

    assert text.startswith("# some files lie outside this folder: run it with --allow-outside\n")
    assert read_back(text)["attachments"][0]["file"] == "../files/a.pdf"
    assert read_back(text)["ledger"] == "../june.ledger"


def test_a_report_in_the_folder_above_needs_no_leave(tmp_path: Path) -> None:
    text = written(tmp_path / "in", [listed("a", "files/a.pdf", folder=tmp_path / "in")], into=tmp_path)

    assert text.startswith("version: 1\n")
    assert read_back(text)["attachments"][0]["file"] == "in/files/a.pdf"


def test_a_path_is_found_from_behind_symbolic_links_too(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "real" / "a.pdf").write_bytes(b"%PDF-")
    (tmp_path / "files" / "link").symlink_to(tmp_path / "real" / "deep")
    into = tmp_path / "out"
    into.symlink_to(tmp_path / "real" / "deep")

    text = written(tmp_path, [listed("a", "files/link/../a.pdf", folder=tmp_path)], into=into)

    where = into / read_back(text)["attachments"][0]["file"]
    assert os.path.samefile(where, tmp_path / "real" / "a.pdf")
    assert os.path.realpath(into / read_back(text)["ledger"]) == str((tmp_path / "june.ledger").resolve())


def test_a_file_that_is_a_symbolic_link_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"%PDF-")
    (tmp_path / "a.pdf").symlink_to(tmp_path / "blob")
    resolved = item("a")._replace(source="a.pdf", folder=tmp_path)

    text = written(tmp_path, [resolved], into=tmp_path)

    assert read_back(text)["attachments"][0]["file"] == "a.pdf"


def test_an_absolute_path_becomes_a_relative_one(tmp_path: Path) -> None:
    text = written(tmp_path, [listed("a", f"{tmp_path}/files/a.pdf", folder=tmp_path)], into=tmp_path)

    assert read_back(text)["attachments"][0]["file"] == "files/a.pdf"


def test_what_a_manifest_does_not_say_is_left_out(tmp_path: Path) -> None:
    stream = io.StringIO()
    silent = replace(manifest_at(tmp_path), target=Target(), identity_tag=False, max_size_bytes=1_234_567)
    chosen = [listed("a", "a.pdf", folder=tmp_path)._replace(max_size_bytes=1_234_567)]

    count = write_manifest(stream, manifest=silent, items=chosen, ledger=tmp_path / "l", folder=tmp_path, is_part=False)

    assert count == 1
    assert read_back(stream.getvalue()) == {
        "version": 1,
        "ledger": "l",
        "batch": "june",
        "defaults": {"identity_tag": False, "max_size": 1_234_567},
        "attachments": [{"id": "a", "file": "a.pdf", "generation": 1}],
    }


def test_a_manifest_without_attachments_is_not_written(tmp_path: Path) -> None:
    stream = io.StringIO()

    with pytest.raises(UsageError, match="no item is chosen"):
        write_manifest(
            stream,
            manifest=manifest_at(tmp_path),
            items=[],
            ledger=tmp_path / "june.ledger",
            folder=tmp_path,
            is_part=True,
        )
    assert stream.getvalue() == ""


def test_a_stream_that_is_not_utf_8_gets_ascii(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="latin-1") as stream:
        chosen = [listed("ø 😀", "a.pdf", folder=tmp_path)]
        write_manifest(
            stream,
            manifest=manifest_at(tmp_path),
            items=chosen,
            ledger=tmp_path / "june.ledger",
            folder=tmp_path,
            is_part=True,
        )
        stream.flush()
        text = raw.getvalue()

    assert text.isascii()
    assert yaml.safe_load(text)["attachments"][0]["id"] == "ø 😀"


SOURCE = """\
version: 1
batch: june
target: {region: us-east-1}
defaults:
  tags: {Customer: acme, Name: "{stem}"}
  max_size: 400KB
  generation: 3
attachments:
  - id: 'acme: "loa" # 1'
    file: files/a.pdf
    tags: {Country: NO, Name: "", Width: 0123}
    max_size: 1MiB
    bind: {registration: "{stem}-1", field: messagingUseCase.optInImage}
  - glob: files/**/*.png
    tags: {Name: "{stem} of {parent}"}
    bind: {registration: "registration-{stem}", field: campaignInfo.optInScreenshot}
  - url: s3://bucket/terms.pdf
    tags: {Name: "{id}"}
    form: my-form
    bind:
      registration: arn:aws:sms-voice:us-east-1:111122223333:registration/registration-2
      field: messagingUseCase.optInImage
  - {file: files/a.pdf, id: small, form: small}
  - {file: files/a.pdf, id: letter, form: sender-id-letter, max_size: 300KB}
forms:
  my-form: {types: [pdf]}
  small: {types: [pdf, png], max_size: 20KiB, min_pixels: 10x20}
"""


@pytest.mark.parametrize("into", [".", "out"])
def test_our_own_reader_finds_the_same_items_in_it(tmp_path: Path, into: str) -> None:
    (tmp_path / "files" / "ø 日").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "files" / "a.pdf").write_bytes(b"%PDF-")
    (tmp_path / "files" / "ø 日" / "b.png").write_bytes(b"png")
    (tmp_path / "june.yaml").write_text(SOURCE, encoding="utf-8")
    manifest = read_manifest(tmp_path / "june.yaml")
    items, _ = expand(manifest, allow_outside=False)
    assert len(items) == 5

    report = tmp_path / into / "again.yaml"
    with report.open("w", encoding="utf-8") as stream:
        write_manifest(
            stream, manifest=manifest, items=items, ledger=tmp_path / "june.ledger", folder=report.parent, is_part=False
        )
    again = read_manifest(report)
    same, problems = expand(again, allow_outside=True)

    assert problems == ()
    assert [identity(each) for each in same] == [identity(each) for each in items]
    assert (again.folder / str(again.ledger)).resolve() == (tmp_path / "june.ledger").resolve()


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "NO",
        "0123",
        "2026-11-23",
        "~",
        "a: b # c",
        "/path\\to",
        'say "x"',
        "\x00\x07\x1b\x7f\x85\x9f\xa0\xad",
        "\u2028\u2029\ufeff\ufffe",
        "日本 😀 \U000e0041",
        " \t lead and trail \n",
        "%TAG",
        "'",
    ],
)
def test_a_yaml_reader_reads_exactly_the_text(loader: type[yaml.SafeLoader | yaml.CSafeLoader], text: str) -> None:
    for ascii_only in (False, True):
        scalar = yaml_text(text, ascii_only=ascii_only)
        assert "\n" not in scalar
        assert yaml.load(f"k: {scalar}\n", Loader=loader) == {"k": text}  # noqa: S506 - both loaders are safe ones


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    for ascii_only in (False, True):
        assert yaml.safe_load(yaml_text(text, ascii_only=ascii_only)) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(500_000, "500KB"), (65_536, "64KiB"), (5_242_880, "5MiB"), (1_234_567, "1234567"), (1, "1")],
)
def test_a_size_is_spelled_as_a_manifest_takes_it(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(("before", "after"), [(None, "../june.yaml"), ("../whole.yaml", "../../whole.yaml")])
def test_a_part_names_its_whole_by_the_path_from_where_it_lies(tmp_path: Path, before: str | None, after: str) -> None:
    """A part of a part names the whole, too."""
    (tmp_path / "parts").mkdir()
    manifest = replace(manifest_at(tmp_path), path=tmp_path / "june.yaml", part_of=before)
    items = [listed("a", "a.pdf", folder=tmp_path)]
    stream = io.StringIO()

    write_manifest(
        stream, manifest=manifest, items=items, ledger=tmp_path / "l", folder=tmp_path / "parts", is_part=True
    )

    path = tmp_path / "parts" / "failed.yaml"
    path.write_text(stream.getvalue(), encoding="utf-8")
    assert read_manifest(path).part_of == after
    assert "part_of" not in written(tmp_path, items, into=tmp_path)


FLEET = """\
version: 1
batch: june
targets:
  defaults: {role_arn: "arn:aws:iam::{account}:role/us-east-1-{region}", regions: [us-east-1, us-west-2]}
  list:
    - {name: acme, account: "111122223333", groups: [tier1], external_id: env:X, vars: {brand: acme}}
    - {name: beta, account: "444455556666", profile: "{name}"}
    - {name: gamma, account: "777788889999"}
attachments:
  - {file: "{target} {{x}}.pdf", target: all, tags: {Brand: x, Where: "{region}"},
     bind: {registration: "{target}-{region}", field: a.b}}
  - {url: "s3://bucket/{account}.pdf", id: "{{terms}}", target: [acme, beta/us-west-2], generation: 3,
     bind: {registration: "{account}", field: "{target}.b"}}
"""


@given(chosen=st.sets(st.integers(0, 8), min_size=1))
def test_a_part_of_a_manifest_with_targets_has_the_same_items_in_the_same_lanes(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("fleet").resolve()
    path = folder / "june.yaml"
    path.write_text(FLEET)
    manifest = read_manifest(path)
    items = [each for number, each in enumerate(expand(manifest, allow_outside=False)[0]) if number in chosen]
    stream = io.StringIO()

    write_manifest(stream, manifest=manifest, items=items, ledger=folder / "l", folder=folder, is_part=True)

    (folder / "part.yaml").write_text(stream.getvalue())
    again = read_manifest(folder / "part.yaml")
    listed_again, problems = expand(again, allow_outside=False)
    labels = {each.lane_label for each in items}
    assert problems == ()
    assert [(each.lane_label, identity(each)) for each in listed_again] == [
        (each.lane_label, identity(each)) for each in items
    ]
    assert again.targets == tuple(replace(each, vars={}) for each in manifest.targets if each.label in labels)
    assert again.part_of == "june.yaml"
