"""The command's own upload, whose every step is a point where it may be killed.

The steps, in each lane: before and after each write of the ledger, before each request leaves, and after its answer
has come.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import anyio

from batch_upload.app.items import LanePart, ready
from batch_upload.app.lane import Reached
from batch_upload.app.lane_run import RunScope
from batch_upload.app.observers import Silent
from batch_upload.app.upload import RunResult, UploadLane, UploadSession
from batch_upload.cli.flags import Flags, options_of
from batch_upload.ports import LedgerWriter
from batch_upload.service.client import AwsService

WRITES = frozenset(
    {"pin", "begin_run", "enlist", "intend", "conclude", "fail", "park", "observe", "adopt"}
    | {"absent", "undecided", "retagged", "remember", "listed", "learn", "end_run"}
    | {"intend_bind", "conclude_bind", "rebind", "deny", "remember_field_definitions"}
)
REQUESTS = frozenset(
    {"create", "describe", "page", "tags", "capacity", "tag", "untag"}
    | {"registrations", "field_definitions", "field_contents", "put_field"}
)


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


class SteppedLane(UploadLane):
    """One lane's part of an upload by steps."""

    def __init__(self, scope: RunScope, part: LanePart, points: Passing) -> None:
        super().__init__(scope, part)
        self._points = points

    async def work(self, ledger: LedgerWriter, reached: Reached) -> RunResult:
        writer = cast(LedgerWriter, Stepped(ledger, WRITES, self._points))
        service = cast(AwsService, Stepped(reached.service, REQUESTS, self._points))
        return await super().work(writer, replace(reached, service=service))


def upload_step_by_step(argv: Sequence[str], points: Passing) -> int:
    """Run `upload MANIFEST --rate R --concurrency N --safe-horizon D` by steps, and return its exit code."""
    _, manifest, *words = argv
    named = dict(zip(words[::2], words[1::2], strict=True))
    options = options_of(
        Flags(
            rate=named.get("--rate"), concurrency=named.get("--concurrency"), safe_horizon=named.get("--safe-horizon")
        )
    )

    class SteppedSession(UploadSession):
        def lane_run(self, scope: RunScope, part: LanePart) -> SteppedLane:
            return SteppedLane(scope, part, points)

    async def run() -> RunResult:
        prepared, settings = ready(Path(manifest), options)
        return await SteppedSession(prepared, settings, Silent(), read=lambda: (prepared, settings)).run()

    return int(anyio.run(run).summary.exit.code)
