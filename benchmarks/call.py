"""CPU of one upload: the whole command, a bare aiobotocore loop, and the floor.

`python -m benchmarks.call [--rounds N]`. Every client is a process and uploads the same files to the same server, which
accepts all (benchmarks/accepting.py). Ours is the installed command with manifest, digests, plan, a durable intent and
outcome for every file, pacing (at 10,000/s) and NDJSON. The figure is the CPU, user and system, by which a longer run
exceeds a shorter one, for each further upload, so start-up cancels out. The least of several rounds, clients in turn.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepting import CREATE, accepting
from benchmarks.callers import AT_ONCE
from benchmarks.processes import Cost, cost_of, upload

OURS = "batch-upload, whole"
BARE = "aiobotocore, semaphore"
FLOOR = "aiohttp and SHA-256 alone"
ENTRY = """\
  - id: item-{number}
    file: documents/{number:06}.pdf
    tags:
      Customer: "acme"
      Country: "NO"
"""
"""As `manifest new` writes it."""


@dataclass(frozen=True, slots=True)
class Size:
    """Files of one size, and the number of uploads in the shorter and the longer run."""

    size_bytes: int
    few: int
    many: int


SIZES = (Size(20_000, 50, 4_050), Size(450_000, 20, 520))


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="the least of so many counts (5)")
    rounds = parser.parse_args().rounds
    print(f"| file | client | CPU per upload | user | system | ratio to {BARE} |\n|---|---|---|---|---|---|")
    for size in SIZES:
        for line in _table(size, rounds):
            print(line, flush=True)
    return 0


def _table(size: Size, rounds: int) -> list[str]:
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        _write(place, size)
        with accepting() as (url, counted):
            least = _least(size, rounds, _clients(place, url))
    uploads = rounds * (size.few + size.many)
    if counted.requests[CREATE] != len(least) * uploads:
        raise RuntimeError(f"{counted.requests[CREATE]} creates came, {len(least) * uploads} were due")
    return [_line(size, name, each, least[BARE]) for name, each in least.items()]


def _write(place: Path, size: Size) -> None:
    """Files of random bytes, and a manifest for each of the two runs."""
    chance, documents = random.Random(size.size_bytes), place / "documents"
    documents.mkdir()
    for number in range(size.many):
        head = b"%PDF-1.7\n"
        (documents / f"{number:06}.pdf").write_bytes(head + chance.randbytes(size.size_bytes - len(head)))
    for count in (size.few, size.many):
        entries = (ENTRY.format(number=number) for number in range(count))
        (place / f"{count}.yaml").write_text("version: 1\nbatch: bench\nattachments:\n" + "".join(entries))


def _clients(place: Path, url: str) -> dict[str, Callable[[int], Cost]]:
    def other(name: str) -> Callable[[int], Cost]:
        command = [sys.executable, "-m", "benchmarks.callers", name, str(place / "documents"), url]
        return lambda count: cost_of([*command, str(count)])

    def ours(count: int) -> Cost:
        ledger = place / f"{os.urandom(8).hex()}.ledger"
        return cost_of(upload(place / f"{count}.yaml", url, "--ledger", str(ledger), "--concurrency", str(AT_ONCE)))

    return {FLOOR: other("floor"), BARE: other("bare"), OURS: ours}


@dataclass(frozen=True, slots=True)
class PerUpload:
    """Seconds."""

    user_s: float
    system_s: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def _least(size: Size, rounds: int, clients: Mapping[str, Callable[[int], Cost]]) -> dict[str, PerUpload]:
    few: dict[str, list[Cost]] = {name: [] for name in clients}
    many: dict[str, list[Cost]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, run in clients.items():
            few[name].append(run(size.few))
            many[name].append(run(size.many))
    return {name: _per_upload(size, _cheapest(few[name]), _cheapest(many[name])) for name in clients}


def _per_upload(size: Size, few: Cost, many: Cost) -> PerUpload:
    more = size.many - size.few
    return PerUpload((many.user_s - few.user_s) / more, (many.system_s - few.system_s) / more)


def _cheapest(costs: Sequence[Cost]) -> Cost:
    return min(costs, key=lambda cost: cost.cpu_s)


def _line(size: Size, name: str, each: PerUpload, bare: PerUpload) -> str:
    times = " | ".join(f"{1_000 * seconds:.2f} ms" for seconds in (each.cpu_s, each.user_s, each.system_s))
    return f"| {size.size_bytes // 1_000} KB | {name} | {times} | {each.cpu_s / bare.cpu_s:.2f} |"


if __name__ == "__main__":
    sys.exit(main())
