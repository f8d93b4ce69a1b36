"""`doctor`: does a run have all that it needs? Reads only; every check is made although another failed."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
)
from batch_upload.app.exits import first_of
from batch_upload.app.items import list_items
from batch_upload.app.lane_checks import examine_lane
from batch_upload.app.observers import Both, Silent
from batch_upload.clock import counting_s
from batch_upload.engine.tally import Tally
from batch_upload.errors import ExitCode, LedgerUnusable, ManifestInvalid, UsageError
from batch_upload.ledger import find_reader
from batch_upload.model import LIVE, Known, Lane, Listed
from batch_upload.ports import Observer
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, settings_of
from batch_upload.summary import Exit, Summary
from batch_upload.words import count_words

NOWHERE = Path("/dev/null/none.yaml")
"""The manifest if none is named: there can be no file in its folder."""


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

    if path is None and wanted.targets:
        raise UsageError("`--target` needs the MANIFEST that has the targets", hint="`doctor MANIFEST --target NAME`")
    settings, batch = settings_of(wanted, manifest=path or NOWHERE), None
    listed: Sequence[Listed] = ()
    await make(program_checks())
    if path is not None:
        try:
            work = partial(list_items, path, allow_outside=wanted.allow_outside, targets=wanted.targets)
            found, listed = await to_thread.run_sync(work)
        except ManifestInvalid as error:
            observers.notify(not_ok("manifest", error.exit_code, error.message, error.hint))
        else:
            count, batch = count_words(len(listed), "item"), found.batch
            observers.notify(ok("manifest", f"`{path}`: batch `{batch}`, {count}; `validate` looks into the files"))
            settings = settings_of(
                wanted, manifest=path, ledger=found.ledger, target=found.target, targets=found.targets
            )
    has_ledger = path is not None or settings.ledger.parent != NOWHERE.parent
    ours, known = await to_thread.run_sync(_read_ledger, settings.ledger, batch) if has_ledger else (None, ())
    live = {row.item_id for row in known if row.state in LIVE}
    new = sum(each.item_id not in live for each in listed)
    lane = await examine_lane(settings, tally, observers, wanted=new, ask=ask)
    if has_ledger:
        await make(ledger_checks(settings.ledger))
    else:
        observers.notify(skipped(LEDGER_CHECK, "no manifest is named"))
    if ours is not None and lane is not None:
        observers.notify(_lane_check(ours, lane))
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


class _Kept:
    """An observer that appends every check to a list."""

    def __init__(self, checks: list[Check]) -> None:
        self._checks = checks

    def notify(self, event: object) -> None:
        if isinstance(event, Check):
            self._checks.append(event)


def _read_ledger(path: Path, batch: str | None) -> tuple[Lane | None, Sequence[Known]]:
    """Return the lane of a ledger and its rows of a batch. Empty if it cannot be read: `ledger_checks` says why."""
    with suppress(LedgerUnusable):
        reader = find_reader(path)
        if reader is not None:
            with reader:
                return reader.lane(), reader.known(batch) if batch else ()
    return None, ()


def _lane_check(ours: Lane, lane: Lane) -> Check:
    """Check whether the ledger belongs to the lane of the credentials."""
    whose = f"account {ours.account} in {ours.region}"
    if ours == lane:
        return ok("ledger lane", f"{whose}, as the credentials")
    message = f"{whose}, the credentials are of account {lane.account} in {lane.region}"
    hint = "`--ledger PATH` names another, `--profile` and `--region` choose the account"
    return not_ok("ledger lane", ExitCode.LEDGER, message, hint)


def _exit_of(checks: Sequence[Check]) -> Exit:
    """Return the exit of the worst check."""
    code = first_of({check.code for check in checks})
    if code is not ExitCode.DONE:
        return Exit(code, next(f"{check.name}: {check.message}" for check in checks if check.code is code))
    warnings = sum(check.verdict is Verdict.WARN for check in checks)
    return Exit(code, f"nothing is wrong, {count_words(warnings, 'warning')}" if warnings else "nothing is wrong")
