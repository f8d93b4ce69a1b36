"""A disk that says no: nothing more is sent, exit 24 with a sentence, and once it says yes the same command ends it."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import COMMAND
from tests.support.kill_ground import Ground, Site, record
from tests.support.kill_points import Ended, spread
from tests.support.strace import calls_of, most_of_a_thread, needed, require_strace

LEDGER = 24
FILES = ("", "-wal", "-shm", "-journal")
FAILING = {
    "no space": ("pwrite64", "ENOSPC"),
    "disk error on write": ("pwrite64", "EIO"),
    "disk error on fdatasync": ("fdatasync", "EIO"),
    "disk error on read": ("pread64", "EIO"),
    "no space for the -shm": ("ftruncate", "ENOSPC"),
}
TMPFS = """
set -u
mount -t tmpfs -o size=256k,mode=700 tmpfs "$1" || exit 99
"$2" upload "$3" --ledger "$1/june.ledger" --rate 1000 --concurrency 6 --json >"$4/out1" 2>"$4/err1"
echo $? >"$4/code1"
mount -o remount,size=16m "$1"
"$2" upload "$3" --ledger "$1/june.ledger" --rate 1000 --json >"$4/out2" 2>"$4/err2"
echo $? >"$4/code2"
"""


@pytest.mark.parametrize("failing", FAILING)
def test_a_ledger_that_cannot_be_written_stops_all_sending_and_the_next_run_ends_it(
    ground: Ground, tmp_path: Path, failing: str
) -> None:
    require_strace()
    total = _count(ground, tmp_path, failing)

    failed = sum(_fail(ground, failing, number) for number in spread(total, 2))

    assert failed > 0


@pytest.mark.soak
@pytest.mark.parametrize("failing", FAILING)
def test_a_disk_that_fails_from_any_call_on(ground: Ground, tmp_path: Path, failing: str) -> None:
    require_strace()
    total = _count(ground, tmp_path, failing)

    failed = sum(_fail(ground, failing, number) for number in range(1, total + 1))

    assert failed > 0
    record("every call fails from a point on", failing, points=total, kills=failed)


@pytest.mark.parametrize("limit_kb", [16, 90, 110])
def test_a_file_size_limit_stops_all_sending_and_the_next_run_ends_it(ground: Ground, limit_kb: int) -> None:
    assert _limit(ground, limit_kb * 1024)


@pytest.mark.soak
def test_a_file_size_limit_of_every_size(ground: Ground) -> None:
    sizes_kb = range(16, 256, 4)

    failed = sum(_limit(ground, size_kb * 1024) for size_kb in sizes_kb)

    assert failed > 0
    record("file size limit of 16 to 252 KiB", "6 items in flight", points=len(sizes_kb), kills=failed)


def test_a_full_tmpfs_stops_all_sending_and_the_same_command_ends_it_once_there_is_room(
    ground: Ground, tmp_path: Path
) -> None:
    site = ground.site(40)
    disk, printed = tmp_path / "disk", tmp_path / "printed"
    disk.mkdir()
    printed.mkdir()

    ended = _in_a_mount_namespace(TMPFS, [disk, COMMAND, site.batch.path, printed], site)

    if ended.returncode == 99:
        needed(f"nothing can be mounted here: {ended.stderr.strip()}")
    said = (printed / "err1").read_text(encoding="utf-8")
    assert (printed / "code1").read_text().strip() == "24", said
    assert "Traceback" not in said
    assert "full" in said
    assert (printed / "code2").read_text().strip() == "0", (printed / "err2").read_text(encoding="utf-8")
    assert Counter(each["client_token"] for each in site.endpoint.attachments()).most_common(1)[0][1] == 1
    assert len(site.endpoint.attachments()) == 40
    assert site.endpoint.stats().token_mismatches == 0


def test_the_intent_is_on_the_disk_before_the_first_byte_of_its_request_leaves(ground: Ground, tmp_path: Path) -> None:
    require_strace()
    site = ground.site(4, "--concurrency", "1")
    trace = tmp_path / "trace"

    ended = site.upload(strace=["-y", "-s", "400", "-o", str(trace), "-e", "trace=pwrite64,fdatasync,fsync,sendto"])

    assert ended.code == 0, ended.result.stderr
    calls = calls_of(trace)
    requests = [call for call in calls if call.name == "sendto" and "CreateRegistrationAttachment" in call.text]
    assert len(requests) == 4
    since = 0
    for request in requests:
        before = [call for call in calls if since < call.began < request.began]
        written = [call.ended for call in before if call.name == "pwrite64" and "june.ledger-wal" in call.text]
        synced = [call for call in before if call.name in ("fdatasync", "fsync") and "june.ledger-wal" in call.text]
        assert written
        assert any(sync.began > written[-1] and sync.ended < request.began for sync in synced)
        since = request.ended


def _count(ground: Ground, folder: Path, failing: str) -> int:
    call, _ = FAILING[failing]
    site = ground.site(6)
    trace = folder / "trace"
    ended = site.upload(strace=["-o", str(trace), *_filters(site, call)])
    assert ended.code == 0, ended.result.stderr
    return most_of_a_thread(calls_of(trace))[call]


def _fail(ground: Ground, failing: str, number: int) -> bool:
    """Let the `number`-th call and all after it fail; whether that was noticed."""
    call, error = FAILING[failing]
    site = ground.site(6)
    inject = ["-o", "/dev/null", *_filters(site, call), "-e", f"inject={call}:error={error}:when={number}+"]
    return _stopped(site, site.upload(strace=inject))


def _limit(ground: Ground, size_bytes: int) -> bool:
    site = ground.site(6)
    return _stopped(site, site.upload(file_size_max_bytes=size_bytes))


def _stopped(site: Site, ended: Ended) -> bool:
    """The run has said that the ledger is at fault, or never needed what failed; either way the next run ends it."""
    assert "Traceback" not in ended.result.stderr
    if ended.code != 0:
        assert ended.code == LEDGER, ended.result.stderr
        assert "june.ledger" in ended.result.stderr
        assert "hint:" in ended.result.stderr
        assert ended.result.summary["exit"]["code"] == LEDGER
    site.assert_nothing_is_wrong_yet()
    site.settle()
    return ended.code == LEDGER


def _filters(site: Site, call: str) -> list[str]:
    paths = [word for suffix in FILES for word in ("-P", f"{site.batch.ledger}{suffix}")]
    return ["-e", f"trace={call}", *paths]


def _in_a_mount_namespace(
    script: str, arguments: Sequence[str | Path], site: Site
) -> "subprocess.CompletedProcess[str]":
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        needed("there are no mount namespaces here")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *(str(each) for each in arguments)],
        env={**os.environ, **site.endpoint.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
