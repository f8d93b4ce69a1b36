"""Only tags changed: `upload` puts them on what stands, and `plan`, `verify` and a lost ledger agree with it."""

from pathlib import Path

from batch_upload.operations import TAG, UNTAG
from tests.scenarios.test_reconcile import delete
from tests.support.batches import IDENTITY_TAG, Batch, assert_adds_up, make_batch, token_of
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def uploaded(command: Preloaded, endpoint: Endpoint, folder: Path) -> Batch:
    batch = make_batch(folder, 2)
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=folder, env=endpoint.env).code == 0
    text = batch.path.read_text(encoding="utf-8").replace(
        '{"Customer": "acme", "Country": "NO"}', '{"Customer": "birch"}'
    )
    batch.path.write_text(text, encoding="utf-8")
    return batch


def run(command: Preloaded, endpoint: Endpoint, batch: Batch, verb: str, *flags: str) -> Result:
    return command.run(verb, batch.manifest, *flags, "--json", cwd=batch.folder, env=endpoint.env)


def test_tags_are_changed_at_the_service_and_everybody_agrees(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = uploaded(command, endpoint, tmp_path)

    planned = run(command, endpoint, batch, "plan", "--detailed-exitcode")
    done = run(command, endpoint, batch, "upload")
    verified = run(command, endpoint, batch, "verify")
    again = run(command, endpoint, batch, "plan", "--detailed-exitcode")

    tokens = {line["client_token"] for line in planned.of("action")}
    assert [line["action"] for line in planned.of("action")] == ["retag", "retag"]
    assert (planned.code, planned.of("totals")[0]["calls"]) == (3, {TAG: 2})
    assert (done.code, assert_adds_up(done)["states"]) == (0, {"complete": 2})
    assert {line["client_token"] for line in done.of("item")} == tokens
    assert [each["tags"].get("Customer") for each in endpoint.attachments()] == ["birch", "birch"]
    assert all("Country" not in each["tags"] for each in endpoint.attachments())
    assert {each["tags"][IDENTITY_TAG] for each in endpoint.attachments()} == tokens
    assert (endpoint.stats().creates, done.summary["uploaded"]) == (2, 0)
    assert done.summary["requests"][TAG] == done.summary["requests"][UNTAG] == 2
    assert (verified.code, again.code) == (0, 0)

    batch.ledger.unlink()
    found = run(command, endpoint, batch, "reconcile")
    assert (found.code, found.states, endpoint.stats().creates) == (0, {"complete": 2}, 2)


def test_nothing_is_an_orphan_for_prune_after_tags_have_changed(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = uploaded(command, endpoint, tmp_path)

    before = run(command, endpoint, batch, "prune", "--yes")
    run(command, endpoint, batch, "upload")
    after = run(command, endpoint, batch, "prune", "--yes")

    assert (before.of("prune"), after.of("prune")) == ([], [])
    assert {each["status"] for each in endpoint.attachments()} == {"UPLOAD_COMPLETE"}


def test_without_the_permission_the_exit_code_says_so_and_nothing_is_lost(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = uploaded(command, endpoint, tmp_path)
    endpoint.change(deny=[TAG])
    denied = run(command, endpoint, batch, "upload")
    endpoint.change(deny=[])
    done = run(command, endpoint, batch, "upload")

    assert (denied.code, denied.states) == (22, {"complete": 2})
    assert (done.code, [each["tags"]["Customer"] for each in endpoint.attachments()]) == (0, ["birch", "birch"])


def test_refused_tags_are_failed_for_everybody_until_a_later_run_changes_them(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = uploaded(command, endpoint, tmp_path)
    endpoint.faults({"action": "validation", "operation": TAG, "times": 1})

    refused = run(command, endpoint, batch, "upload")
    told = [run(command, endpoint, batch, verb) for verb in ("status", "plan", "verify", "reconcile")]
    states = [command.run("why", batch.manifest, name, "--json", cwd=batch.folder).states for name in batch.ids]
    tagged = endpoint.stats().requests[TAG]
    done = run(command, endpoint, batch, "upload", "--only", "failed")

    assert refused.code == 20, refused.stderr
    assert assert_adds_up(refused)["states"] == {"complete": 1, "failed": 1}
    assert [each.states for each in told] == [{"complete": 1, "failed": 1}] * 4
    assert [each.code for each in told] == [0, 0, 0, 0]
    assert sorted(states, key=str) == [{"complete": 1}, {"failed": 1}]
    assert (done.code, done.states) == (0, {"complete": 2})
    assert endpoint.stats().requests[TAG] == tagged + 1
    assert [each["tags"].get("Customer") for each in endpoint.attachments()] == ["birch", "birch"]
    assert endpoint.stats().creates == 2


def test_an_attachment_that_is_gone_when_its_tags_are_to_change_has_failed_for_everybody(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = uploaded(command, endpoint, tmp_path)
    gone = next(each for each in endpoint.attachments() if each["client_token"] == token_of(*first(batch)))
    endpoint.change(keeps_deleted=False)
    delete(endpoint, gone["id"])

    failed = run(command, endpoint, batch, "upload", "--safe-horizon", "1ms")
    told = [run(command, endpoint, batch, verb) for verb in ("status", "plan", "verify")]
    why = command.run("why", batch.manifest, batch.ids[0], "--json", cwd=batch.folder)
    people = command.run("status", batch.manifest, cwd=batch.folder)
    done = run(command, endpoint, batch, "upload")

    assert (failed.code, failed.states) == (20, {"complete": 1, "failed": 1})
    assert [each.states for each in told] == [{"complete": 1, "failed": 1}] * 3
    assert why.states == {"failed": 1}
    assert failed.item(batch.ids[0])["error"]["code"] == told[0].item(batch.ids[0])["error"]["code"]
    assert "to do: AWS does not find the attachment whose tags are to change: run `upload` again" in people.stdout
    assert (done.code, done.states, endpoint.stats().creates) == (0, {"complete": 2}, 3)


def first(batch: Batch) -> tuple[str, bytes]:
    return next(iter(batch.documents.items()))
