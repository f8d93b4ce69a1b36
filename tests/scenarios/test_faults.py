"""What goes wrong at the service or with a file, and whom it stops: an item, a lane, nobody else."""

import hashlib
from pathlib import Path

from batch_upload.operations import CREATE, IDENTITY
from tests.support.batches import assert_adds_up, assert_each_once, make_batch, pdf, write_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def test_missing_permission_costs_exactly_one_create_call(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(deny=[CREATE])
    batch = make_batch(tmp_path, 20)

    ended = command.run(
        "upload", batch.manifest, "--concurrency", "8", "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env
    )

    assert ended.code == 22
    assert endpoint.stats().creates == 1
    assert assert_adds_up(ended)["states"] == {"pending": 20}
    assert ended.summary["exit"]["retryable"] is False
    assert "AccessDenied" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_credentials_that_expire_stop_the_lane_after_what_is_in_flight(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.faults({"action": "expired_token", "operation": CREATE, "after": 4})
    batch = make_batch(tmp_path, 20)

    ended = command.run(
        "upload", batch.manifest, "--concurrency", "4", "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env
    )
    creates = endpoint.stats().creates
    endpoint.faults()
    again = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 22
    assert 5 <= creates <= 4 + 4
    assert assert_adds_up(ended)["states"] == {"pending": 16, "complete": 4}
    assert again.code == 0
    assert again.summary["uploaded"] == 16
    assert_each_once(endpoint, batch)


def test_a_file_that_is_replaced_during_the_run_is_not_sent_and_the_next_run_sends_what_is_there(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    changed = batch.ids[2]
    content = batch.documents[changed].replace(b"document 2", b"document X")

    arguments = ("upload", batch.manifest, "--rate", "1", "--fixed-rate", "--concurrency", "1", "--json")
    with command.started(*arguments, cwd=tmp_path, env=endpoint.env) as running:
        running.until("item")
        (tmp_path / changed).write_bytes(content)
        ended = running.finish()
    creates, held = endpoint.stats().creates, endpoint.attachments()
    again = command.run(*arguments, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 20, ended.stderr
    assert creates == 2
    assert hashlib.sha256(content).hexdigest() not in {each["sha256"] for each in held}
    assert assert_adds_up(ended)["states"] == {"complete": 2, "failed": 1}
    assert ended.item(changed)["error"]["code"] == "changed_since_plan"
    assert again.code == 0
    assert_each_once(endpoint, write_batch(tmp_path, {**batch.documents, changed: content}))


def test_upload_failed_is_one_items_fault_and_after_two_retries_only_a_raised_generation_is_sent(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(fails_containing=["document 4"])
    batch = make_batch(tmp_path, 6)
    doomed = batch.ids[4]
    arguments = ("upload", batch.manifest, "--rate", "100", "--json")

    ended = command.run(*arguments, cwd=tmp_path, env=endpoint.env)
    retries = [command.run(*arguments, cwd=tmp_path, env=endpoint.env) for _ in range(2)]
    again = command.run(*arguments, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    endpoint.change(fails_containing=[])
    text = batch.path.read_text().replace(f'"{doomed}"', f'"{doomed}"\n    generation: 2')
    batch.path.write_text(text)
    raised = command.run(*arguments, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 20
    assert assert_adds_up(ended)["states"] == {"complete": 5, "failed": 1}
    assert ended.item(doomed)["state"] == "failed"
    assert "UPLOAD_FAILED" in str(ended.item(doomed))
    assert [retry.code for retry in retries] == [20, 20]
    assert (again.code, again.summary["requests"].get(CREATE, 0)) == (20, 0)
    assert creates == 8
    assert raised.code == 0, raised.stderr
    assert assert_adds_up(raised)["states"] == {"complete": 6}
    assert endpoint.stats().creates == 9


def test_a_refusal_fails_its_item_alone_and_is_tried_again_by_the_next_run(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.faults({"action": "validation", "operation": CREATE, "body_contains": "document 2"})
    batch = make_batch(tmp_path, 5)
    arguments = ("upload", batch.manifest, "--rate", "100", "--json")

    ended = command.run(*arguments, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    endpoint.faults()
    again = command.run(*arguments, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 20
    assert creates == 5
    assert assert_adds_up(ended)["states"] == {"complete": 4, "failed": 1}
    assert ended.item(batch.ids[2])["error"]["code"] == "ValidationException"
    assert again.code == 0
    assert_each_once(endpoint, batch)


def test_an_unknown_error_code_is_never_tried_again(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    endpoint.faults({"action": "unknown_code", "operation": CREATE, "body_contains": "document 1"})
    batch = make_batch(tmp_path, 3)

    ended = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 20
    assert endpoint.stats().creates == 3
    assert assert_adds_up(ended)["states"] == {"complete": 2, "failed": 1}


def test_too_many_failures_stop_the_run(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    endpoint.faults({"action": "validation", "operation": CREATE})
    batch = make_batch(tmp_path, 12)

    ended = command.run(
        *("upload", batch.manifest, "--max-failures", "3", "--concurrency", "1", "--rate", "100", "--json"),
        cwd=tmp_path,
        env=endpoint.env,
    )

    assert ended.code == 23
    told = [line["event"] for line in ended.events if line["event"] in ("item", "lane_stopped")]
    assert told == ["item", "item", "item", "lane_stopped"]  # the stop after the failure that caused it
    assert endpoint.stats().creates == 3
    assert assert_adds_up(ended)["states"] == {"pending": 9, "failed": 3}


def test_the_manifests_account_is_a_guard(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2, extra='target: {account: "999999999999"}')

    ended = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 22
    assert set(endpoint.stats().requests) == {IDENTITY}
    assert endpoint.account in ended.stderr
    assert "999999999999" in ended.stderr


def test_documents_of_the_same_bytes_are_two_attachments(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = write_batch(tmp_path, {"a.pdf": pdf("twin"), "b.pdf": pdf("twin")})

    ended = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    assert_each_once(endpoint, batch)
