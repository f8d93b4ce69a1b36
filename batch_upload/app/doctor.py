"""`doctor`: does a run have all that it needs? Reads only; every check is made although another failed."""

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.checks import (
    LEDGER_CHECK,
    Check,
    Verdict,
    ledger_checks,
    not_ok,
    ok,
    program_checks,
    skipped,
    warned,
)
from batch_upload.app.database_checks import database_checks
from batch_upload.app.exits import first_of, summary_of_lanes
from batch_upload.app.items import list_items, settings_of_manifest
from batch_upload.app.lane_checks import ACCOUNT, CAPACITY, CLOCK, PROXY, TLS, examine_lane
from batch_upload.app.lanes import (
    ListedPart,
    lane_readers,
    listed_parts,
    one_at_a_time,
    shared_access,
)
from batch_upload.app.ledger_view import OTHER_LANE_HINT
from batch_upload.app.observers import Both, Silent, observer_of_lane
from batch_upload.clock import counting_s
from batch_upload.engine.groups import for_each
from batch_upload.engine.tally import Tally
from batch_upload.errors import ExitCode, LedgerUnusable, ManifestInvalid, UsageError
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Lane
from batch_upload.ports import LedgerReader, Observer
from batch_upload.service.access import Ask
from batch_upload.settings import LEDGER_SUFFIX, NO_MANIFEST, RunOptions, settings_of
from batch_upload.summary import Exit, Summary, exit_of
from batch_upload.targets import Target
from batch_upload.words import count_words

CHECKED_AT_ONCE = 20
"""Lanes that are checked at the same time."""
COMMON = frozenset({PROXY, TLS, CLOCK})
"""Checks whose result is the same for every lane."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Every check that was made, in order, and a summary, whose exit is that of the worst."""

    summary: Summary
    checks: tuple[Check, ...]


async def doctor(
    manifest: str | Path | None = None,
    options: RunOptions | None = None,
    *,
    observer: Observer | None = None,
    ask: Ask | None = None,
) -> Checkup:
    """Check what a run needs: programs, credentials, the way to the service, permissions, clock, capacity, ledger.

    With a manifest its target and its ledger are checked too. `observer` gets each Check as soon as it is made. `ask`
    is called if a profile needs the code of an MFA device. Raises UsageError for invalid options.
    """
    began, tally, checks = counting_s(), Tally(), list[Check]()
    path, wanted = None if manifest is None else Path(manifest), options or RunOptions()
    observers = Both(_Kept(checks), observer or Silent())

    async def make(blocking: Iterable[Check]) -> None:
        each = iter(blocking)
        while (check := await to_thread.run_sync(next, each, None, abandon_on_cancel=True)) is not None:
            observers.notify(check)

    if path is None and not wanted.lanes.is_all:
        flag, value = ("--target", "NAME") if wanted.targets else ("--shard", str(wanted.shard))
        raise UsageError(f"`{flag}` needs the MANIFEST that has the targets", hint=f"`doctor MANIFEST {flag} {value}`")
    settings, batch = settings_of(wanted, manifest=path or NO_MANIFEST), None
    parts: Sequence[ListedPart] = (ListedPart(Target(), settings, ()),)
    is_manifest_unread = False
    await make(program_checks())
    if path is not None:
        try:
            work = partial(list_items, path, allow_outside=wanted.allow_outside, lanes=wanted.lanes)
            found, listed = await to_thread.run_sync(work)
        except ManifestInvalid as error:
            is_manifest_unread = True
            observers.notify(not_ok("manifest", error.exit_code, error.message, error.hint))
        else:
            settings = settings_of_manifest(wanted, found)
            parts = listed_parts(found, listed, settings)
            count, batch = count_words(len(listed), "item"), found.batch
            lanes = f" for {count_words(len(parts), 'lane')}" if found.targets else ""
            message = f"`{path}`: batch `{batch}`, {count}{lanes}; `validate` looks into the files"
            observers.notify(ok("manifest", message))
    has_ledger = path is not None or settings.ledger != NO_MANIFEST.with_suffix(LEDGER_SUFFIX)
    held = await to_thread.run_sync(_read_ledger, settings.ledger, batch, parts) if has_ledger else [NOTHING_HELD]
    if parts[0].target.label is not None:
        await make(_ledger_checks(settings.ledger))
        summary = await check_lanes(parts, held, observers, batch=batch or "", ask=ask, started=began)
        return Checkup(replace(summary, exit=_exit_of(checks)), tuple(checks))
    (ours, live), (part,) = held[0], parts
    new = sum(each.item_id not in live for each in part.listed)
    lane = await examine_lane(
        settings,
        tally,
        observers,
        wanted=new,
        binds=tuple(part.binds),
        ask=ask,
        is_manifest_unread=is_manifest_unread,
    )
    if has_ledger:
        await make(_ledger_checks(settings.ledger))
    else:
        observers.notify(skipped(LEDGER_CHECK, "no manifest is named"))
    if ours is not None and lane is not None:
        observers.notify(_lane_check(ours, lane, has_targets=False))
    summary = Summary(
        verb="doctor",
        exit=_exit_of(checks),
        batch=batch,
        account=lane.account if lane else None,
        region=lane.region if lane else None,
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - began,
    )
    return Checkup(summary, tuple(checks))


