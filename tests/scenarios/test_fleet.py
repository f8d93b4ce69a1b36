"""`fleet`: real workers over a real PostgreSQL, killed, stopped and deceived; each item is at the service once."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.support.batches import pdf
from tests.support.command import Result, Running, started
from tests.support.emulated_lanes import assert_each_token_once, creates_by_lane
from tests.support.emulator_process import ROOT, EmulatorProcess, running_emulator
from tests.support.fleets import Fleet, assert_each_once_in_each_lane, make_fleet
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.preloaded import Preloaded, preloaded

CALLER = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
SOON = ("--dead-after", "3s")
"""A worker counts as dead 3 s after its last heartbeat."""
LEASE_S = 30.0
"""Of a lane, as the ledger gives it."""
LIMIT_S = 45.0
EMULATED: Mapping[str, Any] = {"rates": {"*": None}, "processing_s": 0}


@dataclass(frozen=True)
class Ground:
    """An emulator, a database, and a manifest with lanes."""

    command: Preloaded
    emulator: EmulatorProcess
    server: PostgresServer
    database: str
    fleet: Fleet
    role: str = "postgres"

    @property
    def env(self) -> dict[str, str]:
        url = self.server.url(self.database, self.role)
        return {**CALLER, "AWS_ENDPOINT_URL": self.emulator.url, "BATCH_UPLOAD_LEDGER": url}

    @contextmanager
    def worker(self, *flags: str) -> Iterator[Running]:
        """Start a worker, and wait until it is registered."""
        before = self.rows("SELECT coalesce(max(worker_id), 0) FROM fleet_worker") if self.has_tables() else [(0,)]
        words = "fleet", "worker", "--json", *SOON, *flags
        with self.command.started(*words, cwd=self.fleet.folder, env=self.env) as running:
            self.until(
                lambda: self.has_tables() and self.rows("SELECT coalesce(max(worker_id), 0) FROM fleet_worker") > before
            )
            yield running

    def upload(self, *flags: str | Path) -> Result:
        return self.run("upload", self.fleet.path, "--rate", "100", *SOON, *flags)

    def run(self, verb: str, *words: str | Path) -> Result:
        """Run a verb of `fleet` to its end."""
        return self.command.run("fleet", verb, *words, "--json", cwd=self.fleet.folder, env=self.env)

    @contextmanager
    def uploading(self, *flags: str) -> Iterator[Running]:
        path, folder = self.fleet.path, self.fleet.folder
        words = *SOON, *flags
        with self.command.started("fleet", "upload", path, "--json", *words, cwd=folder, env=self.env) as running:
            yield running

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.execute(statement, self.database)

    def let_leases_lapse(self) -> None:
        """Let the leases lapse, which takes 30 s otherwise: all but those of lanes that a process is writing to.

        If that process was stopped, its row is locked until another process wants the lane.
        """
        self.rows(
            "UPDATE lane SET lease_until = clock_timestamp()"
            " WHERE lane_id IN (SELECT lane_id FROM lane FOR UPDATE SKIP LOCKED)"
        )

    def has_tables(self) -> bool:
        return self.rows("SELECT to_regclass('fleet_schedule')") != [(None,)]

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what another process brings about."""
        end = monotonic() + LIMIT_S
        while not is_so():
            if monotonic() > end:
                raise TimeoutError(str(self.rows("SELECT id, status, attempts, worker_id FROM procrastinate_jobs")))
            sleep(0.05)

    def until_all_succeeded(self) -> None:
        """Wait until no job of four lanes is left."""
        self.until(lambda: self.rows("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'") == [(4,)])

    def assert_all_done(self) -> None:
        held = self.emulator.attachments()
        assert_each_once_in_each_lane(held, self.fleet, self.fleet.labels)
        assert_each_token_once(held)


@pytest.fixture(scope="module")
def fleet_command() -> Iterator[Preloaded]:
    """The command with what a fleet needs imported already."""
    with preloaded("batch_upload.fleet.upload", "batch_upload.fleet.worker", "batch_upload.ledger.postgres") as running:
        yield running


