"""The checks of `doctor` that look at credentials and ask the service. Every one is made although another failed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from batch_upload.cli.compose import Opened, access_of, check_account, opened
from batch_upload.engine.retry import CONVENIENCE, DESCRIBE, IDENTITY, LIMITS, LIST_TAGS
from batch_upload.errors import AccessFault, BatchUploadError, ExitCode, Refused
from batch_upload.model import AttachmentPage, AttachmentStatus, Capacity, Lane
from batch_upload.ports import Observer
from batch_upload.report.checkup import Check, fail, ok, skipped, warn
from batch_upload.report.words import count_words, duration_words
from batch_upload.service.diagnosis import Configuration, configuration
from batch_upload.settings import Settings

CREDENTIALS, REGION, ENDPOINT, ACCOUNT, CLOCK, CAPACITY = (
    "credentials", "region", "endpoint", "account", "clock", "capacity"
)  # fmt: skip
SKEW_WARN_S, SKEW_FAIL_S = 60.0, 300.0
"""Requests that are signed 5 minutes off are refused (SigV4, "Date handling")."""
EXPIRES_SOON = timedelta(minutes=15)
DELETED = AttachmentStatus.DELETED
PROVED = (LIMITS, DESCRIBE, LIST_TAGS)

T = TypeVar("T")


@dataclass(slots=True)
class Examined:
    """What was found of the lane."""

    checks: list[Check] = field(default_factory=list)
    lane: Lane | None = None
    capacity: Capacity | None = None


async def examine_lane(settings: Settings, observer: Observer, *, wanted: int) -> Examined:
    """Look at the configuration, then ask the lane. `wanted` is how many attachments are still to be created."""
    found = Examined()
    region = await _check_configuration(settings, found)
    try:
        async with opened(settings, observer, reads_only=True) as lane:
            found.checks.append(ok(ENDPOINT, lane.service.endpoint))
            await _Lane(settings, lane, found, wanted).ask()
    except AccessFault as error:
        if error.code == "EndpointNotAllowed":
            found.checks.append(fail(ENDPOINT, error.exit_code, error.message, error.hint))
        else:
            found.checks.append(skipped(ENDPOINT, "not known without credentials and a Region"))
        if all(check.code is ExitCode.DONE for check in found.checks):
            found.checks.append(fail(CREDENTIALS, error.exit_code, error.message, error.hint))
        why = "not asked: nobody could be reached"
        found.checks.extend(skipped(name, why) for name in (ACCOUNT, CLOCK, *map(_permission, PROVED), CAPACITY))
    found.lane = found.lane or (Lane("", region) if region else None)
    return found


async def _check_configuration(settings: Settings, found: Examined) -> str | None:
    if settings.local:
        found.checks.append(ok(CREDENTIALS, "the embedded emulator needs none"))
        return None
    try:
        configured = await configuration(access_of(settings))
    except BatchUploadError as error:
        found.checks.append(fail(CREDENTIALS, error.exit_code, error.message, error.hint))
        found.checks.append(skipped(REGION, "not known without the AWS configuration"))
        return None
    found.checks.append(_credentials(configured, settings))
    found.checks.append(_region(configured))
    return configured.region


def _credentials(configured: Configuration, settings: Settings) -> Check:
    if configured.source is None:
        hint = "`aws configure`, `aws sso login` or `--profile NAME`; `--local` needs none"
        return fail(CREDENTIALS, ExitCode.ACCESS, "no AWS credentials were found", hint)
    whose = f"from {configured.source}" + (f", profile `{settings.profile}`" if settings.profile else "")
    if configured.expires_at is None:
        return ok(CREDENTIALS, f"{whose}; no expiry is known")
    left = configured.expires_at - datetime.now(UTC)
    until = f"{configured.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if left < EXPIRES_SOON and not configured.refreshes:
        return warn(CREDENTIALS, f"{whose}; they expire at {until}", "renew them before a long run")
    return ok(CREDENTIALS, f"{whose}; they are renewed before they expire at {until}")


def _region(configured: Configuration) -> Check:
    if configured.region is None:
        hint = "`--region us-east-1`, or `target: {region: …}`"
        return fail(REGION, ExitCode.ACCESS, "no Region is chosen", hint)
    return ok(REGION, configured.region)


def _permission(operation: str) -> str:
    return f"may {operation}"


class _Lane:
    """Asks one lane."""

    def __init__(self, settings: Settings, lane: Opened, found: Examined, wanted: int) -> None:
        self._settings = settings
        self._lane = lane
        self._found = found
        self._wanted = wanted
        self._ahead_s: float | None = None

    async def ask(self) -> None:
        """One question after another: each operation has its own pace."""
        self._lane.service.on_date(self._hear)
        checks = self._found.checks
        checks.append(await self._account())
        checks.append(await self._limits())
        page, listed = await self._listing()
        checks.append(listed)
        checks.append(await self._tags(page))
        checks.append(self._clock())
        checks.append(self._capacity())

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
