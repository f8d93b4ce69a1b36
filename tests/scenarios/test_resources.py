"""Few file descriptors: every item once, or a sentence and a code that says what to do; never a failed item."""

import resource
from pathlib import Path

import pytest

from tests.support.batches import assert_adds_up, assert_each_once, make_batch
from tests.support.command import run, started
from tests.support.endpoint import Endpoint
from tests.support.resource_limits import STANDARD_STREAMS, under

FAST = ("--rate", "500", "--max-rate", "500")


@pytest.mark.parametrize(("limit", "count"), [(12, 30), (16, 30), (64, 30), (256, 30), (64, 600), (256, 600)])
def test_whatever_the_limit_of_open_files_no_item_fails_and_the_next_run_is_exact(
    endpoint: Endpoint, tmp_path: Path, limit: int, count: int
) -> None:
    batch = make_batch(tmp_path, count)
    flags = ("upload", batch.manifest, *FAST, "--concurrency", "1000", "--json")

    first = run(*flags, cwd=tmp_path, env=endpoint.env, command=under("n", limit))
    again = run(*flags, cwd=tmp_path, env=endpoint.env)

    assert "do not fit into the limit" in first.stderr
    assert first.code == (10 if limit < 16 else 0), first.stderr
    assert first.code == 0 or "`ulimit -n" in first.stderr
    assert "failed" not in first.summary["states"]
    assert again.code == 0, again.stderr
    assert_adds_up(again)
    assert_each_once(endpoint, batch)


def test_a_ledger_that_cannot_be_opened_for_want_of_descriptors_is_said_to_be_so(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)

    short = run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env, command=under("n", 8))
    again = run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env)

    assert short.code == 24
    assert "cannot be opened: out of file descriptors" in short.stderr
    assert "`ulimit -n" in short.stderr
    assert again.code == 0
    assert_each_once(endpoint, batch)


def test_a_soft_limit_is_raised_as_far_as_the_hard_one_allows(endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)

    ended = run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env, command=under("Sn", 20))

    assert ended.code == 0, ended.stderr
    assert "do not fit" not in ended.stderr


def test_descriptors_that_run_out_in_the_middle_are_waited_for_with_one_notice(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 60)
    flags = ("upload", batch.manifest, "--rate", "40", "--max-rate", "40", "--json")
    endpoint.change(latency_s=0.05)

    with started(*flags, cwd=tmp_path, env=endpoint.env) as running:
        running.until("item")
        limits = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        endpoint.faults({"action": "drop_before", "times": 4})  # so that new connections are needed
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (STANDARD_STREAMS, limits[1]))
        running.until("notice")
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, limits)
        ended = running.finish()

    assert ended.code == 0, ended.stderr
    assert ended.states == {"complete": 60}
    assert [each["message"].split(":")[0] for each in ended.of("notice")] == ["out of file descriptors"]
    assert_each_once(endpoint, batch)
