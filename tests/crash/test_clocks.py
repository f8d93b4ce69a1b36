"""The shifted clocks themselves: what a Python process under them sees, and how long it waits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clocks import Clocks

HOUR_S = 3600.0
NEAR_S = 30.0
"""How far two readings may lie apart on a busy machine; every shift here is far longer."""

READ = """
import asyncio, datetime, json, sys, time
async def of_loop():
    return asyncio.get_running_loop().time()
def read():
    print(json.dumps({
        "wall": time.time(),
        "gmtime": __import__("calendar").timegm(time.gmtime()),
        "datetime": datetime.datetime.now(datetime.timezone.utc).timestamp(),
        "monotonic": time.monotonic(),
        "perf_counter": time.perf_counter(),
        "loop": asyncio.run(of_loop()),
        "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
        "cpu": time.process_time(),
    }), flush=True)
read()
for _ in sys.stdin:
    read()
"""
WAIT = """
import asyncio, queue, sys, threading, time
began = time.perf_counter()
time.sleep(0.05)
assert not threading.Event().wait(0.05)
try:
    queue.Queue().get(timeout=0.05)
except queue.Empty:
    pass
async def waits():
    await asyncio.sleep(0.05)
asyncio.run(waits())
print(time.perf_counter() - began)
"""
SHARE = """
import sys, threading
done = threading.Event()
def count():
    while not done.is_set():
        pass
thread = threading.Thread(target=count, daemon=True)
thread.start()
for _ in range(3):
    sum(range(100_000))
done.set()
thread.join(20)
print(thread.is_alive())
"""
WALL = ("wall", "gmtime", "datetime")
MONOTONIC = ("monotonic", "perf_counter", "loop")


@pytest.fixture
def clocks(clock_library: Path, tmp_path: Path) -> Iterator[Clocks]:
    made = Clocks(clock_library, tmp_path / "clocks")
    yield made
    made.close()


def _python(clocks: Clocks, code: str) -> str:
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, env={**os.environ, **clocks.env}, check=True, capture_output=True, input="", text=True
    )
    return ended.stdout


def _true() -> dict[str, float]:
    wall, monotonic = time.time(), time.monotonic()
    return {
        **dict.fromkeys(WALL, wall),
        **dict.fromkeys(MONOTONIC, monotonic),
        "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
        "cpu": 0.0,
    }


def _shifts(seen: dict[str, float]) -> dict[str, float]:
    true = _true()
    return {name: seen[name] - true[name] for name in seen}


def _expected(*, wall: float, monotonic: float, boottime: float) -> dict[str, float]:
    return {**dict.fromkeys(WALL, wall), **dict.fromkeys(MONOTONIC, monotonic), "boottime": boottime, "cpu": 0.0}


def test_without_offsets_every_clock_is_the_systems(clocks: Clocks) -> None:
    seen = json.loads(_python(clocks, READ))

    assert _shifts(seen) == pytest.approx(_expected(wall=0, monotonic=0, boottime=0), abs=NEAR_S)


def test_each_clock_moves_by_its_own_offset_while_the_process_runs(clocks: Clocks) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", READ],
        env={**os.environ, **clocks.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = [_shifts(json.loads(process.stdout.readline()))]
        for move, argument_s in (
            (clocks.pass_time, HOUR_S),
            (clocks.sleep, 10 * HOUR_S),
            (clocks.set_wall, -HOUR_S),
        ):
            move(argument_s)
            process.stdin.write("\n")
            process.stdin.flush()
            seen.append(_shifts(json.loads(process.stdout.readline())))
        process.stdin.close()

    assert seen == [
        pytest.approx(expected, abs=NEAR_S)
        for expected in (
            _expected(wall=0, monotonic=0, boottime=0),
            _expected(wall=HOUR_S, monotonic=HOUR_S, boottime=HOUR_S),
            _expected(wall=11 * HOUR_S, monotonic=HOUR_S, boottime=11 * HOUR_S),
            _expected(wall=10 * HOUR_S, monotonic=HOUR_S, boottime=11 * HOUR_S),
        )
    ]


@pytest.mark.parametrize(("passed_s", "asleep_s"), [(50 * HOUR_S, 0), (0, 50 * HOUR_S)], ids=["awake", "asleep"])
def test_a_process_with_shifted_clocks_waits_as_long_as_it_means_to(
    clocks: Clocks, passed_s: float, asleep_s: float
) -> None:
    clocks.pass_time(passed_s)
    clocks.sleep(asleep_s)

    waited_s = float(_python(clocks, WAIT))

    assert 0.15 <= waited_s < NEAR_S


def test_threads_of_a_process_with_shifted_clocks_still_take_turns(clocks: Clocks) -> None:
    clocks.pass_time(50 * HOUR_S)

    is_alive = _python(clocks, SHARE)

    assert is_alive == "False\n"
