"""The verbs that read, over the lanes of a manifest with `targets`, against the emulator with several accounts."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import command
from tests.support.batches import pdf
from tests.support.command import Result
from tests.support.emulated_lanes import roles_assumed
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.fleets import BATCH, Fleet, make_fleet

DENIED, OPEN = "100000000000", "100000000001"
KEYS = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def many() -> Iterator[EmulatorProcess]:
    """An emulator in which the roles of one account cannot be assumed."""
    with running_emulator({"refused_roles": [DENIED], "attachments_per_account": 500}) as process:
        yield process


@pytest.fixture(scope="module")
def open_service() -> Iterator[EmulatorProcess]:
    """An emulator in which every role can be assumed."""
    settings = {"rates": {"CreateRegistrationAttachment": 50}, "attachments_per_account": 500}
    with running_emulator({**settings, "processing_s": 0.05}) as process:
        yield process


def run(fleet: Fleet, service: EmulatorProcess, verb: str, *arguments: str) -> Result:
    """Run a verb on the fleet's manifest, with keys of an account of its own."""
    access = () if verb in ("status", "why", "report", "validate") else ("--endpoint-url", service.url)
    env = {**KEYS, "AWS_ENDPOINT_URL_STS": service.url}
    return command.run(verb, fleet.path, *arguments, *access, cwd=fleet.folder, env=env)


@pytest.fixture(scope="module")
def uploaded(tmp_path_factory: pytest.TempPathFactory, open_service: EmulatorProcess) -> Fleet:
    """Three accounts in two Regions whose items were all uploaded."""
    fleet = make_fleet(tmp_path_factory.mktemp("fleet"), accounts=3)
    ended = run(fleet, open_service, "upload", "--json", "--rate", "50")
    assert (ended.code, ended.states) == (0, {"complete": 18}), ended.stderr
    return fleet


def targets(lines: Sequence[Mapping[str, object]]) -> set[object]:
    return {line.get("target") for line in lines}


def test_validate_counts_the_items_of_all_lanes_and_names_each_problem_once(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)

    valid = command.run("validate", fleet.path, cwd=tmp_path)
    (tmp_path / "t000" / "all-0.pdf").unlink()
    invalid = command.run("validate", fleet.path, "--json", cwd=tmp_path)

    assert (valid.code, "12 items in 4 lanes" in valid.stderr) == (0, True)
    assert (invalid.code, len(invalid.of("problem"))) == (21, 1)


def test_a_plan_names_the_lane_of_every_action_and_sums_up(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)

    ended = command.run("plan", fleet.path, "--offline", "--json", cwd=tmp_path)
    people = command.run("plan", fleet.path, "--offline", cwd=tmp_path)

    assert ended.code == 0
    assert targets(ended.of("action")) == set(fleet.labels)
    assert [line["account"] for line in ended.of("action") if line["target"] == "t001/us-west-2"] == [OPEN] * 3
    assert ended.of("totals")[-1]["creates"] == 12
    assert [(lane["target"], lane["items"]) for lane in ended.summary["lanes"]] == [(each, 3) for each in fleet.labels]
    assert people.stdout.splitlines()[0].split()[:2] == ["lane", "create"]
    assert people.stderr.count("this ledger is new") == 1
    assert people.stderr.endswith("`-v` lists each item, with the reason\n")


def test_the_plan_of_a_lane_that_cannot_be_reached_is_a_warning_and_the_others_are_planned(
    tmp_path: Path, many: EmulatorProcess
) -> None:
    fleet = make_fleet(tmp_path, accounts=2)

    ended = run(fleet, many, "plan", "--json", "--detailed-exitcode")

    exits = {lane["target"]: lane["exit"]["name"] for lane in ended.summary["lanes"]}
    assert (ended.code, ended.summary["exit"]["name"]) == (22, "access")
    assert exits == {each: "access" if each.startswith("t000") else "done" for each in fleet.labels}
    assert targets(ended.of("action")) == set(fleet.labels)
    capacities = {line.get("target"): line["capacity"] for line in ended.of("totals")}
    assert capacities["t000/us-east-1"] is None
    assert capacities["t001/us-east-1"] == {"used": 0, "max": 500}
    assert "`t000/us-east-1`, `t000/us-west-2`" in ended.stderr


def test_work_is_exit_3_only_if_every_lane_was_reached(uploaded: Fleet, open_service: EmulatorProcess) -> None:
    nothing = run(uploaded, open_service, "plan", "--detailed-exitcode", "--json")
    (uploaded.folder / "t002" / "all-0.pdf").write_bytes(b"%PDF-1.7\nanother\n%%EOF\n")
    try:
        work = run(uploaded, open_service, "plan", "--detailed-exitcode", "--json")
        people = run(uploaded, open_service, "status")
        chosen = run(uploaded, open_service, "plan", "--detailed-exitcode", "--json", "--target", "t000")
    finally:
        (uploaded.folder / "t002" / "all-0.pdf").write_bytes(pdf("t002 0"))

    assert (nothing.code, work.code, chosen.code) == (0, 3, 0)
    assert "`t002/us-east-1:t002/all-0.pdf`" in people.stdout
    changed = [line for line in work.of("action") if line["action"] == "replace"]
    assert targets(changed) == {"t002/us-east-1", "t002/us-west-2"}
    assert len(chosen.summary["lanes"]) == 2


