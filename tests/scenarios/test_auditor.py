"""An auditor, a year later: who uploaded what, and what became of it, from what is left."""

import csv
import io
import os
import pwd
from pathlib import Path
from socket import gethostname

import openpyxl
import pytest

from tests.support.batches import BATCH, Batch, make_batch, pdf, write_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

Row = dict[str, str]


def principal_of(endpoint: Endpoint) -> str:
    """The ARN of the test's credentials."""
    return f"arn:aws:iam::{endpoint.account}:user/emulated"


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint) -> Result:
    return command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=batch.folder, env=endpoint.env)


def rows_of(ended: Result) -> list[Row]:
    assert ended.code == 0, ended.stderr
    return list(csv.DictReader(io.StringIO(ended.stdout, newline="")))


@pytest.fixture
def year(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> tuple[Batch, dict[str, str]]:
    """What is left of a batch of a year: four documents of a glob, one replaced, one pruned, one refused.

    Only the ledger is still there. Also returns the runs, by what they did.
    """
    batch = write_batch(tmp_path, {f"f/{number}.pdf": pdf(f"document {number}") for number in range(4)})
    batch.path.write_text("version: 1\nbatch: june\nattachments:\n  - glob: f/*.pdf\n", encoding="utf-8")
    first = upload(command, batch, endpoint)
    (batch.folder / "f/0.pdf").write_bytes(pdf("another"))
    (batch.folder / "f/3.pdf").unlink()
    second = upload(command, batch, endpoint)
    assert (first.code, second.code) == (0, 0)
    pruned = command.run("prune", batch.manifest, "--yes", cwd=batch.folder, env=endpoint.env)
    assert pruned.code == 0, pruned.stderr
    (batch.folder / "f/4.pdf").write_bytes(pdf("refused"))
    endpoint.change(fails_containing=["refused"])
    third = upload(command, batch, endpoint)
    assert third.code == 20
    batch.path.unlink()
    for each in batch.folder.glob("f/*"):
        each.unlink()
    runs = {"first": first, "second": second, "third": third}
    return batch, {name: str(ended.summary["run_id"]) for name, ended in runs.items()}


def test_the_ledger_alone_tells_everything_that_was_ever_sent_and_what_became_of_it(
    endpoint: Endpoint, command: Preloaded, year: tuple[Batch, dict[str, str]]
) -> None:
    batch, runs = year

    rows = rows_of(command.run("report", "june.ledger", "--all", cwd=batch.folder))

    assert [(row["id"], row["fate"], row["run_id"]) for row in rows] == [
        ("f/0.pdf", "current", runs["second"]),
        ("f/1.pdf", "current", runs["first"]),
        ("f/2.pdf", "current", runs["first"]),
        ("f/3.pdf", "deleted", runs["first"]),
        ("f/4.pdf", "failed", runs["third"]),
        ("f/0.pdf", "deleted", runs["first"]),
    ]
    assert {row["uploaded_by"] for row in rows} == {principal_of(endpoint)}
    assert {row["batch"] for row in rows} == {"june"}
    assert {each["id"] for each in endpoint.attachments()} <= {row["registration_attachment_id"] for row in rows}


def test_status_and_why_tell_who_ran_it_where(
    endpoint: Endpoint, command: Preloaded, year: tuple[Batch, dict[str, str]]
) -> None:
    batch, runs = year
    who = {"principal": principal_of(endpoint), "os_user": pwd.getpwuid(os.geteuid()).pw_name, "host": gethostname()}
    words = f"{who['principal']}, user {who['os_user']} on {who['host']}"

    status = command.run("status", "june.ledger", cwd=batch.folder)
    why = command.run("why", "june.ledger", "f/1.pdf", cwd=batch.folder)
    lines = command.run("status", "june.ledger", "--json", cwd=batch.folder)
    item = command.run("why", "june.ledger", "f/1.pdf", "--json", cwd=batch.folder)

    assert f"  by {words}" in status.stdout.splitlines()
    assert f"  uploaded by: {words}, run {runs['first']}" in why.stdout.splitlines()
    (last_run,) = lines.of("last_run")
    assert {name: last_run[name] for name in who} == who
    assert (last_run["run_id"], last_run["exit"]) == (runs["third"], 20)
    assert item.of("item")[0]["uploaded_by"] == {**who, "run_id": runs["first"]}


def test_the_workbook_has_the_rows_of_the_csv(command: Preloaded, year: tuple[Batch, dict[str, str]]) -> None:
    batch, _ = year
    rows = rows_of(command.run("report", "june.ledger", "--all", cwd=batch.folder))

    ended = command.run("report", "june.ledger", "--all", "-o", "june.xlsx", cwd=batch.folder)
    unnamed = command.run("report", "june.ledger", "--format", "xlsx", cwd=batch.folder)

    assert (ended.code, ended.stdout) == (0, "")
    assert "6 rows written to `june.xlsx`" in ended.stderr
    head, *found = openpyxl.load_workbook(batch.folder / "june.xlsx")["report"].iter_rows(values_only=True)
    assert list(head) == list(rows[0])
    texts = {"id", "sha256", "client_token", "registration_attachment_arn", "run_id", "fate"}
    assert [{name: value for name, value in zip(head, row, strict=True) if name in texts} for row in found] == [
        {name: row[name] for name in texts} for row in rows
    ]
    assert (unnamed.code, unnamed.stdout) == (2, "")
    assert "`--format xlsx` needs `-o FILE`" in unnamed.stderr


def test_with_the_manifest_orphans_are_told_from_what_is_listed(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = write_batch(tmp_path, {f"f/{number}.pdf": pdf(f"document {number}") for number in range(3)})
    batch.path.write_text("version: 1\nbatch: june\nattachments:\n  - glob: f/*.pdf\n", encoding="utf-8")
    upload(command, batch, endpoint)
    (batch.folder / "f/0.pdf").write_bytes(pdf("another"))
    (batch.folder / "f/2.pdf").unlink()
    upload(command, batch, endpoint)
    (batch.folder / "f/3.pdf").write_bytes(pdf("not sent yet"))

    rows = rows_of(command.run("report", batch.manifest, "--all", cwd=batch.folder))

    assert [(row["id"], row["in_manifest"], row["fate"]) for row in rows] == [
        ("f/0.pdf", "listed", "current"),
        ("f/1.pdf", "listed", "current"),
        ("f/3.pdf", "listed", "not sent"),
        ("f/0.pdf", "replaced", "replaced"),
        ("f/2.pdf", "no longer listed", "orphaned"),
    ]


@pytest.fixture
def three(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Path:
    """Three uploaded batches in a folder: of the third one only the ledger is left."""
    for name in ("may", "june", "july"):
        batch = make_batch(tmp_path / name, 2)
        text = batch.path.read_text(encoding="utf-8")
        batch.path.write_text(text.replace(f"batch: {BATCH}", f"batch: {name}"), encoding="utf-8")
        ended = upload(command, batch, endpoint)
        assert ended.code == 0, ended.stderr
    (tmp_path / "july" / "june.yaml").unlink()
    return tmp_path


THREE = ("may/june.yaml", "june/june.yaml", "july/june.ledger")


def test_three_batches_are_one_report(command: Preloaded, three: Path) -> None:
    rows = rows_of(command.run("report", *THREE, cwd=three))
    lines = command.run("report", *THREE, "--format", "jsonl", "-o", "x.jsonl", "--json", cwd=three)

    assert [(row["batch"], row["state"]) for row in rows] == [
        (name, "complete") for name in ("may", "june", "july") for _ in range(2)
    ]
    assert list(rows[0]) == list(rows_of(command.run("report", THREE[0], cwd=three))[0])
    summary = lines.summary
    assert (summary["items"], summary["states"], summary["batch"]) == (6, {"complete": 6}, None)
    assert len((three / "x.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "html", "-o", "x.html"), "`--format html` takes one manifest"),
        (("--format", "manifest"), "`--format manifest` takes one manifest"),
        (("--ledger", "may/june.ledger"), "`--ledger` is for one manifest"),
        (("-o", "june/june.ledger"), "is a file of the ledger"),
        (("-o", "may/june.yaml"), "is the manifest"),
        (("--only", "nothing"), "neither a state nor an id"),
    ],
)
def test_what_is_of_one_manifest_is_refused_for_several(
    command: Preloaded, three: Path, flags: tuple[str, ...], words: str
) -> None:
    ended = command.run("report", *THREE, *flags, cwd=three)

    assert (ended.code, ended.stdout) == (2, "")
    assert words in ended.stderr
