"""A plan for people: what would be done for each item and why, and what all of it would take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from batch_upload.escape import printable, write_text
from batch_upload.model import Action, ActionKind, Capacity, Plan
from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS, TAG
from batch_upload.report.estimate import creates_within, describes, run_s, useful_workers
from batch_upload.report.ndjson import made_line
from batch_upload.report.progress import is_left_processing
from batch_upload.words import aligned_lines, count_words, duration_words, rate_words, size_words

DRAWN_ROWS_MAX = 2_000
"""A drawn table is laid out as a whole; beyond this plain lines are written instead."""
LOOK_SHOWN_S = 2.0
"""A look through the lane that takes less is not mentioned."""

_PLAN_TITLES = ("action", "id", "reason", "size")
_COUNT_WORDS: Mapping[ActionKind, str] = {
    ActionKind.CREATE: "to create",
    ActionKind.REPLACE: "to replace",
    ActionKind.RESOLVE: "to resolve first",
    ActionKind.RETAG: "to tag anew",
    ActionKind.PARKED: "parked",
    ActionKind.FAILED: "failed for good",
    ActionKind.ORPHAN: "orphaned",
    ActionKind.UNCHANGED: "unchanged",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What it takes to look through the lane before the first create. `attachments` is None where it is not known.

    `pages` are describes, `tag_reads` are calls of ListTagsForResource; `time_s` seconds.
    """

    attachments: int | None
    pages: int
    tag_reads: int
    time_s: float


@dataclass(frozen=True, slots=True)
class PlanTotals:
    """What a plan would take. `creates` fit into the capacity, `cut` do not and will be parked.

    `calls` are the fewest possible, by operation. An open outcome that must be resolved may cost one create more.
    """

    counts: Mapping[ActionKind, int]
    creates: int
    cut: int
    calls: Mapping[str, int]
    bytes_to_send: int
    urls: int
    rate_per_s: float
    time_s: float
    capacity: Capacity | None
    latency_s: float | None = None
    concurrency: int | None = None
    deadline_s: float | None = None
    look: Look | None = None

    @property
    def late(self) -> int:
        """Creates that would leave after the deadline."""
        if self.deadline_s is None:
            return 0
        left_s = self.deadline_s - (0.0 if self.look is None else self.look.time_s)
        return max(0, self.creates - creates_within(left_s, self.rate_per_s))

    @property
    def useful_workers(self) -> int | None:
        """How many creates at once help at this rate; None where the latency of a create is not known."""
        return None if self.latency_s is None else useful_workers(self.rate_per_s, self.latency_s)

    def as_json(self) -> dict[str, Any]:
        """Return the line `{"event": "totals", …}` of `plan --json`."""
        capacity = self.capacity
        return made_line(
            "totals",
            actions={kind.value: self.counts.get(kind, 0) for kind in ActionKind},
            creates=self.creates,
            cut_by_capacity=self.cut,
            cut_by_deadline=self.late,
            calls=dict(self.calls),
            bytes=self.bytes_to_send,
            rate=self.rate_per_s,
            time_s=round(self.time_s, 3),
            look_s=0.0 if self.look is None else round(self.look.time_s, 3),
            useful_workers=self.useful_workers,
            capacity=None if capacity is None else {"used": capacity.used, "max": capacity.maximum},
        )


def totals(
    plan: Plan,
    rate_per_s: float,
    capacity: Capacity | None,
    *,
    latency_s: float | None = None,
    concurrency: int | None = None,
    deadline_s: float | None = None,
    look: Look | None = None,
) -> PlanTotals:
    """Add a plan up, for a rate above 0 and the capacity that the account has, or None where it is not known.

    `latency_s` is how long a create takes, where that is known; `concurrency` how many may be in flight; `deadline_s`
    in how many seconds nothing new may leave; `look` is what comes before the first create.
    """
    creating = plan.of(ActionKind.CREATE, ActionKind.REPLACE)
    fitting = creating if capacity is None else creating[: capacity.left]
    creates, retags = len(fitting), len(plan.of(ActionKind.RETAG))
    watched = creates + sum(is_left_processing(action) for action in plan.actions)
    lane_size = creates + (0 if capacity is None else capacity.used)  # at the end, as far as that is known
    pages, tag_reads, look_s = (0, 0, 0.0) if look is None else (look.pages, look.tag_reads, look.time_s)
    calls = {CREATE: creates, TAG: retags, DESCRIBE: describes(watched, lane_size) + pages, LIST_TAGS: tag_reads}
    return PlanTotals(
        counts=plan.counts,
        creates=creates,
        cut=len(creating) - creates,
        calls={name: count for name, count in calls.items() if count},
        bytes_to_send=sum(_size_of(action) or 0 for action in fitting),
        urls=sum(_size_of(action) is None for action in fitting),
        rate_per_s=rate_per_s,
        time_s=look_s + run_s(creates, watched, rate_per_s, lane_size=lane_size),
        capacity=capacity,
        latency_s=latency_s,
        concurrency=concurrency,
        deadline_s=deadline_s,
        look=look,
    )


