"""What is planned for items whose attachments belong into fields of registrations. Pure."""

import pytest

from batch_upload.actions import Action, ActionKind
from batch_upload.engine.binding import binds_of, rows_after_rebind
from batch_upload.engine.plan import LaneOutlook, StepKind, must_enlist, plan_items, steps_left
from batch_upload.engine.rows import BatchRows, is_unsent, new_row, row_of
from batch_upload.model import AttachmentStatus, Fault, Item, Known, State
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, BindState, Denial, Registration
from tests.support.engine_world import an_item
from tests.support.manual_clock import EPOCH as NOW

FIELD, OTHER = Bind("registration-1", "optIn"), Bind("registration-2", "letter")
CREATE, SETTLE, RETAG, BIND = StepKind.CREATE, StepKind.SETTLE, StepKind.RETAG, StepKind.BIND
REFUSAL = Fault("ConflictException", "not now", reason="REGISTRATION_ALREADY_SUBMITTED")


def row(
    state: State,
    bind: Bind | None,
    bind_state: BindState | None,
    *,
    item: Item | None = None,
    version: int | None = None,
) -> Known:
    """The row of an item whose attachment the service has, unless it is pending."""
    is_there = state is not State.PENDING
    processing = state is State.PROCESSING
    status = AttachmentStatus.IN_PROGRESS if processing else AttachmentStatus.COMPLETE
    return new_row(item or an_item())._replace(
        state=state,
        attachment_id="att-1" if is_there else None,
        attachment_status=status if is_there else None,
        bind=bind,
        bind_state=bind_state,
        bound_version=version,
        fault=REFUSAL if bind_state is BindState.REFUSED else None,
    )


def planned(item: Item, *rows: Known, registrations: dict[str, Registration] | None = None) -> Action:
    outlook = LaneOutlook(NOW, registrations=registrations or {})
    return plan_items([item], BatchRows.of(rows), outlook).actions[0]


BOUND = row(State.COMPLETE, FIELD, BindState.BOUND, version=1)
REFUSED = row(State.FAILED, FIELD, BindState.REFUSED)


@pytest.mark.parametrize(
    ("wanted", "known", "kind", "reason", "steps"),
    [
        (FIELD, None, ActionKind.CREATE, "new, then bound to `optIn` of `registration-1`", {CREATE, SETTLE, BIND}),
        (None, None, ActionKind.CREATE, "new", {CREATE, SETTLE}),
        (FIELD, BOUND, ActionKind.UNCHANGED, "uploaded, in `optIn` of `registration-1`", set()),
        (
            FIELD,
            row(State.COMPLETE, None, None),
            ActionKind.BIND,
            "uploaded, to be put into `optIn` of `registration-1`",
            {BIND},
        ),
        (
            FIELD,
            row(State.BINDING, FIELD, BindState.WANTED),
            ActionKind.BIND,
            "uploaded, to be put into `optIn` of `registration-1`",
            {BIND},
        ),
        (
            FIELD,
            row(State.BINDING, FIELD, BindState.SENT),
            ActionKind.BIND,
            "request to put it into `optIn` of `registration-1` was not answered, sent again",
            {BIND},
        ),
        (
            FIELD,
            REFUSED,
            ActionKind.BIND,
            "binding to `optIn` of `registration-1` failed before (REGISTRATION_ALREADY_SUBMITTED), tried again",
            {BIND},
        ),
        (
            FIELD,
            row(State.BINDING, FIELD, BindState.WANTED, version=1),
            ActionKind.BIND,
            "to be put into `optIn` of `registration-1` again: it was bound in version 1, and is not in the field now",
            {BIND},
        ),
        (
            OTHER,
            BOUND,
            ActionKind.BIND,
            "uploaded, to be put into `letter` of `registration-2`; it stays in `optIn` of `registration-1`, too,"
            " until another takes its place",
            {BIND},
        ),
        (
            OTHER,
            REFUSED,
            ActionKind.BIND,
            "uploaded, to be put into `letter` of `registration-2`"
            "; was to be put into `optIn` of `registration-1` before",
            {BIND},
        ),
        (
            FIELD,
            row(State.COMPLETE, FIELD, BindState.REPLACED, version=1),
            ActionKind.BIND,
            "to be put into `optIn` of `registration-1` again, in place of a later attachment",
            {BIND},
        ),
        (
            None,
            BOUND,
            ActionKind.UNCHANGED,
            "uploaded; it stays in `optIn` of `registration-1`, to which the manifest no longer binds it",
            set(),
        ),
        (
            None,
            row(State.BINDING, FIELD, BindState.WANTED),
            ActionKind.UNCHANGED,
            "uploaded; no longer to be bound to `optIn` of `registration-1`",
            set(),
        ),
        (
            None,
            REFUSED,
            ActionKind.UNCHANGED,
            "uploaded; no longer to be bound to `optIn` of `registration-1`",
            set(),
        ),
        (
            FIELD,
            row(State.PROCESSING, FIELD, BindState.WANTED),
            ActionKind.UNCHANGED,
            "created, the service is still at work, then bound to `optIn` of `registration-1`",
            {SETTLE, BIND},
        ),
        (
            None,
            row(State.PROCESSING, FIELD, BindState.WANTED),
            ActionKind.UNCHANGED,
            "created, the service is still at work; no longer to be bound to `optIn` of `registration-1`",
            {SETTLE},
        ),
        (
            FIELD,
            row(State.PENDING, FIELD, BindState.WANTED),
            ActionKind.CREATE,
            "not sent yet, then bound to `optIn` of `registration-1`",
            {CREATE, SETTLE, BIND},
        ),
    ],
)
def test_what_is_bound_and_what_is_wanted_decide(
    wanted: Bind | None, known: Known | None, kind: ActionKind, reason: str, steps: set[StepKind]
) -> None:
    action = planned(an_item(bind=wanted), *([] if known is None else [known]))

    assert (action.kind, action.reason, set(steps_left(action))) == (kind, reason, steps)


