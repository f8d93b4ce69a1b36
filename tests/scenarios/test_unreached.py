"""Runs that do not get as far as the lane: they are on record, and what fails for a day does not stay silent."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.operations import CREATE, DELETE, DESCRIBE, IDENTITY
from tests.support.batches import Batch, make_batch, write_batch
from tests.support.clocks import Clocks
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100")
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
"""The discard port, where nothing listens."""


def test_a_run_of_the_wrong_account_is_shown_by_status(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2, extra='target: {account: "999999999999"}\n')

    ended = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 22
    assert "(upload), began " in status.stdout
    assert ", exit 22 (these credentials are of account " in status.stdout


@pytest.mark.parametrize("verb", ["upload", "reconcile", "prune"])
def test_a_run_whose_files_are_missing_is_shown_by_status(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, verb: str
) -> None:
    batch = make_batch(tmp_path, 2)
    command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    (tmp_path / batch.ids[1]).unlink()

    ended = command.run(verb, batch.manifest, "--quiet", cwd=tmp_path, env=endpoint.env)
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 21
    assert f"({verb}), began " in status.stdout
    assert ", exit 21 (1 problem in `june.yaml`" in status.stdout


@pytest.mark.parametrize(("verb", "hanging"), [("prune", DELETE), ("reconcile", DESCRIBE)])
def test_the_end_of_a_verb_that_the_deadline_cuts_off_is_on_record(
    endpoint: Endpoint, tmp_path: Path, timed: tuple[Preloaded, Clocks], verb: str, hanging: str
) -> None:
    command, clocks = timed
    batch = make_batch(tmp_path, 3)
    command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    write_batch(tmp_path, dict(list(batch.documents.items())[:2]))
    endpoint.faults({"action": "hang", "operation": hanging})
    before = endpoint.stats().requests[hanging]
    env = {**endpoint.env, "BATCH_UPLOAD_DEADLINE": "30s"}

    with command.started(verb, batch.manifest, "--yes", "--json", cwd=tmp_path, env=env) as running:
        endpoint.wait_for(hanging, times=before + 1)
        clocks.pass_time(45)  # the deadline, and the 10 s that what is in flight has
        ended = running.finish()
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 12, ended.stderr
    assert f"({verb}), began " in status.stdout
    assert ", exit 12 (the deadline passed)" in status.stdout


def test_the_end_of_a_prune_that_may_not_look_is_on_record(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    """What was replaced while the service was at work on it is asked for before anything is deleted."""
    endpoint.change(processing_s=3_600)
    batch = make_batch(tmp_path, 2)
    command.run("upload", batch.manifest, "--no-wait", *QUICK, cwd=tmp_path, env=endpoint.env)
    write_batch(tmp_path, dict(list(batch.documents.items())[:1]))
    endpoint.change(deny=[DESCRIBE])

    ended = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 22, ended.stderr
    assert "(prune), began " in status.stdout
    assert f", exit 22 ({ended.summary['exit']['reason']})" in status.stdout


@pytest.mark.parametrize("verb", ["upload", "reconcile", "prune"])
def test_a_run_that_a_signal_ends_before_its_lane_has_answered_is_shown_by_status(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, verb: str
) -> None:
    batch = make_batch(tmp_path, 2)
    endpoint.faults({"action": "hang", "operation": IDENTITY})

    with command.started(verb, batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(IDENTITY)
        running.signal(signal.SIGTERM)
        ended = running.finish()
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 143, ended.stderr
    assert f"({verb}), began " in status.stdout
    assert ", exit 143 (drained after SIGTERM)" in status.stdout


def test_a_question_that_nobody_can_answer_is_no_run(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    write_batch(tmp_path, dict(list(batch.documents.items())[:1]))

    ended = command.run("prune", batch.manifest, cwd=tmp_path, env=endpoint.env)
    status = command.run("status", batch.manifest, cwd=tmp_path)

    assert ended.code == 2, ended.stderr
    assert "(upload), began " in status.stdout


def test_an_invalid_manifest_makes_no_ledger(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    (tmp_path / batch.ids[1]).unlink()

    ended = command.run("upload", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 21
    assert not batch.ledger.exists()


def test_status_of_a_run_says_that_it_is_under_way_and_how_long_it_takes(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.faults({"action": "hang", "operation": CREATE, "after": 2, "times": 1})
    batch = make_batch(tmp_path, 12)
    command.run("upload", batch.manifest, "--only", batch.ids[0], *QUICK, cwd=tmp_path, env=endpoint.env)

    with command.started(
        "upload", batch.manifest, "--concurrency", "1", "--json", cwd=tmp_path, env=endpoint.env
    ) as running:
        endpoint.wait_for(CREATE, times=3)
        during = command.run("status", batch.manifest, cwd=tmp_path).stdout
        running.process.kill()
        running.finish()
    after = command.run("status", batch.manifest, cwd=tmp_path).stdout

    assert ", is under way" in during
    assert f"running now: process {running.process.pid} on " in during
    assert " left" in during
    assert ", stopped without an end: run the same command again" in after
    assert "running now" not in after


def _put_back(batch: Batch, hours: int) -> None:
    """Let all runs of a ledger have been so many hours earlier."""
    earlier = "strftime('%Y-%m-%dT%H:%M:%S', {0}, '-' || ? || ' hours') || '.000000Z'"
    began, ended = earlier.format("began_at"), earlier.format("ended_at")
    with closing(sqlite3.connect(batch.ledger)) as ledger, ledger:
        ledger.execute(f"UPDATE run SET began_at = {began}, ended_at = {ended}", (hours, hours))  # noqa: S608 - our own text


@pytest.mark.soak
def test_an_exit_10_that_has_repeated_for_a_day_becomes_22_and_a_line(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    """Soak, since each of its two runs that fail tries ten times, for a minute."""
    batch = make_batch(tmp_path, 2)
    env = {**endpoint.env, **NOWHERE}
    command.run("upload", batch.manifest, *QUICK, "--only", batch.ids[0], cwd=tmp_path, env=endpoint.env)

    first = command.run("upload", batch.manifest, "--quiet", "--json", cwd=tmp_path, env=env)
    _put_back(batch, 25)
    second = command.run("upload", batch.manifest, "--quiet", "--json", cwd=tmp_path, env=env)
    at_last = command.run("upload", batch.manifest, *QUICK, "--json", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.stderr, first.summary["unreached_for"]) == (10, "", None)
    assert second.code == 22
    assert "no run has got an answer for " in second.stderr
    assert second.summary["unreached_for"] >= 24 * 3_600
    assert (at_last.code, at_last.summary["unreached_for"]) == (0, None)
