"""What may be deleted, and that it is deleted only then, whatever is answered and whatever dies."""

from collections.abc import Sequence
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.engine.prune import pruning
from batch_upload.engine.rows import BatchRows, has_failed_upload, new_row, next_try, row_of, with_retry
from batch_upload.model import LIVE, AttachmentStatus, Fault, Item, Known, State
from batch_upload.ports import DELETING
from tests.support.engine_world import an_item
from tests.support.manual_clock import EPOCH as NOW

STATUS = {
    State.PROCESSING: AttachmentStatus.IN_PROGRESS,
    State.BINDING: AttachmentStatus.COMPLETE,
    State.COMPLETE: AttachmentStatus.COMPLETE,
    State.FAILED: AttachmentStatus.FAILED,
}


def row(item: Item, state: State = State.COMPLETE, *, current: bool = True, at: datetime = NOW) -> Known:
    """What the ledger knows of an item."""
    status = STATUS.get(state)
    return new_row(item)._replace(
        state=state,
        current=current,
        attachment_id=f"att-{item.client_token}" if status else None,
        attachment_status=status,
        completed_at=at if state is State.COMPLETE else None,
    )


def doomed(item: Item) -> Known:
    """An item whose deletion was begun."""
    return row(item)._replace(
        state=State.FAILED,
        attachment_status=AttachmentStatus.DELETED,
        fault=Fault(DELETING, "asked"),
    )


def chosen(items: Sequence[Item], *rows: Known) -> list[tuple[str, str]]:
    """What would be deleted: token and reason."""
    return [(each.known.client_token, each.reason) for each in pruning(items, rows).candidates]


def spared(items: Sequence[Item], *rows: Known) -> list[str]:
    return [each.reason for each in pruning(items, rows).spared]


A, B = an_item("a"), an_item("b")
A2 = an_item("a", generation=2)


def test_what_is_listed_stays_and_what_is_not_goes() -> None:
    assert chosen([A], row(A), row(B)) == [(B.client_token, "no longer in the manifest")]


def test_what_was_replaced_goes_once_its_successor_is_complete() -> None:
    old = row(A, current=False)

    assert chosen([A2], old, row(A2)) == [(A.client_token, "replaced by a later upload")]
    assert spared([A2], old, row(A2, State.PROCESSING)) == ["what replaces it is not complete yet"]
    assert spared([A2], old, row(A2, State.PENDING)) == ["what replaces it is not complete yet"]
    assert chosen([A2], row(A)) == []


def test_a_token_that_is_listed_again_stays_although_another_is_current() -> None:
    assert chosen([A], row(A, current=False), row(A2)) == [(A2.client_token, "replaced by a later upload")]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.SENDING, "its outcome is not known"),
        (State.UNKNOWN, "its outcome is not known"),
        (State.PROCESSING, "the service is still at work on it"),
    ],
)
def test_what_is_not_finished_is_spared(state: State, reason: str) -> None:
    assert (chosen([B], row(A, state)), spared([B], row(A, state))) == ([], [reason])


@pytest.mark.parametrize("state", [State.PENDING, State.PARKED, State.FAILED])
def test_what_made_nothing_that_stands_is_no_matter(state: State) -> None:
    assert (chosen([B], row(A, state)), spared([B], row(A, state))) == ([], [])


def test_what_carries_no_tag_cannot_be_proved_and_is_spared() -> None:
    blind = row(A)._replace(identity_tag=False)

    assert (chosen([B], blind), spared([B], blind)) == ([], ["it carries no identity tag that proves whose it is"])


def test_a_deletion_that_was_begun_is_gone_on_with_unless_it_is_listed_again() -> None:
    assert chosen([B], doomed(A)) == [(A.client_token, "no longer in the manifest")]
    assert (chosen([A], doomed(A)), spared([A], doomed(A))) == ([], [])


def test_what_only_has_other_tags_now_stands_for_its_item() -> None:
    retagged = an_item("a", tags={"Customer": "other"})

    assert retagged.client_token != A.client_token
    assert chosen([retagged], row(A)) == []


histories = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(1, 3),
        st.sampled_from([state for state in State if state is not State.INVALID]),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda each: each[:2],
)


@given(histories, st.sets(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), max_size=2))
def test_nothing_that_stands_for_a_listed_item_is_ever_chosen(
    history: list[tuple[str, int, State, bool]], listed: set[tuple[str, int]]
) -> None:
    items = list({name: an_item(name, generation=number) for name, number in listed}.values())
    rows = [row(an_item(name, generation=number), state, current=now) for name, number, state, now in history]

    found = pruning(items, rows)

    knowledge = BatchRows.of(rows)
    needed = {each.client_token for item in items if (each := row_of(item, knowledge)) is not None}
    taken = {each.known.client_token for each in found.candidates}
    failed = {each.client_token for each in rows if has_failed_upload(each)}
    assert taken.isdisjoint(needed | {next_try(item, knowledge).client_token for item in items})
    assert (taken - failed).isdisjoint(item.client_token for item in items)
    finished = (State.BINDING, State.COMPLETE)
    assert all(each.known.state in finished or each.is_replaced for each in found.candidates)
    assert all(each.known.state in finished or each.known.client_token in failed for each in found.candidates)
    assert all(each.known.attachment_id for each in found.candidates)
    for item in items:
        stands = row_of(item, knowledge)
        if stands is None or stands.state not in LIVE:
            assert all(each.known.item_id != item.item_id for each in found.candidates)


def test_an_attachment_that_failed_goes_once_its_retry_is_complete_which_stays() -> None:
    failed, retry = row(A, State.FAILED, current=False), with_retry(A, 1)

    assert chosen([A], row(A, State.FAILED)) == []
    assert chosen([A], failed, row(retry, State.PROCESSING)) == []
    assert chosen([A], failed, row(retry)) == [(A.client_token, "replaced by a later upload")]
    assert [token for token, _ in chosen([], failed, row(retry))] == [retry.client_token]


def test_a_higher_generation_that_satisfies_an_item_stays() -> None:
    assert chosen([A], row(A, State.FAILED, current=False), row(A2)) == [(A.client_token, "replaced by a later upload")]


def test_nothing_goes_of_an_id_that_is_left_for_a_later_run() -> None:
    found = pruning([], [row(A), row(B)], later={"b"})

    assert [each.known.item_id for each in found.candidates] == ["a"]
