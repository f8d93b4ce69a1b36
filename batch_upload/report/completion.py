"""The completion report for spreadsheets and programs: a row for each item of the manifest, sent or not; with `--all`
also one for everything else that was created for the batch."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TextIO

from batch_upload.escape import escaped_for, printable, stream_encoding
from batch_upload.model import Item, Known, Listed, Problem, State
from batch_upload.report.ndjson import NO_LANE, LaneRef, json_line
from batch_upload.words import utc_iso_or_none

BYTE_ORDER_MARK = "\ufeff"
"""At the beginning of a CSV file it tells Excel that the text is UTF-8."""
OF_EVERYTHING = ("in_manifest", "fate")
"""The columns that `--all` adds behind all others."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row. The fields are the header's, in its order (`item_id` is the column `id`), then those of `--all`.

    None is an empty cell: not known, or not yet. Times are ISO 8601 in UTC.
    """

    item_id: str
    source: str
    sha256: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    client_token: str | None = None
    state: str = State.PENDING.value
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
    target: str | None = None
    """`Target.label` of its lane; None in a manifest without `targets`."""
    account: str | None = None
    region: str | None = None
    bound_to: str | None = None
    """`REGISTRATION/FIELD` whose field holds the attachment; None if none does, as far as the ledger knows."""
    tags: Mapping[str, str] = field(default_factory=dict)
    uploaded_by: str | None = None
    """The ARN of the credentials that made the attachment; None where it is not recorded."""
    run_id: str | None = None
    """The run that made the attachment; None if it was found at the service."""
    batch: str | None = None
    denied_reason: str | None = None
    """Why a reviewer denied the registration for the attachment; None without a denial."""
    feedback: str | None = None
    """What else the review said of it."""
    in_manifest: str | None = None
    """Whether and how the manifest lists it; written with `--all` only."""
    fate: str | None = None
    """Whether the attachment is still at AWS, or why not; written with `--all` only."""


ROW_FIELDS = tuple(column.name for column in fields(ReportRow) if column.name not in OF_EVERYTHING)
HEADER = ("id", *ROW_FIELDS[1:])


def report_row(
    item: Item | Listed | None, known: Known | None, in_manifest: str | None = None, *, lane: LaneRef = NO_LANE
) -> ReportRow:
    """Return the row of one item of the manifest and what the ledger has of it, or of what only the ledger has.

    `lane` is the one in which the item is, as far as it is known.

    `known` of another token than the item's is of a document that the manifest has replaced: then the row is of the
    item as it is now, which is not sent yet. A `Listed` has no token; its `known` is taken as it is.

    Raises ValueError without an item and without anything in the ledger.
    """
    if known is not None and not (isinstance(item, Item) and item.client_token != known.client_token):
        fault, content, denial = known.fault, known.content, known.standing_denial
        return ReportRow(
            item_id=known.item_id,
            source=known.source if item is None else item.source,
            sha256=content.removeprefix(_DIGEST_PREFIX) if content.startswith(_DIGEST_PREFIX) else None,
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
            first_sent_at=utc_iso_or_none(known.first_sent_at),
            completed_at=utc_iso_or_none(known.completed_at),
            target=lane.target,
            account=lane.account,
            region=lane.region,
            bound_to=None if known.bound_to is None else str(known.bound_to),
            tags=known.tags,
            denied_reason=None if denial is None else denial.reason or None,
            feedback=None if denial is None else denial.feedback or None,
            in_manifest=in_manifest,
        )
    if item is None:
        raise ValueError("a row is of an item, or of what the ledger has")
    row = ReportRow(
        item_id=item.item_id,
        source=item.source,
        target=lane.target,
        account=lane.account,
        region=lane.region,
        tags=item.tags,
        in_manifest=in_manifest,
    )
    if isinstance(item, Listed):
        return row
    type_name = None if item.content_type is None else item.content_type.value
    token = item.client_token
    return replace(row, sha256=item.sha256, size_bytes=item.size_bytes, content_type=type_name, client_token=token)


def row_of_invalid(row: ReportRow, problem: Problem) -> ReportRow:
    """Return the row with the problem of its item, of which nothing was sent."""
    return replace(row, state=State.INVALID.value, error_code=problem.code, error_message=problem.message)


def write_csv(rows: Iterable[ReportRow], stream: TextIO, *, more: Sequence[str] = (), is_marked: bool = False) -> int:
    """Write the rows as RFC 4180, header first, and return their number. `more` are columns behind the header's.

    `is_marked`: begin with a byte order mark; the stream must be UTF-8 then.

    Tags are a JSON object. A cell that a spreadsheet would run as a formula begins with `'`. The stream must not
    translate line ends (`newline=""`). What the encoding cannot take is written as an escape. So are, on a terminal,
    which is read by people, all characters that would move, hide or reorder others.
    """
    encoding, is_terminal = stream_encoding(stream), stream.isatty()
    writer = csv.writer(stream, lineterminator="\r\n")
    if is_marked:
        stream.write(BYTE_ORDER_MARK)
    writer.writerow((*HEADER, *more))
    columns = (*ROW_FIELDS, *more)
    count = 0
    for row in rows:
        cells = [getattr(row, name) for name in columns]
        for place, cell in enumerate(cells):
            if isinstance(cell, Mapping):
                cell = json.dumps(dict(cell), ensure_ascii=False)
            if isinstance(cell, str):
                text = printable(defused(cell)) if is_terminal else defused(cell)
                cells[place] = text if text.isascii() else escaped_for(text, encoding)
        writer.writerow(cells)
        count += 1
    return count


def write_jsonl(rows: Iterable[ReportRow], stream: TextIO, *, more: Sequence[str] = ()) -> int:
    """Write a JSON object a row, with the header's names and `more`, and return their number."""
    encoding = stream_encoding(stream)
    count = 0
    for row in rows:
        values = {title: getattr(row, name) for title, name in zip(HEADER, ROW_FIELDS, strict=True)}
        values |= {"tags": dict(row.tags), **{name: getattr(row, name) for name in more}}  # tags are a frozen mapping
        stream.write(json_line(values, encoding=encoding) + "\n")
        count += 1
    return count


def defused(cell: str) -> str:
    """Return the cell as text that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
