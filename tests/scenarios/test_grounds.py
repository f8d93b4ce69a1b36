"""The ground that growth and reruns are measured on is one that the program takes for its own work, done."""

from pathlib import Path

from benchmarks.grounds import complete, lay_out
from tests.support.preloaded import Preloaded

NAMED = {"AWS_REGION": "us-east-1"}


def test_a_ground_is_complete_and_nothing_is_left_to_do(command: Preloaded, tmp_path: Path) -> None:
    ground = lay_out(tmp_path / "ground", 3)
    complete(ground)

    told = command.run("status", ground.manifest, "--json", cwd=tmp_path, env=NAMED)
    here = ("--local", "--ledger", ground.ledger)
    again = command.run("upload", ground.manifest, *here, "--json", cwd=tmp_path, env=NAMED)

    assert (told.code, told.states) == (0, {"complete": 3})
    assert [each["attempts"] for each in told.of("item")] == [1, 1, 1]
    assert (again.code, again.summary["unchanged"]) == (0, 3)
