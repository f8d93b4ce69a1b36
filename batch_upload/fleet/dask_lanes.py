"""Lanes as tasks of a Dask cluster: another way to hand them out than the queue in the ledger's database.

The scheduler keeps its tasks in memory. If it is lost the run ends with exit 10, and the same command goes on. Dask may
run a task twice; the lease of the lane in the ledger makes that harmless.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future as ThreadFuture
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from threading import Thread
from time import time
from typing import Any

import anyio
from distributed import Client, Future, KilledWorker, Worker, WorkerPlugin, fire_and_forget, get_worker
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import get_backend

from batch_upload.app.observers import Silent
from batch_upload.errors import BatchUploadError, ExitCode, LedgerAway, LedgerUnusable, SchedulerLost, UsageError
from batch_upload.fleet.jobs import FleetWorker, LaneJob
from batch_upload.fleet.lane import LaneReport, LaneTask, WorkerHost, run_lane, worker_host
from batch_upload.ledger_address import ledger_address
from batch_upload.settings import RunOptions

SCHEDULER_ANSWERS_S = 15.0
"""How long the scheduler may take to answer, at the start and after a lost connection."""
WORKER_ENDS_S = 12.0
"""How long a worker that closes waits for its lanes, which end within 10 s."""
LEDGER_AGAIN_S = 10.0
"""Seconds until a lane is tried again whose worker does not reach the ledger."""
LEDGER_TRIES = 30
"""Attempts of such a lane."""
ADDRESS_HINT = "such as `--dask tcp://scheduler:8786`"
HOSTS_PLUGIN = "batch-upload"
SCHEDULER_GONE = "the Dask scheduler is gone, and with it the tasks of all lanes"


@dataclass(slots=True)
class _Submitted:
    """A lane's task. `again_at`: the time of the loop at which it is submitted again; None while it is submitted."""

    task: LaneTask
    lane: str
    future: "Future[Any] | None" = None
    attempts: int = 0
    report: LaneReport | None = None
    again_at: float | None = None


class DaskQueue:
    """Does for `FleetUpload` what `LaneQueue` does, on a Dask cluster. Every method raises SchedulerLost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._submitted: dict[int, _Submitted] = {}

    async def defer(self, task: LaneTask, lane: str) -> int:
        """Submit a task, and return the id of its job. It goes on if this process ends."""
        job_id = len(self._submitted) + 1
        self._submitted[job_id] = _Submitted(task, lane)
        self._submit(job_id)
        return job_id

    def _submit(self, job_id: int) -> None:
        job = self._submitted[job_id]
        job.attempts, job.again_at = job.attempts + 1, None
        # a key of its own, so that Dask neither shares the result of another attempt nor leaves it out
        key = f"batch-upload/{job.lane}/{job.task.run_id}/{job_id}-{job.attempts}"
        job.future = self._client.submit(run_task, job.task.as_json(), job.attempts, key=key, pure=False)
        fire_and_forget(job.future)  # type: ignore[no-untyped-call]

    async def jobs(self, job_ids: Sequence[int]) -> list[LaneJob]:
        """Return these jobs as they are now, and submit again what is due."""
        return [await self._job(job_id) for job_id in job_ids]

    async def _job(self, job_id: int) -> LaneJob:
        job, status = self._submitted[job_id], "doing"
        if job.again_at is not None:
            status = "todo"
            if anyio.current_time() >= job.again_at:
                self._submit(job_id)
        elif job.future is not None and job.future.status == "finished":
            status = self._ended(job, LaneReport.from_json(await job.future))
        elif job.future is not None and job.future.status == "error":
            error = await job.future.exception()  # type: ignore[no-untyped-call]
            reason = f"a Dask worker failed: {type(error).__name__}: {error}"
            fault = LaneReport(job.task.target, job.task.run_id, "", int(ExitCode.OUR_FAULT), reason)
            status = "failed" if isinstance(error, KilledWorker) else self._ended(job, fault)
        elif self._client.status != "running" or job.future is None or job.future.status != "pending":
            raise SchedulerLost(SCHEDULER_GONE)
        return LaneJob(job_id, status, job.attempts, job.task, job.report, None, None)

    @staticmethod
    def _ended(job: _Submitted, report: LaneReport) -> str:
        job.report = report
        if report.again_in_s is None:
            return "succeeded"
        job.again_at = anyio.current_time() + report.again_in_s
        return "todo"

    async def blocked(self, job_ids: Sequence[int]) -> set[int]:
        """Return none: a lane that another run works on waits for its lease, and ends with exit 11."""
        del job_ids
        return set()

    async def cancel(self, job_ids: Sequence[int]) -> set[int]:
        """Return none: a lane that has begun ends in order by itself, and the scheduler does not tell which has."""
        del job_ids
        return set()

    async def workers(self) -> list[FleetWorker]:
        """Return the workers of the cluster."""
        scheduler = self._client.scheduler
        if self._client.status != "running" or scheduler is None:
            raise SchedulerLost(SCHEDULER_GONE)
        try:
            found = (await scheduler.identity(n_workers=-1))["workers"]
        except OSError as error:
            raise SchedulerLost(SCHEDULER_GONE) from error
        return [
            FleetWorker(number, str(address), each["nthreads"], None, time() - each["last_seen"], 0)
            for number, (address, each) in enumerate(found.items())
        ]

    async def delete_old(self) -> None:
        """Do nothing: the scheduler forgets tasks by itself."""


def check_address(address: str) -> None:
    """Raise UsageError for what is no address of a scheduler: `HOST:PORT`, with or without a scheme of Dask's."""
    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        host, port = parse_host_port(place)
    except ValueError as error:
        raise UsageError(f"`--dask {address}` is no address of a scheduler: {error}", hint=ADDRESS_HINT) from error
    if not host or not 0 < port < 2**16:
        raise UsageError(f"`--dask {address}` is no address of a scheduler", hint=ADDRESS_HINT)


