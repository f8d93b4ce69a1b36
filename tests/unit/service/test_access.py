"""Where documents may go, and in whose name."""

from pathlib import Path

import pytest

from batch_upload.emulator.serve import serving
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.errors import AccessFault, ExitCode
from batch_upload.service.access import (
    Access,
    StaticKeys,
    check_endpoint,
    endpoint_for_sts,
    is_aws,
    open_session,
)
from batch_upload.service.client import open_service
from batch_upload.service.http import is_loopback

KEYS = StaticKeys("AKIDEXAMPLE", "not-a-secret")
ALLOWED = [
    "https://sms-voice.us-east-1.amazonaws.com",
    "https://SMS-VOICE.us-east-1.AMAZONAWS.COM",
    "https://sms-voice.cn-north-1.amazonaws.com.cn",
    "https://sms-voice-fips.us-east-1.amazonaws.com:443/path",
    "https://sms-voice.us-east-1.api.aws",
    "http://127.0.0.1:4566",
    "http://127.1.2.3",
    "http://[::1]:4566",
    "http://localhost:4566",
    "http://LOCALHOST",
    "http://sms.localhost:80",
    "https://localhost",
    "https://sms-voice.eusc-de-east-1.amazonaws.eu",
    "https://sms-voice-fips.eusc-de-east-1.amazonaws.eu",
    "https://sms-voice.eusc-de-east-1.api.amazonwebservices.eu",
    "https://sms-voice-fips.us-gov-west-1.amazonaws.com",
    "https://sts.amazonaws.com",
    "https://sts-fips.us-east-1.amazonaws.com",
    "https://sts.cn-north-1.api.amazonwebservices.com.cn",
    "https://vpce-0a1b-us-east-1a.sms-voice.us-east-1.vpce.amazonaws.com",
    "https://vpce-0a1b.sts.eusc-de-east-1.vpce.amazonaws.eu",
]
REFUSED = [
    "http://sms-voice.us-east-1.amazonaws.com",
    "https://amazonaws.com.evil.example",
    "https://sms-voice.us-east-1.amazonaws.com.evil.example",
    "https://evilamazonaws.com",
    "https://amazonaws.com@evil.example",
    "https://sms-voice.us-east-1.amazonaws.com:443@evil.example",
    "https://evil.example/amazonaws.com",
    "https://evil.example?x=.amazonaws.com",
    "https://evil.example#.amazonaws.com",
    "https://evil.example\\.amazonaws.com/",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://2130706433",
    "http://0.0.0.0:4566",
    "http://[::]:4566",
    "http://10.0.0.1",
    "http://169.254.169.254",
    "http://notlocalhost",
    "https://abcde.execute-api.us-east-1.amazonaws.com",
    "https://ec2-203-0-113-1.compute-1.amazonaws.com",
    "https://lb-1.us-east-1.elb.amazonaws.com",
    "https://bucket.s3.amazonaws.com",
    "https://sms-voice.s3.us-east-1.amazonaws.com",
    "https://s3.us-east-1.amazonaws.com",
    "https://sms-voice.us-east-1.evil.amazonaws.com",
    "https://sms-voice.us-east-1.amazonaws.com.",
    "https://evil.sms-voice.us-east-1.amazonaws.com",
    "https://vpce-0a1b.vpce-svc-0c2d.us-east-1.vpce.amazonaws.com",
    "ftp://127.0.0.1",
    "127.0.0.1:4566",
    "https://",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_aws_and_this_machine_need_no_permission(url: str) -> None:
    check_endpoint(url, ())


@pytest.mark.parametrize("url", REFUSED)
def test_anything_else_is_refused_however_it_looks(url: str) -> None:
    with pytest.raises(AccessFault) as refused:
        check_endpoint(url, ())

    assert refused.value.code == "EndpointNotAllowed"
    assert refused.value.exit_code is ExitCode.ACCESS


def test_another_host_is_allowed_by_name_in_any_case_and_by_no_other() -> None:
    check_endpoint("https://Proxy.Example:8443/aws", {"proxy.example"})
    check_endpoint("https://proxy.example", {"PROXY.EXAMPLE"})
    with pytest.raises(AccessFault):
        check_endpoint("https://other.proxy.example", {"proxy.example"})


def test_a_host_that_is_allowed_is_not_allowed_in_the_clear() -> None:
    with pytest.raises(AccessFault, match="not encrypted"):
        check_endpoint("http://proxy.example", {"proxy.example"})


WITH_PASSWORDS = [
    "https://user:hunter2@evil.example",
    "https://evil.example/?key=hunter2",
    "u:hunter2@127.0.0.1",
    "http://u:hunter2@",
    "http://u:hunter2@127.0.0.1:4566",
    "http://u:hunter2",
    "http://u:hunter2%40127.0.0.1",
    "http://u:hun/hunter2@127.0.0.1",
    "http://u:hunter2@[::1",
    "http://u:hunter2\u2100@127.0.0.1",
    "http:\\\\u:hunter2@127.0.0.1",
    "http:/u:hunter2@127.0.0.1",
    "//u:hunter2@127.0.0.1",
    "u:hunter2",
    "hunter2@127.0.0.1",
    " http://u:hunter2@127.0.0.1",
    "http://127.0.0.1:hunter2",
    "http://[hunter2]",
    "http://hunter2 .example",
]


@pytest.mark.parametrize("url", WITH_PASSWORDS)
def test_what_may_be_secret_in_an_endpoint_is_not_shown(url: str) -> None:
    with pytest.raises(AccessFault) as refused:
        check_endpoint(url, ())

    assert refused.value.code == "EndpointNotAllowed"
    assert "hunter2" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("url", WITH_PASSWORDS)
async def test_an_endpoint_that_was_given_is_refused_before_the_sdk_sees_it(url: str) -> None:
    with pytest.raises(AccessFault) as refused:
        async with open_service(Access(region="us-east-1", endpoint_url=url, keys=KEYS)):
            pass

    assert refused.value.code == "EndpointNotAllowed"
    assert "hunter2" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("url", [url for url in WITH_PASSWORDS if "evil.example/?" not in url])
@pytest.mark.parametrize(
    "variable", [f"AWS_ENDPOINT_URL{end}" for end in ("", "_PINPOINT_SMS_VOICE_V2", "_STS", "_SSO")]
)
async def test_an_endpoint_of_a_variable_is_refused_before_the_sdk_sees_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(variable, url)

    with pytest.raises(AccessFault) as refused:
        await open_session(Access(region="us-east-1"))

    assert "hunter2" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("nested", [False, True])
async def test_an_endpoint_of_the_configuration_file_is_refused_before_the_sdk_sees_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nested: bool,  # noqa: FBT001
) -> None:
    config, url = tmp_path / "config", "endpoint_url = u:hunter2@127.0.0.1"
    named = f"services = ours\n[services ours]\npinpoint_sms_voice_v2 =\n  {url}\n"
    config.write_text(f"[default]\n{named if nested else url}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    with pytest.raises(AccessFault) as refused:
        async with open_service(Access(region="us-east-1", keys=KEYS)):
            pass

    assert refused.value.code == "EndpointNotAllowed"
    assert "hunter2" not in refused.value.message + refused.value.hint


async def test_an_endpoint_that_the_sdk_is_told_to_ignore_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "u:hunter2@127.0.0.1")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")

    async with open_service(Access(region="us-east-1", keys=KEYS)) as service:
        assert service.endpoint == "https://sms-voice.us-east-1.amazonaws.com"


