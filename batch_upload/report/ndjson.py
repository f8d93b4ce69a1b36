"""The lines of `--json`: one JSON object a line, each with `event` and `schema_version`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TextIO

from batch_upload.actions import Action, ActionKind
from batch_upload.document import YoungFile
from batch_upload.errors import ExitCode
from batch_upload.escape import printable, stream_encoding
from batch_upload.events import (
    ItemChanged,
    LaneEnded,
    LaneStopped,
    Looking,
    Notice,
    OfLane,
    OrphanSeen,
    Pruned,
    Resolving,
    Retrying,
    RunEnded,
    RunStarted,
)
from batch_upload.model import Fault, Known, Lane, Problem
from batch_upload.registration import Denial
from batch_upload.report.lane_progress import LanesProgress, ProgressCounts
from batch_upload.report.observers import RunObserver
from batch_upload.summary import EVENT_SCHEMA_VERSION, Exit
from batch_upload.targets import Target
from batch_upload.words import utc_iso, utc_iso_or_none

Line = dict[str, Any]

PROGRESS_EVERY = timedelta(seconds=5)
_READABLE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ASCII = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class LaneRef:
    """The lane that a line or a row is about.

    `target` is `Target.label`, None for the only lane of a manifest without `targets`; the others are None if unknown.
    """

    target: str | None = None
    account: str | None = None
    region: str | None = None


NO_LANE = LaneRef()
"""Of a manifest without `targets`, as long as account and Region are not known."""


def json_line(value: Mapping[str, Any], *, encoding: str) -> str:
    """Return the value as one line of JSON, without its end, that `encoding` can take.

    Characters stay readable where possible. All of the line's become ASCII escapes where the encoding lacks one of
    them, or where one would end a line or move, hide or reorder others on a terminal.
    """
    text = _READABLE.encode(value)
    if text.isascii():
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return _ASCII.encode(value)
    return text if printable(text) == text else _ASCII.encode(value)


def write_line(stream: TextIO, line: Mapping[str, Any]) -> None:
    """Write one line and flush it: a reader at the other end of a pipe sees it at once.

    Raises OSError as the stream does, BrokenPipeError among them.
    """
    stream.write(json_line(line, encoding=stream_encoding(stream)) + "\n")
    stream.flush()


class NdjsonObserver(RunObserver):
    """Writes the events that programs want to `stream`, a line each. Raises OSError as the stream does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = LanesProgress()
        self._progress_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Write the line of an event, if it has one."""
        self._progress.notify(event)
        line = event_line(event)
        if line is not None:
            write_line(self._stream, line)
        inner = event.event if isinstance(event, OfLane) else event
        if isinstance(inner, RunStarted) and self._progress_at is None:
            self._write_progress(inner.at)
        elif isinstance(event, RunEnded):
            self._progress_at = None

    def tick(self, at: datetime) -> None:
        """Write how far the run is, if the last such line is old enough."""
        if self._progress_at is not None and at - self._progress_at >= PROGRESS_EVERY:
            self._write_progress(at)

    def _write_progress(self, at: datetime) -> None:
        self._progress_at = at
        write_line(self._stream, progress_line(self._progress, at=at))


def made_line(event: str, /, **members: object) -> Line:
    """Return a line with its event's name and the schema's version."""
    return {"event": event, "schema_version": EVENT_SCHEMA_VERSION, **members}


def lanes_by_label(targets: Iterable[Target]) -> dict[str | None, LaneRef]:
    """Return the lanes of a manifest's `targets` as lines name them."""
    return {target.label: LaneRef(target.label, target.account, target.region) for target in targets}


def lane_ref(target: Target, lane: Lane | None) -> LaneRef:
    """Return how a line or a row names its lane; `lane` is None where its account was not found out."""
    if target.label is None:
        return NO_LANE if lane is None else LaneRef(None, lane.account, lane.region)
    return LaneRef(target.label, target.account if lane is None else lane.account, target.region)


def in_lane(line: Line, lane: LaneRef) -> Line:
    """Return the line with the lane that it is about. Values that the line has stay; without a target all of it."""
    if lane.target is None:
        return line
    members = {"target": lane.target, "account": lane.account, "region": lane.region}
    return {"event": line["event"], "schema_version": line["schema_version"], **members, **line}


def event_line(event: object) -> Line | None:
    """Return the line of an event of the engine, or None where it has none; one of a lane names it."""
    match event:
        case OfLane():
            line = event_line(event.event)
            return None if line is None else in_lane(line, LaneRef(event.label, event.account, event.region))
        case RunStarted():
            return _run_line(event)
        case LaneStopped():
            return made_line(
                "lane_stopped",
                error=error_json(event.fault),
                draining=event.draining,
                resume_after=utc_iso_or_none(event.resume_after),
                at=utc_iso(event.at),
            )
        case LaneEnded():
            return _lane_ended_line(event)
        case Resolving():
            return made_line("resolving", count=event.count, at=utc_iso(event.at))
        case Looking():
            return _looking_line(event)
        case Notice():
            return made_line("notice", message=event.message, at=utc_iso(event.at))
    return _item_event_line(event)


