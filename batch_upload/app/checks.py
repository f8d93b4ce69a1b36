"""What `doctor` finds, and its checks of this machine: the programs, the encoding, and a ledger."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from batch_upload.errors import BatchUploadError, ExitCode, LedgerUnusable
from batch_upload.ledger import damage_of, find_reader, holder_of, place_of, rights_of, schema_of
from batch_upload.model import Known, Lane
from batch_upload.words import size_words

LEDGER = "ledger"
SCHEMA, PAGES, RIGHTS, LOCK, DISK = (f"ledger {each}" for each in ("schema", "pages", "rights", "lock", "disk"))
PACKAGES = ("batch-upload", "aiobotocore", "botocore", "aiohttp", "anyio", "sqlalchemy", "pyyaml", "pydantic", "typer")
FREE_BYTES = 64_000_000
"""A ledger of 100,000 items has about as much."""


class Verdict(StrEnum):
    """How a check ended. `SKIPPED`: it could not be made, or there was nothing to look at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `code` is what a failure means for the exit; 0 of everything else."""

    name: str
    verdict: Verdict
    message: str
    hint: str = ""
    code: ExitCode = ExitCode.DONE


def ok(name: str, message: str) -> Check:
    return Check(name, Verdict.OK, message)


def warn(name: str, message: str, hint: str = "") -> Check:
    return Check(name, Verdict.WARN, message, hint)


def fail(name: str, code: ExitCode, message: str, hint: str = "") -> Check:
    return Check(name, Verdict.FAIL, message, hint, code)


def skipped(name: str, message: str) -> Check:
    return Check(name, Verdict.SKIPPED, message)


def program_checks() -> Iterator[Check]:
    """Check the versions of what is installed, and how names of files are encoded."""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    yield ok("programs", ", ".join(versions))
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") == "utf8":
        yield ok("encoding", "names of files are UTF-8")
    else:
        yield warn("encoding", f"names of files are taken as {encoding}", "set `LC_ALL=C.UTF-8`")


@dataclass(frozen=True, slots=True)
class Inside:
    """What a ledger that can be read holds. Empty of one that is not there, or cannot be read."""

    lane: Lane | None = None
    known: tuple[Known, ...] = ()


def ledger_checks(path: Path) -> Iterator[Check]:
    """Everything about the file itself. Never raises for what is wrong with it."""
    try:
        place = place_of(path)
    except BatchUploadError as error:
        yield fail(LEDGER, ExitCode.LEDGER, error.message, error.hint)
        return
    if not place.exists:
        yield ok(LEDGER, f"`{path}`: there is none yet, the first `upload` makes it")
    else:
        yield ok(LEDGER, f"`{path}`")
        yield _guarded(SCHEMA, lambda: _schema(path))
        yield _guarded(PAGES, lambda: _pages(path))
        yield _guarded(RIGHTS, lambda: _rights(path))
        yield _guarded(LOCK, lambda: _lock(path))
    if not place.is_writable:
        yield fail(DISK, ExitCode.LEDGER, f"`{path}` cannot be written", "check the rights of the file and its folder")
    elif place.is_on_network:
        yield warn(
            DISK,
            f"a network file system ({place.file_system}): its locks may not hold between machines",
            "put the ledger on a local disk with `--ledger`",
        )
    elif place.free_bytes < FREE_BYTES:
        yield warn(
            DISK,
            f"{size_words(place.free_bytes)} are free",
            f"free at least {size_words(FREE_BYTES)} before the next run",
        )
    else:
        yield ok(DISK, f"{place.file_system or 'a local disk'}, {size_words(place.free_bytes)} free")


def inside_of(path: Path, batch: str | None) -> Inside:
    """What the ledger holds of a batch, as far as it can be read."""
    try:
        reader = find_reader(path)
        if reader is None:
            return Inside()
        with reader:
            return Inside(reader.lane(), tuple(reader.known(batch)) if batch else ())
    except LedgerUnusable:
        return Inside()


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except BatchUploadError as error:
        return fail(name, ExitCode.LEDGER, error.message, error.hint)
    except OSError as error:
        return fail(name, ExitCode.LEDGER, f"cannot be looked at: {(error.strerror or str(error)).lower()}")


def _schema(path: Path) -> Check:
    found, ours = schema_of(path)
    if found == 0:
        return ok(SCHEMA, "empty: the first `upload` fills it")
    if found < ours:
        return ok(SCHEMA, f"{found}; the next `upload` brings it to {ours}")
    return ok(SCHEMA, str(found))


def _pages(path: Path) -> Check:
    if schema_of(path)[0] == 0:
        return skipped(PAGES, "there are none")
    damage = damage_of(path)
    if damage:
        hint = "restore a backup, or move it away: `batch-upload reconcile` rebuilds it from the identity tags"
        return fail(PAGES, ExitCode.LEDGER, f"damaged: {'; '.join(damage)}", hint)
    return ok(PAGES, "every page, index and reference holds together")


def _rights(path: Path) -> Check:
    rights = rights_of(path)
    mode = f"{rights.mode:04o}"
    if not rights.is_mine:
        return warn(RIGHTS, f"{mode}, of another user", "run as the user whose ledger it is")
    if not rights.are_private:
        return warn(RIGHTS, f"{mode}: others may read it", f"`chmod 600 {path}`")
    return ok(RIGHTS, f"{mode}, yours alone")


def _lock(path: Path) -> Check:
    note = holder_of(path)
    if note is None:
        return ok(LOCK, "free")
    who = (
        f"process {note.pid} on {note.host} since {note.since}" if note.pid is not None else "a process without a name"
    )
    return ok(LOCK, f"held by another run: {who}")
