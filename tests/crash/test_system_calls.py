"""SIGKILL at the 1st, 2nd, 3rd … system call of each kind that touches the ledger or a socket, until a run ends clean.

strace counts each kind of call in each thread by itself, so the points are told apart by what the call touches: the
ledger's files are its thread's, the lock is the event loop's, and so are the sockets but for the one that wakes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import COMMAND
from tests.support.kill_ground import (
    BOUND_LANES_SCRIPT,
    BOUND_SCRIPT,
    LANES_SCRIPT,
    SITES_BY_SCRIPT,
    FleetSite,
    Ground,
    Site,
    killed_or_clean,
    record,
)
from tests.support.kill_points import spread
from tests.support.strace import calls_of, most_of_a_thread, require_strace

FILE_CALLS = (
    *("openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "unlink"),
    *("fcntl", "flock", "fstat", "newfstatat", "fchmod", "fchown", "close", "mmap", "munmap"),
)
SOCKET_CALLS = ("socket", "connect", "getsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg", "shutdown")
SAMPLES = {"1 item": 5, "6 items in flight": 5, LANES_SCRIPT: 3, BOUND_SCRIPT: 4, BOUND_LANES_SCRIPT: 3}


@dataclass(frozen=True, slots=True)
class Place:
    """What is touched: files of the ledger by the ends of their names, or sockets where there are none."""

    name: str
    suffixes: tuple[str, ...]
    calls: tuple[str, ...]

    def filters(self, site: Site | FleetSite) -> list[str]:
        """strace's options for these calls."""
        ledger = site.batch.ledger
        paths = [word for suffix in self.suffixes for word in ("-P", f"{ledger}{suffix}")]
        return ["-e", f"trace={','.join(self.calls)}", *paths]


PLACES = (
    Place("ledger", ("", "-wal", "-shm", "-journal"), FILE_CALLS),
    Place("lock", (".lock",), FILE_CALLS),
    Place("socket", (), SOCKET_CALLS),
)
Point = tuple[Place, str, int]


@pytest.fixture(autouse=True)
def strace_is_there() -> None:
    require_strace()


@pytest.mark.parametrize(("script", "sample"), SAMPLES.items())
def test_a_kill_at_a_system_call_costs_no_item_and_makes_none_twice(
    ground: Ground, tmp_path: Path, script: str, sample: int
) -> None:
    points = [point for place in PLACES for point in _points(ground, script, place, tmp_path)]
    chosen = [points[number - 1] for number in spread(len(points), sample)]

    kills = sum(_kill(ground, script, *point) for point in chosen)

    assert len(points) > 100
    assert kills >= sample // 2


@pytest.mark.soak
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("script", SITES_BY_SCRIPT)
def test_a_kill_at_every_single_system_call(ground: Ground, tmp_path: Path, script: str, place: Place) -> None:
    kills = 0
    for call in sorted({call for _, call, _ in _points(ground, script, place, tmp_path)}):
        number = 1
        while _kill(ground, script, place, call, number):
            number += 1
        kills += number - 1

    record(f"system call on the {place.name}", script, points=kills, kills=kills)


def test_the_installed_command_killed_at_a_request_leaves_no_doubt(ground: Ground) -> None:
    site = ground.site(1)
    tracer = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:signal=KILL:when=4")

    killed = site.upload_by((*tracer, COMMAND))

    assert killed.code in (-9, 137)
    site.settle()


def _points(ground: Ground, script: str, place: Place, folder: Path) -> Iterator[Point]:
    """Every call of a clean run at this place, as a point."""
    site = SITES_BY_SCRIPT[script](ground)
    trace = folder / f"{place.name}.trace"
    ended = site.upload(strace=["-o", str(trace), *place.filters(site)])
    assert ended.code == 0, ended.result.stderr
    for call, count in sorted(most_of_a_thread(calls_of(trace)).items()):
        yield from ((place, call, number) for number in range(1, count + 1))


def _kill(ground: Ground, script: str, place: Place, call: str, number: int) -> bool:
    site = SITES_BY_SCRIPT[script](ground)
    inject = ["-o", "/dev/null", *place.filters(site), "-e", f"inject={call}:signal=KILL:when={number}"]
    killed = killed_or_clean(site.upload(strace=inject))
    site.settle()
    return killed
