"""What the lanes of one process share: the SDK's data, HTTP connections, credentials, and a pace for STS."""

import copy
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from aiobotocore.credentials import AioDeferredRefreshableCredentials
from aiobotocore.hooks import AioHierarchicalEmitter
from aiobotocore.session import AioSession
from anyio import Lock

from batch_upload.clock import SystemClock
from batch_upload.errors import ServiceError
from batch_upload.ports import Clock
from batch_upload.service.access import (
    SERVICE,
    TOKEN_SERVICE,
    Access,
    StaticKeys,
    chosen_region,
    open_client,
    open_session,
)
from batch_upload.service.credentials import (
    NO_CREDENTIALS,
    CredentialsUnreached,
    FetchedCredentials,
    credential_fault,
    no_credentials,
    role_arguments,
)
from batch_upload.service.http import SharedHttp
from batch_upload.service.network import check_ca_bundle, with_issuer
from batch_upload.service.sharing import StartLimiter, Turns

STS_RATE = 20
"""Calls of STS a second. AWS allows 600 a second for an account and Region (IAM and STS quotas), which others share."""
FAULT_KEPT_S = 60.0
"""How long a refusal of an account's credentials holds for all its lanes: a person must mend what was refused."""
RENEWED_BEFORE_S = (600.0, 1_200.0)
"""Each role's keys are renewed at a random moment between these, before they expire. Keys of an hour: after 40 to 50
minutes. The first is botocore's mandatory window, in which requests wait for new keys."""


StsClient = Callable[[str], Awaitable[Any]]
"""Returns the client of STS of a Region."""


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """What tells the credentials of one lane from those of another."""

    profile: str | None
    role_arn: str | None
    external_id: str | None
    keys: StaticKeys | None


