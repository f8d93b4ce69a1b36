"""The end of a run: items are told complete while others are still sent, and soon after the last, for few calls."""

from datetime import datetime
from pathlib import Path

from batch_upload.operations import CREATE, DESCRIBE, IDENTITY, LIMITS
from tests.support.batches import assert_each_once, make_batch
from tests.support.command import Event
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

RATE = 5
PROCESSING_S = 2.0


def completed_at(items: list[Event]) -> list[datetime]:
    """When each of these items was told complete."""
    return [datetime.fromisoformat(each["at"]) for each in items if each["state"] == "complete"]


def test_items_are_told_complete_while_others_are_still_sent_and_the_end_is_seen_for_few_describes(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 50)
    # two describes may follow each other at once: one that the machine held up on its way comes close to the next
    describes = {"per_second": 1, "burst": 2}
    endpoint.change(rates={CREATE: {"per_second": RATE, "burst": 1}, DESCRIBE: describes}, processing_s=PROCESSING_S)
    seen = len(endpoint.log())

    ended = command.run("upload", batch.manifest, "--rate", str(RATE), "--json", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (0, {"complete": 50})
    assert_each_once(endpoint, batch)
    last_made_at = max(datetime.fromisoformat(each["created_at"]) for each in endpoint.attachments())
    told_before = sum(at < last_made_at for at in completed_at(ended.of("item")))
    assert told_before >= 15, "about 30 are done five seconds before the last create"
    counted = [each["done"] for each in ended.of("progress")]
    assert any(0 < done < 50 for done in counted)
    # a call in five seconds of creates, three to see the end, and the listing before the first create
    creating_s = 50 / RATE * 1.5
    assert endpoint.stats().requests[DESCRIBE] <= creating_s / 5 + 3 + 2
    operations = [operation for _, operation, _, _ in endpoint.log()[seen:]]
    last_create = len(operations) - 1 - operations[::-1].index(CREATE)
    assert endpoint.stats().throttled[DESCRIBE] == 0
    # the first looks may come too early, while nothing has ended yet: after that one is enough
    assert 1 <= operations[last_create:].count(DESCRIBE) <= 4


def test_an_item_that_hangs_is_left_processing_for_few_describes_and_the_others_are_told_complete_soon(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 10)
    endpoint.change(rates={CREATE: 10, DESCRIBE: 1}, processing_s=PROCESSING_S, hangs_containing=["document 3\n"])

    ended = command.run(
        "upload", batch.manifest, "--rate", "10", "--settle-timeout", "20s", "--json", cwd=tmp_path, env=endpoint.env
    )

    assert (ended.code, ended.states) == (14, {"complete": 9, "processing": 1})
    told = completed_at(ended.of("item"))
    summed_up_at = datetime.fromisoformat(ended.of("progress")[-1]["at"])
    assert len(told) == 9
    assert (summed_up_at - max(told)).total_seconds() >= 10, "nine are told long before the tenth is given up"
    # each second would be 20 and more
    assert endpoint.stats().requests[DESCRIBE] <= 16


def test_a_later_run_asks_for_capacity_and_first_page_at_once_and_for_nothing_before_the_account(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 2)
    flags = ("--rate", "100", "--json")
    assert (
        command.run("upload", batch.manifest, "--only", batch.ids[0], *flags, cwd=tmp_path, env=endpoint.env).code == 0
    )
    endpoint.change(latency_s=1.0)
    seen = len(endpoint.log())

    ended = command.run("upload", batch.manifest, *flags, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (0, {"complete": 2})
    asked = endpoint.log()[seen:]
    account, *both, create = asked[:4]
    assert (account[1], {each[1] for each in both}, create[1]) == (IDENTITY, {LIMITS, DESCRIBE}, CREATE)
    assert both[0][0] - account[0] >= 1.0
    assert both[1][0] - both[0][0] < 0.9
    assert [each[1] for each in asked].count(LIMITS) == 1
