"""What the page says of fields of registrations: where an attachment is, what would not go there, what was denied."""

import json
from pathlib import Path
from typing import Any

import pytest

from batch_upload.model import Fault, Known, State
from batch_upload.registration import BindState, Denial
from batch_upload.report.advice import AFTER_DENIAL
from batch_upload.report.completion import report_row
from batch_upload.report.page.board import BIND_STATES, Board, Placement, json_chunks, placement_of
from batch_upload.report.page.causes import CauseKind, causes_of, joint_causes
from batch_upload.report.page.head import ActiveRun, PageHead
from batch_upload.report.summary_text import Invocation
from tests.unit.report.samples import BEGIN, BIND, LANE, TOO_LARGE, known, listed

SUBMITTED = Fault("ConflictException", "it is under review", "REGISTRATION_ALREADY_SUBMITTED")
FOLDER = Path("/m")
BLURRED = Denial(1, "the image is blurred", "send a sharper one\nof at least 400 pixels")


def bound(item_id: str, *, denial: Denial | None = None, version: int = 1, state: State = State.COMPLETE) -> Known:
    """An item whose attachment is in its field."""
    row = known(item_id, state)
    return row._replace(bind=BIND, bind_state=BindState.BOUND, bound_version=version, denial=denial)


def refused(item_id: str, fault: Fault = SUBMITTED) -> Known:
    """An item whose attachment would not go into its field."""
    row = known(item_id, State.FAILED, fault=fault)
    return row._replace(bind=BIND, bind_state=BindState.REFUSED, attachment_id="registration-attachment-1")


def values_of(placement: Placement | None, *, lane: int | None = None) -> tuple[list[Any], list[str]]:
    """The values of a row as they travel, and the words that they number."""
    board = Board()
    board.begin_revision()
    board.put(report_row(None, known()), None, lane=lane, placement=placement)
    found = json.loads("".join(json_chunks(board.since(0))))
    return found["items"][0], found["words"]


def test_a_row_has_its_field_and_how_far_its_binding_is() -> None:
    row, words = values_of(Placement(BIND, BindState.BOUND, version=2))

    assert len(row) == 19
    assert row[18] == [BIND.registration, words.index(BIND.field), BIND_STATES.index(BindState.BOUND), 2]


def test_a_row_has_what_a_reviewer_said_and_whether_that_is_open() -> None:
    row, words = values_of(Placement(BIND, BindState.BOUND, 1, BLURRED, is_open=True), lane=0)

    assert row[18][4] == [1, words.index(BLURRED.reason), BLURRED.feedback, True]


def test_a_row_without_bind_costs_nothing() -> None:
    assert len(values_of(None)[0]) <= 17


@pytest.mark.parametrize(
    ("row", "state", "has_denial", "is_open"),
    [
        (None, BindState.WANTED, False, False),
        (known(), BindState.WANTED, False, False),
        (bound("a"), BindState.BOUND, False, False),
        (bound("a", denial=BLURRED), BindState.BOUND, True, True),
        (bound("a", denial=BLURRED, version=2), BindState.BOUND, True, False),
        (bound("a", denial=Denial(1, "", "")), BindState.BOUND, False, False),
        (refused("a"), BindState.REFUSED, False, False),
        (refused("a")._replace(denial=BLURRED, bound_version=1), BindState.REFUSED, True, False),
    ],
)
def test_the_ledger_tells_where_an_attachment_is_and_the_manifest_where_it_is_to_be(
    row: Known | None, state: BindState, *, has_denial: bool, is_open: bool
) -> None:
    of_manifest = listed("a", "files/a.pdf", folder=FOLDER)._replace(bind=BIND)

    placement = placement_of(of_manifest, row)

    assert placement is not None
    assert (placement.bind, placement.state) == (BIND, state)
    assert (placement.denial is not None, placement.is_open) == (has_denial, is_open)


