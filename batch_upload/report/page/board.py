"""What the page shows, in the form in which it travels: rows of plain JSON, each with the revision it was changed in.

The page that is written once and the changes that follow it live are the same thing: everything since a revision.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batch_upload.model import Fault, OutcomeKind, State
from batch_upload.report.completion import ReportRow

STATES = tuple(State)
KINDS = tuple(OutcomeKind)
NONE = -1
"""Where a row names no fault, no end or no run."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PageAttempt:
    """One attempt of an item. `kind` is None where no end is recorded; `fault` goes with every end but a success."""

    item_id: str
    number: int
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    kind: OutcomeKind | None
    fault: Fault | None
    request_id: str | None
    status: int | None


class Interned:
    """Values that many rows name, each kept once and named by its number; only ever added to."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values: list[Any] = []

    def __len__(self) -> int:
        return len(self._values)

    def number(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """The value's number, a new one where it is new."""
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._values)
            self._values.append(value)
        return found

    def behind(self, count: int) -> list[Any]:
        """All but the first `count`."""
        return self._values[count:]


@dataclass(slots=True)
class _Seen:
    """How far somebody who knows a revision knows what is only added to."""

    words: int = 0
    faults: int = 0
    tags: int = 0


@dataclass(slots=True)
class _Row:
    revision: int
    values: Sequence[Any]


@dataclass(slots=True)
class Board:
    """Items by their number, which is their place in the manifest, their attempts, and what stands above them.

    A board that takes another's place begins with a later revision than the other ever had.
    """

    revision: int = 0
    head: Json = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _items: list[_Row] = field(default_factory=list)
    _attempts: dict[tuple[int, int], _Row] = field(default_factory=dict)
    _words: Interned = field(default_factory=Interned)
    _faults: Interned = field(default_factory=Interned)
    _tags: Interned = field(default_factory=Interned)
    _seen: dict[int, _Seen] = field(default_factory=dict)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._numbers

    def __len__(self) -> int:
        return len(self._items)

    def turn(self) -> None:
        """Begin a new revision, which all that is put from now on belongs to."""
        if self._items or self.head:
            self._seen[self.revision] = self._now()
        self.revision += 1

    def put(self, row: ReportRow, fault: Fault | None, *, resume_after: datetime | None = None) -> None:
        """Show an item as it is now; a new one comes last."""
        number = self._numbers.setdefault(row.item_id, len(self._items))
        changed = _Row(self.revision, self._item_values(number, row, fault, resume_after))
        if number == len(self._items):
            self._items.append(changed)
        else:
            self._items[number] = changed

    def put_attempt(self, attempt: PageAttempt) -> None:
        """Show an attempt as it is now. Passed over where its item is not shown."""
        number = self._numbers.get(attempt.item_id)
        if number is not None:
            self._attempts[number, attempt.number] = _Row(self.revision, self._attempt_values(number, attempt))

    def since(self, revision: int) -> Json:
        """What has changed since a revision of this board; everything, `whole`, since one it never had, such as 0."""
        known = self._now() if revision == self.revision else self._seen.get(revision)
        before, seen = (0, _Seen()) if known is None else (revision, known)
        return {
            "revision": self.revision,
            "whole": known is None,
            "head": self.head,
            "words": self._words.behind(seen.words),
            "faults": self._faults.behind(seen.faults),
            "tags": self._tags.behind(seen.tags),
            "items": [row.values for row in self._items if row.revision > before],
            "attempts": [row.values for row in self._attempts.values() if row.revision > before],
        }

    def _now(self) -> _Seen:
        return _Seen(len(self._words), len(self._faults), len(self._tags))

    def _item_values(
        self, number: int, row: ReportRow, fault: Fault | None, resume_after: datetime | None
    ) -> list[Any]:
        """Read by `itemOf` in assets/data.js."""
        values: list[Any] = [
            number,
            row.item_id,
            0 if row.source == row.item_id else row.source,
            STATES.index(State(row.state)),
            self._fault_number(fault),
            row.attempts,
            row.size_bytes,
            self._word_number(row.content_type),
            row.client_token,
            row.sha256,
            row.registration_attachment_id,
            self._prefix_number(row),
            self._word_number(row.attachment_status),
            _epoch_ms_of_text(row.first_sent_at),
            _epoch_ms_of_text(row.completed_at),
            self._tags.number(sorted(row.tags.items())) if row.tags else NONE,
            _epoch_ms(resume_after),
        ]
        while values[-1] is None:
            values.pop()
        return values

    def _attempt_values(self, number: int, attempt: PageAttempt) -> list[Any]:
        """Read by `attemptOf` in assets/data.js."""
        took_ms = None
        if attempt.ended_at is not None:
            took_ms = round((attempt.ended_at - attempt.started_at).total_seconds() * 1000)
        return [
            number,
            attempt.number,
            self._words.number(attempt.run_id),
            _epoch_ms(attempt.started_at),
            took_ms,
            NONE if attempt.kind is None else KINDS.index(attempt.kind),
            self._fault_number(attempt.fault),
            attempt.request_id,
            attempt.status,
        ]

    def _fault_number(self, fault: Fault | None) -> int:
        if fault is None:
            return NONE
        return self._faults.number([fault.code, fault.reason, fault.message, [list(pair) for pair in fault.fields]])

    def _word_number(self, word: str | None) -> int:
        return NONE if word is None else self._words.number(word)

    def _prefix_number(self, row: ReportRow) -> int | str | None:
        """An ARN is a prefix, nearly always the same one, and the id."""
        arn, attachment_id = row.registration_attachment_arn, row.registration_attachment_id
        if arn is None or attachment_id is None:
            return arn
        return self._words.number(arn.removesuffix(attachment_id)) if arn.endswith(attachment_id) else arn


def json_chunks(changes: Json) -> Iterator[str]:
    """Changes as JSON in ASCII, in pieces: nothing in it ends a script, opens a comment or breaks a line."""
    yield "{"
    for place, (name, value) in enumerate(changes.items()):
        yield f"{',' if place else ''}{_text(name)}:"
        if isinstance(value, list):
            yield from _list_chunks(value)
        else:
            yield _text(value)
    yield "}"


def _list_chunks(values: Iterable[Any]) -> Iterator[str]:
    yield "["
    for place, value in enumerate(values):
        yield f"{',' if place else ''}{_text(value)}"
    yield "]"


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return _ENCODER.encode(value).translate(_HARMLESS)


def _epoch_ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def _epoch_ms_of_text(text: str | None) -> int | None:
    return None if text is None else _epoch_ms(datetime.fromisoformat(text))
