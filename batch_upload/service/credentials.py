"""Fetch credentials within a time limit: keys, SSO, roles, token files, metadata services, helper programs.

Every failure is an `AccessFault` that names the cause and what to do about it, except that a network which does not
answer is `CredentialsUnreached`, which may be retried.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from inspect import isawaitable
from typing import Any

import anyio
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioCredentials,
    AioDeferredRefreshableCredentials,
    create_credential_resolver,
)
from aiobotocore.session import AioSession
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from batch_upload.errors import AccessFault, NoAnswer, ServiceError, Throttled, Transient
from batch_upload.service.access import Access, endpoint_for_sts
from batch_upload.service.faults import plain_line, sdk_fault
from batch_upload.service.network import with_issuer
from batch_upload.service.sharing import Turns
from batch_upload.settings import variable_naming
from batch_upload.shortage import shortage_of

FETCH_LIMIT_S = 60.0
"""How long fetching may take, without the time of a person at a prompt. A helper may have to open a browser."""
SESSION_NAME = "batch-upload"
TOKEN_FILE_VARIABLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
ROLE_METHODS = frozenset({"assume-role", "assume-role-with-web-identity"})
"""botocore's names of the sources whose answer names the account of the role (`AssumedRoleUser.Arn`)."""
NO_CREDENTIALS = "NoCredentialsError"
"""The code of an AccessFault for a configuration without credentials."""
_NO_METADATA = ("Received error when attempting", "non 200 response 5")
"""Parts of botocore's messages if a metadata service did not answer. One that refused did answer."""
NO_CREDENTIALS_HINT = "`aws configure`, `aws sso login` or `--profile NAME`; `--local` needs none"
REAP_S = 1.0
"""Seconds that a killed `credential_process` is waited for. SIGKILL ends it at once, unless the kernel holds it."""


class CredentialsUnreached(NoAnswer):
    """The source of the credentials (STS, SSO, a metadata service) did not answer. The request was never sent."""


class _CodeWanted(Exception):
    """botocore needs the code of an MFA device. Control flow: a person is asked where waiting is possible."""

    def __init__(self, prompt: str) -> None:
        super().__init__(prompt)
        self.prompt = prompt


