"""The lines that programs read."""

import io
import json

import pytest

from batch_upload.actions import Action, ActionKind
from batch_upload.errors import ExitCode
from batch_upload.events import (
    LanesChosen,
    LaneStopped,
    Looking,
    Notice,
    OrphanSeen,
    Requested,
    Resolving,
    Retrying,
    Sending,
)
from batch_upload.model import Capacity, Fault, OutcomeKind, Position, Problem, State
from batch_upload.report.ndjson import (
    LaneRef,
    NdjsonObserver,
    action_line,
    event_line,
    in_lane,
    problem_line,
    write_line,
)
from batch_upload.summary import Exit, Summary, exit_of
from tests.support.event_schema import shape_of
from tests.unit.report.samples import (
    BEGIN,
    HOSTILE_NAMES,
    TOO_LARGE,
    after,
    created,
    ended,
    item,
    lane_ended,
    of_lane,
    plan_of,
    started,
)

ERROR = {
    "code": "ValidationException",
    "reason": "MAXIMUM_SIZE_EXCEEDED",
    "message": "the attachment is too large",
    "fields": [{"name": "AttachmentBody", "message": "too long"}],
    "resource_id": None,
}


def written(value: str, encoding: str) -> bytes:
    """The bytes of a line with this value, on a strict stream of an encoding."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, newline="") as stream:
        write_line(stream, {"id": value})
        return raw.getvalue()


def test_the_start_of_a_run_is_a_line() -> None:
    assert event_line(started(plan_of(2), capacity=Capacity(20, 25))) == {
        "event": "run",
        "schema_version": 1,
        "run_id": "run-1",
        "batch": "june",
        "account": "123456789012",
        "region": "us-east-1",
        "endpoint": "https://sms-voice.us-east-1.amazonaws.com",
        "rate": 1.0,
        "plan": {
            "create": 2,
            "unchanged": 0,
            "retag": 0,
            "replace": 0,
            "bind": 0,
            "resolve": 0,
            "orphan": 0,
            "parked": 0,
            "failed": 0,
            "invalid": 0,
        },
        "capacity": {"used": 20, "max": 25, "left": 5},
        "at": "2026-11-23T14:00:00.000Z",
    }


def test_an_item_is_a_line_when_it_ends_and_not_before() -> None:
    assert event_line(created("a", after(1))) is None
    assert event_line(ended("a", after(2), State.FAILED, fault=TOO_LARGE)) == {
        "event": "item",
        "schema_version": 1,
        "id": "a",
        "state": "failed",
        "client_token": "bu1-a",
        "registration_attachment_id": None,
        "registration_attachment_arn": None,
        "attachment_status": None,
        "bound_to": None,
        "error": ERROR,
        "attempts": 1,
        "request_id": "r-1",
        "resume_after": None,
        "at": "2026-11-23T14:00:02.000Z",
    }


def test_an_item_that_ended_well_has_its_attachment_and_no_error() -> None:
    line = event_line(ended("a", after(2)))

    assert line is not None
    assert line["registration_attachment_id"] == "registration-attachment-1"
    assert line["attachment_status"] == "UPLOAD_COMPLETE"
    assert line["error"] is None


@pytest.mark.parametrize(
    ("event", "members"),
    [
        (
            Retrying("CreateRegistrationAttachment", "a", TOO_LARGE, 1.23456, BEGIN),
            {
                "event": "retry",
                "operation": "CreateRegistrationAttachment",
                "id": "a",
                "error": ERROR,
                "delay_s": 1.235,
            },
        ),
        (
            LaneStopped(TOO_LARGE, draining=True, resume_after=after(60), at=BEGIN),
            {"event": "lane_stopped", "error": ERROR, "draining": True, "resume_after": "2026-11-23T14:01:00.000Z"},
        ),
        (Resolving(3, BEGIN), {"event": "resolving", "count": 3}),
        (
            Looking(1_900, 200, None, 0, 171.23456, BEGIN),
            {"event": "looking", "attachments": 1_900, "listed": 200, "to_read": None, "read": 0, "left_s": 171.235},
        ),
        (
            OrphanSeen("a-2", "bu1-x", "a-1", BEGIN),
            {
                "event": "orphan",
                "registration_attachment_id": "a-2",
                "client_token": "bu1-x",
                "kept_registration_attachment_id": "a-1",
            },
        ),
        (Notice("words", BEGIN), {"event": "notice", "message": "words"}),
    ],
)
def test_each_event_that_matters_is_a_line(event: object, members: dict[str, object]) -> None:
    assert event_line(event) == {**members, "schema_version": 1, "at": "2026-11-23T14:00:00.000Z"}


def test_single_requests_are_no_lines() -> None:
    assert event_line(Sending("a", "bu1-a", 1, 10, BEGIN)) is None
    assert event_line(Requested("X", OutcomeKind.ACCEPTED, 0.1, "a", None, None, BEGIN)) is None
    assert event_line("anything") is None


def test_a_problem_is_a_line() -> None:
    problem = Problem(file="june.yaml", at=Position(14, 11), code="missing", message="`file` does not exist")

    assert problem_line(problem) == {
        "event": "problem",
        "schema_version": 1,
        "file": "june.yaml",
        "line": 14,
        "column": 11,
        "code": "missing",
        "message": "`file` does not exist",
    }


def test_an_action_is_a_line_and_an_orphan_has_no_source() -> None:
    new = action_line(Action(ActionKind.CREATE, "a", "bu1-a", "new", item=item("a")))
    orphan = action_line(Action(ActionKind.ORPHAN, "b", "bu1-b", "no longer in the manifest"))

    assert new == {
        "event": "action",
        "schema_version": 1,
        "action": "create",
        "id": "a",
        "reason": "new",
        "client_token": "bu1-a",
        "source": "files/a.pdf",
        "size_bytes": 496_000,
        "registration_attachment_id": None,
    }
    assert (orphan["action"], orphan["source"], orphan["size_bytes"]) == ("orphan", None, None)


def test_the_summary_has_every_member_and_nulls_where_nobody_was_asked() -> None:
    ending = Exit(ExitCode.NO_CAPACITY, "full", resume_after=after(0))
    summary = Summary(
        verb="upload",
        exit=ending,
        batch="june",
        states={"failed": 1, "pending": 2},
        items=3,
        uploaded=1,
        requests={"b": 1, "a": 2},
        bytes_sent=10,
        elapsed_s=1.23456,
    )

    assert json.dumps(summary.as_json()) == json.dumps(
        {
            "event": "summary",
            "schema_version": 1,
            "verb": "upload",
            "run_id": None,
            "batch": "june",
            "account": None,
            "region": None,
            "items": 3,
            "states": {"pending": 2, "failed": 1},
            "uploaded": 1,
            "adopted": 0,
            "unchanged": 0,
            "bound": 0,
            "requests": {"a": 2, "b": 1},
            "throttled": 0,
            "bytes": 10,
            "elapsed_s": 1.235,
            "unreached_for": None,
            "warnings": 0,
            "registrations_ready": [],
            "notes": [],
            "lanes": [],
            "exit": {
                "code": 13,
                "name": "no_capacity",
                "retryable": True,
                "reason": "full",
                "resume_after": "2026-11-23T14:00:00.000Z",
            },
        }
    )


def test_only_10_to_19_may_be_run_again_as_they_are() -> None:
    assert [int(code) for code in ExitCode if exit_of(code).retryable] == [10, 11, 12, 13, 14]


def test_text_stays_readable_where_the_encoding_takes_it() -> None:
    assert written("Ærø 日 😀", "utf-8") == '{"id": "Ærø 日 😀"}\n'.encode()
    assert written("Ærø", "latin-1") == '{"id": "Ærø"}\n'.encode("latin-1")


@pytest.mark.parametrize(
    ("value", "encoding"), [("日", "latin-1"), ("ø", "ascii"), ("a\udcff\ud800", "utf-8"), ("a\u2028\x85b", "utf-8")]
)
def test_what_a_stream_or_a_line_reader_cannot_take_is_escaped(value: str, encoding: str) -> None:
    line = written(value, encoding)

    assert line.isascii()
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {"id": value}


def test_a_reader_sees_each_line_at_once() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="utf-8") as stream:
        observer = NdjsonObserver(stream)
        observer.notify(started(plan_of(1)))
        observer.notify(created("item-0", after(1)))
        observer.notify(ended("item-0", after(2)))
        observer.tick(after(3))
        observer.close()

        assert [json.loads(line)["event"] for line in raw.getvalue().splitlines()] == ["run", "progress", "item"]


def test_a_fault_without_details_still_has_every_member() -> None:
    line = event_line(ended("a", after(1), State.FAILED, fault=Fault("Odd", "")))

    assert line is not None
    assert line["error"] == {"code": "Odd", "reason": None, "message": "", "fields": [], "resource_id": None}


def test_progress_is_told_at_the_start_and_then_every_five_seconds_with_the_time_that_is_left() -> None:
    stream = io.StringIO()
    observer = NdjsonObserver(stream)

    observer.notify(started(plan_of(30)))
    for second in range(1, 12):
        observer.notify(created(f"item-{second}", after(second)))
        observer.tick(after(second))

    told = [line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "progress"]
    assert [line["processing"] for line in told] == [0, 5, 10]
    assert [line["left_s"] for line in told] == pytest.approx([32, 27, 22], abs=1)
    assert told[0]["at"] == "2026-11-23T14:00:00.000Z"


def test_without_a_run_there_is_no_progress() -> None:
    stream = io.StringIO()

    NdjsonObserver(stream).tick(BEGIN)

    assert stream.getvalue() == ""


def lines_of(*events: object, ticks: int = 0) -> list[dict[str, object]]:
    """What the observer writes of these events, each line declared; then `ticks` seconds pass."""
    stream = io.StringIO()
    observer = NdjsonObserver(stream)
    for event in events:
        observer.notify(event)
    for second in range(1, ticks + 1):
        observer.tick(after(second))
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(shape_of(line) for line in found)
    return found


def test_a_line_of_a_lane_says_which_right_behind_the_schemas_version() -> None:
    (line,) = lines_of(of_lane(Notice("hm", BEGIN), "acme/us-east-1"))

    assert list(line) == ["event", "schema_version", "target", "account", "region", "message", "at"]
    assert (line["target"], line["account"], line["region"]) == ("acme/us-east-1", "123456789012", "us-east-1")


def test_the_line_of_a_run_keeps_its_account_and_region_and_a_line_without_targets_is_as_it_was() -> None:
    run = event_line(started(plan_of(1)))
    assert run is not None

    assert in_lane(run, LaneRef("acme/us-east-1", "9" * 12, "elsewhere")) == {**run, "target": "acme/us-east-1"}
    assert in_lane(run, LaneRef(None, "9" * 12, "elsewhere")) is run


def test_the_end_of_a_lane_is_a_line() -> None:
    ending = lane_ended(ExitCode.ACCESS, after(9), reason="not allowed", hint="`doctor` looks")

    assert lines_of(of_lane(ending, "acme/us-east-1", account=None)) == [
        {
            "event": "lane_ended",
            "schema_version": 1,
            "target": "acme/us-east-1",
            "account": None,
            "region": "us-east-1",
            "code": 22,
            "name": "access",
            "retryable": False,
            "reason": "not allowed",
            "hint": "`doctor` looks",
            "at": "2026-11-23T14:00:09.000Z",
        }
    ]


@pytest.mark.parametrize("count", [1, 2, 80, 200])
def test_progress_is_a_line_of_all_lanes_now_and_then_whatever_their_number(count: int) -> None:
    labels = tuple(f"t{number}/us-east-1" for number in range(count))
    found = lines_of(
        LanesChosen("june", (*labels, "late/r"), total=count + 1, at=BEGIN),
        *(of_lane(started(plan_of(2)), label) for label in labels),
        of_lane(ended("item-0", BEGIN), labels[0]),
        of_lane(lane_ended(ExitCode.ITEMS_FAILED), labels[0]),
        ticks=11,
    )

    progress = [line for line in found if line["event"] == "progress"]
    assert len(progress) == 3  # with the first lane's start, after 5 s and after 10 s
    assert (progress[0]["items"], progress[0]["lanes"]) == (
        2,
        {"waiting": count, "running": 1, "done": 0, "failed": 0},
    )
    assert (progress[-1]["items"], progress[-1]["done"], progress[-1]["lanes"]) == (
        2 * count,
        1,
        {"waiting": 1, "running": count - 1, "done": 0, "failed": 1},
    )


def test_progress_without_targets_names_no_lanes() -> None:
    assert "lanes" not in lines_of(started(plan_of(1)))[-1]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_lanes_name_comes_back_as_it_was_from_one_printable_line(name: str) -> None:
    stream = io.StringIO()
    NdjsonObserver(stream).notify(of_lane(Notice("hm", BEGIN), f"{name}/us-east-1"))

    written_line = stream.getvalue().removesuffix("\n")
    assert json.loads(written_line)["target"] == f"{name}/us-east-1"
    assert written_line.isprintable() or written_line.isascii()
    assert "\x1b" not in written_line
