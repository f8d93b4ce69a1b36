"""What a user is told of pace and time: by `plan`, before the first byte, under way, and after a kill."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from batch_upload.emulator.names import OPERATIONS
from batch_upload.operations import CREATE, DESCRIBE, IDENTITY, LIMITS, LIST_TAGS
from tests.support.batches import Batch, assert_each_once, make_batch
from tests.support.command import Event, Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

RATE = 20


def test_a_run_that_was_killed_has_learned_the_rate_and_the_next_tells_its_end_by_it(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    planned, ended = after_a_kill(command, endpoint, make_batch(tmp_path, 300))

    # what the account allows, and not what a busy machine makes of it
    wanted = [(each["items"] - each["done"] - each["processing"]) / RATE for each in steady(ended)]
    assert planned["rate"] == pytest.approx(RATE, rel=0.15)
    assert [each["left_s"] for each in steady(ended)] == pytest.approx(wanted, rel=0.15, abs=0.5)


@pytest.mark.soak
def test_a_run_after_one_that_was_killed_tells_its_end_within_ten_percent(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    _, ended = after_a_kill(command, endpoint, make_batch(tmp_path, 300))

    took_s = seconds(ended.of("run")[0], ended.of("item")[-1])
    assert [told_s(ended, each) for each in steady(ended)] == pytest.approx([took_s] * len(steady(ended)), rel=0.1)


def after_a_kill(command: Preloaded, endpoint: Endpoint, batch: Batch) -> tuple[Event, Result]:
    """The totals of `plan` after a run that was killed in its middle, and the run that did the rest."""
    endpoint.change(rates={CREATE: {"per_second": RATE, "burst": 5}})
    with command.started("upload", batch.manifest, "--json", cwd=batch.folder, env=endpoint.env) as running:
        for _ in range(140):
            running.until("item")
        running.process.kill()
    planned = command.run("plan", batch.manifest, "--json", cwd=batch.folder, env=endpoint.env).of("totals")[0]
    ended = command.run("upload", batch.manifest, "--json", cwd=batch.folder, env=endpoint.env)
    assert_each_once(endpoint, batch)
    return planned, ended


def test_a_run_with_a_ceiling_teaches_the_next_with_it_and_without_it(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 50)
    # slots of 100 ms and a service that throttles nothing: a machine that is busy elsewhere makes no difference then
    ceiling = ("--max-rate", "10", "--json")
    upload = ("upload", batch.manifest, "--rate", "5", *ceiling)
    first = command.run(*upload, cwd=tmp_path, env=endpoint.env)

    capped = command.run("plan", batch.manifest, *ceiling, cwd=tmp_path, env=endpoint.env)
    free = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    lower = command.run("upload", batch.manifest, "--max-rate", "5", "--json", cwd=tmp_path, env=endpoint.env)
    after = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.of("run")[0]["rate"]) == (0, 5.0)
    assert capped.of("totals")[0]["rate"] == 10.0
    assert free.of("totals")[0]["rate"] >= 10.0
    assert lower.of("run")[0]["rate"] == 5.0
    assert after.of("totals")[0]["rate"] >= 10.0, "a lower ceiling is no news of the account"


@pytest.mark.soak
def test_the_end_of_a_run_is_told_within_ten_percent_settling_included(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 240)
    endpoint.change(rates={CREATE: {"per_second": 5, "burst": 5}}, processing_s=1.0)

    ended = command.run("upload", batch.manifest, "--json", "--rate", "5", cwd=tmp_path, env=endpoint.env)

    assert ended.states == {"complete": 240}
    took_s = seconds(ended.of("run")[0], ended.of("item")[-1])
    assert [told_s(ended, each) for each in steady(ended)] == pytest.approx([took_s] * len(steady(ended)), rel=0.1)


def steady(ended: Result) -> list[Event]:
    """The lines of progress after the first 20 items."""
    found = [each for each in ended.of("progress") if each["done"] + each["processing"] >= 20 and each["left_s"]]
    assert found
    return found


def told_s(ended: Result, progress: Event) -> float:
    """How long the whole run takes, by a line of progress."""
    passed: float = seconds(ended.of("run")[0], progress)
    left: float = progress["left_s"]
    return passed + left


def seconds(since: Event, until: Event) -> float:
    return (datetime.fromisoformat(until["at"]) - datetime.fromisoformat(since["at"])).total_seconds()


def test_what_cuts_a_run_short_is_told_before_the_first_byte(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 10)
    endpoint.change(attachments_per_account=4)
    pace = ("--rate", "0.2", "--deadline", "10s")

    planned = command.run("plan", batch.manifest, *pace, cwd=tmp_path, env=endpoint.env)
    before = command.run("plan", batch.manifest, *pace, "--json", cwd=tmp_path, env=endpoint.env).of("totals")[0]
    assert endpoint.stats().creates == 0
    ended = command.run("upload", batch.manifest, *pace, cwd=tmp_path, env=endpoint.env)

    assert "room for 4 of 10, the other 6 will be parked" in planned.stdout
    assert "deadline: in" in planned.stdout
    assert (before["cut_by_capacity"], before["cut_by_deadline"]) == (6, 1)
    first = ended.stderr.splitlines()[0]
    assert "the account has room for 4 of 10" in first
    assert "before the deadline in" in first


def test_a_used_up_day_is_told_before_the_first_byte(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 5)
    endpoint.change(attachments_per_day=2)
    upload = ("upload", batch.manifest, "--rate", "100")
    command.run(*upload, cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates

    planned = command.run("plan", batch.manifest, cwd=tmp_path, env=endpoint.env)
    again = command.run(*upload, cwd=tmp_path, env=endpoint.env)

    assert "the day's quota is used up until" in planned.stdout
    assert "3 items stay parked: the day's quota is used up until" in again.stderr.splitlines()[0]
    assert endpoint.stats().creates == creates


def test_every_request_of_every_verb_took_a_slot_and_was_counted(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    """What goes through the pacers is what a summary counts; the service has seen no request more."""
    batch = make_batch(tmp_path, 6)
    endpoint.plant({"Customer": "somebody"})
    endpoint.change(processing_s=0.1)
    told: Counter[str] = Counter()

    for verb, *flags in (("upload", "--rate", "50"), ("plan",), ("verify",), ("reconcile", "--yes"), ("doctor",)):
        endpoint.faults(*({"action": "throttle", "operation": each, "times": 1} for each in OPERATIONS))
        ended = command.run(verb, batch.manifest, *flags, "--json", cwd=tmp_path, env=endpoint.env)
        told.update(ended.summary["requests"])

    seen = endpoint.stats()
    assert told == seen.requests
    assert {CREATE, DESCRIBE, LIST_TAGS, LIMITS, IDENTITY} <= set(told)
    assert seen.throttled.total() >= 8
