"""A service that lags behind itself, whose pages shift, repeat and expire, and copies of a ledger."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS
from tests.scenarios.test_reconcile import delete
from tests.support.batches import IDENTITY_TAG, Batch, assert_each_once, make_batch, token_of, write_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100", "--fixed-rate", "--json")
TRIES_MAX = 200
EXPIRING: dict[str, Any] = {"next_token_life_s": 0.0, "page_size": 1}
REPEATING: dict[str, Any] = {"faults": [{"action": "repeat_page", "operation": DESCRIBE}], "page_size": 1}


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("upload", batch.manifest, *QUICK, *flags, cwd=batch.folder, env=endpoint.env)


def copied(batch: Batch, to: Path) -> Batch:
    """The same manifest, documents and ledger on another machine."""
    shutil.copytree(batch.folder, to)
    (to / f"{batch.ledger.name}.lock").unlink(missing_ok=True)
    return write_batch(to, batch.documents)


def twice(endpoint: Endpoint) -> list[str]:
    """The identity tags that more than one attachment carries."""
    tokens = [each["tags"].get(IDENTITY_TAG, "") for each in endpoint.attachments() if each["status"] != "DELETED"]
    return sorted({token for token in tokens if tokens.count(token) > 1})


@pytest.mark.parametrize("known_token", ["replay", "conflict", "validation"])
@pytest.mark.parametrize("answer", ["empty", "not_found"])
def test_a_lost_answer_whose_attachment_and_tags_come_late_makes_nothing_twice(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, answer: str, known_token: str
) -> None:
    endpoint.change(listing_lag_s=1.0, describe_lag_s=1.0, tags_lag_s=1.9, tags_lag_answer=answer, limits_lag_s=1.9)
    endpoint.change(token_memory_s=2.1, known_token=known_token)
    batch = make_batch(tmp_path, 2)
    endpoint.faults({"action": "drop_after", "times": 1}, {"action": "drop_before", "times": 3})

    ended = upload(command, batch, endpoint, "--safe-horizon", "2s")

    assert (ended.code, ended.states) == (0, {"complete": 2}), ended.stderr
    assert_each_once(endpoint, batch)


def test_what_is_found_only_seconds_after_its_create_is_waited_for(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(processing_s=0.1, listing_lag_s=2.0, describe_lag_s=2.0)
    batch = make_batch(tmp_path, 3)

    ended = upload(command, batch, endpoint)

    assert (ended.code, ended.states) == (0, {"complete": 3}), ended.stderr


def test_what_was_not_found_is_advised_to_be_looked_for_again_and_taken_over_by_the_next_run(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(processing_s=0.1, listing_lag_s=3_600, describe_lag_s=3_600)
    batch = make_batch(tmp_path, 3)
    lost = upload(command, batch, endpoint, "--safe-horizon", "1s")
    why = command.run("why", batch.manifest, batch.ids[0], cwd=tmp_path)
    endpoint.change(listing_lag_s=0, describe_lag_s=0)

    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    found = upload(command, batch, endpoint, "--safe-horizon", "1s")

    assert (lost.code, lost.states) == (20, {"failed": 3})
    assert lost.item(batch.ids[0])["error"]["code"] == "NOT_FOUND"
    assert "next: run `upload` again" in why.stdout
    assert [line["action"] for line in planned.of("action")] == ["unchanged"] * 3
    assert planned.summary["requests"][DESCRIBE] == 1
    assert (found.code, found.states, found.summary["uploaded"]) == (0, {"complete": 3}, 0)
    assert_each_once(endpoint, batch)


def test_what_is_young_and_missing_is_no_disagreement(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint)
    endpoint.change(listing_lag_s=3_600, describe_lag_s=3_600)

    verified = command.run("verify", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    old = {**endpoint.env, "BATCH_UPLOAD_SAFE_HORIZON": "1ms"}
    later = command.run("verify", batch.manifest, "--json", cwd=tmp_path, env=old)

    assert (verified.code, {line["finding"] for line in verified.of("finding")}) == (14, {"not_yet"})
    assert (later.code, {line["finding"] for line in later.of("finding")}) == (25, {"missing"})


@pytest.mark.parametrize(
    ("verb", "trouble"),
    [("upload", EXPIRING), ("upload", REPEATING), ("verify", REPEATING), ("reconcile", EXPIRING)],
    ids=["upload-expiring", "upload-repeating", "verify-repeating", "reconcile-expiring"],
)
def test_a_listing_that_does_not_end_is_exit_10_everywhere(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, verb: str, trouble: dict[str, Any]
) -> None:
    batch = make_batch(tmp_path, 2)
    for _ in range(3):
        endpoint.plant({})
    endpoint.change(**trouble)

    ended = command.run(verb, batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 10, ended.stderr
    assert endpoint.stats().creates == 0
    assert endpoint.stats().requests[DESCRIBE] < 20


def test_a_lost_ledger_finds_what_a_shifted_page_skipped(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    name, content = next(iter(batch.documents.items()))
    endpoint.change(paging="offset", page_size=3, keeps_deleted=False, token_memory_s=0)
    foreign = [endpoint.plant({IDENTITY_TAG: f"of another batch {number}"}) for number in range(3)]
    endpoint.plant({IDENTITY_TAG: token_of(name, content)})
    endpoint.faults({"action": "slow", "operation": DESCRIBE, "seconds": 1, "times": 1})

    # what was deleted and has no tags is waited for until it cannot be new any more
    with command.started(
        "upload", batch.manifest, *QUICK, "--safe-horizon", "4s", cwd=tmp_path, env=endpoint.env
    ) as running:
        endpoint.wait_for(DESCRIBE)
        delete(endpoint, foreign[0]["id"])
        ended = running.finish()

    assert (ended.code, ended.summary["adopted"], ended.summary["uploaded"]) == (0, 1, 0), ended.stderr
    assert endpoint.stats().creates == 0


def test_machines_that_take_turns_with_copies_of_a_ledger_upload_nothing_twice(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(token_memory_s=0.001)
    here = make_batch(tmp_path / "here", 4)
    upload(command, here, endpoint)
    there = copied(here, tmp_path / "there")
    changed = {name: content + b"x" for name, content in list(here.documents.items())[:2]}
    here, there = (write_batch(batch.folder, {**here.documents, **changed}) for batch in (here, there))

    other = upload(command, there, endpoint)
    pruned = command.run("prune", there.manifest, "--yes", "--json", cwd=there.folder, env=endpoint.env)
    mine = upload(command, here, endpoint)

    assert (other.code, pruned.code, mine.code) == (0, 0, 25), mine.stderr
    assert (mine.summary["uploaded"], twice(endpoint)) == (0, [])


def test_machines_that_create_at_the_same_moment_learn_of_it_from_a_later_run(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Neither sees what the other has just created: the service shows it later, and has forgotten the token."""
    endpoint.change(token_memory_s=0.001, listing_lag_s=3.9)
    horizon = ("--safe-horizon", "4s")
    here = make_batch(tmp_path / "here", 2)
    upload(command, here, endpoint, "--only", here.ids[0], *horizon)
    there = copied(here, tmp_path / "there")

    both = [upload(command, batch, endpoint, *horizon) for batch in (here, there)]

    if not twice(endpoint):  # the second was too slow to be at the same moment
        assert 25 in {ended.code for ended in both}
        return
    reruns = (upload(command, here, endpoint, *horizon) for _ in range(TRIES_MAX))
    told = next(ended for ended in reruns if ended.code != 0)
    assert told.code == 25
    assert "another copy of the ledger" in told.summary["exit"]["reason"]
    assert len(told.of("orphan")) == 1


