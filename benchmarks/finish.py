"""How soon a whole run ends: the creates, and then until the last item is known to be complete.

`python -m benchmarks.finish [--ours]`. 25 files to an account of 1/s, the commonest batch: answers take 150 ms, and the
service works on each document for 2 s. Ours is the installed command from its start to its end, twice, so that the
second batch begins with the rate that the first has learned, with a burst of 1 and of 5. Beside it, in the same run, a
script as a user would write it: boto3 in adaptive mode, a file after the other, and then a loop that asks by id.

The optimum is the creates (burst at once, then the rate) and the time of processing. The ratio is to that and one
second more. Nearly all of the time is spent asleep; what a busy machine changes is the start.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_upload.operations import CREATE, DESCRIBE
from benchmarks.pacing import THROTTLED, environment, where_and_when, write_files
from benchmarks.processes import COMMAND
from tests.support.emulator_process import EmulatorProcess, running_emulator

RATE = 1.0
FILES = 25
LATENCY_S = 0.15
PROCESSING_S = 2.0
GRACE_S = 1.0
"""What a run may take above the optimum: to start, and to learn that the last item is complete."""
BURSTS = (1, 5)
SCRIPT = "boto3 adaptive, polling loop"
BATCHES = ("batch-upload", "batch-upload, second batch")


@dataclass(frozen=True, slots=True)
class Finished:
    """One client from its start to its end, requests by operation.

    `whole_s`: the whole process. `creating_s`: from the first create to the last accepted one. `seen_after_s`: from the
    end of the service's work on the last document to the last request that asked for it.
    """

    client: str
    burst: int
    whole_s: float
    creating_s: float
    seen_after_s: float
    creates: int
    throttled: int
    describes: int

    @property
    def optimum_s(self) -> float:
        return (FILES - self.burst) / RATE + PROCESSING_S

    @property
    def over_optimum(self) -> float:
        """The whole, as a ratio to the optimum and GRACE_S."""
        return self.whole_s / (self.optimum_s + GRACE_S)

    def __str__(self) -> str:
        return (
            f"| burst {self.burst} | {self.client} | {self.whole_s:.1f} s | × {self.over_optimum:.3f}"
            f" | × {self.creating_s / (self.optimum_s - PROCESSING_S):.3f} | {self.seen_after_s:.1f} s"
            f" | {self.throttled} of {self.creates} | {self.describes} |"
        )


HEAD = (
    "| account | client | whole command | over optimum + 1 s | creates over theirs | end seen after"
    " | throttled | describes |\n|---|---|---|---|---|---|---|---|"
)


def measure(burst: int, work: Path, *, ours_only: bool) -> Iterator[Finished]:
    """Run each client on a fresh account of this burst; ours a second time on the same one."""
    settings: dict[str, Any] = {
        "rates": {CREATE: {"per_second": RATE, "burst": burst}},
        "attachments_per_account": None,
        "processing_s": PROCESSING_S,
        "latency_s": LATENCY_S,
    }
    files = write_files(work / f"ours-{burst}", FILES)
    with running_emulator(settings) as emulator:
        for number, name in enumerate(BATCHES):
            manifest = files.parent / f"batch-{number}.yaml"
            head = f"version: 1\nledger: finish.ledger\nbatch: finish-{number}\n"
            manifest.write_text(f"{head}attachments:\n  - glob: {files.name}/*.pdf\n")
            command = [str(COMMAND), "upload", str(manifest), "--json", "--quiet", "--endpoint-url", emulator.url]
            time.sleep(burst / RATE)  # a full bucket
            yield _timed(name, burst, command, emulator)
    if not ours_only:
        files = write_files(work / f"script-{burst}", FILES)
        with running_emulator(settings) as emulator:
            command = [sys.executable, "-m", "benchmarks.finish", "--script", str(files), emulator.url]
            yield _timed(SCRIPT, burst, command, emulator)


def _timed(client: str, burst: int, command: Sequence[str], emulator: EmulatorProcess) -> Finished:
    """Run a client and count what came of it. Raises RuntimeError if it did not complete every file."""
    since, began = len(emulator.log()), time.monotonic()
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    whole_s = time.monotonic() - began
    ended = json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {}
    if ended.get("states", {}).get("complete") != FILES:
        raise RuntimeError(f"{client}: exit {ran.returncode}\n{ran.stdout[-1_000:]}\n{ran.stderr[-1_000:]}")
    requests = emulator.log()[since:]
    creates = [(at, outcome) for at, operation, outcome, _ in requests if operation == CREATE]
    accepted = [at for at, outcome in creates if outcome != THROTTLED]
    described = [at for at, operation, _, _ in requests if operation == DESCRIBE]
    return Finished(
        client=client,
        burst=burst,
        whole_s=whole_s,
        creating_s=accepted[-1] - creates[0][0],
        seen_after_s=described[-1] - accepted[-1] - PROCESSING_S,
        creates=len(creates),
        throttled=len(creates) - len(accepted),
        describes=len(described),
    )


def run_script(folder: Path, url: str) -> int:
    """Upload a folder and wait until all is complete, as a script does; return how many are."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "adaptive", "total_max_attempts": 10})
    client = boto3.client("pinpoint-sms-voice-v2", region_name="us-east-1", endpoint_url=url, config=config)
    made = [
        client.create_registration_attachment(AttachmentBody=path.read_bytes())["RegistrationAttachmentId"]
        for path in sorted(folder.iterdir())
    ]
    waiting, complete = set(made), 0
    while waiting:
        for start in range(0, len(made), 5):
            ids = [each for each in made[start : start + 5] if each in waiting]
            if not ids:
                continue
            described = client.describe_registration_attachments(RegistrationAttachmentIds=ids)
            for attachment in described["RegistrationAttachments"]:
                if attachment["AttachmentStatus"] != "UPLOAD_IN_PROGRESS":
                    waiting.discard(attachment["RegistrationAttachmentId"])
                    complete += attachment["AttachmentStatus"] == "UPLOAD_COMPLETE"
        if waiting:
            time.sleep(1)
    return complete


def main() -> int:
    """Measure, and print the table; with `--script`, be the script that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", action="store_true", help="the script takes no part")
    parser.add_argument("--script", nargs=2, metavar=("FOLDER", "URL"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.script:
        folder, url = told.script
        sys.stdout.write(json.dumps({"states": {"complete": run_script(Path(folder), url)}}) + "\n")
        return 0
    results: list[Finished] = []
    with tempfile.TemporaryDirectory() as work:
        for burst in BURSTS:
            for result in measure(burst, Path(work), ours_only=told.ours):
                results.append(result)
                sys.stderr.write(f"{result}\n")
    rows = "\n".join(str(each) for each in results)
    sys.stdout.write(f"{where_and_when()}\n\n{HEAD}\n{rows}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
