"""What `verify` says of each pair of a ledger and a listing."""

from datetime import UTC, datetime, timedelta

import pytest

from batch_upload.engine.fields import Misplaced
from batch_upload.engine.listing import Listing
from batch_upload.engine.rows import BatchRows
from batch_upload.engine.verify import (
    Difference,
    Finding,
    FindingKind,
    LaneComparison,
    compare_with_lane,
    standing,
    tokens_with,
    unlisted,
)
from batch_upload.model import Attachment, AttachmentStatus, Item, Known, State
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, BindState

BEGAN = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
COMPLETE, IN_PROGRESS = AttachmentStatus.COMPLETE, AttachmentStatus.IN_PROGRESS
FAILED, DELETED = AttachmentStatus.FAILED, AttachmentStatus.DELETED


def item() -> Item:
    return Item(batch="june", item_id="a", source="a", digest=b"\0", client_token="bu1-a", tags={})


def row(
    state: State = State.COMPLETE,
    attachment_id: str | None = "at-1",
    *,
    status: AttachmentStatus | None = COMPLETE,
    named: str = "bu1-a",
    current: bool = True,
) -> Known:
    return Known(
        item_id="a",
        client_token=named,
        state=state,
        content="sha256:00",
        tags={},
        generation=1,
        current=current,
        attachment_id=attachment_id,
        attachment_status=status,
    )


def at(attachment_id: str = "at-1", status: AttachmentStatus = COMPLETE, *, age_s: float = 0) -> Attachment:
    return Attachment(attachment_id, f"arn:{attachment_id}", status, BEGAN - timedelta(seconds=age_s))


def held(*rows: Known, listed: tuple[Attachment, ...], tokens: dict[str, str | None]) -> LaneComparison:
    return compare_with_lane([item()], BatchRows.of(rows), Listing(listed, BEGAN, 0.0), tokens)


def test_what_both_call_complete_is_no_finding() -> None:
    compared = held(row(), listed=(at(),), tokens={"at-1": "bu1-a"})

    assert compared == LaneComparison(findings=(), listed=1, strangers=0, agreeing=1, finished=0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (FAILED, FindingKind.FAILED),
        (DELETED, FindingKind.DELETED),
        (IN_PROGRESS, FindingKind.IN_PROGRESS),
    ],
)
def test_another_status_than_the_ledgers_is_a_finding(status: AttachmentStatus, kind: FindingKind) -> None:
    compared = held(row(), listed=(at(status=status),), tokens={"at-1": "bu1-a"})

    assert compared.findings == (Finding(kind, "a", "bu1-a", "at-1", status, "arn:at-1"),)
    assert compared.agreeing == 0


def test_what_is_not_listed_is_missing() -> None:
    compared = held(row(State.PROCESSING, status=IN_PROGRESS), listed=(), tokens={})

    assert compared.findings == (Finding(FindingKind.MISSING, "a", "bu1-a", "at-1"),)


def test_a_carrier_that_the_ledger_does_not_know_is_unrecorded() -> None:
    compared = held(listed=(at("at-9"),), tokens={"at-9": "bu1-a"})

    assert compared.findings == (Finding(FindingKind.UNRECORDED, "a", "bu1-a", "at-9", COMPLETE, "arn:at-9"),)
    assert compared.strangers == 0


def test_of_two_unrecorded_carriers_the_younger_is_the_duplicate() -> None:
    listed = (at("young"), at("old", age_s=60))

    compared = held(listed=listed, tokens={"young": "bu1-a", "old": "bu1-a"})

    assert [(each.kind, each.attachment_id) for each in compared.findings] == [
        (FindingKind.UNRECORDED, "old"),
        (FindingKind.DUPLICATE, "young"),
    ]


def test_beside_the_ledgers_own_attachment_an_older_one_is_the_duplicate() -> None:
    listed = (at(), at("old", age_s=60))

    compared = held(row(), listed=listed, tokens={"at-1": "bu1-a", "old": "bu1-a"})

    assert [(each.kind, each.attachment_id) for each in compared.findings] == [(FindingKind.DUPLICATE, "old")]


def test_an_attachment_of_nobody_here_is_counted_and_not_named() -> None:
    compared = held(row(), listed=(at(), at("x"), at("y")), tokens={"at-1": "bu1-a", "x": None, "y": "bu1-other"})

    assert (compared.findings, compared.listed, compared.strangers) == ((), 3, 2)


def test_what_was_deleted_counts_nowhere() -> None:
    compared = held(row(), listed=(at(), at("x", DELETED)), tokens={"at-1": "bu1-a"})

    assert (compared.listed, compared.strangers) == (1, 0)


def test_an_open_intent_is_open_whether_or_not_its_attachment_is_seen() -> None:
    sending = row(State.SENDING, None, status=None)

    unseen = held(sending, listed=(), tokens={})
    seen = held(sending, listed=(at("at-7"),), tokens={"at-7": "bu1-a"})

    assert unseen.findings == (Finding(FindingKind.OPEN, "a", "bu1-a"),)
    assert seen.findings == (Finding(FindingKind.OPEN, "a", "bu1-a", "at-7", COMPLETE, "arn:at-7"),)


def test_a_failure_that_the_ledger_knows_is_no_finding() -> None:
    failed = row(State.FAILED, status=FAILED)

    compared = held(failed, listed=(at(status=FAILED),), tokens={"at-1": "bu1-a"})

    assert compared.findings == ()


def test_what_the_ledger_calls_deleted_and_the_service_lists_is_unrecorded() -> None:
    compared = held(row(State.FAILED, status=DELETED), listed=(at(),), tokens={"at-1": "bu1-a"})

    assert [each.kind for each in compared.findings] == [FindingKind.UNRECORDED]


