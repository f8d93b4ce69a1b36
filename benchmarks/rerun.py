"""A rerun with nothing to do, from the command line to the summary, beside the least that it must do.

    python -m benchmarks.rerun [--items 100000] [--big]

The floor is the bare events of the manifest and a `stat` of each file. The files hold only zeros while the ledger
remembers documents, so a run that read one would end with a problem. The service is the emulator in its own process;
its only request asks whose the credentials are.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from batch_upload.app.items import item_of, ready
from batch_upload.clock import SystemClock
from batch_upload.document import Document, Fingerprint, Insight, RememberedDigest
from batch_upload.ledger import open_ledger
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import (
    Attachment,
    AttachmentStatus,
    ContentType,
    Item,
    Lane,
    Listed,
    Manifest,
)
from batch_upload.ports import LedgerWriter
from batch_upload.settings import RunOptions
from benchmarks.manifest import take_events, write_manifest
from benchmarks.processes import Cost, cost_of, upload
from tests.support.emulator_process import running_emulator

RUN = "20261123T000000Z-00000000"
AT = datetime(2026, 11, 23, tzinfo=UTC)
LANE = Lane("123456789012", "us-east-1")
FILE_BYTES = 20_000
LONG_AGO_S = 1_000_000_000
WORKERS = 500
IN_FOLDER = 1_000


def make_files(folder: Path, listed: Sequence[Listed]) -> dict[str, RememberedDigest]:
    """Make an empty file for each item, and the digest row of a document for it."""
    remembered = {}
    for each in listed:
        path = folder / each.source
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            file.truncate(FILE_BYTES)
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
        look = path.lstat()
        fingerprint = Fingerprint(look.st_dev, look.st_ino, look.st_size, look.st_mtime_ns)
        digest = hashlib.sha256(each.source.encode()).hexdigest()
        remembered[str(path)] = RememberedDigest(fingerprint, digest, ContentType.PDF, Insight(pages=1))
    return remembered


def uploaded(each: Listed, remembered: Mapping[str, RememberedDigest]) -> Item:
    """Return the item as uploaded."""
    path = str(each.path)
    known = remembered[path]
    return item_of(each, Document(path, known.sha256, known.fingerprint.size_bytes, known.content_type))


async def fill(path: Path, items: Sequence[Item], remembered: Mapping[str, RememberedDigest]) -> None:
    """Fill a ledger in which every item is complete."""
    opened = await open_ledger(path, run_id=RUN, clock=SystemClock())
    ledger = await opened.writer()
    await ledger.pin(LANE, endpoint="http://127.0.0.1", at=AT)
    await ledger.begin_run(RUN, verb="upload", batch=items[0].batch, at=AT)
    await ledger.listed(at=AT)
    await ledger.enlist(items, at=AT)
    waiting = iter(enumerate(items))
    async with anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(_complete, ledger, waiting)
    await opened.remember_digests(remembered)
    await ledger.end_run(RUN, exit_code=0, summary={}, at=AT)
    await opened.close()


async def _complete(ledger: LedgerWriter, waiting: Iterator[tuple[int, Item]]) -> None:
    for number, item in waiting:
        name = f"registration-attachment-{number:032}"
        arn = f"arn:aws:sms-voice:{LANE.region}:{LANE.account}:registration-attachment/{name}"
        await ledger.adopt(item.client_token, Attachment(name, arn, AttachmentStatus.COMPLETE, AT), at=AT)


def make_batch(manifest: Path, items: int) -> None:
    """Write a manifest, its files, and a ledger in which everything is complete."""
    folder = manifest.parent
    write_manifest(manifest, items, folder_of=IN_FOLDER)

    def take(_manifest: Manifest, listed: Iterator[Listed]) -> list[Listed]:
        return list(listed)

    _, listed, _ = list_manifest(manifest, allow_outside=False, take=take)
    remembered = make_files(folder, listed)
    made = [uploaded(each, remembered) for each in listed]
    anyio.run(partial(fill, folder / "june.ledger", made, remembered))


def take_floor(manifest: Path, items: int) -> None:
    """Read the bare events, and `stat` every file."""
    take_events(manifest)
    base = str(manifest.parent)
    for n in range(items):
        os.stat(f"{base}/files/{n // IN_FOLDER:04}/customer-{n:07}.pdf")


def measure_here(way: str, manifest: Path, items: int) -> None:
    """Run a part in this process, and print its cost."""
    began = time.process_time()
    if way == "floor":
        take_floor(manifest, items)
    elif way == "prepare":
        ready(manifest, RunOptions())
    else:
        make_batch(manifest, items)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": time.process_time() - began, "mb": used.ru_maxrss / 1_000}))


def measured(way: str, manifest: Path, items: int) -> tuple[float, float]:
    """Seconds of the processor and MB at most of a part, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.rerun", "--way", way, str(manifest), "--items", str(items)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    found = json.loads(ended.stdout)
    return found["cpu_s"], found["mb"]


def rerun(manifest: Path, url: str) -> Cost:
    """The installed command. Raises RuntimeError where it fails."""
    return cost_of(upload(manifest, url))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--big", action="store_true", help="1,000,000 items")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    items = 1_000_000 if arguments.big else arguments.items
    if arguments.way:
        measure_here(arguments.way[0], Path(arguments.way[1]), items)
        return
    with tempfile.TemporaryDirectory() as place, running_emulator() as emulator:
        manifest = Path(place).resolve() / "june.yaml"
        # in a process of its own: one that is started counts the memory of who starts it as its own
        measured("make", manifest, items)
        floor = min(measured("floor", manifest, items) for _ in range(arguments.times))
        ours = min(measured("prepare", manifest, items) for _ in range(arguments.times))
        whole = min((rerun(manifest, emulator.url) for _ in range(arguments.times)), key=lambda cost: cost.cpu_s)
        asked = emulator.stats()["requests"]
    print(f"{items:,} items, unchanged\n")
    print("| what | CPU, s | times the floor | memory at most, MB |")
    print("|---|---:|---:|---:|")
    print(f"| floor: bare events, and a `stat` of each file | {floor[0]:.2f} | 1.00 × | {floor[1]:.0f} |")
    print(
        f"| manifest to items: read, look, recall, token | {ours[0]:.2f} | {ours[0] / floor[0]:.2f} × | {ours[1]:.0f} |"
    )
    ratio, mb = whole.cpu_s / floor[0], whole.peak_bytes / 1e6
    print(f"| `batch-upload upload`, whole | {whole.cpu_s:.2f} | {ratio:.2f} × | {mb:.0f} |")
    print(f"\nrequests in {arguments.times} runs: {json.dumps(asked)}; files read: none (they hold no documents)")


if __name__ == "__main__":
    main()
