"""Of several exit codes the first of the contract's list wins."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from batch_upload.app.exits import PRECEDENCE, exit_of_run, exit_with_invalid, first_of, made_visible
from batch_upload.engine.lane import Stop, StopKind
from batch_upload.engine.run import LaneResult
from batch_upload.errors import ExitCode, LaneLost, LedgerAway
from batch_upload.model import Fault, Known, State
from batch_upload.summary import exit_of

CONTRACT = (1, 130, 143, 24, 22, 25, 23, 26, 27, 20, 21, 12, 13, 10, 14, 11, 0)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


def ended(*states: State, stop: StopKind | None = None, resume_after: datetime | None = None) -> LaneResult:
    """The end of a run whose items, all chosen, are in these states."""
    by_id = {f"item-{number}": state for number, state in enumerate(states)}
    known = {
        item_id: Known(item_id, f"bu1-{item_id}", state, "url:s3://b/f", {}, 1, resume_after=resume_after)
        for item_id, state in by_id.items()
    }
    halted = None if stop is None else Stop(stop, Fault("Code", f"because of {stop.value}"))
    return LaneResult(states=by_id, known=known, stop=halted, selected=frozenset(by_id))


def test_the_order_is_the_contracts() -> None:
    assert tuple(int(code) for code in PRECEDENCE) == CONTRACT


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(PRECEDENCE, 2)))
def test_of_two_the_earlier_wins(stronger: ExitCode, weaker: ExitCode) -> None:
    assert first_of({weaker, stronger}) is stronger


def test_of_none_it_is_done() -> None:
    assert first_of(()) is ExitCode.DONE


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.COMPLETE,), 0),
        ((State.COMPLETE, State.PROCESSING), 14),
        ((State.PROCESSING, State.PENDING), 10),
        ((State.PROCESSING, State.SENDING), 10),
        ((State.PROCESSING, State.BINDING), 10),
        ((State.COMPLETE, State.BINDING), 10),
        ((State.FAILED, State.BINDING), 20),
        ((State.SENDING, State.PARKED), 27),
        ((State.PARKED, State.FAILED), 27),
        ((State.FAILED, State.UNKNOWN), 26),
        (tuple(State), 26),
    ],
)
def test_the_states_that_are_left_decide(states: tuple[State, ...], code: int) -> None:
    assert exit_of_run(ended(*states), signalled=None).code == code


@pytest.mark.parametrize(
    ("stop", "states", "code"),
    [
        (StopKind.ACCESS, (State.PENDING, State.FAILED, State.UNKNOWN), 22),
        (StopKind.DISAGREEMENT, (State.SENDING, State.FAILED), 25),
        (StopKind.LEDGER, (State.PENDING, State.FAILED), 24),
        (StopKind.TOO_MANY_FAILURES, (State.FAILED, State.UNKNOWN), 23),
        (StopKind.CAPACITY, (State.PARKED, State.PENDING), 27),
        (StopKind.CAPACITY, (State.PARKED, State.FAILED), 27),
        (StopKind.DEADLINE, (State.PENDING,), 12),
        (StopKind.DEADLINE, (State.PROCESSING,), 12),
        (StopKind.DEADLINE, (State.BINDING,), 12),
        (StopKind.ACCESS, (State.BINDING,), 22),
        (StopKind.DEADLINE, (State.PARKED,), 27),
        (StopKind.DEADLINE, (State.FAILED,), 20),
        (StopKind.DEADLINE, (State.COMPLETE,), 0),
        (StopKind.ACCESS, (State.COMPLETE,), 22),
    ],
)
def test_a_stop_weighs_as_the_contract_says(stop: StopKind, states: tuple[State, ...], code: int) -> None:
    assert exit_of_run(ended(*states, stop=stop), signalled=None).code == code


@pytest.mark.parametrize("signalled", [ExitCode.INTERRUPTED, ExitCode.TERMINATED])
@pytest.mark.parametrize("stop", list(StopKind))
def test_a_signal_outweighs_every_stop(stop: StopKind, signalled: ExitCode) -> None:
    result = ended(*State, stop=stop)

    assert exit_of_run(result, signalled=signalled).code is signalled


@pytest.mark.parametrize("states", [(State.PENDING,), (State.FAILED, State.UNKNOWN), (State.COMPLETE,)])
def test_a_lane_that_another_run_has_taken_over_ends_with_11_whatever_is_left(states: tuple[State, ...]) -> None:
    taken = LaneLost("run run-2 has it", pid=None, host=None, since=None)
    result = replace(ended(*states, stop=StopKind.LEDGER), ledger_error=taken)

    assert exit_of_run(result, signalled=None).code == 11
    assert exit_of_run(result, signalled=ExitCode.TERMINATED).code == 143


def test_a_database_that_was_lost_during_a_run_ends_it_with_10() -> None:
    result = replace(ended(State.PENDING, stop=StopKind.LEDGER), ledger_error=LedgerAway("it does not answer"))

    assert exit_of_run(result, signalled=None).code == 10


def test_what_was_not_chosen_does_not_count() -> None:
    result = replace(ended(State.FAILED, State.COMPLETE), selected=frozenset({"item-1"}))

    assert exit_of_run(result, signalled=None).code == 0


def test_a_stop_gives_its_own_reason() -> None:
    assert exit_of_run(ended(State.PENDING, stop=StopKind.ACCESS), signalled=None).reason == "because of access"


def test_a_full_day_says_when_to_come_again() -> None:
    ending = exit_of_run(ended(State.PARKED, stop=StopKind.CAPACITY, resume_after=MIDNIGHT), signalled=None)

    assert (ending.code, ending.resume_after) == (13, MIDNIGHT)


def test_a_full_account_wants_a_person_and_does_not_say_when_to_come_again() -> None:
    ending = exit_of_run(ended(State.PARKED, stop=StopKind.CAPACITY), signalled=None)

    assert (ending.code, ending.wants_a_person, ending.resume_after) == (27, True, None)


@pytest.mark.parametrize(("states", "code"), [((State.SENDING, State.PARKED), 13), ((State.PARKED, State.FAILED), 20)])
def test_a_used_up_day_weighs_less_than_what_a_person_must_mend(states: tuple[State, ...], code: int) -> None:
    assert exit_of_run(ended(*states, resume_after=MIDNIGHT), signalled=None).code == code


def test_an_item_that_waits_for_room_weighs_only_where_it_was_chosen() -> None:
    result = replace(ended(State.PARKED, State.COMPLETE), selected=frozenset({"item-1"}))

    assert exit_of_run(result, signalled=None).code == 0


@pytest.mark.parametrize(
    ("code", "hours", "told"),
    [(10, 23.9, 10), (10, 24.0, 22), (10, 240.0, 22), (12, 240.0, 12), (14, 240.0, 14), (22, 240.0, 22)],
)
def test_what_has_been_transient_for_a_day_wants_a_person(code: int, hours: float, told: int) -> None:
    since = MIDNIGHT - timedelta(hours=hours)

    ending, unreached_s = made_visible(exit_of(ExitCode(code)), failing_since=since, now=MIDNIGHT)

    assert ending.code == told
    assert unreached_s == (hours * 3_600 if (code, told) == (10, 22) else None)


def test_what_is_transient_for_the_first_time_stays_so() -> None:
    ending = exit_of(ExitCode.TRANSIENT)

    assert made_visible(ending, failing_since=None, now=MIDNIGHT) == (ending, None)


@pytest.mark.parametrize("code", list(ExitCode))
def test_ten_to_nineteen_will_do_again_and_no_other(code: ExitCode) -> None:
    from batch_upload.summary import exit_of

    assert exit_of(code).retryable is (10 <= code <= 19)


@pytest.mark.parametrize("code", PRECEDENCE)
def test_what_is_invalid_ends_with_20_unless_more_is_wrong(code: ExitCode) -> None:
    before = exit_of(code)

    assert exit_with_invalid(before, 0) is before
    assert exit_with_invalid(before, 2).code is first_of({code, ExitCode.ITEMS_FAILED})


def test_the_reason_says_how_many_are_invalid() -> None:
    assert exit_with_invalid(exit_of(ExitCode.DEADLINE), 1).reason == "1 item is invalid and cannot be sent"
    assert exit_with_invalid(exit_of(ExitCode.ITEMS_FAILED), 3).reason == "some items failed, 3 are invalid"
    assert exit_with_invalid(exit_of(ExitCode.ACCESS), 3) == exit_of(ExitCode.ACCESS)
