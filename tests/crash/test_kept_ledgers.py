"""Ledgers of every schema version, and damaged ones, kept as files: opened, or refused and left as they are."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION
from tests.crash.make_ledgers import ACCOUNTS, ITEMS, KEPT
from tests.support.batches import make_batch
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.invariants import read_copy
from tests.support.kill_ground import Ground, Site
from tests.support.preloaded import Preloaded

REFUSED = {
    "truncated": "damaged",
    "random-header": "damaged",
    "random-page": "damaged",
    "text": "not a ledger",
    "other-database": "not a ledger",
    "newer": "9.0.0",
}


def test_there_is_a_ledger_of_every_schema_version() -> None:
    assert sorted(ACCOUNTS) == list(range(1, SCHEMA_VERSION + 1))
    assert all((KEPT / f"version-{version}.ledger").exists() for version in ACCOUNTS)


@pytest.mark.parametrize("version", ACCOUNTS)
def test_a_ledger_of_a_past_version_is_gone_on_with_and_what_it_says_is_believed(ground: Ground, version: int) -> None:
    site = ground.site(ITEMS, account=ACCOUNTS[version])
    _put(site, f"version-{version}")

    ended = site.upload()

    assert ended.code == 0, ended.result.stderr
    assert ended.result.summary["states"] == {"complete": ITEMS}
    assert site.endpoint.stats().creates == ITEMS - 1
    assert read_copy(site.batch.ledger, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


@pytest.mark.parametrize("version", ACCOUNTS)
def test_a_ledger_of_a_past_version_is_read_as_it_is(
    emulator: EmulatorProcess, command: Preloaded, tmp_path: Path, version: int
) -> None:
    endpoint, batch = Endpoint(emulator), make_batch(tmp_path, ITEMS)
    endpoint.change(account=ACCOUNTS[version])
    _copy_to(batch.ledger, f"version-{version}")

    status, why, report, plan = (
        command.run(verb, batch.manifest, *words, "--json", cwd=tmp_path, env=endpoint.env)
        for verb, *words in (("status",), ("why", batch.ids[0]), ("report", "-o", "june.csv"), ("plan",))
    )

    assert [ended.code for ended in (status, why, report, plan)] == [0] * 4, plan.stderr
    assert status.states == report.states == {"complete": 1, "sending": 1, "pending": 1}
    assert "registration-attachment-1" in why.stdout
    with (tmp_path / "june.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["state"], row["attempts"]) for row in rows] == [("complete", "1"), ("sending", "1"), ("pending", "0")]
    assert [each["action"] for each in plan.of("action")] == ["unchanged", "resolve", "create"]
    assert batch.ledger.read_bytes() == (KEPT / f"version-{version}.ledger").read_bytes()
    assert endpoint.stats().creates == 0


def test_a_ledger_that_was_only_begun_is_finished(ground: Ground) -> None:
    site = ground.site(ITEMS)
    _put(site, "half-made")

    site.settle()


@pytest.mark.parametrize("name", REFUSED)
def test_a_ledger_that_cannot_be_believed_is_refused_and_left_as_it_is(ground: Ground, name: str) -> None:
    site = ground.site(ITEMS)
    _put(site, name)

    ended = site.upload()

    assert ended.code == 24, ended.result.stderr
    assert REFUSED[name] in ended.result.stderr
    assert "Traceback" not in ended.result.stderr
    assert site.endpoint.stats().requests == Counter()
    assert site.batch.ledger.read_bytes() == (KEPT / f"{name}.ledger").read_bytes()


def _put(site: Site, name: str) -> None:
    _copy_to(site.batch.ledger, name)


def _copy_to(ledger: Path, name: str) -> None:
    shutil.copyfile(KEPT / f"{name}.ledger", ledger)
    ledger.chmod(0o600)
