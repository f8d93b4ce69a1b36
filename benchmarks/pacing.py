"""How much of an account's rate is used: ours beside the clients that a user would write instead.

`python -m benchmarks.pacing [--full] [--ours] [--svg FILE]`; `make bench` installs the `aws` command line for it. Every
client uploads the same files to the same emulator, in its own process, from a cold start; the emulator counts. The
optimum is that of a client that knows rate and burst: the burst at once, then (files - burst) / rate seconds. Figures
are ratios of one run on one machine.
"""

import argparse
import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batch_upload.operations import CREATE
from benchmarks.charts import Series, chart
from benchmarks.clients import CLIENTS
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.real_documents import real_pdf

OURS = "batch-upload"
CLI = "aws CLI, xargs -P 16"
AWS = Path(__file__).parents[1] / ".venv-bench" / "bin" / "aws"
"""Of requirements/bench.txt: it has a venv of its own, for it pins what we depend on otherwise."""
THROTTLED = "ThrottlingException"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account: creates a second, burst, and the number of files uploaded to it."""

    rate: float
    burst: int
    files: int

    @property
    def optimum_s(self) -> float:
        """Seconds that a client needs which knows rate and burst."""
        return (self.files - self.burst) / self.rate

    def __str__(self) -> str:
        return f"{self.rate:g}/s, burst {self.burst}, {self.files} files"


SHORT = (Account(1, 1, 25), Account(1, 5, 25), Account(2, 1, 40), Account(20, 5, 400), Account(100, 20, 1_000))
"""About ten minutes for all clients."""
FULL = (Account(2, 1, 160), Account(20, 5, 1_200), Account(100, 20, 5_000))
CLI_FILES_MAX = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """One client against one account. `points` are (seconds since the first create, outcome)."""

    client: str
    account: Account
    creating_s: float
    requests: int
    throttled: int
    lost: int
    points: tuple[tuple[float, str], ...]

    @property
    def over_optimum(self) -> float:
        """First create to last accepted one, as a ratio to the optimum."""
        return self.creating_s / self.account.optimum_s

    @property
    def throttled_share(self) -> float:
        return self.throttled / self.requests if self.requests else 0.0


def measure(client: str, account: Account, folder: Path) -> Iterator[Measured]:
    """Run one client on a fresh account; ours twice, so that the second batch starts from what the first learned."""
    settings: dict[str, Any] = {
        "rates": {CREATE: {"per_second": account.rate, "burst": account.burst}, "*": None},
        "attachments_per_account": 1_000_000,
    }
    with running_emulator(settings) as emulator:
        if client != OURS:
            lost = _run_other(client, folder, emulator.url)
            yield _measured(client, account, emulator, lost=lost, since=0)
            return
        for number, name in enumerate((OURS, f"{OURS}, second batch")):
            since = len(_creates(emulator))
            time.sleep(account.burst / account.rate)  # a full bucket for each, as for the others
            lost = _run_ours(folder, emulator.url, f"batch-{number}")
            yield _measured(name, account, emulator, lost=lost, since=since)


def _run_ours(folder: Path, url: str, batch: str) -> int:
    manifest = folder.parent / f"{batch}.yaml"
    manifest.write_text(
        f"version: 1\nledger: bench.ledger\nbatch: {batch}\nattachments:\n  - glob: {folder.name}/*.pdf\n"
    )
    command = [str(Path(sys.executable).with_name("batch-upload")), "upload", str(manifest), "--json", "--quiet"]
    ran = subprocess.run(
        [*command, "--endpoint-url", url], env=environment(), capture_output=True, text=True, check=False
    )
    summary = json.loads(ran.stdout.splitlines()[-1])
    return int(summary["items"]) - int(summary["states"].get("complete", 0))


def _run_other(client: str, folder: Path, url: str) -> int:
    if client == CLI:
        return _run_cli(folder, url)
    command = [sys.executable, "-m", "benchmarks.clients", client, str(folder), url]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return int(ran.stdout)


def _run_cli(folder: Path, url: str) -> int:
    names = "\0".join(str(path) for path in sorted(folder.iterdir()))
    one = (
        f"{shlex.quote(_aws())} --endpoint-url {url} --region us-east-1 pinpoint-sms-voice-v2"
        " create-registration-attachment --attachment-body fileb://{} >/dev/null 2>&1 || echo lost"
    )
    ran = subprocess.run(
        ["xargs", "-0", "-P", "16", "-I", "{}", "sh", "-c", one],
        input=names,
        env={**environment(), "AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "10"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout.count("lost")


def _aws() -> str:
    """Return the path of the `aws` command, or an empty text if there is none."""
    return str(AWS) if AWS.exists() else shutil.which("aws") or ""


def environment() -> dict[str, str]:
    """The environment of a client: this process' own, with made-up credentials and no settings of ours or of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BATCH_UPLOAD_"))}
    return {**kept, **CREDENTIALS}


