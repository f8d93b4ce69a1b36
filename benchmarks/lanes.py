"""Many lanes in one process, beside as many processes with a lane each.

`python -m benchmarks.lanes [--burst B] [LANES …]`: a burst of 1, and 1, 10, 100 and 200 lanes unless given. Each lane
is an account of its own whose role is assumed, allows a create a second, and gets as many files of 2 KB as SECONDS. The
emulator runs in a process of its own on the same machine. CPU and memory are the kernel's, of the whole command.

CPU a lane-second and memory a lane are marginal: what the run takes above a run of one lane. A lane's share is how many
creates it had accepted behind the burst, of those that its rate allows from its first accepted create to its last.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from batch_upload.operations import CREATE
from benchmarks.pacing import where_and_when, write_files
from benchmarks.processes import COMMAND, Cost, cost_of
from tests.support.emulated_lanes import creates_by_lane
from tests.support.emulator_process import running_emulator

SECONDS = 60
RATE = 1.0
LATENCY_S = 0.15
LANES = (1, 10, 100, 200)
PROCESSES_MAX = 10
"""Processes at the same time at most: more do not fit beside the emulator on two cores."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Runs over so many lanes. `cost` is of all processes together."""

    client: str
    lanes: int
    whole_s: float
    cost: Cost
    shares: Sequence[float]

    def line(self, alone: "Measured") -> str:
        """Return the row of the table; `alone` is the same client with one lane."""
        more = self.lanes - alone.lanes
        cpu = memory = "–"
        if more:
            cpu = f"{1000 * (self.cost.cpu_s - alone.cost.cpu_s) / (more * SECONDS):.1f} ms"
            memory = f"{(self.cost.peak_bytes - alone.cost.peak_bytes) / more / 2**20:.1f} MiB"
        return (
            f"| {self.lanes} | {self.client} | {self.whole_s:.1f} s | {self.cost.cpu_s:.1f} s | {cpu}"
            f" | {self.cost.peak_bytes / 2**20:.0f} MiB | {memory}"
            f" | {min(self.shares):.3f} / {median(self.shares):.3f} |"
        )


HEAD = (
    "| lanes | client | whole command | CPU | CPU a lane-second | memory | memory a lane"
    " | share of its rate: worst / median |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|"
)


def write_manifest(path: Path, accounts: Sequence[str], glob: str) -> Path:
    """Write a manifest that sends the same files to each of these accounts."""
    lines = [
        "version: 1",
        "batch: lanes",
        "targets:",
        '  defaults: {role_arn: "arn:aws:iam::{account}:role/uploader", regions: [us-east-1]}',
        "  list:",
        *(f'    - {{name: a{account}, account: "{account}"}}' for account in accounts),
        "attachments:",
        f"  - {{glob: {glob}, target: all}}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(lanes: int, work: Path, *, burst: int, processes: int) -> Measured:
    """Run this many lanes on a fresh emulator, in so many processes, and read what came of it."""
    glob = f"{write_files(work / 'files', SECONDS).relative_to(work)}/*.pdf"
    accounts = [f"{100_000_000_000 + number}" for number in range(lanes)]
    settings = {
        "rates": {CREATE: {"per_second": RATE, "burst": burst}},
        "attachments_per_account": None,
        "processing_s": 1.0,
        "latency_s": LATENCY_S,
    }
    with running_emulator(settings) as emulator:
        commands = []
        for number in range(processes):
            manifest = write_manifest(work / f"part-{number}.yaml", accounts[number::processes], glob)
            commands.append(
                (str(COMMAND), "upload", str(manifest), "--json", "--quiet", "--endpoint-url", emulator.url)
            )
        began = time.monotonic()
        with ThreadPoolExecutor(processes) as threads:
            costs = list(threads.map(cost_of, commands))
        whole_s = time.monotonic() - began
        shares = list(shares_of(creates_by_lane(emulator.entries()), burst=burst))
    if len(shares) != lanes:
        raise RuntimeError(f"creates in {len(shares)} of {lanes} lanes")
    client = "one process" if processes == 1 else f"{processes} processes"
    total = Cost(*(sum(values) for values in zip(*((c.user_s, c.system_s, c.peak_bytes) for c in costs), strict=True)))
    return Measured(client, lanes, whole_s, total, shares)


def shares_of(creates: Mapping[str, Sequence[float]], *, burst: int) -> Iterator[float]:
    """Yield each lane's share of what its bucket would have given."""
    for times in creates.values():
        if len(times) != SECONDS:
            raise RuntimeError(f"{len(times)} of {SECONDS} files were created in a lane")
        yield (len(times) - burst) / (RATE * (times[-1] - times[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lanes", nargs="*", type=int, default=LANES)
    parser.add_argument("--burst", type=int, default=1)
    given = parser.parse_args()
    print(where_and_when())
    print(HEAD)
    alone: Measured | None = None
    for lanes in sorted({1, *given.lanes}):
        for processes in dict.fromkeys((1, min(lanes, PROCESSES_MAX))):
            if processes > 1 and processes != lanes:
                continue  # as many processes as lanes, or none
            with tempfile.TemporaryDirectory() as folder:
                measured = measure(lanes, Path(folder), burst=given.burst, processes=processes)
            alone = alone or measured
            print(measured.line(alone), flush=True)


if __name__ == "__main__":
    main()
