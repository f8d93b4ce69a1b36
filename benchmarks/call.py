"""CPU of one upload: the whole command, a bare aiobotocore loop, and the floor.

`python -m benchmarks.call [--rounds N]`. Every client is a process and uploads the same files to the same server, which
accepts all (benchmarks/accepting.py). Ours is the installed command with manifest, digests, plan, a durable intent and
outcome for every file, pacing (at 10,000/s) and NDJSON, once with the look inside each document and once without, since
no other client has that. The files are PDFs of one page with a picture of random bytes. The figure is the CPU, user and
system, by which a longer run exceeds a shorter one, for each further upload, so start-up cancels out. The least of
several rounds, clients in turn.
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
from tests.support.real_documents import pdf_of, stream

OURS = "batch-upload, whole"
UNLOOKED = "batch-upload, `check: bytes`"
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
    """A document for each upload, and two manifests for each of the two runs."""
    chance, documents = random.Random(size.size_bytes), place / "documents"
    documents.mkdir()
    room = size.size_bytes - len(_scan(b""))
    for number in range(size.many):
        (documents / f"{number:06}.pdf").write_bytes(_scan(chance.randbytes(room)))
    for count in (size.few, size.many):
        entries = "attachments:\n" + "".join(ENTRY.format(number=number) for number in range(count))
        for name, check in ((OURS, "inside"), (UNLOOKED, "bytes")):
            head = f"version: 1\nbatch: bench\ndefaults:\n  check: {check}\n"
            _manifest(place, name, count).write_text(head + entries)


def _manifest(place: Path, client: str, count: int) -> Path:
    return place / f"{count}-{'inside' if client == OURS else 'bytes'}.yaml"


def _scan(pixels: bytes) -> bytes:
    """Return a PDF of one page with a grey picture a pixel high."""
    picture = (
        f"<</Type/XObject/Subtype/Image/Width {len(pixels):6}/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8"
        f"/Length {len(pixels):6}>>stream\n"
    )
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</XObject<</Scan 4 0 R>>>>/Contents 5 0 R>>"
    return pdf_of(
        [
            "<</Type/Catalog/Pages 2 0 R>>",
            "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page,
            picture.encode() + pixels + b"\nendstream",
            stream(b"612 0 0 792 0 0 cm /Scan Do"),
        ]
    )


def _clients(place: Path, url: str) -> dict[str, Callable[[int], Cost]]:
    def other(name: str) -> Callable[[int], Cost]:
        command = [sys.executable, "-m", "benchmarks.callers", name, str(place / "documents"), url]
        return lambda count: cost_of([*command, str(count)])

    def ours(name: str) -> Callable[[int], Cost]:
        def run(count: int) -> Cost:
            flags = ("--ledger", str(place / f"{os.urandom(8).hex()}.ledger"), "--concurrency", str(AT_ONCE))
            return cost_of(upload(_manifest(place, name, count), url, *flags))

        return run

    return {FLOOR: other("floor"), BARE: other("bare"), OURS: ours(OURS), UNLOOKED: ours(UNLOOKED)}


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
