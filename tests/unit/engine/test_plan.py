"""The plan: a pure function of items and what the ledger knows."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.engine.plan import Knowledge, LaneOutlook, Selection, fresh, parked_until, plan, state_of
from batch_upload.model import ActionKind, AttachmentStatus, Capacity, Fault, Item, Known, State
from tests.support.engine_world import an_item
from tests.support.manual_clock import EPOCH as NOW

LATER, EARLIER = NOW + timedelta(hours=5), NOW - timedelta(hours=5)
OUTLOOK = LaneOutlook(NOW)
STANDING = {State.PROCESSING: AttachmentStatus.IN_PROGRESS, State.COMPLETE: AttachmentStatus.COMPLETE}


def known_as(item: Item, state: State, *, current: bool = True, resume_after: datetime | None = None) -> Known:
    """What the ledger knows of an item in a state."""
    status = STANDING.get(state)
    return replace(
        fresh(item),
        state=state,
        current=current,
        resume_after=resume_after,
        attachment_id=f"att-{item.item_id}-{item.generation}" if status else None,
        attachment_status=status,
        unknown_since=NOW if state in (State.SENDING, State.UNKNOWN) else None,
    )


def one(item: Item, *known: Known, outlook: LaneOutlook = OUTLOOK) -> ActionKind:
    """What is planned for an item."""
    return plan([item], Knowledge.of(known), outlook).actions[0].kind


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (State.PENDING, ActionKind.CREATE),
        (State.SENDING, ActionKind.RESOLVE),
        (State.PROCESSING, ActionKind.UNCHANGED),
        (State.COMPLETE, ActionKind.UNCHANGED),
        (State.FAILED, ActionKind.CREATE),
        (State.UNKNOWN, ActionKind.RESOLVE),
    ],
)
def test_the_state_of_an_items_own_token_decides(state: State, kind: ActionKind) -> None:
    assert one(an_item(), known_as(an_item(), state)) is kind


@pytest.mark.parametrize("status", [AttachmentStatus.FAILED, AttachmentStatus.DELETED])
def test_what_the_service_failed_or_lost_waits_for_another_generation(status: AttachmentStatus) -> None:
    ended = replace(known_as(an_item(), State.FAILED), attachment_id="att-1", attachment_status=status)

    assert one(an_item(), ended) is ActionKind.FAILED
    assert one(an_item(generation=2), ended) is ActionKind.REPLACE


def test_a_new_item_is_created() -> None:
    assert one(an_item()) is ActionKind.CREATE


@pytest.mark.parametrize(
    ("wanted", "state", "kind"),
    [
        (an_item(content="new"), State.COMPLETE, ActionKind.REPLACE),
        (an_item(content="new"), State.PROCESSING, ActionKind.REPLACE),
        (an_item(content="new"), State.PENDING, ActionKind.CREATE),
        (an_item(content="new"), State.FAILED, ActionKind.CREATE),
        (an_item(content="new"), State.SENDING, ActionKind.RESOLVE),
        (an_item(content="new"), State.UNKNOWN, ActionKind.RESOLVE),
        (an_item(generation=2), State.COMPLETE, ActionKind.REPLACE),
        (an_item(tags={"Customer": "other"}), State.COMPLETE, ActionKind.RETAG),
        (an_item(tags={"Customer": "other"}), State.PROCESSING, ActionKind.RETAG),
        (an_item(tags={"Customer": "other"}), State.SENDING, ActionKind.RESOLVE),
    ],
)
def test_an_edited_item_follows_what_was_sent_under_its_id(wanted: Item, state: State, kind: ActionKind) -> None:
    assert one(wanted, known_as(an_item(), state)) is kind


def test_what_the_manifest_no_longer_lists_is_an_orphan_if_it_stands_or_may_stand() -> None:
    rows = [known_as(an_item(state.value), state) for state in State]

    orphans = {action.item_id for action in plan([], Knowledge.of(rows), OUTLOOK).actions}

    assert orphans == {"complete", "processing", "sending", "unknown"}


def test_what_was_replaced_is_an_orphan() -> None:
    old, new = an_item(), an_item(content="new")
    rows = [known_as(old, State.COMPLETE, current=False), known_as(new, State.COMPLETE)]

    actions = plan([new], Knowledge.of(rows), OUTLOOK).actions

    assert [(action.kind, action.client_token) for action in actions] == [
        (ActionKind.UNCHANGED, new.client_token),
        (ActionKind.ORPHAN, old.client_token),
    ]


# capacity


@pytest.mark.parametrize(
    ("resume_after", "capacity", "kind"),
    [
        (LATER, None, ActionKind.PARKED),
        (LATER, Capacity(0, 25), ActionKind.PARKED),
        (EARLIER, None, ActionKind.CREATE),
        (NOW, None, ActionKind.CREATE),
        (None, None, ActionKind.PARKED),
        (None, Capacity(25, 25), ActionKind.PARKED),
        (None, Capacity(24, 25), ActionKind.CREATE),
    ],
)
def test_a_full_lane_is_full_for_every_item_until_its_time_or_until_capacity_is_seen(
    resume_after: datetime | None, capacity: Capacity | None, kind: ActionKind
) -> None:
    parked, new = an_item("parked"), an_item("new")
    known = Knowledge.of([known_as(parked, State.PARKED, resume_after=resume_after)])

    actions = plan([parked, new], known, LaneOutlook(NOW, capacity)).actions

    assert [action.kind for action in actions] == [kind, kind]


def test_who_asks_for_the_parked_gets_them_tried() -> None:
    known = known_as(an_item(), State.PARKED, resume_after=LATER)

    assert one(an_item(), known, outlook=LaneOutlook(NOW, tries_parked=True)) is ActionKind.CREATE


def test_the_latest_time_counts() -> None:
    rows = [known_as(an_item(str(hours)), State.PARKED, resume_after=NOW + timedelta(hours=hours)) for hours in (1, 3)]

    assert parked_until(Knowledge.of(rows), OUTLOOK) == NOW + timedelta(hours=3)


def test_a_full_lane_does_not_park_what_is_there_or_open() -> None:
    rows = [known_as(an_item(state.value), state, resume_after=LATER) for state in State]
    items = [an_item(state.value) for state in (State.COMPLETE, State.SENDING)]

    kinds = [action.kind for action in plan(items, Knowledge.of(rows), OUTLOOK).actions[:2]]

    assert kinds == [ActionKind.UNCHANGED, ActionKind.RESOLVE]


# selection


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(states=frozenset({State.FAILED})), True),
        (Selection(states=frozenset({State.PENDING})), False),
        (Selection(ids=frozenset({"a"})), True),
        (Selection(ids=frozenset({"b"})), False),
        (Selection(states=frozenset({State.FAILED}), ids=frozenset({"b"})), True),
    ],
)
def test_a_selection_takes_states_and_ids(selection: Selection, taken: bool) -> None:  # noqa: FBT001
    assert selection.takes("a", State.FAILED) is taken


# for all


STATES = st.sampled_from(State)
VERSIONS = st.builds(
    an_item,
    st.sampled_from("abcd"),
    content=st.sampled_from(["one", "two"]),
    generation=st.integers(1, 2),
    tags=st.sampled_from([{}, {"A": "1"}]),
)


@st.composite
def ledgers(draw: st.DrawFn) -> list[Known]:
    """What a ledger may hold: each token once, one current token an id."""
    versions = draw(st.lists(VERSIONS, unique_by=lambda item: item.client_token, max_size=10))
    last = {item.item_id: item.client_token for item in versions}
    times = st.sampled_from([None, LATER, EARLIER])
    return [
        known_as(item, draw(STATES), current=last[item.item_id] == item.client_token, resume_after=draw(times))
        for item in versions
    ]


MANIFESTS = st.lists(VERSIONS, unique_by=lambda item: item.item_id, max_size=4)
OUTLOOKS = st.builds(
    LaneOutlook, st.just(NOW), st.sampled_from([None, Capacity(25, 25), Capacity(3, 25)]), st.booleans()
)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_each_item_has_one_action_in_the_manifests_order_and_orphans_come_last(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    actions = plan(items, Knowledge.of(rows), outlook).actions

    listed, orphans = actions[: len(items)], actions[len(items) :]
    assert [(action.item_id, action.client_token) for action in listed] == [
        (item.item_id, item.client_token) for item in items
    ]
    assert {action.kind for action in orphans} <= {ActionKind.ORPHAN}
    assert ActionKind.ORPHAN not in {action.kind for action in listed}
    assert all(action.reason for action in actions)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_nothing_that_stands_or_may_stand_is_sent_anew(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    by_token = {row.client_token: row for row in rows}
    sending = plan(items, Knowledge.of(rows), outlook).of(ActionKind.CREATE, ActionKind.REPLACE)

    for action in sending:
        row = by_token.get(action.client_token)
        assert row is None or row.state in (State.PENDING, State.PARKED, State.FAILED)
        current = next((row for row in rows if row.current and row.item_id == action.item_id), None)
        assert current is None or current.state not in (State.SENDING, State.UNKNOWN)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_the_same_question_has_the_same_answer(items: list[Item], rows: list[Known], outlook: LaneOutlook) -> None:
    before = (list(items), list(rows))

    assert plan(items, Knowledge.of(rows), outlook) == plan(items, Knowledge.of(rows), outlook)
    assert (items, rows) == before


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_a_token_is_an_orphan_once_and_only_while_no_item_has_it(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    orphans = [action.client_token for action in plan(items, Knowledge.of(rows), outlook).of(ActionKind.ORPHAN)]

    assert len(set(orphans)) == len(orphans)
    assert set(orphans).isdisjoint(item.client_token for item in items)


@given(MANIFESTS, ledgers())
def test_once_everything_is_complete_nothing_is_left_to_do(items: list[Item], rows: list[Known]) -> None:
    wanted = {item.client_token for item in items}
    listed = {item.item_id for item in items}
    kept = [
        replace(row, current=row.item_id not in listed, attachment_id=None, state=State.PENDING)
        for row in rows
        if row.client_token not in wanted
    ]
    done = [known_as(item, State.COMPLETE) for item in items]

    actions = plan(items, Knowledge.of([*kept, *done]), OUTLOOK).actions

    assert {action.kind for action in actions} <= {ActionKind.UNCHANGED}


def test_a_refusal_is_named_where_it_is_tried_again() -> None:
    refused = replace(known_as(an_item(), State.FAILED), fault=Fault("ValidationException", "no"))

    action = plan([an_item()], Knowledge.of([refused]), OUTLOOK).actions[0]

    assert "ValidationException" in action.reason
    assert state_of(action) is State.FAILED
