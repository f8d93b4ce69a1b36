"""CPU and memory of reading and checking a manifest, beside its bare YAML events and building its tree.

    python -m benchmarks.manifest [--entries 100000] [--big]

Every way reads the same file in its own process. Time is CPU, best of several; memory is the most that the process had,
less what it had before it began. `--big` reads 1,000,000 entries, and does not build the tree.
"""

import argparse
import gc
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from yaml.events import StreamEndEvent

from batch_upload.app.items import item_of
from batch_upload.cli.process import COLLECTED_AFTER
from batch_upload.document import Document
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import ContentType, Item, Listed, Manifest

HEAD = "version: 1\nbatch: acme-2026\ndefaults:\n  tags: {Customer: acme}\nattachments:\n"
ENTRY = '  - id: customer-{n:07}/letter\n    file: files/{folder:04}/customer-{n:07}.pdf\n    tags: {{Country: "NO"}}\n'
"""About 100 bytes, 10 MB a hundred thousand."""


def write_manifest(path: Path, entries: int, *, folder_of: int = 1_000) -> None:
    """So many entries, `folder_of` of them in each folder."""
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        file.writelines(ENTRY.format(n=n, folder=n // folder_of) for n in range(entries))


def take_events(path: Path) -> int:
    """The floor of every reader of YAML: each event of PyYAML's C parser, and dropped."""
    count = 0
    with path.open(encoding="utf-8") as file:
        parser = yaml.CBaseLoader(file)
        try:
            while type(parser.get_event()) is not StreamEndEvent:
                count += 1
        finally:
            parser.dispose()
    return count


def load_tree(path: Path) -> int:
    """Build the tree, as a user would."""
    with path.open(encoding="utf-8") as file:
        return len(yaml.load(file, yaml.CSafeLoader)["attachments"])


def list_all(path: Path) -> int:
    """Read, check and expand every attachment, and keep none."""

    def take(_manifest: Manifest, listed: Iterator[Listed]) -> int:
        return sum(1 for _ in listed)

    _, count, problems = list_manifest(path, allow_outside=False, take=take)
    if problems:
        raise ValueError(problems[0])
    return count


def keep_items(path: Path) -> int:
    """Ours, as `upload` keeps them: every item with its token, as if its file had been read."""
    return len(items_of(path))


def items_of(path: Path) -> list[Item]:
    """Every item of the manifest, with a digest of its own."""

    def take(_manifest: Manifest, listed: Iterator[Listed]) -> list[Item]:
        return [item_of(each, document_of(each)) for each in listed]

    return list_manifest(path, allow_outside=False, take=take)[1]


def document_of(listed: Listed) -> Document:
    """What might be in its file."""
    sha256 = hashlib.sha256(listed.item_id.encode()).hexdigest()
    return Document(listed.source, sha256, 20_000 + len(sha256), ContentType.PDF)


Ways = Mapping[str, tuple[str, Callable[[Path], int]]]
"""Ways of reading a file by name: the words for each, and what reads. The one called `events` is the floor."""

WAYS: Ways = {
    "events": ("PyYAML's C events, bare", take_events),
    "tree": ("`yaml.load` with the C loader, unchecked", load_tree),
    "ours": ("read, checked, expanded", list_all),
    "items": ("read, checked, expanded, with tokens, and kept", keep_items),
}


def measured(module: str, path: Path, way: str) -> tuple[float, float]:
    """Seconds of the processor and MB of memory of one way of a benchmark, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", module, "--way", way, str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    found = json.loads(ended.stdout)
    return found["cpu_s"], found["mb"]


def measure_here(ways: Ways, path: Path, way: str) -> None:
    """Run one way in this process, and print what it cost, for `measured`."""
    gc.set_threshold(COLLECTED_AFTER)  # as the command does
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    ways[way][1](path)
    cpu_s = time.process_time() - began
    mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1_000
    print(json.dumps({"cpu_s": cpu_s, "mb": mb}))


def print_table(ways: Ways, best: Mapping[str, tuple[float, float]]) -> None:
    """Print what each way cost, as `measured`, beside the bare events."""
    print("| way | CPU, s | times the events | memory, MB |")
    print("|---|---:|---:|---:|")
    for way, (cpu_s, mb) in best.items():
        print(f"| {ways[way][0]} | {cpu_s:.2f} | {cpu_s / best['events'][0]:.2f} × | {mb:.0f} |")


def kept_bytes(path: Path) -> float:
    """What one item keeps, by tracemalloc."""
    tracemalloc.start()
    items = items_of(path)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept / len(items)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--big", action="store_true", help="1,000,000 entries")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure_here(WAYS, Path(arguments.way[1]), arguments.way[0])
        return
    entries = 1_000_000 if arguments.big else arguments.entries
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "june.yaml"
        write_manifest(path, entries)
        ways = [way for way in WAYS if not (arguments.big and way == "tree")]
        best = {way: min(measured("benchmarks.manifest", path, way) for _ in range(arguments.times)) for way in ways}
        print(f"{entries:,} entries, {os.path.getsize(path) / 1e6:.0f} MB\n")
        print_table(WAYS, best)
        write_manifest(path, min(entries, 100_000))
        print(f"\nkept of each item (id, source, tags, digest, token, size): {kept_bytes(path):.0f} bytes")


if __name__ == "__main__":
    main()
