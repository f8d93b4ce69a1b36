"""A lane as a task: its JSON, what a worker refuses, and that an attempt ends as the ledger says."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_upload.app.choice import ready_to_send
from batch_upload.app.listing import manifest_digests
from batch_upload.app.observers import Silent
from batch_upload.errors import ExitCode, UsageError
from batch_upload.events import LaneEnded, OfLane, Sending
from batch_upload.fleet.lane import (
    LaneReport,
    LaneTask,
    WorkerHost,
    options_json,
    options_of_json,
    run_lane,
    worker_host,
)
from batch_upload.ledger import find_reader, newest_schema
from batch_upload.ledger_address import ledger_address
from batch_upload.model import State
from batch_upload.ports import Observer
from batch_upload.settings import MaxFailures, RunOptions
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.fleets import BATCH, Fleet, make_fleet

RUN_ID = "20261127T000000Z-00000000"
FAST = RunOptions(rate=1_000.0)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, accounts=1, items=3)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorProcess]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "999988887777")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


def task_of(fleet: Fleet, label: str, options: RunOptions = FAST) -> LaneTask:
    prepared, _ = ready_to_send(fleet.path, options)
    return LaneTask(
        manifest=str(fleet.path),
        digests=manifest_digests(prepared.manifest),
        target=label,
        ledger=str(fleet.ledger),
        schema=newest_schema(fleet.ledger),
        run_id=RUN_ID,
        options=options_json(options),
    )


@asynccontextmanager
async def host_of(fleet: Fleet, observer: Observer | None = None) -> AsyncIterator[WorkerHost]:
    async with worker_host(fleet.ledger, RunOptions(), observer or Silent(), lanes=2, wait_lock_s=0.0) as host:
        yield host


def test_a_task_survives_json_and_another_version_or_member_is_refused(fleet: Fleet) -> None:
    task = replace(task_of(fleet, fleet.labels[0]), deadline="2026-11-27T00:00:00+00:00", attempts=2)
    sent = json.loads(json.dumps(task.as_json()))

    assert LaneTask.from_json(sent) == task
    with pytest.raises(UsageError, match="the task is of version 2"):
        LaneTask.from_json({**sent, "version": 2})
    with pytest.raises(UsageError, match="the task is of version 1"):
        LaneTask.from_json({**sent, "command": "rm"})


def test_a_task_has_no_password_and_does_not_say_how_aws_is_reached() -> None:
    address = ledger_address("postgresql://u:secret@db/x", may_have_password=True)
    options = RunOptions(
        ledger=address, profile="acme", endpoint_url="https://u:secret@host", allowed_hosts=frozenset({"host"})
    )
    kept = json.dumps([options_json(options), str(address)])

    assert "secret" not in kept
    assert "host" not in kept
    assert "acme" not in kept


def test_options_come_through_and_a_worker_keeps_its_own_limits() -> None:
    given = RunOptions(
        rate=2.5,
        max_rate=4.0,
        fixed_rate=True,
        concurrency=100,
        only_states=frozenset({State.FAILED}),
        only_ids=frozenset({"a"}),
        max_failures=MaxFailures(share=0.1),
        wait=False,
        settle_timeout_s=60.0,
        safe_horizon_s=30.0,
        allow_outside=True,
        rehash=True,
    )
    own = RunOptions(profile="mine", concurrency=10)

    found = options_of_json(json.loads(json.dumps(options_json(given))), own)

    assert found == replace(given, profile="mine", concurrency=10)


def test_a_deadline_counts_from_the_clock_of_the_wall(fleet: Fleet) -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    task = replace(task_of(fleet, fleet.labels[0]), deadline=(now + timedelta(seconds=90)).isoformat())

    assert task.left_s(now) == 90
    assert task.left_s(now + timedelta(hours=1)) == 0
    assert replace(task, deadline=None).left_s(now) is None


async def test_lanes_run_one_by_one_on_a_host_and_end_in_one_ledger(fleet: Fleet, emulator: EmulatorProcess) -> None:
    async with host_of(fleet) as host:
        reports = [await run_lane(host, task_of(fleet, label)) for label in fleet.labels]

    assert [(each.target, each.code, each.again_in_s) for each in reports] == [
        (label, 0, None) for label in fleet.labels
    ]
    assert LaneReport.from_json(json.loads(json.dumps(reports[0].as_json()))) == reports[0]
    assert len(emulator.attachments()) == sum(fleet.items.values())
    reader = find_reader(fleet.ledger)
    assert reader is not None
    with reader:
        runs = [reader.of_target(label).runs(BATCH, 5) for label in fleet.labels]
    assert [[(run.run_id, run.exit_code) for run in each] for each in runs] == [[(RUN_ID, 0)]] * len(fleet.labels)


async def test_each_attempt_is_a_run_of_its_own_and_repeats_nothing(fleet: Fleet, emulator: EmulatorProcess) -> None:
    task = task_of(fleet, fleet.labels[0])
    async with host_of(fleet) as host:
        await run_lane(host, task)
        again = await run_lane(host, replace(task, attempts=1), attempt=2)

    assert (again.run_id, again.code) == (f"{RUN_ID}.3", 0)
    assert again.summary is not None
    assert again.summary["unchanged"] == fleet.items[fleet.labels[0]]
    assert len(emulator.attachments()) == fleet.items[fleet.labels[0]]


class InterruptsAtFirstSending:
    """Interrupts the host of a lane as soon as a request is about to leave."""

    host: WorkerHost | None = None

    def __init__(self) -> None:
        self.ends: list[LaneEnded] = []

    def notify(self, event: object) -> None:
        inner = event.event if isinstance(event, OfLane) else event
        if isinstance(inner, Sending) and self.host is not None:
            self.host.interrupt(ExitCode.TERMINATED, "SIGTERM")
        if isinstance(inner, LaneEnded):
            self.ends.append(inner)


async def test_an_interrupted_host_hands_its_lane_back_at_once(fleet: Fleet, emulator: EmulatorProcess) -> None:
    task, observer = task_of(fleet, fleet.labels[0]), InterruptsAtFirstSending()
    async with host_of(fleet, observer) as host:
        observer.host = host
        report = await run_lane(host, task)
        later = await run_lane(host, task, attempt=2)

    assert (report.code, report.again_in_s) == (ExitCode.TERMINATED, 0.0)
    assert (later.code, later.again_in_s) == (ExitCode.TERMINATED, 0.0)
    assert [end.code for end in observer.ends] == [ExitCode.TERMINATED] * 2
    assert len(emulator.attachments()) < fleet.items[fleet.labels[0]]


@pytest.mark.parametrize("attempt", [1, 3])
async def test_another_manifest_is_refused_and_given_out_again_twice(
    fleet: Fleet, emulator: EmulatorProcess, attempt: int
) -> None:
    task = task_of(fleet, fleet.labels[0])
    fleet.path.write_text(fleet.path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    async with host_of(fleet) as host:
        report = await run_lane(host, task, attempt=attempt)

    assert report.code == ExitCode.INVALID
    assert f"the worker {host.name} refuses it: `fleet.yaml` is not the file that the run began with" in report.reason
    assert (report.again_in_s is None) == (attempt == 3)
    assert emulator.attachments() == []


async def test_another_file_of_targets_is_refused(fleet: Fleet, emulator: EmulatorProcess) -> None:
    text = fleet.path.read_text(encoding="utf-8")
    begin, end = text.index("    - {name"), text.index("defaults:\n  tags")
    (fleet.folder / "accounts.yaml").write_text(text[begin:end], encoding="utf-8")
    fleet.path.write_text(text[:begin].replace("  list:\n", "  from: accounts.yaml\n") + text[end:], encoding="utf-8")
    task = task_of(fleet, fleet.labels[0])
    (fleet.folder / "accounts.yaml").write_text(text[begin:end] + "# changed\n", encoding="utf-8")

    async with host_of(fleet) as host:
        report = await run_lane(host, task)

    assert "`accounts.yaml` is not the file" in report.reason
    assert emulator.attachments() == []


async def test_a_program_with_other_tables_is_refused(fleet: Fleet, emulator: EmulatorProcess) -> None:
    task = replace(task_of(fleet, fleet.labels[0]), schema=99)

    async with host_of(fleet) as host:
        report = await run_lane(host, task)

    assert report.code == ExitCode.LEDGER
    assert "a program whose ledger is of version 99" in report.reason
    assert emulator.attachments() == []


async def test_a_missing_document_is_named(fleet: Fleet, emulator: EmulatorProcess) -> None:
    task = task_of(fleet, fleet.labels[0])
    (fleet.folder / "t000" / "all-0.pdf").unlink()

    async with host_of(fleet) as host:
        report = await run_lane(host, task)

    assert report.code == ExitCode.INVALID
    assert "`t000/all-0.pdf` does not exist" in report.reason
    assert emulator.attachments() == []


async def test_a_worker_goes_on_without_what_is_invalid_if_the_run_does(
    fleet: Fleet, emulator: EmulatorProcess
) -> None:
    broken = "  - {file: t000/gone.pdf, target: all, tgas: {}}\n"
    fleet.path.write_text(fleet.path.read_text() + broken)
    (fleet.folder / "t000" / "all-0.pdf").unlink()
    task = task_of(fleet, fleet.labels[0], RunOptions(rate=1_000.0, skip_invalid=True))

    async with host_of(fleet) as host:
        report = await run_lane(host, task)
        refused = await run_lane(host, replace(task, options=options_json(RunOptions(rate=1_000.0))))

    assert (report.code, refused.code) == (ExitCode.ITEMS_FAILED, ExitCode.INVALID)
    assert report.summary is not None
    assert report.summary["states"] == {"complete": 2, "invalid": 2}
    assert len(emulator.attachments()) == 2


async def test_a_worker_without_the_files_of_a_glob_refuses_the_lane(fleet: Fleet, emulator: EmulatorProcess) -> None:
    (fleet.folder / "more").mkdir()
    (fleet.folder / "more" / "a.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    fleet.path.write_text(fleet.path.read_text() + '  - {glob: "more/*.pdf", target: all}\n')
    task = task_of(fleet, fleet.labels[0])
    (fleet.folder / "more" / "a.pdf").unlink()

    async with host_of(fleet) as host:
        report = await run_lane(host, task)

    assert report.code == ExitCode.INVALID
    assert "matches no file" in report.reason
    assert emulator.attachments() == []
