"""The three forms of stopping, and what is left afterwards: the next run ends what one left."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch_upload.engine.run import DRAIN_S
from batch_upload.operations import CREATE, DESCRIBE, IDENTITY, LIMITS, TAG
from tests.support.batches import TAGS, Batch, assert_adds_up, assert_each_once, make_batch
from tests.support.clocks import Clocks
from tests.support.command import Running, started
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100", "--json")
DEADLINE_S = 20
"""Longer than any of these runs takes to reach what does not answer."""
DEADLINE = ("--deadline", f"{DEADLINE_S}s")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_lets_end_what_is_in_flight_and_the_next_run_does_the_rest(
    endpoint: Endpoint, tmp_path: Path, number: signal.Signals, code: int, command: Preloaded
) -> None:
    endpoint.faults({"action": "slow", "operation": CREATE, "after": 1, "times": 3, "seconds": 0.5})
    batch = make_batch(tmp_path, 10)

    with started("upload", batch.manifest, "--concurrency", "3", *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        running.until("item")
        running.signal(number)
        ended = running.finish()
    held = len(endpoint.attachments())
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == code, ended.stderr
    states = assert_adds_up(ended)["states"]
    assert states.get("complete", 0) == held
    assert states.keys() <= {"complete", "pending"}
    assert again.code == 0
    assert_each_once(endpoint, batch)


def test_a_second_run_on_the_same_ledger_is_told_who_holds_it(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.faults({"action": "hang", "operation": CREATE, "after": 1, "times": 1})
    batch = make_batch(tmp_path, 3)

    with command.started("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        running.until("item")
        creates = endpoint.stats().creates
        second = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
        waiting = command.run("upload", batch.manifest, "--wait-lock", "500ms", *QUICK, cwd=tmp_path, env=endpoint.env)
        status = command.run("status", batch.manifest, "--json", cwd=tmp_path)
        running.process.kill()
        running.finish()
    endpoint.faults()
    after = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert (second.code, waiting.code) == (11, 11)
    assert second.summary["exit"]["retryable"] is True
    assert str(running.process.pid) in second.stderr
    assert creates <= 3
    assert status.code == 0
    assert assert_adds_up(status)["states"]["complete"] >= 1
    assert after.code == 0, after.stderr
    assert_each_once(endpoint, batch)


@pytest.fixture
def waiting(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> Iterator[tuple[Batch, Running, Running]]:
    """A batch, a run of it that holds the ledger and gets no answer, and another that waits for its lock."""
    endpoint.faults({"action": "hang", "operation": CREATE})
    batch = make_batch(tmp_path, 2)
    with command.started("upload", batch.path, *QUICK, cwd=tmp_path, env=endpoint.env) as first:
        endpoint.wait_for(CREATE)
        with command.started(
            "upload", batch.path, "--wait-lock", "60s", *QUICK, cwd=tmp_path, env=endpoint.env
        ) as second:
            assert "waiting for it to end" in second.until("notice")["message"]
            yield batch, first, second


def test_a_run_that_waited_for_the_lock_uploads_what_the_manifest_says_by_then(
    endpoint: Endpoint, tmp_path: Path, waiting: tuple[Batch, Running, Running]
) -> None:
    _, first, second = waiting

    edited = make_batch(tmp_path, 4)
    endpoint.faults()
    first.process.kill()
    ended = second.finish()

    assert ended.code == 0, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 4}
    assert_each_once(endpoint, edited)


def test_a_manifest_that_became_invalid_while_the_lock_was_waited_for_is_21(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, waiting: tuple[Batch, Running, Running]
) -> None:
    batch, first, second = waiting

    batch.path.write_text(batch.path.read_text(encoding="utf-8") + "  - file: files/none.pdf\n", encoding="utf-8")
    asked = endpoint.stats().requests.total()
    endpoint.faults()
    first.process.kill()
    ended = second.finish()
    status = command.run("status", batch.path, cwd=tmp_path)

    assert ended.code == 21, ended.stderr
    assert [line["code"] for line in ended.of("problem")] == ["missing"]
    assert endpoint.stats().requests.total() == asked
    assert "exit 21" in status.stdout


def test_after_the_deadline_nothing_is_started(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 20)

    ended = command.run(
        *("upload", batch.manifest, "--deadline", "3s", "--rate", "2", "--fixed-rate", "--json"),
        cwd=tmp_path,
        env=endpoint.env,
    )
    held = len(endpoint.attachments())
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 12, ended.stderr
    assert 0 < held < 20
    assert assert_adds_up(ended)["states"] == {"pending": 20 - held, "complete": held}
    assert ended.summary["elapsed_s"] < 10
    assert again.code == 0
    assert_each_once(endpoint, batch)


def test_the_deadline_holds_although_nobody_answers(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    endpoint.faults({"action": "drop_before", "operation": IDENTITY})
    batch = make_batch(tmp_path, 1)

    ended = command.run("upload", batch.manifest, "--deadline", "1s", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 12, ended.stderr
    assert 1 <= ended.summary["elapsed_s"] < 10
    asked = ended.summary["requests"][IDENTITY]
    assert asked > 0
    assert endpoint.stats().requests[IDENTITY] >= asked - 1  # the last one may be cut off on its way
    assert endpoint.stats().creates == 0


ON_ITS_WAY = [
    {"action": "hang", "operation": CREATE},
    {"action": "hang", "operation": CREATE, "done": True},
    {"action": "hang", "operation": CREATE, "after": 1},
    {"action": "slow", "operation": CREATE, "seconds": 600},
    {"action": "hang", "operation": DESCRIBE},
    {"action": "hang", "operation": LIMITS},
    {"action": "hang", "operation": IDENTITY},
]


@pytest.mark.parametrize("fault", ON_ITS_WAY, ids=lambda each: "-".join(str(value) for value in each.values()))
def test_the_deadline_ends_the_run_whatever_does_not_answer(
    endpoint: Endpoint, tmp_path: Path, fault: dict[str, Any], timed: tuple[Preloaded, Clocks]
) -> None:
    command, clocks = timed
    endpoint.faults(fault)
    batch = make_batch(tmp_path, 4)

    with command.started("upload", batch.manifest, *DEADLINE, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(fault["operation"], times=1 + fault.get("after", 0))
        clocks.pass_time(DEADLINE_S)
        if fault["operation"] != IDENTITY:
            running.until("lane_stopped")
        clocks.pass_time(DRAIN_S)
        ended = running.finish()
    endpoint.faults()
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 12, ended.stderr
    assert_adds_up(ended)
    assert ended.summary["elapsed_s"] < DEADLINE_S + 30  # a while for what is in flight, and half a minute to spare
    assert again.code == 0, again.stderr
    assert_each_once(endpoint, batch)


def test_the_deadline_ends_a_change_of_tags_that_does_not_answer(
    endpoint: Endpoint, tmp_path: Path, timed: tuple[Preloaded, Clocks]
) -> None:
    command, clocks = timed
    batch = make_batch(tmp_path, 2)
    command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    text = batch.path.read_text(encoding="utf-8")
    batch.path.write_text(text.replace(json.dumps(dict(TAGS)), "{Country: NO}"), encoding="utf-8")
    endpoint.faults({"action": "hang", "operation": TAG})

    with command.started("upload", batch.manifest, *DEADLINE, *QUICK, cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(TAG)
        clocks.pass_time(DEADLINE_S)
        running.until("lane_stopped")
        clocks.pass_time(DRAIN_S)
        ended = running.finish()
    endpoint.faults()
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 12, ended.stderr
    assert ended.summary["elapsed_s"] < DEADLINE_S + 30
    assert again.code == 0, again.stderr
    assert [each["tags"]["Country"] for each in endpoint.attachments()] == ["NO", "NO"]


@pytest.mark.parametrize("verb", ["reconcile", "plan"])
def test_other_verbs_end_at_a_deadline_too(
    endpoint: Endpoint, tmp_path: Path, verb: str, timed: tuple[Preloaded, Clocks]
) -> None:
    command, clocks = timed
    hanging = LIMITS if verb == "plan" else DESCRIBE
    endpoint.faults({"action": "hang", "operation": hanging})
    batch = make_batch(tmp_path, 1)
    limited = {**endpoint.env, "BATCH_UPLOAD_DEADLINE": f"{DEADLINE_S}s"}

    with command.started(verb, batch.manifest, "--json", cwd=tmp_path, env=limited) as running:
        endpoint.wait_for(hanging)
        clocks.pass_time(DEADLINE_S + DRAIN_S)
        ended = running.finish()

    assert ended.code == (0 if verb == "plan" else 12), ended.stderr
    assert ended.summary["elapsed_s"] < DEADLINE_S + 30


def test_not_waiting_leaves_what_the_service_still_works_on_and_a_rerun_only_looks(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(processing_s=3_600)
    batch = make_batch(tmp_path, 3)

    ended = command.run("upload", batch.manifest, "--no-wait", *QUICK, cwd=tmp_path, env=endpoint.env)
    impatient = command.run("upload", batch.manifest, "--settle-timeout", "0s", *QUICK, cwd=tmp_path, env=endpoint.env)
    for attachment in endpoint.attachments():
        endpoint.set_status(attachment["id"], "UPLOAD_COMPLETE")
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (14, {"processing": 3})
    assert (impatient.code, impatient.states) == (14, {"processing": 3})
    assert (again.code, again.states) == (0, {"complete": 3})
    assert endpoint.stats().creates == 3


def test_a_used_up_day_parks_the_rest_until_midnight_and_costs_no_further_call(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(attachments_per_day=2)
    batch = make_batch(tmp_path, 5)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    ended = command.run("upload", batch.manifest, "--concurrency", "1", *QUICK, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    creates_again = endpoint.stats().creates
    endpoint.change(attachments_per_day=None)
    anyway = command.run("upload", batch.manifest, "--only", "parked", *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 13, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 2, "parked": 3}
    assert ended.summary["exit"]["resume_after"] is not None
    assert datetime.fromisoformat(ended.summary["exit"]["resume_after"]) == midnight
    assert creates == 3
    assert (again.code, again.summary["exit"]["resume_after"]) == (13, ended.summary["exit"]["resume_after"])
    assert creates_again == creates
    assert (anyway.code, anyway.states) == (0, {"complete": 5})
    assert_each_once(endpoint, batch)


def test_a_full_account_parks_the_rest_until_there_is_capacity(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(attachments_per_account=3)
    batch = make_batch(tmp_path, 5)

    ended = command.run("upload", batch.manifest, "--concurrency", "1", *QUICK, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    again = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    creates_again, asked = endpoint.stats().creates, endpoint.stats().requests[LIMITS]
    endpoint.change(attachments_per_account=10)
    at_last = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 27, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 3, "parked": 2}
    assert ended.summary["exit"]["resume_after"] is None
    assert creates <= 4
    assert (again.code, again.summary["exit"]["resume_after"]) == (27, None)
    assert creates_again == creates
    assert asked >= 2
    assert (at_last.code, at_last.states) == (0, {"complete": 5})
    assert_each_once(endpoint, batch)


def test_a_full_account_that_does_not_tell_its_capacity_is_probed_with_one_create(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(attachments_per_account=2, deny=[LIMITS])
    batch = make_batch(tmp_path, 5)

    full = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    still_full = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    creates_still_full = endpoint.stats().creates
    endpoint.change(attachments_per_account=10)
    at_last = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert (full.code, full.states) == (27, {"complete": 2, "parked": 3})
    assert (still_full.code, still_full.states) == (27, {"complete": 2, "parked": 3})
    assert creates_still_full == creates + 1
    assert (at_last.code, at_last.states) == (0, {"complete": 5})
    assert_each_once(endpoint, batch)


def test_only_some_are_sent_where_only_some_are_chosen(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 4)
    first, second, *_ = batch.ids

    ended = command.run(
        "upload", batch.manifest, "--only", first, "--only", second, *QUICK, cwd=tmp_path, env=endpoint.env
    )
    unknown = command.run("upload", batch.manifest, "--only", "files/none.pdf", *QUICK, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (0, {"pending": 2, "complete": 2})
    assert endpoint.stats().creates == 2
    assert unknown.code == 2
