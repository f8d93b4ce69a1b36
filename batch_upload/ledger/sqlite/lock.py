"""One run at a time: an OS lock on a file beside the ledger. It ends with its process, however that ends.

The file stays when the lock is released: if it were removed, two runs could lock two files of one name.
"""

import fcntl
import json
import math
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from batch_upload.errors import LedgerLocked, LedgerUnusable
from batch_upload.ledger.driver import Database
from batch_upload.ledger.sqlite.files import MODE, file_unusable, sync_folder
from batch_upload.ledger.tables import utc_text
from batch_upload.moments import Moment, Stretch
from batch_upload.ports import Clock

POLL_S = 0.25
"""Pause between two tries to take a lock that another run holds."""
_SHORTEST_S = 0.001
"""A pause that no clock rounds away."""
_NOTE_MAX_BYTES = 1024 * 1024
"""A lane takes about 40 bytes of it."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the lock's file says. Each is None where it is missing or torn.

    `run_id` is the holder's, or the last holder's. `began_run_id` is the last run that began under the lock; `began`
    has the last of each lane, by its number in the ledger (none in a file of an earlier program). `inode` is the
    file's own number: in a copy of the file it is another's, and what began there did not begin here.

    The last four are the `moments.Stretch` that goes on: machine, beginning by both clocks, and `latest_before`.
    """

    pid: int | None = None
    host: str | None = None
    since: str | None = None
    run_id: str | None = None
    began_run_id: str | None = None
    began: Mapping[str, str] = field(default_factory=dict)
    inode: int | None = None
    machine: str | None = None
    steady_since: str | None = None
    steady_since_counting_s: float | None = None

    latest_before: str | None = None

    @property
    def since_words(self) -> str:
        """` since 2026-11-23 20:32:00Z`, to the second; empty where the time is missing or torn."""
        since = _time(self.since)
        return f" since {since:%Y-%m-%d %H:%M:%SZ}" if since else ""

    @property
    def stretch(self) -> Stretch | None:
        """The stretch that the note describes, or None without one."""
        began, counting_s = _time(self.steady_since), self.steady_since_counting_s
        if self.machine is None or began is None or counting_s is None:
            return None
        if self.latest_before is not None and _time(self.latest_before) is None:
            return None
        return Stretch(self.machine, Moment(began, counting_s), _time(self.latest_before))

    def began_on(self, lane_id: int) -> str | None:
        """Return the id of the last run that began on a lane, or None where that is not known."""
        return self.began.get(str(lane_id)) if self.began else self.began_run_id


class FileLease:
    """`leases.Leases` by a lock that is held: the right to all lanes of the ledger, with one note for all."""

    of_each_lane = False

    def __init__(self, descriptor: int, note: Note, *, before: Note) -> None:
        self._descriptor: int | None = descriptor
        self._note = note
        self._before = before
        self._is_synced = True

    def take(self, db: Database, lane_id: int) -> int | None:
        """Do nothing: the process that holds the lock holds every lane."""
        return None

    def give_back(self, db: Database, lane_id: int) -> None:
        """All lanes are given back with the lock, by `release`."""

    def may_send_until(self, lane_id: int) -> float:
        return math.inf

    def stretch(self, lane_id: int | None) -> Stretch | None:
        return self._note.stretch

    def is_as_left(self, lane_id: int, last_run_id: str | None) -> bool | None:
        noted = self._before.began_on(lane_id)
        return None if noted is None and last_run_id is None else noted == last_run_id

    def note_run(self, db: Database, lane_id: int, run_id: str, *, is_trusted: bool) -> None:
        if not is_trusted:
            return
        began = {**self._note.began, str(lane_id): run_id}
        self._note = replace(self._note, began_run_id=run_id, began=began)
        self._is_synced = False

    def sync(self) -> None:
        if self._descriptor is not None and not self._is_synced:
            _write(self._descriptor, self._note)
            os.fsync(self._descriptor)
            self._is_synced = True

    def note_stretch(self, db: Database, lane_id: int | None, stretch: Stretch) -> None:
        # not synchronised: a process that is killed keeps it, and a power cut ends the stretch anyway
        latest = stretch.latest_before
        self._note = replace(
            self._note,
            machine=stretch.machine,
            steady_since=utc_text(stretch.began.wall),
            steady_since_counting_s=stretch.began.counting_s,
            latest_before=None if latest is None else utc_text(latest),
        )
        if self._descriptor is not None:
            _write(self._descriptor, self._note)

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