@asynccontextmanager
async def dask_queue(address: str) -> AsyncIterator[DaskQueue]:
    """Connect to a scheduler, such as `tls://host:8786`. TLS is configured as for any client of Dask.

    Raises SchedulerLost if it does not answer, or the address is none.
    """
    try:
        unconnected = Client(address, asynchronous=True, set_as_default=False, timeout=SCHEDULER_ANSWERS_S)  # type: ignore[no-untyped-call]
        client = await unconnected
    except (OSError, ValueError, TypeError) as error:
        raise SchedulerLost(f"the Dask scheduler at `{address}` does not answer: {error}", hint=ADDRESS_HINT) from error
    try:
        yield DaskQueue(client)
    finally:
        await client.close()


async def run_task(task: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """Run a lane in this Dask worker. Takes and returns the JSON of LaneTask and LaneReport."""
    worker = get_worker()
    if HOSTS_PLUGIN not in worker.plugins:
        await worker.plugin_add(LaneHosts(), name=HOSTS_PLUGIN)
    hosts = worker.plugins[HOSTS_PLUGIN]
    if not isinstance(hosts, LaneHosts):
        raise TypeError(f"another plugin of the worker is named `{HOSTS_PLUGIN}`")
    try:
        given = LaneTask.from_json(task)
        # Dask starts the task of a lost worker again by itself: each start has an id of its own in the ledger
        given = replace(given, run_id=f"{given.run_id}.{secrets.token_hex(3)}")
        return (await hosts.of(given.ledger).run(given, attempt)).as_json()
    except BatchUploadError as error:
        again_in_s = LEDGER_AGAIN_S if isinstance(error, LedgerAway) and attempt < LEDGER_TRIES else None
        reason = f"the Dask worker {worker.address} cannot run it: {error.message}"
        target, run_id, code = str(task.get("target")), str(task.get("run_id")), int(error.exit_code)
        report = LaneReport(target, run_id, worker.address, code, reason, error.hint, again_in_s=again_in_s)
        return report.as_json()


class LaneHosts(WorkerPlugin):
    """The hosts of lanes of one Dask worker, by ledger. They end with the worker, once their lanes have drained."""

    def setup(self, worker: Worker) -> None:
        """Begin without any."""
        self._lanes = worker.state.nthreads
        self._hosts: dict[str, HostThread] = {}

    def of(self, ledger: str) -> "HostThread":
        """Return the host over a ledger, which is made if there is none."""
        host = self._hosts.get(ledger)
        if host is None or host.has_failed:
            host = self._hosts[ledger] = HostThread(ledger, lanes=self._lanes)
        return host

    async def teardown(self, worker: Worker) -> None:
        """Let what is in flight end and be recorded."""
        del worker
        await asyncio.gather(*(host.stop() for host in self._hosts.values()))


class HostThread:
    """A `WorkerHost` on a thread with an event loop of its own: a slow task of Dask's loop would stop all lanes."""

    def __init__(self, ledger: str, *, lanes: int) -> None:
        self.has_failed = False
        """Whether the ledger could not be opened, or has failed for good: it takes no more lanes."""
        self._ledger = ledger
        self._lanes = lanes
        self._opened: ThreadFuture[tuple[asyncio.AbstractEventLoop, WorkerHost]] = ThreadFuture()
        self._closing = asyncio.Event()
        self._running: set[ThreadFuture[LaneReport]] = set()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), name="batch-upload", daemon=True)
        self._thread.start()

    async def _serve(self) -> None:
        try:
            address = ledger_address(self._ledger)
            async with worker_host(address, RunOptions(), Silent(), lanes=self._lanes) as host:
                self._opened.set_result((asyncio.get_running_loop(), host))
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, the tasks that wait for the host raise it
            self.has_failed = True
            if not self._opened.done():
                self._opened.set_exception(error)

    async def run(self, task: LaneTask, attempt: int) -> LaneReport:
        """Run a lane on the thread. A cancelled caller does not end it: `stop` does. Raises as `run_lane`."""
        loop, host = await asyncio.wrap_future(self._opened)
        running = asyncio.run_coroutine_threadsafe(run_lane(host, task, attempt=attempt), loop)
        self._running.add(running)
        try:
            return await asyncio.shield(asyncio.wrap_future(running))
        except LedgerUnusable:
            self.has_failed = True
            raise
        finally:
            if running.done():
                self._running.discard(running)
            if self.has_failed and not self._running:
                loop.call_soon_threadsafe(self._closing.set)

    async def stop(self) -> None:
        """Let lanes drain, and close the ledger."""
        if not self.has_failed:
            loop, host = await asyncio.wrap_future(self._opened)
            loop.call_soon_threadsafe(host.interrupt, ExitCode.TERMINATED, "the end of its Dask worker")
            if self._running:
                await asyncio.wait([asyncio.wrap_future(each) for each in self._running], timeout=WORKER_ENDS_S)
            loop.call_soon_threadsafe(self._closing.set)
        await asyncio.to_thread(self._thread.join, WORKER_ENDS_S)
