"""The data of the page in the form in which it travels: rows of plain JSON, each with the revision it was changed in.

The page that is written once and the changes that follow it live are the same thing: everything since a revision.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from batch_upload.model import LIVE, Fault, Known, Listed, OutcomeKind, State
from batch_upload.records import AttemptRecord
from batch_upload.registration import Bind, BindState, Denial
from batch_upload.report.completion import ReportRow

STATES = tuple(State)
KINDS = tuple(OutcomeKind)
BIND_STATES = tuple(BindState)
NONE = -1
"""The number of no fault, no outcome or no run."""
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
_NO_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

Json = dict[str, Any]


class Placement(NamedTuple):
    """The field of an item's `bind`: how far its binding is, and what a reviewer said of the attachment there."""

    bind: Bind
    state: BindState = BindState.WANTED
    version: int | None = None
    """Of the registration: the one in whose field the attachment was put last."""
    denial: Denial | None = None
    is_open: bool = False
    """Whether a person must still act on the denial."""


def denial_of(item: Known) -> Denial | None:
    """Return what a reviewer said of an attachment that is at the service, and of which no other step failed."""
    return item.standing_denial if item.state in LIVE else None


def placement_of(listed: Listed, known: Known | None) -> Placement | None:
    """Return the field that the ledger has of an item, or that the manifest names for it; None without `bind`."""
    if known is not None and known.bind is not None:
        state, denial = known.bind_state or BindState.WANTED, known.denial
        is_said = denial is not None and bool(denial.reason or denial.feedback)
        is_open = denial_of(known) is not None
        return Placement(known.bind, state, known.bound_version, denial if is_said else None, is_open)
    return None if listed.bind is None else Placement(listed.bind)


class Interned:
    """Values that many rows have, each kept once under a number. Values are only added."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values: list[Any] = []

    def __len__(self) -> int:
        return len(self._values)

    def number(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        """Return the value's number, a new one where it is new; `NONE` for None."""
        if value is None:
            return NONE
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._values)
            self._values.append(value)
        return found

    def after(self, count: int) -> list[Any]:
        """Return all but the first `count` values."""
        return self._values[count:]


_Row = tuple[int, Sequence[Any]]
"""The revision in which it was changed, and its values."""


_Key = tuple[str | None, str]
"""The target of an item's lane, None without `targets`, and its id."""


