"""The plan: a pure function of items and what the ledger knows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.actions import ActionKind
from batch_upload.engine.plan import (
    LaneOutlook,
    Selection,
    Unfinished,
    new_contents,
    parked_until,
    plan_items,
    plan_unfinished,
    with_twins,
)
from batch_upload.engine.rows import (
    BatchRows,
    carried_tries,
    latest_try,
    new_row,
    next_try,
    row_of,
    shown_row,
    shown_row_of_id,
    with_retries_counted,
    with_retry,
)
from batch_upload.model import AttachmentStatus, Capacity, Fault, Item, Known, State
from batch_upload.records import Twin
from tests.support.engine_world import an_item
from tests.support.manual_clock import EPOCH as NOW

LATER, EARLIER = NOW + timedelta(hours=5), NOW - timedelta(hours=5)
OUTLOOK = LaneOutlook(NOW)
STANDING = {State.PROCESSING: AttachmentStatus.IN_PROGRESS, State.COMPLETE: AttachmentStatus.COMPLETE}


def known_as(item: Item, state: State, *, current: bool = True, resume_after: datetime | None = None) -> Known:
    """What the ledger knows of an item in a state."""
    status = STANDING.get(state)
    return new_row(item)._replace(
        state=state,
        current=current,
        resume_after=resume_after,
        attachment_id=f"att-{item.item_id}-{item.generation}" if status else None,
        attachment_status=status,
        unknown_since=NOW if state in (State.SENDING, State.UNKNOWN) else None,
    )


def one(item: Item, *known: Known, outlook: LaneOutlook = OUTLOOK) -> ActionKind:
    """What is planned for an item."""
    return plan_items([item], BatchRows.of(known), outlook).actions[0].kind


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


def test_what_was_deleted_at_the_service_waits_for_another_generation() -> None:
    ended = known_as(an_item(), State.FAILED)._replace(
        attachment_id="att-1", attachment_status=AttachmentStatus.DELETED
    )

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

    orphans = {action.item_id for action in plan_items([], BatchRows.of(rows), OUTLOOK).actions}

    assert orphans == {"binding", "complete", "processing", "sending", "unknown"}


def test_what_is_left_for_a_later_run_is_no_orphan() -> None:
    rows = [known_as(an_item(name), State.COMPLETE) for name in ("a", "b", "c")]
    counted = Unfinished(unlisted={"a": 1, "b": 1, "c": 1})

    made = plan_items([], BatchRows.of(rows), OUTLOOK, later={"b"})
    unread = plan_unfinished(counted, BatchRows.of(rows[:1]), OUTLOOK, later={"b"})

    assert [action.item_id for action in made.actions] == ["a", "c"]
    assert ([action.item_id for action in unread.actions], unread.more_orphans) == (["a"], 1)


@pytest.mark.parametrize(
    ("twins", "reason"),
    [
        ((), "new"),
        ((("old.pdf", "june"),), "the orphan `old.pdf`: if it was renamed, `id: old.pdf` keeps that"),
        ((("listed.pdf", "june"),), "`listed.pdf`, uploaded on 2026-11-23"),
        ((("later.pdf", "june"),), "`later.pdf`, uploaded on 2026-11-23"),
        ((("new.pdf", "may"),), "`new.pdf` of the batch `may`, uploaded on 2026-11-23"),
        ((("old.pdf", "june"), ("new.pdf", "may"), ("listed.pdf", "june")), "the orphan `old.pdf`: "),
        ((("new.pdf", "may"), ("listed.pdf", "june")), "`listed.pdf`, uploaded on 2026-11-23"),
    ],
)
def test_what_is_created_names_what_has_the_same_bytes_already(twins: Sequence[tuple[str, str]], reason: str) -> None:
    new, listed = an_item("new.pdf"), an_item("listed.pdf", content="other")
    found = [Twin(new.content, item_id, batch, datetime(2026, 11, 23, tzinfo=UTC)) for item_id, batch in twins]
    made = plan_items([new, listed], BatchRows.of([known_as(listed, State.COMPLETE)]), OUTLOOK)

    told = with_twins(made, found, [new, listed], batch="june", is_part=False, later={"later.pdf"})

    assert new_contents(made) == {new.content}
    first, second = told.actions
    assert reason in first.reason
    assert first.reason == "new" or first.reason.startswith("new, has the same bytes as ")
    assert second == made.actions[1]


def test_a_part_of_a_manifest_calls_nothing_an_orphan() -> None:
    new = an_item("new.pdf")
    made = plan_items([new], BatchRows.of([]), OUTLOOK, is_part=True)
    twin = Twin(new.content, "old.pdf", "june", datetime(2026, 11, 23, tzinfo=UTC))

    (action,) = with_twins(made, [twin], [new], batch="june", is_part=True, later=frozenset()).actions

    assert action.reason == "new, has the same bytes as `old.pdf`, uploaded on 2026-11-23"


def test_what_was_replaced_is_an_orphan() -> None:
    old, new = an_item(), an_item(content="new")
    rows = [known_as(old, State.COMPLETE, current=False), known_as(new, State.COMPLETE)]

    actions = plan_items([new], BatchRows.of(rows), OUTLOOK).actions

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
    known = BatchRows.of([known_as(parked, State.PARKED, resume_after=resume_after)])

    actions = plan_items([parked, new], known, LaneOutlook(NOW, capacity)).actions

    assert [action.kind for action in actions] == [kind, kind]


def test_who_asks_for_the_parked_gets_them_tried() -> None:
    known = known_as(an_item(), State.PARKED, resume_after=LATER)

    assert one(an_item(), known, outlook=LaneOutlook(NOW, tries_parked=True)) is ActionKind.CREATE


def test_the_latest_time_counts() -> None:
    rows = [known_as(an_item(str(hours)), State.PARKED, resume_after=NOW + timedelta(hours=hours)) for hours in (1, 3)]

    assert parked_until(BatchRows.of(rows), OUTLOOK) == NOW + timedelta(hours=3)


def test_a_full_lane_does_not_park_what_is_there_or_open() -> None:
    rows = [known_as(an_item(state.value), state, resume_after=LATER) for state in State]
    items = [an_item(state.value) for state in (State.COMPLETE, State.SENDING)]

    kinds = [action.kind for action in plan_items(items, BatchRows.of(rows), OUTLOOK).actions[:2]]

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


IN_LEDGER = [state for state in State if state is not State.INVALID]
"""No row of a ledger is `invalid`."""
STATES = st.sampled_from(IN_LEDGER)
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
    tries = VERSIONS | st.builds(with_retry, VERSIONS, st.sampled_from([1, 2]))
    versions = draw(st.lists(tries, unique_by=lambda item: item.client_token, max_size=10))
    last = {item.item_id: item.client_token for item in versions}
    times = st.sampled_from([None, LATER, EARLIER])
    rows = [
        known_as(item, draw(STATES), current=last[item.item_id] == item.client_token, resume_after=draw(times))
        for item in versions
    ]
    return [draw(st.sampled_from([row, with_failed_attachment(row)])) for row in rows]


def with_failed_attachment(row: Known) -> Known:
    """The row, or, where its state is that of a failure, one whose attachment ended as UPLOAD_FAILED."""
    if row.state is not State.FAILED:
        return row
    return row._replace(attachment_id=f"att-{row.client_token}", attachment_status=AttachmentStatus.FAILED)


MANIFESTS = st.lists(VERSIONS, unique_by=lambda item: item.item_id, max_size=4)
OUTLOOKS = st.builds(
    LaneOutlook, st.just(NOW), st.sampled_from([None, Capacity(25, 25), Capacity(3, 25)]), st.booleans()
)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_each_item_has_one_action_in_the_manifests_order_and_orphans_come_last(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    knowledge = BatchRows.of(rows)
    actions = plan_items(items, knowledge, outlook).actions

    listed, orphans = actions[: len(items)], actions[len(items) :]
    assert [(action.item_id, action.client_token) for action in listed] == [
        (item.item_id, next_try(item, knowledge).client_token) for item in items
    ]
    assert {action.kind for action in orphans} <= {ActionKind.ORPHAN}
    assert ActionKind.ORPHAN not in {action.kind for action in listed}
    assert all(action.reason for action in actions)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_nothing_that_stands_or_may_stand_is_sent_anew(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    by_token = {row.client_token: row for row in rows}
    sending = plan_items(items, BatchRows.of(rows), outlook).of(ActionKind.CREATE, ActionKind.REPLACE)

    for action in sending:
        row = by_token.get(action.client_token)
        assert row is None or row.state in (State.PENDING, State.PARKED, State.FAILED)
        current = next((row for row in rows if row.current and row.item_id == action.item_id), None)
        assert current is None or current.state not in (State.SENDING, State.UNKNOWN)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_the_same_question_has_the_same_answer(items: list[Item], rows: list[Known], outlook: LaneOutlook) -> None:
    before = (list(items), list(rows))

    assert plan_items(items, BatchRows.of(rows), outlook) == plan_items(items, BatchRows.of(rows), outlook)
    assert (items, rows) == before


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_a_token_is_an_orphan_once_and_only_while_no_item_has_it(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    orphans = [action.client_token for action in plan_items(items, BatchRows.of(rows), outlook).of(ActionKind.ORPHAN)]

    assert len(set(orphans)) == len(orphans)
    assert set(orphans).isdisjoint(item.client_token for item in items)


@given(MANIFESTS, ledgers())
def test_once_everything_is_complete_nothing_is_left_to_do(items: list[Item], rows: list[Known]) -> None:
    wanted = {item.client_token for item in items}
    listed = {item.item_id for item in items}
    kept = [
        row._replace(current=row.item_id not in listed, attachment_id=None, state=State.PENDING)
        for row in rows
        if row.client_token not in wanted
    ]
    done = [known_as(item, State.COMPLETE) for item in items]

    actions = plan_items(items, BatchRows.of([*kept, *done]), OUTLOOK).actions

    assert {action.kind for action in actions} <= {ActionKind.UNCHANGED}


def test_a_refusal_is_named_where_it_is_tried_again() -> None:
    refused = known_as(an_item(), State.FAILED)._replace(fault=Fault("ValidationException", "no"))

    action = plan_items([an_item()], BatchRows.of([refused]), OUTLOOK).actions[0]

    assert "ValidationException" in action.reason
    assert action.state is State.FAILED


def failed_upload(item: Item, *, current: bool = True) -> Known:
    """A token whose attachment ended as UPLOAD_FAILED."""
    return known_as(item, State.FAILED, current=current)._replace(
        attachment_id=f"att-{item.client_token}",
        attachment_status=AttachmentStatus.FAILED,
        fault=Fault("UPLOAD_FAILED", "the service could not process the attachment"),
    )


def tried(item: Item, retries: int) -> list[Known]:
    """What the ledger knows of an item that failed at first, and so many times again."""
    tries = [item, *(with_retry(item, retry) for retry in range(1, retries + 1))]
    return [failed_upload(each, current=each is tries[-1]) for each in tries]


@pytest.mark.parametrize("retries", [0, 1])
def test_an_upload_that_failed_is_tried_again_under_the_token_of_the_next_retry(retries: int) -> None:
    item, rows = an_item(), tried(an_item(), retries)

    (action,) = plan_items([item], BatchRows.of(rows), OUTLOOK).actions

    assert action.kind is ActionKind.CREATE
    assert action.client_token == with_retry(item, retries + 1).client_token
    assert action.item == with_retry(item, retries + 1)
    assert action.state is State.FAILED
    assert action.reason.endswith(f"the next run tries again ({retries + 1} of 2)")


def test_after_two_retries_only_another_file_or_generation_is_sent() -> None:
    item, rows = an_item(), tried(an_item(), 2)

    (action,) = plan_items([item], BatchRows.of(rows), OUTLOOK).actions

    assert action.kind is ActionKind.FAILED
    assert action.known == rows[-1]
    assert "replace the file, or raise `generation`" in action.reason
    assert one(an_item(generation=2), *rows) is ActionKind.REPLACE
    assert one(an_item(content="new"), *rows) is ActionKind.REPLACE


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (State.PENDING, ActionKind.CREATE),
        (State.PARKED, ActionKind.PARKED),
        (State.SENDING, ActionKind.RESOLVE),
        (State.PROCESSING, ActionKind.UNCHANGED),
        (State.COMPLETE, ActionKind.UNCHANGED),
    ],
)
def test_the_latest_retry_decides(state: State, kind: ActionKind) -> None:
    item, retry = an_item(), with_retry(an_item(), 1)
    knowledge = BatchRows.of([failed_upload(item, current=False), known_as(retry, state)])

    (action,) = plan_items([item], knowledge, OUTLOOK).actions

    assert action.kind is kind
    assert action.client_token == retry.client_token
    assert action.state is state
    assert row_of(item, knowledge) == knowledge.by_token[retry.client_token]


def test_a_retry_counts_without_the_failure_before_it() -> None:
    retry = with_retry(an_item(), 2)

    assert one(an_item(), known_as(retry, State.COMPLETE)) is ActionKind.UNCHANGED


def test_other_tags_of_what_is_complete_under_a_retry_are_changed_to_the_token_of_their_own() -> None:
    item, other = an_item(), an_item(tags={"Customer": "other"})
    rows = [failed_upload(item, current=False), known_as(with_retry(item, 1), State.COMPLETE)]

    (action,) = plan_items([other], BatchRows.of(rows), OUTLOOK).actions

    assert (action.kind, action.client_token) == (ActionKind.RETAG, other.client_token)


def test_tags_never_go_back_to_a_token_that_has_a_failed_attachment() -> None:
    item, other = an_item(), an_item(tags={"Customer": "other"})
    rows = [failed_upload(item, current=False), known_as(other, State.COMPLETE)]

    (action,) = plan_items([item], BatchRows.of(rows), OUTLOOK).actions

    assert (action.kind, action.client_token) == (ActionKind.RETAG, with_retry(item, 1).client_token)


@pytest.mark.parametrize("state", [State.PROCESSING, State.COMPLETE])
def test_a_higher_generation_that_is_at_the_service_satisfies_an_item_that_failed(state: State) -> None:
    item, higher = an_item(), an_item(generation=2)
    knowledge = BatchRows.of([failed_upload(item, current=False), known_as(higher, state)])

    (action,) = plan_items([item], knowledge, OUTLOOK).actions

    assert (action.kind, action.state) == (ActionKind.UNCHANGED, state)
    assert row_of(item, knowledge) == knowledge.by_token[higher.client_token]


@pytest.mark.parametrize(
    "higher", [an_item(generation=2, tags={"Customer": "other"}), an_item(content="new", generation=2)]
)
def test_a_higher_generation_of_other_content_or_tags_satisfies_nothing(higher: Item) -> None:
    knowledge = BatchRows.of([failed_upload(an_item(), current=False), known_as(higher, State.COMPLETE)])

    assert next_try(an_item(), knowledge) == with_retry(an_item(), 1)


def test_a_full_lane_parks_a_retry_too() -> None:
    parked = known_as(an_item("other"), State.PARKED, resume_after=LATER)

    assert one(an_item(), *tried(an_item(), 1), parked) is ActionKind.PARKED


@given(st.lists(STATES, max_size=3), st.integers(0, 2))
def test_the_token_of_a_try_is_the_same_whoever_asks_again(states: list[State], failures: int) -> None:
    item = an_item()
    tries = [item, with_retry(item, 1), with_retry(item, 2)]
    rows = [failed_upload(each) for each in tries[:failures]]
    rows += [known_as(each, state) for each, state in zip(tries[failures:], states, strict=False)]
    knowledge = BatchRows.of(rows)

    latest, following = latest_try(item, knowledge), next_try(item, knowledge)

    assert latest_try(latest, knowledge) == latest
    assert next_try(following, knowledge) == following
    assert latest in tries
    assert following in tries


def test_tokens_of_retries_are_looked_for_only_among_what_belongs_to_nothing() -> None:
    item, other = an_item("a"), an_item("b")
    retry = with_retry(item, 1)
    carried = {item.client_token, retry.client_token, "bu1-of-another-batch"}

    assert carried_tries([item, other], carried, BatchRows()) == [item, retry]
    assert carried_tries([item, other], {item.client_token}, BatchRows()) == [item]


def test_of_a_part_only_what_it_lists_can_be_an_orphan() -> None:
    listed, replaced = an_item("a", content="new"), known_as(an_item("a"), State.COMPLETE, current=False)
    rows = [replaced, known_as(listed, State.COMPLETE), known_as(an_item("b"), State.COMPLETE)]

    whole = plan_items([listed], BatchRows.of(rows), OUTLOOK)
    part = plan_items([listed], BatchRows.of(rows), OUTLOOK, is_part=True)

    assert [each.item_id for each in whole.of(ActionKind.ORPHAN)] == ["a", "b"]
    assert [each.item_id for each in part.of(ActionKind.ORPHAN)] == ["a"]


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_failed_upload_says_how_often_it_was_tried_again(retries: int) -> None:
    rows = tried(an_item(), retries)
    others = [failed_upload(an_item(tags={"Customer": "other"})), failed_upload(an_item("b"))]

    (counted,) = with_retries_counted(rows[-1:], [*rows, *others])

    assert counted.fault is not None
    assert counted.fault.fields == (("retries", str(retries)),)


@given(MANIFESTS, ledgers(), OUTLOOKS)
def test_an_item_is_reported_in_the_state_that_it_is_planned_in(
    items: list[Item], rows: list[Known], outlook: LaneOutlook
) -> None:
    """While the outcome of another token is open, what stands until then is reported, and the item is planned anew."""
    knowledge = BatchRows.of(rows)

    actions = plan_items(items, knowledge, outlook).actions

    for item, action in zip(items, actions, strict=False):
        shown, is_open = shown_row(item, knowledge), action.kind is ActionKind.RESOLVE
        if not (is_open and action.known is not None and action.known.client_token != action.client_token):
            assert action.state is (State.PENDING if shown is None else shown.state)


def test_while_tags_are_changed_an_id_is_reported_by_the_attachment_that_it_has() -> None:
    stands = known_as(an_item("a", tags={"A": "1"}), State.COMPLETE, current=False)
    intent = known_as(an_item("a", tags={}), State.PENDING)
    refused = intent._replace(state=State.FAILED, fault=Fault("ValidationException", "no"))

    shown = shown_row_of_id([stands, refused])

    assert shown_row_of_id([stands, intent]) == stands
    assert shown is not None
    assert (shown.state, shown.fault, shown.client_token) == (State.FAILED, refused.fault, stands.client_token)


def test_an_id_that_has_another_document_now_is_reported_by_that() -> None:
    before = known_as(an_item("a", content="before"), State.COMPLETE, current=False)
    now = known_as(an_item("a"), State.PENDING)

    assert shown_row_of_id([before, now]) == now
    assert shown_row_of_id([before]) is None
