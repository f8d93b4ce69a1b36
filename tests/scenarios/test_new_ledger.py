"""A ledger that is new in an account that is not: what is there is found, planned for, and looked for visibly."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from batch_upload.emulator.names import OPERATIONS
from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS
from tests.support.batches import Batch, make_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

OLD = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def lost(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Batch:
    """Three of five items are at the service, and the ledger is lost."""
    batch = make_batch(tmp_path, 5)
    only = [word for item_id in batch.ids[:3] for word in ("--only", item_id)]
    command.run("upload", batch.manifest, *only, "--rate", "100", cwd=tmp_path, env=endpoint.env)
    for each in tmp_path.glob("june.ledger*"):
        each.unlink()
    return batch


def _plant(endpoint: Endpoint, count: int) -> None:
    for number in range(count):
        endpoint.plant({"Name": f"of somebody else {number}"}, created_at=OLD)


def test_a_plan_finds_what_is_at_the_service_already_and_counts_the_look(
    endpoint: Endpoint, command: Preloaded, lost: Batch
) -> None:
    _plant(endpoint, 4)
    planned = command.run("plan", lost.manifest, "--json", cwd=lost.folder, env=endpoint.env)
    people = command.run("plan", lost.manifest, "-v", cwd=lost.folder, env=endpoint.env)
    before = endpoint.stats().requests[LIST_TAGS]
    uploaded = command.run("upload", lost.manifest, "--rate", "100", "--json", cwd=lost.folder, env=endpoint.env)

    actions = {line["id"]: (line["action"], line["reason"]) for line in planned.of("action")}
    calls = planned.of("totals")[0]["calls"]
    assert [actions[each] for each in lost.ids[:3]] == [("unchanged", "found at the service")] * 3
    assert [actions[each][0] for each in lost.ids[3:]] == ["create", "create"]
    assert (planned.summary["unchanged"], planned.states) == (3, {"complete": 3, "pending": 2})
    assert "3 unchanged" in people.stdout
    assert people.stdout.count("found at the service") == 3
    assert (calls[CREATE], calls[LIST_TAGS]) == (2, 7)
    assert calls[DESCRIBE] >= 2
    assert endpoint.stats().requests[LIST_TAGS] - before >= calls[LIST_TAGS]
    assert (uploaded.summary["uploaded"], uploaded.summary["requests"][CREATE]) == (2, 2)


def test_a_plan_writes_no_ledger_however_much_it_finds(endpoint: Endpoint, command: Preloaded, lost: Batch) -> None:
    command.run("plan", lost.manifest, cwd=lost.folder, env=endpoint.env)

    assert not lost.ledger.exists()


def test_a_plan_that_may_not_look_says_what_it_cannot_know(endpoint: Endpoint, command: Preloaded, lost: Batch) -> None:
    before = endpoint.stats().requests
    offline = command.run("plan", lost.manifest, "--offline", cwd=lost.folder, env=endpoint.env)
    after = endpoint.stats().requests
    endpoint.change(deny=[LIST_TAGS])
    denied = command.run("plan", lost.manifest, cwd=lost.folder, env=endpoint.env)

    assert after == before
    assert "warning: this ledger is new: attachments of this batch may already be at the service" in offline.stderr
    assert "5 to create" in offline.stdout
    assert (offline.code, denied.code) == (0, 0)
    assert "could not be looked for" in denied.stderr


def test_a_ledger_that_knows_its_lane_is_planned_without_a_look(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    _plant(endpoint, 3)
    command.run("upload", batch.manifest, "--only", batch.ids[0], "--rate", "100", cwd=tmp_path, env=endpoint.env)
    before = endpoint.stats().requests

    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    offline = command.run("plan", batch.manifest, "--offline", cwd=tmp_path, env=endpoint.env)

    made = endpoint.stats().requests - before
    assert (made[LIST_TAGS], made[DESCRIBE]) == (0, 0)
    assert LIST_TAGS not in planned.of("totals")[0]["calls"]
    assert "warning" not in offline.stderr


def test_the_look_through_a_large_account_is_planned_announced_and_seen(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    """Twenty attachments stand for 1,900: so many are counted, and their tags come as slowly."""
    batch = make_batch(tmp_path, 1)
    _plant(endpoint, 20)
    endpoint.change(limits_used=1_900)
    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    said = command.run("plan", batch.manifest, cwd=tmp_path, env=endpoint.env)
    endpoint.change(rates={**dict.fromkeys(OPERATIONS), LIST_TAGS: 3})
    began = datetime.now(UTC)

    with command.started(
        "upload", batch.manifest, "--json", "--deadline", "5m", cwd=tmp_path, env=endpoint.env
    ) as running:
        first = running.until("looking")
        run = running.until("run")
        ended = running.finish()

    looks = ended.of("looking")
    moments = [began, *(datetime.fromisoformat(each["at"]) for each in [*looks, run])]
    assert planned.of("looking")[0]["attachments"] == 1_900
    assert "looking through 1,900 attachments of the account first, about 3 min" in said.stderr
    assert (first["attachments"], first["listed"], first["read"]) == (1_900, 0, 0)
    assert 200 < first["left_s"] < 215
    assert max(after - before for before, after in pairwise(moments)) < timedelta(seconds=5)
    assert len(looks) >= 2
    assert "looking through 1,900 attachments of the account first, about 3 min" in ended.stderr
    assert f"read the tags of {looks[1]['read']} of 20 attachments of the account" in ended.stderr
    assert (ended.code, ended.summary["uploaded"]) == (0, 1)
