"""The jobs of a worker whose database may be away for a while."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import datetime

import anyio
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, NotificationCallback

AWAY_S = 60.0
"""How long the end of a job waits for a database that is away, as the ledger does."""
AWAY_AT_END_S = 10.0
"""How long it waits once the worker is being ended, as the ledger does: service managers kill after 60 s or so."""
CONNECTION_AT_END_S = 2.0
"""How long each query waits for a connection then. Several queries follow one another at the end."""
AWAY_PAUSE_S = 1.0

_OURS = """
SELECT 1 FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing' AND worker_id = %(worker_id)s
"""


class OwnJobs(JobManager):
    """Outlives a database that is away, and gives a status only to jobs that its worker still has.

    Procrastinate's own ends the worker, and with it all lanes, at the first query that fails.
    """

    def __init__(self, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self._connector = connector
        self.running: set[int] = set()
        """The jobs that were taken here, and whose end is not recorded yet."""
        self._is_ending = False

    def end_soon(self) -> None:
        """Wait for a database that is away for AWAY_AT_END_S only from now on: this process is being ended."""
        self._is_ending = True
        self._connector.pool.timeout = CONNECTION_AT_END_S

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Return a job to run; None also while the database is away."""
        try:
            job = await super().fetch_job(queues, worker_id)
        except ConnectorException:
            return None
        if job is not None and job.id is not None:
            self.running.add(job.id)
        return job

    async def update_heartbeat(self, worker_id: int) -> None:
        """Give a sign of life; none while the database is away."""
        with suppress(ConnectorException):
            await super().update_heartbeat(worker_id)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Listen for new jobs, until cancelled. A connection that is lost is made anew."""
        while True:
            with suppress(ConnectorException):
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            await anyio.sleep(AWAY_PAUSE_S)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - as inherited
        """Record the end of a job, if it is still ours."""
        async for _ in self._while_ours(job):
            await super().finish_job(job, status, delete_job)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Give a job out again, if it is still ours."""
        async for _ in self._while_ours(job):
            await super().retry_job(job, retry_at, priority, queue, lock)

    async def _while_ours(self, job: Job) -> AsyncIterator[None]:
        """Wait for the database, AWAY_S or AWAY_AT_END_S at most, and yield once if the job is still its worker's."""
        began = anyio.current_time()
        while True:
            try:
                rows = await self.connector.execute_query_all_async(_OURS, job_id=job.id, worker_id=job.worker_id)
            except ConnectorException:
                if anyio.current_time() - began >= (AWAY_AT_END_S if self._is_ending else AWAY_S):
                    raise
                await anyio.sleep(AWAY_PAUSE_S)
                continue
            if rows:
                yield
            self.running.discard(job.id or 0)
            return
