"""Few file descriptors: every item once, or a sentence and a code that says what to do; never a failed item."""

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_upload.operations import CREATE
from tests.support.batches import assert_adds_up, assert_each_once, make_batch
from tests.support.command import run
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.resource_limits import STANDARD_STREAMS, under

CONCURRENCY = 32
READERS = 32
"""Threads that read documents, at most (`documents/bodies.py`)."""
FAST = ("--rate", "500", "--max-rate", "500")


LIMITS = [(12, 30), (16, 30), (64, 150)]
"""Open files, and items: with 12 no run is possible, with 16 one is, with 64 fewer calls than items are under way."""
MORE_LIMITS = [(64, 30), (256, 30), (256, 400)]


@pytest.mark.parametrize(
    ("limit", "count"), [*LIMITS, *(pytest.param(*each, marks=pytest.mark.soak) for each in MORE_LIMITS)]
)
def test_whatever_the_limit_of_open_files_no_item_fails_and_the_next_run_is_exact(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, limit: int, count: int
) -> None:
    batch = make_batch(tmp_path, count)
    flags = ("upload", batch.manifest, *FAST, "--concurrency", "1000", "--json")

    first = run(*flags, cwd=tmp_path, env=endpoint.env, command=under("n", limit))
    again = command.run(*flags, cwd=tmp_path, env=endpoint.env)

    assert "needs more than the" in first.stderr
    assert first.code == (10 if limit < 16 else 0), first.stderr
    assert first.code == 0 or "`ulimit -n" in first.stderr
    assert "failed" not in first.summary["states"]
    assert again.code == 0, again.stderr
    assert_adds_up(again)
    assert_each_once(endpoint, batch)


def test_a_ledger_that_cannot_be_opened_for_want_of_descriptors_is_said_to_be_so(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)

    short = run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env, command=under("n", 8))
    again = command.run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env)

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
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 60)
    flags = ("upload", batch.manifest, "--rate", "40", "--max-rate", "40", "--json")
    endpoint.change(latency_s=0.05)

    with command.started(*flags, cwd=tmp_path, env=endpoint.env) as running:
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


@pytest.mark.parametrize("megabytes", [*(pytest.param(each, marks=pytest.mark.soak) for each in (230, 250, 270)), 290])
def test_with_too_little_memory_a_run_ends_with_a_sentence_and_the_next_is_exact(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, megabytes: int
) -> None:
    batch = make_batch(tmp_path, 30)
    flags = ("upload", batch.manifest, *FAST, "--json")

    # a run that is short of memory to its end waits a minute for its reads and one for its creates
    first = run(*flags, cwd=tmp_path, env=endpoint.env, command=under("v", megabytes * 1024), timeout_s=180)
    again = command.run(*flags, cwd=tmp_path, env=endpoint.env)

    assert first.code in (0, 10, 24), first.stderr
    assert first.code == 0 or "`ulimit -" in first.stderr
    assert "Traceback" not in first.stderr
    assert "failed" not in first.summary["states"]
    assert again.code == 0, again.stderr
    assert_each_once(endpoint, batch)


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds: resident memory in KiB, open descriptors, threads (proc(5))."""

    memory_kib: int
    descriptors: int
    threads: int

    @staticmethod
    def by(pid: int) -> "Held":
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        numbers = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
        return Held(int(numbers["VmRSS"]), len(os.listdir(f"/proc/{pid}/fd")), int(numbers["Threads"]))


@pytest.mark.soak
def test_a_long_run_under_faults_holds_no_more_at_its_end_than_after_its_beginning(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 5_000)
    faults = ("internal_error", "drop_before", "drop_after", "garbage")
    endpoint.faults(*({"action": each, "operation": CREATE, "share": 0.02} for each in faults))
    flags = (
        "upload",
        batch.manifest,
        "--rate",
        "1000",
        "--max-rate",
        "1000",
        "--concurrency",
        str(CONCURRENCY),
        "--quiet",
    )

    with command.started(*flags, cwd=tmp_path, env=endpoint.env, timeout_s=600) as running:
        early = late = None
        while running.process.poll() is None and late is None:
            creates = endpoint.stats().creates
            if early is None and creates >= 500:
                early = Held.by(running.process.pid)
            if creates >= 4_900:
                late = Held.by(running.process.pid)
        ended = running.finish(600)

    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)
    assert early is not None
    assert late is not None
    assert late.memory_kib - early.memory_kib < 40 * 1024
    assert late.descriptors <= early.descriptors + CONCURRENCY
    assert late.threads <= early.threads + READERS