def totals_lines(totals: PlanTotals, *, verbose: bool = False) -> list[str]:
    """Return the totals; how many requests at once are needed only if `verbose`, or where that slows the run."""
    counts = [f"{totals.counts[kind]:,} {word}" for kind, word in _COUNT_WORDS.items() if totals.counts.get(kind)]
    calls = ", ".join(f"{count:,} {name}" for name, count in totals.calls.items())
    urls = f", and {count_words(totals.urls, 'URL')} of unknown size" if totals.urls else ""
    lines = [
        ", ".join(counts) or "nothing is listed",
        f"calls: at least {calls}" if calls else "calls: none",
        f"bytes: {size_words(totals.bytes_to_send)}{urls}",
        f"time: {_time_words(totals)}",
    ]
    if totals.late and totals.deadline_s is not None:
        within = f"about {totals.creates - totals.late:,} of {totals.creates:,} leave before it"
        rest = f"the other {totals.late:,} with the next run"
        lines.append(f"deadline: in {duration_words(totals.deadline_s)}, {within}, {rest}")
    lines += _workers_lines(totals, verbose=verbose)
    capacity, room = totals.capacity, "not known"
    if capacity is not None:
        room = f"{capacity.used:,} of {capacity.maximum:,} used"
        if totals.cut:
            fits = f"room for {totals.creates:,} of {totals.creates + totals.cut:,}"
            room = f"{room}: {fits}, the other {totals.cut:,} will be parked"
        else:
            room = f"{room}, {capacity.left:,} left"
    return [*lines, f"capacity: {room}"]


def plan_lines(plan: Plan, *, verbose: bool) -> Iterator[str]:
    """Return the actions in aligned columns, header first; unchanged ones only if `verbose`. Empty without a row."""
    rows = _plan_rows(plan, verbose=verbose)
    return aligned_lines([_PLAN_TITLES, *rows] if rows else [], is_last_right=True)


def write_plan(plan: Plan, totals: PlanTotals, stream: TextIO, *, verbose: bool) -> None:
    """Write the table and the totals: drawn on a terminal, in plain columns elsewhere."""
    rows = _plan_rows(plan, verbose=verbose)
    if rows and stream.isatty() and len(rows) <= DRAWN_ROWS_MAX:
        from batch_upload.report.console import draw_table, terminal_console  # heavy, and only for a terminal

        draw_table(terminal_console(stream), _PLAN_TITLES, rows)
    else:
        write_text(stream, plan_lines(plan, verbose=verbose))
    write_text(stream, totals_lines(totals, verbose=verbose))


def _plan_rows(plan: Plan, *, verbose: bool) -> Sequence[Sequence[str]]:
    rows = []
    for action in plan.actions:
        if verbose or action.kind is not ActionKind.UNCHANGED:
            size_bytes = _size_of(action)
            size = "" if size_bytes is None else size_words(size_bytes)
            rows.append((action.kind.value, printable(action.item_id), printable(action.reason), size))
    return rows


def _size_of(action: Action) -> int | None:
    return None if action.item is None else action.item.size_bytes


def _time_words(totals: PlanTotals) -> str:
    look, look_words = totals.look, ""
    if look is not None and look.time_s >= LOOK_SHOWN_S:
        count = "the attachments" if look.attachments is None else count_words(look.attachments, "attachment")
        look_words = f"{duration_words(look.time_s)} to look through {count} of the account first"
    if not totals.creates:
        return f"none for uploads, {look_words}" if look_words else "none for uploads"
    words = f"about {duration_words(totals.time_s)} at {rate_words(totals.rate_per_s)}, statuses included"
    return f"{words}, of which {look_words}" if look_words else words


def _workers_lines(totals: PlanTotals, *, verbose: bool) -> list[str]:
    useful, latency_s, most = totals.useful_workers, totals.latency_s, totals.concurrency
    if useful is None or latency_s is None or most is None or not totals.creates:
        return []
    enough = f"{count_words(useful, 'request')} at once {'is' if useful == 1 else 'are'} enough for"
    line = f"workers: {enough} {rate_words(totals.rate_per_s)}, at {latency_s * 1000:,.0f} ms each"
    if useful <= most:
        return [line] if verbose else []
    return [f"{line}; `--concurrency {most}` allows {rate_words(most / latency_s)}"]
