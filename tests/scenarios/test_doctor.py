"""`doctor`: a line for each check, every one made although another failed, and the exit code that they mean."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.app.checks import Check
from batch_upload.app.doctor import doctor
from batch_upload.operations import (
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    LIMITS,
    LIST_TAGS,
    PUT_FIELD,
    REGISTRATIONS,
)
from tests.support.batches import Batch, make_batch
from tests.support.command import Result, run
from tests.support.emulator_process import running_emulator
from tests.support.endpoint import CREDENTIALS, Endpoint
from tests.support.fleets import make_fleet
from tests.support.preloaded import Preloaded


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return make_batch(tmp_path, 3)


def verdicts(result: Result) -> dict[str, str]:
    """Check → verdict."""
    return {line["check"]: line["verdict"] for line in result.of("check")}


def message(result: Result, check: str) -> str:
    """What was said of a check."""
    found: str = next(line["message"] for line in result.of("check") if line["check"] == check)
    return found


def test_everything_is_well_before_and_after_a_run(command: Preloaded, endpoint: Endpoint, batch: Batch) -> None:
    before = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)
    command.run("upload", batch.path, "--quiet", cwd=batch.folder, env=endpoint.env)
    after = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert (before.code, after.code) == (0, 0)
    assert set(verdicts(after).values()) == {"ok"}
    assert {check for check, verdict in verdicts(before).items() if verdict != "ok"} == {f"may {LIST_TAGS}"}
    assert after.summary["account"] == endpoint.account
    assert after.summary["exit"]["reason"] == "nothing is wrong"
    assert "environment variables" in message(after, "credentials")
    assert "3 of" in message(after, "capacity")


def test_without_a_manifest_and_without_credentials_it_says_so(command: Preloaded, tmp_path: Path) -> None:
    result = command.run("doctor", "--json", cwd=tmp_path)

    assert result.code == 22
    assert verdicts(result)["credentials"] == "fail"
    assert verdicts(result)["ledger"] == "skip"


def test_the_embedded_emulator_needs_nothing_and_leaves_nothing(command: Preloaded, batch: Batch) -> None:
    before = sorted(batch.folder.iterdir())

    result = command.run("doctor", batch.path, "--local", cwd=batch.folder)

    assert result.code == 0
    assert result.stdout.startswith("ok    programs")
    assert sorted(batch.folder.iterdir()) == before


def test_each_permission_is_tried_although_another_is_missing(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    command.run("upload", batch.path, "--quiet", cwd=batch.folder, env=endpoint.env)
    endpoint.change(deny=[LIMITS])
    convenience = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)
    endpoint.change(deny=[LIMITS, LIST_TAGS])
    needed = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert convenience.code == 0
    assert verdicts(convenience) | {f"may {LIMITS}": "warn", "capacity": "skip"} == verdicts(convenience)
    assert needed.code == 22
    assert verdicts(needed) | {f"may {DESCRIBE}": "ok", f"may {LIST_TAGS}": "fail"} == verdicts(needed)
    assert needed.summary["exit"]["reason"].startswith(f"may {LIST_TAGS}: AccessDeniedException")


@pytest.mark.parametrize(("ahead_s", "verdict", "code"), [(-90, "warn", 0), (400, "fail", 22)])
def test_a_clock_that_is_off_is_told(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, ahead_s: int, verdict: str, code: int
) -> None:
    endpoint.change(clock_ahead_s=ahead_s)

    result = command.run("doctor", "--json", cwd=tmp_path, env=endpoint.env)
    endpoint.change(clock_ahead_s=0)

    assert (result.code, verdicts(result)["clock"]) == (code, verdict)
    assert ("ahead of" if ahead_s < 0 else "behind") in message(result, "clock")


def test_another_account_than_the_manifests_is_a_failure_of_that_check_alone(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1, extra='target: {account: "999999999999"}')

    result = command.run("doctor", batch.path, "--json", cwd=tmp_path, env=endpoint.env)

    assert result.code == 22
    assert [check for check, verdict in verdicts(result).items() if verdict == "fail"] == ["account"]


def test_too_little_capacity_is_a_warning(command: Preloaded, endpoint: Endpoint, batch: Batch) -> None:
    endpoint.change(attachments_per_account=2)

    result = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert (result.code, verdicts(result)["capacity"]) == (0, "warn")
    assert "3 attachments of this manifest are still to be created" in message(result, "capacity")


def test_an_endpoint_that_is_not_allowed_is_never_asked(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    env = {**CREDENTIALS, "AWS_ENDPOINT_URL": "https://example.test"}

    result = command.run("doctor", "--json", cwd=tmp_path, env=env)

    assert (result.code, verdicts(result)["endpoint"], verdicts(result)["account"]) == (22, "fail", "skip")
    assert endpoint.stats().requests.total() == 0


@pytest.mark.parametrize("url", ["u:hunter2@127.0.0.1", "http://u:hunter2@", "http://u:hunter2", "//u:hunter2@host"])
@pytest.mark.parametrize("where", ["--endpoint-url", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_an_endpoint_that_is_no_url_fails_the_check_of_the_endpoint_alone(
    command: Preloaded, batch: Batch, url: str, where: str
) -> None:
    """In our words: the SDK, which would show the password, is never given the endpoint."""
    given = (where, url) if where.startswith("--") else ()
    variables = {} if given else {where: url}

    result = command.run("doctor", batch.path, "--json", *given, cwd=batch.folder, env={**CREDENTIALS, **variables})

    assert result.code == 22
    assert [check for check, verdict in verdicts(result).items() if verdict == "fail"] == ["endpoint"]
    assert message(result, "endpoint").startswith("the endpoint ")
    assert "hunter2" not in result.stdout + result.stderr


def test_a_service_that_does_not_answer_is_worth_another_try(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.faults({"operation": LIMITS, "action": "internal_error"})

    result = command.run("doctor", "--json", cwd=tmp_path, env=endpoint.env)

    assert (result.code, verdicts(result)[f"may {LIMITS}"]) == (10, "fail")


def test_a_ledger_of_another_account_or_with_damage_is_told_and_everything_else_is_looked_at(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    command.run("upload", batch.path, "--quiet", cwd=batch.folder, env=endpoint.env)
    batch.ledger.chmod(0o644)
    with closing(sqlite3.connect(batch.ledger)) as raw, raw:
        raw.execute("UPDATE lane SET account = '000000000001'")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("DELETE FROM sqlite_schema WHERE type = 'table' AND name = 'digest'")

    result = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert result.code == 24
    assert verdicts(result)["ledger pages"] == "fail"
    assert verdicts(result)["ledger rights"] == "warn"
    assert verdicts(result)["account"] == "ok"


def test_a_manifest_with_problems_does_not_hide_the_rest(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "june.yaml").write_text("version: 2\n", encoding="utf-8")

    result = command.run("doctor", "june.yaml", "--json", cwd=tmp_path, env=endpoint.env)

    assert result.code == 21
    assert (verdicts(result)["manifest"], verdicts(result)["account"]) == ("fail", "ok")


def test_nothing_secret_is_shown(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[acme]\naws_access_key_id = AKIACANARY\naws_secret_access_key = canary-key\naws_session_token = canary\n",
        encoding="utf-8",
    )
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_ENDPOINT_URL": endpoint.url}

    result = run("doctor", "--profile", "acme", "-vv", cwd=tmp_path, env=env)

    assert result.code == 0
    assert "from the shared credentials file, profile `acme`" in result.stdout
    assert "canary" not in (result.stdout + result.stderr).lower()


async def test_a_program_gets_each_check_as_it_is_made(
    endpoint: Endpoint, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in endpoint.env.items():
        monkeypatch.setenv(name, value)
    requests_at = dict[str, int]()

    class Heard:
        def notify(self, event: object) -> None:
            if isinstance(event, Check):
                requests_at[event.name] = endpoint.stats().requests.total()

    found = await doctor(batch.path, observer=Heard())

    assert [check.name for check in found.checks] == list(requests_at)
    assert requests_at["credentials"] < requests_at["account"] < requests_at[f"may {DESCRIBE}"]
    assert (found.summary.exit.code, found.summary.account) == (0, endpoint.account)


def test_one_throttled_assumerole_fails_no_lane(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=1, regions=("us-east-1",))
    once = {"action": "throttle", "operation": "AssumeRole", "times": 1}
    caller = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    with running_emulator({"rates": {"*": None}, "faults": [once]}) as emulator:
        env = {**caller, "AWS_ENDPOINT_URL": emulator.url}
        ended = command.run("doctor", fleet.path, "--json", cwd=tmp_path, env=env)
        asked = emulator.stats()["throttled"]

    verdicts = [line["verdict"] for line in ended.of("check") if line["check"] == "credentials"]
    assert ended.code == 0, ended.stdout
    assert verdicts == ["ok"] * 2
    assert asked["AssumeRole"] >= 1


def test_a_region_that_only_the_manifest_may_name_is_not_missing_while_the_manifest_has_a_problem(
    command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1, extra="targets: {list: [{name: acme, regions: [us-east-1]}]}")

    nowhere = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    result = command.run("doctor", batch.path, "--json", cwd=tmp_path, env=CREDENTIALS, base=nowhere)
    alone = command.run("doctor", "--json", cwd=tmp_path, env=CREDENTIALS, base=nowhere)

    assert (verdicts(result)["manifest"], verdicts(result)["region"]) == ("fail", "skip")
    assert message(result, "region") == "not known: the manifest may name it, and has a problem"
    assert verdicts(alone)["region"] == "fail"


BIND = "bind: {registration: registration-1, field: messagingUseCase.optInImage}"
OF_REGISTRATIONS = [f"may {each}" for each in (REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD)]


def bound_batch(batch: Batch) -> Batch:
    """The batch with its first item bound to a field."""
    head, first, rest = batch.path.read_text(encoding="utf-8").partition("  - file:")
    line, _, others = rest.partition("\n")
    batch.path.write_text(f"{head}{first}{line}\n    {BIND}\n{others}", encoding="utf-8")
    return batch


def test_a_manifest_that_binds_is_checked_for_the_permissions_of_registrations(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    bound_batch(batch)
    none_yet = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)
    endpoint.plant_registration("registration-1")
    found = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert (none_yet.code, found.code) == (0, 0), found.stderr
    assert [verdicts(none_yet)[check] for check in OF_REGISTRATIONS] == ["ok", "skip", "skip", "skip"]
    assert [verdicts(found)[check] for check in OF_REGISTRATIONS] == ["ok", "ok", "ok", "skip"]
    assert message(found, f"may {PUT_FIELD}").startswith("not tried")
    assert endpoint.stats().requests[PUT_FIELD] == 0


def test_a_missing_permission_for_registrations_fails_but_for_reading_values_warns(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    bound_batch(batch)
    endpoint.plant_registration("registration-1")
    endpoint.change(deny=[FIELD_DEFINITIONS, FIELD_VALUES])
    some = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)
    endpoint.change(deny=[REGISTRATIONS])
    none = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert (some.code, none.code) == (22, 22)
    assert [verdicts(some)[check] for check in OF_REGISTRATIONS] == ["ok", "fail", "warn", "skip"]
    assert [verdicts(none)[check] for check in OF_REGISTRATIONS] == ["fail", "skip", "skip", "skip"]


def test_a_manifest_that_binds_nothing_is_not_asked_about_registrations(
    command: Preloaded, endpoint: Endpoint, batch: Batch
) -> None:
    result = command.run("doctor", batch.path, "--json", cwd=batch.folder, env=endpoint.env)

    assert result.code == 0
    assert not verdicts(result).keys() & set(OF_REGISTRATIONS)
    assert not endpoint.stats().requests.keys() & {REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES}


def test_the_embedded_emulator_has_the_registrations_that_doctor_asks_for(command: Preloaded, batch: Batch) -> None:
    bound_batch(batch)

    result = command.run("doctor", batch.path, "--local", "--json", cwd=batch.folder)

    assert result.code == 0, result.stderr
    assert [verdicts(result)[check] for check in OF_REGISTRATIONS] == ["ok", "ok", "ok", "skip"]
