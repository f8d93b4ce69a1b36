"""`targets discover`: make a file of targets of the active accounts of an AWS organization."""

import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from batch_upload.app.lane import access_of
from batch_upload.clock import SystemClock
from batch_upload.engine.lane import LaneControl
from batch_upload.engine.retry import RetryPolicy, Tries, Wire
from batch_upload.errors import Throttled, UsageError
from batch_upload.manifest.account_targets import AccountTarget, targets_file_lines, targets_of_accounts
from batch_upload.manifest.problems import Code
from batch_upload.manifest.rules import wrong_with_word
from batch_upload.ports import Observer
from batch_upload.service.access import Ask
from batch_upload.service.organizations import open_organization
from batch_upload.settings import NO_MANIFEST, RunOptions, settings_of

Answered = TypeVar("Answered")
UNIT_PATTERN = r"r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}"
"""The id of a root or a unit (`ParentId` of the service's model)."""
_ROLE_NAME = re.compile(r"(?:[\w+=,.@-]+/)*[\w+=,.@-]{1,64}", re.ASCII)
"""With the path before it, if it has one (IAM's API reference, `RoleName` and `Path`)."""
_ACCOUNT_TEMPLATE = "{account}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverOptions:
    """Which accounts to list, and what to write of each."""

    role: str
    """A role's name, perhaps with its path, or an ARN with `{account}`."""
    units: Sequence[str] = ()
    """Only accounts in these units or roots and in the units below them; all accounts if empty."""
    regions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Discovered:
    """The targets that were made, the lines of their file, and the requests that listing them took, by operation."""

    targets: Sequence[AccountTarget]
    lines: Sequence[str]
    requests: Mapping[str, int]
    throttled: int


async def discover(wanted: DiscoverOptions, options: RunOptions, observer: Observer, *, ask: Ask | None) -> Discovered:
    """Make targets of the active accounts. Reads only.

    Of `options` only the access counts: profile, Region, endpoint. Requests that fail in passing are sent again, which
    the observer hears of. Raises UsageError for options that cannot be and if there is no active account; else as the
    service does: AccessFault, Transient once the tries are used up.
    """
    role_arn = role_arn_of(wanted.role)
    check_names(wanted)
    counts: Counter[str] = Counter()
    throttled = 0
    wire = Wire(
        {},
        lane=LaneControl(),
        clock=SystemClock(),
        observer=observer,
        policy=RetryPolicy(),
        chance=random.Random(),  # noqa: S311 - jitter, not a secret
    )

    async def retry(operation: str, send: Callable[[], Awaitable[Answered]]) -> Answered:
        async def once() -> Answered:
            nonlocal throttled
            counts[operation] += 1
            try:
                return await send()
            except Throttled:
                throttled += 1
                raise

        return await wire.retried(operation, once, Tries())

    access = access_of(settings_of(options, manifest=NO_MANIFEST), ask=ask)
    async with open_organization(access, retry=retry) as organization:
        found = [] if wanted.units else [*await organization.accounts()]
        for unit in wanted.units:
            found += await organization.accounts_below(unit)
    if not found:
        where = ", ".join(f"`{each}`" for each in wanted.units) or "the organization"
        raise UsageError(f"there is no active account in {where}, nothing was written")
    targets = targets_of_accounts({each.account_id: each.name for each in found})
    lines = [*targets_file_lines(targets, role_arn=role_arn, regions=wanted.regions)]
    return Discovered(targets, lines, dict(counts), throttled)


def role_arn_of(role: str) -> str:
    """Return the ARN of a role with `{account}` in it, from a name or from such an ARN. Raises UsageError."""
    if role.startswith("arn:"):
        filled = role.replace(_ACCOUNT_TEMPLATE, "123456789012", 1)
        if role.count(_ACCOUNT_TEMPLATE) != 1 or wrong_with_word(Code.ROLE_ARN, filled) is not None:
            raise UsageError(
                f"`--role {role}` is not the ARN of a role in each account",
                hint=f"such as `arn:aws:iam::{_ACCOUNT_TEMPLATE}:role/uploader`, or the role's name alone",
            )
        return role
    if not _ROLE_NAME.fullmatch(role):
        raise UsageError(f"`--role {role}` is not the name of a role", hint="such as `uploader`")
    return f"arn:aws:iam::{_ACCOUNT_TEMPLATE}:role/{role}"


def check_names(wanted: DiscoverOptions) -> None:
    """Raise UsageError for a unit or a Region that cannot be, and for one that is named twice."""
    for region in wanted.regions:
        if wrong_with_word(Code.REGION, region) is not None:
            raise UsageError(f"`--region {region}` is not a Region", hint="such as `us-east-1`")
    for unit in wanted.units:
        if not re.fullmatch(UNIT_PATTERN, unit):
            raise UsageError(
                f"`--ou {unit}` is not the id of a unit or a root", hint="such as `ou-ab12-11111111` or `r-ab12`"
            )
    for flag, names in (("--ou", wanted.units), ("--region", wanted.regions)):
        for name, times in Counter(names).items():
            if times > 1:
                raise UsageError(f"`{flag} {name}` is given twice", hint="keep one")
