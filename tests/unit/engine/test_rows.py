"""A state for each item, of which only those are kept that are not complete."""

import pytest

from batch_upload.engine.rows import States
from batch_upload.model import State
from tests.support.engine_world import some_items

ITEMS = some_items(3)
FIRST, SECOND, THIRD = (item.item_id for item in ITEMS)


def test_who_is_not_mentioned_is_complete() -> None:
    states = States(ITEMS, {SECOND: State.FAILED})

    assert dict(states) == {FIRST: State.COMPLETE, SECOND: State.FAILED, THIRD: State.COMPLETE}
    assert list(states) == [FIRST, SECOND, THIRD]


def test_what_the_manifest_does_not_list_has_no_state() -> None:
    with pytest.raises(KeyError):
        States(ITEMS, {})["another"]


def test_the_counts_add_up_to_the_items() -> None:
    counted = States(ITEMS, {SECOND: State.FAILED, THIRD: State.FAILED}).counted()

    assert counted == {State.COMPLETE: 1, State.FAILED: 2}
    assert States([], {}).counted() == {}