class RoleCredentials(FetchedCredentials):
    """The keys of a role, assumed through an STS client that all roles of one identity share.

    botocore's windows hold: from a random moment in RENEWED_BEFORE_S on, one request fetches new keys while others go
    on with the old ones; in the last ten minutes requests wait for new keys, and fail if there are none.
    """

    def __init__(
        self,
        session: AioSession,
        access: Access,
        region: str,
        *,
        sts: StsClient,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        # Without a limit of its own: a wait for the pace of STS may be long, and each request has a time limit.
        super().__init__(session, access, region, limit_s=math.inf)
        self._sts = sts
        self._regions = deque([region])
        self._clock = clock
        self._renewed_before_s = chance.uniform(*RENEWED_BEFORE_S)
        self._assuming = Turns(clock=clock, kept_s=FAULT_KEPT_S)
        self.principal: str | None = None
        """The ARN of the role's session; None before it was assumed."""

    def add_region(self, region: str) -> None:
        """Add a Region of the account's lanes. If STS does not answer in one, the next try is in another."""
        if region not in self._regions:
            self._regions.append(region)

    async def _resolve(self, codes: list[str]) -> Any:  # noqa: ANN401 - botocore's
        found = AioDeferredRefreshableCredentials(
            method="assume-role", refresh_using=self._assume, time_fetcher=self._clock.now
        )
        found._advisory_refresh_timeout = self._renewed_before_s
        return found

    async def _assume(self) -> dict[str, str | None]:
        async with self._assuming.turn():
            try:
                sts = await self._sts(self._regions[0])
                answer = await sts.assume_role(RoleArn=self._access.role_arn, **role_arguments(self._access))
            except Exception as error:
                fault = await with_issuer(credential_fault(error, self._session), error)
                if isinstance(fault, CredentialsUnreached):
                    self._regions.rotate(-1)
                if fault.code == NO_CREDENTIALS:
                    fault = no_credentials(self._access.role_arn)
                if fault is error:
                    raise  # not from itself: that would be a circle
                raise fault from error
        made, arn = answer["Credentials"], answer.get("AssumedRoleUser", {}).get("Arn", "")
        self.principal = arn or None
        return {
            "access_key": made["AccessKeyId"],
            "secret_key": made["SecretAccessKey"],
            "token": made["SessionToken"],
            "expiry_time": made["Expiration"].isoformat(),
            "account_id": arn.split(":")[4] if arn.count(":") > 4 else None,
        }


class SharedAccount:
    """The credentials and the account of all lanes that have the same profile, role, external id and keys."""

    def __init__(self, credentials: FetchedCredentials, sts: StsClient) -> None:
        self.credentials = credentials
        self.sts = sts
        """Returns a client that signs with them."""
        self.caller: str | None = None
        """The ARN that GetCallerIdentity named; None where it was not asked."""
        self._account: str | None = None
        self._first = Lock()
        self._has_failed = False

    @property
    def principal(self) -> str | None:
        """The ARN of the role's session, else what GetCallerIdentity named; None before that."""
        return self.credentials.principal if isinstance(self.credentials, RoleCredentials) else self.caller

    async def account(self, ask: Callable[[], Awaitable[str]]) -> str:
        """Return the account, 12 digits: as AssumeRole named it, else from one call of `ask` for all lanes.

        Raises what `ask` raises. Then every other lane calls its own `ask`: STS of one Region may be away, or off in
        this account, where that of another Region answers.
        """
        if not self._has_failed:
            async with self._first:
                if self._account is None and not self._has_failed:
                    try:
                        self._account = self.credentials.role_account or await ask()
                    except ServiceError:
                        self._has_failed = True
                        raise
        if self._account is None:
            self._account = self.credentials.role_account or await ask()
        return self._account


@dataclass(frozen=True, slots=True)
class SharedLane:
    """What a lane is opened with."""

    access: Access
    session: AioSession
    """Its clients sign with the account's credentials."""
    region: str
    account: SharedAccount


class Accounts:
    """What the lanes of one process share. Lanes differ in profile, role, external id, keys and Region, and only there.

    One loader of botocore's data, one HTTP session, one credential for each profile, role, external id and keys, which
    is fetched once however many lanes want it, and at most STS_RATE calls of STS a second. Closes its connections at
    the end of the context, after the lanes.
    """

    def __init__(
        self, *, clock: Clock | None = None, chance: random.Random | None = None, sts_rate: int = STS_RATE
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._chance = chance or random.Random()  # noqa: S311 - spreads renewals, not a secret
        self._pace = StartLimiter(sts_rate, clock=self._clock)
        self._handlers = AioHierarchicalEmitter()
        AioSession(event_hooks=self._handlers).register(f"before-call.{TOKEN_SERVICE}", self._pace.slot)
        self._sessions: dict[str | None, AioSession] = {}
        self._http: dict[Callable[..., Any], SharedHttp] = {}
        self._shared: dict[CredentialKey, SharedAccount] = {}
        self._sts: dict[tuple[CredentialKey, str], Any] = {}
        self._making = Lock()
        self._making_sts = Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def lane(self, access: Access) -> SharedLane:
        """Return what to open a lane with. Sends nothing, and fetches no credentials.

        Raises AccessFault without a good Region, and what the SDK raises for its configuration.
        """
        access = replace(access, http_session=self._shared_http(access.http_session))
        base = await self.session(access)
        region = chosen_region(access, base)
        shared = self._account(access, base, region)
        return SharedLane(access, signing(base, shared.credentials), region, shared)

    def _shared_http(self, make: Callable[..., Any]) -> SharedHttp:
        if make not in self._http:
            self._http[make] = SharedHttp(make)
            self._stack.push_async_callback(self._http[make].close)
        return self._http[make]

    async def session(self, access: Access) -> AioSession:
        """Return the session of a profile. All have the same handlers of events, loader and configuration files.

        Raises as `open_session`.
        """
        if access.profile not in self._sessions:
            session = await open_session(access, make=self._new_session)
            check_ca_bundle(session)  # reads a file only if one is configured, before anything else is under way
            self._sessions[access.profile] = session
        return self._sessions[access.profile]

    def _new_session(self) -> AioSession:
        made = AioSession(event_hooks=self._handlers, include_builtin_handlers=False)
        for other in self._sessions.values():
            made.register_component("data_loader", other.get_component("data_loader"))
            made._config = other.full_config  # or ~/.aws/config and credentials are read again for each profile
            break
        return made

    def _account(self, access: Access, base: AioSession, region: str) -> SharedAccount:
        key = CredentialKey(access.profile, access.role_arn, access.external_id, access.keys)
        if key not in self._shared:
            credentials: FetchedCredentials
            if access.role_arn is None:
                turns = Turns(clock=self._clock, kept_s=FAULT_KEPT_S)
                credentials = FetchedCredentials(base, access, region, turns=turns)
            else:
                source = self._account(replace(access, role_arn=None, external_id=None), base, region)
                credentials = RoleCredentials(
                    base, access, region, sts=source.sts, clock=self._clock, chance=self._chance
                )

            async def sts(region: str) -> Any:  # noqa: ANN401 - the SDK is untyped
                return await self._sts_client(key, access, credentials, region)

            self._shared[key] = SharedAccount(credentials, sts)
        shared = self._shared[key]
        if isinstance(shared.credentials, RoleCredentials):
            shared.credentials.add_region(region)
        return shared

    async def _sts_client(
        self, key: CredentialKey, access: Access, credentials: FetchedCredentials, region: str
    ) -> Any:  # noqa: ANN401 - the SDK is untyped
        if (key, region) not in self._sts:
            async with self._making_sts:
                if (key, region) not in self._sts:
                    session = signing(await self.session(access), credentials)
                    self._sts[key, region] = await open_client(TOKEN_SERVICE, access, session, region, self._stack)
        return self._sts[key, region]

    async def client(self, lane: SharedLane, stack: AsyncExitStack) -> Any:  # noqa: ANN401 - the SDK is untyped
        """Return a client of the service that `stack` closes. Raises as `open_client`."""
        # One at a time: each takes milliseconds of CPU, and hundreds in a row would hold up the first calls of STS.
        async with self._making:
            return await open_client(SERVICE, lane.access, lane.session, lane.region, stack)


def signing(session: AioSession, credentials: FetchedCredentials) -> AioSession:
    """Return a session that shares everything with another but the credentials that its clients sign with."""
    made = copy.copy(session)
    made._credentials = credentials  # botocore has no public way to set its credentials
    return made
