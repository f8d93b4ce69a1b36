"""The emulator as a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.emulator_process import STOP_TIMEOUT_S, running_emulator
from tests.unit.emulator.support import ATTACHMENT_ID, PDF, MakeBoto3


def test_it_ends_when_its_stdin_closes_and_says_its_url_and_nothing_else(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"account": "210987654321"}')

    ended = subprocess.run(
        [sys.executable, "-m", "batch_upload.emulator", "--settings", settings],
        input="",
        capture_output=True,
        text=True,
        timeout=STOP_TIMEOUT_S,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("http://127.0.0.1:")
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_a_signal(number: signal.Signals) -> None:
    with running_emulator() as emulator:
        emulator.process.send_signal(number)

        assert emulator.process.wait(timeout=STOP_TIMEOUT_S) == 0


@pytest.mark.parametrize(
    "arguments", [["--settings", "{"], ["--settings", "missing.json"], ["--state", "missing/state"], ["--port", "x"]]
)
def test_an_argument_that_cannot_be_exits_with_2(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "batch_upload.emulator", *arguments],
        input="",
        capture_output=True,
        text=True,
        timeout=STOP_TIMEOUT_S,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "error: " in ended.stderr


def test_what_was_answered_before_a_kill_is_there_after_it(tmp_path: Path, make_boto3: MakeBoto3) -> None:
    state_path = tmp_path / "state"
    with running_emulator({"rates": {"*": None}}, state_path=state_path) as emulator:
        client = make_boto3(emulator.url)
        created = client.create_registration_attachment(AttachmentBody=PDF, ClientToken="token")
        emulator.kill()

    with running_emulator({"rates": {"*": None}}, state_path=state_path) as emulator:
        client = make_boto3(emulator.url)
        replayed = client.create_registration_attachment(AttachmentBody=PDF, ClientToken="token")

        assert replayed[ATTACHMENT_ID] == created[ATTACHMENT_ID]
        assert emulator.stats()["replays"] == 1
        assert [line[2] for line in emulator.log()] == ["replayed"]


def test_a_foreign_attachment_can_be_planted_and_changed() -> None:
    with running_emulator() as emulator:
        planted = emulator.plant({"tags": {"Customer": "somebody"}, "created_at": "2026-01-01T00:00:00Z"})
        emulator.set_status(planted["id"], "UPLOAD_FAILED")
        emulator.change_settings({"processing_s": 1})

        [held] = emulator.attachments()
        assert (held["tags"], held["status"]) == ({"Customer": "somebody"}, "UPLOAD_FAILED")
