"""One upload put together from the command's own parts, whose every step is a point where it may be killed.

The steps: before and after each write of the ledger, before each request leaves, and after its answer has come.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import anyio

from batch_upload.app.items import Prepared, ready
from batch_upload.app.lane import lane_context, reach
from batch_upload.cli.flags import Flags, options_of
from batch_upload.clock import SystemClock
from batch_upload.documents.bodies import DocumentReader
from batch_upload.engine.run import LaneOptions, Run
from batch_upload.engine.tally import Tally
from batch_upload.ledger import open_ledger
from batch_upload.ports import AttachmentService, LedgerWriter
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.summary import new_run_id

WRITES = frozenset(
    {"pin", "begin_run", "enlist", "intend", "conclude", "fail", "park", "observe", "adopt"}
    | {"absent", "undecided", "retagged", "remember", "listed", "learn", "end_run"}
)
REQUESTS = frozenset({"create", "describe", "page", "tags", "capacity", "tag", "untag"})


class Passing(Protocol):
    """Whoever counts the steps."""

    def passed(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stepped:
    """Something whose named methods have a step before and one after, also where they fail."""

    inner: object
    names: frozenset[str]
    points: Passing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner one has
        method = getattr(self.inner, name)
        return self._stepped(name, method) if name in self.names else method

    def _stepped(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def stepped(*arguments: object, **named: object) -> object:
            self.points.passed(f"before {name}")
            try:
                return await method(*arguments, **named)
            finally:
                self.points.passed(f"after {name}")

        return stepped


def upload_step_by_step(argv: Sequence[str], points: Passing) -> int:
    """`upload MANIFEST --rate R --concurrency N --safe-horizon D` by steps; 0 where everything is complete, else 10."""
    _, manifest, *words = argv
    named = dict(zip(words[::2], words[1::2], strict=True))
    flags = Flags(
        rate=named.get("--rate"), concurrency=named.get("--concurrency"), safe_horizon=named.get("--safe-horizon")
    )
    path = Path(manifest)
    prepared = ready(path, RunOptions(rehash=True))[0]
    settings = settings_of(options_of(flags), manifest=path)
    return anyio.run(_upload, prepared, settings, points)


async def _upload(prepared: Prepared, settings: Settings, points: Passing) -> int:
    clock, tally = SystemClock(), Tally()
    run_id = new_run_id(clock.now())
    ledger = await open_ledger(settings.ledger, run_id=run_id, clock=clock)
    try:
        stepped = cast(LedgerWriter, Stepped(await ledger.writer(), WRITES, points))
        async with reach(settings, tally) as reached:
            bodies = DocumentReader().bodies(prepared.manifest.folder)  # its threads end with the process
            context = lane_context(reached, settings, stepped, tally, run_id=run_id)
            service = cast(AttachmentService, Stepped(context.service, REQUESTS, points))
            options = LaneOptions(
                batch=prepared.manifest.batch,
                concurrency=settings.concurrency,
            )
            run = Run(
                replace(context, service=service),
                bodies,
                lane=reached.lane,
                endpoint=reached.service.endpoint,
                options=options,
            )
            result = await run.run(prepared.items)
            await stepped.end_run(run_id, exit_code=0, summary={}, at=clock.now())
    finally:
        await ledger.close()
    return 0 if {state.value for state in result.states.values()} <= {"complete"} else 10
