"""The page of a manifest with `targets`: the pages of its lanes on one board."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from batch_upload.app.lanes import of_target
from batch_upload.app.ledger_view import LedgerView
from batch_upload.model import State
from batch_upload.ports import LedgerReader
from batch_upload.records import Mark
from batch_upload.report.ndjson import LaneRef, lane_ref
from batch_upload.report.page.board import Board
from batch_upload.report.page.causes import joint_causes
from batch_upload.report.page.head import ActiveRun, LaneHead, joint_timelines
from batch_upload.report.summary_text import Invocation
from batch_upload.watch.page import LIMITS, RUNS_MAX, Page, PageLimits

HOLDERS_NAMED = 3
"""Processes that the page of several lanes names, where several hosts share the ledger."""
PageOfLane = tuple[LaneRef, LedgerView, LedgerReader | None]
"""A lane, what the ledger holds for its items, and a reader of the lane; no reader before its first run."""


@dataclass(slots=True)
class LanesPage:
    """The page of a manifest with `targets`: the pages of its lanes on one board. For one thread at a time."""

    pages: Sequence[Page]
    board: Board
    invocation: Invocation
    is_held: bool = False
    """Whether a process held the ledger when the head was made."""

    @staticmethod
    def of(
        lanes: Sequence[PageOfLane],
        invocation: Invocation,
        *,
        at: datetime,
        after_revision: int = 0,
        limits: PageLimits = LIMITS,
    ) -> "LanesPage":
        """Return the page of at least one lane, in the manifest's order. Each gets an equal share of the limits."""
        board = Board(after_revision)
        board.begin_revision()
        invocation = replace(invocation, manifest=lanes[0][1].named)
        share = PageLimits(max(1, limits.items // len(lanes)), max(1, limits.attempts // len(lanes)))
        pages = []
        for place, (lane, found, reader) in enumerate(lanes):
            pages.append(Page(found, invocation, share, board, lane, place))
            pages[-1].fill(reader)
        page = LanesPage(pages, board, invocation)
        page._make_head([reader for _, _, reader in lanes], at)
        return page

    @property
    def states(self) -> Counter[str]:
        """The items of all lanes by state."""
        return sum((page.states for page in self.pages), Counter[str]())

    def compare_with(self, marks: Sequence[Iterable[Mark]]) -> None:
        """Take only what differs from these marks of each lane as changed, as `Page.compare_with`."""
        for page, each in zip(self.pages, marks, strict=True):
            page.compare_with(each)

    def keep_up(self, readers: Sequence[LedgerReader | None], at: datetime) -> bool:
        """Show what has changed in any lane, as `Page.keep_up`. `readers` are in the order of the lanes."""
        changes = [
            None if reader is None else (page, reader, *page.changed(reader))
            for page, reader in zip(self.pages, readers, strict=True)
        ]
        if any(page.has_new_token(known) for page, _, _, known in filter(None, changes)):
            return False
        self.board.begin_revision()
        for page, reader, marks, known in filter(None, changes):
            page.take(reader, marks, known)
        self._make_head(readers, at)
        return True

    def _make_head(self, readers: Sequence[LedgerReader | None], at: datetime) -> None:
        heads = [page.head(reader, at) for page, reader in zip(self.pages, readers, strict=True)]
        self.is_held = any(page.is_held for page in self.pages)
        lanes = [
            LaneHead(
                page.lane,
                head.states,
                head.people,
                head.runs[0] if head.runs else None,
                denied=head.denied,
                is_running=head.active is not None,
                holder=page.holder,
            )
            for page, head in zip(self.pages, heads, strict=True)
        ]
        first, runs = heads[0], joint_timelines(head.runs for head in heads)
        endpoints = {head.endpoint for head in heads}
        active = [head.active for head in heads if head.active is not None]
        head = replace(
            first,
            batch=", ".join(dict.fromkeys(head.batch for head in heads if head.batch)),
            lane=None,
            endpoint=endpoints.pop() if len(endpoints) == 1 else None,
            states=sum((Counter(head.states) for head in heads), Counter[State]()),
            chosen=sum(head.chosen for head in heads),
            listed=len(self.board),
            attempts_left_out=any(head.attempts_left_out for head in heads),
            causes=joint_causes(head.causes for head in heads),
            runs=runs[:RUNS_MAX],
            more_runs=len(runs) > RUNS_MAX or any(head.more_runs for head in heads),
            active=None,
            pace=None,
            lanes=lanes,
        )
        if active:
            left_s = max((each.left_s for each in active if each.left_s is not None), default=None)
            left, rate = sum(each.left for each in active), sum(each.rate for each in active if each.left)
            binds = sum(each.binds for each in active)
            who = list(dict.fromkeys(each.holder for each in active))
            others = [f"{len(who) - HOLDERS_NAMED} more"] if len(who) > HOLDERS_NAMED else []
            named = " · ".join([*who[:HOLDERS_NAMED], *others])
            head = replace(head, active=ActiveRun(active[0].run_id, named, left, rate, left_s, binds))
        self.board.head = head.as_json(self.invocation)


def pages_of_lanes(found: Sequence[LedgerView], reader: LedgerReader | None) -> list[PageOfLane]:
    """Return the lanes of a manifest as `LanesPage.of` takes them; `reader` reads the whole ledger.

    Of a ledger alone with several batches, each batch of a lane is shown as a lane of its own.
    """
    has_batches = len({each.manifest.batch for each in found}) > 1
    pages: list[PageOfLane] = []
    for each in found:
        lane = lane_ref(each.target, each.lane)
        if has_batches:
            lane = replace(lane, target=f"{each.target.label or each.lane or 'no lane'} · {each.manifest.batch}")
        pages.append((lane, each, None if reader is None else of_target(reader, each.target)))
    return pages