@dataclass(slots=True)
class Board:
    """The items by their number, which is their place in the manifest, their attempts, and the head of the page.

    A board that replaces another begins with a later revision than the other ever had.
    """

    revision: int = 0
    head: Json = field(default_factory=dict)
    _numbers: dict[_Key, int] = field(default_factory=dict)
    _items: list[_Row] = field(default_factory=list)
    _attempts: dict[tuple[int, int], _Row] = field(default_factory=dict)
    _words: Interned = field(default_factory=Interned)
    _faults: Interned = field(default_factory=Interned)
    _tags: Interned = field(default_factory=Interned)
    _seen: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """How many words, faults and tags there were at the end of each revision."""

    def has(self, item_id: str, target: str | None = None) -> bool:
        """Return whether an item is shown; `target` is that of its lane."""
        return (target, item_id) in self._numbers

    def __len__(self) -> int:
        return len(self._items)

    def begin_revision(self) -> None:
        """Begin a new revision, to which everything put from now on belongs."""
        if self._items or self.head:
            self._seen[self.revision] = self._now()
        self.revision += 1

    def put(
        self,
        row: ReportRow,
        fault: Fault | None,
        *,
        resume_after: datetime | None = None,
        lane: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Show an item as it is now; a new one comes last. `itemOf` in assets/data.js reads the values.

        `lane` is the place of its lane in the head's `lanes`, None where there is only one; `placement` is None without
        `bind`.
        """
        number = self._numbers.setdefault((row.target, row.item_id), len(self._items))
        arn, attachment_id = row.registration_attachment_arn, row.registration_attachment_id
        shown_arn: int | str | None = arn
        if arn is not None and attachment_id is not None and arn.endswith(attachment_id):
            # an ARN is a prefix, nearly always the same one, and the id
            shown_arn = self._words.number(arn.removesuffix(attachment_id))
        values: list[Any] = [
            number,
            row.item_id,
            0 if row.source == row.item_id else row.source,
            STATES.index(State(row.state)),
            self._fault_number(fault),
            row.attempts,
            row.size_bytes,
            self._words.number(row.content_type),
            row.client_token,
            row.sha256,
            attachment_id,
            shown_arn,
            self._words.number(row.attachment_status),
            epoch_ms(row.first_sent_at),
            epoch_ms(row.completed_at),
            self._tags.number(sorted(row.tags.items())) if row.tags else NONE,
            epoch_ms(resume_after),
            lane,
            None if placement is None else self._placement_values(placement),
        ]
        while values[-1] is None:
            values.pop()
        changed = (self.revision, values)
        if number == len(self._items):
            self._items.append(changed)
        else:
            self._items[number] = changed

    def put_attempt(self, item_id: str, attempt: AttemptRecord, *, target: str | None = None) -> None:
        """Show an attempt as it is now, if its item is shown. `attemptOf` in assets/data.js reads the values."""
        number = self._numbers.get((target, item_id))
        if number is None:
            return
        took_ms, fault = None, None
        if attempt.ended_at is not None:
            took_ms = round((attempt.ended_at - attempt.started_at).total_seconds() * 1000)
        if attempt.code is not None:
            fault = Fault(attempt.code, attempt.message or "", attempt.reason)
        values = [
            number,
            attempt.number,
            self._words.number(attempt.run_id),
            epoch_ms(attempt.started_at),
            took_ms,
            NONE if attempt.kind is None else KINDS.index(attempt.kind),
            self._fault_number(fault),
            attempt.request_id,
            attempt.status,
        ]
        self._attempts[number, attempt.number] = (self.revision, values)

    def since(self, revision: int) -> Json:
        """Return what has changed since a revision of this board; everything, `whole`, since an unknown one, as 0."""
        known = self._now() if revision == self.revision else self._seen.get(revision)
        before, (words, faults, tags) = (0, (0, 0, 0)) if known is None else (revision, known)
        return {
            "revision": self.revision,
            "whole": known is None,
            "head": self.head,
            "words": self._words.after(words),
            "faults": self._faults.after(faults),
            "tags": self._tags.after(tags),
            "items": [values for changed, values in self._items if changed > before],
            "attempts": [values for changed, values in self._attempts.values() if changed > before],
        }

    def _now(self) -> tuple[int, int, int]:
        return len(self._words), len(self._faults), len(self._tags)

    def _placement_values(self, placement: Placement) -> list[Any]:
        """Return what `bindOf` in assets/data.js reads."""
        bind, state, version, denial, is_open = placement
        said = None if denial is None else [denial.version, self._words.number(denial.reason), denial.feedback, is_open]
        values = [bind.registration, self._words.number(bind.field), BIND_STATES.index(state), version, said]
        return values if denial else values[:4]

    def _fault_number(self, fault: Fault | None) -> int:
        if fault is None:
            return NONE
        return self._faults.number([fault.code, fault.reason, fault.message, [list(pair) for pair in fault.fields]])


def json_chunks(changes: Json) -> Iterator[str]:
    """Yield changes as JSON in ASCII, in pieces: nothing in it ends a script, opens a comment or breaks a line."""
    for place, (name, value) in enumerate(changes.items()):
        yield f"{',' if place else '{'}{_script_json(name)}:"
        if isinstance(value, list):
            yield "["
            yield from (f"{',' if number else ''}{_script_json(each)}" for number, each in enumerate(value))
            yield "]"
        else:
            yield _script_json(value)
    yield "}" if changes else "{}"


def epoch_ms(at: datetime | str | None) -> int | None:
    """Return milliseconds since 1970 of an aware time, or of one in ISO 8601."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return None if at is None else round(at.timestamp() * 1000)


def _script_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return _ENCODER.encode(value).translate(_NO_MARKUP)
