"""`emulator`, and the emulator of `--local`: where they cannot start, and with many accounts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.batches import make_batch, pdf
from tests.support.emulated_lanes import assert_each_token_once, create_rate, creates_by_lane, roles_assumed
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.preloaded import Preloaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--settings", '{"colour": "red"}'], "the emulator's settings cannot be used"),
        (["--settings", "missing.json"], "the settings `missing.json` cannot be read"),
        (["--state", "missing/state"], "the emulator's state `missing/state` cannot be opened"),
    ],
)
def test_an_emulator_that_cannot_start_is_the_callers_fault(
    command: Preloaded, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = command.run("emulator", *arguments, "--json", cwd=tmp_path)

    assert (ended.code, ended.summary["exit"]["name"]) == (2, "usage")
    assert message in ended.stderr


def test_a_local_state_that_is_something_else_is_the_callers_fault_and_left_as_it_is(
    command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    state = tmp_path / f"{Path(batch.manifest).stem}.local.service"
    state.write_bytes(b"something else\n")

    ended = command.run("upload", batch.manifest, "--local", "--json", cwd=tmp_path)

    assert (ended.code, ended.summary["exit"]["name"]) == (2, "usage")
    assert f"`{state.name}` is not a state of the emulator" in ended.stderr
    assert state.read_bytes() == b"something else\n"


ACME, BETA, GAMMA = "111122223333", "444455556666", "777788889999"
EAST, WEST = "us-east-1", "us-west-2"
CREATE = "CreateRegistrationAttachment"
MANY_LANES: Mapping[str, Any] = {
    "rates": {"*": None, CREATE: {"per_second": 20, "mode": "bucket"}},
    "processing_s": 0,
    "refused_roles": [GAMMA],
    "lanes": {
        ACME: {"rates": {CREATE: 50}},
        f"{ACME}/{WEST}": {"attachments_per_account": 2},
        f"{BETA}/{WEST}": {"faults": [{"action": "internal_error", "operation": "*", "lasts_s": 3600}]},
    },
}


@pytest.fixture(scope="module")
def many() -> Iterator[EmulatorProcess]:
    with running_emulator(MANY_LANES) as process:
        yield process


def client_of(url: str, account: str, region: str, service: str = "pinpoint-sms-voice-v2", **keys: str) -> Any:  # noqa: ANN401 - boto3 ships no types
    given = keys or {"aws_access_key_id": account, "aws_secret_access_key": "any"}
    retries = Config(retries={"mode": "standard", "total_max_attempts": 1})
    return boto3.client(service, endpoint_url=url, region_name=region, config=retries, **given)


def test_each_account_and_region_has_limits_and_faults_of_its_own_and_is_found_in_log_and_counters(
    many: EmulatorProcess,
) -> None:
    ends: dict[str, list[str]] = {}
    for account in (ACME, BETA):
        sts = client_of(many.url, "999988887777", EAST, "sts")
        answer = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/uploader", RoleSessionName="batch-upload")
        keys = answer["Credentials"]
        for region in (EAST, WEST):
            client = client_of(
                many.url,
                account,
                region,
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys["SessionToken"],
            )
            ended = ends.setdefault(f"{account}/{region}", [])
            while len(ended) < 4:
                try:
                    client.create_registration_attachment(AttachmentBody=pdf("a"), ClientToken=f"item-{len(ended)}")
                    ended.append("created")
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    ended.extend([] if code == "ThrottlingException" else [code])

    stats, entries = many.stats(), many.entries()
    rates = {lane: create_rate(times) for lane, times in creates_by_lane(entries).items()}
    assert ends == {
        f"{ACME}/{EAST}": ["created"] * 4,
        f"{ACME}/{WEST}": ["created"] * 2 + ["ServiceQuotaExceededException"] * 2,
        f"{BETA}/{EAST}": ["created"] * 4,
        f"{BETA}/{WEST}": ["InternalServerException"] * 4,
    }
    assert_each_token_once(many.attachments())
    assert {lane: each["attachments"] for lane, each in stats["lanes"].items() if each["attachments"]} == {
        f"{ACME}/{EAST}": 4,
        f"{ACME}/{WEST}": 2,
        f"{BETA}/{EAST}": 4,
    }
    assert rates[f"{ACME}/{EAST}"] <= 50 * 1.001
    assert rates[f"{BETA}/{EAST}"] <= 20 * 1.001
    assert roles_assumed(stats) == {ACME: 1, BETA: 1}
    assert {(entry.account, entry.region) for entry in entries if entry.operation == "AssumeRole"} == {
        ("999988887777", EAST)
    }


def test_a_role_of_an_account_that_refuses_it_gives_no_keys(many: EmulatorProcess) -> None:
    sts = client_of(many.url, "999988887777", EAST, "sts")

    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
        sts.assume_role(RoleArn=f"arn:aws:iam::{GAMMA}:role/uploader", RoleSessionName="batch-upload")
