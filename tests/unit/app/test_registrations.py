"""Problems of registrations become problems of the manifest, and items that cannot be sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batch_upload.app.exits import exit_of_run
from batch_upload.app.plan_input import with_bound
from batch_upload.app.registrations import (
    has_bind,
    items_to_look_at,
    registration_reads,
    registrations_invalid,
    without_problems,
)
from batch_upload.app.sendable import BindPlace, Prepared
from batch_upload.engine.plan import Selection, Unfinished
from batch_upload.engine.registrations import BindProblem
from batch_upload.engine.rows import BatchRows, new_row
from batch_upload.engine.run import LaneResult
from batch_upload.model import Item, Manifest, Position, State
from batch_upload.operations import FIELD_DEFINITIONS, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind

OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")


def item(item_id: str, bind: Bind | None = OPT_IN, **given: Any) -> Item:  # noqa: ANN401 - members of an item
    return Item("june", item_id, f"{item_id}.pdf", f"bu1-{item_id}", {}, bind=bind, **given)


def prepared(*items: Item, places: Mapping[tuple[str | None, str], Any] | None = None, **given: Any) -> Prepared:  # noqa: ANN401
    manifest = Manifest(path=Path("june.yaml"), folder=Path(), batch="june", entries=())
    return Prepared(manifest, items, bind_places=places or {}, **given)


def test_a_problem_is_at_the_place_of_its_bind_or_at_the_row_of_its_table() -> None:
    places: dict[tuple[str | None, str], BindPlace] = {
        (None, "a"): (None, Position(7, 44)),
        (None, "b"): ("letters.csv", Position(3, 0)),
    }
    problems = [BindProblem("b", "bind-field", "no such field"), BindProblem("a", "bind-registration", "is closed")]

    left = without_problems(prepared(item("a"), item("b"), item("c", None), places=places), problems)

    assert [each.item_id for each in left.items] == ["c"]
    assert [str(problem) for problem in left.problems] == ["letters.csv:3: no such field", "june.yaml:7:44: is closed"]
    assert [problem.code for problem in left.problems] == ["bind-field", "bind-registration"]
    assert left.total == 3
    assert left.stops


def test_without_a_problem_nothing_changes() -> None:
    given = prepared(item("a"))

    assert without_problems(given, ()) is given


def test_with_skip_invalid_a_problem_stops_nothing() -> None:
    left = without_problems(prepared(item("a"), item("b"), skips_invalid=True), [BindProblem("a", "bind-field", "no")])

    assert (left.stops, [each.item_id for each in left.items]) == (False, ["b"])
    assert not left.is_part


@pytest.mark.parametrize(("is_skippable", "ending"), [(True, "what has a problem"), (False, "or the registration")])
def test_the_hint_does_not_send_people_to_validate(is_skippable: bool, ending: str) -> None:  # noqa: FBT001
    left = without_problems(prepared(item("a")), [BindProblem("a", "bind-field", "no such field")])

    error = registrations_invalid(Path("june.yaml"), left.problems, is_skippable=is_skippable)

    assert error.message == "1 problem in `june.yaml`"
    assert "validate" not in error.hint
    assert error.hint.endswith(ending)


def test_items_without_bind_are_not_looked_at() -> None:
    assert not has_bind(prepared(item("a", None)))
    assert items_to_look_at(prepared(item("a", None), item("b")), Selection(), BatchRows()) == [item("b")]


def test_only_chooses_by_state_and_id() -> None:
    binding = new_row(item("a"))._replace(state=State.BINDING, attachment_id="at-1")
    given, rows = prepared(item("a"), item("b"), item("c")), BatchRows.of([binding])

    def chosen(*states: State, ids: frozenset[str] = frozenset()) -> list[str]:
        return [each.item_id for each in items_to_look_at(given, Selection(frozenset(states), ids), rows)]

    assert chosen(State.BINDING) == ["a"]
    assert chosen(State.PENDING) == ["b", "c"]
    assert chosen(ids=frozenset({"c"})) == ["c"]
    assert chosen(State.BINDING, ids=frozenset({"c"})) == ["a", "c"]


def test_complete_items_with_a_bind_are_planned_and_the_sum_stays() -> None:
    items = (item("a", None), item("b"), item("c", None), item("d"))

    found = with_bound(Unfinished(items=(items[2],), ids=("c",), complete=3), items)

    assert [each.item_id for each in found.items] == ["b", "c", "d"]
    assert (found.ids, found.complete) == (("c", "b", "d"), 1)


def test_without_an_answer_one_page_of_registrations_is_expected() -> None:
    assert registration_reads({}) == {REGISTRATIONS: 1}
    assert registration_reads({REGISTRATIONS: 2, FIELD_DEFINITIONS: 1, PUT_FIELD: 3}) == {
        REGISTRATIONS: 2,
        FIELD_DEFINITIONS: 1,
    }


@pytest.mark.parametrize(
    ("states", "code", "words"),
    [
        ((State.BINDING, State.COMPLETE), 10, "not every attachment is in the field of its registration yet"),
        ((State.BINDING, State.PROCESSING), 10, "not every attachment is in the field of its registration yet"),
        ((State.BINDING, State.PENDING), 10, "transient errors are left"),
    ],
)
def test_what_is_not_in_its_field_yet_is_said_unless_something_is_still_to_be_sent(
    states: tuple[State, ...], code: int, words: str
) -> None:
    by_id = {f"item-{number}": state for number, state in enumerate(states)}

    ending = exit_of_run(LaneResult(states=by_id, selected=frozenset(by_id)), signalled=None)

    assert (ending.code, ending.reason) == (code, words)


def test_a_bind_that_was_changed_and_not_begun_is_left_too() -> None:
    ending = exit_of_run(LaneResult(states={"a": State.COMPLETE}, selected=None, binds_left=1), signalled=None)

    assert (ending.code, ending.retryable) == (10, True)
