"""The law that paces each operation, what it starts from, and what of it is remembered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from batch_upload.engine.tally import Tally
from batch_upload.operations import (
    ASSUME_ROLE,
    CREATE,
    DELETE,
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    IDENTITY,
    LIMITS,
    LIST_TAGS,
    PUT_FIELD,
    REGISTRATIONS,
    TAG,
    UNTAG,
)
from batch_upload.pacing import FixedRate, LearnedRate, RateLaw, RateMemory
from batch_upload.records import RateRecord
from batch_upload.settings import RATE_DEFAULT, Settings

DOCUMENTED = {
    CREATE: RATE_DEFAULT,
    DESCRIBE: 1.0,
    LIST_TAGS: 10.0,
    LIMITS: 1.0,
    DELETE: 1.0,
    TAG: 1.0,
    UNTAG: 1.0,
    PUT_FIELD: 1.0,
    REGISTRATIONS: 1.0,
    FIELD_DEFINITIONS: 1.0,
    FIELD_VALUES: 1.0,
    IDENTITY: 10.0,
    ASSUME_ROLE: 10.0,
}
"""Calls a second of an account whose quotas were never raised (the service's documentation; STS: far above that)."""
LEARNED = (
    *(CREATE, DESCRIBE, LIST_TAGS, DELETE, TAG, UNTAG),
    *(PUT_FIELD, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES),
)
"""Operations that are called often enough to learn from."""
LEAST_SHARE = 0.25
"""A run begins with at least this share of the documented rate, whatever an earlier run has learned; creates excepted.

AWS raises quotas and does not lower them, so a slower rate was learned in an outage, or while others were at work. Most
runs make too few calls to notice that this is over: at a call in 15 seconds it takes half an hour to list 10,000
attachments, and page tokens may expire meanwhile. There are enough creates to notice it, and their rate may stay lower:
a lane may share its account with other programs."""
LATENCY = "latency_s"
NEWS = 0.05
"""A rate that has changed by this share is recorded at once, so that a process that is killed has not lost it."""
LOCAL_STARTS = {CREATE: 10.0, PUT_FIELD: 10.0}
"""Calls a second that a run with the embedded emulator begins with: fast, but slow enough to be seen."""


def laws(settings: Settings, remembered: Sequence[RateRecord], *, now: datetime) -> dict[str, RateLaw]:
    """Return a law for each operation. `--rate` is for creates, `--fixed-rate` for all."""
    if settings.fixed_rate:
        return {name: FixedRate(start_rate(settings, name)) for name in DOCUMENTED}
    made: dict[str, RateLaw] = {name: FixedRate(rate) for name, rate in DOCUMENTED.items()}
    records = {record.operation: record for record in remembered}
    for name in LEARNED:
        start, is_create = start_rate(settings, name), name == CREATE
        is_told = is_create and settings.rate is not None
        memory = None if is_told or name not in records else memory_of(records[name], start, now=now)
        if memory is not None and not is_create:
            memory = memory.at_least(LEAST_SHARE * start)
        made[name] = LearnedRate(start, ceiling=settings.max_rate if is_create else None, memory=memory)
    return made


def memory_of(record: RateRecord, default: float, *, now: datetime) -> RateMemory | None:
    """Return what is still believed of a rate. A record of another form, from another version, only costs a search."""
    known = record.learned
    try:
        memory = RateMemory(
            rate=known["rate"],
            stage=int(known["stage"]),
            evidence=known["evidence"],
            backoff=known["backoff"],
            burst=known["burst"],
            bounded=bool(known.get("bounded", True)),
            single=bool(known.get("single", False)),
            refused=known.get("refused", 0.0),
        )
    except KeyError:
        return None
    return memory.aged(max(0.0, (now - record.learned_at).total_seconds()), default)


def start_rate(settings: Settings, operation: str) -> float:
    """Return the calls a second to start from if nothing is remembered."""
    start = LOCAL_STARTS.get(operation, DOCUMENTED[operation]) if settings.local else DOCUMENTED[operation]
    if operation != CREATE:
        return start
    start = start if settings.rate is None else settings.rate
    return start if settings.max_rate is None else min(start, settings.max_rate)


def expected_create_rate(settings: Settings, remembered: Sequence[RateRecord], *, now: datetime) -> float:
    """Return the creates a second that a run would begin with now."""
    return laws(settings, remembered, now=now)[CREATE].rate


def learned(laws_: Mapping[str, RateLaw], tally: Tally, *, now: datetime) -> list[RateRecord]:
    """Return what to remember of the operations that were called; of creates also how long one takes."""
    found: Iterable[tuple[str, RateMemory | None]] = (
        (name, law.memory()) for name, law in laws_.items() if isinstance(law, LearnedRate) and tally.requests[name] > 0
    )
    timed = {} if tally.latency_s is None else {LATENCY: tally.latency_s}
    return [
        RateRecord(name, {**asdict(memory), **(timed if name == CREATE else {})}, now)
        for name, memory in found
        if memory is not None
    ]


def is_news(found: Sequence[RateRecord], written: Sequence[RateRecord]) -> bool:
    """Whether a rate is not written yet, or differs from what is written by more than NEWS."""
    before = {record.operation: record.learned["rate"] for record in written}
    return any(
        abs(record.learned["rate"] - before.get(record.operation, 0.0)) > NEWS * record.learned["rate"]
        for record in found
    )


def remembered_latency_s(remembered: Sequence[RateRecord]) -> float | None:
    """Return how many seconds a create took in the last run; None if not known."""
    return next((record.learned.get(LATENCY) for record in remembered if record.operation == CREATE), None)
