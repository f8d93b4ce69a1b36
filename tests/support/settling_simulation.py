"""A service that works on items for a while, and a client that asks by a schedule, in virtual time.

Everything is given: when items are sent, and how long the service works on each. A listing shows the oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil, exp, inf
from random import Random
from statistics import median

from batch_upload.pacing.settling import SettlingLook, SettlingSchedule

PAGE_SIZE = 100
IDS_A_CALL = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """A batch: `processing_s` of each item, sent `rate` a second. `others`: attachments that the lane held before.
    `remembers_pages`: the client goes on with the page of a listing where it has seen an item, or where the last ended.

    `latency_s` is the time of one call there and back. Calls to ask with have exponential jitter of scale `jitter_s` on
    each way, and are `call_s` apart at least.
    """

    processing_s: Sequence[float]
    rate: float
    latency_s: float = 0.15
    call_s: float = 1.0
    others: int = 0
    remembers_pages: bool = True
    jitter_s: float = 0.0
    timeout_s: float = 900.0

    @property
    def ends_at(self) -> float:
        """When the service has finished with the last item that ends at all."""
        ended = (self.made_at(number) + each for number, each in enumerate(self.processing_s) if each < inf)
        return max(ended, default=0.0)

    def made_at(self, number: int) -> float:
        return number / self.rate + self.latency_s / 2

    def answered_at(self, number: int) -> float:
        return number / self.rate + self.latency_s


@dataclass(slots=True)
class Settled:
    """What came of it. Times since the first create was sent."""

    calls_at: list[float] = field(default_factory=list)
    looks_at: list[float] = field(default_factory=list)
    seen_at: dict[int, float] = field(default_factory=dict)

    @property
    def last_at(self) -> float:
        return max(self.seen_at.values())


class Simulation:
    """One run to its end: everything seen finished, or `timeout_s` after the last create."""

    def __init__(self, setting: Setting, schedule: SettlingSchedule | None = None) -> None:
        self.setting = setting
        self.schedule = schedule or SettlingSchedule(ids_a_call=IDS_A_CALL)
        self.settled = Settled()
        self.now = 0.0
        self._told = 0  # creates that were reported
        self._slot_at = self._arrived_at = 0.0
        self._random = Random(len(setting.processing_s))
        self._count = len(setting.processing_s)
        self._page_of: dict[str, int] = {}
        self._tail = setting.others // PAGE_SIZE if setting.remembers_pages else 0

    def run(self) -> Settled:
        setting, schedule = self.setting, self.schedule
        until = setting.answered_at(self._count - 1) + setting.timeout_s
        while self._told < self._count or schedule.watched:
            sent_at = setting.answered_at(self._told) if self._told < self._count else inf
            at = schedule.next_look(self.now, pages=self._pages(), call_s=setting.call_s)
            if min(at, sent_at) >= until:
                break
            if at < sent_at:
                self.now = max(self.now, at)
                self._look(schedule.look(self.now, pages=self._pages(), call_s=setting.call_s))
            else:
                self._advance(max(self.now, sent_at))
        return self.settled

    def _advance(self, until: float) -> None:
        """Go on to a moment, and report the creates that are answered until then."""
        setting = self.setting
        while self._told < self._count and (at := setting.answered_at(self._told)) <= until:
            self.now = max(self.now, at)
            self._told += 1
            self.schedule.sent(self.now, str(self._told - 1))
            left = self._count - self._told
            self.schedule.expect(left, self.now + left / setting.rate)
        self.now = until

    def _look(self, look: SettlingLook) -> None:
        """Ask as a client does: pages, then by id what was due and not shown; or by id alone."""
        self.settled.looks_at.append(self.now)
        calls, shown = 0, set[str]()
        wanted = {self._page_of.get(item, self._tail) for item in look.ids} if look.pages else set[int]()
        for page in sorted(wanted):
            is_last = self.setting.remembers_pages and page != self._tail
            is_first = True
            while is_first or not is_last:
                is_first = False
                made_before = self._call()
                first = page * PAGE_SIZE - self.setting.others
                numbers = range(max(0, first), max(0, first + PAGE_SIZE))
                ids = [str(number) for number in numbers if number < made_before]
                self._page_of.update(dict.fromkeys(ids, page) if self.setting.remembers_pages else {})
                self._show(ids)
                shown |= set(ids)
                calls += 1
                is_last = is_last or first + PAGE_SIZE >= made_before
                if first + PAGE_SIZE < made_before:
                    page += 1
            self._tail = max(self._tail, page) if self.setting.remembers_pages else 0
        left = [item for item in look.ids if item not in shown]
        for start in range(0, len(left), IDS_A_CALL):
            self._call()
            self._show(left[start : start + IDS_A_CALL])
            calls += 1
        self.schedule.looked(self.now, calls)

    def _call(self) -> int:
        """Send one call in its slot and wait for the answer. Return how many items had been made when it arrived."""
        at = max(self.now, self._slot_at)
        self._slot_at = at + self.setting.call_s
        self.settled.calls_at.append(at)
        way_s, jitter_s = self.setting.latency_s / 2, self.setting.jitter_s
        out_s, back_s = ((way_s + self._random.expovariate(1 / jitter_s) if jitter_s else way_s) for _ in range(2))
        self._arrived_at = arrived_at = at + out_s
        self._advance(arrived_at + back_s)
        return min(self._count, max(0, ceil((arrived_at - self.setting.latency_s / 2) * self.setting.rate)))

    def _show(self, ids: Sequence[str]) -> None:
        arrived_at = self._arrived_at
        for item in ids:
            number = int(item)
            if number in self.settled.seen_at:
                continue
            if self.setting.made_at(number) + self.setting.processing_s[number] <= arrived_at:
                if number < self._told:  # what is not known to be ours is not taken in
                    self.settled.seen_at[number] = self.now
                    self.schedule.seen_finished(self.now, item)
            else:
                self.schedule.seen_processing(self.now, item)

    def _pages(self) -> int:
        last = (self.setting.others + self._told - 1) // PAGE_SIZE
        watched = (str(number) for number in range(self._told) if number not in self.settled.seen_at)
        pages = {page for page in (self._page_of.get(item) for item in watched) if page is not None}
        return max(1, len(pages | set(range(self._tail, last + 1))))


BATCHES = ((25, 1.0), (160, 1.0), (1_000, 20.0))
SEEDS = 9


def processing_times(kind: str, count: int, random: Random) -> list[float]:
    """How long the service works on each item, for a kind of service: constant, log-normal, or one item that hangs."""
    match kind.split():
        case [seconds, "s"]:
            return [float(seconds)] * count
        case ["about", seconds, "s"]:
            return [float(seconds) * exp(random.gauss(0, 0.5)) for _ in range(count)]
        case _:
            return [inf if number == count // 3 else 2.0 for number in range(count)]


KINDS = ("0.2 s", "2 s", "10 s", "60 s", "about 2 s", "about 10 s", "2 s, one never")


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one kind of batch over all seeds: seconds past the end, median and most, and the most calls."""

    count: int
    rate: float
    kind: str
    late_median_s: float
    late_max_s: float
    calls_sending: int
    calls_after: int

    def __str__(self) -> str:
        return (
            f"| {self.count:,} at {self.rate:g}/s | {self.kind} | {self.late_median_s:.1f} s | {self.late_max_s:.1f} s"
            f" | {self.calls_sending} | {self.calls_after} |"
        )


@cache
def measured(count: int, rate: float, kind: str) -> Row:
    """Run one kind of batch with each seed: latency 100 to 200 ms, a rate up to a tenth above the given one."""
    late_s, sending, after = list[float](), list[int](), list[int]()
    for seed in range(SEEDS):
        random = Random(seed)
        setting = Setting(
            processing_times(kind, count, random),
            rate * random.uniform(1.0, 1.1),
            latency_s=random.uniform(0.1, 0.2),
            jitter_s=0.03,
            others=random.choice((0, 3_050)),
        )
        settled = Simulation(setting).run()
        last_sent_at = setting.answered_at(count - 1)
        late_s.append(settled.last_at - setting.ends_at)
        sending.append(sum(at < last_sent_at for at in settled.calls_at))
        after.append(len(settled.calls_at) - sending[-1])
    return Row(count, rate, kind, median(late_s), max(late_s), max(sending), max(after))


def table() -> str:
    """The figures as Markdown."""
    head = "| batch | processing | past the end, median | most | calls while sending | calls after, in 15 minutes |"
    rows = [str(measured(count, rate, kind)) for count, rate in BATCHES for kind in KINDS]
    return "\n".join((head, "|---|---|---|---|---|---|", *rows))