def test_what_the_service_has_finished_meanwhile_is_counted() -> None:
    compared = held(row(State.PROCESSING, status=IN_PROGRESS), listed=(at(),), tokens={"at-1": "bu1-a"})

    assert (compared.findings, compared.finished) == ((), 1)


def test_what_was_replaced_may_be_gone() -> None:
    replaced = row(attachment_id="at-0", named="bu1-before", current=False)

    compared = held(replaced, row(), listed=(at(),), tokens={"at-1": "bu1-a"})

    assert compared.findings == ()
    assert standing([item()], BatchRows.of([replaced, row()])) == [row()]


def test_only_what_should_stand_is_asked_for_again() -> None:
    rows = [row(), row(State.FAILED, "at-2", status=DELETED), row(attachment_id="at-3")]

    assert unlisted(rows, Listing((at(),), BEGAN, 0.0)) == ["at-3"]


def compared_by_tags(
    *rows: Known, tags: dict[str, dict[str, str] | None], young: tuple[str, ...] = ()
) -> LaneComparison:
    listed = tuple(at(attachment_id) for attachment_id in tags)
    tokens: dict[str, str | None] = {row.attachment_id or "": row.client_token for row in rows}
    return compare_with_lane([item()], BatchRows.of(rows), Listing(listed, BEGAN, 0.0), tokens, young=young, tags=tags)


def test_an_attachment_that_is_to_carry_no_identity_tag_may_carry_its_own_and_no_other() -> None:
    blind = row()._replace(identity_tag=False)

    own = compared_by_tags(blind, tags={"at-1": {"batch-upload:token": "bu1-a"}})
    none = compared_by_tags(blind, tags={"at-1": {}})
    foreign = compared_by_tags(blind, tags={"at-1": {"batch-upload:token": "bu1-other"}})

    assert (own.findings, none.findings, own.agreeing, none.agreeing) == ((), (), 1, 1)
    (found,) = foreign.findings
    assert (found.kind, found.differences) == (
        FindingKind.IDENTITY,
        (Difference("batch-upload:token", None, "bu1-other"),),
    )
    assert foreign.agreeing == 0


def test_the_tags_of_what_was_replaced_are_compared_too() -> None:
    replaced = row(attachment_id="at-0", named="bu1-before", current=False)._replace(content="sha256:01")
    right = {"batch-upload:token": "bu1-a"}

    compared = compared_by_tags(replaced, row(), tags={"at-0": None, "at-1": right})

    assert [(each.kind, each.attachment_id) for each in compared.findings] == [(FindingKind.IDENTITY, "at-0")]
    assert (compared.tags_compared, compared.agreeing) == (2, 1)


def test_of_tags_that_are_half_changed_nothing_is_said() -> None:
    intent = row(State.PENDING, None, status=None, named="bu1-new")._replace(tags={"Customer": "birch"})
    stands = row(current=False)

    compared = compared_by_tags(stands, intent, tags={"at-1": {"batch-upload:token": "bu1-new"}})

    assert compared.findings == ()


def test_a_token_that_two_attachments_have_exchanged_makes_neither_unrecorded() -> None:
    other = row(attachment_id="at-2", named="bu1-b")._replace(item_id="b")
    tags = {"at-1": {"batch-upload:token": "bu1-b"}, "at-2": {"batch-upload:token": "bu1-a"}}
    known = {"at-1": "bu1-a", "at-2": "bu1-b"}

    compared = compare_with_lane(
        [item()],
        BatchRows.of([row(), other]),
        Listing((at("at-1"), at("at-2")), BEGAN, 0.0),
        tokens_with(known, tags, [row(), other]),
        tags=tags,
    )

    assert [each.kind for each in compared.findings] == [FindingKind.IDENTITY, FindingKind.IDENTITY]


BOUND = BoundItem("a", "bu1-a", "at-1", Bind("registration-1", "optIn"), 1, None)


@pytest.mark.parametrize(
    ("misplaced", "kind"),
    [
        (Misplaced(BOUND), FindingKind.NOT_BOUND),
        (Misplaced(BOUND, "at-9"), FindingKind.NOT_BOUND),
        (Misplaced(BOUND, new_version=2), FindingKind.NEW_VERSION),
        (Misplaced(BOUND, "at-9", is_displaced=True), FindingKind.DISPLACED),
    ],
)
def test_an_attachment_that_is_not_in_its_field_is_a_finding(misplaced: Misplaced, kind: FindingKind) -> None:
    listing = Listing((at(),), BEGAN, 0.0)

    compared = compare_with_lane([item()], BatchRows.of([row()]), listing, {"at-1": "bu1-a"}, misplaced=[misplaced])

    assert compared.findings == (Finding(kind, "a", "bu1-a", "at-1", misplaced=misplaced),)
    assert compared.agreeing == 0


@pytest.mark.parametrize(
    ("state", "bind_state"), [(State.BINDING, BindState.WANTED), (State.FAILED, BindState.REFUSED)]
)
def test_an_attachment_that_is_not_bound_yet_agrees_with_the_service(state: State, bind_state: BindState) -> None:
    known = row(state)._replace(bind=BOUND.bind, bind_state=bind_state)

    compared = held(known, listed=(at(),), tokens={"at-1": "bu1-a"})
    gone = held(known, listed=(), tokens={})

    assert (compared.findings, compared.agreeing, compared.finished) == ((), 1, 0)
    assert [finding.kind for finding in gone.findings] == [FindingKind.MISSING]
