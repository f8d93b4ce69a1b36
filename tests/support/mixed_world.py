"""Where a mix happens: a service and a machine in one world whose time a test moves, and a thief that waits."""

import json
import shutil
import signal
import sqlite3
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.batches import BATCH, MAKERS, TAGS, token_of
from tests.support.clocks import Clocks
from tests.support.command import run
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.measured_run import Launcher, Measured, MeasuredRun, launcher
from tests.support.mixes import THIEF, Deed, Entry, LedgerDeed, Mix, Move
from tests.support.thief import Thief

LATE_S = 60.0
"""How long after its deadline a run may still take."""
LOOK_S = 0.01
SPARE_S = 1.0
LATE_WORK_S = 1.0
"""The service is at work on no request for longer (`drop_late` in tests/support/mixes.py)."""
PARTS = ("", "-wal", "-shm", "-journal")
LOCK = ".lock"


def content_of(entry: Entry) -> bytes:
    """The document of an entry."""
    return MAKERS[entry.name.rpartition(".")[2]](entry.text)


def tags_of(entry: Entry) -> dict[str, str]:
    """The tags of an entry, the identity tag left out."""
    return {**TAGS, "Mark": entry.mark}


def token_of_entry(entry: Entry) -> str:
    return token_of(entry.name, content_of(entry), tags=tags_of(entry), generation=entry.generation)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all mixes of a session share: a service, in which each has an account of its own, and a machine."""

    process: EmulatorProcess
    service_clocks: Clocks
    machine_clocks: Clocks
    launcher: Launcher
    folder: Path


class World:
    """One mix under way, at a new account. `told` says in order what was done, to find out why it failed."""

    def __init__(self, ground: Ground, mix: Mix, thief: Thief) -> None:
        self.mix = mix
        self.thief = thief
        self.folder = Path(tempfile.mkdtemp(prefix=f"mix-{mix.seed}-", dir=ground.folder)).resolve()
        self.endpoint = Endpoint(ground.process)
        self.endpoint.faults()
        self.endpoint.change(**mix.settings)
        self.told: list[str] = []
        self.runs: list[Measured] = []
        self._ground = ground
        self._service_clocks = ground.service_clocks
        self._clocks = ground.machine_clocks
        self._clocks.reset(ground.service_clocks.passed_s)
        self._ledgers = deque([self.folder / "june.ledger"])
        self._copies = 0
        self._saved: Path | None = None
        self._foreign = [self.endpoint.plant({"Customer": "somebody else"})["id"] for _ in range(mix.foreign)]
        self._written: dict[str, bytes] = {}
        self._logged = len(self.endpoint.log())
        self._env = {**self.endpoint.env, "AWS_REGION": "us-east-1"}

    @property
    def ledger(self) -> Path:
        """The ledger in use."""
        return self._ledgers[0]

    def say(self, what: str) -> None:
        self.told.append(what)

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the manifest of these entries and the documents that changed."""
        lines = [
            "version: 1",
            f"batch: {BATCH}",
            "defaults:",
            "  tags: {Customer: acme, Country: 'NO'}",
            "attachments:",
        ]
        for entry in entries:
            lines.append(f"  - {{file: {entry.name}, generation: {entry.generation}, tags: {{Mark: {entry.mark}}}}}")
            content = content_of(entry)
            if self._written.get(entry.name) != content:
                path = self.folder / entry.name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                self._written[entry.name] = content
        (self.folder / "june.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass in the whole world."""
        self._pass_at_service(seconds)
        self._clocks.pass_time(seconds)

    def settle_down(self) -> None:
        """Let pass what no request, no lag and no horizon outlasts."""
        self.pass_time(self.mix.horizon_s + self.mix.lag_s + SPARE_S)

    def set_wall(self, wrong_s: float) -> None:
        self._clocks.set_wall(wrong_s)

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Put these rules in the place of those before; a redirect leads to the thief."""
        self.endpoint.faults(
            *({**rule, "location": self.thief.url} if rule.get("location") == THIEF else rule for rule in rules)
        )

    def run(
        self, verb: str, *options: str, deadline_s: float, moves: Sequence[Move] = (), has_twin: bool = False
    ) -> list[Measured]:
        """Run a verb, do to it what these moves say, and give how it ended, and how its twin did if it has one.

        Raises TimeoutError where one does not end.
        """
        ledgers = [self.ledger, *([self._copied(with_lock=False)] if has_twin else [])]
        first = len(self.runs)
        with ExitStack() as stack:
            under_way: list[MeasuredRun] = []
            for number, ledger in enumerate(ledgers, start=first):
                arguments = (verb, "june.yaml", "--ledger", ledger.name, "--json", *options)
                self.say(f"$ batch-upload {' '.join(arguments)}")
                outputs = self.folder / f"run-{number}"
                run = self._ground.launcher.start(*arguments, cwd=self.folder, env=self._env, outputs=outputs)
                under_way.append(stack.enter_context(run))
            for move in moves:
                if not self._reaches(under_way[0], move):
                    break
                self._do(under_way, move)
            for each in under_way:
                ended = each.finish(within_s=deadline_s + LATE_S)
                self.say(f"  exit {ended.code} after {ended.seconds:.1f} s, {ended.peak_mib:.0f} MiB")
                self.runs.append(ended)
        return self.runs[first:]

    def _reaches(self, run: MeasuredRun, move: Move) -> bool:
        """Wait for the moment of a move. Gives whether the run is still under way then."""
        wanted = self.endpoint.stats().requests[move.operation] + move.requests
        while self.endpoint.stats().requests[move.operation] < wanted:
            if run.ended_within(LOOK_S):
                return False
        return not run.ended_within(move.after_s)

    def report(self) -> list[dict[str, Any]]:
        """What the ledger in use says of each item of the manifest."""
        options = ("june.yaml", "--ledger", self.ledger.name, "--format", "jsonl")
        told = run("report", *options, cwd=self.folder, env={**self._env, **self._clocks.env})
        return [json.loads(line) for line in told.stdout.splitlines()]

    def log(self) -> list[tuple[float, str, str, str | None]]:
        """(seconds, operation, outcome, token) of each request of this mix, in order."""
        return self.endpoint.log()[self._logged :]

    def _do(self, runs: Sequence[MeasuredRun], move: Move) -> None:
        self.say(f"  {move.requests} {move.operation} and {move.after_s} s later: {move.deed} {move.value:.1f}")
        match move.deed:
            case Deed.KILL:
                runs[0].signal(signal.SIGKILL)
            case Deed.TERMINATE:
                runs[0].signal(signal.SIGTERM)
            case Deed.SUSPEND | Deed.STOP:
                with ExitStack() as stack:
                    for run in runs:
                        stack.enter_context(run.stopped())
                    self._pass_at_service(move.value)
                    (self._clocks.sleep if move.deed is Deed.SUSPEND else self._clocks.pass_time)(move.value)
            case Deed.STEP:
                self.set_wall(move.value)
            case Deed.DELETE_FOREIGN:
                if self._foreign:
                    self.endpoint.set_status(self._foreign.pop(int(move.value * (len(self._foreign) - 1))), "DELETED")
            case Deed.BACKUP:
                self._back_up()

    def _pass_at_service(self, seconds: float) -> None:
        """Let time pass at the service: what is still at work there ends when it is due, not after all of the time."""
        for part_s in (min(seconds, LATE_WORK_S), max(0.0, seconds - LATE_WORK_S)):
            self._service_clocks.pass_time(part_s)
            self.endpoint.stats()  # wakes the service: its timers are the kernel's

    def do_to_ledger(self, deed: LedgerDeed) -> None:
        """Do this to the ledger in use, once everything that is at work has ended."""
        self.settle_down()
        self.say(f"- the ledger `{self.ledger.name}`: {deed}")
        if deed is LedgerDeed.TURN:
            self._ledgers.rotate(1)
        elif deed is LedgerDeed.LOSE:
            for path in self.folder.glob(f"{self.ledger.name}*"):
                path.unlink()
        elif deed is LedgerDeed.SAVE:
            self._back_up()
        elif deed in (LedgerDeed.FORK, LedgerDeed.FORK_WITH_LOCK):
            self._ledgers.appendleft(self._copied(with_lock=deed is LedgerDeed.FORK_WITH_LOCK))
        elif self._saved is not None:
            for path in self.folder.glob(f"{self.ledger.name}*"):
                if deed is LedgerDeed.RESTORE_WITHOUT_LOCK or not path.name.endswith(LOCK):
                    path.unlink()
            _copy(self._saved, self.ledger, "")

    def _copied(self, *, with_lock: bool) -> Path:
        self._copies += 1
        copy = self.folder / f"copy-{self._copies}.ledger"
        for part in (*PARTS, *([LOCK] if with_lock else [])):
            _copy(self.ledger, copy, part)
        return copy

    def _back_up(self) -> None:
        if not self.ledger.exists():
            return
        saved = self.folder / f"saved-{len(self.told)}.db"
        with closing(sqlite3.connect(self.ledger)) as source, closing(sqlite3.connect(saved)) as target:
            source.backup(target)
        self._saved = saved


def _copy(source: Path, target: Path, part: str) -> None:
    found = source.with_name(source.name + part)
    if found.exists():
        shutil.copyfile(found, target.with_name(target.name + part))


@contextmanager
def mixed_ground(library: Path, folder: Path) -> Iterator[Ground]:
    """A service and a machine whose clocks can be moved; both end with this context."""
    service_clocks, machine_clocks = (Clocks(library, folder / name) for name in ("service-clocks", "machine-clocks"))
    with running_emulator(env=service_clocks.env) as process, launcher(machine_clocks.env) as starting:
        yield Ground(process, service_clocks, machine_clocks, starting, folder)
    for clocks in (service_clocks, machine_clocks):
        clocks.close()
