"""The completion report for spreadsheets and programs: a row for each item of the manifest, sent or not; with `--all`
also one for everything else that was created for the batch."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TextIO

from batch_upload.escape import printable, stream_encoding
from batch_upload.model import Item, Known, Listed, State
from batch_upload.report.ndjson import json_text
from batch_upload.words import utc_text_or_none

HEADER = (
    "id",
    "source",
    "sha256",
    "size_bytes",
    "content_type",
    "client_token",
    "state",
    "registration_attachment_id",
    "registration_attachment_arn",
    "attachment_status",
    "error_code",
    "error_reason",
    "error_message",
    "attempts",
    "request_id",
    "first_sent_at",
    "completed_at",
)
IN_MANIFEST = "in_manifest"
"""The column behind all others that `--all` adds."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row. The fields are the header's, in its order, but for `item_id`, whose column is `id`; then come `tags` and
    `in_manifest`.

    None is an empty cell: not known, or not so far. Times are ISO 8601 in UTC.
    """

    item_id: str
    source: str
    sha256: str | None
    size_bytes: int | None
    content_type: str | None
    client_token: str | None
    state: str
    registration_attachment_id: str | None = None
    registration_attachment_arn: str | None = None
    attachment_status: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    attempts: int = 0
    request_id: str | None = None
    first_sent_at: str | None = None
    completed_at: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    in_manifest: str | None = None
    """What the manifest says of the row; written where `--all` was asked for."""


_COLUMNS = tuple(column.name for column in fields(ReportRow) if column.name not in ("tags", "in_manifest"))


def row_of(item: Item | Listed, known: Known | None) -> ReportRow:
    """The row of one item of the manifest and what the ledger knows of it.

    `known` of another token than the item's tells of a document that the manifest has replaced: the row is of the
    item that is now, and that is not sent yet. A `Listed` has no token; its `known` is taken as it is.
    """
    if isinstance(item, Listed):
        return _unsent(item) if known is None else _sent(item.item_id, item.source, known)
    if known is None or known.client_token != item.client_token:
        return _unsent(item)
    return _sent(item.item_id, item.source, known)


def row_of_known(known: Known, in_manifest: str) -> ReportRow:
    """The row of what the ledger alone knows."""
    return replace(_sent(known.item_id, known.source, known), in_manifest=in_manifest)


def write_csv(rows: Iterable[ReportRow], stream: TextIO, *, more: Sequence[str] = ()) -> int:
    """Write the rows as RFC 4180, header first, and give their number. `more` are columns behind the header's.

    A cell that a spreadsheet would run as a formula begins with `'`. The stream must not translate line ends
    (`newline=""`). A lone surrogate, which no encoding takes, is written as an escape. On a terminal, which is read by
    people, so are all characters that would move, hide or reorder others.
    """
    encoding = stream_encoding(stream)
    shown = printable if stream.isatty() else str
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow((*HEADER, *more))
    columns = (*_COLUMNS, *more)
    count = 0
    for row in rows:
        writer.writerow([_cell(getattr(row, name), encoding, shown) for name in columns])
        count += 1
    return count


def write_jsonl(rows: Iterable[ReportRow], stream: TextIO, *, more: Sequence[str] = ()) -> int:
    """Write a JSON object a row, with the header's names, `tags` and `more`, and give their number."""
    encoding = stream_encoding(stream)
    count = 0
    for row in rows:
        stream.write(json_text(_row_json(row, more), encoding=encoding) + "\n")
        count += 1
    return count


def defused(cell: str) -> str:
    """The cell as text that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _unsent(item: Item | Listed) -> ReportRow:
    if isinstance(item, Listed):
        return ReportRow(
            item_id=item.item_id,
            source=item.source,
            sha256=None,
            size_bytes=None,
            content_type=None,
            client_token=None,
            state=State.PENDING.value,
            tags=item.tags,
        )
    return ReportRow(
        item_id=item.item_id,
        source=item.source,
        sha256=item.sha256,
        size_bytes=item.size_bytes,
        content_type=None if item.content_type is None else item.content_type.value,
        client_token=item.client_token,
        state=State.PENDING.value,
        tags=item.tags,
    )


def _sent(item_id: str, source: str, known: Known) -> ReportRow:
    fault = known.fault
    return ReportRow(
        item_id=item_id,
        source=source,
        sha256=_digest_of(known.content),
        size_bytes=known.size_bytes,
        content_type=None if known.content_type is None else known.content_type.value,
        client_token=known.client_token,
        state=known.state.value,
        registration_attachment_id=known.attachment_id,
        registration_attachment_arn=known.attachment_arn,
        attachment_status=None if known.attachment_status is None else known.attachment_status.value,
        error_code=None if fault is None else fault.code,
        error_reason=None if fault is None else fault.reason,
        error_message=None if fault is None else fault.message,
        attempts=known.attempts,
        request_id=known.request_id,
        first_sent_at=utc_text_or_none(known.first_sent_at),
        completed_at=utc_text_or_none(known.completed_at),
        tags=known.tags,
    )


def _digest_of(content: str) -> str | None:
    return content.removeprefix(_DIGEST_PREFIX) if content.startswith(_DIGEST_PREFIX) else None


def _cell(value: str | int | None, encoding: str, shown: Callable[[str], str]) -> str | int | None:
    if not isinstance(value, str):
        return value
    cell = shown(defused(value))
    return cell if cell.isascii() else cell.encode(encoding, "backslashreplace").decode(encoding)


def _row_json(row: ReportRow, more: Sequence[str]) -> dict[str, Any]:
    values = {title: getattr(row, name) for title, name in zip(HEADER, _COLUMNS, strict=True)}
    return {**values, "tags": dict(row.tags), **{name: getattr(row, name) for name in more}}
