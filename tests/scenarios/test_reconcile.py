"""`reconcile`: what the service proves comes into the ledger, and nothing is ever sent for it."""

import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from batch_upload.operations import CREATE, DESCRIBE, LIMITS, LIST_TAGS
from tests.support.batches import (
    IDENTITY_TAG,
    TAGS,
    Batch,
    assert_adds_up,
    assert_each_once,
    make_batch,
    token_of,
    write_batch,
)
from tests.support.command import COMMAND, Event, Result
from tests.support.endpoint import CREDENTIALS, Endpoint
from tests.support.preloaded import Preloaded


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("upload", batch.manifest, "--rate", "50", "--json", *flags, cwd=batch.folder, env=endpoint.env)


def reconcile(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("reconcile", batch.manifest, "--json", *flags, cwd=batch.folder, env=endpoint.env)


def lose_ledger(batch: Batch) -> None:
    for each in batch.folder.glob("june.ledger*"):
        each.unlink()


def plant_all(batch: Batch, endpoint: Endpoint, *, created_at: datetime | None = None) -> list[Event]:
    """What an upload would have left at the service."""
    tokens = [token_of(item_id, content) for item_id, content in batch.documents.items()]
    return [endpoint.plant({**TAGS, IDENTITY_TAG: token}, created_at=created_at) for token in tokens]


@contextmanager
def anybody(endpoint: Endpoint) -> Iterator[Any]:
    """A client of boto3: what anybody with an SDK may do to the account."""
    with closing(
        boto3.client(
            "pinpoint-sms-voice-v2",
            region_name="us-east-1",
            endpoint_url=endpoint.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
    ) as client:
        yield client


def delete(endpoint: Endpoint, attachment_id: str) -> None:
    """Delete an attachment as anybody with an SDK may."""
    with anybody(endpoint) as client:
        client.delete_registration_attachment(RegistrationAttachmentId=attachment_id)


def killed_after_a_lost_answer(command: Preloaded, batch: Batch, endpoint: Endpoint, action: str) -> None:
    """Run `upload` until an answer was lost, and kill it: its intent stays open."""
    endpoint.faults({"action": action})
    with command.started("upload", batch.manifest, "--json", cwd=batch.folder, env=endpoint.env) as running:
        running.until("retry")
        running.signal(signal.SIGKILL)
        running.finish()
    endpoint.faults()


def test_a_lost_ledger_is_rebuilt_and_the_next_upload_sends_nothing(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 9)
    upload(command, batch, endpoint)
    lose_ledger(batch)
    endpoint.change(token_memory_s=0)
    creates = endpoint.stats().creates

    rebuilt = reconcile(command, batch, endpoint)
    again = upload(command, batch, endpoint)

    assert rebuilt.code == 0, rebuilt.stderr
    assert (rebuilt.events[0]["event"], rebuilt.events[0]["describe_calls"], rebuilt.events[0]["tag_reads"]) == (
        "cost",
        1,
        9,
    )
    assert rebuilt.stderr.startswith("cost: 1 DescribeRegistrationAttachments call, at most 9 ListTagsForResource")
    assert assert_adds_up(rebuilt)["adopted"] == 9
    assert rebuilt.states == {"complete": 9}
    assert (again.code, again.summary["unchanged"]) == (0, 9)
    assert set(again.summary["requests"]) == {"GetCallerIdentity"}
    assert endpoint.stats().creates == creates
    assert_each_once(endpoint, batch)


def test_what_is_foreign_forged_or_of_another_batch_is_never_adopted(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 2)
    first, content = next(iter(batch.documents.items()))
    endpoint.plant({"Customer": "other"}, created_at=datetime.now(UTC) - timedelta(hours=1))
    endpoint.plant({IDENTITY_TAG: "bu1-" + "a" * 52})
    endpoint.plant({IDENTITY_TAG: token_of(first, content, batch="another")})
    endpoint.plant({IDENTITY_TAG: token_of(first, content + b"x")})

    ended = reconcile(command, batch, endpoint)
    sent = upload(command, batch, endpoint)

    assert (ended.code, ended.summary["adopted"], ended.states) == (0, 0, {"pending": 2})
    assert (sent.code, sent.summary["uploaded"]) == (0, 2)
    assert endpoint.stats().requests[LIST_TAGS] == 4


def test_what_was_deleted_beside_an_intact_ledger_fails_until_its_generation_is_raised(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    upload(command, batch, endpoint)
    endpoint.set_status(endpoint.attachments()[0]["id"], "DELETED")
    creates = endpoint.stats().creates

    marked = reconcile(command, batch, endpoint)
    refused = upload(command, batch, endpoint)
    text = batch.path.read_text().replace('000.pdf"', '000.pdf"\n    generation: 2')
    batch.path.write_text(text)
    raised = upload(command, batch, endpoint)

    assert (marked.code, marked.states) == (20, {"complete": 2, "failed": 1})
    assert marked.item(batch.ids[0])["error"]["code"] == "DELETED"
    assert "raise `generation`" in marked.stderr
    assert (refused.code, raised.code) == (20, 0)
    assert endpoint.stats().creates == creates + 1


def test_an_attachment_that_no_page_lists_is_asked_for_before_it_counts_as_gone(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint)
    endpoint.change(keeps_deleted=False)
    delete(endpoint, endpoint.attachments()[0]["id"])

    young = reconcile(command, batch, endpoint)
    marked = reconcile(command, batch, endpoint, "--safe-horizon", "1ms")

    assert (young.code, young.states) == (14, {"complete": 2}), young.stderr
    assert "too new to be called gone: 1" in young.stderr
    assert (marked.code, marked.states) == (20, {"complete": 1, "failed": 1}), marked.stderr
    assert marked.item(batch.ids[0])["error"]["code"] == "NOT_FOUND"
    assert marked.summary["requests"][DESCRIBE] == 2


def test_a_killed_reconcile_begun_again_reads_on_where_it_was(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 14)
    plant_all(batch, endpoint)
    endpoint.faults({"action": "throttle", "operation": LIST_TAGS, "after": 9})
    with command.started("reconcile", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        running.signal(signal.SIGKILL)
        running.finish()
    endpoint.faults()

    again = reconcile(command, batch, endpoint)

    assert (again.code, again.states) == (0, {"complete": 14})
    assert again.summary["requests"][LIST_TAGS] <= 14 - 9 + 4


def test_what_was_deleted_while_the_ledger_was_lost_is_created_again_and_nothing_else(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 4)
    held = plant_all(batch, endpoint)
    endpoint.set_status(held[2]["id"], "DELETED")

    rebuilt = reconcile(command, batch, endpoint)
    again = upload(command, batch, endpoint)

    assert (rebuilt.code, rebuilt.states) == (0, {"pending": 1, "complete": 3})
    assert (again.code, again.states) == (0, {"complete": 4})
    assert endpoint.stats().creates == 1


def test_of_two_that_carry_a_token_the_older_is_kept_and_the_other_reported(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    now = datetime.now(UTC)  # told, since the service knows no less than a millisecond
    [older] = plant_all(batch, endpoint, created_at=now - timedelta(seconds=1))
    [newer] = plant_all(batch, endpoint, created_at=now)

    ended = reconcile(command, batch, endpoint)
    again = reconcile(command, batch, endpoint)

    assert ended.item(batch.ids[0])["registration_attachment_id"] == older["id"]
    for orphans in (ended.of("orphan"), again.of("orphan")):
        assert [each["registration_attachment_id"] for each in orphans] == [newer["id"]]


def test_an_old_copy_of_a_ledger_is_trusted_only_once_it_was_brought_up_to_date(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    upload(command, batch, endpoint, "--only", batch.ids[0])
    shutil.copy(batch.ledger, tmp_path / "copy")
    upload(command, batch, endpoint, "--only", batch.ids[1])
    lose_ledger(batch)
    shutil.copy(tmp_path / "copy", batch.ledger)
    endpoint.set_status(endpoint.attachments()[0]["id"], "DELETED")  # as many at the service as in the copy
    endpoint.faults({"action": "unknown_code", "operation": DESCRIBE, "times": 1})
    creates = endpoint.stats().creates

    failed = reconcile(command, batch, endpoint)
    refused = upload(command, batch, endpoint)
    taken = reconcile(command, batch, endpoint)
    again = upload(command, batch, endpoint)

    assert (failed.code, refused.code) == (22, 25)
    assert (taken.summary["adopted"], taken.states) == (1, {"pending": 1, "complete": 1, "failed": 1})
    assert again.states == {"complete": 2, "failed": 1}
    assert endpoint.stats().creates == creates + 1


def test_a_ledger_of_another_region_is_refused_before_anything_is_listed(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    reconcile(command, batch, endpoint)
    listed = endpoint.stats().requests[DESCRIBE]

    for verb in ("reconcile", "verify"):
        ended = command.run(verb, batch.manifest, "--region", "eu-west-1", cwd=tmp_path, env=endpoint.env)
        assert ended.code == 24, ended.stderr
    assert endpoint.stats().requests[DESCRIBE] == listed


def test_an_intent_whose_attachment_was_made_is_settled_by_its_tag(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    killed_after_a_lost_answer(command, batch, endpoint, "drop_after")

    settled = reconcile(command, batch, endpoint)

    assert (settled.code, settled.states, settled.summary["adopted"]) == (0, {"complete": 1}, 1)
    assert_each_once(endpoint, batch)


def test_an_intent_that_may_still_be_at_work_stays_open_until_its_absence_is_proved(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    killed_after_a_lost_answer(command, batch, endpoint, "drop_before")

    early = reconcile(command, batch, endpoint)
    proved = reconcile(command, batch, endpoint, "--safe-horizon", "1ms")

    assert (early.code, early.states) == (10, {"sending": 1})
    assert "may still be at work" in early.stderr
    assert (proved.code, proved.states) == (0, {"pending": 1})


def test_without_an_identity_tag_nothing_is_guessed(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    batch.path.write_text(batch.path.read_text().replace("defaults:\n", "defaults:\n  identity_tag: false\n"))
    killed_after_a_lost_answer(command, batch, endpoint, "drop_after")

    ended = reconcile(command, batch, endpoint, "--safe-horizon", "1ms")

    assert (ended.code, ended.states) == (26, {"unknown": 1})


def test_a_signal_ends_it_and_what_was_read_stays_read(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "throttle", "operation": DESCRIBE})
    with command.started("reconcile", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        running.signal(signal.SIGTERM)
        ended = running.finish()

    assert (ended.code, ended.summary["exit"]["name"]) == (143, "terminated")


def test_on_a_terminal_it_asks_and_a_no_leaves_everything_as_it_is(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)

    code, said = on_a_terminal(batch, endpoint, answer=b"n\n")

    assert code == 0
    assert "reconcile? [y/N]" in said
    assert endpoint.stats().requests[LIMITS] == 1
    assert endpoint.stats().requests[DESCRIBE] == 0


def test_on_a_terminal_a_yes_begins_it(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)

    code, _ = on_a_terminal(batch, endpoint, answer=b"y\n")

    assert code == 0
    assert endpoint.stats().requests[DESCRIBE] == 1


def on_a_terminal(batch: Batch, endpoint: Endpoint, *, answer: bytes) -> tuple[int, str]:
    """Run `reconcile` on a terminal where somebody answers; its exit code and what it said."""
    ours, theirs = pty.openpty()
    env = {**os.environ, **endpoint.env}
    with subprocess.Popen(
        [COMMAND, "reconcile", batch.manifest], cwd=batch.folder, env=env, stdin=theirs, stderr=theirs, stdout=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        said = read_to_end(ours)
        code = process.wait(timeout=30)
    os.close(ours)
    return code, said


def read_to_end(terminal: int) -> str:
    said = b""
    while True:
        try:
            said += os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is closed
            return said.decode()


def test_missing_permission_to_list_is_exit_22_and_costs_one_call(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.change(deny=[DESCRIBE])

    ended = reconcile(command, batch, endpoint)

    assert (ended.code, ended.states) == (22, {"pending": 1})
    assert endpoint.stats().requests[DESCRIBE] == 1


def test_it_never_runs_beside_another_run(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "drop_before", "operation": CREATE})
    with command.started("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        beside = reconcile(command, batch, endpoint)
    assert beside.code == 11


def test_an_attachment_of_a_replaced_document_is_recorded_and_verify_agrees(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    """Another copy of the ledger had uploaded what the manifest lists no more."""
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "validation", "operation": CREATE, "times": 1})
    assert upload(command, batch, endpoint).code == 20
    old = plant_all(batch, endpoint, created_at=datetime.now(UTC) - timedelta(days=1))
    edited = write_batch(tmp_path, {batch.ids[0]: b"%PDF-1.7\nanother\n%%EOF\n"})
    assert upload(command, edited, endpoint).code == 0

    found = command.run("verify", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    done = reconcile(command, edited, endpoint)
    verified = command.run("verify", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    pruned = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert [line["finding"] for line in found.of("finding")] == ["unrecorded"]
    assert (done.code, done.states) == (0, {"complete": 1})
    assert (verified.code, verified.of("finding")) == (0, [])
    assert [line["action"] for line in planned.of("action")] == ["unchanged", "orphan"]
    assert [line["client_token"] for line in pruned.of("pruned")] == [old[0]["tags"][IDENTITY_TAG]]
