"""Whatever dies when: no attachment twice, none lost, nothing called done that is not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch_upload.operations import CREATE
from tests.support.batches import IDENTITY_TAG, Batch, assert_adds_up, assert_each_once, make_batch, token_of
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

STORM: tuple[dict[str, Any], ...] = (
    {"action": "drop_after", "share": 0.2},
    {"action": "drop_before", "share": 0.2},
    {"action": "internal_error", "share": 0.2},
    {"action": "error_after", "share": 0.1},
    {"action": "garbage", "share": 0.1},
    {"action": "throttle", "share": 0.1},
)
MakeScene = Callable[[int], "Scene"]
QUICK = ("--rate", "100", "--fixed-rate", "--json")


@dataclass(frozen=True, slots=True)
class Scene:
    """A batch, the endpoint that it goes to, and the command that brings it there."""

    command: Preloaded
    endpoint: Endpoint
    batch: Batch

    def upload(self, *arguments: str) -> Result:
        return self.command.run(
            "upload", self.batch.manifest, *QUICK, *arguments, cwd=self.batch.folder, env=self.endpoint.env
        )

    def killed_after(self, items: int, *arguments: str) -> None:
        """Start a run and kill it when so many items have ended."""
        folder, env = self.batch.folder, self.endpoint.env
        with self.command.started("upload", self.batch.manifest, *QUICK, *arguments, cwd=folder, env=env) as running:
            for _ in range(items):
                running.until("item")
            running.process.kill()

    def assert_ledger_is_right(self) -> None:
        """Every row is complete, and names the attachment that carries its token."""
        told = self.command.run("report", self.batch.manifest, "--format", "jsonl", cwd=self.batch.folder)
        rows = [json.loads(line) for line in told.stdout.splitlines()]
        held = [each for each in self.endpoint.attachments() if IDENTITY_TAG in each["tags"]]
        ids = {each["tags"][IDENTITY_TAG]: each["id"] for each in held}
        assert {row["id"]: row["registration_attachment_id"] for row in rows} == {
            name: ids[token_of(name, content)] for name, content in self.batch.documents.items()
        }
        assert {row["state"] for row in rows} == {"complete"}


@pytest.fixture
def make_scene(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> MakeScene:
    """Scenes of so many items."""
    return lambda count: Scene(command, endpoint, make_batch(tmp_path, count))


def test_killed_again_and_again_under_a_storm_each_item_is_there_once(
    endpoint: Endpoint, make_scene: MakeScene
) -> None:
    scene = make_scene(30)

    endpoint.faults(*STORM)
    for items in (1, 2, 5, 3):
        scene.killed_after(items)
    endpoint.faults()
    quiet = scene.upload()
    creates = endpoint.stats().creates
    again = scene.upload()

    assert quiet.code == 0, quiet.stderr
    assert assert_adds_up(quiet)["states"] == {"complete": 30}
    assert_each_once(endpoint, scene.batch)
    scene.assert_ledger_is_right()
    assert (again.code, endpoint.stats().creates) == (0, creates)


def test_killed_while_the_service_forgets_tokens_each_item_is_there_once(
    endpoint: Endpoint, make_scene: MakeScene
) -> None:
    endpoint.change(token_memory_s=1)
    scene = make_scene(16)

    endpoint.faults({"action": "drop_after", "share": 0.4})
    for items in (2, 4):
        scene.killed_after(items, "--safe-horizon", "1s")
    ended = scene.upload("--safe-horizon", "1s")
    endpoint.faults()
    quiet = scene.upload("--safe-horizon", "1s")

    assert ended.code in (0, 10), ended.stderr
    assert quiet.code == 0, quiet.stderr
    assert_each_once(endpoint, scene.batch)
    scene.assert_ledger_is_right()


def test_in_one_long_run_the_horizon_counts_from_the_first_unknown_attempt(
    endpoint: Endpoint, make_scene: MakeScene
) -> None:
    endpoint.change(token_memory_s=1, rates={CREATE: 10})
    endpoint.faults({"action": "drop_after", "share": 0.5}, {"action": "internal_error", "share": 0.3})
    scene = make_scene(20)

    ended = scene.upload("--safe-horizon", "1s", "--rate", "10")
    endpoint.faults()
    quiet = scene.upload("--safe-horizon", "1s")

    assert ended.code in (0, 10), ended.stderr
    assert_adds_up(ended)
    assert quiet.code == 0, quiet.stderr
    assert_each_once(endpoint, scene.batch)
    scene.assert_ledger_is_right()


def test_a_lost_ledger_is_found_again_by_upload_alone(endpoint: Endpoint, make_scene: MakeScene) -> None:
    scene = make_scene(9)
    first = scene.upload()
    name, content = next(iter(scene.batch.documents.items()))
    forged = {IDENTITY_TAG: token_of(name, content, batch="another-batch")}
    earlier = datetime.now(UTC) - timedelta(hours=1)
    strangers = [endpoint.plant(tags, created_at=earlier)["id"] for tags in ({"Customer": "somebody"}, forged, {})]
    for path in scene.batch.folder.glob("june.ledger*"):
        path.unlink()
    endpoint.change(token_memory_s=0.001)

    creates = endpoint.stats().creates
    again = scene.upload()

    assert (first.code, again.code) == (0, 0), again.stderr
    assert endpoint.stats().creates == creates
    assert (again.summary["adopted"], again.summary["uploaded"]) == (9, 0)
    assert assert_adds_up(again)["states"] == {"complete": 9}
    scene.assert_ledger_is_right()
    assert {each["id"] for each in endpoint.attachments()} >= set(strangers)
    assert len(endpoint.attachments()) == 9 + 3


def test_an_old_copy_of_the_ledger_uploads_nothing_twice(endpoint: Endpoint, make_scene: MakeScene) -> None:
    scene = make_scene(6)
    scene.upload("--only", scene.batch.ids[0])
    copy = scene.batch.ledger.read_bytes()
    scene.upload()
    for path in scene.batch.folder.glob("june.ledger-*"):
        path.unlink()
    scene.batch.ledger.write_bytes(copy)
    endpoint.change(token_memory_s=0.001)

    creates = endpoint.stats().creates
    again = scene.upload()

    assert again.code == 25, again.stderr
    assert endpoint.stats().creates == creates
    assert len(endpoint.attachments()) == 6


def test_an_answer_that_cannot_be_read_never_counts(endpoint: Endpoint, make_scene: MakeScene) -> None:
    endpoint.change(processing_s=0.2)
    endpoint.faults(
        *({"action": action, "share": 0.25} for action in ("garbage", "truncated", "empty_200", "cut_short"))
    )
    scene = make_scene(12)

    ended = scene.upload()
    held = {each["id"]: each["status"] for each in endpoint.attachments()}
    endpoint.faults()
    quiet = scene.upload()

    assert ended.code in (0, 10), ended.stderr
    complete = [line for line in ended.of("item") if line["state"] == "complete"]
    assert {held[line["registration_attachment_id"]] for line in complete} <= {"UPLOAD_COMPLETE"}
    assert quiet.code == 0
    assert_each_once(endpoint, scene.batch)
    scene.assert_ledger_is_right()


def test_a_mix_of_faults_ends_in_one_run_or_in_the_next(endpoint: Endpoint, make_scene: MakeScene) -> None:
    shares = {"drop_before": 0.2, "drop_after": 0.2, "internal_error": 0.2, "garbage": 0.1}
    endpoint.faults(*({"action": action, "share": share} for action, share in shares.items()))
    scene = make_scene(15)

    ended = scene.upload()
    endpoint.faults()
    again = scene.upload()

    assert ended.code in (0, 10), ended.stderr
    assert ended.code == 10 or ended.states == {"complete": 15}
    assert again.code == 0
    assert_adds_up(ended)
    assert_each_once(endpoint, scene.batch)
