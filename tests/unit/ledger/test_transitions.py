"""How an item changes: pure functions, each of which leaves an item that the tables take."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.ledger import transitions
from batch_upload.model import OPEN, Attachment, AttachmentStatus, Known, Outcome, OutcomeKind, State
from batch_upload.ports import ABSENT, DELETING
from batch_upload.registration import Bind, BindState, Denial
from tests.unit.ledger.samples import NO_ANSWER, T0, TOO_LARGE, after, attachment, ended

NEW = Known("a", "bu1-a-1", State.PENDING, "sha256:00", {}, 1)
SENT = transitions.sent(NEW, at=T0)
PROCESSING = transitions.made(SENT, attachment("att-1"), request_id="req-1", at=after(1))
COMPLETE = transitions.seen(PROCESSING, AttachmentStatus.COMPLETE, at=after(2))
FIELD, OTHER_FIELD = Bind("registration-1", "a.b"), Bind("registration-1", "c")
BINDING = transitions.bind_wanted(COMPLETE, FIELD)
ACCEPTED, REFUSED = Outcome(OutcomeKind.ACCEPTED, T0), ended(OutcomeKind.REFUSED, TOO_LARGE)


def bound(item: Known, outcome: Outcome = ACCEPTED, *, version: int = 1) -> Known:
    """An item whose binding was tried once."""
    return transitions.bind_ended(transitions.bind_sent(item), outcome, version=version, was_sent=False)


BOUND = bound(BINDING)._replace(denial=Denial(1, "NOT_CLEAR", ""))
REFUSED_ONE = bound(BINDING, REFUSED)
REPLACED = BOUND._replace(bind_state=BindState.REPLACED)


def may_be_stored(item: Known) -> bool:
    """What the table demands of each state (`sqlite/schema.py`)."""
    has_attachment, is_unknown = item.attachment_id is not None, item.unknown_since is not None
    demands = {
        State.PENDING: not has_attachment and not is_unknown,
        State.SENDING: not has_attachment and is_unknown,
        State.PROCESSING: has_attachment and not is_unknown,
        State.BINDING: item.bind_state in (BindState.WANTED, BindState.SENT)
        and item.attachment_status is AttachmentStatus.COMPLETE
        and item.completed_at is not None
        and not is_unknown,
        State.COMPLETE: has_attachment
        and not is_unknown
        and item.completed_at is not None
        and item.bind_state in (None, BindState.BOUND, BindState.REPLACED),
        State.FAILED: item.fault is not None and not is_unknown,
        State.UNKNOWN: not has_attachment and is_unknown,
        State.PARKED: not is_unknown,
    }
    return (
        demands[item.state]
        and is_unknown == (item.last_open_at is not None)
        and (item.resume_after is None or item.state is State.PARKED)
        and (item.attempts == 0) == (item.first_sent_at is None)
        and (item.bind is None) == (item.bind_state is None)
        and (item.bind is not None or (item.bound_version, item.denial) == (None, None))
        and (item.bind_state is not BindState.BOUND or item.bound_version is not None)
        and (item.bind_state is not BindState.REFUSED or (item.state is State.FAILED and has_attachment))
    )


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.ACCEPTED])
@pytest.mark.parametrize("before", [None, after(-60)])
def test_an_attempt_without_an_attachment_leaves_what_was_unknown_before(
    kind: OutcomeKind, before: datetime | None
) -> None:
    left = transitions.unanswered(SENT, ended(kind, TOO_LARGE), unknown_before=before, last_open_before=before)

    assert may_be_stored(left)
    assert left.state in OPEN if before or kind is OutcomeKind.UNKNOWN else left.state not in OPEN
    assert left.fault == TOO_LARGE


def test_an_attempt_that_was_withdrawn_does_not_count() -> None:
    again = transitions.sent(transitions.withdrawn(SENT), at=after(5))

    assert (again.attempts, again.first_sent_at) == (1, after(5))


def test_an_answer_that_comes_late_takes_nothing_back() -> None:
    late = replace(ended(OutcomeKind.REFUSED, TOO_LARGE), request_id="req-2")

    left = transitions.unanswered(COMPLETE, late, unknown_before=None, last_open_before=None)

    assert left == COMPLETE._replace(request_id="req-2")
    assert transitions.seen(COMPLETE, AttachmentStatus.IN_PROGRESS, at=after(9)) == COMPLETE


@pytest.mark.parametrize("status", AttachmentStatus)
def test_another_attachment_of_a_token_is_made_anew(status: AttachmentStatus) -> None:
    failed = transitions.seen(PROCESSING, AttachmentStatus.FAILED, at=after(3))

    made = transitions.made(failed, attachment("att-2", status), at=after(4))

    assert may_be_stored(made)
    assert (made.attachment_id, made.request_id) == ("att-2", "req-1")
    assert made.completed_at == (after(4) if status is AttachmentStatus.COMPLETE else None)


@pytest.mark.parametrize("item", [NEW, SENT, PROCESSING, COMPLETE])
def test_what_failed_here_proves_nothing_about_the_service(item: Known) -> None:
    failed = transitions.failed(item, NO_ANSWER)

    assert may_be_stored(failed)
    assert failed.state is (State.SENDING if item.state in OPEN else State.FAILED)


@pytest.mark.parametrize("item", [PROCESSING, COMPLETE, BINDING, BOUND, REPLACED])
def test_an_attachment_that_is_not_deleted_is_what_it_was(item: Known) -> None:
    begun = transitions.deletion_begun(item, run_id="run-1", at=after(3))

    assert begun.fault is not None
    assert begun.fault.code == DELETING
    assert transitions.deletion_ended(begun, is_gone=False) == item
    assert not begun.is_live
    gone = transitions.deletion_ended(begun, is_gone=True)
    assert (gone.attachment_status, gone.bound_to, gone.denial) == (AttachmentStatus.DELETED, None, None)


def test_an_attachment_whose_binding_was_refused_counts_as_deleted_while_it_is_deleted() -> None:
    begun = transitions.deletion_begun(REFUSED_ONE, run_id="run-1", at=after(3))

    assert (begun.state, begun.is_live) == (State.FAILED, False)
    assert transitions.deletion_ended(begun, is_gone=False) == BINDING


def test_an_attachment_that_is_not_found_is_kept_for_when_it_is() -> None:
    lost = transitions.not_found(COMPLETE)

    assert lost.fault is not None
    assert (lost.state, lost.fault.code, lost.attachment_id) == (State.FAILED, ABSENT, "att-1")
    assert transitions.seen(lost, AttachmentStatus.COMPLETE, at=after(3)) == COMPLETE._replace(completed_at=after(3))
    assert transitions.not_found(SENT) == SENT


def test_an_attachment_has_one_item_before_and_after_its_tags_were_changed() -> None:
    heir = NEW._replace(client_token="bu1-a-2")

    given, taken = transitions.given_away(COMPLETE), transitions.retagged(heir, COMPLETE)

    assert may_be_stored(given)
    assert may_be_stored(taken)
    assert (given.attachment_id, given.completed_at) == (None, None)
    assert (taken.state, taken.attachment_id, taken.completed_at) == (State.COMPLETE, "att-1", after(2))


@pytest.mark.parametrize("item", [BINDING, BOUND, REFUSED_ONE, REPLACED])
@pytest.mark.parametrize("status", [AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE])
def test_a_late_status_takes_nothing_back_of_a_binding(item: Known, status: AttachmentStatus) -> None:
    assert transitions.seen(item, status, at=after(9)) == item


@pytest.mark.parametrize("item", [BINDING, BOUND, REFUSED_ONE, REPLACED])
def test_nothing_is_bound_of_an_attachment_that_is_gone(item: Known) -> None:
    for gone in (
        transitions.not_found(item),
        transitions.seen(item, AttachmentStatus.DELETED, at=after(3)),
        transitions.given_away(item),
    ):
        assert may_be_stored(gone)
        assert (gone.bind, gone.bind_state, gone.bound_version, gone.denial) == (FIELD, BindState.WANTED, None, None)
    found = transitions.seen(transitions.not_found(item), AttachmentStatus.COMPLETE, at=after(4))
    assert found == BINDING._replace(completed_at=after(4))


@pytest.mark.parametrize("item", [BOUND, REFUSED_ONE, REPLACED, BINDING])
def test_a_changed_bind_is_bound_anew_and_a_removed_one_is_complete(item: Known) -> None:
    changed = transitions.bind_wanted(item, OTHER_FIELD)

    assert changed == BINDING._replace(bind=OTHER_FIELD)
    assert transitions.bind_wanted(item, None) == COMPLETE


def test_an_unchanged_bind_is_left_alone_unless_another_attachment_was_put_there() -> None:
    assert transitions.bind_wanted(BOUND, FIELD) == BOUND
    assert transitions.bind_wanted(REFUSED_ONE, FIELD) == REFUSED_ONE
    assert transitions.bind_wanted(REPLACED, FIELD) == BINDING


@pytest.mark.parametrize("item", [NEW, SENT, PROCESSING, transitions.not_found(COMPLETE)])
def test_a_bind_waits_until_there_is_an_attachment(item: Known) -> None:
    wanted = transitions.bind_wanted(item, FIELD)

    assert wanted == item._replace(bind=FIELD, bind_state=BindState.WANTED)


def test_a_binding_that_failed_here_keeps_its_attachment() -> None:
    failed = transitions.failed(BINDING, TOO_LARGE)

    assert failed == REFUSED_ONE
    assert failed.is_live


def test_an_item_whose_attachment_is_gone_is_not_bound_by_a_late_answer() -> None:
    gone = transitions.seen(transitions.bind_sent(BINDING), AttachmentStatus.DELETED, at=after(3))

    for outcome in (ACCEPTED, REFUSED, ended(OutcomeKind.UNKNOWN)):
        assert transitions.bind_ended(gone, outcome, version=None, was_sent=False) == gone


def test_an_attachment_with_new_tags_stays_in_its_field() -> None:
    heir = NEW._replace(client_token="bu1-a-2", bind=FIELD, bind_state=BindState.WANTED)

    for owner in (BOUND, BINDING, REFUSED_ONE, transitions.bind_sent(BINDING)):
        taken = transitions.retagged(heir, owner)
        assert may_be_stored(taken)
        assert taken[2:3] + taken[-4:] == owner[2:3] + owner[-4:]
    for owner in (REPLACED, COMPLETE, bound(transitions.bind_wanted(COMPLETE, OTHER_FIELD))):
        taken = transitions.retagged(heir, owner)
        assert (taken.state, taken.bind, taken.bind_state) == (State.BINDING, FIELD, BindState.WANTED)
    assert transitions.retagged(NEW, BOUND).state is State.COMPLETE
    assert transitions.retagged(heir, PROCESSING).state is State.PROCESSING


STEPS = st.sampled_from(
    [
        lambda item, at: transitions.sent(item, at=at) if not item.is_live and not item.attachment_id else item,
        *(lambda item, at, bind=bind: transitions.bind_wanted(item, bind) for bind in (None, FIELD, OTHER_FIELD)),
        lambda item, at: bound(item) if item.state is State.BINDING else item,
        lambda item, at: bound(item, REFUSED) if item.state is State.BINDING else item,
        lambda item, at: transitions.bind_sent(item) if transitions.is_refused(item) else item,
        lambda item, at: transitions.reviewed(item, Denial(1, "", "")),
        lambda item, at: transitions.bind_ended(item, ACCEPTED, version=2, was_sent=True) if item.bind else item,
        lambda item, at: transitions.failed(item, NO_ANSWER),
        lambda item, at: transitions.not_found(item),
        lambda item, at: transitions.deletion_begun(item, run_id="run", at=at),
        lambda item, at: transitions.deletion_ended(item, is_gone=True),
        lambda item, at: transitions.deletion_ended(item, is_gone=False),
        *(
            lambda item, at, status=status: (
                transitions.made(item, Attachment("att-1", "arn", status, T0), at=at)
                if item.attempts
                else transitions.made(transitions.sent(item, at=at), Attachment("att-1", "arn", status, T0), at=at)
            )
            for status in AttachmentStatus
        ),
    ]
)


@given(st.lists(STEPS, max_size=8))
def test_any_sequence_of_changes_leaves_an_item_that_the_tables_take(steps: list[object]) -> None:
    item = NEW

    for number, step in enumerate(steps):
        item = step(item, after(number))  # type: ignore[operator]

        assert may_be_stored(item)
