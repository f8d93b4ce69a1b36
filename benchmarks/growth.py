"""How cost grows with the manifest: CPU and memory of whole commands, from a thousand items on.

    python -m benchmarks.growth [--big] [--folder DIR] [--svg FILE]

Everything is uploaded already, so that the program alone is measured. `--big` goes up to 1,000,000 items, `--folder`
keeps the files for the next time. The exponent is that of cost beyond start-up: 1 is proportional.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.charts import Series, chart
from benchmarks.grounds import Ground
from benchmarks.processes import COMMAND, Cost, cost_of, upload
from tests.support.emulator_process import running_emulator

SIZES = (1_000, 10_000, 100_000)
BIG = 1_000_000
SMALL = 10_000
"""Up to here a command is so short that it is measured twice."""
MEGABYTE = 1_000_000
ALL = ("validate", "plan --offline", "upload, nothing to do", "status")


@dataclass(frozen=True, slots=True)
class Measured:
    """One command on a number of items. `beyond_s` and `beyond_bytes`: more than for one item."""

    command: str
    count: int
    cost: Cost
    beyond_s: float
    beyond_bytes: int


def ground_of(folder: Path, count: int) -> Ground:
    """Return the manifest of so many items; write it if it is missing."""
    ground = Ground(folder / str(count), count)
    if not ground.ledger.exists():
        ground.folder.mkdir(parents=True, exist_ok=True)
        cost_of((sys.executable, "-m", "benchmarks.grounds", str(ground.folder), str(count)))
    return ground


def costs(ground: Ground, url: str) -> dict[str, Cost]:
    """Return the cost of each command on a manifest."""
    manifest = str(ground.manifest)
    commands = (
        (str(COMMAND), "validate", manifest),
        (str(COMMAND), "plan", manifest, "--offline"),
        upload(ground.manifest, url),
        (str(COMMAND), "status", manifest),
    )
    times = 2 if ground.count <= SMALL else 1
    return {name: _least(command, times) for name, command in zip(ALL, commands, strict=True)}


def _least(command: Sequence[str], times: int) -> Cost:
    """Return the cheapest of several runs: the first finds nothing in the cache."""
    return min((cost_of(command) for _ in range(times)), key=lambda cost: cost.cpu_s)


def measure(folder: Path, sizes: Sequence[int]) -> list[Measured]:
    """Measure every command on every size, and its cost beyond start-up."""
    with running_emulator({}) as emulator:
        alone = costs(ground_of(folder, 1), emulator.url)
        found = []
        for count in sizes:
            for name, cost in costs(ground_of(folder, count), emulator.url).items():
                more_s, more_bytes = cost.cpu_s - alone[name].cpu_s, cost.peak_bytes - alone[name].peak_bytes
                found.append(Measured(name, count, cost, more_s, more_bytes))
                sys.stderr.write(f"{name}, {count:,}: {cost.cpu_s:.2f} s\n")
    return found


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through the points on logarithmic axes; NaN if there is none."""
    logs = [(math.log(x), math.log(y)) for x, y in points if y > 0]
    if len(logs) < 2:
        return math.nan
    mean_x, mean_y = (sum(each[axis] for each in logs) / len(logs) for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread


def table(measured: Sequence[Measured]) -> str:
    """Return the figures as Markdown."""
    rows = ["| command | items | CPU | beyond start-up, an item | peak memory | beyond start-up, an item |"]
    rows.append("|---|---|---|---|---|---|")
    rows.extend(
        f"| {each.command} | {each.count:,} | {each.cost.cpu_s:.2f} s | {each.beyond_s / each.count * 1e6:.1f} µs |"
        f" {each.cost.peak_bytes / MEGABYTE:.0f} MB | {each.beyond_bytes / each.count:,.0f} B |"
        for each in sorted(measured, key=lambda each: (ALL.index(each.command), each.count))
    )
    return "\n".join(rows)


def fits(measured: Sequence[Measured]) -> str:
    """Return how each command grows, as Markdown."""
    rows = ["| command | exponent of time | exponent of memory |", "|---|---|---|"]
    for name in ALL:
        of_command = [each for each in measured if each.command == name]
        time = exponent([(each.count, each.beyond_s) for each in of_command])
        memory = exponent([(each.count, each.beyond_bytes) for each in of_command])
        rows.append(f"| {name} | {_told(time)} | {_told(memory)} |")
    return "\n".join(rows)


def _told(slope: float) -> str:
    return "too little to tell" if math.isnan(slope) else f"{slope:.2f}"


def plot(measured: Sequence[Measured]) -> str:
    """Draw CPU over items, a line for each command, and dashed the memory in units of 100 MB, as SVG."""
    series = []
    for name in ALL:
        of_command = [each for each in measured if each.command == name]
        series.append(Series(f"{name}, s", tuple((float(each.count), each.cost.cpu_s) for each in of_command)))
        memory = tuple((float(each.count), each.cost.peak_bytes / MEGABYTE / 100) for each in of_command)
        series.append(Series(f"{name}, 100 MB", memory, dashed=True))
    return chart("Whole commands with nothing to do", "items", "CPU seconds; 100 MB", series)


def main() -> int:
    """Measure, print the tables, and draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--big", action="store_true", help="1,000,000 items, too: half an hour to lay out")
    parser.add_argument("--folder", type=Path, help="where the grounds are kept; default: nowhere")
    parser.add_argument("--svg", type=Path, help="draw to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as nowhere:
        measured = measure(arguments.folder or Path(nowhere), (*SIZES, BIG) if arguments.big else SIZES)
    sys.stdout.write(f"{table(measured)}\n\n{fits(measured)}\n")
    if arguments.svg:
        arguments.svg.write_text(plot(measured), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