def test_the_look_at_the_end_of_a_run_finds_a_second_attachment_and_says_so(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    name, content = next(iter(batch.documents.items()))
    endpoint.faults({"action": "slow", "seconds": 1, "times": 1})

    with command.started("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(CREATE)
        twin = endpoint.plant({IDENTITY_TAG: token_of(name, content)})
        ended = running.finish()
    verified = command.run("verify", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (25, {"complete": 2})
    assert twin["id"] in ended.summary["exit"]["reason"]
    assert [line["registration_attachment_id"] for line in ended.of("orphan")] == [twin["id"]]
    assert [line["finding"] for line in verified.of("finding")] == ["duplicate"]


@pytest.mark.parametrize("count", [14, 25])
def test_a_clean_run_of_a_new_ledger_lists_twice_and_a_later_one_no_more(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, count: int
) -> None:
    endpoint.change(processing_s=0.1)
    batch = make_batch(tmp_path, count)

    first = upload(command, batch, endpoint)
    again = upload(command, batch, endpoint)

    assert first.summary["requests"] == {
        "GetCallerIdentity": 1,
        "DescribeAccountLimits": 1,
        DESCRIBE: 2,
        CREATE: count,
    }
    assert again.summary["requests"] == {"GetCallerIdentity": 1}


def test_what_was_replaced_while_processing_ends_and_can_be_pruned(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(processing_s=1)
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint, "--no-wait")
    name, content = next(iter(batch.documents.items()))
    batch = write_batch(tmp_path, {**batch.documents, name: content + b"x"})
    upload(command, batch, endpoint, "--no-wait")

    settled = upload(command, batch, endpoint)
    pruned = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert (settled.code, pruned.code) == (0, 0)
    assert [line["outcome"] for line in pruned.of("pruned")] == ["deleted"]
    assert_each_once_of(endpoint, batch)


def test_prune_asks_for_the_status_of_what_no_run_has_waited_for(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(processing_s=3_600)
    whole = make_batch(tmp_path, 2)
    upload(command, whole, endpoint, "--no-wait")
    batch = write_batch(tmp_path, dict(list(whole.documents.items())[:1]))
    for each in endpoint.attachments():
        endpoint.set_status(each["id"], "UPLOAD_COMPLETE")

    pruned = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert pruned.code == 0, pruned.stderr
    assert [line["outcome"] for line in pruned.of("pruned")] == ["deleted"]
    assert pruned.summary["requests"][DESCRIBE] == 1


@pytest.mark.parametrize("answer", ["empty", "not_found"])
def test_prune_leaves_what_is_new_and_has_no_readable_tags_to_a_later_run(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, answer: str
) -> None:
    whole = make_batch(tmp_path, 2)
    upload(command, whole, endpoint)
    batch = write_batch(tmp_path, dict(list(whole.documents.items())[:1]))
    endpoint.change(tags_lag_s=3_600, tags_lag_answer=answer)

    early = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)
    endpoint.change(tags_lag_s=0)
    late = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert (early.code, [line["outcome"] for line in early.of("pruned")]) == (10, ["open"])
    assert (late.code, [line["outcome"] for line in late.of("pruned")]) == (0, ["deleted"])
    assert late.summary["requests"][LIST_TAGS] == 1


def assert_each_once_of(endpoint: Endpoint, batch: Batch) -> None:
    """What stands at the service is this batch, each document once."""
    standing = [each for each in endpoint.attachments() if each["status"] != "DELETED"]
    tokens = sorted(each["tags"][IDENTITY_TAG] for each in standing)
    assert tokens == sorted(token_of(name, content) for name, content in batch.documents.items())
