"""What `doctor` does: one check after another, each told, and one exit code of all."""

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import anyio

from batch_upload.app.exits import first_of
from batch_upload.app.items import list_items
from batch_upload.cli.audience import Everybody
from batch_upload.cli.examining_lane import Examined, examine_lane
from batch_upload.cli.examining_ledger import LEDGER, Inside, inside_of, ledger_checks
from batch_upload.cli.flags import Flags, options_of, truth_of
from batch_upload.cli.output import Ended, Output
from batch_upload.cli.signals import until_interrupted
from batch_upload.clock import counting_s
from batch_upload.engine.plan import LIVE
from batch_upload.engine.tally import Tally
from batch_upload.errors import ExitCode, ManifestInvalid
from batch_upload.model import Listed, Manifest
from batch_upload.report.checkup import Check, Verdict, check_lines, fail, ok, skipped, warn
from batch_upload.report.observers import NullObserver
from batch_upload.settings import Settings, settings_of
from batch_upload.summary import Exit, Summary
from batch_upload.words import count_words

PACKAGES = ("batch-upload", "aiobotocore", "botocore", "aiohttp", "anyio", "sqlalchemy", "pyyaml", "pydantic", "typer")
NOWHERE = Path("/dev/null/none.yaml")
"""Stands for the manifest where none is named: nothing can lie beside it."""


@dataclass(frozen=True, slots=True)
class _Named:
    """The manifest that was named, as far as it can be read."""

    manifest: Manifest | None = None
    listed: Sequence[Listed] = ()


def examined(path: Path | None, flags: Flags, output: Output) -> Ended:
    """Make every check. Raises UsageError for flags that cannot be."""
    started = counting_s()
    checks: list[Check] = []

    def tell(*made: Check) -> None:
        for check in made:
            checks.append(check)
            _show(check, output)

    tell(ok("programs", ", ".join([f"Python {platform.python_version()}", *_versions()])), _encoding())
    named = _manifest(path, flags, tell)
    settings = _settings(path, named.manifest, flags)
    has_ledger = path is not None or settings.ledger.parent != NOWHERE.parent
    inside = Inside()
    if has_ledger:
        inside = inside_of(settings.ledger, named.manifest.batch if named.manifest else None)
    tally = Tally()
    work = partial(_examine_lane, settings, tally, _still_to_create(named, inside), tell)
    lane = anyio.run(until_interrupted, work)
    tell(*(ledger_checks(settings.ledger) if has_ledger else [skipped(LEDGER, "no manifest is named")]))
    tell(*_same_lane(inside, lane))
    known = lane.lane if lane.lane and lane.lane.account else None
    summary = Summary(
        verb="doctor",
        exit=_exit(checks),
        batch=named.manifest.batch if named.manifest else None,
        account=known.account if known else None,
        region=known.region if known else None,
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - started,
    )
    return Ended(summary, lines=_last_lines(checks))


async def _examine_lane(settings: Settings, tally: Tally, wanted: int, tell: Callable[..., None]) -> Examined:
    return await examine_lane(settings, Everybody([tally], NullObserver()), wanted=wanted, tell=tell)


def _manifest(path: Path | None, flags: Flags, tell: Callable[..., None]) -> _Named:
    if path is None:
        return _Named()
    try:
        manifest, listed = list_items(path, allow_outside=truth_of(flags, "allow_outside"))
    except ManifestInvalid as error:
        tell(fail("manifest", error.exit_code, error.message, error.hint))
        return _Named()
    told = f"`{path}`: batch `{manifest.batch}`, {count_words(len(listed), 'item')}; `validate` looks into the files"
    tell(ok("manifest", told))
    return _Named(manifest, listed)


def _encoding() -> Check:
    name = sys.getfilesystemencoding()
    if name.lower().replace("-", "") == "utf8":
        return ok("encoding", "names of files are UTF-8")
    return warn("encoding", f"names of files are taken as {name}", "set `LC_ALL=C.UTF-8`")


def _settings(path: Path | None, manifest: Manifest | None, flags: Flags) -> Settings:
    ledger, target = (manifest.ledger, manifest.target) if manifest else (None, None)
    return settings_of(options_of(flags), manifest=path or NOWHERE, ledger=ledger, target=target)


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} (not installed)")
    return found


def _still_to_create(named: _Named, inside: Inside) -> int:
    live = {row.item_id for row in inside.known if row.state in LIVE}
    return sum(each.item_id not in live for each in named.listed)


def _same_lane(inside: Inside, lane: Examined) -> list[Check]:
    if inside.lane is None or lane.lane is None or not lane.lane.account:
        return []
    if inside.lane == lane.lane:
        return [ok("ledger lane", f"account {inside.lane.account} in {inside.lane.region}, as the credentials")]
    message = (
        f"account {inside.lane.account} in {inside.lane.region},"
        f" the credentials are of account {lane.lane.account} in {lane.lane.region}"
    )
    hint = "`--ledger PATH` names another, `--profile` and `--region` choose the account"
    return [fail("ledger lane", ExitCode.LEDGER, message, hint)]


def _show(check: Check, output: Output) -> None:
    output.event(check.as_json())
    if not output.quiet:
        output.answer(check_lines(check))
        sys.stdout.flush()
        return
    if check.verdict is Verdict.FAIL:
        output.error("\n".join(check_lines(check)))


def _exit(checks: Sequence[Check]) -> Exit:
    code = first_of({check.code for check in checks})
    if code is ExitCode.DONE:
        warnings = sum(check.verdict is Verdict.WARN for check in checks)
        return Exit(code, f"nothing is wrong, {count_words(warnings, 'warning')}" if warnings else "nothing is wrong")
    return Exit(code, next(f"{check.name}: {check.message}" for check in checks if check.code is code))


def _last_lines(checks: Sequence[Check]) -> tuple[str, ...]:
    failed = [check.name for check in checks if check.verdict is Verdict.FAIL]
    if not failed:
        return ()
    return (f"{count_words(len(failed), 'check')} failed: {', '.join(f'`{name}`' for name in failed)}",)