@pytest.fixture
def ground(
    fleet_command: Preloaded, postgres: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Ground]:
    database = request.node.name[:60]
    postgres.new_database(database)
    fleet = make_fleet(tmp_path, accounts=2, items=6)
    with running_emulator(EMULATED) as emulator:
        yield Ground(fleet_command, emulator, postgres, database, fleet)


def test_four_lanes_on_two_workers(ground: Ground) -> None:
    with ground.worker() as one, ground.worker() as other:
        ended = ground.upload()
        for worker in (one, other):
            worker.signal(signal.SIGTERM)
        codes = {one.finish().code, other.finish().code}

    assert (ended.code, ended.summary["uploaded"], ended.summary["items"]) == (0, 24, 24), ended.stderr
    assert ended.states == {"complete": 24}
    assert {lane["target"]: lane["exit"]["name"] for lane in ended.summary["lanes"]} == dict.fromkeys(
        ground.fleet.labels, "done"
    )
    assert len(ended.of("item")) == 24
    assert codes == {143}
    ground.assert_all_done()


def test_lanes_go_on_without_what_is_invalid_and_send_it_once_it_is_mended(ground: Ground) -> None:
    broken, folder = ground.fleet.folder / "t000" / "broken.pdf", ground.fleet.folder
    broken.write_bytes(b"<!DOCTYPE html><title>log in</title>")
    with ground.fleet.path.open("a") as manifest:
        manifest.write("  - {file: t000/broken.pdf, target: t000}\n  - {file: t000/none.pdf, target: t001/us-east-1}\n")

    refused = ground.upload()
    with ground.worker() as worker:
        first = ground.upload("--skip-invalid")
        again = ground.upload("--skip-invalid")
        status = ground.command.run("status", ground.fleet.path, "--json", cwd=folder, env=ground.env)
        broken.write_bytes(pdf("mended"))
        second = ground.upload("--skip-invalid")
        worker.signal(signal.SIGTERM)
        worker.finish()

    assert refused.code == 21
    assert (first.code, first.states, first.summary["uploaded"]) == (20, {"complete": 24, "invalid": 3}, 24), (
        first.stderr
    )
    assert first.summary["items"] == 27
    assert {line["id"] for line in first.of("item") if line["state"] == "invalid"} == {
        "t000/broken.pdf",
        "t000/none.pdf",
    }
    assert {lane["target"]: lane["exit"]["code"] for lane in first.summary["lanes"]} == {
        label: 0 if label == "t001/us-west-2" else 20 for label in ground.fleet.labels
    }
    assert (again.code, again.states, again.summary["uploaded"]) == (20, {"complete": 24, "invalid": 3}, 0)
    assert status.states["complete"] == 24
    assert (second.code, second.states, second.summary["uploaded"]) == (20, {"complete": 26, "invalid": 1}, 2)
    assert_each_token_once(ground.emulator.attachments())


def test_a_lane_with_nothing_but_invalid_items_is_reported_and_the_commands_advised_do_the_same(ground: Ground) -> None:
    text = ground.fleet.path.read_text()
    head, name, rest = text.partition("    - {name: t000")
    alone = '    - {name: alone, account: "999988887777", regions: [us-east-1]}\n'
    ground.fleet.path.write_text(f"{head}{alone}{name}{rest}  - {{file: t000/none.pdf, target: alone}}\n")

    with ground.worker() as worker:
        ended = ground.upload("--skip-invalid")
        worker.signal(signal.SIGTERM)
        worker.finish()

    assert (ended.code, ended.states) == (20, {"complete": 24, "invalid": 1}), ended.stderr
    (lane,) = (lane for lane in ended.summary["lanes"] if lane["target"] == "alone/us-east-1")
    assert (lane["states"], lane["exit"]["code"]) == ({"invalid": 1}, 20)
    upload = next(line for line in ended.stderr.splitlines() if line.startswith("  batch-upload fleet upload "))
    assert "--skip-invalid" in upload