@pytest.mark.parametrize(("host", "is_it"), [("::1", True), ("[::1]", True), ("127.9.9.9", True), ("8.8.8.8", False)])
def test_loopback_is_told_by_address(host: str, is_it: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is is_it


def test_aws_is_told_by_the_whole_name() -> None:
    assert is_aws("sts.us-east-1.amazonaws.com")
    assert not is_aws("s3.us-east-1.amazonaws.com")
    assert not is_aws("amazonaws.com.example")
    assert not is_aws("evilamazonaws.com")


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        (Access(), None),
        (Access(endpoint_url="http://127.0.0.1:1"), "http://127.0.0.1:1"),
        (Access(endpoint_url="https://sms-voice-fips.us-east-1.amazonaws.com"), None),
        (Access(endpoint_url="http://127.0.0.1:1", sts_endpoint_configured=True), None),
        (Access(endpoint_url="https://proxy.example", allowed_hosts=frozenset({"proxy.example"})), "https://proxy.example"),
    ],
)  # fmt: skip
def test_a_stand_in_for_the_service_stands_in_for_the_identity_too(access: Access, expected: str | None) -> None:
    assert endpoint_for_sts(access) == expected


async def test_without_credentials_nothing_is_opened() -> None:
    with pytest.raises(AccessFault) as refused:
        async with open_service(Access(region="us-east-1")):
            pass

    assert refused.value.code == "NoCredentialsError"


async def test_a_profile_that_is_not_there_is_a_fault_of_access() -> None:
    with pytest.raises(AccessFault, match="acme"):
        async with open_service(Access(region="us-east-1", profile="acme")):
            pass


async def test_without_a_region_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(AccessFault) as refused:
        async with open_service(Access(keys=StaticKeys("AKIDEXAMPLE", "not-a-secret"))):
            pass

    assert refused.value.code == "NoRegionError"


async def test_an_endpoint_of_the_environment_is_checked_like_one_that_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://evil.example")

    with pytest.raises(AccessFault, match=r"evil\.example"):
        async with open_service(Access(region="us-east-1", keys=StaticKeys("AKIDEXAMPLE", "not-a-secret"))):
            pass


async def test_a_configuration_that_cannot_be_read_is_a_fault_of_access(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    with pytest.raises(AccessFault):
        async with open_service(Access(region="us-east-1")):
            pass


async def test_a_role_is_assumed_with_the_users_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(EmulatorSettings()) as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        access = Access(region="us-east-1", role_arn="arn:aws:iam::999999999999:role/uploader")

        async with open_service(access) as service:
            assert await service.account() == "999999999999"

        requests = running.emulator.stats()["requests"]
        assert requests == {"AssumeRole": 1, "GetCallerIdentity": 1}


async def test_what_botocore_calls_its_endpoints_is_aws_in_every_partition() -> None:
    session = await open_session(Access())
    regions = [
        region
        for partition in session.get_available_partitions()
        for region in await session.get_available_regions("pinpoint-sms-voice-v2", partition)
    ]

    for region in regions:
        async with open_service(Access(region=region, keys=KEYS)) as service:
            assert service.endpoint
    assert "eusc-de-east-1" in regions


async def test_a_role_cannot_be_assumed_without_credentials() -> None:
    access = Access(region="us-east-1", role_arn="arn:aws:iam::999999999999:role/uploader")

    with pytest.raises(AccessFault, match="to assume"):
        async with open_service(access):
            pass


async def test_a_role_that_is_refused_is_a_fault_of_access(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(EmulatorSettings(deny=frozenset({"AssumeRole"}))) as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        access = Access(region="us-east-1", role_arn="arn:aws:iam::999999999999:role/uploader")

        with pytest.raises(AccessFault) as refused:
            async with open_service(access):
                pass

    assert refused.value.hint.startswith("the identity needs `sts:AssumeRole`")