class FetchedCredentials:
    """Credentials that are fetched at their first use and renewed before they expire. botocore signs with them.

    If `access` names a role, they are the role's, assumed with the user's own. `turns` says how long a fault is kept.
    """

    def __init__(
        self,
        session: AioSession,
        access: Access,
        region: str | None,
        *,
        limit_s: float = FETCH_LIMIT_S,
        turns: Turns | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._session = session
        self._access = access
        self._region = region
        self._found: Any = None
        self._turns = turns or Turns()
        self._unreached: CredentialsUnreached | Throttled | None = None
        self._role_account: str | None = None

    @property
    def method(self) -> str | None:
        """botocore's name of their source; None before they were fetched."""
        return None if self._found is None else str(self._found.method)

    @property
    def expires_at(self) -> datetime | None:
        """When they expire; None if they do not, and before they were fetched."""
        found: datetime | None = getattr(self._found, "_expiry_time", None)  # botocore has no public name for it
        return found

    @property
    def role_account(self) -> str | None:
        """The account that STS named when the role was assumed. None for other keys, and before they were fetched."""
        return self._role_account

    def get_deferred_property(self, name: str) -> Callable[[], None]:
        """botocore's way to ask for the account id, for endpoints that have it. Those of the service and STS do not."""
        return self.get_account_id

    def get_account_id(self) -> None:
        """Return no account id, for the same reason."""

    async def fetch(self) -> None:
        """Fetch them before their first use. Raises AccessFault.

        A source that does not answer now, or is too busy, may answer later: the first request fails with that, and is
        retried.
        """
        try:
            await self.get_frozen_credentials()
        except (CredentialsUnreached, Throttled) as error:
            self._unreached = error

    async def get_frozen_credentials(self) -> Any:  # noqa: ANN401 - as botocore's
        """Return the keys to sign with. Raises AccessFault, CredentialsUnreached or Throttled."""
        if self._unreached is not None:
            error, self._unreached = self._unreached, None
            raise error
        if self._found is None:
            async with self._turns.turn():
                if self._found is None:
                    return await self._load()
        try:
            return await self._found.get_frozen_credentials()
        except Exception as error:
            if (fault := await self._fault(error)) is error:
                raise  # not from itself: that would be a circle
            raise fault from error

    async def _load(self) -> Any:  # noqa: ANN401
        codes: list[str] = []
        while True:
            try:
                return await self._fetch(list(codes))
            except _CodeWanted as wanted:
                codes.append(await self._ask_for_code(wanted.prompt))
            except Exception as error:
                if (fault := await self._fault(error)) is error:
                    raise  # not from itself: that would be a circle
                raise fault from error

    async def _fault(self, error: Exception) -> ServiceError:
        return await with_issuer(credential_fault(error, self._session), error)

    async def _fetch(self, codes: list[str]) -> Any:  # noqa: ANN401
        with anyio.move_on_after(self._limit_s):
            found = await self._resolve(codes)
            frozen = await found.get_frozen_credentials()
            self._found = _within_limit(found, self._session, self._limit_s)
            if found.method in ROLE_METHODS and re.fullmatch(r"[0-9]{12}", frozen.account_id or ""):
                self._role_account = frozen.account_id
            return frozen
        raise _too_slow(self._session, self._limit_s)

    async def _resolve(self, codes: list[str]) -> Any:  # noqa: ANN401
        """Try botocore's chain of providers. `codes` answers its MFA prompts, one after another."""

        def prompter(prompt: str) -> str:
            if not codes:
                raise _CodeWanted(prompt)
            return codes.pop(0)

        if (keys := self._access.keys) is not None:
            return AioCredentials(keys.access_key, keys.secret_key, method="explicit")
        resolver = create_credential_resolver(self._session, region_name=self._region)
        roles = resolver.get_provider("assume-role")
        roles._prompter = prompter
        builder = roles._profile_provider_builder
        make_process_provider = builder._create_process_provider

        def limited(profile_name: str) -> Any:  # noqa: ANN401
            provider = make_process_provider(profile_name)
            provider._popen = partial(_start_helper, profile_name)
            return provider

        builder._create_process_provider = limited
        process = resolver.get_provider("custom-process")
        process._popen = partial(_start_helper, profile_of(self._session))
        found = await resolver.load_credentials()
        role_arn = self._access.role_arn
        if found is None:
            raise no_credentials(role_arn)
        if role_arn is None:
            return found
        endpoint_url = endpoint_for_sts(self._access)
        fetcher = AioAssumeRoleCredentialFetcher(
            client_creator=partial(self._session.create_client, region_name=self._region, endpoint_url=endpoint_url),
            source_credentials=found,
            role_arn=role_arn,
            extra_args=role_arguments(self._access),
        )
        return AioDeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)

    async def _ask_for_code(self, prompt: str) -> str:
        device = prompt.removeprefix("Enter MFA code for ").removesuffix(": ")
        profile = profile_of(self._session)
        if self._access.ask_code is None:
            raise AccessFault(
                f"profile `{profile}` asks for a code of the MFA device `{device}`,"
                " which a run without a terminal cannot give",
                code="MFARequired",
                hint=f"use a role without MFA, or fetch keys first: `aws sts get-session-token --serial-number {device}"
                " --token-code CODE`",
            )
        try:
            code = await self._access.ask_code(f"code of the MFA device `{device}` for profile `{profile}`: ")
        except EOFError as error:
            raise AccessFault(f"no code of the MFA device `{device}` was given", code="MFARequired") from error
        return code.strip()


