"""`why`: one item's whole history, asked of nobody."""

import json
import signal
from pathlib import Path

from tests.support.batches import BATCH, TAGS, Batch, make_batch, pdf, token_of
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def why(command: Preloaded, batch: Batch, *arguments: str) -> Result:
    return command.run("why", batch.manifest, *arguments, cwd=batch.folder)


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint) -> Result:
    return command.run("upload", batch.manifest, "--rate", "50", "--json", cwd=batch.folder, env=endpoint.env)


def test_an_item_that_was_never_sent_is_told_from_the_manifest_alone(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    [(item_id, content)] = batch.documents.items()

    told = why(command, batch, item_id, "--json")

    item, summary = told.events
    assert (told.code, item["state"], item["attempts"]) == (0, "pending", 0)
    assert item["client_token"] == token_of(item_id, content)
    assert (item["named"]["tags"], item["named"]["v"], item["named"]["batch"]) == (dict(TAGS), 1, BATCH)
    assert item["next"]["commands"] == ["batch-upload upload june.yaml"]
    assert (summary["items"], summary["states"]) == (1, {"pending": 1})
    endpoint.assert_untouched()


def test_every_attempt_is_told_with_its_outcome_and_request_id(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "throttle", "times": 1})
    run_id = upload(command, batch, endpoint).summary["run_id"]

    told = why(command, batch, batch.ids[0], "--json")
    text = why(command, batch, batch.ids[0]).stdout

    attempts = told.of("attempt")
    assert [(each["number"], each["outcome"], each["code"]) for each in attempts] == [
        (1, "throttled", "ThrottlingException"),
        (2, "accepted", None),
    ]
    assert all(each["run_id"] == run_id and each["request_id"] and each["ended_at"] for each in attempts)
    assert told.item(batch.ids[0])["state"] == "complete"
    assert all(each["request_id"] in text for each in attempts)
    assert "next: nothing is left to do" in text


def test_an_attempt_that_was_cut_off_has_no_end_and_the_next_step_is_named(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "drop_before"})
    with command.started("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("retry")
        running.signal(signal.SIGKILL)
        running.finish()

    told = why(command, batch, batch.ids[0], "--json")

    item = told.item(batch.ids[0])
    assert (item["state"], told.of("attempt")[0]["outcome"]) == ("sending", "unknown")
    assert item["unknown_since"] is not None
    assert item["next"]["commands"] == ["batch-upload upload june.yaml", "batch-upload reconcile june.yaml"]


def test_an_item_that_waits_for_room_in_the_account_is_left_to_a_person(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 2)
    endpoint.change(attachments_per_account=1)
    assert upload(command, batch, endpoint).code == 27

    told = why(command, batch, batch.ids[1], "--json")

    ahead = told.item(batch.ids[1])["next"]
    assert ahead["words"] == (
        "the account is full: raise the quota (Service Quotas), or delete with `prune`; then run again"
    )
    assert [line.split()[1] for line in ahead["commands"]] == ["plan", "prune", "upload"]


def test_what_differs_between_manifest_and_ledger_is_named(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint)
    [(item_id, content)] = batch.documents.items()
    batch.path.write_text(batch.path.read_text().replace('"NO"', '"SE"'))

    told = why(command, batch, item_id, "--json").item(item_id)
    text = why(command, batch, item_id).stdout

    assert told["changed"] == {"tags.Country": {"ledger": "NO", "manifest": "SE"}}
    assert told["client_token"] == token_of(item_id, content)
    assert told["manifest_client_token"] == token_of(item_id, content, tags={**TAGS, "Country": "SE"})
    assert "tags.Country: `NO` → `SE`" in text


def test_a_token_that_was_replaced_is_told_as_an_earlier_one(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint)
    [(item_id, content)] = batch.documents.items()
    (tmp_path / item_id).write_bytes(pdf("another"))
    upload(command, batch, endpoint)

    told = why(command, batch, item_id, "--json")

    assert [line["client_token"] for line in told.of("earlier")] == [token_of(item_id, content)]
    assert told.item(item_id)["client_token"] == token_of(item_id, pdf("another"))
    assert len(told.of("attempt")) == 2
    assert "earlier token: " in why(command, batch, item_id).stdout


def test_an_unknown_id_is_a_usage_error_that_suggests(tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)

    told = why(command, batch, "files/00l.png")

    assert told.code == 2
    assert "did you mean `files/001.png`" in told.stderr
    assert told.stdout == ""


def test_an_id_with_a_bidi_override_or_a_leading_dash_is_told_harmlessly(tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    strange, dashed = "evil\u202efdp.exe", "-rf"
    lines = batch.path.read_text().splitlines()
    ids = iter((strange, dashed))
    written = [f"{line}\n    id: {json.dumps(next(ids))}" if line.startswith("  - file") else line for line in lines]
    batch.path.write_text("\n".join(written) + "\n", encoding="utf-8")

    first, second = why(command, batch, strange), why(command, batch, "--", dashed)

    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert r"evil\u202efdp.exe" in first.stdout
    assert "\u202e" not in first.stdout + first.stderr
    assert second.stdout.startswith("`-rf` of batch")


def test_a_file_that_cannot_be_read_now_does_not_hide_the_history(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint)
    (tmp_path / batch.ids[0]).write_bytes(b"")

    told = why(command, batch, batch.ids[0])

    assert told.code == 0
    assert "complete since" in told.stdout
    assert "the manifest's token: not known" in told.stdout
    assert "batch-upload validate june.yaml" in told.stdout
