"""The checks of `doctor` that look at credentials and ask the service. Every one is made although another failed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from batch_upload.app.checks import Check, fail, ok, skipped, warn
from batch_upload.app.lane import Opened, access_of, check_account, opened
from batch_upload.app.observers import Silent
from batch_upload.engine.retry import CONVENIENCE
from batch_upload.errors import AccessFault, BatchUploadError, ExitCode, Refused, ServiceError
from batch_upload.model import AttachmentPage, AttachmentStatus, Capacity, Lane
from batch_upload.operations import DESCRIBE, IDENTITY, LIMITS, LIST_TAGS
from batch_upload.ports import Observer
from batch_upload.service.access import Ask
from batch_upload.service.credentials import FetchedCredentials
from batch_upload.service.diagnosis import ENVIRONMENT, SOURCES, Diagnosis
from batch_upload.service.http import ENDPOINT_NOT_ALLOWED
from batch_upload.settings import Settings
from batch_upload.words import count_words, duration_words

REGION, ENDPOINT, PROXY, TLS, CREDENTIALS = "region", "endpoint", "proxy", "tls", "credentials"
ACCOUNT, CLOCK, CAPACITY = "account", "clock", "capacity"
SKEW_WARN_S, SKEW_FAIL_S = 60.0, 300.0
"""Requests that are signed 5 minutes off are refused (SigV4, "Date handling")."""
DELETED = AttachmentStatus.DELETED
EXPIRES_SOON = timedelta(minutes=15)
PROVED = (LIMITS, DESCRIBE, LIST_TAGS)
_NO_ENDPOINT = "not looked at: there is no endpoint that may be asked"

T = TypeVar("T")


@dataclass(slots=True)
class LaneFound:
    """What was found of a lane. The observer gets every check as it is made."""

    observer: Observer = field(default_factory=Silent)
    checks: list[Check] = field(default_factory=list)
    lane: Lane | None = None
    capacity: Capacity | None = None

    def add(self, check: Check) -> None:
        """Keep a check, and hand it to the observer."""
        self.checks.append(check)
        self.observer.notify(check)

    def has_failed(self, name: str) -> bool:
        """Whether the check of this name was made and failed."""
        return any(check.name == name and check.code is not ExitCode.DONE for check in self.checks)


async def examine_lane(
    settings: Settings, counter: Observer, observer: Observer, *, wanted: int, ask: Ask | None
) -> LaneFound:
    """Look at the configuration and the way to the endpoint, then ask the lane. A failure ends no other check.

    `counter` gets the events of the requests, `observer` the checks. `wanted` is how many attachments are still to be
    created. `ask` asks a person for the code of an MFA device.
    """
    found = LaneFound(observer)
    if settings.local:
        found.add(ok(CREDENTIALS, "the embedded emulator needs none"))
        credentials = None
    else:
        credentials = await _check_way(settings, found, ask)
        if credentials is None:
            _skip_lane(found, "not asked: there are no credentials to ask with")
            return found
    try:
        async with opened(settings, counter, reads_only=True, credentials=credentials, ask=ask) as lane:
            if settings.local:
                found.add(ok(ENDPOINT, lane.service.endpoint))
            await _Lane(settings, lane, found, wanted).ask()
    except BatchUploadError as error:
        if all(check.code is ExitCode.DONE for check in found.checks):
            found.add(fail(ENDPOINT, error.exit_code, error.message, error.hint))
        _skip_lane(found, "not asked: the lane could not be opened")
    return found


def _skip_lane(found: LaneFound, why: str) -> None:
    for name in (ACCOUNT, *map(_permission, PROVED), CLOCK, CAPACITY):
        found.add(skipped(name, why))


async def _check_way(settings: Settings, found: LaneFound, ask: Ask | None) -> FetchedCredentials | None:
    """Region, endpoint, proxy, TLS and credentials, each for itself."""
    diagnosis = Diagnosis(access_of(settings, ask=ask))
    region: str | None = None
    try:
        region, warning = await diagnosis.region()
        found.lane = Lane("", region)
        found.add(warn(REGION, warning) if warning else ok(REGION, region))
    except ServiceError as error:
        # an endpoint that may not be asked is a failure of its own check alone, which comes next
        is_endpoint = error.code == ENDPOINT_NOT_ALLOWED
        found.add(skipped(REGION, _NO_ENDPOINT) if is_endpoint else _failed(REGION, error))
    await _check_endpoint(diagnosis, found)
    try:
        credentials = await diagnosis.credentials(region)
    except ServiceError as error:
        is_told = error.code == ENDPOINT_NOT_ALLOWED and found.has_failed(ENDPOINT)
        found.add(skipped(CREDENTIALS, _NO_ENDPOINT) if is_told else _failed(CREDENTIALS, error))
        return None
    found.add(_credentials(credentials, settings))
    return credentials


async def _check_endpoint(diagnosis: Diagnosis, found: LaneFound) -> None:
    try:
        endpoint = await diagnosis.endpoint()
    except ServiceError as error:
        is_endpoint = error.code == ENDPOINT_NOT_ALLOWED
        found.add(_failed(ENDPOINT, error) if is_endpoint else skipped(ENDPOINT, "not known without a Region"))
        for name in (PROXY, TLS):
            found.add(skipped(name, _NO_ENDPOINT))
        return
    found.add(ok(ENDPOINT, endpoint))
    try:
        proxy = await diagnosis.proxy(endpoint)
        found.add(ok(PROXY, f"`{proxy}`" if proxy else "none"))
    except ServiceError as error:
        found.add(_failed(PROXY, error))
        found.add(skipped(TLS, "not looked at: the proxy cannot be used"))
        return
    try:
        answer = await diagnosis.tls(endpoint)
        found.add(ok(TLS, "the certificate verifies" if answer else "none: plain http, to this machine alone"))
    except ServiceError as error:
        found.add(_failed(TLS, error))


def _failed(name: str, error: ServiceError) -> Check:
    return fail(name, error.exit_code, error.message, error.hint)


def _credentials(credentials: FetchedCredentials, settings: Settings) -> Check:
    source = SOURCES.get(credentials.method or "", credentials.method)
    whose = f"from {source}" + (f", profile `{settings.profile}`" if settings.profile else "")
    expires_at = credentials.expires_at
    if expires_at is None:
        return ok(CREDENTIALS, f"{whose}; no expiry is known")
    until = f"{expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if credentials.method != ENVIRONMENT:
        return ok(CREDENTIALS, f"{whose}; they are renewed before they expire at {until}")
    if expires_at - datetime.now(UTC) < EXPIRES_SOON:
        return warn(CREDENTIALS, f"{whose}; they expire at {until}", "renew them before a long run")
    return ok(CREDENTIALS, f"{whose}; they expire at {until}")


def _permission(operation: str) -> str:
    return f"may {operation}"


class _Lane:
    """Asks one lane."""

    def __init__(self, settings: Settings, lane: Opened, found: LaneFound, wanted: int) -> None:
        self._settings = settings
        self._lane = lane
        self._found = found
        self._wanted = wanted
        self._ahead_s: float | None = None

    async def ask(self) -> None:
        """One question after another: each operation has its own pace."""
        self._lane.service.on_date(self._hear)
        add = self._found.add
        add(await self._account())
        add(await self._limits())
        page, listed = await self._listing()
        add(listed)
        add(await self._tags(page))
        add(self._clock())
        add(self._capacity())

    def _hear(self, date: str) -> None:
        """The first answer's is taken; the others would say the same. Both clocks in seconds, the service's whole."""
        try:
            said = parsedate_to_datetime(date)
        except ValueError:
            return
        if self._ahead_s is None and said.tzinfo is not None:
            self._ahead_s = (self._lane.clock.now() - said).total_seconds() - 0.5

    async def _account(self) -> Check:
        account, refused = await self._asked(ACCOUNT, IDENTITY, self._lane.service.account)
        if account is None:
            return refused or skipped(ACCOUNT, "not known")
        try:
            check_account(self._settings, account)
        except AccessFault as error:
            return fail(ACCOUNT, error.exit_code, error.message, error.hint)
        self._found.lane = Lane(account, self._lane.service.region)
        guard = ", as the manifest demands" if self._settings.account else ""
        return ok(ACCOUNT, f"{account} in {self._lane.service.region}{guard}")

    async def _limits(self) -> Check:
        name = _permission(LIMITS)
        self._found.capacity, refused = await self._asked(name, LIMITS, self._lane.service.capacity)
        if refused is None:
            return ok(name, "yes")
        if refused.code is ExitCode.ACCESS:
            return warn(name, refused.message, "a run goes on without it, but cannot tell the capacity beforehand")
        return refused

    async def _listing(self) -> tuple[AttachmentPage | None, Check]:
        name = _permission(DESCRIBE)
        page, refused = await self._asked(name, DESCRIBE, lambda: self._lane.service.page(None))
        return page, refused or ok(name, "yes")

    async def _tags(self, page: AttachmentPage | None) -> Check:
        name = _permission(LIST_TAGS)
        if page is None:
            return skipped(name, "not asked: there is no listing to take an attachment from")
        arn = next((each.attachment_arn for each in page.attachments if each.status is not DELETED), None)
        if arn is None:
            return skipped(name, "not asked: the account has no attachment yet")
        _, refused = await self._asked(name, LIST_TAGS, lambda: self._lane.service.tags(arn))
        return refused or ok(name, "yes")

    def _clock(self) -> Check:
        if self._ahead_s is None:
            return skipped(CLOCK, "not known: no answer told the time")
        off_s = abs(self._ahead_s)
        how = f"{duration_words(off_s)} {'ahead of' if self._ahead_s > 0 else 'behind'} the service"
        hint = "let the system keep time by NTP"
        if off_s > SKEW_FAIL_S:
            return fail(CLOCK, ExitCode.ACCESS, f"{how}: requests are refused beyond 5 min", hint)
        if off_s > SKEW_WARN_S:
            return warn(CLOCK, f"{how}: requests are refused beyond 5 min", hint)
        return ok(CLOCK, "right to within 2 s" if off_s < 2 else how)

    def _capacity(self) -> Check:
        capacity = self._found.capacity
        if capacity is None:
            return skipped(CAPACITY, "not known")
        used = f"{capacity.used:,} of {capacity.maximum:,} used, {capacity.left:,} left"
        hint = "raise the quota of the account, or `batch-upload prune` what is no longer listed"
        if capacity.left < self._wanted:
            items = count_words(self._wanted, "attachment")
            return warn(CAPACITY, f"{used}: {items} of this manifest are still to be created", hint)
        if capacity.left == 0:
            return warn(CAPACITY, used, hint)
        return ok(CAPACITY, used)

    async def _asked(
        self, name: str, operation: str, ask: Callable[[], Awaitable[T]]
    ) -> tuple[T, None] | tuple[None, Check]:
        """The answer, or the failure of the check."""
        try:
            return await self._lane.wire.call(operation, ask, policy=CONVENIENCE), None
        except BatchUploadError as error:
            # what a run would fail an item for fails no item here: a person must look at it all the same
            code = ExitCode.ACCESS if isinstance(error, Refused) else error.exit_code
            return None, fail(name, code, error.message, error.hint)