def role_arguments(access: Access) -> dict[str, str]:
    """Return the parameters of AssumeRole besides the role."""
    given = {} if access.external_id is None else {"ExternalId": access.external_id}
    return {"RoleSessionName": SESSION_NAME, **given}


def no_credentials(role_arn: str | None) -> AccessFault:
    """Return the fault of a configuration without credentials, to sign with or to assume the role with."""
    if role_arn is None:
        message, hint = "no AWS credentials were found, nothing was sent", NO_CREDENTIALS_HINT
    else:
        message = f"no AWS credentials to assume `{role_arn}` with"
        hint = "`aws configure`, `aws sso login` or `--profile NAME`"
    return AccessFault(message, code=NO_CREDENTIALS, hint=hint)


def profile_of(session: AioSession) -> str:
    """Return the name of the profile that a session uses."""
    return str(session.get_config_variable("profile") or "default")


def credential_fault(error: Exception, session: AioSession) -> ServiceError:
    """Return our error for an exception while credentials were fetched. Never raises."""
    if (short := shortage_of(error)) is not None:
        return short
    code = type(error).__name__
    match error:
        case ServiceError():
            return error
        case sdk.ClientError():
            return _source_refused(error)
        case sdk.SSOError() | sdk.TokenRetrievalError() | sdk.LoginError() | sdk.RefreshWithMFAUnsupportedError():
            return _login_over(error, session)
        case sdk.CredentialRetrievalError() if any(each in str(error) for each in _NO_METADATA):
            return CredentialsUnreached(f"no answer while fetching credentials: {plain_line(error)}", code=code)
        case sdk.ConnectionError() | sdk.HTTPClientError():
            fault = sdk_fault(error)
            if isinstance(fault, Transient):
                return CredentialsUnreached(f"{fault.message}, asked for credentials", code=code, hint=fault.hint)
            return fault
        case KeyError() | ResponseParserError():
            told = sdk_fault(error).message if isinstance(error, ResponseParserError) else f"it has no {error}"
            hint = "it may be a web page: a proxy or a network's login page stands between"
            message = f"the answer to the request for credentials could not be read: {told}"
            return CredentialsUnreached(message, code="UnreadableAnswer", hint=hint)
        case OSError() if error.filename:
            return _missing_file(error)
        case _:
            fault = sdk_fault(error)
            message = f"credentials could not be fetched: {plain_line(error)}"
            other = AccessFault(message, code=code, hint="see the profile in `~/.aws/config`")
            return fault if isinstance(fault, AccessFault) else other


def _login_over(error: sdk.BotoCoreError, session: AioSession) -> AccessFault:
    profile, code = profile_of(session), type(error).__name__
    if isinstance(error, sdk.RefreshWithMFAUnsupportedError):
        message = f"the credentials of profile `{profile}`, fetched with an MFA code, have expired"
        return AccessFault(message, code=code, hint="run the same command again and give a new code")
    if isinstance(error, sdk.LoginError):
        message = f"the login of profile `{profile}` is over, or there was none"
        return AccessFault(message, code=code, hint=f"`aws login --profile {profile}`, then the same command")
    # the profile to sign in to: this one, or the one that it takes its credentials from
    profiles, seen, name = session.full_config.get("profiles", {}), {profile}, profile
    while not profiles.get(name, {}).keys() & {"sso_session", "sso_start_url"}:
        name = profiles.get(name, {}).get("source_profile", name)
        if name in seen:
            break
        seen.add(name)
    message = f"the SSO login of profile `{name}` is over, or there was none"
    return AccessFault(message, code=code, hint=f"`aws sso login --profile {name}`, then the same command")


def _source_refused(error: sdk.ClientError) -> ServiceError:
    """Return the error for a refusal of STS or SSO. What passes by itself (throttling, 5xx) stays what it is."""
    fault = sdk_fault(error)
    if isinstance(fault, NoAnswer):
        return CredentialsUnreached(
            f"{error.operation_name}: {fault.message}", code=fault.code, status=fault.status, hint=fault.hint
        )
    if isinstance(fault, AccessFault | Transient):
        return fault
    message = f"{error.operation_name}: {fault.message}"
    hint = fault.hint or "see what the profile or `target.role_arn` names"
    return AccessFault(message, code=fault.code, request_id=fault.request_id, status=fault.status, hint=hint)