def test_status_counts_each_lane_and_names_those_that_are_not_complete(
    uploaded: Fleet, open_service: EmulatorProcess
) -> None:
    whole = run(uploaded, open_service, "status", "--json")
    people = run(uploaded, open_service, "status")

    assert (whole.code, whole.states) == (0, {"complete": 18})
    assert targets(whole.of("item")) == set(uploaded.labels)
    assert {lane["states"]["complete"] for lane in whole.summary["lanes"]} == {3}
    assert "lanes: 6, of which 6 complete" in people.stdout


def test_why_tells_the_history_in_each_lane_or_in_the_one_that_is_named(
    uploaded: Fleet, open_service: EmulatorProcess
) -> None:
    item = "t001/all-0.pdf"

    both = run(uploaded, open_service, "why", item, "--json")
    named = run(uploaded, open_service, "why", f"t001/us-west-2:{item}", "--json")
    chosen = run(uploaded, open_service, "why", item, "--target", "t001/us-east-1", "--json")
    people = run(uploaded, open_service, "why", item)
    nowhere = run(uploaded, open_service, "why", f"t000/us-east-1:{item}", "--json")

    assert [line["target"] for line in both.of("item")] == ["t001/us-east-1", "t001/us-west-2"]
    assert targets(named.of("item")) == {"t001/us-west-2"}
    assert targets(chosen.of("item")) == {"t001/us-east-1"}
    assert both.summary["items"] == 2
    assert f"in t001/us-west-2 ({OPEN}/us-west-2):" in people.stdout
    assert (nowhere.code, named.code) == (2, 0)


def test_the_report_has_a_row_for_each_item_of_each_lane(uploaded: Fleet, open_service: EmulatorProcess) -> None:
    whole = run(uploaded, open_service, "report")
    one = run(uploaded, open_service, "report", "--format", "jsonl", "--only", "t001/us-west-2:t001/all-0.pdf")
    page = run(uploaded, open_service, "report", "--format", "html", "-o", "page.html")

    rows = list(csv.DictReader(io.StringIO(whole.stdout)))
    assert [(row["target"], row["state"]) for row in rows] == [
        (label, "complete") for label in uploaded.labels for _ in range(3)
    ]
    assert {f"{row['account']}/{row['region']}" for row in rows} == {uploaded.lane(each) for each in uploaded.labels}
    assert [json.loads(line)["target"] for line in one.stdout.splitlines()] == ["t001/us-west-2"]
    assert (page.code, BATCH in (uploaded.folder / "page.html").read_text()) == (0, True)


def test_verify_compares_every_lane_and_says_in_which_something_is_missing(
    tmp_path: Path, open_service: EmulatorProcess
) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=1)
    assert run(fleet, open_service, "upload", "--quiet", "--rate", "50").code == 0
    agreeing, plain = run(fleet, open_service, "verify", "--json"), run(fleet, open_service, "verify")
    gone = next(
        each
        for each in open_service.attachments()
        if f"{each['account']}/{each['region']}" == fleet.lane(fleet.labels[1])
    )

    open_service.set_status(gone["id"], "DELETED")
    differing = run(fleet, open_service, "verify", "--json")
    people = run(fleet, open_service, "verify")

    assert (agreeing.code, agreeing.summary["exit"]["reason"]) == (0, "service and ledger agree")
    assert targets(agreeing.of("comparison")) == set(fleet.labels)
    assert (differing.code, targets(differing.of("finding"))) == (25, {fleet.labels[1]})
    assert fleet.labels[1] in people.stdout
    assert f"verify of batch `{BATCH}`: service and ledger agree" in plain.stdout


def test_a_lane_that_cannot_be_verified_leaves_the_others_compared(tmp_path: Path, many: EmulatorProcess) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=1)

    ended = run(fleet, many, "verify", "--json")

    exits = {lane["target"]: lane["exit"]["code"] for lane in ended.summary["lanes"]}
    assert ended.code == 22
    assert exits == {"t000/us-east-1": 22, "t000/us-west-2": 22, "t001/us-east-1": 0, "t001/us-west-2": 0}
    assert ended.summary["states"] == {"pending": 4}


def test_doctor_checks_what_is_common_once_and_gives_each_lane_a_line(tmp_path: Path, many: EmulatorProcess) -> None:
    fleet = make_fleet(tmp_path, accounts=3)
    before = roles_assumed(many.stats())[OPEN]

    ended = run(fleet, many, "doctor", "--json")
    people = run(fleet, many, "doctor")

    lines = {check["check"]: check["verdict"] for check in ended.of("check") if "target" not in check}
    assert ended.code == 22
    assert {label: lines[label] for label in fleet.labels} == {
        label: "fail" if label.startswith("t000") else "ok" for label in fleet.labels
    }
    bare = [check["check"] for check in ended.of("check") if "target" not in check]
    assert [bare.count(name) for name in ("clock", "ledger", "proxy", "tls")] == [1, 1, 1, 1]
    assert sum(line.split()[1] in fleet.labels for line in people.stdout.splitlines() if line.strip()) == 6
    assert roles_assumed(many.stats())[OPEN] - before == 2  # once in each run, for both Regions
