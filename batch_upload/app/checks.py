"""A check of `doctor`, and its checks of this machine: the programs, the encoding, and a ledger."""

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from batch_upload.errors import BatchUploadError, ExitCode
from batch_upload.ledger import damage_of, holder_of, place_of, rights_of, schema_of
from batch_upload.words import holder_words, size_words

LEDGER_CHECK = "ledger"
SCHEMA, PAGES, RIGHTS, LOCK, DISK = (f"ledger {each}" for each in ("schema", "pages", "rights", "lock", "disk"))
PACKAGES = ("batch-upload", "aiobotocore", "botocore", "aiohttp", "anyio", "sqlalchemy", "pyyaml", "pydantic", "typer")
FREE_BYTES = 64_000_000
"""About the size of a ledger of 100,000 items."""


class Verdict(StrEnum):
    """How a check ended. `SKIPPED`: it could not be made, or there was nothing to check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked. `code` is what a failure means for the exit; DONE for everything else."""

    name: str
    verdict: Verdict
    message: str
    hint: str = ""
    code: ExitCode = ExitCode.DONE


def ok(name: str, message: str) -> Check:
    return Check(name, Verdict.OK, message)


def warned(name: str, message: str, hint: str = "") -> Check:
    return Check(name, Verdict.WARN, message, hint)


def not_ok(name: str, code: ExitCode, message: str, hint: str = "") -> Check:
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
        yield warned("encoding", f"names of files are taken as {encoding}", "set `LC_ALL=C.UTF-8`")


def ledger_checks(path: Path) -> Iterator[Check]:
    """Check a ledger in a file. Raises nothing for what is wrong with it."""
    try:
        place = place_of(path)
    except BatchUploadError as error:
        yield not_ok(LEDGER_CHECK, ExitCode.LEDGER, error.message, error.hint)
        return
    if not place.exists:
        yield ok(LEDGER_CHECK, f"`{path}`: there is none yet, the first `upload` makes it")
    else:
        yield ok(LEDGER_CHECK, f"`{path}`")
        checks = {SCHEMA: schema_check, PAGES: pages_check, RIGHTS: rights_check, LOCK: lock_check}
        for name, check in checks.items():
            try:
                yield check(path)
            except BatchUploadError as error:
                yield not_ok(name, ExitCode.LEDGER, error.message, error.hint)
            except OSError as error:
                yield not_ok(name, ExitCode.LEDGER, f"cannot be read: {(error.strerror or str(error)).lower()}")
    free = f"{size_words(place.free_bytes)} free"
    if not place.is_writable:
        yield not_ok(
            DISK, ExitCode.LEDGER, f"`{path}` cannot be written", "check the rights of the file and its folder"
        )
    elif place.is_on_network:
        words = f"a network file system ({place.file_system}): its locks may not hold between machines"
        yield warned(DISK, words, "put the ledger on a local disk with `--ledger`")
    elif place.free_bytes < FREE_BYTES:
        hint = f"free at least {size_words(FREE_BYTES)} before the next run"
        yield warned(DISK, f"{size_words(place.free_bytes)} are free", hint)
    else:
        yield ok(DISK, f"{place.file_system or 'a local disk'}, {free}")


def schema_check(path: Path) -> Check:
    """Check the version of the schema. Raises LedgerUnusable."""
    found, ours = schema_of(path)
    if found == 0:
        return ok(SCHEMA, "empty: the first `upload` fills it")
    return ok(SCHEMA, f"{found}; the next `upload` brings it to {ours}" if found < ours else str(found))


def pages_check(path: Path) -> Check:
    """Check the integrity of the database. Raises LedgerUnusable."""
    if schema_of(path)[0] == 0:
        return skipped(PAGES, "there are none")
    damage = damage_of(path)
    if damage:
        hint = "restore a backup, or move it away: `batch-upload reconcile` rebuilds it from the identity tags"
        return not_ok(PAGES, ExitCode.LEDGER, f"damaged: {'; '.join(damage)}", hint)
    return ok(PAGES, "every page, index and reference holds together")


def rights_check(path: Path) -> Check:
    """Check that no other user can read it. Raises OSError."""
    rights = rights_of(path)
    mode = f"{rights.mode:04o}"
    if not rights.is_mine:
        return warned(RIGHTS, f"{mode}, of another user", "run as the user whose ledger it is")
    if not rights.are_private:
        return warned(RIGHTS, f"{mode}: others may read it", f"`chmod 600 {path}`")
    return ok(RIGHTS, f"{mode}, yours alone")


def lock_check(path: Path) -> Check:
    """Check whether a run holds it. Raises OSError."""
    note = holder_of(path)
    if note is None:
        return ok(LOCK, "free")
    since = note.since_words if note.pid else ""
    return ok(LOCK, f"held by another run: {holder_words(note.pid, note.host)}{since}")
