"""`--log-file`: every event of a run, a line each, with one run id. No document, no header, no credential.

The file is appended to, and opened again after it was moved, so that the system can rotate it (logrotate).
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.events import (
    ItemChanged,
    LaneEnded,
    LanesChosen,
    LaneStopped,
    LeaseChanged,
    Notice,
    OfLane,
    OrphanSeen,
    Pruned,
    Requested,
    Resolving,
    Retrying,
    Sending,
)
from batch_upload.model import OutcomeKind, State
from batch_upload.report.ndjson import LaneRef, error_json, event_line, in_lane, known_line
from batch_upload.report.observers import RunObserver
from batch_upload.summary import EVENT_SCHEMA_VERSION, Exit, Summary
from batch_upload.words import utc_iso

LOGGER = "batch_upload.run"
_LOG_MODE = 0o600
"""Ids, tags and file names are for the user alone."""
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""Without O_NONBLOCK, opening a pipe without a reader would wait for ever."""
_WARNINGS = (Retrying, LaneStopped, Resolving, OrphanSeen, Notice)
_ENVELOPE = frozenset({"event", "schema_version", "at", "run_id", "verb"})
"""Members of an event's line that the log writes by itself."""
_AT_FIXED_PLACES = frozenset({"time", "level", "run_id", "event"})
_NEED_QUOTES = frozenset(' "=\\')

LogEntry = tuple[int, str, Mapping[str, Any], datetime]
"""Level, name, members, and when."""


