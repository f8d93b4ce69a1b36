"""Runs of the installed command on one lane of a PostgreSQL ledger: one works, others refuse, wait, or take it over."""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_upload.operations import CREATE
from tests.support.batches import Batch, assert_each_once, make_batch
from tests.support.command import Result, Running
from tests.support.controllers import lane_rows, lapse
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

ITEMS = 30
RATE = ("--rate", "5", "--fixed-rate")


@dataclass(frozen=True, slots=True)
class Scene:
    """A batch, the database of its ledger, and the command."""

    command: Preloaded
    endpoint: Endpoint
    server: PostgresServer
    batch: Batch
    url: str

    @property
    def env(self) -> dict[str, str]:
        return {**self.endpoint.env, "BATCH_UPLOAD_LEDGER": self.url}

    def upload(self, *arguments: str) -> Result:
        folder = self.batch.folder
        return self.command.run("upload", self.batch.manifest, "--json", *arguments, cwd=folder, env=self.env)

    def lease_of(self) -> tuple[object, ...]:
        (row,) = lane_rows(self.server, self.url, "fence, run_id, lease_until IS NOT NULL")
        return row


@pytest.fixture
def scene(
    command: Preloaded, endpoint: Endpoint, postgres: PostgresServer, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Scene]:
    name = request.node.name[-60:]
    yield Scene(command, endpoint, postgres, make_batch(tmp_path, ITEMS), postgres.new_database(name))
    postgres.drop_database(name)


def begun(running: Running) -> None:
    """Return once it has created three items."""
    for _ in range(3):
        running.until("item")


def test_a_second_run_on_the_lane_ends_with_11_and_says_whose_it_is(scene: Scene) -> None:
    with scene.command.started(
        "upload", scene.batch.manifest, "--json", *RATE, cwd=scene.batch.folder, env=scene.env
    ) as running:
        begun(running)
        creates = scene.endpoint.stats().creates

        second = scene.upload()

        running.signal(signal.SIGTERM)
        first = running.finish()

    assert second.code == 11, second.stderr
    assert re.search(r"another run holds lane \d{12}/us-east-1 of `postgresql://", second.stderr)
    assert f"run {first.summary['run_id']}, process {running.process.pid}" in second.stderr
    assert second.summary["requests"].get(CREATE, 0) == 0
    assert first.code == 143
    assert creates <= scene.endpoint.stats().creates
    assert scene.lease_of() == (1, first.summary["run_id"], False), "the lane was given back at the end"


def test_a_second_run_that_waits_gets_the_lane_when_the_first_has_ended(scene: Scene) -> None:
    with scene.command.started(
        "upload", scene.batch.manifest, "--json", *RATE, cwd=scene.batch.folder, env=scene.env
    ) as running:
        begun(running)
        running.signal(signal.SIGTERM)

        second = scene.upload("--wait-lock", "1m", "--rate", "100")

    assert second.code == 0, second.stderr
    assert second.states == {"complete": ITEMS}
    assert_each_once(scene.endpoint, scene.batch)


def test_a_run_that_was_stopped_beyond_its_lease_sends_nothing_after_its_first_write_is_refused(scene: Scene) -> None:
    with scene.command.started(
        "upload", scene.batch.manifest, "--json", *RATE, cwd=scene.batch.folder, env=scene.env
    ) as running:
        begun(running)
        running.signal(signal.SIGSTOP)
        lapse(scene.server, scene.url)

        second = scene.upload("--rate", "100")
        creates = scene.endpoint.stats().creates
        running.signal(signal.SIGCONT)
        first = running.finish()

    assert second.code == 0, second.stderr
    assert second.states == {"complete": ITEMS}
    assert first.code == 11, first.stderr
    assert re.search(r"another run has taken over lane \d{12}/us-east-1", first.stderr)
    assert first.summary["exit"]["retryable"] is True
    assert scene.endpoint.stats().creates <= creates + 1
    assert_each_once(scene.endpoint, scene.batch)
    assert scene.lease_of() == (2, second.summary["run_id"], False)


def test_a_killed_run_is_gone_on_with_once_its_lease_has_lapsed(scene: Scene) -> None:
    with scene.command.started(
        "upload", scene.batch.manifest, "--json", *RATE, cwd=scene.batch.folder, env=scene.env
    ) as running:
        begun(running)
        running.process.kill()
    assert scene.upload().code == 11
    lapse(scene.server, scene.url)

    second = scene.upload("--rate", "100")

    assert second.code == 0, second.stderr
    assert second.states == {"complete": ITEMS}
    assert_each_once(scene.endpoint, scene.batch)
