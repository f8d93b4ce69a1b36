"""`doctor`: is everything there that a run needs? Reads only; every check is made although another failed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from batch_upload.app.checks import (
    LEDGER,
    Check,
    Inside,
    Verdict,
    fail,
    inside_of,
    ledger_checks,
    ok,
    program_checks,
    skipped,
)
from batch_upload.app.exits import first_of
from batch_upload.app.items import list_items
from batch_upload.app.lane_checks import LaneFound, examine_lane
from batch_upload.app.observers import Silent
from batch_upload.clock import counting_s
from batch_upload.engine.tally import Tally
from batch_upload.errors import ExitCode, ManifestInvalid
from batch_upload.model import LIVE, Listed
from batch_upload.ports import Observer
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, settings_of
from batch_upload.summary import Exit, Summary
from batch_upload.words import count_words

NOWHERE = Path("/dev/null/none.yaml")
"""Stands for the manifest where none is named: nothing can lie beside it."""


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
    is called where a profile needs the code of an MFA device. Raises UsageError for options that cannot be.
    """
    listener = observer or Silent()
    examination = Examination(None if manifest is None else Path(manifest), options or RunOptions())

    async def hand_on(checks: Iterator[Check]) -> None:
        while (check := await to_thread.run_sync(next, checks, None)) is not None:
            listener.notify(check)

    await hand_on(examination.machine())
    await examination.lane(listener, ask=ask)
    await hand_on(examination.ledger())
    return examination.result()


class Examination:
    """The parts of one `doctor`, to be called in the order machine, lane, ledger, result.

    `machine` and `ledger` make blocking checks, each when the next is asked for.
    """

    def __init__(self, path: Path | None, options: RunOptions) -> None:
        self._path = path
        self._options = options
        self._began = counting_s()
        self._checks: list[Check] = []
        self._tally = Tally()
        self._settings = settings_of(options, manifest=path or NOWHERE)
        self._batch: str | None = None
        self._inside = Inside()
        self._found = LaneFound()
        self._wanted = 0

    def machine(self) -> Iterator[Check]:
        """Check the programs and the manifest, if one is named."""
        yield from self._kept(program_checks())
        listed: Sequence[Listed] = ()
        if self._path is not None:
            try:
                manifest, listed = list_items(self._path, allow_outside=self._options.allow_outside)
            except ManifestInvalid as error:
                yield from self._kept([fail("manifest", error.exit_code, error.message, error.hint)])
            else:
                count = count_words(len(listed), "item")
                words = f"`{self._path}`: batch `{manifest.batch}`, {count}; `validate` looks into the files"
                yield from self._kept([ok("manifest", words)])
                self._batch = manifest.batch
                self._settings = settings_of(
                    self._options, manifest=self._path, ledger=manifest.ledger, target=manifest.target
                )
        if self._has_ledger:
            self._inside = inside_of(self._settings.ledger, self._batch)
        live = {row.item_id for row in self._inside.known if row.state in LIVE}
        self._wanted = sum(each.item_id not in live for each in listed)

    async def lane(self, observer: Observer, *, ask: Ask | None) -> None:
        """Check the way to the lane and ask it. `observer` gets the checks."""
        self._found = await examine_lane(self._settings, self._tally, observer, wanted=self._wanted, ask=ask)
        self._checks += self._found.checks

    def ledger(self) -> Iterator[Check]:
        """Check the ledger by itself, and whether it belongs to the lane."""
        if not self._has_ledger:
            yield from self._kept([skipped(LEDGER, "no manifest is named")])
            return
        yield from self._kept(ledger_checks(self._settings.ledger))
        ours, lane = self._inside.lane, self._found.lane
        if ours is None or lane is None or not lane.account:
            return
        if ours == lane:
            words = f"account {ours.account} in {ours.region}, as the credentials"
            yield from self._kept([ok("ledger lane", words)])
            return
        message = (
            f"account {ours.account} in {ours.region}, the credentials are of account {lane.account} in {lane.region}"
        )
        hint = "`--ledger PATH` names another, `--profile` and `--region` choose the account"
        yield from self._kept([fail("ledger lane", ExitCode.LEDGER, message, hint)])

    def result(self) -> Checkup:
        """Return what was found."""
        lane = self._found.lane if self._found.lane and self._found.lane.account else None
        summary = Summary(
            verb="doctor",
            exit=_exit(self._checks),
            batch=self._batch,
            account=lane.account if lane else None,
            region=lane.region if lane else None,
            requests=dict(self._tally.requests),
            throttled=self._tally.throttled,
            elapsed_s=counting_s() - self._began,
        )
        return Checkup(summary, tuple(self._checks))

    @property
    def _has_ledger(self) -> bool:
        return self._path is not None or self._settings.ledger.parent != NOWHERE.parent

    def _kept(self, checks: Iterable[Check]) -> Iterator[Check]:
        for check in checks:
            self._checks.append(check)
            yield check


def _exit(checks: Sequence[Check]) -> Exit:
    code = first_of({check.code for check in checks})
    if code is ExitCode.DONE:
        warnings = sum(check.verdict is Verdict.WARN for check in checks)
        return Exit(code, f"nothing is wrong, {count_words(warnings, 'warning')}" if warnings else "nothing is wrong")
    return Exit(code, next(f"{check.name}: {check.message}" for check in checks if check.code is code))
