"""Ledgers with a story, for the page and its pictures: rows by the thousand, held to the ledger's own rules."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert

from batch_upload.ledger import tables
from batch_upload.ledger.driver import Database, Statement
from batch_upload.ledger.sqlite.connection import open_for_writing
from batch_upload.ledger.sqlite.files import make_file
from batch_upload.model import AttachmentStatus, ContentType, Fault, Item, Lane, OutcomeKind, State
from batch_upload.operations import CREATE
from batch_upload.token import client_token

BATCH = "acme-2026"
LANE = Lane("123456789012", "us-east-1")
ITEMS_OF_RUN_MAX = 1_000_000
BEGIN = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/uploader/nightly"
ENDPOINT = "https://sms-voice.us-east-1.amazonaws.com"
PER_SECOND = 2.0
_TYPES = {"pdf": ContentType.PDF, "png": ContentType.PNG, "jpg": ContentType.JPEG}

TOO_LARGE = Fault(
    "ValidationException",
    "ValidationException (MAXIMUM_SIZE_EXCEEDED): the attachment is larger than 512000 bytes",
    "MAXIMUM_SIZE_EXCEEDED",
    (("AttachmentBody", "length must be at most 512000"),),
)
FIELDS = Fault(
    "ValidationException",
    "ValidationException (FIELD_VALIDATION_FAILED): a tag has a value that is not allowed",
    "FIELD_VALIDATION_FAILED",
    (("Tags.3.Value", "must match [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*"),),
)
HOSTILE_FIELDS = replace(FIELDS, message="ValidationException: tag values\u2028 may not contain <!-- or </script>")
CONFLICT = Fault("ConflictException", "ConflictException: the token was used with other parameters")
THROTTLED = Fault("ThrottlingException", "ThrottlingException: rate exceeded")
SILENT = Fault("NoAnswer", "no answer: the connection was lost")
UNREADABLE = Fault("UPLOAD_FAILED", "the service could not process the attachment")
Causes = Sequence[tuple[float, Fault]]
CAUSES: Causes = ((0.992, TOO_LARGE), (0.987, HOSTILE_FIELDS), (0.985, CONFLICT), (0.983, UNREADABLE))
"""Above which luck, from 0 to 1, an item fails for which reason."""
FEW_CAUSES: Causes = ((0.992, TOO_LARGE), (0.987, FIELDS))
HOSTILE = (
    "<script>alert(1)</script>.pdf",
    "</script><script>document.title='owned'</script>.png",
    "<!--<script>.pdf",
    "\"><img src=x onerror=alert(1)>'.pdf",
    "=cmd|' /C calc'!A1.pdf",
    "invoice\u202egpj.pdf",
    "zero\u200bwidth\ufeff.pdf",
    "שלום-ملف-文件-🗂️.pdf",
    "&lt;b&gt;bold&amp;.pdf",
    "__proto__",
    "constructor",
    "long/" + "x" * 400 + ".pdf",
)


def as_shown(name: str) -> str:
    """One of these names as the page shows it: characters that hide or reorder others as escapes."""
    return name.translate({0x202E: "\\u202e", 0x200B: "\\u200b", 0xFEFF: "\\ufeff"})


@dataclass(frozen=True, slots=True)
class Story:
    """A manifest, and the ledger of its runs beside it."""

    manifest: Path
    ids: Sequence[str]

    @property
    def ledger(self) -> Path:
        return self.manifest.with_suffix(".ledger")


def ids_of(count: int) -> list[str]:
    """So many ids: the hostile ones, then folders of letters and screenshots."""
    kinds = ("letters/{:05d}-authorization.pdf", "screenshots/{:05d}-opt-in.png", "terms/{:05d}.jpg")
    plain = [kinds[number % 3].format(number) for number in range(count - len(HOSTILE))]
    return [*HOSTILE, *plain]


def write_manifest(folder: Path, ids: Iterable[str]) -> Path:
    """A manifest that lists these: what has a hostile name as a URL, so that no such file is needed, others as files.

    The files are not there: reports never look into what was sent.
    """
    lines = ["version: 1", f"batch: {BATCH}", "defaults:", "  tags: {Customer: acme}", "attachments:"]
    for number, item_id in enumerate(ids):
        if item_id in HOSTILE:
            lines += [f"  - id: {_yaml(item_id)}", f"    url: {_url(number)}"]
        else:
            lines += [f"  - file: {_yaml(item_id)}"]
    path = folder / "june.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _url(number: int) -> str:
    return f"s3://acme-onboarding/{number:05d}.pdf"


def _yaml(text: str) -> str:
    return '"' + "".join(f"\\U{ord(char):08x}" if not char.isalnum() else char for char in text) + '"'


def tell_story(folder: Path, ids: Sequence[str], *, causes: Causes = CAUSES, seed: int = 7) -> Story:
    """Two runs: the first is cut short by the day's quota, the second goes on and leaves failures."""
    story = Story(write_manifest(folder, ids), ids)
    items = [_item(number, item_id) for number, item_id in enumerate(ids)]
    cut = len(items) * 2 // 3
    first = _Run("20261123T200000Z-5e1f0a3c", 1, BEGIN, 13, "no capacity is left", items[:cut])
    later = BEGIN + timedelta(hours=max(4.0, cut / PER_SECOND / 3600), minutes=5)
    second = _Run("20261124T000500Z-90b2c4d7", 2, later, 20, "some items failed", items[cut:])
    chance = random.Random(seed)
    make_file(story.ledger, shown=str(story.ledger))
    with open_for_writing(story.ledger, shown=str(story.ledger), at=BEGIN) as db, db.transaction():
        _write_lane(db, second)
        numbers = count(1)
        for run in (first, second):
            _write_run(db, run, chance, numbers, causes)
    return story


