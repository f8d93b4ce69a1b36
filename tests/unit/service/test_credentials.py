"""Fetching credentials: what is told of each failure, and that nothing waits for ever."""

import os
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from anyio import to_thread
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from batch_upload.emulator.serve import serving
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.errors import AccessFault, ServiceError, Throttled
from batch_upload.service.access import Access, open_session
from batch_upload.service.client import open_service
from batch_upload.service.credentials import CredentialsUnreached, FetchedCredentials, credential_fault

ROLE = "arn:aws:iam::123456789012:role/uploader"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The AWS configuration file of this test."""
    path = tmp_path / "config"
    path.write_text("[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


class Recorded(AIOHTTPSession):  # type: ignore[misc]  # the library is untyped
    """Sends nothing: keeps where a request would have gone, and answers with no connection."""

    asked: list[str]

    async def send(self, request: Any) -> Any:  # noqa: ANN401 - as the library has it
        self.asked.append(request.url)
        raise sdk.EndpointConnectionError(endpoint_url=request.url)


def write_profiles(config: Path, text: str) -> None:
    config.write_text(text)


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def fetch(*, limit_s: float = 30.0, **access: Any) -> Any:  # noqa: ANN401
    chosen = Access(**access)
    return await FetchedCredentials(
        await open_session(chosen), chosen, "us-east-1", limit_s=limit_s
    ).get_frozen_credentials()


def children() -> list[str]:
    """The names of this process's children, zombies included; none where there is no /proc."""
    pids = [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
    return [Path("/proc", pid, "comm").read_text().strip() for pid in pids]


async def test_a_helper_that_hangs_is_given_up_named_and_killed(config: Path, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    helper = write_script(tmp_path / "helper", f"exec 3>{alive}\nexec sleep 1000")
    write_profiles(config, f"[profile acme]\ncredential_process = {helper} hunter2\n")
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    with pytest.raises(AccessFault) as given_up:
        await fetch(profile="acme", limit_s=0.5)

    assert "sleep" not in children()  # nor is it left as a zombie
    assert f"`credential_process` of profile `acme` (`{helper}`) has not ended within 0.5 s" in given_up.value.message
    assert "hunter2" not in given_up.value.message
    assert await to_thread.run_sync(os.read, reader, 1) == b""  # its end of the pipe was closed: it is dead
    os.close(reader)


async def test_a_source_profile_with_a_helper_is_held_to_the_same_rules(config: Path) -> None:
    write_profiles(
        config,
        "[profile base]\ncredential_process = /no/such/helper\n"
        f"[profile acme]\nrole_arn = {ROLE}\nsource_profile = base\n",
    )

    with pytest.raises(AccessFault, match="`credential_process` of profile `base` names `/no/such/helper`"):
        await fetch(profile="acme")


async def test_codes_are_asked_for_one_after_another_along_a_chain_of_roles(config: Path, tmp_path: Path) -> None:
    async with serving(EmulatorSettings()) as running:
        write_profiles(
            config,
            f"[profile keys]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = x\n"
            f"[profile inner]\nrole_arn = {ROLE}\nsource_profile = keys\nmfa_serial = arn:inner\n"
            f"[profile outer]\nrole_arn = {ROLE}\nsource_profile = inner\nmfa_serial = arn:outer\n"
            f"endpoint_url = {running.url}\n",
        )
        asked: list[str] = []

        async def answer(question: str) -> str:
            asked.append(question)
            return "123456"

        await fetch(profile="outer", ask_code=answer)

    assert [question.split("`")[1] for question in asked] == ["arn:outer", "arn:inner"]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_a_role_is_assumed_at_the_token_service_of_the_runs_region(
    monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    asked: list[str] = []
    monkeypatch.setattr(Recorded, "asked", asked, raising=False)

    async with open_service(Access(region=region, role_arn=ROLE, http_session=Recorded)) as service:
        with pytest.raises(CredentialsUnreached):
            await service.account()

    assert asked == [f"https://sts.{region}.amazonaws.com/"]


def said(code: str, operation: str, status: int = 400) -> sdk.ClientError:
    response: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return sdk.ClientError(response, operation)


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (said("AccessDenied", "AssumeRole", 403), AccessFault, "`sts:AssumeRole`"),
        (said("AccessDenied", "AssumeRoleWithWebIdentity", 403), AccessFault, "`sts:AssumeRoleWithWebIdentity`"),
        (said("ForbiddenException", "GetRoleCredentials", 403), AccessFault, ""),
        (said("ExpiredTokenException", "AssumeRoleWithWebIdentity"), AccessFault, "sign in again"),
        (said("ValidationError", "AssumeRole"), AccessFault, "target.role_arn"),
        (said("Throttling", "AssumeRole"), Throttled, ""),
        (said("InternalFailure", "AssumeRole", 500), CredentialsUnreached, ""),
        (said("503", "AssumeRole", 503), CredentialsUnreached, ""),
        (sdk.SSOTokenLoadError(error_msg="gone"), AccessFault, "`aws sso login --profile acme`"),
        (sdk.UnauthorizedSSOTokenError(), AccessFault, "`aws sso login --profile acme`"),
        (sdk.TokenRetrievalError(provider="sso", error_msg="gone"), AccessFault, "`aws sso login --profile acme`"),
        (sdk.LoginRefreshRequired(), AccessFault, "`aws login --profile acme`"),
        (sdk.RefreshWithMFAUnsupportedError(), AccessFault, "new code"),
        (sdk.EndpointConnectionError(endpoint_url="https://sts"), CredentialsUnreached, ""),
        (sdk.ReadTimeoutError(endpoint_url="https://sts"), CredentialsUnreached, ""),
        (sdk.CredentialRetrievalError(provider="x", error_msg="Unsupported version"), AccessFault, ""),
        (ResponseParserError("no XML"), CredentialsUnreached, "login page"),
        (KeyError("AssumeRoleResult"), CredentialsUnreached, "login page"),
        (FileNotFoundError(2, "No such file", "/run/token"), AccessFault, "service account"),
        (PermissionError(13, "Permission denied", "/run/token"), AccessFault, "service account"),
        (OSError(5, "Input/output error"), AccessFault, ""),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), AccessFault, ""),
        (RuntimeError("Credentials were refreshed, but are still expired"), AccessFault, ""),
        (ValueError("Auth token value is not a legal header value"), AccessFault, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_whatever_goes_wrong_is_access_unless_nobody_answered(
    config: Path, error: Exception, kind: type[ServiceError], hint: str
) -> None:
    write_profiles(config, "[profile acme]\nsso_start_url = https://corp.example/start\n")

    fault = credential_fault(error, await open_session(Access(profile="acme")))

    assert type(fault) is kind
    assert hint in fault.hint
    assert fault.message
    assert fault.code


async def test_the_profile_to_sign_in_to_is_the_one_that_has_the_login(config: Path) -> None:
    write_profiles(
        config,
        f"[profile base]\nsso_session = corp\n[profile acme]\nrole_arn = {ROLE}\nsource_profile = base\n"
        "[sso-session corp]\nsso_region = us-east-1\n",
    )

    fault = credential_fault(sdk.UnauthorizedSSOTokenError(), await open_session(Access(profile="acme")))

    assert "`aws sso login --profile base`" in fault.hint
