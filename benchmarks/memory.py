"""Memory of a run while documents are in flight, which must not grow with their number.

`python -m benchmarks.memory [--big]`. Uploads one document of 450 KB under many ids to a server that accepts all, and
reads the peak of resident memory from the kernel. A run may hold `--concurrency` documents, and what it knows of each
item (the last column). `--big`: 20,000 uploads, 9 GB.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepting import CREATE, accepting
from benchmarks.processes import cost_of, upload

SIZE_BYTES = 450_000
FEW, MANY, VERY_MANY = 200, 2_000, 20_000
CONCURRENCIES = (1, 8, 32)
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """The number of uploads, and how many at once."""

    uploads: int
    concurrency: int


def main() -> int:
    """Print two tables: by the number of uploads, and by how many are in flight at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--big", action="store_true", help=f"{VERY_MANY:,} uploads, too")
    counts = (FEW, MANY, VERY_MANY) if parser.parse_args().big else (FEW, MANY)
    for title, runs in (
        ("uploads", [Run(count, 8) for count in counts]),
        ("at once", [Run(FEW, concurrency) for concurrency in CONCURRENCIES]),
    ):
        for line in _table(title, runs):
            print(line, flush=True)
    return 0


def _table(title: str, runs: list[Run]) -> Iterator[str]:
    yield f"\n| {title} | documents | most memory at a time | more than the first | for each more |"
    yield "|---|---|---|---|---|"
    first: tuple[int, int] | None = None
    for run in runs:
        number = run.uploads if title == "uploads" else run.concurrency
        peak_bytes = _peak_bytes(run)
        first = first or (number, peak_bytes)
        more, grown = number - first[0], peak_bytes - first[1]
        each = f"{grown / more / 1_000:,.1f} KB" if more else ""
        documents = f"{run.uploads * SIZE_BYTES / MB:,.0f} MB"
        yield f"| {number:,} | {documents} | {peak_bytes / MB:,.0f} MB | {grown / MB:,.0f} MB | {each} |"


def _peak_bytes(run: Run) -> int:
    with tempfile.TemporaryDirectory() as made, accepting() as (url, counted):
        place = Path(made)
        head = b"%PDF-1.7\n"
        (place / "letter.pdf").write_bytes(head + random.Random(0).randbytes(SIZE_BYTES - len(head)))
        entries = (f"  - {{id: item-{number}, file: letter.pdf}}\n" for number in range(run.uploads))
        manifest = place / "many.yaml"
        manifest.write_text("version: 1\nbatch: bench\nattachments:\n" + "".join(entries))
        peak_bytes = cost_of(upload(manifest, url, "--concurrency", str(run.concurrency))).peak_bytes
    if counted.requests[CREATE] != run.uploads:
        raise RuntimeError(f"{counted.requests[CREATE]} creates came, {run.uploads} were due")
    return peak_bytes


if __name__ == "__main__":
    sys.exit(main())
