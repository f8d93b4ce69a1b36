"""A plan for people: what would be done for each item and why, and what all of it would take."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TextIO

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.escape import printable, write_text
from batch_upload.model import Capacity
from batch_upload.operations import CREATE, DESCRIBE, LIST_TAGS, PUT_FIELD, TAG
from batch_upload.report.estimate import BINDS_PER_S, creates_within, describes, run_s, useful_workers
from batch_upload.report.ndjson import made_line
from batch_upload.report.progress import is_left_processing
from batch_upload.words import aligned_lines, count_words, duration_words, rate_words, size_words

LANES_NAMED = 5
"""Lanes without room that are named below the table; the table itself has a row for each lane."""
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
    ActionKind.BIND: "to put into a field",
    ActionKind.PARKED: "parked",
    ActionKind.FAILED: "failed for good",
    ActionKind.ORPHAN: "orphaned",
    ActionKind.UNCHANGED: "unchanged",
    ActionKind.INVALID: "invalid",
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
    puts: int = 0
    """Attachments that are put into fields, those among them that are uploaded first."""

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
    registration_reads: Mapping[str, int] = MappingProxyType({}),
    puts_per_s: float = BINDS_PER_S,
) -> PlanTotals:
    """Add a plan up, for a rate above 0 and the capacity that the account has, or None where it is not known.

    `latency_s` is how long a create takes, where that is known; `concurrency` how many may be in flight; `deadline_s`
    in how many seconds nothing new may leave; `look` is what comes before the first create. `registration_reads` are
    the calls that look at registrations, by operation; `puts_per_s` is the rate at which fields are filled.
    """
    creating = plan.of(ActionKind.CREATE, ActionKind.REPLACE)
    fitting = creating if capacity is None else creating[: capacity.left]
    creates, retags = len(fitting), len(plan.of(ActionKind.RETAG))
    watched = creates + sum(is_left_processing(action) for action in plan.actions)
    lane_size = creates + (0 if capacity is None else capacity.used)  # at the end, as far as that is known
    pages, tag_reads, look_s = (0, 0, 0.0) if look is None else (look.pages, look.tag_reads, look.time_s)
    puts = sum(_is_put(each) for each in plan.actions if each.kind not in (ActionKind.CREATE, ActionKind.REPLACE))
    puts += sum(map(_is_put, fitting))
    calls = {CREATE: creates, TAG: retags, DESCRIBE: describes(watched, lane_size) + pages, LIST_TAGS: tag_reads}
    calls |= {PUT_FIELD: puts, **registration_reads}
    return PlanTotals(
        counts=plan.counts,
        creates=creates,
        cut=len(creating) - creates,
        calls={name: count for name, count in calls.items() if count},
        bytes_to_send=sum(_size_of(action) or 0 for action in fitting),
        urls=sum(_size_of(action) is None for action in fitting),
        rate_per_s=rate_per_s,
        time_s=look_s + run_s(creates, watched, rate_per_s, lane_size=lane_size, binds=puts, binds_per_s=puts_per_s),
        capacity=capacity,
        latency_s=latency_s,
        concurrency=concurrency,
        deadline_s=deadline_s,
        look=look,
        puts=puts,
    )


def totals_lines(totals: PlanTotals, *, verbose: bool = False) -> list[str]:
    """Return the totals; how many requests at once are needed only if `verbose`, or where that slows the run."""
    counts = [f"{totals.counts[kind]:,} {word}" for kind, word in _COUNT_WORDS.items() if totals.counts.get(kind)]
    calls = ", ".join(f"{count:,} {name}" for name, count in totals.calls.items())
    urls = f", and {count_words(totals.urls, 'URL')} of unknown size" if totals.urls else ""
    lines = [
        ", ".join(counts) or "nothing to do",
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


@dataclass(frozen=True, slots=True)
class LaneTotals:
    """What the plan of one lane of several would take."""

    label: str
    totals: PlanTotals


def lane_plan_lines(lanes: Sequence[LaneTotals]) -> Iterator[str]:
    """Return lanes against actions in aligned columns, header first, in the order given; the last row has the sums.

    A column is left out where no lane has such an action. Empty without a lane.
    """
    rows = _lane_plan_rows(lanes)
    return aligned_lines(rows, is_last_right=True)


def write_lane_plans(lanes: Sequence[LaneTotals], stream: TextIO) -> None:
    """Write the table of the lanes and what all of them take: drawn on a terminal, in plain columns elsewhere."""
    rows = _lane_plan_rows(lanes)
    if rows and stream.isatty() and len(rows) <= DRAWN_ROWS_MAX:
        from batch_upload.report.console import draw_table, terminal_console  # heavy, and only for a terminal

        draw_table(terminal_console(stream), rows[0], rows[1:])
    else:
        write_text(stream, lane_plan_lines(lanes))
    write_text(stream, lane_totals_lines(lanes))


def lane_totals_lines(lanes: Sequence[LaneTotals]) -> list[str]:
    """Return what all lanes take together. They run at the same time, so the slowest lane's time is that of all."""
    if not lanes:
        return ["nothing to do"]
    counts = _summed_counts(lanes)
    calls = ", ".join(f"{count:,} {name}" for name, count in _summed_calls(lanes).items())
    urls = sum(lane.totals.urls for lane in lanes)
    of_urls = f", and {count_words(urls, 'URL')} of unknown size" if urls else ""
    slowest = max(lanes, key=lambda lane: lane.totals.time_s)
    time = _time_words(slowest.totals)
    if len(lanes) > 1 and (slowest.totals.creates or slowest.totals.puts):
        time = f"{time}, in the slowest lane, {printable(slowest.label)}"
    lines = [
        ", ".join(f"{counts[kind]:,} {word}" for kind, word in _COUNT_WORDS.items() if counts[kind]) or "nothing to do",
        f"calls: at least {calls}" if calls else "calls: none",
        f"bytes: {size_words(sum(lane.totals.bytes_to_send for lane in lanes))}{of_urls}",
        f"time: {time}",
    ]
    late = [lane for lane in lanes if lane.totals.late]
    if late and (deadline_s := late[0].totals.deadline_s) is not None:
        missed = sum(lane.totals.late for lane in late)
        where = f"{missed:,} creates in {count_words(len(late), 'lane')} leave after it, with the next run"
        lines.append(f"deadline: in {duration_words(deadline_s)}, {where}")
    short = [lane for lane in lanes if lane.totals.cut]
    for lane in short[:LANES_NAMED]:
        fits = f"room for {lane.totals.creates:,} of {lane.totals.creates + lane.totals.cut:,}"
        lines.append(f"capacity of {printable(lane.label)}: {fits}, the other {lane.totals.cut:,} will be parked")
    if len(short) > LANES_NAMED:
        lines.append(f"and {count_words(len(short) - LANES_NAMED, 'more lane')} without room for all")
    return lines


