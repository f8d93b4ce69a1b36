"""What the emulator saw of each account and Region: when it was asked to create, how fast, and whether once."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batch_upload.emulator.names import Operation
from batch_upload.emulator.request_log import LoggedRequest


def creates_by_lane(entries: Iterable[LoggedRequest]) -> dict[str, list[float]]:
    """Return when the creates that were carried out came, in seconds since the start, by `account/Region`."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if entry.operation == Operation.CREATE and entry.outcome == "accepted":
            times[f"{entry.account}/{entry.region}"].append(entry.at_s)
    return dict(times)


def create_rate(times: Sequence[float]) -> float:
    """Return the mean creates a second, from the first to the last. Raises ValueError for fewer than two."""
    if len(times) < 2:
        raise ValueError("a rate needs two creates")
    return (len(times) - 1) / (times[-1] - times[0])


def assert_each_token_once(attachments: Iterable[Mapping[str, Any]]) -> None:
    """Assert that no account and Region holds two attachments of one ClientToken."""
    counts = Counter((each["account"], each["region"], each["client_token"]) for each in attachments)
    twice = [key for key, count in counts.items() if count > 1 and key[2] is not None]
    assert twice == [], f"there twice: {twice}"


def roles_assumed(stats: Mapping[str, Any]) -> Counter[str]:
    """Return how often the roles of each account were assumed."""
    counts: Counter[str] = Counter()
    for arn, count in stats["roles"].items():
        counts[arn.split(":")[4]] += count
    return counts
