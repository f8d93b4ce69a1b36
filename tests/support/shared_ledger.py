"""One ledger in PostgreSQL, one manifest, one service, and any number of controllers that want the same lanes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import Any

import psycopg

from tests.support.bound_fields import assert_bound, assert_no_wrong_put, plant_registrations, puts
from tests.support.command import TIMEOUT_S, Result, Running
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.fleet_history import History, new_ledger, read_history
from tests.support.fleet_invariants import assert_done, assert_history, assert_no_secret
from tests.support.fleets import Fleet, make_fleet
from tests.support.pauses import Pause
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

LEASE_S = 3.0
"""Of the controllers of a test: short, so that none waits for 30 s."""
LOOK_S = 0.01
_NUMBERS = count()
_HELD = "SELECT count(*) FROM lane WHERE lease_until + make_interval(secs => %s) > clock_timestamp()"


@dataclass
class SharedLedger:
    """Lanes that several controllers share. `port` is where they find the database: the server's unless changed."""

    server: PostgresServer
    database: str
    endpoint: Endpoint
    emulator: EmulatorProcess
    fleet: Fleet
    command: Preloaded
    rate: float
    port: int
    said: dict[str, str] = field(default_factory=dict)
    """What the controllers wrote, by number and stream."""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.database}"

    @property
    def wanted(self) -> dict[str, int]:
        """How many items each lane has, by account/Region."""
        return {self.fleet.lane(label): items for label, items in self.fleet.items.items()}

    @property
    def env(self) -> dict[str, str]:
        return {**self.endpoint.env, "BATCH_UPLOAD_LEDGER": self.url}

    @contextmanager
    def uploading(self, *options: str, pause: Pause | None = None) -> Iterator[Running]:
        """An `upload` under way, with a short lease."""
        words = ("upload", str(self.fleet.path), "--rate", f"{self.rate:g}", "--fixed-rate", *options, "--json")
        with self.command.started(*words, cwd=self.fleet.folder, env=self.env, pause=pause, lease_s=LEASE_S) as running:
            yield running

    def upload(self, *options: str) -> Result:
        """Run `upload` to its end."""
        with self.uploading(*options) as running:
            return self.ended(running)

    def run(self, verb: str, *options: str) -> Result:
        """Run another verb of the command on the manifest to its end."""
        with self.command.started(
            verb, str(self.fleet.path), *options, "--json", cwd=self.fleet.folder, env=self.env, lease_s=LEASE_S
        ) as running:
            return self.ended(running)

    def wait_for_creates(self, number: int) -> None:
        """Return as soon as so many creates have come."""
        self.endpoint.wait_until(lambda: self.endpoint.stats().creates >= number, f"{number} creates have not come")

    def wait_until_lapsed(self, for_s: float = 0.0) -> None:
        """Return as soon as every lease of the ledger has lapsed, `for_s` seconds ago."""
        with psycopg.connect(self.server.url(self.database), autocommit=True) as connection:
            self.endpoint.wait_until(
                lambda: connection.execute(_HELD, [for_s]).fetchone() == (0,), "a lease does not lapse"
            )

    def wait_since_last_create(self, seconds: float) -> None:
        """Return as soon as the last create that was carried out is so old."""
        self.endpoint.wait_until(
            lambda: (
                max(request.at for request in self.history().creates) < datetime.now(UTC) - timedelta(seconds=seconds)
            ),
            "creates still come",
        )

    def ended(self, running: Running) -> Result:
        """Wait for a controller's end, and keep what it said."""
        result = running.finish()
        number = len(self.said) // 2
        self.said |= {f"stdout of {number}": result.stdout, f"stderr of {number}": result.stderr}
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def history(self) -> History:
        return read_history(self.server, self.database, self.emulator)

    def check(self, **exceptions: Any) -> History:  # noqa: ANN401 - of `assert_history`
        """Assert what holds at any moment."""
        history = self.history()
        assert_history(history, **{"rate": self.rate, **exceptions})
        assert_no_secret(self.said, [self.endpoint.env["AWS_SECRET_ACCESS_KEY"]])
        assert_no_wrong_put(self.endpoint, self.fleet.fields)
        return history

    def check_done(self, **exceptions: Any) -> History:  # noqa: ANN401 - of `assert_history`
        """Assert that each item is there once, whoever sent it, and that the same command sends nothing more."""
        history = self.check(**exceptions)
        assert_done(history, self.wanted)
        assert_bound(self.endpoint, self.fleet.fields)
        sent = self.endpoint.stats().creates, puts(self.endpoint)
        again = self.upload()
        assert again.code == 0, again.stderr
        assert again.summary["uploaded"] == 0
        assert (self.endpoint.stats().creates, puts(self.endpoint)) == sent
        return history


def shared_ledger(
    server: PostgresServer,
    emulator: EmulatorProcess,
    command: Preloaded,
    folder: Path,
    *,
    accounts: int = 1,
    items: int = 4,
    rate: float = 20.0,
    is_bound: bool = False,
    **settings: Any,  # noqa: ANN401 - of the emulator
) -> SharedLedger:
    """Make a manifest of so many accounts, each in one Region, and an empty ledger for it.

    `is_bound`: each item has a `bind`, and the accounts have the registrations.
    """
    number = next(_NUMBERS)
    first = 300_000_000_000 + 1_000 * number
    fleet = make_fleet(
        folder, accounts=accounts, regions=["us-east-1"], items=items, first_account=first, is_bound=is_bound
    )
    endpoint = Endpoint(emulator, by_role=fleet.accounts.values())
    endpoint.change(**settings)
    plant_registrations(endpoint, fleet.fields)
    database = f"shared_{number}"
    new_ledger(server, database)
    return SharedLedger(server, database, endpoint, emulator, fleet, command, rate, server.port)


def is_stopped(running: Running) -> bool:
    """Wait until a controller has stopped itself, and return True; False if it has ended. Raises TimeoutError."""
    until, never = monotonic() + TIMEOUT_S, Flag()
    while (state := state_of(running.process.pid)) != "T":
        if state in ("", "Z"):
            return False
        if monotonic() > until:
            raise TimeoutError("the controller was not stopped")
        never.wait(LOOK_S)
    return True


def state_of(process_id: int) -> str:
    """Return the state of a process as proc(5) names it: `T` stopped, `Z` ended; empty where there is none."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    return text.rpartition(")")[2].split()[0]


def go_on(running: Running) -> None:
    """Let a stopped controller go on."""
    running.signal(signal.SIGCONT)
