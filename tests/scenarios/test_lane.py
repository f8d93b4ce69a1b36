"""Which account, Region, credentials and endpoint a command uses, and which it will not."""

from pathlib import Path

import pytest

from batch_upload.operations import IDENTITY
from tests.support.batches import assert_each_once, make_batch
from tests.support.endpoint import CREDENTIALS, Endpoint
from tests.support.preloaded import Preloaded

QUICK = ("--rate", "100", "--json")
ELSEWHERE = "https://upload.example"


def test_a_ledger_belongs_to_one_account_and_region(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    own = endpoint.account

    ended = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)
    elsewhere = command.run("upload", batch.manifest, "--region", "eu-west-1", *QUICK, cwd=tmp_path, env=endpoint.env)
    planned = command.run("plan", batch.manifest, "--region", "eu-west-1", "--json", cwd=tmp_path, env=endpoint.env)
    endpoint.change(account="300000000000")
    somebody = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    assert [each.code for each in (elsewhere, planned, somebody)] == [24, 24, 24]
    assert own in somebody.stderr
    assert "300000000000" in somebody.stderr
    assert endpoint.stats().creates == 1


def _profile(folder: Path, url: str, **others: str) -> dict[str, str]:
    config, credentials = folder / "aws-config", folder / "aws-credentials"
    lines = [f"{name} = {value}" for name, value in {"region": "us-east-1", **others}.items()]
    config.write_text("\n".join(["[profile acme]", f"endpoint_url = {url}", *lines]) + "\n")
    credentials.write_text("[acme]\naws_access_key_id = AKIDOFACME\naws_secret_access_key = not-a-secret\n")
    return {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}


def test_a_profile_of_the_aws_configuration_is_enough(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    files = _profile(tmp_path, endpoint.url)

    by_variable = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env={**files, "AWS_PROFILE": "acme"})
    by_flag = command.run("upload", batch.manifest, "--profile", "acme", *QUICK, cwd=tmp_path, env=files)
    missing = command.run("upload", batch.manifest, "--profile", "none", *QUICK, cwd=tmp_path, env=files)

    assert (by_variable.code, by_flag.code) == (0, 0), by_variable.stderr
    assert_each_once(endpoint, batch)
    assert missing.code == 22
    assert "Traceback" not in missing.stderr


def test_without_credentials_nothing_is_sent(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)

    ended = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env={"AWS_ENDPOINT_URL": endpoint.url})

    assert ended.code == 22
    endpoint.assert_untouched()


def test_rates_come_from_the_flag_before_the_variable(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    env = {**endpoint.env, "BATCH_UPLOAD_RATE": "33"}

    by_variable = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env=env)
    by_flag = command.run("upload", batch.manifest, "--ledger", "b", "--rate", "44", "--json", cwd=tmp_path, env=env)
    wrong = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env={**env, "BATCH_UPLOAD_RATE": "fast"})

    assert by_variable.of("run")[0]["rate"] == 33
    assert by_flag.of("run")[0]["rate"] == 44
    assert wrong.code == 2


def test_the_region_comes_from_flag_variable_manifest_and_configuration_in_this_order(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1, extra="target: {region: eu-west-1}")
    env = {**endpoint.env, "AWS_REGION": "us-west-2"}
    ours = {**env, "BATCH_UPLOAD_REGION": "eu-west-2"}

    manifest = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=env)
    variable = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=ours)
    flag = command.run("plan", batch.manifest, "--region", "ca-central-1", "--json", cwd=tmp_path, env=ours)

    assert [each.summary["region"] for each in (manifest, variable, flag)] == ["eu-west-1", "eu-west-2", "ca-central-1"]


@pytest.mark.parametrize("way", ["flag", "variable", "service-variable", "profile", "http"])
def test_an_endpoint_that_is_neither_aws_nor_loopback_must_be_allowed(
    endpoint: Endpoint, tmp_path: Path, way: str, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    arguments: dict[str, tuple[str, ...]] = {
        "flag": ("--endpoint-url", ELSEWHERE),
        "http": ("--endpoint-url", "http://upload.example", "--allow-endpoint", "upload.example"),
    }
    env = {
        "variable": {"AWS_ENDPOINT_URL": ELSEWHERE},
        "service-variable": {**endpoint.env, "AWS_ENDPOINT_URL_PINPOINT_SMS_VOICE_V2": ELSEWHERE},
        "profile": {**_profile(tmp_path, ELSEWHERE), "AWS_PROFILE": "acme"},
    }

    ended = command.run(
        *("upload", batch.manifest, *arguments.get(way, ()), *QUICK),
        cwd=tmp_path,
        env={**CREDENTIALS, **env.get(way, {})},
    )

    assert ended.code == 22
    assert "upload.example" in ended.stderr
    assert ended.summary["exit"]["name"] == "access"
    endpoint.assert_untouched()


def test_the_endpoint_may_be_named_for_the_service_alone(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 1)
    env = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_PINPOINT_SMS_VOICE_V2": endpoint.url,
        "AWS_ENDPOINT_URL_STS": endpoint.url,
    }

    ended = command.run("upload", batch.manifest, *QUICK, cwd=tmp_path, env=env)

    assert ended.code == 0, ended.stderr
    assert endpoint.stats().requests[IDENTITY] == 1
