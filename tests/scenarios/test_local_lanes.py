"""`--local` with a manifest of many accounts: one embedded emulator and one state file hold every lane."""

from pathlib import Path

from tests.support.fleets import make_fleet
from tests.support.preloaded import Preloaded


def test_a_rehearsal_of_many_accounts_runs_against_one_emulator_and_is_remembered(
    command: Preloaded, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=3, items=2)

    first = command.run("upload", fleet.path, "--local", "--json", cwd=tmp_path)
    (tmp_path / "fleet.local.ledger").unlink()
    again = command.run("upload", fleet.path, "--local", "--json", cwd=tmp_path)

    assert (first.code, first.summary["states"]) == (0, {"complete": 12})
    assert sorted((lane["account"], lane["region"]) for lane in first.summary["lanes"]) == sorted(
        (account, region) for account in fleet.accounts.values() for region in fleet.regions
    )
    assert (again.code, again.summary["states"], again.summary["uploaded"]) == (0, {"complete": 12}, 0)
    assert list(tmp_path.glob("*.service")) == [tmp_path / "fleet.local.service"]
