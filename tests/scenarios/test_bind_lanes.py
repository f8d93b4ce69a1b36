"""Fields of registrations in many accounts: each lane is looked at by itself, in one process and on workers."""

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import pdf
from tests.support.bound_batch import OPT_IN, TOLL_FREE
from tests.support.command import Result
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

ACCOUNTS = {"acme": "100000000001", "beta": "100000000002"}
CALLER = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
EMULATED: Mapping[str, Any] = {"rates": {"*": None}, "processing_s": 0}


@dataclass(frozen=True)
class Accounts:
    """Two accounts, a document for each, and a table that says into which registration it goes."""

    folder: Path
    emulator: EmulatorProcess
    command: Preloaded
    env: dict[str, str] = field(default_factory=dict)

    def write(self, **registrations: str) -> None:
        lines = ["Target,File,Registration"]
        for name, registration in registrations.items():
            (self.folder / f"{name}.pdf").write_bytes(pdf(name))
            lines.append(f"{name},{name}.pdf,{registration}")
        (self.folder / "letters.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        targets = [
            f'    - {{name: {name}, account: "{account}", role_arn: "arn:aws:iam::{account}:role/uploader"}}'
            for name, account in ACCOUNTS.items()
        ]
        (self.folder / "june.yaml").write_text(
            "\n".join([
                "version: 1", "batch: bound", "targets:", "  defaults: {regions: [us-east-1]}", "  list:", *targets,
                "defaults: {check: bytes}", "attachments:",
                "  - table: letters.csv", '    file: "{col:File}"', '    id: "{col:File}"',
                '    target: "{col:Target}"',
                f'    bind: {{registration: "{{col:Registration}}", field: {OPT_IN}}}', "",
            ]),
            encoding="utf-8",
        )  # fmt: skip

    def plant(self, name: str) -> str:
        """Make the registration of an account, and return its id."""
        made = self.emulator.plant_registration(
            TOLL_FREE, account=ACCOUNTS[name], region="us-east-1", registration_id=f"registration-{name}"
        )
        return str(made["id"])

    def run(self, *words: str) -> Result:
        env = {**CALLER, "AWS_ENDPOINT_URL": self.emulator.url, **self.env}
        return self.command.run(*words, "--json", cwd=self.folder, env=env)

    def held(self) -> dict[str, str]:
        """Return whose attachment each registration holds, by its id."""
        owners = {each["id"]: each["account"] for each in self.emulator.attachments()}
        return {
            each["id"]: owners[each["versions"][-1]["values"][OPT_IN]["RegistrationAttachmentId"]]
            for each in self.emulator.registrations()
            if OPT_IN in each["versions"][-1]["values"]
        }


@pytest.fixture
def accounts(command: Preloaded, tmp_path: Path) -> Iterator[Accounts]:
    with running_emulator(EMULATED) as emulator:
        yield Accounts(tmp_path, emulator, command)


@pytest.fixture
def shared(accounts: Accounts, postgres: PostgresServer, request: pytest.FixtureRequest) -> Accounts:
    """The same with a ledger that several hosts share."""
    accounts.env["BATCH_UPLOAD_LEDGER"] = postgres.new_database(request.node.name[:60])
    return accounts


def test_each_lane_puts_its_own_attachments_into_its_own_registrations(accounts: Accounts) -> None:
    accounts.write(acme=accounts.plant("acme"), beta=accounts.plant("beta"))

    planned = accounts.run("plan", "june.yaml", "--detailed-exitcode")
    done = accounts.run("upload", "june.yaml", "--yes", "--rate", "100")
    again = accounts.run("plan", "june.yaml", "--detailed-exitcode")

    assert planned.code == 3
    assert planned.of("totals")[-1]["calls"]["PutRegistrationFieldValue"] == 2
    assert (done.code, done.states, done.summary["bound"]) == (0, {"complete": 2}, 2)
    assert done.summary["registrations_ready"] == ["registration-acme", "registration-beta"]
    assert accounts.held() == {"registration-acme": ACCOUNTS["acme"], "registration-beta": ACCOUNTS["beta"]}
    assert again.code == 0


