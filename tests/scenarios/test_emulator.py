"""`emulator`, and the emulator of `--local`, where they cannot start."""

from pathlib import Path

import pytest

from tests.support.batches import make_batch
from tests.support.preloaded import Preloaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", '{"colour": "red"}'], "the emulator's settings cannot be used"),
        (["--settings", "missing.json"], "the settings `missing.json` cannot be read"),
        (["--state", "missing/state"], "the emulator's state `missing/state` cannot be opened"),
    ],
)
def test_an_emulator_that_cannot_start_is_the_callers_fault(
    command: Preloaded, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = command.run("emulator", *arguments, "--json", cwd=tmp_path)

    assert (ended.code, ended.summary["exit"]["name"]) == (2, "usage")
    assert message in ended.stderr


def test_a_local_state_that_is_something_else_is_the_callers_fault_and_left_as_it_is(
    command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    state = tmp_path / f"{Path(batch.manifest).stem}.local.service"
    state.write_bytes(b"something else\n")

    ended = command.run("upload", batch.manifest, "--local", "--json", cwd=tmp_path)

    assert (ended.code, ended.summary["exit"]["name"]) == (2, "usage")
    assert f"`{state.name}` is not a state of the emulator" in ended.stderr
    assert state.read_bytes() == b"something else\n"
