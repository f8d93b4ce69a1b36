"""What machines read: one JSON object a line, each with `event` and `schema_version`."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TextIO

from batch_upload.escape import printable, stream_encoding
from batch_upload.events import (
    ItemChanged,
    LaneStopped,
    Looking,
    Notice,
    OrphanSeen,
    Pruned,
    Resolving,
    Retrying,
    RunEnded,
    RunStarted,
)
from batch_upload.model import Action, ActionKind, Capacity, Fault, Known, Plan, Problem
from batch_upload.report.tally import Tally
from batch_upload.summary import SCHEMA_VERSION, Summary
from batch_upload.words import utc_text, utc_text_or_none

Line = dict[str, Any]

PROGRESS_EVERY = timedelta(seconds=5)


def json_text(value: Mapping[str, Any], *, encoding: str) -> str:
    """The value as one line of JSON, without its end, that `encoding` can take.

    Characters stay readable where they can; otherwise all of the line's are ASCII escapes. They cannot where the
    encoding has them not, and where one of them would end a line or move, hide or reorder others on a terminal.
    """
    text = _READABLE.encode(value)
    if text.isascii() or (printable(text) == text and _can_take(encoding, text)):
        return text
    return _ASCII.encode(value)


_READABLE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ASCII = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


def write_line(stream: TextIO, line: Mapping[str, Any]) -> None:
    """Write one line and flush it: a reader at the other end of a pipe sees it at once.

    Raises OSError as the stream does, BrokenPipeError among them.
    """
    stream.write(json_text(line, encoding=stream_encoding(stream)) + "\n")
    stream.flush()


class NdjsonObserver:
    """Writes the events that machines want to `stream`, a line each.

    Raises OSError as the stream does.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tally = Tally()
        self._told_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Take one event; those that no line tells of are passed over."""
        self._tally.take(event)
        self._write(event_line(event))
        if isinstance(event, RunStarted):
            self._tell_progress(event.at)
        elif isinstance(event, RunEnded):
            self._told_at = None

    def tick(self, at: datetime) -> None:
        """Tell how far the run is, if the last such line is old enough."""
        if self._told_at is not None and at - self._told_at >= PROGRESS_EVERY:
            self._tell_progress(at)

    def close(self) -> None:
        """Every line is flushed already; the stream is the caller's."""

    def _tell_progress(self, at: datetime) -> None:
        self._told_at = at
        self._write(progress_line(self._tally, at=at))

    def _write(self, line: Line | None) -> None:
        if line is not None:
            write_line(self._stream, line)


def event_line(event: object) -> Line | None:
    """The line of an event of the engine, or None where it has none."""
    make = _LINES.get(type(event))
    return None if make is None else make(event)


def progress_line(tally: Tally, *, at: datetime) -> Line:
    """How far a run is, and how long it still takes."""
    ending = tally.eta(at)
    return _line(
        "progress",
        {
            "items": tally.total,
            "done": tally.done,
            "failed": tally.failed,
            "processing": tally.processing,
            "throttled": tally.throttled,
            "rate": tally.rate_per_s(at),
            "left_s": None if ending is None else round(ending.left_s, 3),
            "ends_at": None if ending is None else utc_text(ending.ends_at),
            "at": utc_text(at),
        },
    )


def problem_line(problem: Problem) -> Line:
    """A line of `validate --json`."""
    return _line("problem", _problem_json(problem))


def warning_line(warning: Problem) -> Line:
    """The same for what is worth a warning, and stops nothing."""
    return _line("warning", _problem_json(warning))


def _problem_json(problem: Problem) -> Line:
    return {
        "file": problem.file,
        "line": problem.at.line,
        "column": problem.at.column,
        "code": problem.code,
        "message": problem.message,
    }


def action_line(action: Action) -> Line:
    """A line of `plan --json`."""
    item = action.item
    return _line(
        "action",
        {
            "action": action.kind.value,
            "id": action.item_id,
            "reason": action.reason,
            "client_token": action.client_token,
            "source": None if item is None else item.source,
            "size_bytes": None if item is None else item.size_bytes,
            "registration_attachment_id": None if action.known is None else action.known.attachment_id,
        },
    )


def summary_line(summary: Summary) -> Line:
    """The last line of every verb."""
    return summary.as_json()