def test_an_item_without_bind_has_no_field() -> None:
    assert placement_of(listed("a", "files/a.pdf", folder=FOLDER), known()) is None


def test_what_would_not_go_into_its_field_is_a_cause_of_its_own_behind_which_nothing_is_uploaded() -> None:
    same = Fault("ConflictException", "the token was used", "REGISTRATION_ALREADY_SUBMITTED")
    found = causes_of([refused("a"), refused("b"), known("c", State.FAILED, fault=same), refused("d", TOO_LARGE)])

    assert [(each.kind, each.name, each.ids) for each in found] == [
        (CauseKind.BINDING, "REGISTRATION_ALREADY_SUBMITTED", ["a", "b"]),
        (CauseKind.BINDING, "MAXIMUM_SIZE_EXCEEDED", ["d"]),
        (CauseKind.UPLOAD, "REGISTRATION_ALREADY_SUBMITTED", ["c"]),
    ]
    assert found[0].message == "it is under review"
    assert "without an upload" in found[0].advice
    assert "without an upload" not in found[2].advice


def test_denials_are_grouped_by_reason_and_come_last_with_what_to_do() -> None:
    found = causes_of(
        [
            *(bound(item_id, denial=BLURRED) for item_id in "ab"),
            bound("c", denial=Denial(1, "", "only feedback")),
            bound("d", denial=BLURRED, version=2),
            bound("e", denial=BLURRED, state=State.BINDING),
            bound("f", denial=Denial(1, "", "")),
            known("g", State.UNKNOWN),
        ]
    )

    assert [(each.kind, each.state, each.name, each.message, each.ids) for each in found] == [
        (CauseKind.UPLOAD, State.UNKNOWN, "", "", ["g"]),
        (CauseKind.DENIED, State.COMPLETE, BLURRED.reason, BLURRED.reason, ["a", "b", "e"]),
        (CauseKind.DENIED, State.COMPLETE, "", "only feedback", ["c"]),
    ]
    assert {each.advice for each in found[1:]} == {AFTER_DENIAL}


def test_denials_of_several_lanes_are_joined_and_not_with_failures() -> None:
    one, other = (causes_of([bound("a", denial=BLURRED), refused("b")], target=name) for name in ("x/1", "y/1"))

    joint = joint_causes([one, other])

    assert [(each.kind, each.count, each.ids) for each in joint] == [
        (CauseKind.BINDING, 2, ["x/1:b", "y/1:b"]),
        (CauseKind.DENIED, 2, ["x/1:a", "y/1:a"]),
    ]


def head_of(rows: list[Known], **given: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of PageHead
    head = PageHead(
        *("june", "june.yaml", "june.ledger", LANE, None, "batch-upload 0"),
        at=BEGIN,
        states={State.COMPLETE: len(rows)},
        chosen=len(rows),
        listed=len(rows),
        causes=causes_of(rows),
        **given,
    )
    return head.as_json(Invocation("june.yaml"))


def test_the_head_counts_denials_apart_from_what_is_not_complete() -> None:
    head = head_of([bound("a", denial=BLURRED), bound("b"), refused("c")])

    assert (head["people"], head["denied"]) == (1, 1)
    assert [(each["kind"], each["count"]) for each in head["causes"]] == [("binding", 1), ("denied", 1)]
    assert head["causes"][1]["commands"] == [
        ("batch-upload why june.yaml a", "its whole history"),
        ("batch-upload upload june.yaml", "once that is done"),
    ]


def test_a_run_under_way_has_how_many_binds_are_left() -> None:
    active = ActiveRun("run-1", "process 7 on batch-1", 0, 1.0, 30.0, binds=30)

    assert head_of([bound("a")], active=active)["running"] | {"run": ""} == {
        "run": "",
        "who": "process 7 on batch-1",
        "left": 0,
        "rate": 1.0,
        "left_ms": 30_000,
        "binds": 30,
    }
