"""What is complete is taken out before a plan is made, and the plan is the same as without."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.engine.plan import LaneOutlook, plan_items, plan_unfinished, tokens_of, unfinished_items
from batch_upload.engine.rows import BatchRows, row_of
from batch_upload.model import LIVE, OPEN, Item, Known, State
from batch_upload.records import Comparison
from tests.unit.engine.test_plan import MANIFESTS, OUTLOOKS, ledgers


def compared(items: Sequence[Item], rows: Sequence[Known]) -> Comparison:
    """What a ledger with these rows says of a manifest (`tests/unit/ledger/test_compare.py`)."""
    ids = Counter(row.item_id for row in rows)
    complete = {
        (row.item_id, row.client_token)
        for row in rows
        if row.current and row.state is State.COMPLETE and ids[row.item_id] == 1
    }
    tokens = tokens_of(items)
    unlisted = [row for row in rows if row.item_id not in tokens]
    return Comparison(
        {each[0]: each[0] in ids for each in tokens.items() if each not in complete},
        Counter(row.item_id for row in unlisted if row.state in LIVE | OPEN),
        tuple(row.item_id for row in unlisted if row.current and row.state is State.PARKED),
    )


def of_ids(rows: Sequence[Known], ids: Sequence[str]) -> BatchRows:
    return BatchRows.of([row for row in rows if row.item_id in ids])


def kept(made: Plan, rest: Sequence[Item]) -> list[Action]:
    """The actions of a whole plan that are for these items."""
    ids = {item.item_id for item in rest}
    return [each for each in made.actions if each.item_id in ids and each.kind is not ActionKind.ORPHAN]


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_the_plan_of_the_rest_is_that_part_of_the_whole_plan(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    sifted = unfinished_items(items, compared(items, rows))

    made = plan_unfinished(sifted, of_ids(rows, sifted.ids), outlook)

    whole = plan_items(items, BatchRows.of(rows), outlook)
    assert kept(made, sifted.items) == kept(whole, sifted.items)
    assert made.counts == whole.counts


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_with_what_is_known_of_the_unlisted_the_orphans_are_those_of_the_whole_plan(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    sifted = unfinished_items(items, compared(items, rows))

    made = plan_unfinished(sifted, of_ids(rows, [*sifted.ids, *sifted.unlisted]), outlook)

    whole = plan_items(items, BatchRows.of(rows), outlook)
    assert Counter(each.client_token for each in made.of(ActionKind.ORPHAN)) == Counter(
        each.client_token for each in whole.of(ActionKind.ORPHAN)
    )
    assert made.more_orphans == 0


@given(MANIFESTS, ledgers())
def test_what_is_taken_out_is_complete_and_all_that_is_known_of_its_id(items: list[Item], rows: list[Known]) -> None:
    sifted = unfinished_items(items, compared(items, rows))

    knowledge = BatchRows.of(rows)
    rest = {item.item_id for item in sifted.items}
    taken_out = [item for item in items if item.item_id not in rest]
    assert len(taken_out) == sifted.complete
    assert [item for item in items if item.item_id in rest] == list(sifted.items)
    for item in taken_out:
        row = row_of(item, knowledge)
        assert row is not None
        assert (row.state, row.client_token, row.current) == (State.COMPLETE, item.client_token, True)
        assert [each.item_id for each in rows].count(item.item_id) == 1


@given(MANIFESTS, ledgers())
def test_an_id_that_is_listed_twice_is_looked_at_closely(items: list[Item], rows: list[Known]) -> None:
    for item in items:
        sifted = unfinished_items([*items, item], compared([*items, item], rows))

        assert item in sifted.items
        assert item.item_id in sifted.ids or item.item_id not in {row.item_id for row in rows}
