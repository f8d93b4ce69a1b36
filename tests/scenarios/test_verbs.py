"""What each verb says, to people and to machines."""

import csv
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from batch_upload.operations import CREATE, LIMITS
from tests.support.batches import Batch, assert_adds_up, make_batch, token_of
from tests.support.command import Result, run
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

HEADER = (
    "id,source,sha256,size_bytes,content_type,client_token,state,registration_attachment_id,"
    "registration_attachment_arn,attachment_status,error_code,error_reason,error_message,attempts,request_id,"
    "first_sent_at,completed_at,target,account,region,bound_to,tags,uploaded_by,run_id,batch,"
    "denied_reason,feedback"
)
SUMMARY = {
    *("event", "schema_version", "verb", "run_id", "batch", "account", "region", "items", "states", "uploaded"),
    *("unchanged", "requests", "throttled", "bytes", "elapsed_s", "exit"),
}
EXIT = {"code", "name", "retryable", "reason", "resume_after"}
VERBS = {
    "upload": (),
    "plan": (),
    "validate": (),
    "status": (),
    "report": ("-o", "june.csv"),
    "verify": (),
    "reconcile": (),
    "why": ("files/000.pdf",),
}


@pytest.fixture
def mixed(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Batch:
    """Three items: one complete, one failed, one never sent."""
    batch = make_batch(tmp_path, 3)
    endpoint.faults({"action": "validation", "operation": CREATE, "body_contains": "document 1"})
    command.run(
        *("upload", batch.manifest, "--only", batch.ids[0], "--only", batch.ids[1], "--rate", "100"),
        cwd=tmp_path,
        env=endpoint.env,
    )
    endpoint.faults()
    return batch


def _assert_whole(result: Result, verb: str) -> None:
    for line in result.events:
        assert line["schema_version"] == 1
        assert isinstance(line["event"], str)
    assert [line["event"] for line in result.events].count("summary") == 1
    summary = assert_adds_up(result)
    assert summary.keys() >= SUMMARY
    assert summary["exit"].keys() == EXIT
    assert summary["verb"] == verb
    assert summary["exit"]["retryable"] is (10 <= result.code <= 19)
    assert isinstance(summary["requests"], dict)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_speaks_ndjson_that_ends_with_a_whole_summary(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, verb: str
) -> None:
    batch = make_batch(tmp_path, 2)
    uploaded = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)

    ended = command.run(verb, batch.manifest, *VERBS[verb], "--json", cwd=tmp_path, env=endpoint.env)
    quiet = command.run(verb, batch.manifest, *VERBS[verb], "--json", "--quiet", cwd=tmp_path, env=endpoint.env)

    _assert_whole(uploaded, "upload")
    _assert_whole(ended, verb)
    assert (ended.code, quiet.code) == (0, 0), ended.stderr
    assert ended.summary["batch"] == "acme-2026"
    assert quiet.stderr == ""
    _assert_whole(quiet, verb)


@pytest.mark.parametrize("verb", ["upload", "plan", "validate", "status"])
def test_an_error_is_a_summary_too(command: Preloaded, tmp_path: Path, verb: str) -> None:
    ended = command.run(verb, "none.yaml", "--json", cwd=tmp_path)

    assert ended.code == 2
    _assert_whole(ended, verb)


def test_items_end_with_what_scripts_need(endpoint: Endpoint, command: Preloaded, mixed: Batch) -> None:
    endpoint.faults({"action": "validation", "operation": CREATE, "body_contains": "document 1"})
    ended = command.run("upload", mixed.manifest, "--rate", "100", "--json", cwd=mixed.folder, env=endpoint.env)

    assert ended.code == 20
    lines = {line["id"]: line for line in ended.of("item")}
    sent, failed = lines[mixed.ids[2]], lines[mixed.ids[1]]
    assert (sent["state"], sent["error"]) == ("complete", None)
    assert sent["client_token"] == token_of(mixed.ids[2], mixed.documents[mixed.ids[2]])
    assert sent["registration_attachment_id"] in {each["id"] for each in endpoint.attachments()}
    assert (failed["state"], failed["registration_attachment_id"]) == ("failed", None)
    assert failed["error"]["code"] == "ValidationException"


def test_a_plan_says_what_and_why_and_changes_nothing(endpoint: Endpoint, command: Preloaded, mixed: Batch) -> None:
    before, creates = mixed.ledger.read_bytes(), endpoint.stats().creates
    (mixed.folder / mixed.ids[0]).write_bytes(mixed.documents[mixed.ids[0]] + b"changed\n")

    people = command.run("plan", mixed.manifest, cwd=mixed.folder, env=endpoint.env)
    machines = command.run("plan", mixed.manifest, "--json", cwd=mixed.folder, env=endpoint.env)
    work = command.run("plan", mixed.manifest, "--detailed-exitcode", cwd=mixed.folder, env=endpoint.env)

    assert {line["id"]: line["action"] for line in machines.of("action")} == {
        mixed.ids[0]: "replace",
        mixed.ids[1]: "create",
        mixed.ids[2]: "create",
    }
    assert all(line["reason"] and line["client_token"] for line in machines.of("action"))
    assert (people.code, machines.code, work.code) == (0, 0, 3)
    assert all(item_id in people.stdout for item_id in mixed.ids)
    assert mixed.ledger.read_bytes() == before
    assert endpoint.stats().creates == creates
    assert endpoint.stats().requests[LIMITS] >= 1


