"""The very line of `deploy/crontab`, in an environment as bare as cron's."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_upload.cli.flags import Flags
from batch_upload.operations import CREATE, IDENTITY
from tests.support.batches import assert_each_once, make_batch
from tests.support.command import TIMEOUT_S, Result
from tests.support.endpoint import Endpoint
from tests.support.scheduled import CRONTAB, CronJob, crontab_of, kill_all, require, write_profile

SILENT = ("", "")


@pytest.fixture
def cron(endpoint: Endpoint, tmp_path: Path) -> CronJob:
    """Three documents, and a home with the profile that the crontab names."""
    home = tmp_path / "home"
    variables = crontab_of(CRONTAB.read_text(encoding="utf-8")).variables
    write_profile(home, variables["AWS_PROFILE"], endpoint_url=endpoint.url)
    folder = tmp_path / "srv"
    return CronJob(home, make_batch(folder, 3).path)


def _said(result: Result) -> tuple[str, str]:
    return result.stdout, result.stderr


def test_cron_itself_takes_the_file() -> None:
    require("crontab")

    checked = subprocess.run(["crontab", "-n", CRONTAB], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


def test_cron_would_not_take_a_file_that_is_wrong(tmp_path: Path) -> None:
    require("crontab")
    wrong = tmp_path / "crontab"
    wrong.write_text(CRONTAB.read_text(encoding="utf-8").replace("17 * * * *", "77 * * * *"))

    checked = subprocess.run(["crontab", "-n", wrong], capture_output=True, text=True, check=False)

    assert checked.returncode != 0


def test_the_command_has_no_percent_sign_which_cron_would_take_for_a_line_end() -> None:
    assert "%" not in crontab_of(CRONTAB.read_text(encoding="utf-8")).command


def test_the_line_uploads_and_then_has_nothing_to_do_and_both_are_silent(endpoint: Endpoint, cron: CronJob) -> None:
    batch = make_batch(cron.manifest.parent, 3)

    first = cron.run()
    before = endpoint.stats()
    again = cron.run()
    after = endpoint.stats()

    assert (first.code, *_said(first)) == (0, *SILENT)
    assert (again.code, *_said(again)) == (0, *SILENT)
    assert_each_once(endpoint, batch)
    assert after.requests - before.requests == {IDENTITY: 1}


def test_a_line_that_meets_its_own_last_run_ends_at_once_without_a_word(endpoint: Endpoint, cron: CronJob) -> None:
    endpoint.faults({"action": "hang", "operation": CREATE, "times": 1})

    with cron.started() as running:
        endpoint.wait_for(CREATE)
        second = cron.run()
        assert running.poll() is None

    assert (second.code, *_said(second)) == (11, *SILENT)
    assert endpoint.stats().creates == 1


def test_what_a_person_must_act_on_is_printed_so_that_cron_mails_it(endpoint: Endpoint, cron: CronJob) -> None:
    endpoint.faults({"action": "validation", "operation": CREATE, "body_contains": "document 1"})

    ended = cron.run()

    assert (ended.code, ended.stdout) == (20, "")
    assert "files/001.png" in ended.stderr
    assert f"batch-upload why {cron.manifest} files/001.png" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_a_day_that_is_used_up_is_no_mail_and_costs_one_request_an_hour(endpoint: Endpoint, cron: CronJob) -> None:
    endpoint.change(attachments_per_day=1)

    ended = cron.run()
    before = endpoint.stats()
    again = cron.run()

    assert (ended.code, *_said(ended)) == (13, *SILENT)
    assert (again.code, *_said(again)) == (13, *SILENT)
    assert endpoint.stats().requests - before.requests == {IDENTITY: 1}


def test_credentials_that_are_missing_are_told_and_cost_nothing(endpoint: Endpoint, cron: CronJob) -> None:
    (cron.home / ".aws" / "credentials").unlink()

    ended = cron.run()

    assert ended.code == 22
    assert "credentials" in ended.stderr
    endpoint.assert_untouched()


def test_a_backup_that_was_made_during_a_run_can_be_restored_and_gone_on_with(
    endpoint: Endpoint, cron: CronJob, tmp_path: Path
) -> None:
    require("sqlite3")
    batch = make_batch(cron.manifest.parent, 2)
    endpoint.faults({"action": "hang", "operation": CREATE, "after": 1, "times": 1, "done": True})
    backup = tmp_path / "backup"

    with cron.started() as running:
        endpoint.wait_for(CREATE, times=2)
        subprocess.run(["sqlite3", batch.ledger, f".backup '{backup}'"], check=True, timeout=TIMEOUT_S)
        kill_all(running)
    for part in batch.folder.glob("june.ledger*"):
        part.unlink()
    backup.rename(batch.ledger)
    restored = cron.run()

    assert (restored.code, *_said(restored)) == (0, *SILENT)
    assert_each_once(endpoint, batch)


def test_the_numbers_that_the_line_leaves_are_such_as_prometheus_reads(
    endpoint: Endpoint, cron: CronJob, tmp_path: Path
) -> None:
    metrics = tmp_path / "june.prom"
    asked = {"BATCH_UPLOAD_METRICS_FILE": str(metrics)}
    endpoint.change(attachments_per_day=1)

    ended = cron.run(asked)
    found = {
        (sample.name, sample.labels.get("state")): sample.value
        for family in text_string_to_metric_families(metrics.read_text(encoding="utf-8"))
        for sample in family.samples
    }

    assert (ended.code, *_said(ended)) == (13, *SILENT)
    assert found["batch_upload_run_exit_code", None] == 13
    assert found["batch_upload_items", "complete"] == 1
    assert found["batch_upload_items", "parked"] == 2
    assert found["batch_upload_run_in_progress", None] == 0


def test_the_variables_that_are_left_to_be_filled_in_are_known_to_the_command() -> None:
    named = set(re.findall(r"^# BATCH_UPLOAD_(\w+)=", CRONTAB.read_text(encoding="utf-8"), re.MULTILINE))

    assert named == {"METRICS_FILE", "NOTIFY"}
    assert {name.lower() for name in named} <= {field.name for field in fields(Flags)}
