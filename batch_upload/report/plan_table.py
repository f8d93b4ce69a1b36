"""A plan for people: what would be done for each item and why, and what all of it would take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from batch_upload.escape import printable, write_text
from batch_upload.model import Action, ActionKind, Capacity, Plan
from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS, TAG
from batch_upload.report.estimate import creates_within, describes, run_s, useful_workers
from batch_upload.report.tally import is_left_processing
from batch_upload.summary import SCHEMA_VERSION
from batch_upload.words import count_words, display_width, duration_words, rate_words, size_words

DRAWN_ROWS_MAX = 2_000
"""A drawn table is laid out as a whole; beyond this plain lines are written, as they come."""

LOOK_TOLD_S = 2.0
"""A look through the lane that takes less goes without a word."""

_TITLES = ("action", "id", "reason", "size")
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
_CREATING = (ActionKind.CREATE, ActionKind.REPLACE)


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
        """How many creates would leave after the deadline."""
        if self.deadline_s is None:
            return 0
        left_s = self.deadline_s - (0.0 if self.look is None else self.look.time_s)
        return max(0, self.creates - creates_within(left_s, self.rate_per_s))

    @property
    def useful_workers(self) -> int | None:
        """How many creates at once help at this rate; None where nobody knows how long one takes."""
        return None if self.latency_s is None else useful_workers(self.rate_per_s, self.latency_s)

    def as_json(self) -> dict[str, Any]:
        """The line `{"event": "totals", …}` of `plan --json`."""
        capacity = self.capacity
        return {
            "event": "totals",
            "schema_version": SCHEMA_VERSION,
            "actions": {kind.value: self.counts.get(kind, 0) for kind in ActionKind},
            "creates": self.creates,
            "cut_by_capacity": self.cut,
            "cut_by_deadline": self.late,
            "calls": dict(self.calls),
            "bytes": self.bytes_to_send,
            "rate": self.rate_per_s,
            "time_s": round(self.time_s, 3),
            "look_s": 0.0 if self.look is None else round(self.look.time_s, 3),
            "useful_workers": self.useful_workers,
            "capacity": None if capacity is None else {"used": capacity.used, "max": capacity.maximum},
        }


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
    creating = plan.of(*_CREATING)
    fitting = creating if capacity is None else creating[: capacity.left]
    look_s = 0.0 if look is None else look.time_s
    left_processing = sum(is_left_processing(action) for action in plan.actions)
    return PlanTotals(
        counts=plan.counts,
        creates=len(fitting),
        cut=len(creating) - len(fitting),
        calls=_calls(len(fitting), left_processing, len(plan.of(ActionKind.RETAG)), capacity, look),
        bytes_to_send=sum(_size_of(action) or 0 for action in fitting),
        urls=sum(_size_of(action) is None for action in fitting),
        rate_per_s=rate_per_s,
        time_s=look_s
        + run_s(len(fitting), len(fitting) + left_processing, rate_per_s, lane_size=_lane_size(len(fitting), capacity)),
        capacity=capacity,
        latency_s=latency_s,
        concurrency=concurrency,
        deadline_s=deadline_s,
        look=look,
    )


def totals_lines(totals: PlanTotals, *, verbose: bool = False) -> list[str]:
    """The totals, a line each; how many requests at once are needed only if `verbose`, or where that slows the run."""
    return [
        _counts_line(totals.counts),
        f"calls: {_calls_words(totals.calls)}",
        f"bytes: {_bytes_words(totals)}",
        f"time: {_time_words(totals)}",
        *_deadline_lines(totals),
        *_workers_lines(totals, verbose=verbose),
        f"capacity: {_capacity_words(totals)}",
    ]


def plan_lines(plan: Plan, *, verbose: bool) -> Iterator[str]:
    """The actions in aligned columns, header first; the unchanged ones only if `verbose`. Nothing without a row."""
    shown = _shown(plan, verbose=verbose)
    if not shown:
        return
    rows = [_TITLES, *(_cells(action) for action in shown)]
    widths = [max(display_width(row[column]) for row in rows) for column in range(len(_TITLES))]
    for row in rows:
        yield _aligned(row, widths)


def write_plan(plan: Plan, totals: PlanTotals, stream: TextIO, *, verbose: bool) -> None:
    """Write the table and the totals: drawn on a terminal, in plain columns elsewhere."""
    shown = _shown(plan, verbose=verbose)
    if shown and stream.isatty() and len(shown) <= DRAWN_ROWS_MAX:
        _draw(shown, stream)
    else:
        write_text(stream, plan_lines(plan, verbose=verbose))
    write_text(stream, totals_lines(totals, verbose=verbose))


def _draw(shown: Sequence[Action], stream: TextIO) -> None:
    from batch_upload.report.console import draw_table, terminal_console

    draw_table(terminal_console(stream), _TITLES, [_cells(action) for action in shown])


def _shown(plan: Plan, *, verbose: bool) -> Sequence[Action]:
    return plan.actions if verbose else [each for each in plan.actions if each.kind is not ActionKind.UNCHANGED]


def _cells(action: Action) -> tuple[str, ...]:
    size_bytes = _size_of(action)
    size = "" if size_bytes is None else size_words(size_bytes)
    return (action.kind.value, printable(action.item_id), printable(action.reason), size)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    *texts, size = row
    padded = [text + " " * (width - display_width(text)) for text, width in zip(texts, widths, strict=False)]
    return "  ".join([*padded, size.rjust(widths[-1])]).rstrip()


def _size_of(action: Action) -> int | None:
    return None if action.item is None else action.item.size_bytes


def _calls(
    creates: int, left_processing: int, retags: int, capacity: Capacity | None, look: Look | None
) -> dict[str, int]:
    calls = {name: count for name, count in ((CREATE, creates), (TAG, retags)) if count}
    watched = creates + left_processing
    if watched:
        calls[DESCRIBE] = describes(watched, _lane_size(creates, capacity))
    if look is not None:
        calls[DESCRIBE] = calls.get(DESCRIBE, 0) + look.pages
        if look.tag_reads:
            calls[LIST_TAGS] = look.tag_reads
    return calls


def _lane_size(creates: int, capacity: Capacity | None) -> int:
    """How many attachments the lane holds at the end, as far as that is known."""
    return creates + (0 if capacity is None else capacity.used)


def _counts_line(counts: Mapping[ActionKind, int]) -> str:
    words = [f"{counts[kind]:,} {word}" for kind, word in _COUNT_WORDS.items() if counts.get(kind)]
    return ", ".join(words) or "nothing is listed"


def _calls_words(calls: Mapping[str, int]) -> str:
    return f"at least {', '.join(f'{count:,} {name}' for name, count in calls.items())}" if calls else "none"


def _bytes_words(totals: PlanTotals) -> str:
    unseen = f", and {count_words(totals.urls, 'URL')} of unknown size" if totals.urls else ""
    return f"{size_words(totals.bytes_to_send)}{unseen}"


def _time_words(totals: PlanTotals) -> str:
    look = _look_words(totals.look)
    if not totals.creates:
        return f"none for uploads, {look}" if look else "none for uploads"
    duration, rate = duration_words(totals.time_s), rate_words(totals.rate_per_s)
    words = f"about {duration} at {rate}, statuses included"
    return f"{words}, of which {look}" if look else words


def _look_words(look: Look | None) -> str:
    if look is None or look.time_s < LOOK_TOLD_S:
        return ""
    count = "the attachments" if look.attachments is None else count_words(look.attachments, "attachment")
    return f"{duration_words(look.time_s)} to look through {count} of the account first"


def _deadline_lines(totals: PlanTotals) -> list[str]:
    if not totals.late or totals.deadline_s is None:
        return []
    within = totals.creates - totals.late
    words = f"about {within:,} of {totals.creates:,} leave before it, the other {totals.late:,} with the next run"
    return [f"deadline: in {duration_words(totals.deadline_s)}, {words}"]


def _workers_lines(totals: PlanTotals, *, verbose: bool) -> list[str]:
    useful, latency_s, most = totals.useful_workers, totals.latency_s, totals.concurrency
    if useful is None or latency_s is None or most is None or not totals.creates:
        return []
    enough = f"{count_words(useful, 'request')} at once {'is' if useful == 1 else 'are'} enough for"
    told = f"workers: {enough} {rate_words(totals.rate_per_s)}, at {latency_s * 1000:,.0f} ms each"
    if useful <= most:
        return [told] if verbose else []
    return [f"{told}; `--concurrency {most}` allows {rate_words(most / latency_s)}"]


def _capacity_words(totals: PlanTotals) -> str:
    capacity = totals.capacity
    if capacity is None:
        return "not known"
    used = f"{capacity.used:,} of {capacity.maximum:,} used"
    if not totals.cut:
        return f"{used}, {capacity.left:,} left"
    planned = totals.creates + totals.cut
    return f"{used}: room for {totals.creates:,} of {planned:,}, the other {totals.cut:,} will be parked"
