"""`prune`: what is proved ours and no longer listed is deleted, and nothing else, whoever dies when."""

import json
import os
import pty
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.operations import DELETE, LIST_TAGS
from tests.support.batches import IDENTITY_TAG, Batch, make_batch, write_batch
from tests.support.command import COMMAND
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

KEPT = 4


@pytest.fixture
def batch(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> Batch:
    """Six documents uploaded; the manifest lists four of them now."""
    whole = make_batch(tmp_path, KEPT + 2)
    uploaded = command.run("upload", whole.path, "--quiet", cwd=tmp_path, env=endpoint.env)
    assert uploaded.code == 0, uploaded.stderr
    return write_batch(tmp_path, dict(list(whole.documents.items())[:KEPT]))


def standing(endpoint: Endpoint) -> int:
    return sum(each["status"] != "DELETED" for each in endpoint.attachments())


def test_what_is_no_longer_listed_is_deleted_and_a_rerun_does_nothing(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    before = command.run("plan", batch.path, "--json", cwd=batch.folder, env=endpoint.env)
    done = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)
    again = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)
    upload = command.run("upload", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert done.code == 0, done.stderr
    orphans = {line["id"] for line in before.of("action") if line["action"] == "orphan"}
    assert {line["id"] for line in done.of("prune")} == {line["id"] for line in done.of("pruned")} == orphans
    assert {line["outcome"] for line in done.of("pruned")} == {"deleted"}
    assert (standing(endpoint), endpoint.stats().requests[DELETE]) == (KEPT, 2)
    assert (again.code, again.of("prune"), again.summary["requests"].get(DELETE, 0)) == (0, [], 0)
    assert (upload.code, upload.summary["uploaded"], upload.states) == (0, 0, {"complete": KEPT})
    assert command.run("verify", batch.path, "--json", cwd=batch.folder, env=endpoint.env).code == 0


def test_without_a_terminal_and_without_yes_nothing_is_deleted(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    refused = command.run("prune", batch.path, cwd=batch.folder, env=endpoint.env)

    assert refused.code == 2
    assert "2 attachments would be deleted, and there is nobody to ask" in refused.stderr
    assert refused.stdout.count("no longer in the manifest") == 2
    assert endpoint.stats().requests[DELETE] == 0


@pytest.mark.parametrize(("answer", "left"), [("n\n", KEPT + 2), ("y\n", KEPT)])
def test_on_a_terminal_it_asks(endpoint: Endpoint, batch: Batch, answer: str, left: int) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, **endpoint.env, "TERM": "dumb"}
    with subprocess.Popen(
        [COMMAND, "prune", batch.path], cwd=batch.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        said = _read_all(ours)
    os.close(ours)

    assert process.returncode == 0, said
    assert "delete 2 attachments? [y/N]" in said
    assert standing(endpoint) == left


def _read_all(terminal: int) -> str:
    said = b""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # Linux's way of saying that the other end is closed
            return said.decode()
        if not chunk:
            return said.decode()
        said += chunk


def test_a_tag_that_is_not_ours_keeps_the_attachment(command: Preloaded, endpoint: Endpoint, batch: Batch) -> None:
    foreign = endpoint.plant({IDENTITY_TAG: "bu1-somebody-elses"})
    _forge(batch, foreign)

    done = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)

    assert done.code == 25
    assert sorted(line["outcome"] for line in done.of("pruned")) == ["deleted", "kept"]
    assert foreign["id"] in {each["id"] for each in endpoint.attachments() if each["status"] != "DELETED"}


def _forge(batch: Batch, foreign: dict[str, str]) -> None:
    """Make the ledger believe that somebody else's attachment is ours."""
    with closing(sqlite3.connect(batch.ledger)) as raw, raw:
        values = (foreign["id"], foreign["arn"])
        raw.execute("UPDATE item SET attachment_id = ?, attachment_arn = ? WHERE item_id LIKE '%/005.%'", values)


def test_what_a_registration_uses_is_kept_and_told_and_the_others_go(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    endpoint.faults({"action": "in_use", "operation": DELETE, "times": 1})

    done = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)
    again = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)

    assert (done.code, again.code) == (20, 0)
    kept = next(line for line in done.of("pruned") if line["outcome"] == "kept")
    assert kept["error"]["code"] == "ConflictException"
    assert "used by a registration" in kept["reason"]
    assert [line["id"] for line in again.of("pruned")] == [kept["id"]]


@pytest.mark.parametrize(
    "action",
    [
        *("throttle", "drop_after"),
        *(pytest.param(each, marks=pytest.mark.soak) for each in ("drop_before", "error_after", "internal_error")),
    ],
)
def test_requests_that_go_wrong_are_tried_again(
    command: Preloaded, endpoint: Endpoint, batch: Batch, action: str
) -> None:
    endpoint.faults({"action": action, "operation": DELETE, "times": 2})

    done = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)

    assert done.code == 0, done.stderr
    assert standing(endpoint) == KEPT
    assert {line["outcome"] for line in done.of("pruned")} <= {"deleted", "gone"}


def test_a_missing_permission_costs_little_and_leaves_the_ledger_as_it_was(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    endpoint.change(deny=[DELETE])
    denied = command.run(
        "prune", batch.path, "--yes", "--json", "--concurrency", "1", cwd=batch.folder, env=endpoint.env
    )
    requests = endpoint.stats().requests[DELETE]
    endpoint.change(deny=[])
    done = command.run("prune", batch.path, "--yes", "--json", cwd=batch.folder, env=endpoint.env)

    assert (denied.code, requests) == (22, 1)
    assert (done.code, standing(endpoint)) == (0, KEPT)


def test_another_batch_of_the_same_ledger_and_an_unlisted_one_without_tag_are_left_alone(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    other = batch.folder / "other.yaml"
    first = next(iter(batch.documents))
    other.write_text(
        f"version: 1\nledger: june.ledger\nbatch: other\nattachments:\n  - file: {json.dumps(first)}\n",
        encoding="utf-8",
    )
    command.run("upload", other, "--quiet", cwd=batch.folder, env=endpoint.env)

    done = command.run("prune", other, "--yes", "--json", cwd=batch.folder, env=endpoint.env)

    assert (done.code, done.of("prune"), standing(endpoint)) == (0, [], KEPT + 3)


def test_a_part_of_the_manifest_does_not_delete_the_rest_unseen(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    write_batch(batch.folder, dict(list(batch.documents.items())[:1]))

    refused = command.run("prune", batch.path, "--yes", cwd=batch.folder, env=endpoint.env)
    allowed = command.run("prune", batch.path, "--yes", "--max-deletes", "5", cwd=batch.folder, env=endpoint.env)

    assert refused.code == 2
    assert "5 of 6 attachments of this batch would be deleted, 3 may be" in refused.stderr
    assert (allowed.code, standing(endpoint)) == (0, 1)


def test_a_copy_of_the_ledger_from_before_a_deletion_finds_it_gone(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    shutil.copy(batch.ledger, batch.folder / "copy.ledger")
    command.run("prune", batch.path, "--yes", "--quiet", cwd=batch.folder, env=endpoint.env)

    again = command.run(
        "prune", batch.path, "--yes", "--json", "--ledger", "copy.ledger", cwd=batch.folder, env=endpoint.env
    )

    assert (again.code, {line["outcome"] for line in again.of("pruned")}) == (0, {"gone"})
    assert endpoint.stats().requests[LIST_TAGS] == 4
