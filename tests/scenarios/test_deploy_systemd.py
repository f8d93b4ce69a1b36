"""The units of `deploy/systemd/`: systemd takes them, and the command they start lives within what they allow."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from batch_upload.errors import ExitCode
from batch_upload.operations import CREATE
from tests.support.batches import Batch, assert_each_once, make_batch
from tests.support.command import Result
from tests.support.emulator_process import ROOT
from tests.support.endpoint import Endpoint
from tests.support.scheduled import (
    INSTALLED,
    SERVICE,
    TIMER,
    allowed_system_calls,
    require,
    run_bare,
    service_command,
    started_bare,
    unit_of,
    verified_units,
    write_profile,
)
from tests.support.strace import calls_of, require_strace

MOST_EXPOSED = "15"
"""systemd's own figure for what a service could do to its host, in tenths: 0 is nothing, 100 everything."""


def _verified(folder: Path, *, service: str, timer: str) -> "subprocess.CompletedProcess[str]":
    return verified_units(folder, {SERVICE.name: service, TIMER.name: timer})


def test_systemd_takes_the_units_without_a_word(tmp_path: Path) -> None:
    require("systemd-analyze")

    told = _verified(tmp_path, service=SERVICE.read_text(), timer=TIMER.read_text())

    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ProtectSystem=strict", "ProtectSytem=strict"),
        (INSTALLED, "/opt/batch-uplaod/bin/batch-upload"),
        ("OnCalendar=hourly", "OnCalendar=hurly"),
    ],
)
def test_systemd_would_not_take_units_that_are_wrong(tmp_path: Path, right: str, wrong: str) -> None:
    require("systemd-analyze")
    service, timer = SERVICE.read_text(), TIMER.read_text()
    assert right in service + timer

    told = _verified(tmp_path, service=service.replace(right, wrong), timer=timer.replace(right, wrong))

    assert told.returncode != 0


def test_the_service_can_do_little_to_its_host() -> None:
    require("systemd-analyze")

    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", SERVICE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stdout
    pages = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split()
    assert f"less than {int(MOST_EXPOSED) / 10} of 10" in " ".join(pages)


def test_no_alarm_is_raised_where_the_same_command_will_do() -> None:
    (codes,) = unit_of(SERVICE)["SuccessExitStatus"]

    assert {int(code) for code in codes.split()} == {code for code in ExitCode if 10 <= code <= 19} | {
        ExitCode.TERMINATED
    }


@pytest.fixture
def batch(endpoint: Endpoint, tmp_path: Path) -> Batch:
    """Documents that only the superuser or their owner may change, and a state folder that is the service's home."""
    write_profile(_state(tmp_path), "default", endpoint_url=endpoint.url)
    return make_batch(tmp_path / "srv", 4)


def _state(folder: Path) -> Path:
    return folder / "state"


def _command(batch: Batch, tmp_path: Path) -> list[str]:
    return service_command(manifest=batch.path, state=_state(tmp_path))


def test_the_service_writes_to_its_state_folder_alone(endpoint: Endpoint, batch: Batch, tmp_path: Path) -> None:
    before = sorted(batch.folder.rglob("*"))

    ended = run_bare(_command(batch, tmp_path), home=_state(tmp_path), variables={})

    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)
    assert sorted(batch.folder.rglob("*")) == before
    assert (_state(tmp_path) / "june.ledger").exists()


def test_a_service_that_is_stopped_lets_end_what_is_in_flight_within_its_time(
    endpoint: Endpoint, batch: Batch, tmp_path: Path
) -> None:
    endpoint.faults({"action": "slow", "operation": CREATE, "times": 1, "seconds": 1})
    (kill_signal,) = unit_of(SERVICE)["KillSignal"]
    (stop_timeout_s,) = unit_of(SERVICE)["TimeoutStopSec"]

    with started_bare(_command(batch, tmp_path), home=_state(tmp_path), variables={}) as running:
        endpoint.wait_for(CREATE)
        running.send_signal(signal.Signals[kill_signal])
        out, err = running.communicate(timeout=int(stop_timeout_s))
    stopped = Result(running.returncode, out, err)
    held = len(endpoint.attachments())
    again = run_bare(_command(batch, tmp_path), home=_state(tmp_path), variables={})

    assert stopped.code == ExitCode.TERMINATED, stopped.stderr
    assert held == 1
    assert again.code == 0, again.stderr
    assert_each_once(endpoint, batch)


def test_a_run_makes_no_system_call_that_the_service_forbids(endpoint: Endpoint, batch: Batch, tmp_path: Path) -> None:
    require("systemd-analyze")
    require_strace()
    trace = tmp_path / "trace"
    traced: list[str | Path] = [
        shutil.which("strace") or "strace",
        "-f",
        "-qq",
        "-o",
        trace,
        *_command(batch, tmp_path),
    ]

    ended = run_bare(traced, home=_state(tmp_path), variables={})

    assert ended.code == 0, ended.stderr
    made = {call.name for call in calls_of(trace)}
    allowed = allowed_system_calls(tuple(unit_of(SERVICE)["SystemCallFilter"]))
    for_root_alone = {"fchown"} if os.geteuid() == 0 else set()  # so that root's SQLite leaves files to their owner
    assert made - allowed - for_root_alone == set()
    assert {"sendto", "fdatasync"} <= made
