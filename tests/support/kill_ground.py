"""Where kills are tried: for each point a new account, a new manifest with documents of its own, and no ledger yet."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.support.batches import Batch, make_batch
from tests.support.bound_fields import Fields, plant_registrations, puts
from tests.support.command import COMMAND, Event, Result, run
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.fleets import Fleet, make_fleet
from tests.support.invariants import assert_nothing_is_wrong_yet, assert_settled
from tests.support.kill_points import KILLED, NOWHERE, Driver, Ended, Kill, driver
from tests.support.soak import note

SITES_AN_EMULATOR = 150
"""An emulator keeps every account; a new one keeps looking at one of them quick."""
FLEET_ACCOUNTS_MAX = 1_000
"""Accounts of one fleet: the next one has accounts of its own."""
PACE = ("--rate", "1000")
UploadedT = TypeVar("UploadedT", Batch, Fleet)


@dataclass(frozen=True, slots=True)
class AnySite(Generic[UploadedT]):
    """One batch, of one lane or of many, at one endpoint, and the command to upload it."""

    driver: Driver
    endpoint: Endpoint
    batch: UploadedT
    options: Sequence[str] = ()
    fields: Fields = field(default_factory=dict)
    """What the registrations must hold in the end, if the manifest binds."""

    def upload(
        self, *, kill: Kill = NOWHERE, strace: Sequence[str] = (), file_size_max_bytes: int | None = None
    ) -> Ended:
        """Run `upload` once."""
        told = self._words() if kill.kind == "step" else [*self._words(), "--json"]
        return self.driver.run(
            *told,
            cwd=self.batch.folder,
            env=self.endpoint.env,
            kill=kill,
            strace=strace,
            file_size_max_bytes=file_size_max_bytes,
        )

    def upload_by(self, command: Sequence[str | Path]) -> Result:
        """Run the installed command by other means than the driver."""
        return run(*self._words(), "--json", cwd=self.batch.folder, env=self.endpoint.env, command=command)

    @contextmanager
    def uploading(self) -> Iterator["subprocess.Popen[bytes]"]:
        """The installed command under way, for whoever kills it from outside."""
        command = [str(COMMAND), *self._words(), "--json"]
        environment = {**os.environ, **self.endpoint.env}
        with subprocess.Popen(
            command,
            cwd=self.batch.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def settle(self) -> Event:
        """Look at what a crash left, run once more in quiet, and once again: nothing may be sent then."""
        self.assert_nothing_is_wrong_yet()
        self.endpoint.faults()
        summary = assert_settled(self.endpoint, self.batch, self.upload().result, self.fields)
        sent = self.endpoint.stats().creates, puts(self.endpoint)
        again = self.upload().result
        assert again.code == 0, again.stderr
        assert again.summary["uploaded"] == 0
        assert (self.endpoint.stats().creates, puts(self.endpoint)) == sent
        return summary

    def assert_nothing_is_wrong_yet(self) -> None:
        """Assert what holds at any moment, at the service and in the ledger."""
        assert_nothing_is_wrong_yet(self.endpoint, self.batch.ledger, self.fields)

    def _words(self) -> list[str]:
        return ["upload", str(self.batch.path), *PACE, *self.options]


Site = AnySite[Batch]
FleetSite = AnySite[Fleet]


class Ground:
    """Gives sites. Close it."""

    def __init__(self, running: Driver, folder: Path) -> None:
        self._driver = running
        self._folder = folder
        self._stack = ExitStack()
        self._process: EmulatorProcess | None = None
        self._sites = 0

    def site(
        self,
        items: int,
        *options: str,
        is_bound: bool = False,
        **settings: Any,  # noqa: ANN401 - the emulator's
    ) -> Site:
        """A batch of so many items, at an account as new with these settings of the emulator.

        `is_bound`: each item has a `bind`, and the account has the registrations.
        """
        folder, process = self._next_site()
        endpoint = Endpoint(process)
        endpoint.change(**settings)
        batch = make_batch(folder, items, is_bound=is_bound)
        fields = batch.fields(f"{endpoint.account}/us-east-1")
        plant_registrations(endpoint, fields)
        return AnySite(self._driver, endpoint, batch, options, fields)

    def fleet_site(
        self,
        accounts: int,
        *options: str,
        items: int,
        in_one_region: Collection[str] = (),
        is_bound: bool = False,
        **settings: Any,  # noqa: ANN401 - the emulator's
    ) -> FleetSite:
        """A manifest of so many accounts in two Regions with so many items a lane, at accounts as new.

        `is_bound`: as of `site`.
        """
        folder, process = self._next_site()
        first = 100_000_000_000 + FLEET_ACCOUNTS_MAX * self._sites
        fleet = make_fleet(
            folder,
            accounts=accounts,
            items=items,
            in_one_region=in_one_region,
            first_account=first,
            is_bound=is_bound,
        )
        endpoint = Endpoint(process, by_role=fleet.accounts.values())
        endpoint.change(**settings)
        plant_registrations(endpoint, fleet.fields)
        return AnySite(self._driver, endpoint, fleet, options, fleet.fields)

    def close(self) -> None:
        self._stack.close()

    def _next_site(self) -> tuple[Path, EmulatorProcess]:
        if self._sites % SITES_AN_EMULATOR == 0:
            self._stack.close()
            self._process = self._stack.enter_context(running_emulator())
        if self._process is None:
            raise RuntimeError("there is no emulator")
        self._sites += 1
        return Path(tempfile.mkdtemp(dir=self._folder)), self._process


LANES_SCRIPT = "3 lanes of 2 accounts with 2 items each"
BOUND_SCRIPT = "1 item, bound to a field"
BOUND_LANES_SCRIPT = "3 lanes of 2 accounts with 2 items each, bound to fields"
SITES_BY_SCRIPT: Mapping[str, Callable[[Ground], Site | FleetSite]] = {
    "1 item": lambda ground: ground.site(1),
    "6 items in flight": lambda ground: ground.site(6),
    LANES_SCRIPT: lambda ground: ground.fleet_site(2, items=2, in_one_region=["t001"]),
    BOUND_SCRIPT: lambda ground: ground.site(1, is_bound=True),
    BOUND_LANES_SCRIPT: lambda ground: ground.fleet_site(2, items=2, in_one_region=["t001"], is_bound=True),
}
"""What is uploaded where every point of a kind is tried."""


@contextmanager
def kill_ground() -> Iterator[Ground]:
    """A ground with a driver of its own, and nothing left of it at the end."""
    with tempfile.TemporaryDirectory() as folder, driver() as running:
        ground = Ground(running, Path(folder).resolve())
        try:
            yield ground
        finally:
            ground.close()


def killed_or_clean(ended: Ended) -> bool:
    """Whether a run was killed; otherwise it must have ended well."""
    if ended.code == KILLED:
        return True
    assert ended.code == 0, ended.result.stderr
    return False


def record(kind: str, script: str, *, points: int, kills: int) -> None:
    """Count a full run of points, where `make soak` gathers them: all of them held."""
    note({"kind": kind, "script": script, "points": points, "kills": kills})