def error_json(fault: Fault | None) -> Line | None:
    """A fault as the member `error`."""
    if fault is None:
        return None
    return {
        "code": fault.code,
        "reason": fault.reason,
        "message": fault.message,
        "fields": [{"name": name, "message": message} for name, message in fault.fields],
        "resource_id": fault.resource_id,
    }


def _run_line(event: RunStarted) -> Line:
    return _line(
        "run",
        {
            "run_id": event.run_id,
            "batch": event.batch,
            "account": event.lane.account,
            "region": event.lane.region,
            "endpoint": event.endpoint,
            "rate": event.rate,
            "plan": _plan_counts(event.plan),
            "capacity": _capacity_json(event.capacity),
            "at": utc_text(event.at),
        },
    )


def _item_line(event: ItemChanged) -> Line | None:
    return known_line(event.known, at=event.at) if event.ended else None


def known_line(known: Known, *, at: datetime) -> Line:
    """The line of an item as it is now."""
    return _line(
        "item",
        {
            "id": known.item_id,
            "state": known.state.value,
            "client_token": known.client_token,
            "registration_attachment_id": known.attachment_id,
            "registration_attachment_arn": known.attachment_arn,
            "attachment_status": None if known.attachment_status is None else known.attachment_status.value,
            "error": error_json(known.fault),
            "attempts": known.attempts,
            "request_id": known.request_id,
            "resume_after": utc_text_or_none(known.resume_after),
            "at": utc_text(at),
        },
    )


def _retry_line(event: Retrying) -> Line:
    return _line(
        "retry",
        {
            "operation": event.operation,
            "id": event.item_id,
            "error": error_json(event.fault),
            "delay_s": round(event.delay_s, 3),
            "at": utc_text(event.at),
        },
    )


def _lane_stopped_line(event: LaneStopped) -> Line:
    return _line(
        "lane_stopped",
        {
            "error": error_json(event.fault),
            "draining": event.draining,
            "resume_after": utc_text_or_none(event.resume_after),
            "at": utc_text(event.at),
        },
    )


def _resolving_line(event: Resolving) -> Line:
    return _line("resolving", {"count": event.count, "at": utc_text(event.at)})


def _looking_line(event: Looking) -> Line:
    return _line(
        "looking",
        {
            "attachments": event.attachments,
            "listed": event.listed,
            "to_read": event.to_read,
            "read": event.read,
            "left_s": None if event.left_s is None else round(event.left_s, 3),
            "at": utc_text(event.at),
        },
    )


def _orphan_line(event: OrphanSeen) -> Line:
    return _line(
        "orphan",
        {
            "registration_attachment_id": event.attachment_id,
            "client_token": event.client_token,
            "kept_registration_attachment_id": event.kept_attachment_id,
            "at": utc_text(event.at),
        },
    )


def _pruned_line(event: Pruned) -> Line:
    return _line(
        "pruned",
        {
            "id": event.known.item_id,
            "outcome": event.outcome.value,
            "client_token": event.known.client_token,
            "registration_attachment_id": event.known.attachment_id,
            "reason": event.reason,
            "error": error_json(event.fault),
            "at": utc_text(event.at),
        },
    )


def _notice_line(event: Notice) -> Line:
    return _line("notice", {"message": event.message, "at": utc_text(event.at)})


_LINES: Mapping[type, Callable[[Any], Line | None]] = {
    RunStarted: _run_line,
    ItemChanged: _item_line,
    Retrying: _retry_line,
    LaneStopped: _lane_stopped_line,
    Resolving: _resolving_line,
    Looking: _looking_line,
    OrphanSeen: _orphan_line,
    Pruned: _pruned_line,
    Notice: _notice_line,
}


def _line(event: str, members: Line) -> Line:
    return {"event": event, "schema_version": SCHEMA_VERSION, **members}


def _plan_counts(plan: Plan) -> dict[str, int]:
    counts = plan.counts
    return {kind.value: counts[kind] for kind in ActionKind}


def _capacity_json(capacity: Capacity | None) -> Line | None:
    if capacity is None:
        return None
    return {"used": capacity.used, "max": capacity.maximum, "left": capacity.left}


def _can_take(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