def _creates(emulator: EmulatorProcess) -> list[tuple[float, str]]:
    return [(at, outcome) for at, operation, outcome, _ in emulator.log() if operation == CREATE]


def _measured(client: str, account: Account, emulator: EmulatorProcess, *, lost: int, since: int) -> Measured:
    creates = _creates(emulator)[since:]
    start = creates[0][0]
    accepted = [at for at, outcome in creates if outcome != THROTTLED]
    return Measured(
        client=client,
        account=account,
        creating_s=accepted[-1] - start,
        requests=len(creates),
        throttled=len(creates) - len(accepted),
        lost=lost,
        points=tuple((at - start, outcome) for at, outcome in creates),
    )


def clients(account: Account) -> list[str]:
    """Return the clients of an account. The `aws` CLI takes a second of work for each file: only with few files."""
    if account.files > CLI_FILES_MAX:
        return [OURS, *CLIENTS]
    if not _aws():
        sys.stderr.write("the `aws` CLI is not installed, so it does not take part: `make bench` installs it\n")
        return [OURS, *CLIENTS]
    return [OURS, *CLIENTS, CLI]


def table(results: Sequence[Measured]) -> str:
    """The figures as Markdown."""
    rows = ["| account | client | over the optimum | throttled | lost |", "|---|---|---|---|---|"]
    rows.extend(
        f"| {each.account} | {each.client} | × {each.over_optimum:.3f} | {each.throttled_share:.1%}"
        f" of {each.requests} | {each.lost} |"
        for each in results
    )
    return "\n".join(rows)


def plot(results: Sequence[Measured], account: Account) -> str:
    """Accepted and throttled requests over time, a line a client, as SVG."""
    shown = [each for each in results if each.account == account]
    series = []
    for each in shown:
        for outcome, style in (("accepted", "solid"), ("throttled", "dashed")):
            times = [at for at, what in each.points if (what == THROTTLED) == (outcome == "throttled")]
            line = tuple((at, float(count)) for count, at in enumerate(times, 1))
            series.append(Series(f"{each.client}, {outcome}", line, dashed=style == "dashed"))
    return chart(f"{account}: requests over time; {where_and_when()}", "seconds", "requests", series)


def where_and_when() -> str:
    """The date and the machine, for figures that are kept."""
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> int:
    """Measure, print the table, and draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the long runs: about half an hour")
    parser.add_argument("--ours", action="store_true", help="measure our client only")
    parser.add_argument("--svg", type=Path, help="draw the account of 20/s to this file")
    arguments = parser.parse_args()
    accounts = FULL if arguments.full else SHORT
    results: list[Measured] = []
    with tempfile.TemporaryDirectory() as work:
        for account in accounts:
            for client in [OURS] if arguments.ours else clients(account):
                folder = write_files(
                    Path(work) / f"{account.files}-{client.split(',')[0].replace(' ', '-')}", account.files
                )
                for result in measure(client, account, folder):
                    results.append(result)
                    sys.stderr.write(table([result]).splitlines()[-1] + "\n")
    sys.stdout.write(f"{where_and_when()}\n\n{table(results)}\n")
    if arguments.svg:
        arguments.svg.write_text(
            plot(results, Account(20, 5, 1_200) if arguments.full else Account(20, 5, 400)), encoding="utf-8"
        )
    return 0


def write_files(work: Path, count: int) -> Path:
    """Write so many small documents to a fresh folder below `work`, which is emptied, and return the folder."""
    folder = work / "files"
    shutil.rmtree(work, ignore_errors=True)
    folder.mkdir(parents=True)
    chance = random.Random(count)
    for number in range(count):
        (folder / f"{number:05}.pdf").write_bytes(real_pdf(chance.randbytes(1_000).hex()))
    return folder


if __name__ == "__main__":
    sys.exit(main())
