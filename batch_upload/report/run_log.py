"""`--log-file`: everything a run tells of itself, a line each, with one run id. No document, no header, no credential.

The file is appended to and opened anew when it was moved, so that rotation is the system's business (logrotate).
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from batch_upload.escape import printable
from batch_upload.events import (
    ItemChanged,
    LaneStopped,
    Notice,
    OrphanSeen,
    Pruned,
    Requested,
    Resolving,
    Retrying,
    Sending,
)
from batch_upload.model import OutcomeKind, State
from batch_upload.report.ndjson import error_json, event_line, known_line
from batch_upload.summary import Summary
from batch_upload.words import utc_text

LOGGER = "batch_upload.run"
_MODE = 0o600
"""Ids, tags and file names are the user's business, and nobody else's on the machine."""
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""Not to wait for ever at a pipe that nobody reads."""
_WARNINGS = (Retrying, LaneStopped, Resolving, OrphanSeen, Notice)

Entry = tuple[int, str, Mapping[str, Any], datetime]


class RunLogHandler(WatchedFileHandler):
    """Appends to a file that is created 0600. A write that fails is told once to `on_failure` and stops nothing.

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
        """As the library's; what a full disk does not take any more is lost."""
        try:
            super().close()
        except OSError as error:
            self._fail(error)

    def _open(self) -> Any:  # noqa: ANN401 - as the library has it
        handle = os.open(self.baseFilename, _FLAGS, _MODE)
        os.set_blocking(handle, True)
        return open(handle, "a", encoding=self.encoding, errors=self.errors)

    def _fail(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_failure(error)


class LogForm(logging.Formatter):
    """A record as a line: of ours with the event's members, of a library with its message."""

    def __init__(self, *, run_id: str, verb: str) -> None:
        super().__init__()
        self._always = {"run_id": run_id, "verb": verb}

    def format(self, record: logging.LogRecord) -> str:
        at = getattr(record, "at", None) or datetime.fromtimestamp(record.created, UTC)
        head = {"time": utc_text(at), "level": record.levelname.lower(), **self._always}
        return self.line({**head, **dict(self._members(record))})

    def line(self, members: Mapping[str, Any]) -> str:
        """The members as one line."""
        return json.dumps(members, ensure_ascii=True, allow_nan=False)

    def _members(self, record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
        event, told = getattr(record, "event", None), getattr(record, "members", None)
        if event is not None and isinstance(told, Mapping):
            yield "event", event
            yield from ((name, value) for name, value in told.items() if name not in _NOT_OF_THE_EVENT)
            return
        yield from (("event", "log"), ("logger", record.name), ("message", record.getMessage()))
        if record.exc_info:
            yield "exception", self.formatException(record.exc_info)


class TextForm(LogForm):
    """`time LEVEL run_id event name=value …`: values as they are where they are one word, otherwise as JSON."""

    def line(self, members: Mapping[str, Any]) -> str:
        time, level, run_id, event = (members[name] for name in ("time", "level", "run_id", "event"))
        rest = [(name, value) for name, value in members.items() if name not in _AT_FIXED_PLACES and value is not None]
        return " ".join([time, level.upper(), run_id, event, *(f"{name}={_value_text(value)}" for name, value in rest)])


class RunLogObserver:
    """Hands every event to the logger, with its members."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def notify(self, event: object) -> None:
        entry = entry_of(event)
        if entry is not None:
            level, name, members, at = entry
            self._logger.log(level, "%s", name, extra={"event": name, "members": members, "at": at})

    def tick(self, at: datetime) -> None:
        """Lines come of events alone."""

    def close(self) -> None:
        """The file stays open for the summary."""


_NOT_OF_THE_EVENT = frozenset({"event", "schema_version", "at", "run_id", "verb"})
_AT_FIXED_PLACES = frozenset({"time", "level", "run_id", "event"})


def log_begin(manifest: str | None, version: str) -> None:
    """The first line: what was asked for."""
    _log(logging.INFO, "begin", {"manifest": manifest, "version": version, "pid": os.getpid()})


def log_said(level: int, text: str) -> None:
    """What people were told, and no event holds."""
    _log(level, "said", {"message": text})


def log_summary(summary: Summary) -> None:
    """The last line."""
    level = logging.ERROR if summary.exit.wants_a_person else logging.INFO
    _log(level, "summary", summary.as_json())


def entry_of(event: object) -> Entry | None:
    """How an event is logged: level, name, members and when. None for the last, whose numbers the summary has."""
    match event:
        case Requested():
            level = logging.DEBUG if event.outcome is OutcomeKind.ACCEPTED else logging.WARNING
            return level, "request", _request(event), event.at
        case Sending():
            return logging.DEBUG, "sending", _sending(event), event.at
        case ItemChanged():
            level = logging.ERROR if event.ended and event.known.state is State.FAILED else logging.INFO
            told = {"ended": event.ended, "created": event.created, "adopted": event.adopted}
            return level, "item", {**known_line(event.known, at=event.at), **told}, event.at
        case Pruned() if event.fault is not None:
            return logging.ERROR, "pruned", event_line(event) or {}, event.at
    line, at = event_line(event), getattr(event, "at", None)
    if line is None or not isinstance(at, datetime):
        return None
    return logging.WARNING if isinstance(event, _WARNINGS) else logging.INFO, line["event"], line, at


def open_log(
    path: Path, *, form: str, run_id: str, verb: str, on_failure: Callable[[OSError], None]
) -> logging.Handler:
    """Open the file and let everything that is logged in this process go there. Raises OSError.

    Libraries are heard from WARNING on: below that they print what nobody may keep.
    """
    made = (LogForm if form == "json" else TextForm)(run_id=run_id, verb=verb)
    handler = RunLogHandler(path, form=made, on_failure=on_failure)
    logging.getLogger().addHandler(handler)
    logging.getLogger(LOGGER).setLevel(logging.DEBUG)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Nothing more is logged there."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def _log(level: int, event: str, members: Mapping[str, Any]) -> None:
    logging.getLogger(LOGGER).log(level, "%s", event, extra={"event": event, "members": members})


def _request(event: Requested) -> dict[str, Any]:
    return {
        "operation": event.operation,
        "id": event.item_id,
        "outcome": event.outcome.value,
        "latency_s": round(event.latency_s, 4),
        "request_id": event.request_id,
        "error": error_json(event.fault),
        "rate": None if event.rate is None else round(event.rate, 4),
    }


def _sending(event: Sending) -> dict[str, Any]:
    return {
        "id": event.item_id,
        "client_token": event.client_token,
        "attempt": event.number,
        "size_bytes": event.size_bytes,
    }


def _value_text(value: object) -> str:
    if isinstance(value, str) and value and value.isascii() and value.isprintable() and _IN_QUOTES.isdisjoint(value):
        return value
    return printable(json.dumps(value, ensure_ascii=False, allow_nan=False))


_IN_QUOTES = frozenset(' "=\\')