def _item_event_line(event: object) -> Line | None:
    match event:
        case ItemChanged():
            return known_line(event.known, at=event.at) if event.ended else None
        case Retrying():
            return made_line(
                "retry",
                operation=event.operation,
                id=event.item_id,
                error=error_json(event.fault),
                delay_s=round(event.delay_s, 3),
                at=utc_iso(event.at),
            )
        case OrphanSeen():
            return made_line(
                "orphan",
                registration_attachment_id=event.attachment_id,
                client_token=event.client_token,
                kept_registration_attachment_id=event.kept_attachment_id,
                at=utc_iso(event.at),
            )
        case Pruned():
            return made_line(
                "pruned",
                id=event.known.item_id,
                outcome=event.outcome.value,
                client_token=event.known.client_token,
                registration_attachment_id=event.known.attachment_id,
                reason=event.reason,
                error=error_json(event.fault),
                at=utc_iso(event.at),
            )
    return None


def _looking_line(event: Looking) -> Line:
    return made_line(
        "looking",
        attachments=event.attachments,
        listed=event.listed,
        to_read=event.to_read,
        read=event.read,
        left_s=None if event.left_s is None else round(event.left_s, 3),
        at=utc_iso(event.at),
    )


def _lane_ended_line(event: LaneEnded) -> Line:
    ending = Exit(ExitCode(event.code), event.reason)
    return made_line(
        "lane_ended",
        code=int(ending.code),
        name=ending.name,
        retryable=ending.retryable,
        reason=ending.reason,
        hint=event.hint,
        at=utc_iso(event.at),
    )


def _run_line(event: RunStarted) -> Line:
    counts, capacity = event.plan.counts, event.capacity
    room = None if capacity is None else {"used": capacity.used, "max": capacity.maximum, "left": capacity.left}
    return made_line(
        "run",
        run_id=event.run_id,
        batch=event.batch,
        account=event.lane.account,
        region=event.lane.region,
        endpoint=event.endpoint,
        rate=event.rate,
        plan={kind.value: counts[kind] for kind in ActionKind},
        capacity=room,
        at=utc_iso(event.at),
    )


def known_line(known: Known, *, at: datetime) -> Line:
    """Return the line of an item as it is now."""
    return made_line(
        "item",
        id=known.item_id,
        state=known.state.value,
        client_token=known.client_token or None,
        registration_attachment_id=known.attachment_id,
        registration_attachment_arn=known.attachment_arn,
        attachment_status=None if known.attachment_status is None else known.attachment_status.value,
        bound_to=None if known.bound_to is None else str(known.bound_to),
        error=error_json(known.fault),
        attempts=known.attempts,
        request_id=known.request_id,
        resume_after=utc_iso_or_none(known.resume_after),
        at=utc_iso(at),
    )


def denial_line(known: Known, denial: Denial) -> Line:
    """Return the line of what a reviewer said of an item's attachment."""
    return made_line(
        "denial",
        id=known.item_id,
        client_token=known.client_token,
        registration_attachment_id=known.attachment_id,
        bound_to=None if known.bind is None else str(known.bind),
        **denial._asdict(),
    )


def progress_line(progress: ProgressCounts, *, at: datetime) -> Line:
    """Return how far a run is, and how long it still takes. Of several lanes: the sums, and what the lanes do."""
    ending = progress.eta(at)
    line = made_line(
        "progress",
        items=progress.total,
        done=progress.done,
        failed=progress.failed,
        processing=progress.processing,
        binding=progress.binding,
        throttled=progress.throttled,
        rate=progress.rate_per_s(at),
        left_s=None if ending is None else round(ending.left_s, 3),
        ends_at=None if ending is None else utc_iso(ending.ends_at),
        at=utc_iso(at),
    )
    if isinstance(progress, LanesProgress) and progress.lanes:
        line["lanes"] = {activity.value: count for activity, count in progress.activities.items()}
    return line


def problem_line(problem: Problem, *, event: str = "problem") -> Line:
    """Return a line of `validate --json`."""
    at, column = problem.at, max(1, problem.at.column)  # a whole line begins in column 1
    return made_line(event, file=problem.file, line=at.line, column=column, code=problem.code, message=problem.message)


def warning_line(warning: Problem) -> Line:
    """Return the same for what is worth a warning, and stops nothing."""
    return problem_line(warning, event="warning")


def left_for_later_line(young: YoungFile) -> Line:
    """Return a line of a file that a glob matches and that is too young for this run."""
    listed = young.listed
    line = made_line(
        "left_for_later",
        id=listed.item_id,
        source=listed.source,
        min_age_s=young.min_age_s,
        is_future=young.is_future,
    )
    return line if listed.lane_label is None else {**line, "target": listed.lane_label}


def action_line(action: Action) -> Line:
    """Return a line of `plan --json`."""
    item = action.item
    return made_line(
        "action",
        action=action.kind.value,
        id=action.item_id,
        reason=action.reason,
        client_token=action.client_token or None,
        source=None if item is None else item.source,
        size_bytes=None if item is None else item.size_bytes,
        registration_attachment_id=None if action.known is None else action.known.attachment_id,
    )


def error_json(fault: Fault | None) -> Line | None:
    """Return a fault as the member `error`."""
    if fault is None:
        return None
    return {
        "code": fault.code,
        "reason": fault.reason,
        "message": fault.message,
        "fields": [{"name": name, "message": message} for name, message in fault.fields],
        "resource_id": fault.resource_id,
    }
