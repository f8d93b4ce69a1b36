"""`make demo-fleet`: two workers on 20 lanes over a PostgreSQL of its own; one worker is killed, the other goes on.

Everything is on loopback and in a scratch folder, which is removed at the end. Needs `initdb` and `postgres`, from PATH
or from Debian's package `postgresql`. Takes less than a minute.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

COMMAND = Path(sys.executable).with_name("batch-upload")
ACCOUNTS, REGIONS, ITEMS = 10, ("us-east-1", "us-west-2"), 8
LIMIT_S = 120.0
"""After so long the demo gives up."""
LEASE_S = 30
"""Seconds until a lane may be taken over from a worker that gave no sign of life."""


def main() -> int:
    """Run the demo and return its exit code: that of `fleet upload`, or 1 if an item is there twice."""
    programs = {name: program(name) for name in ("initdb", "postgres")}
    if None in programs.values():
        say("PostgreSQL is not installed: `apt install postgresql`, or put its `initdb` and `postgres` on PATH")
        return 2
    with tempfile.TemporaryDirectory(prefix="demo-fleet-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # the server may run as another user
        until = time.monotonic() + LIMIT_S
        url = stack.enter_context(database(folder, str(programs["initdb"]), str(programs["postgres"]), until))
        emulator = stack.enter_context(process(folder, "emulator", until_line=True))
        manifest = write_manifest(folder)
        os.environ.update(
            AWS_ENDPOINT_URL=emulator[1],
            AWS_ACCESS_KEY_ID="999988887777",
            AWS_SECRET_ACCESS_KEY="demo",  # noqa: S106 - the emulator takes any
            BATCH_UPLOAD_LEDGER=url,
            XDG_CACHE_HOME=str(folder / "cache"),
        )
        lanes = ACCOUNTS * len(REGIONS)
        say(f"{lanes} lanes of {ITEMS} items; PostgreSQL at {url}, the service at {emulator[1]}")
        workers = [
            stack.enter_context(process(folder, "fleet", "worker", "--lanes", str(lanes // 2), "--dead-after", "10s"))
            for _ in range(2)
        ]
        upload = subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, "fleet", "upload", manifest, "--yes"], cwd=folder, stdin=subprocess.DEVNULL
        )
        stack.callback(end, upload)
        victim = workers[0][0]
        wait_for(lambda: uploaded(emulator[1]) >= lanes * ITEMS // 3 or upload.poll() is not None, until)
        say(f"{uploaded(emulator[1])} of {lanes * ITEMS} items are there: worker {victim.pid} is killed now (SIGKILL)")
        victim.kill()
        victim.wait()
        say(f"its lanes are free for worker {workers[1][0].pid} when their leases have lapsed, in {LEASE_S} s at most")
        code = upload.wait(max(1.0, until - time.monotonic()))
        twice = [token for token, count in tokens(emulator[1]).items() if count > 1]
        say(f"{uploaded(emulator[1])} items are there, {len(twice)} of them twice; `fleet upload` ended with {code}")
        return 1 if twice else code


def say(line: str) -> None:
    """Print a line of the demo."""
    sys.stdout.write(f"demo: {line}\n")
    sys.stdout.flush()


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, the newest that Debian has where PATH has none."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda each: -float(each.parts[-3]))
    return shutil.which(name) or next(map(str, found), None)


def write_manifest(folder: Path) -> Path:
    """Write the documents, and a manifest that sends each to its account in all Regions."""
    entries = []
    for account in range(ACCOUNTS):
        for number in range(ITEMS):
            path = folder / f"brand-{account}-{number}.pdf"
            path.write_bytes(b"%PDF-1.4\n" + f"brand {account}, page {number}\n".encode() + b"%%EOF\n")
            entries.append(f"  - {{file: {path.name}, target: brand-{account}}}")
    targets = [
        f'    - {{name: brand-{each}, account: "{100_000_000_000 + each}",'
        f' role_arn: "arn:aws:iam::{100_000_000_000 + each}:role/uploader"}}'
        for each in range(ACCOUNTS)
    ]
    head = ["version: 1", "batch: demo", "targets:", f"  defaults: {{regions: [{', '.join(REGIONS)}]}}", "  list:"]
    lines = [*head, *targets, "defaults:", '  tags: {Brand: "{target}"}', "attachments:", *entries]
    manifest = folder / "fleet.yaml"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


@contextmanager
def database(folder: Path, initdb: str, postgres: str, until: float) -> Iterator[str]:
    """Run a scratch server on loopback, and yield the URL of its database."""
    data, owner = folder / "data", server_owner()
    data.mkdir()
    if owner is not None:
        os.chown(data, owner.pw_uid, owner.pw_gid)
    as_owner: dict[str, Any] = (
        {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"}
    )
    made = [initdb, "-D", str(data), "-U", "demo", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **as_owner)  # noqa: S603
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=")
    command = [postgres, "-D", str(data), "-p", str(port), *(word for each in settings for word in ("-c", each))]
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_owner)  # noqa: S603
    try:
        wait_for(lambda: can_connect(port), until)
        yield f"postgresql://demo@127.0.0.1:{port}/postgres"
    finally:
        end(server, signal.SIGQUIT)


def server_owner() -> pwd.struct_passwd | None:
    """Return the user that runs the server, which refuses to run as root; None for the one that runs this."""
    if os.geteuid() != 0:
        return None
    users = {each.pw_name: each for each in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def can_connect(port: int) -> bool:
    """Return whether the server answers a query."""
    try:
        with psycopg.connect(f"postgresql://demo@127.0.0.1:{port}/postgres", connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def process(folder: Path, *words: str, until_line: bool = False) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run our command in the block. Yield it, and with `until_line` the first line that it prints."""
    with (folder / f"{'-'.join(words[:2])}.log").open("a") as log:
        started = subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
    try:
        line = started.stdout.readline().strip() if until_line and started.stdout is not None else ""
        yield started, line
    finally:
        end(started)
        if started.stdout is not None:
            started.stdout.close()


def end(started: "subprocess.Popen[str] | subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that this demo has started, in order if it does so within 15 s."""
    if started.poll() is None:
        started.send_signal(how)
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def attachments(url: str) -> Sequence[dict[str, str]]:
    """Return what the emulated service holds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_emulator/attachments", timeout=10) as answer:
        found: list[dict[str, str]] = json.loads(answer.read())
    return found


def uploaded(url: str) -> int:
    """Return how many attachments there are."""
    return len(attachments(url))


def tokens(url: str) -> Counter[tuple[str, str, str]]:
    """Return how many attachments each token has made in each account and Region."""
    return Counter((each["account"], each["region"], each["client_token"]) for each in attachments(url))


def wait_for(is_so: Callable[[], bool], until: float) -> None:
    """Wait for a condition. Raises TimeoutError."""
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("the demo took too long")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