def test_the_lanes_of_a_killed_worker_are_finished_by_another(ground: Ground) -> None:
    with ground.worker() as victim, ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
        ground.until(lambda: len(ground.emulator.attachments()) >= 6)
        victim.signal(signal.SIGKILL)
        ground.let_leases_lapse()
        with ground.worker() as other:
            ended = coordinator.finish()
            other.signal(signal.SIGTERM)
            other.finish()

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert ended.summary["uploaded"] + ended.summary["adopted"] == 24
    ground.assert_all_done()
    assert ground.rows("SELECT DISTINCT status::text FROM procrastinate_jobs") == [("succeeded",)]


def test_a_worker_that_is_told_to_stop_drains_and_the_other_takes_over(ground: Ground) -> None:
    with ground.worker() as first, ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
        ground.until(lambda: len(ground.emulator.attachments()) >= 6)
        began = monotonic()
        first.signal(signal.SIGTERM)
        drained = first.finish()
        drain_s = monotonic() - began
        with ground.worker() as other:
            ended = coordinator.finish()
            other.signal(signal.SIGTERM)
            other.finish()

    assert drained.code == 143
    assert drain_s < 12
    assert {line["name"] for line in drained.of("lane_ended")} == {"terminated"}
    assert (ended.code, ended.states, ended.summary["uploaded"]) == (0, {"complete": 24}, 24), ended.stderr
    ground.assert_all_done()


def test_a_worker_refuses_a_manifest_that_is_not_the_one_of_the_run(ground: Ground) -> None:
    queued = ground.upload("--no-wait")
    ground.fleet.path.write_text(ground.fleet.path.read_text() + "# changed\n", encoding="utf-8")
    with ground.worker():
        ground.until_all_succeeded()
        status = ground.run("status", ground.fleet.path)

    assert queued.code == 0
    assert {lane["name"] for lane in status.of("fleet_lane")} == {"invalid"}
    assert all("`fleet.yaml` is not the file" in lane["reason"] for lane in status.of("fleet_lane"))
    assert ground.emulator.attachments() == []


def test_a_worker_without_the_documents_says_which_it_lacks(ground: Ground) -> None:
    queued = ground.upload("--no-wait")
    source = next(iter((ground.fleet.folder / "t000").iterdir()))
    source.unlink()
    with ground.worker():
        ground.until_all_succeeded()
        status = ground.run("status", ground.fleet.path)

    assert queued.code == 0
    reasons = [lane["reason"] for lane in status.of("fleet_lane") if lane["name"] == "invalid"]
    assert reasons
    assert all(f"`t000/{source.name}` does not exist" in each for each in reasons)


def test_two_coordinators_at_once_do_each_lane_once(ground: Ground) -> None:
    slowly = "--rate", "5", "--fixed-rate"
    with ground.worker(), ground.uploading(*slowly) as one, ground.uploading(*slowly) as other:
        ends = [one.finish(), other.finish()]
    shown = ground.run("status", ground.fleet.path)

    names = [{lane["target"]: lane["exit"]["name"] for lane in each.summary["lanes"]} for each in ends]
    for label in ground.fleet.labels:
        assert sorted(each[label] for each in names) == ["done", "locked"], names
    assert [lane["name"] for lane in shown.of("fleet_lane")] == ["done"] * 4  # not the jobs that were cancelled
    ground.assert_all_done()


def test_lanes_are_queued_without_waiting_and_followed_by_status(ground: Ground) -> None:
    queued = ground.upload("--no-wait")
    waiting = ground.run("status", ground.fleet.path)
    with ground.worker():
        ground.until_all_succeeded()
        done = ground.run("status", ground.fleet.path)

    assert (queued.code, queued.states) == (0, {"pending": 24})
    assert queued.summary["exit"]["reason"] == "the lanes are queued"
    assert waiting.of("fleet_worker") == []
    assert {(lane["job"], lane["worker"]) for lane in waiting.of("fleet_lane")} == {("todo", None)}
    assert [worker["alive"] for worker in done.of("fleet_worker")] == [True]
    assert {lane["name"] for lane in done.of("fleet_lane")} == {"done"}
    assert done.states == {"complete": 24}
    ground.assert_all_done()


