"""The lines that programs read."""

import io
import json

import pytest

from batch_upload.errors import ExitCode
from batch_upload.events import LaneStopped, Looking, Notice, OrphanSeen, Requested, Resolving, Retrying, Sending
from batch_upload.model import (
    Action,
    ActionKind,
    Capacity,
    Fault,
    OutcomeKind,
    Position,
    Problem,
    State,
)
from batch_upload.report.ndjson import (
    NdjsonObserver,
    action_line,
    event_line,
    problem_line,
    write_line,
)
from batch_upload.summary import Exit, Summary, exit_of
from tests.unit.report.samples import BEGIN, TOO_LARGE, after, created, ended, item, plan_of, started

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
            "resolve": 0,
            "orphan": 0,
            "parked": 0,
            "failed": 0,
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
            "requests": {"a": 2, "b": 1},
            "throttled": 0,
            "bytes": 10,
            "elapsed_s": 1.235,
            "unreached_for": None,
            "warnings": 0,
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
