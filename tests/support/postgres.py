"""A PostgreSQL server of the tests' own, on loopback, with its data in a scratch folder.

The server refuses to run as root, so that a test run as root gives it to the user `postgres`, or to `nobody`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.support.strace import needed

NEWEST_FIRST = tuple(sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: -int(each.parent.name)))
SECONDS = 30.0
"""How long a server may take to start or stop."""
WAIT_S = 45.0
"""How long `wait_until` waits: on a busy machine a command takes seconds to start."""


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL: from PATH, or from where Debian puts it; None without one."""
    return shutil.which(name) or next((str(each / name) for each in NEWEST_FIRST if (each / name).exists()), None)


def require_postgres() -> None:
    """Skip the test where no PostgreSQL server is installed, or fail it where nothing may be skipped."""
    if program("initdb") is None:
        needed("PostgreSQL's server is not installed")


@dataclass
class PostgresServer:
    """A server that runs, or did. `port` is its own for ever, so that it can be started again.

    `data` is its data folder; `settings` are those of its configuration file besides the usual ones.
    """

    data: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it takes connections. Raises RuntimeError with its log."""
        command = [str(program("postgres")), "-D", str(self.data), "-p", str(self.port)]
        for name, value in {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_owner())
        until = time.monotonic() + SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2_000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it. SIGINT: in order; SIGQUIT: as a crash does, at once and without a checkpoint."""
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(how)
            process.wait(SECONDS)

    def crash(self) -> None:
        """Stop it as a crash does."""
        self.stop(signal.SIGQUIT)

    def log(self) -> str:
        """Return what it has written to its log."""
        return (self.data.parent / f"{self.data.name}.log").read_text(encoding="utf-8", errors="replace")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Carry out a statement in a transaction of its own, as the server's owner, and return its rows.

        Raises LockNotAvailable if a row is locked for SECONDS, as by a process that a test has stopped.
        """
        options = f"-c lock_timeout={SECONDS:.0f}s"
        with psycopg.connect(self.url(database), autocommit=True, options=options) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str) -> str:
        """Make a database, and return its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def wait_for(self, standby: "PostgresServer") -> None:
        """Return as soon as the standby has all that this server has committed by now."""
        [(here,)] = self.execute("SELECT pg_current_wal_lsn()::text")
        standby.wait_until(f"SELECT pg_last_wal_replay_lsn() >= '{here}'")

    def stop_following(self) -> None:
        """Cut this standby off: what its primary commits from now on is lost if this one is promoted."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        self.wait_until("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    def promote(self) -> None:
        """Make this standby a primary of a new timeline, and return when it takes writes."""
        self.execute("SELECT pg_promote(wait => true, wait_seconds => 30)")
        self.wait_until("SELECT NOT pg_is_in_recovery()")

    def wait_until(self, query: str, database: str = "postgres") -> None:
        """Return as soon as a query gives true. Raises TimeoutError with the query."""
        until = time.monotonic() + WAIT_S
        while self.execute(query, database) != [(True,)]:
            if time.monotonic() > until:
                raise TimeoutError(query)
            time.sleep(0.02)


@contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """Make a server, start it, and remove it with its data at the end. Skip the test where none is installed."""
    require_postgres()
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = new_server(Path(folder), **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@contextmanager
def running_standby(primary: PostgresServer, name: str = "standby") -> Iterator[PostgresServer]:
    """Copy a server into a folder beside its own, and let the copy follow it asynchronously. Stop it at the end."""
    data = primary.data.with_name(name)
    data.mkdir(mode=0o700)
    owner = server_owner()
    if owner is not None:
        os.chown(data, owner.pw_uid, owner.pw_gid)
    command = [str(program("pg_basebackup")), "-D", str(data), "-d", primary.url(), "-R", "-X", "stream", "-c", "fast"]
    made = subprocess.run([*command, "--no-sync"], check=False, capture_output=True, text=True, **as_owner())
    if made.returncode != 0:
        raise RuntimeError(f"pg_basebackup failed:\n{made.stderr}")
    standby = PostgresServer(data, free_port(), dict(primary.settings))
    standby.start()
    try:
        yield standby
    finally:
        standby.stop(signal.SIGQUIT)


def new_server(folder: Path, name: str = "data", **settings: str) -> PostgresServer:
    """Make the data of a server in a folder, without starting it. Everybody on loopback may connect as anybody."""
    data = folder / name
    data.mkdir()
    owner = server_owner()
    if owner is not None:
        folder.chmod(0o755)
        os.chown(data, owner.pw_uid, owner.pw_gid)
    initdb = [str(program("initdb")), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    # a locale that does not sort by code points, as most servers have: what depends on the order must not trust it
    initdb += ["--locale-provider=icu", "--icu-locale=en", "--no-sync", "--no-instructions"]
    made = subprocess.run(initdb, check=False, capture_output=True, text=True, **as_owner())
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{made.stderr}")
    return PostgresServer(data, free_port(), settings)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def server_owner() -> pwd.struct_passwd | None:
    """Return the user that the server is run as; None for the one that runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name: each for each in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def as_owner() -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` by which a program runs as the server's owner."""
    owner = server_owner()
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment["LC_ALL"] = "C.UTF-8"
    if owner is None:
        return {"env": environment}
    return {"env": environment, "user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"}
