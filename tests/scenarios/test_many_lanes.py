"""One `upload` over many accounts and Regions: each lane ends as its own service lets it, and touches no other."""

import os
import pty
import subprocess
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support.command import COMMAND, run
from tests.support.emulated_lanes import assert_each_token_once, creates_by_lane, roles_assumed
from tests.support.emulator_process import running_emulator
from tests.support.fleets import assert_each_once_in_each_lane, make_fleet
from tests.support.preloaded import Preloaded
from tests.support.terminal import said

CALLER = "999988887777"
CREATE = "CreateRegistrationAttachment"
DENIED, FULL, FAILING, WRONG = "t000/us-east-1", "t001/us-west-2", "t002/us-east-1", "t003"
REFUSED = "t004"
BURST = 5
"""Creates that a lane takes at once; the rate holds for the others."""


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
    hints = {line["target"]: line["hint"] for line in ended.of("lane_ended")}
    assert {label for label, hint in hints.items() if hint} == set(bad)
    assert {f"hint: {hint}" for hint in hints.values() if hint} == set(ended.summary["notes"])
    assert_each_once_in_each_lane(held, fleet, [label for label in fleet.labels if label not in bad])
    assert_each_token_once(held)
    creates = creates_by_lane(entries)
    assert len(creates[fleet.lane(FULL)]) == 1
    assert not {fleet.lane(DENIED), f"{CALLER}/us-east-1", f"{CALLER}/us-west-2"} & set(creates)
    assert stats["lanes"][fleet.lane(DENIED)]["requests"][CREATE] == 1
    assert stats["lanes"][fleet.lane(FAILING)]["faults"]["internal_error"] >= 1
    expected = {account: 1 for name, account in fleet.accounts.items() if name not in (WRONG, REFUSED)}
    assert roles_assumed(stats) == expected