async def check_lanes(
    parts: Sequence[ListedPart],
    held: Sequence["Held"],
    observers: Observer,
    *,
    batch: str,
    ask: Ask | None,
    started: float,
) -> Summary:
    """Check every lane, side by side. `observers` gets one check of each lane as soon as the lane is done.

    That check has the lane's label as its name, and sums up all checks of the lane (`lane_line`). These come before it,
    wrapped as `OfLane`. What all lanes share (COMMON) comes once, as the first lane found it.
    """
    common: dict[str, Check] = {}
    summaries: dict[str | None, Summary] = {}
    asking = one_at_a_time(ask)
    async with shared_access(parts) as shared:

        async def check(numbered: tuple[int, ListedPart]) -> None:
            number, part = numbered
            (ours, live), label = held[number], part.target.label
            tally, checks = Tally(), list[Check]()
            new = sum(each.item_id not in live for each in part.listed)
            lane = await examine_lane(
                part.settings,
                tally,
                Both(_Kept(checks), observer_of_lane(part.target, observers)),
                wanted=new,
                binds=tuple(part.binds),
                ask=asking,
                accounts=shared.accounts,
                local_url=shared.local_url,
            )
            if ours is not None and lane is not None:
                checks.append(_lane_check(ours, lane, has_targets=label is not None))
            for each in checks:
                if each.name in COMMON and each.name not in common and each.verdict is not Verdict.SKIPPED:
                    common[each.name] = each
                    observers.notify(each)
            line = lane_line(label or "", checks)
            observers.notify(line)
            summaries[label] = Summary(
                "doctor",
                exit_of(ExitCode.DONE) if line.code is ExitCode.DONE else Exit(line.code, line.message),
                account=lane.account if lane else None,
                requests=dict(tally.requests),
                throttled=tally.throttled,
            )

        await for_each(enumerate(parts), check, at_once=CHECKED_AT_ONCE)
    return summary_of_lanes(
        "doctor",
        [(part.target, summaries[part.target.label]) for part in parts],
        batch=batch,
        elapsed_s=counting_s() - started,
    )


def lane_line(label: str, checks: Sequence[Check]) -> Check:
    """Return one check that sums up those of a lane: the failure that wins, else every warning."""
    code = first_of({check.code for check in checks})
    failed = [check for check in checks if check.code is not ExitCode.DONE]
    if failed:
        worst = next(check for check in failed if check.code is code)
        others = f"; {count_words(len(failed) - 1, 'more check')} failed" if len(failed) > 1 else ""
        return not_ok(label, code, f"{worst.name}: {worst.message}{others}", worst.hint)
    messages = {check.name: check.message for check in checks}
    account = messages.get(ACCOUNT, "")
    warnings = [check for check in checks if check.verdict is Verdict.WARN and check.name not in COMMON]
    if warnings:
        words = "; ".join(f"{check.name}: {check.message}" for check in warnings)
        return warned(label, f"{account}; {words}", warnings[0].hint)
    return ok(label, f"{account}; {messages.get(CAPACITY, '')}")


def _ledger_checks(ledger: LedgerAddress) -> Iterator[Check]:
    return database_checks(ledger) if isinstance(ledger, PostgresUrl) else ledger_checks(ledger)


class _Kept:
    """An observer that appends every check to a list."""

    def __init__(self, checks: list[Check]) -> None:
        self._checks = checks

    def notify(self, event: object) -> None:
        if isinstance(event, Check):
            self._checks.append(event)


Held = tuple[Lane | None, Set[str]]
"""A lane as the ledger has it, and the ids of its items that are at the service."""
NOTHING_HELD: Held = (None, frozenset())


def _read_ledger(ledger: LedgerAddress, batch: str | None, parts: Sequence[ListedPart]) -> list[Held]:
    """Return what a ledger holds of each lane: nothing if it cannot be read, `ledger_checks` says why."""
    with suppress(LedgerUnusable), lane_readers(ledger) as reader_of:
        return [_held(reader_of(part.target), batch) for part in parts]
    return [NOTHING_HELD] * len(parts)


def _held(reader: LedgerReader | None, batch: str | None) -> Held:
    if reader is None:
        return NOTHING_HELD
    known = reader.known(batch) if batch else ()
    return reader.lane(), {row.item_id for row in known if row.is_live}


def _lane_check(ours: Lane, lane: Lane, *, has_targets: bool) -> Check:
    """Check whether the ledger belongs to the lane of the credentials."""
    whose = f"account {ours.account} in {ours.region}"
    if ours == lane:
        return ok("ledger lane", f"{whose}, as the credentials")
    message = f"{whose}, the credentials are of account {lane.account} in {lane.region}"
    hint = "`--ledger PATH` names another, `--profile` and `--region` choose the account"
    if has_targets:
        hint = OTHER_LANE_HINT
    return not_ok("ledger lane", ExitCode.LEDGER, message, hint)


def _exit_of(checks: Sequence[Check]) -> Exit:
    """Return the exit of the worst check."""
    code = first_of({check.code for check in checks})
    if code is not ExitCode.DONE:
        return Exit(code, next(f"{check.name}: {check.message}" for check in checks if check.code is code))
    warnings = sum(check.verdict is Verdict.WARN for check in checks)
    return Exit(code, f"nothing is wrong, {count_words(warnings, 'warning')}" if warnings else "nothing is wrong")