def _missing_file(error: OSError) -> AccessFault:
    path = str(error.filename)
    variable = variable_naming(path, TOKEN_FILE_VARIABLES)
    named = f"`{variable}`" if variable else "the AWS configuration (`web_identity_token_file`)"
    wrong = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    return AccessFault(
        f"{named} names `{path}`, which {wrong}: there is no token to fetch credentials with",
        code=type(error).__name__,
        hint="give the pod a service account with a role, or unset the variable",
    )


def _too_slow(session: AioSession, limit_s: float) -> AccessFault:
    helper = session.get_scoped_config().get("credential_process")
    profile, limit = profile_of(session), f"{limit_s:g} s"
    if helper:
        program = _program(helper.split())
        message = f"`credential_process` of profile `{profile}` (`{program}`) has not ended within {limit}"
        return AccessFault(message, code="CredentialsTimeout", hint="run the program by hand to see what it waits for")
    message = f"the credentials of profile `{profile}` could not be fetched within {limit}"
    return AccessFault(message, code="CredentialsTimeout", hint="`aws configure list` shows where they come from")


def _within_limit(found: Any, session: AioSession, limit_s: float) -> Any:  # noqa: ANN401
    """Limit the time of each renewal. botocore repeats one that fails while the keys are still valid."""
    renew = getattr(found, "_refresh_using", None)
    if renew is None:
        return found

    async def limited() -> Any:  # noqa: ANN401
        with anyio.move_on_after(limit_s):
            fetching = renew()
            return await fetching if isawaitable(fetching) else fetching
        raise _too_slow(session, limit_s)

    found._refresh_using = limited
    return found


async def _start_helper(profile: str, *command: str, stdout: int, stderr: int) -> "_Helper":
    """Start the `credential_process` of a profile. Raises AccessFault if it cannot be started."""
    if not command:
        raise AccessFault(f"`credential_process` of profile `{profile}` is empty", code="CredentialProcess")
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=stderr)
    except OSError as error:
        wrong = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be run: {error.strerror}"
        raise AccessFault(
            f"`credential_process` of profile `{profile}` names `{_program(command)}`, which {wrong}",
            code="CredentialProcess",
            hint="install the program, or mend the profile in `~/.aws/config`",
        ) from error
    return _Helper(profile, command, process)


class _Helper:
    """A running `credential_process`, in the shape of asyncio's process.

    Its error output is shown nowhere, since it may hold secrets.
    """

    returncode = 0
    """botocore gets only the output of a program that succeeded."""

    def __init__(self, profile: str, command: Sequence[str], process: asyncio.subprocess.Process) -> None:
        self._named = f"`credential_process` of profile `{profile}` (`{_program(command)}`)"
        self._process = process

    async def communicate(self) -> tuple[bytes, bytes]:
        """Return what it printed. Raises AccessFault unless it succeeded and printed JSON. Kills it if cancelled."""
        try:
            said, _ = await self._process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                self._process.kill()
            with anyio.move_on_after(REAP_S, shield=True):  # or it is left as a zombie
                await self._process.wait()
            raise
        code = self._process.returncode
        hint = "run the program by hand to see what it says"
        if code != 0:
            raise AccessFault(f"{self._named} failed with status {code}", code="CredentialProcess", hint=hint)
        try:
            json.loads(said)
        except ValueError as error:
            raise AccessFault(f"{self._named} printed no JSON", code="CredentialProcess", hint=hint) from error
        return said, b""


def _program(command: Sequence[str]) -> str:
    """Return the program without its arguments, which may hold secrets."""
    return command[0] if command else ""