def test_a_new_version_is_named_where_the_registrations_were_asked_for() -> None:
    known = row(State.BINDING, FIELD, BindState.WANTED, version=1)
    registrations = {"registration-1": Registration("registration-1", "T", "CREATED", 2)}

    action = planned(an_item(bind=FIELD), known, registrations=registrations)

    expected = "its registration has a new version (2), bound in 1; put into `optIn` of `registration-1`"
    assert (action.kind, action.reason) == (ActionKind.BIND, expected)


def test_a_new_version_is_named_with_the_denial_of_the_one_before() -> None:
    known = row(State.BINDING, FIELD, BindState.WANTED, version=1)._replace(denial=Denial(1, "BLURRED", ""))
    registrations = {"registration-1": Registration("registration-1", "T", "REQUIRES_UPDATES", 2, 1)}

    action = planned(an_item(bind=FIELD), known, registrations=registrations)

    assert action.reason.startswith("its registration has a new version (2), bound in 1, where a reviewer denied it;")
    assert action.reason.endswith("put into `optIn` of `registration-1`")


@pytest.mark.parametrize(
    ("registration", "said"),
    [
        (
            Registration("registration-1", "T", "REVIEWING", 1),
            " (under review, REVIEWING: it takes no attachment before that is decided)",
        ),
        (
            Registration("registration-1", "T", "REQUIRES_UPDATES", 2, 2),
            " (version 2 was denied: it takes no attachment before there is a new version)",
        ),
        (Registration("registration-1", "T", "REQUIRES_UPDATES", 2, 1), ""),
        (Registration("registration-1", "T", "CREATED", 1), ""),
    ],
)
@pytest.mark.parametrize("known", [None, REFUSED])
def test_a_plan_says_which_registrations_take_nothing_now(
    registration: Registration, said: str, known: Known | None
) -> None:
    rows = [] if known is None else [known]
    without = planned(an_item(bind=FIELD), *rows)

    action = planned(an_item(bind=FIELD), *rows, registrations={"registration-1": registration})

    assert action.reason == without.reason + said


def test_what_is_in_its_field_is_not_said_to_be_kept_out_by_a_review() -> None:
    under_review = {"registration-1": Registration("registration-1", "T", "REVIEWING", 1)}

    action = planned(an_item(bind=FIELD), BOUND, registrations=under_review)

    assert (action.kind, action.reason) == (ActionKind.UNCHANGED, "uploaded, in `optIn` of `registration-1`")