async def take_lock(real: Path, *, shown: str, run_id: str, clock: Clock, wait_s: float) -> FileLease:
    """Take the lock of the ledger at `real`, and wait for it up to `wait_s` seconds.

    Raises LedgerLocked if another run still holds it then, and LedgerUnusable if there can be no lock.
    """
    path = real.with_name(f"{real.name}.lock")
    give_up_at = clock.monotonic() + wait_s
    try:
        while (descriptor := _try(path, shown=shown)) is None:
            left_s = give_up_at - clock.monotonic()
            if left_s <= 0:
                raise _locked(path, shown=shown)
            await clock.sleep(max(min(left_s, POLL_S), _SHORTEST_S))
        return _hold(descriptor, run_id=run_id, since=clock.now())
    except OSError as error:
        raise file_unusable(error, shown=f"{shown}.lock") from error


def _try(path: Path, *, shown: str) -> int | None:
    """Return a descriptor that holds the lock, or None if another process holds it."""
    while True:
        descriptor = _open(path, shown=shown)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        if _is_still_at(path, descriptor):
            return descriptor
        os.close(descriptor)


def _open(path: Path, *, shown: str) -> int:
    # O_NONBLOCK: a FIFO put in the lock's place must not hold the run up
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, MODE)
        sync_folder(path.parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LedgerUnusable(f"`{shown}.lock` is not a file", hint="move it away")
    return descriptor


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Return False if the file was removed between our opening and locking it: no other process would see our lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _hold(descriptor: int, *, run_id: str, since: datetime) -> FileLease:
    try:
        before = note_of(descriptor)
        note = replace(before, pid=os.getpid(), host=socket.gethostname(), since=utc_text(since), run_id=run_id)
        _write(descriptor, note)
    except OSError:
        os.close(descriptor)
        raise
    return FileLease(descriptor, note, before=before)


def _locked(path: Path, *, shown: str) -> LedgerLocked:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        note = note_of(descriptor)
    finally:
        os.close(descriptor)
    who = f": process {note.pid} on {note.host}{note.since_words}" if note.pid is not None else ""
    return LedgerLocked(
        f"another run holds `{shown}`{who}",
        pid=note.pid,
        host=note.host,
        since=_time(note.since),
        hint="wait for it to end, or let this one wait with `--wait-lock 30m`",
    )


def note_of(descriptor: int) -> Note:
    """Read the note in an open lock file. Raises OSError."""
    inode = os.fstat(descriptor).st_ino
    try:
        found = json.loads(os.pread(descriptor, _NOTE_MAX_BYTES, 0))
    except ValueError:  # its writer was killed in the middle of it, or it is new
        return Note(inode=inode)
    return _note(found, inode) if isinstance(found, dict) else Note(inode=inode)


def _note(found: dict[str, Any], inode: int) -> Note:
    pid, counting_s = found.get("pid"), found.get("steady_since_counting_s")
    here = found if found.get("inode") == inode else {}  # in a copy, what was noted of another file
    began = here.get("began")
    return Note(
        pid=pid if isinstance(pid, int) else None,
        host=_text(found.get("host")),
        since=_text(found.get("since")),
        run_id=_text(found.get("run_id")),
        began_run_id=_text(here.get("began_run_id")),
        began=began if isinstance(began, dict) else {},
        inode=inode,
        machine=_text(here.get("machine")),
        steady_since=_text(here.get("steady_since")),
        steady_since_counting_s=float(counting_s) if isinstance(counting_s, int | float) else None,
        latest_before=_text(here.get("latest_before")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _time(text: str | None) -> datetime | None:
    """Return an aware time, or None for anything else."""
    try:
        found = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _write(descriptor: int, note: Note) -> None:
    text = json.dumps(asdict(note)).encode("ascii") + b"\n"
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
