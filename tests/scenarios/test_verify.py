"""`verify`: the ledger held against the service, and neither of them changed."""

import json
import shlex
from pathlib import Path

import pytest

from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS, TAG
from tests.scenarios.test_reconcile import anybody
from tests.support.batches import IDENTITY_TAG, Batch, assert_adds_up, assert_each_once, make_batch, token_of
from tests.support.command import Event, Result
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
    with command.started("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        ended = verify(command, batch, endpoint)

    assert (ended.code, found(ended)) == (10, {"open": batch.ids[0]})
    assert ended.summary["exit"]["reason"] == "the outcome of some requests is not known yet"


@pytest.fixture
def tampered(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> Batch:
    """Five uploads; the tokens of the first two are swapped, the third has none, a tag of the fourth differs."""
    batch = make_batch(tmp_path, 5)
    upload(command, batch, endpoint)
    first, second, third, fourth, _ = held(endpoint, batch)
    with anybody(endpoint) as client:
        for one, other in ((first, second), (second, first)):
            swapped = [{"Key": IDENTITY_TAG, "Value": other["client_token"]}]
            client.tag_resource(ResourceArn=one["arn"], Tags=swapped)
        client.untag_resource(ResourceArn=third["arn"], TagKeys=[IDENTITY_TAG])
        client.tag_resource(ResourceArn=fourth["arn"], Tags=[{"Key": "Customer", "Value": "birch"}])
    return batch


def held(endpoint: Endpoint, batch: Batch) -> list[Event]:
    """What the service holds for each document, in the order of the manifest."""
    by_token = {each["client_token"]: each for each in endpoint.attachments()}
    return [by_token[token_of(*document)] for document in batch.documents.items()]


def test_wrong_identities_and_changed_tags_are_found_and_named_with_what_mends_them(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, tampered: Batch
) -> None:
    tokens = [token_of(*document) for document in tampered.documents.items()]
    swapped = [
        ("identity", tampered.ids[0], [{"key": IDENTITY_TAG, "ledger": tokens[0], "service": tokens[1]}]),
        ("identity", tampered.ids[1], [{"key": IDENTITY_TAG, "ledger": tokens[1], "service": tokens[0]}]),
        ("identity", tampered.ids[2], [{"key": IDENTITY_TAG, "ledger": tokens[2], "service": None}]),
        ("tags", tampered.ids[3], [{"key": "Customer", "ledger": "acme", "service": "birch"}]),
    ]

    ended = verify(command, tampered, endpoint, "--tags")
    text = command.run("verify", tampered.manifest, "--tags", cwd=tmp_path, env=endpoint.env)

    assert [(line["finding"], line["id"], line["differences"]) for line in ended.of("finding")] == swapped
    assert (ended.code, text.code) == (25, 25)
    [compared] = ended.of("comparison")
    assert (compared["agreeing"], compared["tags_compared"]) == (1, 5)
    assert ended.summary["requests"][LIST_TAGS] == 5
    assert "aws pinpoint-sms-voice-v2 tag-resource --region us-east-1 --resource-arn" in text.stdout
    assert "reconcile" not in text.stdout


def test_the_commands_that_it_names_put_the_tags_right(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, tampered: Batch
) -> None:
    text = command.run("verify", tampered.manifest, "--tags", cwd=tmp_path, env=endpoint.env)

    with anybody(endpoint) as client:
        for line in text.stdout.splitlines():
            words = shlex.split(line)
            if words[:3] == ["aws", "pinpoint-sms-voice-v2", "tag-resource"]:
                client.tag_resource(ResourceArn=words[6], Tags=json.loads(words[8]))

    assert verify(command, tampered, endpoint, "--tags").code == 0
    assert_each_once(endpoint, tampered)


def test_without_the_flag_no_tag_of_ours_is_read_and_that_is_said(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, tampered: Batch
) -> None:
    ended = verify(command, tampered, endpoint)
    text = command.run("verify", tampered.manifest, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.of("comparison")[0]["tags_compared"]) == (0, 0)
    assert LIST_TAGS not in ended.summary["requests"]
    assert "tags: not compared; `--tags` reads those of 5 attachments, about 0.5 s" in text.stdout


def test_tags_of_the_user_beside_ours_and_tags_about_to_change_are_no_findings(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint)
    with anybody(endpoint) as client:
        client.tag_resource(ResourceArn=held(endpoint, batch)[0]["arn"], Tags=[{"Key": "CostCenter", "Value": "7"}])
    endpoint.change(deny=[TAG])
    text = batch.path.read_text(encoding="utf-8")
    batch.path.write_text(text.replace('"Customer": "acme", ', ""), encoding="utf-8")
    assert upload(command, batch, endpoint).code == 22
    endpoint.change(deny=[])

    ended = verify(command, batch, endpoint, "--tags")

    assert (ended.code, ended.of("finding")) == (0, []), ended.stdout


def test_tags_of_a_new_attachment_that_cannot_be_read_yet_are_not_called_wrong(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint)
    endpoint.change(tags_lag_s=3_600)
    old = {**endpoint.env, "BATCH_UPLOAD_SAFE_HORIZON": "1ms"}

    young = verify(command, batch, endpoint, "--tags")
    later = command.run("verify", batch.manifest, "--tags", "--json", cwd=tmp_path, env=old)

    assert (young.code, found(young)) == (14, {"not_yet": batch.ids[0]})
    assert (later.code, set(found(later))) == (25, {"identity", "tags"})


def test_a_look_that_takes_long_says_how_far_it_is(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint)
    endpoint.faults({"action": "slow", "operation": LIST_TAGS, "seconds": 4.5, "times": 1})

    ended = verify(command, batch, endpoint, "--tags")

    assert ended.code == 0
    assert [(line["to_read"], line["read"]) for line in ended.of("looking")] == [(2, 1)]