def lane_totals_json(lanes: Sequence[LaneTotals]) -> dict[str, Any]:
    """Return the line `{"event": "totals", …}` of all lanes: sums, and the time of the slowest.

    `capacity` and `useful_workers`, which are of a lane, are null.
    """
    counts, totals = _summed_counts(lanes), [lane.totals for lane in lanes]
    return made_line(
        "totals",
        actions={kind.value: counts[kind] for kind in ActionKind},
        creates=sum(each.creates for each in totals),
        cut_by_capacity=sum(each.cut for each in totals),
        cut_by_deadline=sum(each.late for each in totals),
        calls=dict(_summed_calls(lanes)),
        bytes=sum(each.bytes_to_send for each in totals),
        rate=sum(each.rate_per_s for each in totals),
        time_s=round(max((each.time_s for each in totals), default=0.0), 3),
        look_s=round(max((each.look.time_s for each in totals if each.look is not None), default=0.0), 3),
        useful_workers=None,
        capacity=None,
    )


def _lane_plan_rows(lanes: Sequence[LaneTotals]) -> list[tuple[str, ...]]:
    if not lanes:
        return []
    counts = _summed_counts(lanes)
    kinds = [kind for kind in ActionKind if counts[kind]]
    rows = [("lane", *(kind.value for kind in kinds), "calls", "time")]
    for lane in lanes:
        each = lane.totals
        numbers = (*(each.counts.get(kind, 0) for kind in kinds), sum(each.calls.values()))
        time = duration_words(each.time_s) if each.calls else "none"
        rows.append((printable(lane.label), *(f"{number:,}" for number in numbers), time))
    if len(lanes) > 1:
        slowest_s, calls = max(lane.totals.time_s for lane in lanes), _summed_calls(lanes)
        sums = (*(counts[kind] for kind in kinds), calls.total())
        time = duration_words(slowest_s) if calls else "none"
        rows.append(("all lanes", *(f"{number:,}" for number in sums), time))
    return rows


def _summed_counts(lanes: Sequence[LaneTotals]) -> Counter[ActionKind]:
    return sum((Counter(lane.totals.counts) for lane in lanes), Counter[ActionKind]())


def _summed_calls(lanes: Sequence[LaneTotals]) -> Counter[str]:
    return sum((Counter(lane.totals.calls) for lane in lanes), Counter[str]())


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


def _is_put(action: Action) -> bool:
    """Return whether a run puts the item's attachment into a field, perhaps after it was created or resolved."""
    item, known = action.item, action.known
    if item is None or item.bind is None:
        return False
    if action.kind is ActionKind.RETAG:
        return known is None or known.bound_to != item.bind
    kinds = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.BIND)
    return action.kind in kinds or is_left_processing(action)


def _size_of(action: Action) -> int | None:
    return None if action.item is None else action.item.size_bytes


def _time_words(totals: PlanTotals) -> str:
    look, look_words = totals.look, ""
    if look is not None and look.time_s >= LOOK_SHOWN_S:
        count = "the attachments" if look.attachments is None else count_words(look.attachments, "attachment")
        look_words = f"{duration_words(look.time_s)} to look through {count} of the account first"
    if not totals.creates:
        words = "none for uploads"
        if totals.puts:
            fields = "its field" if totals.puts == 1 else "their fields"
            put = f"to put {count_words(totals.puts, 'attachment')} into {fields}"
            words = f"{words}, about {duration_words(totals.time_s)} {put}"
        return f"{words}, {look_words}" if look_words else words
    included = "statuses and fields" if totals.puts else "statuses"
    words = f"about {duration_words(totals.time_s)} at {rate_words(totals.rate_per_s)}, {included} included"
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