@pytest.mark.soak
@pytest.mark.parametrize(
    ("items", "worst", "middle", "ends_of_failing"),
    [(25, 0.93, 0.96, ("transient",)), (60, 0.97, 0.98, ("transient", "done"))],
)
def test_forty_accounts_in_two_regions_get_what_the_rate_of_each_lane_allows(
    tmp_path: Path, items: int, worst: float, middle: float, ends_of_failing: Sequence[str]
) -> None:
    """Two batches: in the first each lane learns its rate, the second is held to it.

    Of 20 items behind a burst of 5 each token that is left unused costs 5 %: in simulation a lane alone gets 0.95 to
    1.00 of its rate there, and 0.98 to 1.00 of 60 items. A lane that answers 500 for a minute is left for the next run
    of the batch, unless this one lasts so long that a retry comes behind the minute.
    """
    fleet = make_fleet(tmp_path, accounts=40, items=items, without_role=["t003"])
    bad = {"t000/us-east-1": "access", "t001/us-west-2": "account_full", "t004/us-east-1": "access"}
    bad |= {"t004/us-west-2": "access", "t003/us-east-1": "access", "t003/us-west-2": "access"}
    failing = "t002/us-east-1"
    rates = {label: 1.0 + 0.25 * (number % 5) for number, label in enumerate(fleet.labels)}
    lanes: dict[str, dict[str, Any]] = {
        fleet.lane(label): {"rates": {CREATE: {"per_second": rate, "burst": BURST}}} for label, rate in rates.items()
    }
    lanes[fleet.lane("t000/us-east-1")]["deny"] = [CREATE]
    lanes[fleet.lane("t001/us-west-2")]["attachments_per_account"] = 10
    lanes[fleet.lane(failing)]["faults"] = [{"action": "internal_error", "operation": "*", "lasts_s": 60}]
    settings = {
        "processing_s": 1.0,
        "latency_s": 0.15,
        "attachments_per_account": None,
        "refused_roles": [fleet.accounts["t004"]],
        "lanes": lanes,
    }
    env = {"AWS_ACCESS_KEY_ID": CALLER, "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    second = fleet.path.with_name("second.yaml")
    text = fleet.path.read_text(encoding="utf-8").replace("version: 1", "version: 1\nledger: fleet.ledger")
    second.write_text(text.replace("batch: fleet-2026", "batch: second-2026"), encoding="utf-8")

    with running_emulator(settings) as emulator:
        env["AWS_ENDPOINT_URL"] = emulator.url
        first = run("upload", fleet.path, "--json", cwd=tmp_path, env=env, timeout_s=300)
        assumed = roles_assumed(emulator.stats())
        before = creates_by_lane(emulator.entries())
        ended = run("upload", second, "--json", cwd=tmp_path, env=env, timeout_s=300)
        creates = creates_by_lane(emulator.entries())
        again = run("upload", fleet.path, "--json", cwd=tmp_path, env=env, timeout_s=300)
        held = emulator.attachments()

    end_of_failing = next(lane["exit"]["name"] for lane in first.summary["lanes"] if lane["target"] == failing)
    assert end_of_failing in ends_of_failing
    for result, others in ((first, {failing: end_of_failing}), (ended, {}), (again, {})):
        names = {lane["target"]: lane["exit"]["name"] for lane in result.summary["lanes"]}
        assert names == {label: {**bad, **others}.get(label, "done") for label in fleet.labels}
        assert (result.code, len(names)) == (22, 80)
        assert result.summary["items"] == 80 * items
    good = [label for label in fleet.labels if label not in bad]
    assert assumed == {account: 1 for name, account in fleet.accounts.items() if name not in ("t003", "t004")}
    assert_each_token_once(held)
    assert Counter(f"{each['account']}/{each['region']}" for each in held) == {
        **dict.fromkeys(map(fleet.lane, good), 2 * items),
        fleet.lane("t001/us-west-2"): 10,
    }
    shares = sorted(
        _share(creates[lane], len(before.get(lane, ())), rates[label])
        for label, lane in ((label, fleet.lane(label)) for label in good)
    )
    assert shares[0] >= worst, shares[:10]
    assert median(shares) >= middle, shares


def _share(times: Sequence[float], before: int, rate: float) -> float:
    """Return which share of its rate a lane got in its creates behind the first `before`.

    The whole is what the lane's bucket would have given from the first of them on, with the tokens that it held then.
    """
    tokens = float(BURST)
    for at, following in pairwise(times[: before + 1]):
        tokens = min(BURST, tokens - 1 + rate * (following - at))
    first, *others = times[before:]
    return (len(others) + 1 - tokens) / rate / (others[-1] - first)


@pytest.mark.parametrize(("answer", "held"), [("n\n", 0), ("y\n", 12)])
def test_on_a_terminal_a_first_run_over_many_lanes_is_agreed_to_first(tmp_path: Path, answer: str, held: int) -> None:
    fleet = make_fleet(tmp_path, accounts=6, items=1)
    ours, theirs = pty.openpty()
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env = {"AWS_ACCESS_KEY_ID": CALLER, "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_ENDPOINT_URL": emulator.url}
        with subprocess.Popen(
            [COMMAND, "upload", fleet.path, "--rate", "20"],
            cwd=tmp_path,
            env={**os.environ, **env, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            os.write(ours, answer.encode())
            shown = "".join(said(ours))
        os.close(ours)
        attachments = emulator.attachments()

    assert "first run over 12 lanes, 12 items" in shown
    assert process.returncode == 0, shown
    assert (len(attachments), "not begun" in shown) == (held, not held)


def test_prune_says_which_lane_ended_early_although_others_were_pruned(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=3)
    env = {"AWS_ACCESS_KEY_ID": CALLER, "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env["AWS_ENDPOINT_URL"] = emulator.url
        uploaded = command.run("upload", fleet.path, "--rate", "20", "--quiet", cwd=tmp_path, env=env)
        manifest = fleet.path.read_text()
        fleet.path.write_text(manifest.replace("  - {file: t000/all-0.pdf, target: t000}\n", ""))
        emulator.change_settings({"refused_roles": [fleet.accounts["t001"]]})

        pruned = command.run("prune", fleet.path, "--yes", "--quiet", cwd=tmp_path, env=env)

    assert (uploaded.code, pruned.code) == (0, 22)
    assert "prune: 2 deleted, 2 of 4 lanes ended with access, 2 are done" in pruned.stderr
    assert f"t001/us-east-1  {fleet.accounts['t001']}/us-east-1  access" in pruned.stderr


def test_prune_deletes_no_more_than_half_of_a_lane_unless_a_number_says_so(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=2)
    emptied = fleet.labels[0]
    command.run("upload", fleet.path, "--local", cwd=tmp_path)
    text = fleet.path.read_text(encoding="utf-8").replace("target: t000}", f"target: {fleet.labels[1]}}}")
    lines = [line for line in text.splitlines() if emptied not in line]
    fleet.path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    refused = command.run("prune", fleet.path, "--local", "--yes", cwd=tmp_path)
    done = command.run("prune", fleet.path, "--local", "--yes", "--max-deletes", "2", "--json", cwd=tmp_path)

    assert refused.code == 2
    assert f"2 of 2 attachments of this batch in `{emptied}` would be deleted, 1 may be; nothing was" in refused.stderr
    assert [(line["target"], line["outcome"]) for line in done.of("pruned")] == [(emptied, "deleted")] * 2
    assert (done.code, len(done.summary["lanes"])) == (0, 4)


def test_a_headline_over_two_regions_of_one_account_names_no_lane(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=1)
    command.run("upload", fleet.path, "--local", cwd=tmp_path)

    done = command.run("reconcile", fleet.path, "--local", cwd=tmp_path)

    assert "reconcile of batch `fleet-2026`: done\n" in done.stdout + done.stderr
