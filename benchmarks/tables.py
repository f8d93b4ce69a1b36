"""CPU and memory of reading and checking a table, beside the bare YAML events of the same list.

    python -m benchmarks.tables [--rows 100000]

Each row has a file, an id and two tags. Every way reads its file in its own process. Time is CPU, the best of several;
memory is the most that the process had, less what it had before it began.
"""

import argparse
import csv
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl

from batch_upload.cli.process import COLLECTED_AFTER
from benchmarks.manifest import list_all, take_events

HEAD = "version: 1\nbatch: acme-2026\nattachments:\n"
TABLE = HEAD + (
    "  - table: {name}\n"
    '    file: "files/{{col:File Name}}"\n'
    '    id: "customer-{{col:Number}}/letter"\n'
    '    tags: {{Customer: "{{col:Company}}", Country: "{{col:Country}}"}}\n'
)
COLUMNS = ("File Name", "Number", "Company", "Country")


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """So many rows, 1,000 files in each folder, of 977 companies."""
    for n in range(count):
        yield f"{n // 1_000:04}/customer-{n:07}.pdf", str(n), f"Company {n % 977}", "NO"


def write_files(folder: Path, count: int) -> dict[str, Path]:
    """Write the same list as YAML, and as each kind of table with the manifest that names it. Return them by way."""
    made = {way: folder / f"{way}.yaml" for way in ("events", "csv", "jsonl", "xlsx")}
    with made["events"].open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for name, number, company, country in rows(count):
            file.write(f"  - id: customer-{number}/letter\n    file: files/{name}\n")
            file.write(f'    tags: {{Customer: {company}, Country: "{country}"}}\n')
    for way in ("csv", "jsonl", "xlsx"):
        made[way].write_text(TABLE.format(name=f"t.{way}"), encoding="utf-8")
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows(count)])
    with (folder / "t.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n" for row in rows(count))
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (COLUMNS, *rows(count)):
        sheet.append(row)
    book.save(folder / "t.xlsx")
    return made


WAYS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "events": ("PyYAML's C events of the same list, bare", take_events),
    "csv": ("CSV, read, checked, expanded", list_all),
    "jsonl": ("JSON Lines, read, checked, expanded", list_all),
    "xlsx": (".xlsx, read, checked, expanded", list_all),
}


def measure_here(path: Path, way: str) -> None:
    """Run one way in this process, and print what it cost."""
    gc.set_threshold(COLLECTED_AFTER)  # as the command does
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    WAYS[way][1](path)
    cpu_s = time.process_time() - began
    mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1_000
    print(json.dumps({"cpu_s": cpu_s, "mb": mb}))


def measured(path: Path, way: str) -> tuple[float, float]:
    """Return seconds of the processor and MB of memory of one way, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tables", "--way", way, str(path)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    found = json.loads(ended.stdout)
    return found["cpu_s"], found["mb"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure_here(Path(arguments.way[1]), arguments.way[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), arguments.rows)
        best = {way: min(measured(files[way], way) for _ in range(arguments.times)) for way in WAYS}
    print(f"{arguments.rows:,} rows\n")
    print("| way | CPU, s | beside the events | memory, MB |")
    print("|---|---:|---:|---:|")
    for way, (cpu_s, mb) in best.items():
        print(f"| {WAYS[way][0]} | {cpu_s:.2f} | {cpu_s / best['events'][0]:.2f} × | {mb:.0f} |")


if __name__ == "__main__":
    main()
