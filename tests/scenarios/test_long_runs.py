"""Long runs hold no more at their end than after their beginning: memory, descriptors, threads and tasks.

`BATCH_UPLOAD_TESTS_LONG_RUNS=FILE` names a file that gets the tables of docs/performance.md.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import assert_each_once, make_batch
from tests.support.emulator_process import ROOT, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.fleets import assert_each_once_in_each_lane, make_fleet
from tests.support.sampled_command import Sample, held, read_samples, table

CREATE = "CreateRegistrationAttachment"
CALLER = "999988887777"
TABLES = "BATCH_UPLOAD_TESTS_LONG_RUNS"
FAULTS: Sequence[Mapping[str, Any]] = (
    {"action": "throttle"},
    {"action": "internal_error"},
    {"action": "drop_before"},
    {"action": "drop_after"},
    {"action": "garbage"},
    {"action": "slow", "seconds": 2},
    {"action": "hang", "seconds": 5, "done": True},
)
"""Each of them befalls 2 % of the creates."""
SHARE = 0.02
MEMORY_FOR_AN_ITEM_BYTES = 1_500
"""What is kept of an item once its document has been read: its digest and its row (docs/performance.md)."""
MEMORY_FREE_BYTES = 16 * 2**20
"""What the allocator keeps of freed documents for the next ones (docs/decisions/the-call.md)."""
DESCRIPTORS_FREE = 16
"""Connections that happen to be open, or not, when a sample is taken."""
THREADS_FREE = 16
"""Threads of pools, which come when several documents are to be read at once."""
TASKS_FREE = 0.2
"""As many tasks more, of those that there were: workers are called up as the pace needs them."""


@pytest.mark.parametrize(
    ("items", "per_second"),
    [(400, 100), pytest.param(20_000, 20, marks=pytest.mark.soak)],
    ids=["short", "20,000 items"],
)
def test_a_long_run_under_all_kinds_of_faults_holds_no_more_at_its_end(
    tmp_path: Path, items: int, per_second: int
) -> None:
    batch = make_batch(tmp_path, items)
    with running_emulator() as emulator:
        endpoint = Endpoint(emulator)
        endpoint.change(rates={CREATE: {"per_second": per_second, "burst": 5}}, processing_s=1.0)
        endpoint.faults(*({**fault, "operation": CREATE, "share": SHARE} for fault in FAULTS))
        flags = ("--rate", str(per_second))
        samples = sampled_upload(batch.path, flags, endpoint.env, every_s=min(10, items / per_second / 40))
        outcomes = Counter(outcome for _, operation, outcome, _ in endpoint.log() if operation == CREATE)

        assert_each_once(endpoint, batch)
    assert len(outcomes) >= len(FAULTS), outcomes
    hold_no_more(f"{items:,} items at {per_second}/s, 2 % of each fault", samples, items=items)


@pytest.mark.soak
@pytest.mark.parametrize(("accounts", "items", "per_second"), [(40, 360, 0.1)], ids=["200 lanes for an hour"])
def test_many_lanes_for_a_long_time_hold_no_more_at_the_end(
    tmp_path: Path, accounts: int, items: int, per_second: float
) -> None:
    regions = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2")
    fleet = make_fleet(tmp_path, accounts=accounts, regions=regions, items=items)
    settings = {
        "rates": {CREATE: {"per_second": per_second, "burst": 5}},
        "attachments_per_account": None,
        "processing_s": 1.0,
        "role_session_s": 900,
        "faults": [{**fault, "operation": CREATE, "share": SHARE / 4} for fault in FAULTS],
    }
    env = {"AWS_ACCESS_KEY_ID": CALLER, "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    with running_emulator(settings) as emulator:
        env["AWS_ENDPOINT_URL"] = emulator.url
        flags = ("--rate", str(per_second), "--yes")
        samples = sampled_upload(fleet.path, flags, env, every_s=min(10, items / per_second / 40))
        attachments, entries = emulator.attachments(), emulator.entries()

    seconds = entries[-1].at_s - entries[0].at_s
    assert seconds >= (items - 5) / per_second
    assert {entry.outcome for entry in entries if entry.operation == CREATE} > {"accepted", "ThrottlingException"}
    assert_each_once_in_each_lane(attachments, fleet, fleet.labels)
    lanes = len(fleet.labels)
    hold_no_more(f"{lanes} lanes of {items} items each at {per_second}/s", samples, items=lanes * items)


def sampled_upload(manifest: Path, flags: Sequence[str], env: Mapping[str, str], *, every_s: float) -> list[Sample]:
    """Upload a manifest in one run that ends with 0, and return what its process held, from the first create on."""
    samples = manifest.with_suffix(".samples")
    wrapped = [sys.executable, "-m", "tests.support.sampled_command", str(samples), str(every_s), "--"]
    ended = subprocess.run(
        [*wrapped, "upload", str(manifest), "--quiet", *flags],
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [each for each in read_samples(samples) if each.tasks]


def hold_no_more(what: str, samples: Sequence[Sample], *, items: int) -> None:
    """Assert that the last tenth but one of a run holds no more than the fourth one, and note its table.

    The first three of a short run are its start. The last tenth is the end, where workers leave one by one.
    """
    if TABLES in os.environ:
        with open(os.environ[TABLES], "a", encoding="utf-8") as tables:
            tables.write(f"{what}\n\n{table(samples)}\n\n")
    early, late = held(samples, 4), held(samples, 9)
    assert late.memory_bytes - early.memory_bytes <= MEMORY_FREE_BYTES + MEMORY_FOR_AN_ITEM_BYTES * items
    assert late.descriptors <= early.descriptors + DESCRIPTORS_FREE
    assert late.threads <= early.threads + THREADS_FREE
    assert late.tasks <= early.tasks * (1 + TASKS_FREE)