def test_a_coordinator_that_is_stopped_leaves_the_lanes_in_the_queue_and_says_so(ground: Ground) -> None:
    with ground.worker(), ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
        ground.until(lambda: len(ground.emulator.attachments()) >= 6)
        coordinator.signal(signal.SIGINT)
        stopped = coordinator.finish()
        ground.until_all_succeeded()

    assert stopped.code == 130
    assert "go on in the queue" in stopped.summary["exit"]["reason"]
    assert f"batch-upload fleet upload {ground.fleet.path}" in stopped.stderr
    ground.assert_all_done()


def test_a_worker_that_slept_beyond_its_lease_changes_nothing_that_another_has_done(ground: Ground) -> None:
    with ground.worker() as sleeper, ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
        ground.until(lambda: len(ground.emulator.attachments()) >= 6)
        sleeper.signal(signal.SIGSTOP)
        ground.let_leases_lapse()
        with ground.worker() as other:
            ground.until(lambda: ground.rows("SELECT count(*) FROM lane WHERE fence > 1") == [(4,)])
            sleeper.signal(signal.SIGCONT)
            ended = coordinator.finish()
            other.signal(signal.SIGTERM)
            other.finish()
        sleeper.signal(signal.SIGTERM)
        lost = {line["name"] for line in sleeper.finish().of("lane_ended")}

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert lost == {"locked"}
    assert ground.rows("SELECT DISTINCT status::text FROM procrastinate_jobs") == [("succeeded",)]
    ground.assert_all_done()


def test_a_database_that_crashes_and_comes_back_ends_neither_workers_nor_the_run(
    fleet_command: Preloaded, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path / "fleet", accounts=2, items=6)
    with running_postgres() as server, running_emulator(EMULATED) as emulator:
        server.new_database("fleet")
        ground = Ground(fleet_command, emulator, server, "fleet", fleet)
        with ground.worker() as worker, ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
            ground.until(lambda: len(emulator.attachments()) >= 6)
            server.crash()
            server.start()
            ended = coordinator.finish()
            worker.signal(signal.SIGTERM)
            code = worker.finish().code
        attempts = ground.rows("SELECT max(attempts) FROM procrastinate_jobs")

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert code == 143
    assert attempts == [(1,)]


def test_the_ledger_is_right_where_the_queue_is_wrong(ground: Ground) -> None:
    """A worker that slept may mark a job as failed that another one runs: procrastinate asks for no worker's id."""
    with ground.worker(), ground.uploading("--rate", "3", "--fixed-rate") as coordinator:
        ground.until(lambda: len(ground.emulator.attachments()) >= 6)
        ground.rows("UPDATE procrastinate_jobs SET status = 'failed' WHERE status = 'doing'")
        ended = coordinator.finish()

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    ground.assert_all_done()


def test_a_schedule_is_kept_listed_carried_out_and_removed(ground: Ground) -> None:
    kept = ground.run("schedule", ground.fleet.path, "0 3 * * *", "--rate", "100")
    ground.rows("UPDATE fleet_schedule SET next_at = now()")
    with ground.worker():
        ground.until_all_succeeded()
        listed = ground.run("schedule")
    removed = ground.run("schedule", ground.fleet.path, "--remove")
    wrong = ground.run("schedule", ground.fleet.path, "at noon")

    assert [line["cron"] for line in kept.of("schedule")] == ["0 3 * * *"]
    assert [line["last_run"].endswith("the lanes are queued") for line in listed.of("schedule")] == [True]
    assert (removed.code, removed.of("schedule")) == (0, [])
    assert wrong.code == 2
    ground.assert_all_done()


def test_a_ledger_in_a_file_is_no_ledger_for_a_fleet(ground: Ground) -> None:
    ended = ground.run("upload", ground.fleet.path, "--ledger", "x.ledger")

    assert ended.code == 2
    assert "a fleet needs a ledger that all machines reach" in ended.stderr


