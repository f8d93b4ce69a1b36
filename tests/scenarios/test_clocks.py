"""How old a request is, whatever the clocks say: the installed command, killed with a request on its way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS
from tests.support.batches import Batch, assert_each_once, make_batch
from tests.support.clocks import Clocks
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100", "--json")
PATIENCE_S = 6.0
"""More than a run waits before it looks again for what it has not found."""
Note = dict[str, Any]


def killed_in_a_create(command: Preloaded, endpoint: Endpoint, batch: Batch) -> None:
    """Leave an attachment whose create was never answered, by a process that is killed."""
    endpoint.faults({"action": "hang", "operation": CREATE, "done": True})
    with command.started("upload", batch.manifest, *QUICK, cwd=batch.folder, env=endpoint.env) as running:
        endpoint.wait_for(CREATE)
        running.process.kill()
    endpoint.faults()


def rerun(command: Preloaded, endpoint: Endpoint, batch: Batch, *flags: str) -> Result:
    return command.run("upload", batch.manifest, *QUICK, *flags, cwd=batch.folder, env=endpoint.env)


def change_note(batch: Batch, change: Callable[[Note], Note]) -> None:
    """Make the lock's note what another clock would have left."""
    lock = batch.ledger.with_name(f"{batch.ledger.name}.lock")
    inode = lock.stat().st_ino
    lock.write_text(json.dumps(change(json.loads(lock.read_text(encoding="utf-8")))), encoding="utf-8")
    assert lock.stat().st_ino == inode


def as_if_set(by_s: float) -> Callable[[Note], Note]:
    """The wall clock was set by so much since the note was written."""
    return lambda note: {**note, "steady_since_counting_s": note["steady_since_counting_s"] + by_s}


def as_if_booted(note: Note) -> Note:
    return {**note, "machine": "boot of another day"}


def as_if_older(note: Note) -> Note:
    """A version that had no such note."""
    return {name: value for name, value in note.items() if not name.startswith(("machine", "steady", "latest"))}


def test_a_rerun_a_moment_after_a_kill_sends_again_at_once(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    killed_in_a_create(command, endpoint, batch)

    ended = rerun(command, endpoint, batch)

    assert ended.code == 0, ended.stderr
    assert (endpoint.stats().creates, endpoint.stats().replays) == (2, 1)
    assert ended.summary["elapsed_s"] < 10
    assert_each_once(endpoint, batch)


@pytest.mark.parametrize(
    "happened",
    [as_if_set(3_600), as_if_set(-3_600), as_if_set(5), as_if_booted, as_if_older],
    ids=["forward", "back", "a little", "booted", "older"],
)
def test_after_the_clock_was_set_or_is_another_what_is_open_is_looked_up(
    endpoint: Endpoint, tmp_path: Path, timed: tuple[Preloaded, Clocks], happened: Callable[[Note], Note]
) -> None:
    """The service has forgotten the token: to send it again would make a second attachment."""
    command, clocks = timed
    endpoint.change(token_memory_s=0.001)
    batch = make_batch(tmp_path, 1)
    killed_in_a_create(command, endpoint, batch)
    change_note(batch, happened)
    described = endpoint.stats().requests[DESCRIBE]

    with command.started("upload", batch.manifest, *QUICK, cwd=batch.folder, env=endpoint.env) as running:
        endpoint.wait_for(DESCRIBE, times=described + 1)
        clocks.pass_time(PATIENCE_S)
        ended = running.finish()

    assert ended.code == 0, ended.stderr
    assert (endpoint.stats().creates, ended.summary["adopted"]) == (1, 1)
    assert endpoint.stats().requests[LIST_TAGS] == 1
    assert_each_once(endpoint, batch)


def test_without_a_clock_to_trust_absence_is_proved_a_horizon_after_the_run_began_and_reconcile_gets_there(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    endpoint.faults({"action": "hang", "operation": CREATE})
    with command.started("upload", batch.manifest, *QUICK, cwd=batch.folder, env=endpoint.env) as running:
        endpoint.wait_for(CREATE)
        running.process.kill()
    endpoint.faults()
    change_note(batch, as_if_booted)

    flags = ("--safe-horizon", "2s")
    too_soon = command.run("reconcile", batch.manifest, "--json", *flags, cwd=tmp_path, env=endpoint.env)
    ended = rerun(command, endpoint, batch, *flags)

    assert (too_soon.code, too_soon.states) == (10, {"sending": 1})
    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)


def test_a_replay_that_gets_no_answer_within_the_horizon_is_cut_off_and_looked_up(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(token_memory_s=3)
    endpoint.faults(
        {"action": "drop_after", "operation": CREATE, "times": 1},
        {"action": "hang", "operation": CREATE},
    )
    batch = make_batch(tmp_path, 1)

    ended = rerun(command, endpoint, batch, "--safe-horizon", "3s")

    assert ended.code == 0, ended.stderr
    assert 3 <= ended.summary["elapsed_s"] < 20
    assert (endpoint.stats().creates, ended.summary["adopted"]) == (2, 1)
    assert_each_once(endpoint, batch)
