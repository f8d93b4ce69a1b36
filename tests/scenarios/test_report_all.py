"""`report --all`: everything that was ever created for a batch can be exported, whatever the manifest lists by now."""

import csv
import io
import json
from pathlib import Path

import pytest

from batch_upload.operations import TAG
from tests.support.batches import BATCH, IDENTITY_TAG, TAGS, Batch, make_batch, pdf, token_of, write_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

GLOB = f"version: 1\nbatch: {BATCH}\ndefaults:\n  tags: {json.dumps(dict(TAGS))}\nattachments:\n  - glob: f/*.pdf\n"
Row = dict[str, str]


@pytest.fixture
def globbed(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Batch:
    """Four documents of a glob, all uploaded."""
    batch = write_batch(tmp_path, {f"f/{number}.pdf": pdf(f"document {number}") for number in range(4)})
    batch.path.write_text(GLOB, encoding="utf-8")
    assert upload(command, batch, endpoint).code == 0
    return batch


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("upload", batch.manifest, "--rate", "100", "--json", *flags, cwd=batch.folder, env=endpoint.env)


def report(command: Preloaded, batch: Batch, *flags: str) -> list[Row]:
    ended = command.run("report", batch.manifest, *flags, cwd=batch.folder)
    assert ended.code == 0, ended.stderr
    return list(csv.DictReader(io.StringIO(ended.stdout, newline="")))


def told(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [(row["id"], row["state"], row["in_manifest"]) for row in rows]


def test_whatever_was_created_has_a_row_that_says_what_became_of_it(
    endpoint: Endpoint, command: Preloaded, globbed: Batch
) -> None:
    (globbed.folder / "f/0.pdf").write_bytes(pdf("another"))
    (globbed.folder / "f/3.pdf").unlink()
    assert upload(command, globbed, endpoint).code == 0

    rows = report(command, globbed, "--all")

    assert told(rows) == [
        ("f/0.pdf", "complete", "listed"),
        ("f/1.pdf", "complete", "listed"),
        ("f/2.pdf", "complete", "listed"),
        ("f/0.pdf", "complete", "replaced"),
        ("f/3.pdf", "complete", "no longer listed"),
    ]
    assert {row["registration_attachment_id"] for row in rows} == {each["id"] for each in endpoint.attachments()}
    assert [row["id"] for row in report(command, globbed)] == ["f/0.pdf", "f/1.pdf", "f/2.pdf"]
    assert "in_manifest" not in report(command, globbed)[0]


def test_what_was_deleted_stays_exportable(endpoint: Endpoint, command: Preloaded, globbed: Batch) -> None:
    (globbed.folder / "f/3.pdf").unlink()
    assert command.run("prune", globbed.manifest, "--yes", cwd=globbed.folder, env=endpoint.env).code == 0

    row = report(command, globbed, "--all")[-1]

    assert told([row]) == [("f/3.pdf", "failed", "no longer listed")]
    assert (row["attachment_status"], row["error_code"]) == ("DELETED", "DELETED")
    assert row["registration_attachment_id"]


def test_where_the_glob_matches_nothing_any_more_all_rows_are_of_what_is_no_longer_listed(
    command: Preloaded, globbed: Batch
) -> None:
    for each in globbed.folder.glob("f/*.pdf"):
        each.unlink()

    rows = report(command, globbed, "--all")

    assert told(rows) == [(item_id, "complete", "no longer listed") for item_id in globbed.ids]


def test_a_second_attachment_with_the_token_of_an_item_is_exported_as_a_duplicate(
    endpoint: Endpoint, command: Preloaded, globbed: Batch
) -> None:
    item_id, content = next(iter(globbed.documents.items()))
    second = endpoint.plant({**TAGS, IDENTITY_TAG: token_of(item_id, content)})
    assert command.run("reconcile", globbed.manifest, "--yes", cwd=globbed.folder, env=endpoint.env).code == 0

    row = report(command, globbed, "--all")[-1]

    assert told([row]) == [(item_id, "complete", "duplicate")]
    assert row["registration_attachment_id"] == second["id"]


def test_an_attachment_whose_tags_are_half_changed_is_not_left_out(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint)
    text = batch.path.read_text(encoding="utf-8")
    batch.path.write_text(text.replace('"acme"', '"birch"'), encoding="utf-8")
    endpoint.change(deny=[TAG])
    assert upload(command, batch, endpoint).code == 22

    (row,) = report(command, batch, "--all")

    assert told([row]) == [(batch.ids[0], "complete", "listed")]
    assert row["registration_attachment_id"] == endpoint.attachments()[0]["id"]


def test_only_chooses_of_all_that_there_is(endpoint: Endpoint, command: Preloaded, globbed: Batch) -> None:
    (globbed.folder / "f/3.pdf").unlink()

    refused = command.run("report", globbed.manifest, "--only", "f/3.pdf", cwd=globbed.folder)
    unknown = command.run("report", globbed.manifest, "--all", "--only", "f/9.pdf", cwd=globbed.folder)

    assert told(report(command, globbed, "--all", "--only", "f/3.pdf")) == [("f/3.pdf", "complete", "no longer listed")]
    assert (refused.code, unknown.code) == (2, 2)
    assert "the manifest no longer lists `f/3.pdf`" in refused.stderr
    assert "`batch-upload report june.yaml --all --only f/3.pdf` writes it" in refused.stderr


def test_json_lines_have_the_same_member_and_other_formats_refuse_the_flag(
    endpoint: Endpoint, command: Preloaded, globbed: Batch
) -> None:
    (globbed.folder / "f/3.pdf").unlink()

    lines = command.run("report", globbed.manifest, "--all", "--format", "jsonl", cwd=globbed.folder)
    refused = [
        command.run("report", globbed.manifest, "--all", "--format", form, cwd=globbed.folder)
        for form in ("html", "manifest")
    ]

    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [row["in_manifest"] for row in rows] == ["listed", "listed", "listed", "no longer listed"]
    assert [each.code for each in refused] == [2, 2]


@pytest.mark.parametrize(
    ("name", "beginning"), [("r.html", "<!doctype html>"), ("r.jsonl", '{"'), ("r.txt", "id,source,")]
)
def test_a_file_is_what_its_name_says_without_a_format(
    name: str, beginning: str, command: Preloaded, globbed: Batch
) -> None:
    ended = command.run("report", globbed.manifest, "-o", name, cwd=globbed.folder)

    assert ended.code == 0, ended.stderr
    assert (globbed.folder / name).read_text(encoding="utf-8").lower().startswith(beginning)
