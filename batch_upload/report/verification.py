"""What `verify` found and what `reconcile` will cost, for people and for machines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from batch_upload.escape import printable
from batch_upload.model import AttachmentStatus
from batch_upload.operations import DESCRIBE, LIST_TAGS
from batch_upload.report.summary_text import shell_line
from batch_upload.summary import SCHEMA_VERSION
from batch_upload.words import count_words, display_width, duration_words

_TITLES = ("finding", "id", "attachment", "status")


class TagDifference(Protocol):
    """A tag that has another value at the service than in the ledger; None where one of them has no such tag."""

    @property
    def key(self) -> str: ...

    @property
    def ledger(self) -> str | None: ...

    @property
    def service(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding. Nothing at the service to name: then `attachment_id`, `status` and `attachment_arn` are None.

    `differences`: the tags that are wrong, where that is what was found.
    """

    finding: str
    item_id: str
    client_token: str
    attachment_id: str | None
    status: AttachmentStatus | None
    attachment_arn: str | None = None
    differences: Sequence[TagDifference] = ()

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
            "registration_attachment_arn": self.attachment_arn,
            "differences": [
                {"key": each.key, "ledger": each.ledger, "service": each.service} for each in self.differences
            ],
        }


@dataclass(frozen=True, slots=True)
class Tallied:
    """The numbers of a comparison. `listed` stand at the service, `strangers` of them are not this batch's.

    `tags_compared`: of so many that the ledger has, the tags were read; 0 where they were not asked for.
    """

    findings: Mapping[str, int]
    listed: int
    strangers: int
    agreeing: int
    finished: int
    tags_compared: int = 0

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
            "tags_compared": self.tags_compared,
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


def tags_words(tallied: Tallied, *, reads: int, reads_per_s: float) -> str:
    """Whether tags were compared; if not, what it takes: so many `reads`."""
    if tallied.tags_compared or not reads:
        return f"tags: compared for {count_words(tallied.tags_compared, 'attachment')}"
    time = duration_words(reads / reads_per_s)
    return f"tags: not compared; `--tags` reads those of {count_words(reads, 'attachment')}, about {time}"


def difference_lines(rows: Sequence[FindingRow]) -> Iterator[str]:
    """Each tag that is wrong, and how, a line each."""
    for row in rows:
        for each in row.differences:
            there = "is missing" if each.service is None else f"is `{each.service}`"
            sent = "the ledger sent none" if each.ledger is None else f"the ledger sent `{each.ledger}`"
            yield printable(f"`{row.item_id}`: tag `{each.key}` {there} at AWS, {sent}")


def tag_lines(rows: Sequence[FindingRow], aws_flags: Sequence[str]) -> list[str]:
    """The commands of AWS's own tool that give attachments the tags that the ledger says they have."""
    lines = []
    for row in rows:
        common = ("aws", "pinpoint-sms-voice-v2")
        where = (*aws_flags, "--resource-arn", row.attachment_arn or "")
        missing = [{"Key": each.key, "Value": each.ledger} for each in row.differences if each.ledger is not None]
        foreign = [each.key for each in row.differences if each.ledger is None]
        if missing:
            tags = json.dumps(missing, ensure_ascii=False)
            lines.append(shell_line((*common, "tag-resource", *where, "--tags", tags)))
        if foreign:
            lines.append(shell_line((*common, "untag-resource", *where, "--tag-keys", *foreign)))
    return lines


def cost_words(*, pages: int | None, tag_reads: int | None, time_s: float | None) -> str:
    """What reconciling will cost, on one line."""
    if pages is None or tag_reads is None or time_s is None:
        return "the service does not tell how much it holds: a listing of 100 a second, then 10 tags a second"
    calls = f"{count_words(pages, f'{DESCRIBE} call')}, at most {tag_reads:,} {LIST_TAGS}"
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