class RunLogHandler(WatchedFileHandler):
    """Appends to a file that is created 0600. The first write that fails is passed to `on_failure`; none stops the run.

    Raises OSError where the file cannot be opened at all.
    """

    def __init__(self, path: Path, *, form: logging.Formatter, on_failure: Callable[[OSError], None]) -> None:
        self._on_failure = on_failure
        self._has_failed = False
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(form)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError as error:  # it was moved, and cannot be opened where it was
            self._fail(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._fail(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file; what a full disk does not take any more is lost."""
        try:
            super().close()
        except OSError as error:
            self._fail(error)

    def _open(self) -> Any:  # noqa: ANN401 - as the library has it
        handle = os.open(self.baseFilename, _OPEN_FLAGS, _LOG_MODE)
        os.set_blocking(handle, True)
        return open(handle, "a", encoding=self.encoding, errors=self.errors)

    def _fail(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_failure(error)


class JsonForm(logging.Formatter):
    """A record as a line of JSON: one of ours with the event's members, one of a library with its message."""

    def __init__(self, *, run_id: str, verb: str) -> None:
        super().__init__()
        self._always = {"run_id": run_id, "verb": verb}

    def format(self, record: logging.LogRecord) -> str:
        at = getattr(record, "at", None) or datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {"time": utc_iso(at), "level": record.levelname.lower(), **self._always}
        event, members = getattr(record, "event", None), getattr(record, "members", None)
        if event is not None and isinstance(members, Mapping):
            line["event"] = event
            line |= {name: value for name, value in members.items() if name not in _ENVELOPE}
        else:
            line |= {"event": "log", "logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                line["exception"] = self.formatException(record.exc_info)
        return self.line(line)

    def line(self, members: Mapping[str, Any]) -> str:
        """Return the members as one line."""
        return json.dumps(members, ensure_ascii=True, allow_nan=False)


class TextForm(JsonForm):
    """`time LEVEL run_id event name=value …`: values as they are where they are one word, otherwise as JSON."""

    def line(self, members: Mapping[str, Any]) -> str:
        words = [members["time"], members["level"].upper(), members["run_id"], members["event"]]
        for name, value in members.items():
            if name not in _AT_FIXED_PLACES and value is not None:
                is_word = isinstance(value, str) and value and value.isascii() and value.isprintable()
                if not is_word or not _NEED_QUOTES.isdisjoint(value):
                    value = printable(json.dumps(value, ensure_ascii=False, allow_nan=False))
                words.append(f"{name}={value}")
        return " ".join(words)


class RunLogObserver(RunObserver):
    """Passes every event on to the logger, with its members."""

    def notify(self, event: object) -> None:
        """Log the event, if it has an entry."""
        entry = log_entry(event)
        if entry is not None:
            level, name, members, at = entry
            _log(level, name, members, at=at)


def log_begin(manifest: str | None, version: str) -> None:
    """Log the first line: the manifest and the program."""
    _log(logging.INFO, "begin", {"manifest": manifest, "version": version, "pid": os.getpid()})


def log_said(level: int, text: str) -> None:
    """Log a message for people that is in no event."""
    _log(level, "said", {"message": text})


def log_summary(summary: Summary) -> None:
    """Log the last line."""
    _log(logging.ERROR if summary.exit.wants_a_person else logging.INFO, "summary", summary.as_json())


def log_entry(event: object) -> LogEntry | None:
    """Return how an event is logged; an event of a lane names it. None for the last one, which the summary counts."""
    match event:
        case OfLane():
            entry = log_entry(event.event)
            if entry is None:
                return None
            level, name, own, at = entry
            line = {"event": name, "schema_version": EVENT_SCHEMA_VERSION, **own}  # which the log leaves out again
            return level, name, in_lane(line, LaneRef(event.label, event.account, event.region)), at
        case LaneEnded():
            ending = Exit(ExitCode(event.code), event.reason)
            level = logging.ERROR if ending.wants_a_person else logging.WARNING if event.code else logging.INFO
            return level, "lane_ended", event_line(event) or {}, event.at
        case LeaseChanged():
            return logging.INFO, "lease", {"fence": event.fence, "is_held": event.is_held}, event.at
        case LanesChosen():
            members = {"batch": event.batch, "targets": list(event.labels), "of": event.total}
            return logging.INFO, "lanes", members, event.at
        case Requested():
            members = {
                "operation": event.operation,
                "id": event.item_id,
                "outcome": event.outcome.value,
                "latency_s": round(event.latency_s, 4),
                "request_id": event.request_id,
                "error": error_json(event.fault),
                "rate": None if event.rate is None else round(event.rate, 4),
            }
            level = logging.DEBUG if event.outcome is OutcomeKind.ACCEPTED else logging.WARNING
            return level, "request", members, event.at
        case Sending():
            members = {
                "id": event.item_id,
                "client_token": event.client_token,
                "attempt": event.number,
                "size_bytes": event.size_bytes,
            }
            return logging.DEBUG, "sending", members, event.at
        case ItemChanged():
            flags = {"ended": event.ended, "created": event.created, "adopted": event.adopted}
            level = logging.ERROR if event.ended and event.known.state is State.FAILED else logging.INFO
            return level, "item", {**known_line(event.known, at=event.at), **flags}, event.at
    other, when = event_line(event), getattr(event, "at", None)
    if other is None or not isinstance(when, datetime):
        return None
    return level_of(event), other["event"], other, when


def level_of(event: object) -> int:
    """Return the level of an event that is logged as its line of JSON."""
    if isinstance(event, Pruned) and event.fault is not None:
        return logging.ERROR
    return logging.WARNING if isinstance(event, _WARNINGS) else logging.INFO


def open_log(
    path: Path, *, form: str, run_id: str, verb: str, on_failure: Callable[[OSError], None]
) -> logging.Handler:
    """Open the file and log there everything that is logged in this process. Raises OSError.

    Libraries are logged from WARNING on: below that they print secrets and documents.
    """
    made = (JsonForm if form == "json" else TextForm)(run_id=run_id, verb=verb)
    handler = RunLogHandler(path, form=made, on_failure=on_failure)
    logging.getLogger().addHandler(handler)
    logging.getLogger(LOGGER).setLevel(logging.DEBUG)
    return handler


def close_log(handler: logging.Handler) -> None:
    """End the log and close its file."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def _log(level: int, event: str, members: Mapping[str, Any], *, at: datetime | None = None) -> None:
    logging.getLogger(LOGGER).log(level, "%s", event, extra={"event": event, "members": members, "at": at})
