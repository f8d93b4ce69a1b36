"""What must be true of lanes that several processes share, whatever happened to the processes and the database."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from tests.support.emulated_lanes import assert_each_token_once
from tests.support.emulator_process import lane_of
from tests.support.fleet_history import History, Write

NO_TOKENS: frozenset[str] = frozenset()
LATE_S = 0.5
"""By how much a request may come late on a busy machine, so that the next one follows it too soon."""


def assert_history(
    history: History,
    *,
    rate: float | None = None,
    late_s: float = LATE_S,
    lost: frozenset[str] = NO_TOKENS,
    is_fenced: bool = True,
) -> None:
    """Assert all that holds at any moment, also right after a crash. `lost`: tokens whose intents a failover lost.

    `rate`: creates a second that all controllers together may send in a lane; `late_s` as LATE_S.
    """
    assert_each_token_once(history.held)
    assert_complete_is_held(history)
    assert_intents_came_first(history, lost=lost)
    if is_fenced:
        assert_every_write_is_fenced(history.writes)
        assert_fences_never_fall(history.writes)
        assert_commits_are_counted(history.writes)
    if rate is not None:
        assert_within_rate(history, rate, late_s=late_s)


def assert_done(history: History, wanted: Mapping[str, int]) -> None:
    """Assert that each lane has so many items, all complete, and that the service holds these and nothing else."""
    states: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in history.items:
        states[item.lane][item.state] += 1
    expected = {lane: Counter(complete=count) for lane, count in wanted.items()}
    assert states == expected, f"{dict(states)}"
    held = Counter(lane_of(each) for each in history.held)
    assert held == Counter(wanted), f"{held}"
    of_ledger = sorted((item.lane, item.token, item.attachment_id) for item in history.items)
    assert of_ledger == sorted((lane_of(each), each["client_token"], each["id"]) for each in history.held), "other ids"


def assert_complete_is_held(history: History) -> None:
    """Assert that nothing is complete in the ledger which the service does not hold complete, and no item is twice."""
    counts = Counter((item.lane, item.item_id) for item in history.items)
    twice = [key for key, count in counts.items() if count > 1]
    assert twice == [], f"two rows: {twice}"
    held = {(lane_of(each), each["id"]) for each in history.held if each["status"] == "UPLOAD_COMPLETE"}
    complete = {(item.lane, item.attachment_id) for item in history.items if item.state == "complete"}
    assert complete <= held, f"complete and not there: {complete - held}"


def assert_intents_came_first(history: History, *, lost: frozenset[str] = NO_TOKENS) -> None:
    """Assert that whenever a create arrived, as many intents of its token had been committed as creates had come."""
    intents: defaultdict[tuple[str, str | None], list[datetime]] = defaultdict(list)
    for write in history.writes:
        if write.source == "attempt":
            intents[write.lane, write.token].append(write.at)
    came = Counter[tuple[str, str | None]]()
    for request in history.creates:
        if request.token in lost:
            continue
        key = (request.lane, request.token)
        came[key] += 1
        committed = sum(at <= request.at for at in intents[key])
        assert committed >= came[key], f"{key}: create {came[key]} came at {request.at}, after {committed} intents"


def assert_every_write_is_fenced(writes: Sequence[Write]) -> None:
    """Assert that each transaction that wrote to a lane had changed the lane's row before, under a fence."""
    fenced: set[tuple[int, str]] = set()
    for write in writes:
        if write.source == "lane" and write.fence:
            fenced.add((write.transaction, write.lane))
        elif write.source != "lane":
            assert (write.transaction, write.lane) in fenced, f"not fenced: {write}"


def assert_fences_never_fall(writes: Iterable[Write]) -> None:
    """Assert that in each lane the fence never falls in the order of commits, and has one holder for each number."""
    before: dict[str, int] = {}
    holders: dict[tuple[str, int], str | None] = {}
    for write in writes:
        if write.source != "lane" or not write.fence:
            continue
        assert write.fence >= before.get(write.lane, 0), f"after fence {before[write.lane]}: {write}"
        before[write.lane] = write.fence
        if write.holder is not None:
            assert holders.setdefault((write.lane, write.fence), write.holder) == write.holder, f"two holders: {write}"


def assert_commits_are_counted(writes: Iterable[Write]) -> None:
    """Assert that `commit_no` of a lane rises by one with each transaction that writes to it, and never otherwise."""
    numbers: dict[str, int] = {}
    counted: dict[tuple[int, str], int] = {}
    for write in writes:
        key = (write.transaction, write.lane)
        if write.source == "lane" and write.commit_no is not None:
            before = numbers.get(write.lane, write.commit_no if write.commit_no < 2 else 0)
            by = write.commit_no - before
            assert by in (0, 1), f"after {before}: {write}"
            counted[key] = counted.get(key, 0) + by
            numbers[write.lane] = write.commit_no
        elif write.source != "lane":
            counted.setdefault(key, 0)
    twice = [key for key, count in counted.items() if count > 1]
    assert twice == [], f"counted twice in one transaction: {twice}"


def assert_within_rate(history: History, rate: float, *, burst: float = 1.0, late_s: float = LATE_S) -> None:
    """Assert that in any window creates of a lane are at most `rate` x length + `burst` + one for each take-over."""
    by_lane: defaultdict[str, list[datetime]] = defaultdict(list)
    for request in history.creates:
        by_lane[request.lane].append(request.at)
    for lane, times in by_lane.items():
        take_overs = history.take_overs(lane)
        for first, begun in enumerate(times):
            for last in range(first, len(times)):
                window = times[last] - begun
                taken = sum(begun - timedelta(seconds=1) <= at <= times[last] for at in take_overs)
                most = rate * (window.total_seconds() + late_s) + burst + taken
                assert last - first + 1 <= most, f"{lane}: {last - first + 1} creates in {window}, {taken} take-overs"


def assert_no_secret(texts: Mapping[str, str], secrets: Iterable[str]) -> None:
    """Assert that none of these texts, by where they are from, has one of the secrets."""
    found = [name for secret in secrets for name, text in texts.items() if secret in text]
    assert found == [], f"a secret in {found}"


def longest_pause_s(history: History, lane: str) -> float:
    """Return the longest time between two creates of a lane."""
    times = [request.at for request in history.creates if request.lane == lane]
    return max(((after - before).total_seconds() for before, after in pairwise(times)), default=0.0)
