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


def test_a_plan_in_which_nothing_is_left_counts_what_is_unchanged(batch: Batch) -> None:
    lanes = batch.run("plan", "--offline")
    batch.write_single(ONE)
    single = batch.run("plan", "--offline")

    assert "2 unchanged" in lanes.stdout
    assert "1 unchanged" in single.stdout
    assert "nothing is listed" not in lanes.stdout + single.stdout
