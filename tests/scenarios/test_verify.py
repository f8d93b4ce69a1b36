"""`verify`: the ledger held against the service, and neither of them changed."""

from pathlib import Path

from batch_upload.emulator.names import CREATE, DESCRIBE, LIST_TAGS
from tests.support.batches import IDENTITY_TAG, Batch, assert_adds_up, make_batch, token_of
from tests.support.command import Result, started
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint) -> Result:
    return command.run("upload", batch.manifest, "--rate", "50", "--json", cwd=batch.folder, env=endpoint.env)


def verify(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("verify", batch.manifest, "--json", *flags, cwd=batch.folder, env=endpoint.env)


def found(result: Result) -> dict[str, str]:
    return {line["finding"]: line["id"] for line in result.of("finding")}


def test_after_an_upload_both_agree_and_one_listing_tells_so(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    upload(command, batch, endpoint)
    written = batch.ledger.read_bytes()

    ended = verify(command, batch, endpoint)

    assert ended.code == 0, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 3}
    [compared] = ended.of("comparison")
    assert (compared["agreeing"], compared["attachments"], compared["strangers"]) == (3, 3, 0)
    assert ended.summary["requests"] == {DESCRIBE: 1, "GetCallerIdentity": 1}
    assert batch.ledger.read_bytes() == written


def test_every_disagreement_is_named_once(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 5)
    upload(command, batch, endpoint)
    by_token = {each["client_token"]: each for each in endpoint.attachments()}
    deleted, failed, busy, doubled, _ = (by_token[token_of(*document)] for document in batch.documents.items())
    endpoint.set_status(deleted["id"], "DELETED")
    endpoint.set_status(failed["id"], "UPLOAD_FAILED")
    endpoint.set_status(busy["id"], "UPLOAD_IN_PROGRESS")
    endpoint.plant(doubled["tags"])
    endpoint.plant({"Customer": "other"})

    ended = verify(command, batch, endpoint)
    text = command.run("verify", batch.manifest, cwd=tmp_path, env=endpoint.env)

    kinds = ("deleted", "failed", "in_progress", "duplicate")
    assert found(ended) == dict(zip(kinds, batch.ids, strict=False))
    assert (ended.code, text.code) == (25, 25)
    assert ended.of("comparison")[0]["strangers"] == 1
    assert ended.summary["requests"][LIST_TAGS] == 2
    assert "batch-upload reconcile june.yaml" in text.stdout


def test_without_a_ledger_every_carrier_is_unrecorded(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    for item_id, content in batch.documents.items():
        endpoint.plant({IDENTITY_TAG: token_of(item_id, content)})

    ended = verify(command, batch, endpoint)

    assert ended.code == 25
    assert [(line["finding"], line["id"]) for line in ended.of("finding")] == [("unrecorded", id_) for id_ in batch.ids]
    assert not list(tmp_path.glob("june.ledger*"))


def test_what_is_only_in_progress_is_no_disagreement(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.change(processing_s=3_600)
    command.run("upload", batch.manifest, "--no-wait", cwd=tmp_path, env=endpoint.env)

    ended = verify(command, batch, endpoint)

    assert (ended.code, found(ended)) == (14, {"in_progress": batch.ids[0]})


def test_it_works_beside_a_run_and_calls_what_is_under_way_open(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "drop_after", "operation": CREATE})
    with started("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        ended = verify(command, batch, endpoint)

    assert (ended.code, found(ended)) == (10, {"open": batch.ids[0]})
    assert ended.summary["exit"]["reason"] == "the outcome of some requests is not known yet"
