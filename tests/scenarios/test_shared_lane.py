"""Runs of the installed command on one lane of a PostgreSQL ledger: one works, others refuse, wait, or take it over."""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_upload.operations import CREATE, TAG
from tests.support.batches import TAGS, Batch, assert_adds_up, assert_each_once, jpeg, make_batch, pdf, write_batch
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


@pytest.fixture
def waiting(scene: Scene) -> Iterator[tuple[Running, Running]]:
    """A run that holds the lane and whose first create is not answered, and another one that waits for the lane."""
    scene.endpoint.faults({"action": "hang", "operation": CREATE})
    words = ("upload", scene.batch.manifest, "--json")
    with scene.command.started(*words, cwd=scene.batch.folder, env=scene.env) as first:
        scene.endpoint.wait_for(CREATE)
        with scene.command.started(
            *words, "--wait-lock", "1m", "--rate", "100", cwd=scene.batch.folder, env=scene.env
        ) as second:
            assert "waiting for it to end" in second.until("notice")["message"]
            yield first, second


def give_lane(scene: Scene, first: Running) -> None:
    """Kill the run that holds the lane, and let its lease lapse; the service answers again."""
    scene.endpoint.faults()
    first.process.kill()
    first.process.wait()
    lapse(scene.server, scene.url)


def test_a_run_that_waited_for_its_lane_does_what_the_manifest_says_by_then(
    scene: Scene, waiting: tuple[Running, Running]
) -> None:
    first, second = waiting
    kept = dict(list(scene.batch.documents.items())[:3])
    changed, new = list(kept)[2], "files/new.pdf"

    edited = write_batch(scene.batch.folder, {**kept, changed: jpeg("changed meanwhile"), new: pdf("new")})
    give_lane(scene, first)
    ended = second.finish()

    assert ended.code == 0, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 4}
    assert_each_once(scene.endpoint, edited)


def test_a_run_that_waited_for_its_lane_does_not_put_back_old_tags(scene: Scene) -> None:
    batch = write_batch(scene.batch.folder, {"files/a.pdf": pdf("a")})
    assert scene.upload().code == 0
    scene.endpoint.faults({"action": "hang", "operation": TAG})
    words = ("upload", batch.manifest, "--json", "--rate", "100")

    def tag(customer: str) -> None:
        write_batch(batch.folder, batch.documents)
        text = batch.path.read_text(encoding="utf-8").replace(TAGS["Customer"], customer)
        batch.path.write_text(text.replace(f"batch: {customer}", f"batch: {TAGS['Customer']}"), encoding="utf-8")

    tag("second")
    with scene.command.started(*words, cwd=batch.folder, env=scene.env) as first:
        scene.endpoint.wait_for(TAG)
        with scene.command.started(*words, "--wait-lock", "1m", cwd=batch.folder, env=scene.env) as second:
            second.until("notice")
            tag("third")
            give_lane(scene, first)
            ended = second.finish()

    assert ended.code == 0, ended.stderr
    assert [each["tags"]["Customer"] for each in scene.endpoint.attachments()] == ["third"]
    assert scene.upload().summary["unchanged"] == 1


def test_a_manifest_that_became_invalid_while_the_lane_was_waited_for_is_21(
    scene: Scene, waiting: tuple[Running, Running]
) -> None:
    first, second = waiting
    text = scene.batch.path.read_text(encoding="utf-8")

    scene.batch.path.write_text(f"{text}  - file: files/none.pdf\n", encoding="utf-8")
    asked = scene.endpoint.stats().requests.total()
    give_lane(scene, first)
    ended = second.finish()

    assert ended.code == 21, ended.stderr
    assert [line["code"] for line in ended.of("problem")] == ["missing"]
    assert scene.endpoint.stats().requests.total() == asked
    assert scene.lease_of() == (2, ended.summary["run_id"], False), "the lane was given back at the end"


def test_a_signal_ends_a_run_that_waits_for_its_lane_at_once(scene: Scene, waiting: tuple[Running, Running]) -> None:
    _, second = waiting

    second.signal(signal.SIGTERM)
    ended = second.finish()

    assert ended.code == 143, ended.stderr
    assert ended.summary["elapsed_s"] < 30


def test_the_metrics_file_has_the_fence_of_the_lane_and_that_it_was_given_back(scene: Scene) -> None:
    def leases() -> dict[str, float]:
        text = (scene.batch.folder / "june.prom").read_text(encoding="utf-8")
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        lane = {each.labels["region"] for each in samples if "lease" in each.name}
        assert lane == {"us-east-1"}
        return {each.name: each.value for each in samples if "lease" in each.name}

    def upload() -> dict[str, float]:
        ended = scene.upload("--rate", "100", "--metrics-file", "june.prom")
        assert ended.code == 0, ended.stderr
        return leases()

    first, second = upload(), upload()

    assert (first["batch_upload_lease_fence"], second["batch_upload_lease_fence"]) == (1, 2)
    assert (first["batch_upload_lease_held"], second["batch_upload_lease_held"]) == (0, 0)
    assert 0 < first["batch_upload_lease_held_seconds"] < 60