@pytest.mark.parametrize("only", ["pending", "complete", "files/000.pdf"])
def test_a_plan_of_a_part_counts_the_whole_manifest(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, only: str
) -> None:
    batch = make_batch(tmp_path, 4)
    command.run("upload", batch.manifest, "--only", batch.ids[0], "--rate", "100", cwd=tmp_path, env=endpoint.env)

    planned = command.run("plan", batch.manifest, "--only", only, "--json", cwd=tmp_path, env=endpoint.env)

    chosen = [event for event in planned.events if event["event"] == "action"]
    assert len(chosen) == (3 if only == "pending" else 1)
    assert assert_adds_up(planned)["items"] == 4
    assert planned.states == {"complete": 1, "pending": 3}


def test_an_offline_plan_needs_no_credentials_and_no_service(command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    ended = command.run("plan", batch.manifest, "--offline", "--json", cwd=tmp_path)
    people = command.run("plan", batch.manifest, "--offline", cwd=tmp_path)

    assert (ended.code, people.code) == (0, 0), ended.stderr
    assert [line["action"] for line in ended.of("action")] == ["create", "create"]
    assert ended.summary["requests"] == {}
    assert ended.summary["account"] is None
    assert not batch.ledger.exists()


def test_a_plan_with_nothing_to_do_is_no_work(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)

    ended = command.run("plan", batch.manifest, "--detailed-exitcode", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    assert [line["action"] for line in ended.of("action")] == ["unchanged", "unchanged"]


def test_status_counts_and_names_what_needs_a_person(command: Preloaded, mixed: Batch) -> None:
    people = command.run("status", mixed.manifest, cwd=mixed.folder)
    machines = command.run("status", mixed.manifest, "--json", cwd=mixed.folder)

    assert (people.code, machines.code) == (0, 0)
    assert mixed.ids[1] in people.stdout
    assert mixed.ids[0] not in people.stdout
    assert machines.states == {"pending": 1, "complete": 1, "failed": 1}


def test_the_report_has_a_row_for_each_item_sent_or_not(command: Preloaded, mixed: Batch) -> None:
    table = command.run("report", mixed.manifest, cwd=mixed.folder)
    lines = command.run("report", mixed.manifest, "--format", "jsonl", cwd=mixed.folder)
    some = command.run("report", mixed.manifest, "--only", "failed,pending", cwd=mixed.folder)

    assert table.stdout.split("\n")[0].rstrip("\r") == HEADER
    rows = list(csv.DictReader(io.StringIO(table.stdout, newline="")))
    assert [(row["id"], row["state"]) for row in rows] == list(
        zip(mixed.ids, ("complete", "failed", "pending"), strict=True)
    )
    assert rows[1]["error_code"] == "ValidationException"
    objects = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [set(each) for each in objects] == [set(HEADER.split(","))] * 3
    assert [row["id"] for row in csv.DictReader(io.StringIO(some.stdout, newline=""))] == mixed.ids[1:]


def test_a_report_of_what_failed_is_a_manifest_that_runs(endpoint: Endpoint, command: Preloaded, mixed: Batch) -> None:
    (mixed.folder / "again").mkdir()
    written = command.run(
        *("report", mixed.manifest, "--only", "failed", "--format", "manifest", "-o", "again/failed.yaml"),
        cwd=mixed.folder,
    )
    planned = command.run("plan", "again/failed.yaml", "--allow-outside", "--json", cwd=mixed.folder, env=endpoint.env)
    ended = command.run(
        *("upload", "again/failed.yaml", "--allow-outside", "--rate", "100", "--json"),
        cwd=mixed.folder,
        env=endpoint.env,
    )
    status = command.run("status", mixed.manifest, "--json", cwd=mixed.folder)

    assert written.code == 0, written.stderr
    assert [line["id"] for line in planned.of("action") if line["action"] == "create"] == [mixed.ids[1]]
    assert (ended.code, ended.states) == (0, {"complete": 1}), ended.stderr
    assert status.states == {"pending": 1, "complete": 2}


def test_a_report_in_json_needs_a_file(command: Preloaded, mixed: Batch) -> None:
    ended = command.run("report", mixed.manifest, "--json", cwd=mixed.folder)

    assert ended.code == 2
    assert "-o" in ended.stderr


def test_validate_says_yes_without_a_ledger_or_a_service(command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    ended = command.run("validate", batch.manifest, cwd=tmp_path)

    assert ended.code == 0
    assert not batch.ledger.exists()


def test_the_schema_is_a_json_schema(command: Preloaded, tmp_path: Path) -> None:
    ended = command.run("manifest", "schema", cwd=tmp_path)

    assert ended.code == 0
    assert {"version", "batch", "attachments"} <= json.loads(ended.stdout)["properties"].keys()


def test_the_module_is_the_command(tmp_path: Path) -> None:
    ended = run("--version", cwd=tmp_path, command=(sys.executable, "-m", "batch_upload"))
    installed = run("--version", cwd=tmp_path)

    assert (
        (ended.code, ended.stdout)
        == (installed.code, installed.stdout)
        == (0, f"batch-upload {version('batch-upload')}\n")
    )


@pytest.mark.parametrize("verb", ["", *VERBS, "watch", "emulator"])
def test_help_exits_with_0(command: Preloaded, tmp_path: Path, verb: str) -> None:
    ended = command.run(*([verb] if verb else []), "--help", cwd=tmp_path)

    assert ended.code == 0
    assert "Usage: batch-upload" in ended.stdout


@pytest.mark.parametrize("verb", ["", "upload", "plan"])
def test_help_shows_the_exit_codes(command: Preloaded, tmp_path: Path, verb: str) -> None:
    told = " ".join(command.run(*([verb] if verb else []), "--help", cwd=tmp_path).stdout.split())

    for words in (
        "0 done, or nothing to do",
        "13 the day's quota is used up",
        "27 the account is full",
        "22 credentials, permission",
        "130 drained after SIGINT",
        "143 drained after SIGTERM",
    ):
        assert words in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload",),
        ("upload", "june.yaml", "--raet", "5"),
        ("upload", "june.yaml", "--rate", "fast"),
        ("upload", "june.yaml", "--rate", "0"),
        ("upload", "june.yaml", "--rate", "nan"),
        ("upload", "june.yaml", "--concurrency", "0"),
        ("upload", "june.yaml", "--deadline", "soon"),
        ("upload", "june.yaml", "--max-failures", "101%"),
        ("upload", "june.yaml", "--safe-horizon", "-1s"),
        ("report", "june.yaml", "--format", "pdf"),
        ("report", "june.yaml", "-o", "nowhere/at-all.csv"),
        ("frobnicate",),
        ("upload", "june.yaml", "--nope"),
        ("plan", "june.yaml", "--shard", "3/2"),
        ("watch", "june.yaml", "--port", "99999"),
        ("manifest", "new"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_fault_of_usage(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    make_batch(tmp_path, 1)

    ended = command.run(*arguments, cwd=tmp_path, env=endpoint.env)
    for_machines = command.run(*arguments, "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 2
    assert "Traceback" not in ended.stderr
    assert (for_machines.code, for_machines.summary["exit"]["name"]) == (2, "usage")
    endpoint.assert_untouched()


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (("--json",), ""),
        (("--json", "upload", "june.yaml"), "upload"),
        (("upload", "june.yaml", "--json", "--rate"), "upload"),
    ],
)
def test_arguments_that_cannot_be_read_end_with_a_summary_of_the_verb_that_they_name(
    command: Preloaded, tmp_path: Path, arguments: tuple[str, ...], verb: str
) -> None:
    ended = command.run(*arguments, cwd=tmp_path)

    assert (ended.code, ended.summary["verb"], ended.summary["exit"]["name"]) == (2, verb, "usage")


@pytest.mark.parametrize("name", ["BATCH_UPLOAD_JSON", "BATCH_UPLOAD_QUIET"])
def test_a_variable_of_a_switch_that_is_neither_true_nor_false_is_named(
    command: Preloaded, tmp_path: Path, name: str
) -> None:
    ended = command.run("validate", "june.yaml", cwd=tmp_path, env={name: "maybe"})

    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: `{name}=maybe` is neither true nor false\n")


def test_a_switch_of_the_environment_is_turned_off_by_its_flag(command: Preloaded, tmp_path: Path) -> None:
    make_batch(tmp_path, 1)
    env = {"BATCH_UPLOAD_JSON": "1", "BATCH_UPLOAD_QUIET": "1"}

    switched_on = command.run("validate", "june.yaml", cwd=tmp_path, env=env)
    switched_off = command.run("validate", "june.yaml", "--no-json", "--no-quiet", cwd=tmp_path, env=env)

    assert (switched_on.code, switched_off.code) == (0, 0)
    assert switched_on.stdout.startswith('{"event"')
    assert "is valid: 1 item" in switched_off.stdout + switched_off.stderr
    assert "event" not in switched_off.stdout


def test_the_list_of_verbs_holds_each_verbs_whole_sentence(command: Preloaded, tmp_path: Path) -> None:
    overview = " ".join(command.run("--help", cwd=tmp_path).stdout.split())

    for verb in ("upload", "plan", "validate", "status", "why", "report", "verify", "reconcile", "prune", "doctor"):
        sentence = command.run(verb, "--help", cwd=tmp_path).stdout.split("Arguments:")[0].split("\n", 1)[1]
        assert " ".join(sentence.split()) in overview
    assert "..." not in overview.partition("Commands:")[2]
