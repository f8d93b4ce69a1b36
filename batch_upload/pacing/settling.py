"""When to ask whether the service has finished with what was sent: soon after the last has ended, seldom until then.

A service takes a request, works on it for an unknown time, and has to be asked when it is done. The schedule learns
that time from what finishes while requests are still sent. Pure: times are seconds of a monotonic clock, handed in, and
never go back. What it costs and what it gains was measured: docs/pacing-library.md, "When will it be done".
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf
from typing import NamedTuple

FIRST_AGE_S = 1.0
"""Age at which an item is asked for first while nothing is known about the time that one takes."""
SPACING_S = 5.0
"""While requests are still sent, a call for each so many seconds: the end is not near yet."""
CALL_WORTH = 50
"""Calls come sooner where each of them can show so many finished items: half of a page of 100."""
QUICK_S = 0.5
"""The least time between two looks."""
LATE_SHARE = 0.2
"""The pause before an item that is late is asked for again, as a part of its lateness: 15 minutes cost 35 looks."""
LATE_TOGETHER_S = 1.0
"""Late items that are due within so many seconds are asked for together."""
USUAL_SHARE = 0.9
"""The part of all items that are finished at the age that counts as the usual one."""
MID_FROM_S = 0.25
"""A look is moved to learn more as long as the usual age is known less exactly than this."""
COHORT_MAX = 128
"""Items of one look that teach: enough to tell 9 of 10."""
OBSERVATIONS_MAX = 512
"""Observations that the usual age is estimated from, the latest: at least four looks."""
COHORT_AGES = 4
"""What is older than so many usual ages teaches no more: it would only hide what changes."""


class SettlingLook(NamedTuple):
    """What to ask for. `pages`: list, in so many calls as far as is known; 0: ask for `ids`, in this order.

    With a listing, `ids` are those that it should show.
    """

    ids: tuple[str, ...]
    pages: int


@dataclass(slots=True, eq=False)
class _SentItem:
    """Something sent and not finished, and then what it teaches. `due_at` is for late ones only.

    `is_news`: whether the present look has shown it. `is_old`: it was sent before `sent_at`, at an unknown time.
    """

    sent_at: float
    seen_at: float | None = None
    due_at: float = inf
    is_finished: bool = False
    is_news: bool = False
    is_old: bool = False


class SettlingSchedule:
    """When to look, and at what. Report every item and every look; each report may change the answers.

    While requests are still sent, a call is made each SPACING_S, or sooner where each can show CALL_WORTH that ended.
    After that the next look comes when the last should be done, and then each QUICK_S or as the rate of calls allows;
    what is late is asked for after pauses that grow with its lateness.

    `ids_a_call`: how many items one call by id takes. `page_size`: how many one page of a listing shows.
    `processing_s`: what `processing_s` was in an earlier run.
    """

    def __init__(self, *, ids_a_call: int = 5, page_size: int = 100, processing_s: float | None = None) -> None:
        self.processing_s = processing_s
        """Seconds after which USUAL_SHARE items are finished; None until one was seen to finish."""
        self.latency_s = 0.0
        """Seconds that a call takes. Looks begin so much earlier, to be answered in time."""
        self._ids_a_call = ids_a_call
        self._page_size = page_size
        self._on_time: dict[str, _SentItem] = {}  # in the order of sending, which is that of being due
        self._late: dict[str, _SentItem] = {}  # seen unfinished at or after the usual age, or of unknown age
        self._recent: deque[_SentItem] = deque()
        self._observed: deque[tuple[float, bool]] = deque(maxlen=OBSERVATIONS_MAX)  # age, whether it was finished
        self._ended: deque[float] = deque(maxlen=OBSERVATIONS_MAX)  # ages at which one was seen to have ended
        self._unfinished_s = processing_s or 0.0  # the age at which hardly one is finished
        self._left, self._last_at = 0, -inf
        self._looked_at, self._calls = -inf, 0

    @property
    def watched(self) -> int:
        """How many items are not finished yet."""
        return len(self._on_time) + len(self._late)

    # reports

    def sent(self, now: float, item: str) -> None:
        """Report that an item was sent; `now` is when its answer came."""
        self._on_time[item] = _SentItem(now)
        self._recent.append(self._on_time[item])

    def watch(self, now: float, item: str) -> None:
        """Report an item of unknown age, such as an earlier run's: it may be finished already, and teaches nothing."""
        self._late[item] = _SentItem(now, due_at=now, is_old=True)

    def expect(self, left: int, last_at: float) -> None:
        """Report how many items are still to be sent, and when the last of them will be."""
        self._left, self._last_at = left, last_at

    def seen_processing(self, now: float, item: str) -> None:
        """Report that the service still works on an item, or does not find it yet; `now` is when that answer came."""
        seen = self._on_time.get(item) or self._late.get(item)
        if seen is None:
            return
        seen.seen_at = now
        # once late it is one that hangs or a longer time: it tells no more of that before it ends
        seen.is_news = self.processing_s is None or item not in self._late
        late_s = now - seen.sent_at - (0.0 if seen.is_old else self.processing_s or 0.0)
        if late_s >= 0:
            seen.due_at = now + max(QUICK_S, LATE_SHARE * late_s)
            self._late[item] = seen
            self._on_time.pop(item, None)

    def seen_finished(self, now: float, item: str) -> None:
        """Report that the service has finished with an item, with success or not; `now` is when that answer came."""
        seen = self._on_time.pop(item, None) or self._late.pop(item, None)
        if seen is not None:
            seen.seen_at, seen.is_news, seen.is_finished = now, True, True
            if not seen.is_old:
                self._ended.append(now - seen.sent_at)

    def forget(self, item: str) -> None:
        """Watch an item no more. It teaches nothing."""
        seen = self._on_time.pop(item, None) or self._late.pop(item, None)
        if seen is not None and seen in self._recent:
            self._recent.remove(seen)

    def looked(self, now: float, calls: int) -> None:
        """Report the end of a look and how many calls it took, after all that it showed. Also if it failed."""
        self._looked_at, self._calls = now, max(1, calls)
        self._learn(now)

    # answers

    def next_look(self, now: float, *, pages: int = 1, call_s: float = 1.0) -> float:
        """Return when the next look should begin; it may have passed. Infinity: there is nothing to look at.

        `pages`: calls that a listing would take which shows all that is watched. `call_s`: the time between two calls
        that the rate of calls allows. Ask again after each report.
        """
        if not self.watched:
            return inf
        usual_s = FIRST_AGE_S if self.processing_s is None else self.processing_s
        ends_at, begins_at = self._end(pages, call_s)
        late_due_at = min((each.due_at for each in self._late.values()), default=inf)
        if not self._on_time:
            together_until = late_due_at + LATE_TOGETHER_S
            at = max(each.due_at for each in self._late.values() if each.due_at <= together_until)
            if self._left:
                at = max(at, self._looked_at + SPACING_S * self._calls)
        else:
            due_at = min(late_due_at, next(iter(self._on_time.values())).sent_at + usual_s)
            at = max(due_at, self._looked_at + SPACING_S * self._calls)
            worth = CALL_WORTH * pages
            if self.processing_s is not None and len(self._on_time) >= worth:
                at = min(at, next(islice(self._on_time.values(), worth - 1, None)).sent_at + usual_s)
            at = min(self._informative(at), begins_at)
            # a look just before the end would only take the slot of the one that may see the end
            calls = min(pages, ceil(len(self._on_time) / self._ids_a_call))
            if begins_at - calls * call_s < at < begins_at:
                at = begins_at
            if not self._left and calls == 1:
                # where the time varies, the last may end long before it usually does: look from the middle on
                pause_s = max(QUICK_S, call_s)
                middle_at = ends_at - (usual_s - self._unfinished_s) / 2
                earlier = (ends_at - max(middle_at, self._looked_at + pause_s)) // pause_s
                at = min(at, ends_at - max(0.0, earlier) * pause_s)
        return max(at, self._looked_at + max(QUICK_S, call_s)) - self.latency_s

    def look(self, now: float, *, pages: int = 1, call_s: float = 1.0) -> SettlingLook:
        """Return what a look that begins now should ask for; see `next_look`."""
        usual_s = FIRST_AGE_S if self.processing_s is None else self.processing_s
        ends_at, begins_at = self._end(pages, call_s)
        at = now + self.latency_s
        until = max(at, ends_at) if at >= begins_at else at
        due = [item for item, each in self._on_time.items() if each.sent_at + usual_s <= until]
        due += [item for item, each in self._late.items() if each.due_at <= until + LATE_TOGETHER_S]
        calls = max(1, ceil(len(due) / self._ids_a_call))
        if calls >= pages:
            return SettlingLook(tuple(due), pages)
        chosen = set(due)
        others = (item for item in (*self._on_time, *self._late) if item not in chosen)
        return SettlingLook((*due, *islice(others, calls * self._ids_a_call - len(due))), 0)

    def _end(self, pages: int, call_s: float) -> tuple[float, float]:
        """Return when the last item should be finished, and when to begin looking for that. Infinity: not known yet."""
        if self.processing_s is None and self._left:
            return inf, inf
        usual_s = FIRST_AGE_S if self.processing_s is None else self.processing_s
        newest_at = next(reversed(self._on_time.values())).sent_at if self._on_time else -inf
        ends_at = (max(self._last_at, newest_at) if self._left else newest_at) + usual_s
        by_id = ceil((len(self._on_time) + self._left) / self._ids_a_call)
        calls = min(pages + self._left // self._page_size, by_id)
        begins_at = ends_at - max(0, calls - 1) * call_s
        return ends_at, begins_at if self._looked_at < begins_at else ends_at

    def _informative(self, at: float) -> float:
        """Move a look a little, to when an item has the age in the middle of what is possible."""
        if self.processing_s is None or self.processing_s - self._unfinished_s < MID_FROM_S:
            return at
        middle_s = (self._unfinished_s + self.processing_s) / 2
        found = at + SPACING_S / 2
        for each in reversed(self._on_time.values()):
            if each.sent_at + middle_s < at:
                break
            found = min(found, each.sent_at + middle_s)
        return found

    def _learn(self, now: float) -> None:
        """Take in what a look has shown of all that is as old as what was asked for; then estimate anew."""
        asked_to = max((each.sent_at for each in self._recent if each.is_news), default=-inf)
        cohort = [each for each in self._recent if each.sent_at <= asked_to and (each.is_news or each.is_finished)]
        for each in islice(cohort, 0, None, len(cohort) // COHORT_MAX + 1):
            seen_at = each.seen_at if each.is_news and each.seen_at is not None else now
            self._observed.append((seen_at - each.sent_at, each.is_finished))
        for each in cohort:
            each.is_news = False
        if not any(finished for _, finished in self._observed):
            return
        before_s = self.processing_s or 0.0
        unfinished_s, usual_s = usual_ages(self._observed)
        # an item that hangs must not raise the usual age for ever: it is at most the highest age at which one has ended
        self.processing_s = min(usual_s, max(self._ended, default=usual_s))
        self._unfinished_s = min(unfinished_s, self.processing_s)
        while self._recent and now - self._recent[0].sent_at > COHORT_AGES * self.processing_s:
            self._recent.popleft()
        if self.processing_s > before_s:
            self._sort_again(self.processing_s)

    def _sort_again(self, usual_s: float) -> None:
        """Nothing is late that was not seen at the usual age, now that this is known to be higher."""
        early = {
            item: each
            for item, each in self._late.items()
            if not each.is_old and each.seen_at is not None and each.seen_at - each.sent_at < usual_s
        }
        for item in early:
            del self._late[item]
        on_time = {**self._on_time, **early}
        self._on_time = dict(sorted(on_time.items(), key=lambda entry: entry[1].sent_at))


def usual_ages(observed: Iterable[tuple[float, bool]]) -> tuple[float, float]:
    """Return the highest age at which hardly an item is finished (1 - USUAL_SHARE), and the lowest at which most are.

    `observed`: ages, and whether the item was finished then; at least one was. The part that is finished is estimated
    for each age, so that it never falls (isotonic regression, "pool adjacent violators": the most likely curve). Where
    it reaches USUAL_SHARE nowhere, the second is the highest age at which one was finished.
    """
    observed = sorted(observed)
    pools: list[tuple[float, float, int, int]] = []  # lowest age, highest age, finished, observed
    for age_s, is_finished in observed:
        low, finished, count = age_s, int(is_finished), 1
        while pools and pools[-1][2] * count >= finished * pools[-1][3]:
            before = pools.pop()
            low, finished, count = before[0], finished + before[2], count + before[3]
        pools.append((low, age_s, finished, count))
    highest_s = max(age_s for age_s, is_finished in observed if is_finished)
    usual_s = min((low for low, _, finished, count in pools if finished >= USUAL_SHARE * count), default=highest_s)
    unfinished_s = max(
        (high for _, high, finished, count in pools if finished <= (1 - USUAL_SHARE) * count), default=0.0
    )
    return min(unfinished_s, usual_s), usual_s