def test_a_worker_with_the_least_rights_works_and_one_without_tables_says_who_makes_them(ground: Ground) -> None:
    def apply_roles() -> None:
        ground.rows((ROOT / "deploy" / "postgres" / "roles.sql").read_text(encoding="utf-8"))

    apply_roles()
    worker = replace(ground, role="batch_upload_worker")
    owner_url = ground.server.url(ground.database, "batch_upload_owner")
    ground.command.run("ledger", "migrate", owner_url, cwd=ground.fleet.folder)
    apply_roles()
    with worker.worker():
        ended = worker.upload()
    reader = replace(ground, role="batch_upload_reader")
    read = reader.run("status", reader.fleet.path), reader.run("schedule")
    ground.rows("DROP TABLE fleet_schedule")
    refused = worker.run("status", worker.fleet.path)

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert [each.code for each in read] == [0, 0], [each.stderr for each in read]
    assert [lane["name"] for lane in read[0].of("fleet_lane")] == ["done"] * 4
    assert refused.code == 24
    assert "`batch-upload ledger migrate URL` makes them" in refused.stderr


def test_a_database_that_is_not_there_is_named_with_what_to_do(ground: Ground) -> None:
    wrong = replace(ground, database="misspelt")
    worker, listed = wrong.run("worker"), wrong.run("schedule")

    assert [worker.code, listed.code] == [24, 24]
    for each in worker, listed:
        assert 'its server has no such database (database "misspelt" does not exist)' in each.stderr
        assert "make it with `createdb`, or correct the URL" in each.stderr
    assert "waiting for lanes" not in worker.stderr


@pytest.mark.soak
def test_twenty_lanes_of_forty_items_pause_no_longer_than_a_lease_after_a_kill(
    fleet_command: Preloaded, postgres: PostgresServer, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=10, items=40)
    postgres.new_database("twenty_lanes")
    with running_emulator({**EMULATED, "attachments_per_account": None}) as emulator:
        ground = Ground(fleet_command, emulator, postgres, "twenty_lanes", fleet)
        words = "fleet", "upload", fleet.path, "--rate", "2", "--fixed-rate", "--json", "--yes"
        worker = "fleet", "worker", "--lanes", "20"
        with (
            started(*worker, cwd=tmp_path, env=ground.env) as victim,
            started(*worker, cwd=tmp_path, env=ground.env),
            started(*words, cwd=tmp_path, env=ground.env) as coordinator,
        ):
            ground.until(lambda: len(emulator.attachments()) >= 160)
            victim.signal(signal.SIGKILL)
            ended = coordinator.finish(timeout_s=240)
            taken_over = ground.rows("SELECT count(*) FROM lane WHERE fence > 1")[0][0]
        creates, held = creates_by_lane(emulator.entries()), emulator.attachments()

    pauses = {lane: max(later - earlier for earlier, later in pairwise(times)) for lane, times in creates.items()}
    sys.stderr.write(f"{taken_over} lanes taken over, longest pause {max(pauses.values()):.1f} s\n")
    assert (ended.code, ended.states) == (0, {"complete": 800}), ended.stderr
    assert_each_once_in_each_lane(held, fleet, fleet.labels)
    assert taken_over > 0
    assert max(pauses.values()) <= LEASE_S + 10


@pytest.mark.soak
def test_the_demo_ends_well() -> None:
    demo = [sys.executable, str(ROOT / "manifests" / "demo_fleet.py")]
    ended = subprocess.run(demo, capture_output=True, text=True, timeout=150, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "160 items are there, 0 of them twice" in ended.stdout


def test_a_time_with_seconds_is_refused_and_a_schedule_outlives_no_manifest(ground: Ground) -> None:
    often = ground.run("schedule", ground.fleet.path, "* * * * * *")
    ground.run("schedule", ground.fleet.path, "0 3 * * *")
    ground.fleet.path.unlink()

    removed = ground.run("schedule", ground.fleet.path, "--remove")

    assert (often.code, "it has not five columns" in often.stderr) == (2, True), often.stderr
    assert (removed.code, ground.rows("SELECT count(*) FROM fleet_schedule")) == (0, [(0,)]), removed.stderr


def test_runs_that_find_their_lanes_queued_leave_no_jobs_behind(ground: Ground) -> None:
    """A crontab may start one each minute, while no worker is there or a run takes days."""
    codes = [ground.upload("--no-wait").code for _ in range(3)]

    assert codes == [0, 11, 11]
    assert ground.rows("SELECT count(*) FROM procrastinate_jobs") == [(4,)]