@pytest.mark.parametrize("ledger", ["accounts", "shared"])
def test_a_lane_with_a_problem_sends_nothing_and_the_others_go_on(ledger: str, request: pytest.FixtureRequest) -> None:
    accounts: Accounts = request.getfixturevalue(ledger)
    accounts.plant("acme")
    accounts.write(acme="registration-acme", beta="registration-acme")  # which is of the other account

    planned = accounts.run("plan", "june.yaml")
    done = accounts.run("upload", "june.yaml", "--yes", "--rate", "100")

    lanes = {lane["target"]: lane["exit"] for lane in done.summary["lanes"]}
    assert lanes["acme/us-east-1"]["code"] == 0
    assert (lanes["beta/us-east-1"]["code"], lanes["beta/us-east-1"]["retryable"]) == (21, False)
    assert (
        "1 problem in `june.yaml`: letters.csv:3: registration `registration-acme`"
        in (lanes["beta/us-east-1"]["reason"])
    )
    assert (done.code, done.states) == (21, {"complete": 1, "pending": 1})
    (problem,) = done.of("problem")
    assert (problem["file"], problem["line"], problem["code"]) == ("letters.csv", 3, "bind-registration")
    (notice,) = [line for line in done.of("notice") if "letters.csv:3" in line["message"]]
    assert notice["target"] == "beta/us-east-1"
    assert {each["account"] for each in accounts.emulator.attachments()} == {ACCOUNTS["acme"]}
    assert (planned.code, planned.of("problem")) == (21, [problem])
    assert {lane["target"]: lane["exit"]["code"] for lane in planned.summary["lanes"]} == {
        "acme/us-east-1": 0,
        "beta/us-east-1": 21,
    }

    skipped = accounts.run("upload", "june.yaml", "--yes", "--skip-invalid")
    assert (skipped.code, skipped.states) == (20, {"complete": 1, "invalid": 1})


def test_a_worker_of_a_fleet_looks_at_the_registrations_of_its_lanes(shared: Accounts) -> None:
    shared.plant("acme")
    shared.write(acme="registration-acme", beta="registration-acme")
    env = {**CALLER, "AWS_ENDPOINT_URL": shared.emulator.url, **shared.env}

    with shared.command.started("fleet", "worker", "--json", cwd=shared.folder, env=env) as worker:
        ended = shared.run("fleet", "upload", "june.yaml", "--rate", "100")
        worker.signal(signal.SIGTERM)
        told = worker.finish()

    lanes = {lane["target"]: lane["exit"]["code"] for lane in ended.summary["lanes"]}
    assert lanes == {"acme/us-east-1": 0, "beta/us-east-1": 21}
    assert (ended.code, ended.states) == (21, {"complete": 1, "pending": 1})
    assert (ended.summary["bound"], ended.summary["registrations_ready"]) == (1, ["registration-acme"])
    assert any("letters.csv:3: " in line["message"] for line in told.of("notice"))
    assert shared.held() == {"registration-acme": ACCOUNTS["acme"]}


def test_a_ledger_in_place_of_the_manifest_tells_fields_and_denials(accounts: Accounts) -> None:
    accounts.write(acme=accounts.plant("acme"), beta=accounts.plant("beta"))
    assert accounts.run("upload", "june.yaml", "--yes", "--rate", "100").code == 0
    accounts.emulator.deny_registration("registration-beta", {OPT_IN: {"reason": "UNREADABLE"}})
    assert accounts.run("upload", "june.yaml").code == 0

    (denial,) = accounts.run("status", "june.ledger").of("denial")
    history = accounts.run("why", "june.ledger", "acme.pdf")
    report = accounts.run("report", "june.ledger", "-o", "june.jsonl")

    assert (denial["target"], denial["id"], denial["reason"]) == ("beta/us-east-1", "beta.pdf", "UNREADABLE")
    assert [line["target"] for line in history.of("bind_attempt")] == ["acme/us-east-1"]
    assert report.code == 0
    rows = [json.loads(line) for line in (accounts.folder / "june.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["id"]: (row["bound_to"], row["denied_reason"]) for row in rows} == {
        "acme.pdf": (f"registration-acme/{OPT_IN}", None),
        "beta.pdf": (f"registration-beta/{OPT_IN}", "UNREADABLE"),
    }