@dataclass(frozen=True, slots=True)
class _Run:
    run_id: str
    number: int
    began: datetime
    exit_code: int
    reason: str
    items: Sequence[Item]

    @property
    def ended(self) -> datetime:
        return self.began + timedelta(seconds=len(self.items) / PER_SECOND + 4)


def _item(number: int, item_id: str) -> Item:
    is_url = item_id in HOSTILE
    source = _url(number) if is_url else item_id
    digest = None if is_url else hashlib.sha256(item_id.encode()).digest()
    tags = {"Customer": "acme"}
    content = f"url:{source}" if digest is None else f"sha256:{digest.hex()}"
    token = client_token(batch=BATCH, item_id=item_id, content=content, generation=1, tags=tags)
    size = None if is_url else 20_000 + (number * 7_919) % 470_000
    kind = None if is_url else _TYPES[item_id[-3:]]
    return Item(BATCH, item_id, source, token, tags, digest, size_bytes=size, content_type=kind)


def _insert(db: Database, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    statement = Statement(insert(table), columns=list(rows[0]))
    for row in rows:
        db.run(statement, row)


def _write_lane(db: Database, last: _Run) -> None:
    lane = {"lane_id": 1, "account": LANE.account, "region": LANE.region, "endpoint": ENDPOINT, "pinned_at": BEGIN}
    _insert(db, tables.lane, [lane])
    learned = {"rate": 2.11, "stage": 1.0, "evidence": 40.0, "backoff": 1.0, "burst": 2.0}
    rate = {"lane_id": 1, "operation": CREATE, "learned": learned, "learned_at": last.ended}
    _insert(db, tables.rate, [rate])


def _write_run(db: Database, run: _Run, chance: random.Random, numbers: "count[int]", causes: Causes) -> None:
    ended = {"ended_at": run.ended, "exit_code": run.exit_code}
    summary = {"exit": {"code": run.exit_code, "reason": run.reason}}
    begun = {"run_no": run.number, "lane_id": 1, "run_id": run.run_id, "verb": "upload", "batch": BATCH, "program": "0"}
    who = {"principal": PRINCIPAL, "os_user": "<b>deploy</b>", "host": "batch-1"}
    _insert(db, tables.run, [{**begun, "began_at": run.began, **ended, "summary": summary, **who}])
    items, attempts, outcomes = [], [], []
    for place, item in enumerate(run.items):
        tries = list(_tries(run.began + timedelta(seconds=place / PER_SECOND), chance.random(), causes))
        item_no = run.number * ITEMS_OF_RUN_MAX + place
        items.append({"item_no": item_no, **_item_row(item, run, tries)})
        for number, tried in enumerate(tries, 1):
            attempt_id = next(numbers)
            named = {"attempt_id": attempt_id, "item_no": item_no, "number": number, "run_no": run.number}
            attempts.append({**named, "started_at": tried.at})
            outcomes.append(_outcome_row(attempt_id, item, number, tried))
    _insert(db, tables.item, items)
    _insert(db, tables.attempt, attempts)
    _insert(db, tables.outcome, outcomes)


@dataclass(frozen=True, slots=True)
class _Try:
    at: datetime
    kind: OutcomeKind
    fault: Fault | None = None
    status: AttachmentStatus = AttachmentStatus.COMPLETE

    @property
    def ended(self) -> datetime:
        return self.at + timedelta(seconds=0.18)


def _tries(at: datetime, luck: float, causes: Causes) -> Iterator[_Try]:
    """Three of a hundred are throttled once, some lose their answer, some fail."""
    if luck < 0.03:
        yield _Try(at, OutcomeKind.THROTTLED, THROTTLED)
        at += timedelta(seconds=1.4)
    elif luck < 0.035:
        yield _Try(at, OutcomeKind.UNKNOWN, SILENT)
        at += timedelta(seconds=3)
    fault = next((fault for above, fault in causes if luck > above), None)
    if fault is UNREADABLE:
        yield _Try(at, OutcomeKind.ACCEPTED, status=AttachmentStatus.FAILED)
    elif fault is not None:
        yield _Try(at, OutcomeKind.REFUSED, fault)
    else:
        yield _Try(at, OutcomeKind.ACCEPTED)


def _item_row(item: Item, run: _Run, tries: Sequence[_Try]) -> dict[str, Any]:
    last = tries[-1]
    fault = last.fault or (UNREADABLE if last.status is AttachmentStatus.FAILED else None)
    is_made = last.fault is None
    completed = last.at + timedelta(seconds=3.2) if fault is None else None
    return {
        "lane_id": 1,
        "client_token": item.client_token,
        "batch": BATCH,
        "item_id": item.item_id,
        "source": item.source,
        "content": item.content,
        "tags": dict(item.tags),
        "generation": 1,
        "identity_tag": True,
        "size_bytes": item.size_bytes,
        "content_type": item.content_type,
        "current": True,
        "state": State.COMPLETE if fault is None else State.FAILED,
        "attachment_id": _id(item) if is_made else None,
        "attachment_arn": _arn(item) if is_made else None,
        "attachment_status": last.status if is_made else None,
        "attachment_created_at": last.ended if is_made else None,
        "fault_code": fault and fault.code,
        "fault_message": fault and fault.message,
        "fault_reason": fault and fault.reason,
        "fault_fields": fault and [list(pair) for pair in fault.fields],
        "attempts": len(tries),
        "request_id": _request_id(item, len(tries)),
        "first_sent_at": tries[0].at,
        "completed_at": completed,
        "enlisted_at": run.began,
        "changed_at": completed or last.ended,
    }


def _request_id(item: Item, number: int) -> str:
    return f"{item.client_token[4:12]}-{number:04d}-4a7e-8f10-{item.client_token[12:24]}"


def _outcome_row(attempt_id: int, item: Item, number: int, tried: _Try) -> dict[str, Any]:
    answered = tried.kind is not OutcomeKind.UNKNOWN
    is_made = tried.kind is OutcomeKind.ACCEPTED
    fault = tried.fault
    return {
        "attempt_id": attempt_id,
        "kind": tried.kind,
        "ended_at": tried.ended,
        "request_id": _request_id(item, number) if answered else None,
        "status": (200 if is_made else 400) if answered else None,
        "code": fault and fault.code,
        "message": fault and fault.message,
        "reason": fault and fault.reason,
        "fields": fault and [list(pair) for pair in fault.fields],
        "attachment_id": _id(item) if is_made else None,
        "attachment_arn": _arn(item) if is_made else None,
        "attachment_status": AttachmentStatus.IN_PROGRESS if is_made else None,
    }


def _id(item: Item) -> str:
    return f"registration-attachment-{item.client_token[4:36]}"


def _arn(item: Item) -> str:
    return f"arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/{_id(item)}"


def lane_labels(count: int) -> list[str]:
    """So many lanes, two Regions an account; from the fourth on with a hostile name here and there."""
    labels = [f"customer-{number // 2:03d}/{('us-east-1', 'us-west-2')[number % 2]}" for number in range(count)]
    for place, name in zip(range(3, count, 7), HOSTILE, strict=False):
        labels[place] = f"{name}/us-west-2"
    return labels


def tell_lanes(folder: Path, labels: Sequence[str], *, count: int) -> list[Story]:
    """A story of `count` items for each lane, each with a manifest and a ledger of its own in `folder`."""
    stories = []
    for place in range(len(labels)):
        own = folder / f"lane-{place}"
        own.mkdir(parents=True)
        stories.append(
            tell_story(own, [f"letters/{number:04d}-authorization.pdf" for number in range(count)], seed=place)
        )
    return stories
