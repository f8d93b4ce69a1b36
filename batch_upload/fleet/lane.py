"""One lane as a task for any machine: what is handed over, how it is run, and what comes back. Knows no engine.

An engine may run a task twice, lose it, or give it a wrong status. Only the ledger says what has happened.
"""

import math
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from anyio import to_thread

from batch_upload.app.items import LanePart, settings_of_manifest
from batch_upload.app.lane_follow import run_id_of_attempt
from batch_upload.app.lane_host import HINT, LaneHost, open_lane_host
from batch_upload.app.lane_run import RunScope
from batch_upload.app.upload import UploadLane
from batch_upload.clock import counting_s
from batch_upload.errors import ExitCode, LedgerUnusable, ManifestInvalid, UsageError
from batch_upload.ledger import newest_schema
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import State
from batch_upload.ports import Observer
from batch_upload.settings import MaxFailures, RunOptions

TASK_VERSION = 1
"""Of the JSON of a task. A worker leaves another one to workers of that version."""
TAKE_OVER_S = 45.0
"""Seconds that a lane waits for its last holder: a lease of 30 s that was renewed just now, and a margin."""
REFUSED_MAX = 3
"""Attempts of a task that workers refuse before its lane ends: another worker may have the manifest and its files."""
REFUSED_AGAIN_S = 5.0
"""Seconds before a refused task is given out again."""
LOCKED_AGAIN_S = 10.0
"""Seconds until a lane is tried again that another attempt of the same run probably holds, which seemed dead."""
UNREACHED_TRIES = 3
"""Attempts of a lane in which transient errors are left."""
UNREACHED_AGAIN_S = 30.0
"""Seconds between them. Within an attempt the engine has tried again for some minutes already."""
WAIT_LOCK_UNTIL = "wait_lock_until"
"""Option of a task: until when a lane that another run holds is waited for, as `LaneTask.deadline`."""
HANDED_ON = (
    "rate",
    "max_rate",
    "fixed_rate",
    "concurrency",
    "wait",
    "settle_timeout_s",
    "safe_horizon_s",
    "rehash",
    "strict",
    "skip_invalid",
)
"""Options of a run that travel as they are. How AWS is reached is the worker's own affair."""


@dataclass(frozen=True, slots=True)
class LaneTask:
    """The run of one lane of a manifest, as JSON without secrets."""

    manifest: str
    """Its path, the same on every machine."""
    digests: Mapping[str, str]
    """`app.listing.manifest_digests`."""
    target: str
    """`Target.label` of the lane."""
    ledger: str
    """Path or URL of the ledger, without a password."""
    schema: int
    """Version of the ledger's tables that the coordinator writes."""
    run_id: str
    deadline: str | None = None
    """When nothing more is begun: a time as in ISO 8601, in UTC."""
    attempts: int = 0
    """How often the lane was begun by earlier tasks of the same run."""
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = TASK_VERSION

    def as_json(self) -> dict[str, Any]:
        """Return the task as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the task of this JSON. Raises UsageError for one of another version, or with unknown members."""
        if values.get("version") != TASK_VERSION or set(values) - {each.name for each in fields(cls)}:
            raise UsageError(
                f"the task is of version {values.get('version')}, this worker knows version {TASK_VERSION}",
                hint="install the same version of batch-upload everywhere",
            )
        return cls(**values)

    @classmethod
    def readable(cls, values: Mapping[str, Any]) -> Self:
        """Return what can be read of a task of any version, to be shown. What is missing is empty, a version 0."""
        known = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        empty = {"manifest": "", "digests": {}, "target": "", "ledger": "", "schema": 0, "run_id": "", "version": 0}
        return cls(**{**empty, **known})

    def left_s(self, now: datetime) -> float | None:
        """Return the seconds until the deadline, 0 after it; None without one."""
        if self.deadline is None:
            return None
        return max(0.0, (datetime.fromisoformat(self.deadline) - now).total_seconds())

    def waits_for_lane(self, now: datetime, number: int) -> bool:
        """Return whether attempt `number`, which found the lane another run's, is to be made again.

        As long as `--wait-lock` says; without it, if the lane was this run's before.
        """
        until = self.options.get(WAIT_LOCK_UNTIL)
        return number > 1 if until is None else now < datetime.fromisoformat(until)


def options_json(options: RunOptions) -> dict[str, Any]:
    """Return the options of a run that `LaneTask.options` carries."""
    limit = options.max_failures
    return {
        **{name: getattr(options, name) for name in HANDED_ON},
        "only_states": sorted(options.only_states),
        "only_ids": sorted(options.only_ids),
        "max_failures": {"count": limit.count, "share": limit.share},
        "allow_outside": options.allow_outside,
    }


def options_of_json(given: Mapping[str, Any], own: RunOptions) -> RunOptions:
    """Return the options of this JSON. `own` are the worker's: how it reaches AWS, its ledger, and its limits."""
    limit = given.get("max_failures") or {}
    options = replace(
        own,
        **{name: given[name] for name in HANDED_ON if name in given},
        only_states=frozenset(State(each) for each in given.get("only_states", ())),
        only_ids=frozenset(given.get("only_ids", ())),
        max_failures=MaxFailures(limit.get("count"), limit.get("share")),
        allow_outside=bool(given.get("allow_outside")),
    )
    return replace(options, concurrency=min(options.concurrency, own.concurrency))