def test_a_plan_without_a_ledger_to_write_shows_what_a_rebind_will_leave() -> None:
    stale = BoundItem("a", BOUND.client_token, "att-1", FIELD, 1, None)

    (after,) = rows_after_rebind([BOUND], [stale])
    action = planned(an_item(bind=FIELD), after)

    assert (after.state, after.bound_to, action.kind) == (State.BINDING, None, ActionKind.BIND)
    assert rows_after_rebind([BOUND], []) == [BOUND]


@pytest.mark.parametrize("known", [BOUND, REFUSED, row(State.BINDING, FIELD, BindState.SENT)])
def test_an_attachment_whose_binding_is_left_or_failed_is_never_made_again(known: Known) -> None:
    item = an_item(bind=OTHER)
    rows = BatchRows.of([known])

    assert row_of(item, rows) == known
    assert not is_unsent(item, rows)
    assert planned(item, known).kind is ActionKind.BIND


@pytest.mark.parametrize("known", [REFUSED, row(State.BINDING, FIELD, BindState.SENT)])
def test_tags_of_what_is_not_bound_yet_change_in_place_and_the_binding_is_left(known: Known) -> None:
    action = planned(an_item(tags={"Customer": "other"}, bind=FIELD), known)

    assert action.kind is ActionKind.RETAG
    assert action.reason == "only tags changed (Customer), then bound to `optIn` of `registration-1`"
    assert steps_left(action) == {RETAG, BIND}


def test_new_tags_of_what_is_bound_leave_it_where_it_is() -> None:
    action = planned(an_item(tags={"Customer": "other"}, bind=FIELD), BOUND)

    assert action.reason == "only tags changed (Customer); it stays in `optIn` of `registration-1`"
    assert steps_left(action) == {RETAG}


def test_tags_that_were_refused_are_told_apart_from_a_binding_that_was() -> None:
    changed = an_item(tags={"Customer": "other"}, bind=FIELD)
    intent = new_row(changed)._replace(state=State.FAILED, fault=Fault("ValidationException", "no"))

    action = planned(changed, REFUSED._replace(current=False), intent)

    assert action.kind is ActionKind.RETAG
    assert action.reason.startswith("its tags were refused before (ValidationException), tried again")


def test_another_document_replaces_what_is_bound() -> None:
    action = planned(an_item(content="new", bind=FIELD), BOUND)

    assert action.kind is ActionKind.REPLACE
    assert action.reason == "content changed, then bound to `optIn` of `registration-1`"


@pytest.mark.parametrize("known", [BOUND, REFUSED, row(State.BINDING, FIELD, BindState.WANTED)])
def test_what_is_no_longer_listed_is_an_orphan_though_its_binding_failed(known: Known) -> None:
    (orphan,) = plan_items([], BatchRows.of([known]), LaneOutlook(NOW)).actions

    where = "; in `optIn` of `registration-1`" if known is BOUND else ""
    assert (orphan.kind, orphan.reason) == (ActionKind.ORPHAN, f"no longer in the manifest{where}")


@pytest.mark.parametrize(
    ("wanted", "known", "is_told"),
    [
        (FIELD, BOUND, False),
        (FIELD, REFUSED, False),
        (OTHER, BOUND, True),
        (None, BOUND, True),
        (FIELD, row(State.COMPLETE, None, None), True),
        (None, row(State.COMPLETE, None, None), False),
        (FIELD, row(State.PROCESSING, None, None), True),
        (FIELD, row(State.SENDING, None, None), True),
        (FIELD, row(State.COMPLETE, FIELD, BindState.REPLACED), True),
        (None, row(State.COMPLETE, FIELD, BindState.REPLACED), True),
    ],
)
def test_the_ledger_is_told_of_a_bind_that_it_does_not_have(wanted: Bind | None, known: Known, is_told: bool) -> None:  # noqa: FBT001
    assert must_enlist(planned(an_item(bind=wanted), known)) is is_told


def test_only_items_with_a_bind_are_compared_by_it() -> None:
    assert binds_of([an_item("a", bind=FIELD), an_item("b")]) == {"a": FIELD}
