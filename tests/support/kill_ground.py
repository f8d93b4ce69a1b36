"""Where kills are tried: for each point a new account, a new manifest with documents of its own, and no ledger yet."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.batches import Batch, make_batch
from tests.support.command import COMMAND, Event, Result, run
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.invariants import assert_nothing_is_wrong_yet, assert_settled
from tests.support.kill_points import KILLED, NOWHERE, Driver, Ended, Kill, driver

SITES_AN_EMULATOR = 150
"""An emulator keeps every account; a new one keeps looking at one of them quick."""
MATRIX_FILE = "BATCH_UPLOAD_TESTS_MATRIX"
"""Names the file that full runs of kill points write their counts to."""
PACE = ("--rate", "1000")


@dataclass(frozen=True, slots=True)
class Site:
    """One batch at one endpoint, and the command to upload it."""

    driver: Driver
    endpoint: Endpoint
    batch: Batch
    options: Sequence[str] = ()

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
        assert_nothing_is_wrong_yet(self.endpoint, self.batch)
        self.endpoint.faults()
        summary = assert_settled(self.endpoint, self.batch, self.upload().result)
        creates = self.endpoint.stats().creates
        again = self.upload().result
        assert again.code == 0, again.stderr
        assert (again.summary["uploaded"], self.endpoint.stats().creates) == (0, creates)
        return summary

    def _words(self) -> list[str]:
        return ["upload", str(self.batch.path), *PACE, *self.options]


class Ground:
    """Gives sites. Close it."""

    def __init__(self, running: Driver, folder: Path) -> None:
        self._driver = running
        self._folder = folder
        self._stack = ExitStack()
        self._process: EmulatorProcess | None = None
        self._sites = 0

    def site(self, items: int, *options: str, **settings: Any) -> Site:  # noqa: ANN401 - the emulator's
        """A batch of so many items, at an account as new with these settings of the emulator."""
        if self._sites % SITES_AN_EMULATOR == 0:
            self._stack.close()
            self._process = self._stack.enter_context(running_emulator())
        if self._process is None:
            raise RuntimeError("there is no emulator")
        self._sites += 1
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        endpoint = Endpoint(self._process)
        if settings:
            endpoint.change(**settings)
        return Site(self._driver, endpoint, make_batch(folder, items), options)

    def close(self) -> None:
        self._stack.close()


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
    """Count a full run of points in the matrix, where one is being made: all of them held."""
    named = os.environ.get(MATRIX_FILE)
    if not named:
        return
    path = Path(named)
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [row for row in rows if (row["kind"], row["script"]) != (kind, script)]
    kept.append({"kind": kind, "script": script, "points": points, "kills": kills})
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
