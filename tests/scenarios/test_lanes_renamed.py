"""Targets that get another name or another account, and manifests with and without `targets` over one ledger."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batches import pdf
from tests.support.command import Result
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.preloaded import Preloaded

ONE, TWO, OTHER = "100000000001", "100000000002", "100000000009"
KEYS = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "secret"}
ROLE = "arn:aws:iam::{account}:role/uploader"


@pytest.fixture(scope="module")
def service() -> Iterator[EmulatorProcess]:
    """An emulator in which every role can be assumed, without rates."""
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as process:
        yield process


class Batch:
    """A manifest of one file that is written anew with other targets, all over one ledger."""

    def __init__(self, folder: Path, service: EmulatorProcess, command: Preloaded) -> None:
        self.folder, self.service, self.command = folder, service, command
        (folder / "a.pdf").write_bytes(pdf("a"))

    def write(self, **accounts: str) -> None:
        """Let the manifest have these targets, by name."""
        targets = [f'    - {{name: {name}, account: "{account}"}}' for name, account in accounts.items()]
        self._write(
            ["targets:", f'  defaults: {{role_arn: "{ROLE}", regions: [us-east-1]}}', "  list:", *targets],
            "defaults: {target: all}",
        )

    def write_single(self, account: str) -> None:
        """Let the manifest have one `target`."""
        role = ROLE.replace("{account}", account)
        self._write([f'target: {{account: "{account}", region: us-east-1, role_arn: "{role}"}}'])

    def _write(self, target: list[str], *more: str) -> None:
        lines = ["version: 1", "batch: b1", "ledger: b.ledger", *target, *more, "attachments:", "  - file: a.pdf"]
        (self.folder / "m.yaml").write_text("\n".join([*lines, ""]))

    def run(self, verb: str, *arguments: str) -> Result:
        """Run a verb on the manifest as it is now."""
        env = {**KEYS, "AWS_ENDPOINT_URL": self.service.url}
        return self.command.run(verb, "m.yaml", *arguments, cwd=self.folder, env=env)


@pytest.fixture
def batch(tmp_path: Path, service: EmulatorProcess, command: Preloaded) -> Batch:
    """Two targets whose item was uploaded."""
    made = Batch(tmp_path, service, command)
    made.write(one=ONE, two=TWO)
    ended = made.run("upload", "--json")
    assert (ended.code, ended.states) == (0, {"complete": 2}), ended.stderr
    return made


def states_of(ended: Result) -> dict[str, dict[str, int]]:
    return {lane["target"]: lane["states"] for lane in ended.summary["lanes"]}


def test_a_renamed_target_has_what_its_account_has_before_the_next_upload(batch: Batch) -> None:
    batch.write(uno=ONE, two=TWO)

    status, why = batch.run("status", "--json"), batch.run("why", "a.pdf", "--target", "uno", "--json")
    upload = batch.run("upload", "--json")

    assert states_of(status) == {"uno/us-east-1": {"complete": 1}, "two/us-east-1": {"complete": 1}}
    assert why.states == {"complete": 1}
    assert (upload.code, upload.summary["uploaded"]) == (0, 0)


def test_nothing_of_an_account_is_complete_because_its_target_was_another_account(batch: Batch) -> None:
    batch.write(one=ONE, two=OTHER)

    found = {verb: batch.run(verb, "--json") for verb in ("upload", "plan", "verify", "status")}
    people, doctor = batch.run("status"), batch.run("doctor")

    expected = {"one/us-east-1": {"complete": 1}, "two/us-east-1": {"pending": 1}}
    assert {verb: states_of(ended) for verb, ended in found.items()} == dict.fromkeys(found, expected)
    assert {verb: ended.code for verb, ended in found.items()} == {"upload": 24, "plan": 24, "verify": 24, "status": 0}
    accounts = {ended.summary["lanes"][1]["account"] for ended in found.values()}
    assert accounts == {OTHER}
    words = f"`upload` refuses this ledger: `two/us-east-1` is {TWO}/us-east-1 in it, and {OTHER}/us-east-1"
    assert words in people.stdout
    assert "give the other account a target of another name" in doctor.stdout
    assert "`--region`" not in doctor.stdout


def test_status_gives_the_exit_code_of_the_whole_last_run(batch: Batch) -> None:
    batch.write(one=ONE, two=OTHER)
    ended = batch.run("upload")

    people = batch.run("status")

    assert ended.code == 24
    assert "exit 24 (1 of 2 lanes ended with ledger, 1 is done)" in people.stdout


def test_a_last_run_has_no_end_as_long_as_one_of_its_lanes_has_none(batch: Batch) -> None:
    with sqlite3.connect(batch.folder / "b.ledger") as db:
        db.execute("UPDATE run SET ended_at = NULL, exit_code = NULL, summary = NULL WHERE target = 'one/us-east-1'")

    people = batch.run("status")

    assert "stopped without an end" in people.stdout


def test_a_manifest_without_targets_finds_its_lane_in_a_ledger_of_several(batch: Batch) -> None:
    batch.write_single(TWO)

    verbs = [("upload",), ("status",), ("plan",), ("verify",), ("why", "a.pdf")]
    found = {verb: batch.run(verb, *more, "--json") for verb, *more in verbs}
    report = batch.run("report")

    assert {verb: (ended.code, ended.states) for verb, ended in found.items()} == dict.fromkeys(
        found, (0, {"complete": 1})
    )
    assert found["upload"].summary["uploaded"] == 0
    assert (report.code, len(report.stdout.splitlines())) == (0, 2)


def test_a_manifest_that_gets_targets_keeps_what_was_uploaded_without(
    tmp_path: Path, service: EmulatorProcess, command: Preloaded
) -> None:
    batch = Batch(tmp_path, service, command)
    batch.write_single(ONE)
    first = batch.run("upload", "--json")
    batch.write(one=ONE)

    status, upload = batch.run("status", "--json"), batch.run("upload", "--json")

    assert (first.code, first.states) == (0, {"complete": 1})
    assert states_of(status) == {"one/us-east-1": {"complete": 1}}
    assert (upload.code, upload.summary["uploaded"]) == (0, 0)


def test_a_plan_in_which_nothing_is_left_counts_what_is_unchanged(batch: Batch) -> None:
    lanes = batch.run("plan", "--offline")
    batch.write_single(ONE)
    single = batch.run("plan", "--offline")

    assert "2 unchanged" in lanes.stdout
    assert "1 unchanged" in single.stdout
    assert "nothing to do" not in lanes.stdout + single.stdout


def test_lanes_that_were_not_chosen_are_not_counted(batch: Batch) -> None:
    valid, doctor = batch.run("validate", "--target", "one"), batch.run("doctor", "--target", "one")

    assert "1 item in 1 lane" in valid.stdout + valid.stderr
    assert "1 item for 1 lane" in doctor.stdout