@dataclass(frozen=True, slots=True)
class LaneReport:
    """How an attempt to run a task ended, as JSON. The ledger has the same, and more, if the lane was reached."""

    target: str
    run_id: str
    """Of this attempt."""
    worker: str
    """Host name and process id."""
    code: int
    reason: str
    hint: str = ""
    again_in_s: float | None = None
    """Seconds after which the task is to be run again; None if the lane has ended."""
    summary: Mapping[str, Any] | None = None
    """`Summary.as_json` of the lane's run; None if it did not begin."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the report of this JSON. Members of other versions are left out."""
        return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})


class WorkerHost:
    """Runs tasks in one process, over one ledger. `options` are the worker's own; `lanes` is open as long as this."""

    def __init__(self, lanes: LaneHost, ledger: LedgerAddress, options: RunOptions, observer: Observer) -> None:
        self.lanes = lanes
        self.options = replace(options, ledger=ledger)
        self.observer = observer
        self._schema = newest_schema(ledger)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.interrupted = False

    def interrupt(self, code: ExitCode, name: str) -> None:
        """Let what is in flight end and be recorded, 10 s at most, and hand all lanes back. `name` says why."""
        self.interrupted = True
        self.lanes.interrupt(code, name)
        self.lanes.ledger.hurry()

    async def part(self, task: LaneTask, *, since_s: float = -math.inf) -> LanePart:
        """Return what the task's lane gets of its manifest, with the files read. `since_s` is as for `Listings.of`.

        Raises UsageError or ManifestInvalid if the manifest is not the one of the task, or its files cannot be sent;
        and LedgerUnusable if this program knows other tables than the coordinator.
        """
        if task.schema != self._schema:
            raise LedgerUnusable(
                f"the run was begun by a program whose ledger is of version {task.schema}, here it is {self._schema}",
                hint="install the same version of batch-upload everywhere",
            )
        options = replace(options_of_json(task.options, self.options), targets=(task.target,), shard=None)
        listing = await self.lanes.listings.of(
            Path(task.manifest), allow_outside=options.allow_outside, since_s=since_s, digests=task.digests
        )
        for name, digest in task.digests.items():
            if listing.digests.get(name) != digest:
                raise UsageError(
                    f"`{name}` is not the file that the run began with: {listing.digests.get(name, 'none')[:12]}…"
                    f" instead of {digest[:12]}…",
                    hint="have the same manifest at the same path on every machine, and begin the run anew",
                )
        listed = listing.part(settings_of_manifest(options, listing.manifest))
        return await to_thread.run_sync(listing.read_files, listed, abandon_on_cancel=True)

    async def part_again(self, task: LaneTask) -> LanePart:
        """As `part`, after a wait for the lane: nothing of the list is from before. Raises ManifestInvalid."""
        try:
            part = await self.part(task, since_s=counting_s())
        except UsageError as error:
            raise ManifestInvalid(error.message, problems=(), hint=error.hint) from error
        await self.lanes.ledger.remember_digests(part.prepared.fresh)
        return part


@asynccontextmanager
async def worker_host(
    ledger: LedgerAddress, options: RunOptions, observer: Observer, *, lanes: int, wait_lock_s: float = TAKE_OVER_S
) -> AsyncIterator[WorkerHost]:
    """Open what `lanes` lanes of this process share. `wait_lock_s`: how long a lane waits for its last holder to end.

    Raises as `open_ledger`.
    """
    async with open_lane_host(ledger, lanes=lanes, wait_lock_s=wait_lock_s) as opened:
        yield WorkerHost(opened, ledger, options, observer)


async def run_lane(host: WorkerHost, task: LaneTask, *, attempt: int = 1) -> LaneReport:
    """Run the lane of a task, or find out why that cannot be. `attempt` counts the runs of this task from 1.

    Raises what concerns all lanes of this process, LedgerUnusable above all.
    """
    number = task.attempts + attempt
    run_id = run_id_of_attempt(task.run_id, number)
    since_s = counting_s() if number > 1 else -math.inf  # the lane may have been another run's meanwhile
    try:
        part = await host.part(task, since_s=since_s)
    except (UsageError, ManifestInvalid, LedgerUnusable) as error:
        problem = f": {error.problems[0].message}" if isinstance(error, ManifestInvalid) else ""
        reason = f"the worker {host.name} refuses it: {error.message}{problem}"
        code = ExitCode.LEDGER if isinstance(error, LedgerUnusable) else ExitCode.INVALID
        again_in_s = REFUSED_AGAIN_S if number < REFUSED_MAX else None
        return LaneReport(task.target, run_id, host.name, int(code), reason, error.hint, again_in_s=again_in_s)
    if part.prepared.fresh:
        await host.lanes.ledger.remember_digests(part.prepared.fresh)
    left_s = task.left_s(datetime.now(UTC))
    scope = host.lanes.scope(RunScope(run_id, host.observer, started=counting_s(), deadline_s=left_s))
    run = UploadLane(replace(scope, read_again=lambda _: host.part_again(task)), part)
    summary = (await host.lanes.run_lane(run)).summary
    if isinstance(run.ledger_error, LedgerUnusable):
        raise run.ledger_error
    ending = summary.exit
    hint = next((note.removeprefix(HINT) for note in summary.notes if note.startswith(HINT)), "")
    again_in_s = None
    if host.interrupted and ending.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        again_in_s = 0.0
    elif ending.code is ExitCode.LOCKED and task.waits_for_lane(datetime.now(UTC), number):
        again_in_s = LOCKED_AGAIN_S
    elif ending.code is ExitCode.TRANSIENT and number < UNREACHED_TRIES:
        again_in_s = UNREACHED_AGAIN_S
    return LaneReport(
        task.target,
        run_id,
        host.name,
        int(ending.code),
        ending.reason,
        hint,
        again_in_s=again_in_s,
        summary=summary.as_json(),
    )
