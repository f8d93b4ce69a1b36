"""What `verify` found and what `reconcile` will cost, for people and for machines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch_upload.model import AttachmentStatus
from batch_upload.report.escape import printable
from batch_upload.report.summary import SCHEMA_VERSION
from batch_upload.report.words import count_words, display_width, duration_words

_TITLES = ("finding", "id", "attachment", "status")


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding. `attachment_id` and `status` are None where there is nothing at the service to name."""

    finding: str
    item_id: str
    client_token: str
    attachment_id: str | None
    status: AttachmentStatus | None

    def as_json(self) -> dict[str, Any]:
        """The line `{"event": "finding", …}`."""
        return {
            "event": "finding",
            "schema_version": SCHEMA_VERSION,
            "finding": self.finding,
            "id": self.item_id,
            "client_token": self.client_token,
            "registration_attachment_id": self.attachment_id,
            "status": None if self.status is None else self.status.value,
        }


@dataclass(frozen=True, slots=True)
class Tallied:
    """The numbers of a comparison. `listed` stand at the service, `strangers` of them are not this batch's."""

    findings: Mapping[str, int]
    listed: int
    strangers: int
    agreeing: int
    finished: int

    def as_json(self) -> dict[str, Any]:
        """The line `{"event": "comparison", …}`."""
        return {
            "event": "comparison",
            "schema_version": SCHEMA_VERSION,
            "findings": dict(self.findings),
            "attachments": self.listed,
            "strangers": self.strangers,
            "agreeing": self.agreeing,
            "finished": self.finished,
        }


def finding_lines(rows: Sequence[FindingRow]) -> Iterator[str]:
    """The findings in aligned columns, header first. Nothing without one."""
    if not rows:
        return
    cells = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(display_width(row[column]) for row in cells) for column in range(len(_TITLES))]
    for row in cells:
        padded = (text + " " * (width - display_width(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def tallied_lines(tallied: Tallied) -> list[str]:
    """The numbers, a line each."""
    found = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in tallied.findings.items() if count)
    lines = [
        f"at the service: {count_words(tallied.listed, 'attachment')}, {tallied.strangers:,} not of this batch",
        f"in agreement: {tallied.agreeing:,}",
        f"findings: {found or 'none'}",
    ]
    if tallied.finished:
        lines.append(f"finished since the ledger was written: {tallied.finished:,}; `upload` takes note of it")
    return lines


def cost_words(*, pages: int | None, tag_reads: int | None, time_s: float | None) -> str:
    """What reconciling will cost, on one line."""
    if pages is None or tag_reads is None or time_s is None:
        return "the service does not tell how much it holds: a listing of 100 a second, then 10 tags a second"
    calls = f"{count_words(pages, 'DescribeRegistrationAttachments call')}, at most {tag_reads:,} ListTagsForResource"
    return f"{calls}: about {duration_words(time_s)}"


def cost_line(*, pages: int | None, tag_reads: int | None, time_s: float | None) -> dict[str, Any]:
    """The line `{"event": "cost", …}`. Null where the service does not tell."""
    return {
        "event": "cost",
        "schema_version": SCHEMA_VERSION,
        "describe_calls": pages,
        "tag_reads": tag_reads,
        "time_s": None if time_s is None else round(time_s, 1),
    }


def _cells(row: FindingRow) -> tuple[str, ...]:
    status = "" if row.status is None else row.status.value
    return (row.finding, printable(row.item_id), printable(row.attachment_id or ""), status)
