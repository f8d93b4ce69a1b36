"""`fleet upload --dask`: a real scheduler and real workers on loopback, killed; each item is at the service once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.support.command import Running, run, started
from tests.support.emulated_lanes import assert_each_token_once
from tests.support.emulator_process import ROOT, EmulatorProcess, running_emulator
from tests.support.fleets import Fleet, assert_each_once_in_each_lane, make_fleet
from tests.support.postgres import PostgresServer

LIMIT_S = 120.0
LANES = 4
DASK = Path(sys.executable).with_name("dask")
CALLER = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
QUICK = {
    "DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
}


@dataclass
class Cluster:
    """A scheduler on loopback with workers, over an emulator, a database, and a manifest with four lanes."""

    emulator: EmulatorProcess
    server: PostgresServer
    database: str
    fleet: Fleet
    stack: ExitStack
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    address: str = ""
    scheduler: "subprocess.Popen[bytes] | None" = None

    @property
    def ledger(self) -> str:
        return self.server.url(self.database)

    @property
    def env(self) -> dict[str, str]:
        return {**CALLER, **QUICK, "AWS_ENDPOINT_URL": self.emulator.url, "PYTHONPATH": str(ROOT)}

    def start(self, *, workers: int) -> None:
        """Start a scheduler and its workers, and wait until all of them are there."""
        file = self.fleet.folder / "scheduler.json"
        self.scheduler = self._started("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", file=file)
        _until(file.exists)
        _until(lambda: file.read_text().strip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            self.add_worker()

    def add_worker(self, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a worker, and wait until it says that it is registered. `env` is laid over its environment."""
        flags = ("--host", "127.0.0.1", "--nthreads", "8", "--no-nanny", "--no-dashboard")
        log = self.fleet.folder / f"worker-{len(self.workers)}.log"
        worker = self._started("worker", *flags, file=self.fleet.folder / "scheduler.json", log=log, env=env)
        self.workers.append(worker)
        _until(lambda: "Registered to" in log.read_text())
        return worker

    def _started(
        self, *arguments: str, file: Path, log: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        command: list[str | Path] = [DASK, *arguments, "--scheduler-file", file]
        out = self.stack.enter_context((log or self.fleet.folder / "scheduler.log").open("wb"))
        environment = {**os.environ, **self.env, **(env or {})}
        process = subprocess.Popen(
            command, cwd=self.fleet.folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        self.stack.callback(_killed, process)
        return process

    @contextmanager
    def uploading(self, *flags: str) -> Iterator[Running]:
        """Start `fleet upload` on the cluster."""
        ours = ("--json", "--dask", self.address, "--ledger", self.ledger)
        with started("fleet", "upload", self.fleet.path, *ours, *flags, cwd=self.fleet.folder, env=self.env) as running:
            yield running

    def until_there_are(self, attachments: int) -> None:
        _until(lambda: len(self.emulator.attachments()) >= attachments)

    def assert_all_done(self) -> None:
        held = self.emulator.attachments()
        assert_each_once_in_each_lane(held, self.fleet, self.fleet.labels)
        assert_each_token_once(held)


def _killed(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _until(is_so: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    end = monotonic() + LIMIT_S
    while not is_so():
        if monotonic() > end:
            raise TimeoutError
        sleep(0.05)


@pytest.fixture
def cluster(postgres: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    database = request.node.name[:60]
    postgres.new_database(database)
    fleet = make_fleet(tmp_path, accounts=2, items=6)
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator, ExitStack() as stack:
        yield Cluster(emulator, postgres, database, fleet, stack)


def test_four_lanes_on_two_dask_workers(cluster: Cluster) -> None:
    cluster.start(workers=2)

    with cluster.uploading("--rate", "100") as coordinator:
        ended = coordinator.finish()

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert (ended.summary["uploaded"], len(ended.of("item"))) == (24, 24)
    assert {lane["exit"]["name"] for lane in ended.summary["lanes"]} == {"done"}
    cluster.assert_all_done()


def test_the_lanes_of_a_killed_dask_worker_are_finished_by_another(cluster: Cluster) -> None:
    cluster.start(workers=2)

    with cluster.uploading("--rate", "3", "--fixed-rate") as coordinator:
        cluster.until_there_are(6)
        cluster.workers[0].send_signal(signal.SIGKILL)
        ended = coordinator.finish(timeout_s=2 * LIMIT_S)

    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    assert ended.summary["uploaded"] == 24
    cluster.assert_all_done()


def test_a_dask_worker_that_is_told_to_stop_drains_its_lanes(cluster: Cluster) -> None:
    cluster.start(workers=1)

    with cluster.uploading("--rate", "3", "--fixed-rate") as coordinator:
        cluster.until_there_are(6)
        cluster.workers[0].send_signal(signal.SIGTERM)
        cluster.workers[0].wait(timeout=LIMIT_S)
        cluster.add_worker()
        ended = coordinator.finish()

    drained = cluster.server.execute("SELECT count(*) FROM run WHERE exit_code = 143", cluster.database)
    assert drained == [(LANES,)]
    assert (ended.code, ended.states) == (0, {"complete": 24}), ended.stderr
    cluster.assert_all_done()


def test_two_commands_at_once_upload_each_item_once(cluster: Cluster) -> None:
    cluster.start(workers=2)

    with cluster.uploading("--rate", "100") as one, cluster.uploading("--rate", "100") as other:
        ends = [one.finish(timeout_s=2 * LIMIT_S), other.finish(timeout_s=2 * LIMIT_S)]

    assert [(ended.code, ended.states) for ended in ends] == [(0, {"complete": 24})] * 2, ends
    assert sum(ended.summary["uploaded"] for ended in ends) == 24
    cluster.assert_all_done()


def test_a_lost_scheduler_ends_the_run_with_10_and_the_same_command_goes_on(cluster: Cluster) -> None:
    cluster.start(workers=2)

    with cluster.uploading("--rate", "3", "--fixed-rate") as coordinator:
        cluster.until_there_are(6)
        assert cluster.scheduler is not None
        cluster.scheduler.send_signal(signal.SIGKILL)
        lost = coordinator.finish()
    (cluster.fleet.folder / "scheduler.json").unlink()
    cluster.start(workers=2)
    with cluster.uploading("--rate", "100") as coordinator:
        again = coordinator.finish()

    assert (lost.code, lost.summary["exit"]["name"]) == (10, "transient"), lost.stderr
    assert sum(lost.states.values()) == 24
    assert "Traceback" not in lost.stderr
    assert "the Dask scheduler is gone" in lost.summary["lanes"][0]["exit"]["reason"]
    assert (again.code, again.states) == (0, {"complete": 24}), again.stderr
    cluster.assert_all_done()


def test_a_scheduler_that_does_not_answer_is_a_sentence(cluster: Cluster) -> None:
    command = ("fleet", "upload", cluster.fleet.path, "--ledger", cluster.ledger, "--dask")

    closed = run(*command, "tcp://127.0.0.1:1", cwd=cluster.fleet.folder, env=cluster.env)
    wrong = run(*command, "nothing", cwd=cluster.fleet.folder, env=cluster.env)
    unfollowed = run(*command, "tcp://127.0.0.1:1", "--no-wait", cwd=cluster.fleet.folder, env=cluster.env)

    assert (closed.code, wrong.code, unfollowed.code) == (10, 2, 2)
    assert "the Dask scheduler at `tcp://127.0.0.1:1` does not answer" in closed.stderr
    assert "Traceback" not in closed.stderr + wrong.stderr
    assert "leave `--no-wait` out" in unfollowed.stderr
    assert cluster.emulator.attachments() == []


def test_a_dask_worker_that_cannot_use_the_ledger_ends_its_lanes_with_a_sentence(cluster: Cluster) -> None:
    cluster.start(workers=0)
    cluster.add_worker({"PGOPTIONS": "-c default_transaction_read_only=on"})

    with cluster.uploading() as coordinator:
        ended = coordinator.finish()

    assert ended.code == 24, ended.stderr
    reasons = {lane["exit"]["reason"] for lane in ended.summary["lanes"]}
    assert len(ended.summary["lanes"]) == LANES
    assert all(each.startswith("the Dask worker tcp://127.0.0.1:") for each in reasons), reasons
    assert cluster.emulator.attachments() == []
