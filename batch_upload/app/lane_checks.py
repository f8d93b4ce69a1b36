"""The checks of `doctor` of credentials and of the service. Every one is made although another failed."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

import anyio
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from batch_upload.app.checks import Check, not_ok, ok, skipped, warned
from batch_upload.app.lane import OpenLane, access_of, check_account, open_lane
from batch_upload.app.observers import Silent
from batch_upload.engine.retry import CONVENIENCE
from batch_upload.errors import AccessFault, BatchUploadError, ExitCode, Refused, ServiceError, Throttled
from batch_upload.model import AttachmentStatus, Capacity, Lane
from batch_upload.operations import (
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    IDENTITY,
    LIMITS,
    LIST_TAGS,
    PUT_FIELD,
    REGISTRATIONS,
)
from batch_upload.ports import Observer
from batch_upload.registration import Bind
from batch_upload.service.access import NO_REGION, Ask
from batch_upload.service.accounts import Accounts
from batch_upload.service.credentials import FetchedCredentials
from batch_upload.service.diagnosis import ENVIRONMENT, SOURCES, Diagnosis
from batch_upload.service.http import ENDPOINT_NOT_ALLOWED
from batch_upload.settings import Settings
from batch_upload.words import count_words, duration_words

REGION, ENDPOINT, PROXY, TLS, CREDENTIALS = "region", "endpoint", "proxy", "tls", "credentials"
ACCOUNT, CLOCK, CAPACITY = "account", "clock", "capacity"
SKEW_WARN_S, SKEW_FAIL_S = 60.0, 300.0
"""Requests that are signed 5 minutes off are refused (SigV4, "Date handling")."""
EXPIRES_SOON = timedelta(minutes=15)
PERMISSIONS = {each: f"may {each}" for each in (LIMITS, DESCRIBE, LIST_TAGS)}
"""The check of each operation that a run needs and that changes nothing."""
BIND_PERMISSIONS = {each: f"may {each}" for each in (REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD)}
"""The same of what a manifest with `bind` needs in addition. The last one changes something, so it is not tried."""
_NO_ENDPOINT = "not checked: there is no endpoint that may be asked"

CheckAnswer = TypeVar("CheckAnswer")


@dataclass(slots=True)
class LaneFound:
    """The checks of a lane and what they found. The observer gets every check as it is made."""

    observer: Observer = field(default_factory=Silent)
    checks: list[Check] = field(default_factory=list)
    lane: Lane | None = None
    is_manifest_unread: bool = False
    """Whether a manifest that may name the Region cannot be read."""

    def add(self, check: Check) -> None:
        """Keep a check, and hand it to the observer."""
        self.checks.append(check)
        self.observer.notify(check)

    def has_failed(self, name: str) -> bool:
        """Whether the check of this name was made and failed."""
        return any(check.name == name and check.code is not ExitCode.DONE for check in self.checks)


async def examine_lane(
    settings: Settings,
    counter: Observer,
    observer: Observer,
    *,
    wanted: int,
    binds: Sequence[Bind] = (),
    ask: Ask | None,
    accounts: Accounts | None = None,
    local_url: str | None = None,
    is_manifest_unread: bool = False,
) -> Lane | None:
    """Check the configuration and the way to the endpoint, then ask the lane. A failure ends no other check.

    `counter` gets the events of the requests, `observer` the checks. `wanted` is how many attachments are still to be
    created, `binds` the fields that attachments are bound to. `ask` asks a person for the code of an MFA device.
    `accounts` and `local_url`: as for `open_lane`. `is_manifest_unread`: a Region that is not chosen is no failure,
    since the manifest may name it. Return the lane; None if its account is not known.
    """
    found, credentials = LaneFound(observer, is_manifest_unread=is_manifest_unread), None
    left = (ACCOUNT, *PERMISSIONS.values(), *(BIND_PERMISSIONS.values() if binds else ()), CLOCK, CAPACITY)
    if settings.local:
        found.add(ok(CREDENTIALS, "the embedded emulator needs none"))
    else:
        credentials = await check_way(settings, found, ask, accounts)
        if credentials is None:
            for name in left:
                found.add(skipped(name, "not asked: there are no credentials to ask with"))
            return None
    try:
        opening = open_lane(
            settings,
            counter,
            reads_only=True,
            credentials=credentials,
            ask=ask,
            accounts=accounts,
            local_url=local_url,
            binds=binds,
        )
        async with opening as lane:
            if settings.local:
                found.add(ok(ENDPOINT, lane.service.endpoint))
            await check_lane_answers(settings, lane, found, wanted=wanted, binds=binds)
    except BatchUploadError as error:
        if all(check.code is ExitCode.DONE for check in found.checks):
            found.add(failed_by(ENDPOINT, error))
        for name in left:
            found.add(skipped(name, "not asked: the lane could not be opened"))
    return found.lane if found.lane and found.lane.account else None


async def check_way(
    settings: Settings, found: LaneFound, ask: Ask | None, accounts: Accounts | None = None
) -> FetchedCredentials | None:
    """Check Region, endpoint, proxy, TLS and credentials. Return the credentials, None if there are none."""
    shared = accounts if settings.lane_label is not None else None
    diagnosis = Diagnosis(access_of(settings, ask=ask), accounts=shared)
    region: str | None = None
    try:
        region, warning = await diagnosis.region()
        found.lane = Lane("", region)
        found.add(warned(REGION, warning) if warning else ok(REGION, region))
    except ServiceError as error:
        # an endpoint that is not allowed fails the check of the endpoint alone, which comes next
        if error.code == ENDPOINT_NOT_ALLOWED:
            found.add(skipped(REGION, _NO_ENDPOINT))
        elif error.code == NO_REGION and found.is_manifest_unread:
            found.add(skipped(REGION, "not known: the manifest may name it, and has a problem"))
        else:
            found.add(failed_by(REGION, error))
    await check_way_to_endpoint(diagnosis, found)
    retrying = AsyncRetrying(
        sleep=anyio.sleep,
        retry=retry_if_exception_type(Throttled),
        stop=stop_after_attempt(CONVENIENCE.throttled_max),
        wait=wait_random_exponential(multiplier=0.5, max=4.0),
        reraise=True,
    )
    try:
        # as a run does: many lanes at once may be more than STS takes
        credentials: FetchedCredentials = await retrying(diagnosis.credentials, region)
    except ServiceError as error:
        is_reported = error.code == ENDPOINT_NOT_ALLOWED and found.has_failed(ENDPOINT)
        found.add(skipped(CREDENTIALS, _NO_ENDPOINT) if is_reported else failed_by(CREDENTIALS, error))
        return None
    source = SOURCES.get(credentials.method or "", credentials.method)
    whose = f"from {source}" + (f", profile `{settings.profile}`" if settings.profile else "")
    expires_at = credentials.expires_at
    if expires_at is None:
        found.add(ok(CREDENTIALS, f"{whose}; no expiry is known"))
        return credentials
    until = f"{expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if credentials.method != ENVIRONMENT:
        found.add(ok(CREDENTIALS, f"{whose}; they are renewed before they expire at {until}"))
    elif expires_at - datetime.now(UTC) < EXPIRES_SOON:
        found.add(warned(CREDENTIALS, f"{whose}; they expire at {until}", "renew them before a long run"))
    else:
        found.add(ok(CREDENTIALS, f"{whose}; they expire at {until}"))
    return credentials


async def check_way_to_endpoint(diagnosis: Diagnosis, found: LaneFound) -> None:
    """Check the endpoint, the proxy to it, and its certificate."""
    try:
        endpoint = await diagnosis.endpoint()
    except ServiceError as error:
        is_endpoint = error.code == ENDPOINT_NOT_ALLOWED
        found.add(failed_by(ENDPOINT, error) if is_endpoint else skipped(ENDPOINT, "not known without a Region"))
        for name in (PROXY, TLS):
            found.add(skipped(name, _NO_ENDPOINT))
        return
    found.add(ok(ENDPOINT, endpoint))
    try:
        proxy = await diagnosis.proxy(endpoint)
        found.add(ok(PROXY, f"`{proxy}`" if proxy else "none"))
    except ServiceError as error:
        found.add(failed_by(PROXY, error))
        found.add(skipped(TLS, "not checked: the proxy cannot be used"))
        return
    try:
        answer = await diagnosis.tls(endpoint)
        found.add(ok(TLS, "the certificate verifies" if answer else "none: plain http, to this machine alone"))
    except ServiceError as error:
        found.add(failed_by(TLS, error))


async def check_lane_answers(
    settings: Settings, lane: OpenLane, found: LaneFound, *, wanted: int, binds: Sequence[Bind]
) -> None:
    """Ask a lane for its account, limits, attachments and tags, and with `binds` for registrations, one after another:
    each operation has its own pace."""
    service = lane.service
    ahead: list[float] = []

    def take_date(date: str) -> None:
        with suppress(ValueError):
            sent_at = parsedate_to_datetime(date)
            if sent_at.tzinfo is not None:  # in whole seconds, on average half a second ago
                ahead.append((lane.clock.now() - sent_at).total_seconds() - 0.5)

    service.on_date(take_date)
    account = await answer_or_failure(
        ACCOUNT, service.account_for_all(lambda: paced_call(lane, IDENTITY, service.account))
    )
    found.add(account if isinstance(account, Check) else account_check(settings, account, service.region, found))
    capacity = await answer_or_failure(PERMISSIONS[LIMITS], paced_call(lane, LIMITS, service.capacity))
    if isinstance(capacity, Check) and capacity.code is ExitCode.ACCESS:
        hint = "a run goes on without it, but cannot tell the capacity beforehand"
        found.add(warned(capacity.name, capacity.message, hint))
    else:
        found.add(capacity if isinstance(capacity, Check) else ok(PERMISSIONS[LIMITS], "yes"))
    page = await answer_or_failure(PERMISSIONS[DESCRIBE], paced_call(lane, DESCRIBE, lambda: service.page(None)))
    found.add(page if isinstance(page, Check) else ok(PERMISSIONS[DESCRIBE], "yes"))
    name, attachments = PERMISSIONS[LIST_TAGS], () if isinstance(page, Check) else page.attachments
    arn = next((each.attachment_arn for each in attachments if each.status is not AttachmentStatus.DELETED), None)
    if isinstance(page, Check):
        found.add(skipped(name, "not asked: there is no listing to take an attachment from"))
    elif arn is None:
        found.add(skipped(name, "not asked: the account has no attachment yet"))
    else:
        tags = await answer_or_failure(name, paced_call(lane, LIST_TAGS, lambda: service.tags(arn)))
        found.add(tags if isinstance(tags, Check) else ok(name, "yes"))
    if binds:
        await check_registrations(lane, found, binds)
    found.add(clock_check(ahead[0] if ahead else None))
    found.add(capacity_check(None if isinstance(capacity, Check) else capacity, wanted=wanted))


async def check_registrations(lane: OpenLane, found: LaneFound, binds: Sequence[Bind]) -> None:
    """Check the permissions that `bind` needs. Whether the registrations and fields are right is for `plan` to say."""
    service, names = lane.service, BIND_PERMISSIONS
    page = await answer_or_failure(
        names[REGISTRATIONS], paced_call(lane, REGISTRATIONS, lambda: service.registrations(None))
    )
    found.add(page if isinstance(page, Check) else ok(names[REGISTRATIONS], "yes"))
    fields = {bind.registration: bind.field for bind in binds}
    registrations = () if isinstance(page, Check) else page.registrations
    one = next((each for each in registrations if each.registration_id in fields), None) or next(
        iter(registrations), None
    )
    if one is None:
        why = "there is no listing to take one from" if isinstance(page, Check) else "the account has none yet"
        for name in (names[FIELD_DEFINITIONS], names[FIELD_VALUES]):
            found.add(skipped(name, f"not asked: it is about a registration, and {why}"))
    else:
        definitions = await answer_or_failure(
            names[FIELD_DEFINITIONS],
            paced_call(lane, FIELD_DEFINITIONS, lambda: service.field_definitions(one.type, None)),
        )
        found.add(definitions if isinstance(definitions, Check) else ok(names[FIELD_DEFINITIONS], "yes"))
        field = fields.get(one.registration_id, binds[0].field)
        try:
            await paced_call(lane, FIELD_VALUES, lambda: service.field_contents(one.registration_id, [field]))
        except Refused:
            found.add(ok(names[FIELD_VALUES], "yes"))  # about the field, which another registration may not have
        except AccessFault as error:
            hint = "a run goes on without it, but cannot tell why a document was denied; `verify` and `prune` need it"
            found.add(warned(names[FIELD_VALUES], error.message, hint))
        except BatchUploadError as error:
            found.add(failed_by(names[FIELD_VALUES], error))
        else:
            found.add(ok(names[FIELD_VALUES], "yes"))
    found.add(skipped(names[PUT_FIELD], "not tried: it would change something; the first one of a run shows it"))


async def answer_or_failure(name: str, answer: Awaitable[CheckAnswer]) -> CheckAnswer | Check:
    """Return an answer, or the failure of a check if there is none."""
    try:
        return await answer
    except BatchUploadError as error:
        # what fails an item in a run fails no item here: a person must look at it all the same
        code = ExitCode.ACCESS if isinstance(error, Refused) else error.exit_code
        return not_ok(name, code, error.message, error.hint)


def paced_call(lane: OpenLane, operation: str, ask: Callable[[], Awaitable[CheckAnswer]]) -> Awaitable[CheckAnswer]:
    """Send a request at its pace, with few retries."""
    return lane.wire.call(operation, ask, policy=CONVENIENCE)


def account_check(settings: Settings, account: str, region: str, found: LaneFound) -> Check:
    """Check the account of the credentials against the manifest, and note the lane if it is the right one."""
    try:
        check_account(settings, account)
    except AccessFault as error:
        return failed_by(ACCOUNT, error)
    found.lane = Lane(account, region)
    return ok(ACCOUNT, f"{account} in {region}" + (", as the manifest demands" if settings.account else ""))


def clock_check(ahead_s: float | None) -> Check:
    """Check how far this machine's clock is ahead of the service's, in seconds; None if no answer had a date."""
    if ahead_s is None:
        return skipped(CLOCK, "not known: no answer had a date")
    off_s = abs(ahead_s)
    how = f"{duration_words(off_s)} {'ahead of' if ahead_s > 0 else 'behind'} the service"
    hint = "let the system keep time by NTP"
    if off_s > SKEW_FAIL_S:
        return not_ok(CLOCK, ExitCode.ACCESS, f"{how}: requests are refused beyond 5 min", hint)
    if off_s > SKEW_WARN_S:
        return warned(CLOCK, f"{how}: requests are refused beyond 5 min", hint)
    return ok(CLOCK, "right to within 2 s" if off_s < 2 else how)


def capacity_check(capacity: Capacity | None, *, wanted: int) -> Check:
    """Check whether `wanted` more attachments fit into the account."""
    if capacity is None:
        return skipped(CAPACITY, "not known")
    used = f"{capacity.used:,} of {capacity.maximum:,} used, {capacity.left:,} left"
    hint = "raise the quota of the account, or `batch-upload prune` what is no longer listed"
    if capacity.left < wanted:
        items = count_words(wanted, "attachment")
        return warned(CAPACITY, f"{used}: {items} of this manifest are still to be created", hint)
    return warned(CAPACITY, used, hint) if capacity.left == 0 else ok(CAPACITY, used)


def failed_by(name: str, error: BatchUploadError) -> Check:
    """Return the failure that an error means."""
    return not_ok(name, error.exit_code, error.message, error.hint)
