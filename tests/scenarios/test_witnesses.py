"""`--log-file`, `--metrics-file` and `--notify`: what is left for those who were not there."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from socket import gethostname

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_upload.operations import CREATE
from tests.support.batches import Batch, make_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.monitor import monitor
from tests.support.preloaded import Preloaded

FAST = ("--rate", "100")
ALL = ("--log-file", "run.log", "--log-format", "json", "--metrics-file", "june.prom")


def metrics(folder: Path) -> dict[str, float]:
    """Every number of the file by its name, with the state or operation behind it where it has one."""
    found = {}
    for family in text_string_to_metric_families((folder / "june.prom").read_text(encoding="utf-8")):
        for sample in family.samples:
            mark = sample.labels.get("state") or sample.labels.get("operation") or ""
            found[" ".join(filter(None, (sample.name.removeprefix("batch_upload_"), mark)))] = sample.value
    return found


def labels(folder: Path) -> dict[str, str]:
    """What the file says of the run itself."""
    families = {each.name: each for each in text_string_to_metric_families((folder / "june.prom").read_text())}
    return dict(families["batch_upload_run_info"].samples[0].labels)


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint, *flags: str) -> Result:
    return command.run("upload", batch.manifest, *FAST, "--json", *flags, cwd=batch.folder, env=endpoint.env)


def test_one_run_is_told_to_all_by_one_id(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.faults({"action": "throttle", "operation": CREATE, "times": 1})
    with monitor() as heard:
        ended = upload(command, batch, endpoint, *ALL, "--notify", heard.url)
    status = command.run("status", batch.manifest, "--json", cwd=tmp_path)

    run_id = ended.summary["run_id"]
    assert ended.code == 0, ended.stderr
    assert status.summary["run_id"] == run_id
    lines = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert {line["run_id"] for line in lines} == {run_id}
    assert (lines[0]["event"], lines[-1]["event"], lines[-1]["states"]) == ("begin", "summary", {"complete": 3})
    assert [line["outcome"] for line in lines if line["event"] == "request"].count("throttled") == 1
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid"]
    assert "3 complete" in heard.heard[1][2]
    assert labels(tmp_path) == {
        **{"manifest": "june.yaml", "verb": "upload", "batch": "acme-2026", "version": version("batch-upload")},
        **{"account": endpoint.account, "region": "us-east-1", "run_id": run_id, "host": gethostname()},
    }
    found = metrics(tmp_path)
    assert (found["run_exit_code"], found["items complete"], found["run_in_progress"]) == (0, 3, 0)
    assert (found[f"run_requests {CREATE}"], found[f"run_throttled_requests {CREATE}"]) == (4, 1)
    assert found["last_success_timestamp_seconds"] == found["run_end_timestamp_seconds"]
    assert (tmp_path / "run.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "june.prom").stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(("verb", "flags"), [("verify", ()), ("reconcile", ())])
def test_other_verbs_that_do_work_tell_as_much(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, verb: str, flags: tuple[str, ...]
) -> None:
    batch = make_batch(tmp_path, 2)
    upload(command, batch, endpoint)
    with monitor() as heard:
        ended = command.run(
            verb, batch.manifest, *ALL, "--notify", heard.url, "--quiet", *flags, cwd=tmp_path, env=endpoint.env
        )

    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid"]
    assert metrics(tmp_path)["items complete"] == 2
    lines = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert {"begin", "request", "summary"} <= {line["event"] for line in lines}
    assert {line["verb"] for line in lines} == {verb}


def test_a_plan_is_logged(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)

    ended = command.run("plan", batch.manifest, "--log-file", "run.log", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    told = [line.split(" ")[3] for line in (tmp_path / "run.log").read_text().splitlines()]
    assert told == ["begin", "request", "request", "request", "summary"]


def _is_invalid(batch: Batch, endpoint: Endpoint) -> int:
    (batch.folder / batch.ids[0]).write_text("no document")
    return 21


def _has_no_credentials(batch: Batch, endpoint: Endpoint) -> int:
    endpoint.change(deny=["GetCallerIdentity"])
    return 22


def _has_a_bad_ledger(batch: Batch, endpoint: Endpoint) -> int:
    batch.ledger.write_bytes(b"not a ledger" * 100)
    return 24


@pytest.mark.parametrize("breaks", [_is_invalid, _has_no_credentials, _has_a_bad_ledger])
def test_a_run_that_fails_early_raises_an_alarm_and_keeps_the_last_success(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, breaks: Callable[[Batch, Endpoint], int]
) -> None:
    batch = make_batch(tmp_path, 1)
    upload(command, batch, endpoint, *ALL)
    before, where = metrics(tmp_path), labels(tmp_path)
    code = breaks(batch, endpoint)

    with monitor() as heard:
        ended = upload(command, batch, endpoint, *ALL, "--notify", heard.url)

    assert ended.code == code
    after = metrics(tmp_path)
    assert after["run_exit_code"] == code
    assert after["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    assert after["items complete"] == 1
    assert {**labels(tmp_path), "run_id": ""} == {**where, "run_id": ""}
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid/fail"]
    assert f"exit {code} " in heard.heard[1][2]
    assert json.loads((tmp_path / "run.log").read_text().splitlines()[-1])["exit"]["code"] == code


def test_a_run_that_another_holds_off_says_that_it_lives(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    endpoint.change(processing_s=3600)
    with (
        monitor() as heard,
        command.started("upload", batch.manifest, *FAST, "--json", cwd=tmp_path, env=endpoint.env) as first,
    ):
        first.until("run")
        ended = upload(command, batch, endpoint, *ALL, "--notify", heard.url)

    assert ended.code == 11
    assert metrics(tmp_path)["run_exit_code"] == 11
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid/log"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--log-file", "nowhere/run.log"),
        ("--log-file", "files"),
        ("--log-format", "xml"),
        ("--metrics-file", "nowhere/june.prom"),
        ("--metrics-file", "files"),
        ("--metrics-file", "/dev/null"),
        ("--notify", "ftp://canary-uuid.example"),
    ],
    ids=" ".join,
)
def test_a_witness_that_cannot_be_told_is_a_fault_of_usage_before_anything_is_sent(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    batch = make_batch(tmp_path, 1)

    ended = upload(command, batch, endpoint, *flags)

    assert ended.code == 2
    assert flags[0] in ended.stderr
    assert "canary-uuid" not in ended.stderr + ended.stdout
    endpoint.assert_untouched()


def test_nobody_at_the_other_end_changes_nothing_and_is_told_of_once(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    url = "http://127.0.0.1:9/canary-uuid"

    ended = upload(command, batch, endpoint, "--log-file", "run.log", "--notify", url)
    again = upload(command, batch, endpoint, "--quiet", "--notify", url)

    assert (ended.code, again.code, again.stderr) == (0, 0, "")
    assert ended.stderr.count("warning: `--notify` http://127.0.0.1/… was not told: connection refused") == 1
    assert "canary-uuid" not in ended.stderr + (tmp_path / "run.log").read_text()


def test_a_disk_that_is_full_for_the_log_does_not_stop_the_run(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)

    ended = upload(command, batch, endpoint, "--log-file", "/dev/full")

    assert (ended.code, ended.states) == (0, {"complete": 2})
    assert ended.stderr.count("`/dev/full` cannot be written any more: no space left on device") == 1


def test_each_may_be_a_variable(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)
    with monitor() as heard:
        variables = {
            "BATCH_UPLOAD_LOG_FILE": "run.log",
            "BATCH_UPLOAD_LOG_FORMAT": "json",
            "BATCH_UPLOAD_METRICS_FILE": "june.prom",
            "BATCH_UPLOAD_NOTIFY": heard.url,
        }
        ended = command.run("upload", batch.manifest, *FAST, cwd=tmp_path, env={**endpoint.env, **variables})
        asked = command.run("status", batch.manifest, cwd=tmp_path, env={**endpoint.env, **variables})

    assert (ended.code, asked.code) == (0, 0)
    assert json.loads((tmp_path / "run.log").read_text().splitlines()[0])["event"] == "begin"
    assert metrics(tmp_path)["run_exit_code"] == 0
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid"]
