"""One `upload` over many accounts and Regions: each lane ends as its own service lets it, and touches no other."""

from pathlib import Path
from typing import Any

from tests.support.emulated_lanes import assert_each_token_once, creates_by_lane, roles_assumed
from tests.support.emulator_process import running_emulator
from tests.support.fleets import assert_each_once_in_each_lane, make_fleet
from tests.support.preloaded import Preloaded

CALLER = "999988887777"
CREATE = "CreateRegistrationAttachment"
DENIED, FULL, FAILING, WRONG = "t000/us-east-1", "t001/us-west-2", "t002/us-east-1", "t003"
REFUSED = "t004"


def test_lanes_that_are_denied_full_refused_or_of_another_account_end_so_and_all_others_complete(
    command: Preloaded, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=7, items=4, without_role=[WRONG])
    settings: dict[str, Any] = {
        "rates": {"*": None},
        "processing_s": 0,
        "refused_roles": [fleet.accounts[REFUSED]],
        "lanes": {
            fleet.lane(DENIED): {"deny": [CREATE]},
            fleet.lane(FULL): {"attachments_per_account": 1},
            fleet.lane(FAILING): {"faults": [{"action": "internal_error", "operation": "*", "lasts_s": 1}]},
        },
    }
    env = {"AWS_ACCESS_KEY_ID": CALLER, "AWS_SECRET_ACCESS_KEY": "not-a-secret"}

    with running_emulator(settings) as emulator:
        env["AWS_ENDPOINT_URL"] = emulator.url
        ended = command.run("upload", fleet.path, "--rate", "20", "--json", cwd=tmp_path, env=env)
        held, entries, stats = emulator.attachments(), emulator.entries(), emulator.stats()

    names = {lane["target"]: lane["exit"]["name"] for lane in ended.summary["lanes"]}
    bad = {
        DENIED: "access",
        FULL: "account_full",
        **dict.fromkeys([f"{name}/{region}" for name in (WRONG, REFUSED) for region in fleet.regions], "access"),
    }
    assert names == {label: bad.get(label, "done") for label in fleet.labels}
    assert (ended.code, ended.summary["exit"]["name"]) == (22, "access")
    assert_each_once_in_each_lane(held, fleet, [label for label in fleet.labels if label not in bad])
    assert_each_token_once(held)
    creates = creates_by_lane(entries)
    assert len(creates[fleet.lane(FULL)]) == 1
    assert not {fleet.lane(DENIED), f"{CALLER}/us-east-1", f"{CALLER}/us-west-2"} & set(creates)
    assert stats["lanes"][fleet.lane(DENIED)]["requests"][CREATE] == 1
    assert stats["lanes"][fleet.lane(FAILING)]["faults"]["internal_error"] >= 1
    expected = {account: 1 for name, account in fleet.accounts.items() if name not in (WRONG, REFUSED)}
    assert roles_assumed(stats) == expected
