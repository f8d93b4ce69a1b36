"""Many lanes on two workers of a fleet and one PostgreSQL server, all on this machine.

`python -m benchmarks.fleet [--lanes N] [--seconds S]`: 200 lanes and 60 s unless given. Each lane is an account of its
own whose role is assumed, allows a create a second behind a burst of 5, and gets as many files of 2 KB as seconds. The
emulator, two `fleet worker` processes, `fleet upload` and the server run side by side.

CPU of workers is the kernel's, of the whole processes; that of the server is of all its processes. A lane's share is
how many creates it had accepted behind the burst, of those that its rate allows from its first accepted create to its
last. Meanwhile this process writes to a lane of its own ten times a second, through the same ledger: that tells how
long an intent, or its outcome, takes until it is durable.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import ledger_address
from batch_upload.model import ContentType, Item, Lane, Outcome, OutcomeKind
from batch_upload.operations import CREATE
from benchmarks.lanes import LATENCY_S, RATE, write_manifest
from benchmarks.pacing import CREDENTIALS, where_and_when, write_files
from benchmarks.processes import COMMAND
from tests.support.emulated_lanes import creates_by_lane
from tests.support.emulator_process import running_emulator
from tests.support.postgres import PostgresServer, running_postgres

BURST = 5
WORKERS = 2
PROBES_A_SECOND = 10
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    print(where_and_when())
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server:
        measure(Path(folder), server, lanes=given.lanes, seconds=given.seconds)


def measure(work: Path, server: PostgresServer, *, lanes: int, seconds: int) -> None:
    """Upload to so many lanes, and print what it took."""
    glob = f"{write_files(work / 'files', seconds).relative_to(work)}/*.pdf"
    accounts = [f"{100_000_000_000 + number}" for number in range(lanes)]
    manifest, url = write_manifest(work / "fleet.yaml", accounts, glob), server.new_database("fleet")
    settings = {
        "rates": {CREATE: {"per_second": RATE, "burst": BURST}},
        "attachments_per_account": None,
        "processing_s": 1.0,
        "latency_s": LATENCY_S,
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BATCH_UPLOAD_"))}
    env |= {**CREDENTIALS, "XDG_CACHE_HOME": str(work)}
    with running_emulator(settings) as emulator:
        flags = ("--ledger", url, "--endpoint-url", emulator.url, "--quiet")
        queue = [str(COMMAND), "fleet", "upload", str(manifest), "--ledger", url, "--json", "--quiet"]
        worker = [str(COMMAND), "fleet", "worker", *flags, "--lanes", str(-(-lanes // WORKERS))]
        before_s = cpu_of_server(server)
        with workers_of(worker, env, work) as running:
            began = time.monotonic()
            followed = subprocess.Popen(queue, env=env, cwd=work, stdout=subprocess.DEVNULL)
            durable_s = asyncio.run(probe(url, followed))
            whole_s = time.monotonic() - began
        if followed.returncode != 0:
            raise RuntimeError(f"fleet upload: exit {followed.returncode}")
        server_s = cpu_of_server(server) - before_s
        creates = creates_by_lane(emulator.entries())
    if len(creates) != lanes or any(len(times) != seconds for times in creates.values()):
        raise RuntimeError(f"{sum(map(len, creates.values()))} creates in {len(creates)} lanes")
    shares = [(seconds - BURST) / (RATE * (times[-1] - times[0])) for times in creates.values()]
    lane_seconds = lanes * seconds
    client_s = sum(used for used, _ in running)
    print("| lanes | workers | whole run | workers: CPU a lane-second | memory of each | server: CPU a lane-second |")
    print("|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {lanes} | {WORKERS} | {whole_s:.1f} s | {1000 * client_s / lane_seconds:.1f} ms"
        f" | {max(peak for _, peak in running) / 2**20:.0f} MiB | {1000 * server_s / lane_seconds:.1f} ms |"
    )
    print(f"\nshare of a lane's rate: worst {min(shares):.3f}, median {median(shares):.3f}")
    cuts = quantiles(durable_s, n=100)
    print(f"a durable write ({len(durable_s)}): p50 {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms")


@contextlib.contextmanager
def workers_of(command: list[str], env: dict[str, str], work: Path) -> Iterator[list[tuple[float, int]]]:
    """Run the workers, and stop them at the end; then CPU in seconds and peak memory in bytes of each are known."""
    started = [
        subprocess.Popen(command, env=env, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(WORKERS)
    ]
    used: list[tuple[float, int]] = []
    try:
        yield used
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            _, status, costs = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used.append((costs.ru_utime + costs.ru_stime, costs.ru_maxrss * 1024))


async def probe(url: str, until: subprocess.Popen[bytes]) -> list[float]:
    """Write to a lane of its own until a process has ended; return how many seconds each write took."""
    clock, taken = SystemClock(), list[float]()
    ledger = await open_ledger(ledger_address(url), run_id="probe", clock=clock)
    try:
        writer = await ledger.writer("probe")
        now = datetime.now(UTC)
        await writer.pin(Lane("999999999999", "us-east-1"), endpoint="none", at=now)
        await writer.begin_run("probe", verb="upload", batch="probe", at=now)
        item = Item(
            batch="probe",
            item_id="a",
            source="a.pdf",
            digest=bytes(32),
            client_token="bu1-probe",  # noqa: S106 - a ClientToken
            tags={},
            generation=1,
            identity_tag=True,
            folder=Path("/"),
            size_bytes=1,
            content_type=ContentType.PDF,
        )
        await writer.enlist([item], at=now)
        while until.poll() is None:
            began = time.perf_counter()
            attempt = await writer.intend(item.client_token, run_id="probe", at=datetime.now(UTC))
            between = time.perf_counter()
            await writer.conclude(attempt, Outcome(OutcomeKind.WITHDRAWN, datetime.now(UTC)))
            taken += [between - began, time.perf_counter() - between]
            await asyncio.sleep(1 / PROBES_A_SECOND)
    finally:
        await ledger.close()
    return taken


def cpu_of_server(server: PostgresServer) -> float:
    """Return the seconds of CPU that a server and its processes, ended ones too, have taken."""
    if server.process is None:
        raise RuntimeError("the server does not run")
    parent = server.process.pid
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(folder.name) == parent:
                    total += sum(map(int, fields[11:15]))
                elif int(fields[1]) == parent:
                    total += sum(map(int, fields[11:13]))
    return total / TICKS


if __name__ == "__main__":
    main()
