"""What paces each operation, and what of it is remembered."""

from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_upload.app.rates import (
    expected_create_rate,
    is_news,
    laws,
    learned,
    memory_of,
    remembered_latency_s,
    start_rate,
)
from batch_upload.cli.flags import Flags, options_of
from batch_upload.engine.tally import Tally
from batch_upload.operations import (
    CREATE,
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    LIMITS,
    LIST_TAGS,
    PUT_FIELD,
    REGISTRATIONS,
)
from batch_upload.pacing import FixedRate, LearnedRate, RateMemory
from batch_upload.records import RateRecord
from batch_upload.settings import Settings, settings_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KNOWN = RateRecord(CREATE, {**asdict(RateMemory(rate=18.0)), "latency_s": 0.12}, NOW - timedelta(minutes=5))


def settings(flags: Flags | None = None) -> Settings:
    return settings_of(options_of(flags or Flags(), {}), manifest=Path("june.yaml"), environ={})


def test_the_first_rate_is_the_flag_then_the_memory_then_the_documented_one() -> None:
    assert expected_create_rate(settings(Flags(rate="7")), [KNOWN], now=NOW) == 7.0
    assert expected_create_rate(settings(), [KNOWN], now=NOW) == 18.0
    assert expected_create_rate(settings(), [], now=NOW) == 1.0


def test_a_memory_fades_and_is_forgotten_after_a_month() -> None:
    day, month = (expected_create_rate(settings(), [KNOWN], now=NOW + timedelta(days=days)) for days in (1, 30))

    assert day == pytest.approx(0.9 * 18.0, rel=0.01)
    assert month == 1.0


@pytest.mark.parametrize("operation", [DESCRIBE, LIST_TAGS, PUT_FIELD])
def test_what_an_outage_taught_slows_the_next_run_to_a_quarter_of_the_documented_rate_at_most(operation: str) -> None:
    slow = RateMemory(rate=0.002, evidence=90.0, backoff=4.0)

    law = laws(settings(), [RateRecord(operation, asdict(slow), NOW)], now=NOW)[operation]
    (record,) = learned({operation: law}, Tally(requests=Counter({operation: 1})), now=NOW)

    assert law.rate == 0.25 * start_rate(settings(), operation)
    found = {name: record.learned[name] for name in ("stage", "evidence", "backoff")}
    assert found == {"stage": 3, "evidence": 0.0, "backoff": 1.0}, "it is tested again soon"


def test_creates_go_on_as_slowly_as_they_were_found_to_be_allowed() -> None:
    slow = RateRecord(CREATE, asdict(RateMemory(rate=0.02)), NOW)

    assert expected_create_rate(settings(), [slow], now=NOW) == 0.02


def test_the_ceiling_holds_for_flag_and_memory() -> None:
    assert start_rate(settings(Flags(rate="7", max_rate="3")), CREATE) == 3.0
    assert expected_create_rate(settings(Flags(max_rate="3")), [KNOWN], now=NOW) == 3.0


def test_a_fixed_rate_learns_nothing_of_any_operation() -> None:
    made = laws(settings(Flags(rate="4", fixed_rate=True)), [KNOWN], now=NOW)

    assert all(isinstance(law, FixedRate) for law in made.values())
    assert (made[CREATE].rate, made[DESCRIBE].rate) == (4.0, 1.0)


@pytest.mark.parametrize("operation", [PUT_FIELD, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES])
def test_each_operation_of_registrations_begins_at_one_a_second_learns_and_remembers(operation: str) -> None:
    told = settings(Flags(rate="7", max_rate="3"))

    new, later = (
        laws(told, records, now=NOW)[operation]
        for records in ([], [RateRecord(operation, asdict(RateMemory(rate=8.0)), NOW)])
    )
    records = learned({operation: later}, Tally(requests=Counter({operation: 1})), now=NOW)

    assert (new.rate, later.rate) == (1.0, 8.0)
    assert [(record.operation, record.learned["rate"]) for record in records] == [(operation, 8.0)]
    assert not learned({operation: new}, Tally(), now=NOW)


def test_a_rehearsal_puts_into_fields_as_fast_as_it_creates() -> None:
    rehearsal = settings(Flags(local=True))

    assert (start_rate(rehearsal, CREATE), start_rate(rehearsal, PUT_FIELD)) == (10.0, 10.0)
    assert (start_rate(rehearsal, FIELD_VALUES), start_rate(settings(), PUT_FIELD)) == (1.0, 1.0)
    assert start_rate(settings(Flags(local=True, max_rate="3")), CREATE) == 3.0


def test_only_what_was_called_is_remembered_anew() -> None:
    made = laws(settings(), [KNOWN, RateRecord(DESCRIBE, asdict(RateMemory(rate=2.0)), NOW)], now=NOW)
    tally = Tally(requests=Counter({CREATE: 3, LIMITS: 1}), latency_s=0.2)

    records = learned(made, tally, now=NOW)

    assert [record.operation for record in records] == [CREATE]
    assert remembered_latency_s(records) == 0.2
    assert isinstance(made[DESCRIBE], LearnedRate)


def test_what_another_version_kept_in_another_form_is_forgotten() -> None:
    strange = RateRecord(CREATE, {"speed": 3.0}, NOW)

    assert expected_create_rate(settings(), [strange], now=NOW) == 1.0


def test_a_rate_is_news_when_it_is_new_or_has_moved_by_a_twentieth() -> None:
    def found(rate: float) -> list[RateRecord]:
        return [RateRecord(CREATE, asdict(RateMemory(rate=rate)), NOW)]

    assert is_news(found(18.0), [])
    assert is_news(found(20.0), found(18.0))
    assert is_news(found(18.0), found(20.0))
    assert not is_news(found(18.5), found(18.0))
    assert not is_news([], found(18.0))


def test_the_end_of_a_search_is_read_back_and_one_of_an_earlier_version_has_none() -> None:
    memory = RateMemory(0.95, stage=3, single=True, refused=1.6)
    kept = asdict(memory)
    older = {name: value for name, value in kept.items() if name != "refused"}

    found = [memory_of(RateRecord(CREATE, learned, NOW), 1.0, now=NOW) for learned in (kept, older)]

    assert found == [memory, replace(memory, refused=0.0)]


def test_a_rate_that_nothing_bounded_is_read_back_as_such() -> None:
    memory = RateMemory(8.0, stage=0, bounded=False)
    record = RateRecord(CREATE, asdict(memory), NOW)

    law = laws(settings(), [record], now=NOW)[CREATE]

    assert expected_create_rate(settings(Flags(max_rate="8")), [record], now=NOW) == 8.0
    assert law.rate == 8.0
    assert isinstance(law, LearnedRate)
    assert law.memory() is None, "it searches on"
