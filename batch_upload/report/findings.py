"""What `verify` found, what `reconcile` will cost and what `prune` will delete, for people and for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from batch_upload.escape import printable
from batch_upload.model import AttachmentStatus
from batch_upload.operations import DESCRIBE, LIST_TAGS
from batch_upload.registration import Bind
from batch_upload.report.ndjson import NO_LANE, LaneRef, in_lane, made_line
from batch_upload.report.summary_text import shell_line
from batch_upload.words import aligned_lines, count_words, duration_words

_FINDING_TITLES = ("finding", "id", "attachment", "status")
_PRUNE_TITLES = ("action", "id", "attachment", "reason")


class TagDifference(Protocol):
    """A tag that has another value at the service than in the ledger; None where one of them has no such tag."""

    @property
    def key(self) -> str: ...

    @property
    def ledger(self) -> str | None: ...

    @property
    def service(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class FieldFinding:
    """The field of a registration that does not hold the attachment which the ledger has put there.

    `holds`: the attachment that it holds; None for none, and if `new_version` was not asked for its fields.
    """

    bind: Bind
    holds: str | None
    new_version: int | None
    """The current version, if that is newer than the one with the attachment."""
    is_displaced: bool = False
    """Whether the ledger knows of it: another attachment was put there later."""

    @property
    def words(self) -> str:
        """What was found, for people."""
        if self.new_version is not None:
            return f"{self.bind.words} is of version {self.new_version} now; the next `upload` binds it again"
        there = "nothing" if self.holds is None else f"`{self.holds}`"
        put_back = ", which was put there later; the next `upload` puts this one back" if self.is_displaced else ""
        return f"{self.bind.words} holds {there} at AWS{put_back}"


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding. `attachment_id`, `status` and `attachment_arn` are None where the service has nothing.

    `differences`: the tags that are wrong, where that is what was found.
    """

    finding: str
    item_id: str
    client_token: str
    attachment_id: str | None
    status: AttachmentStatus | None
    attachment_arn: str | None = None
    differences: Sequence[TagDifference] = ()
    lane: LaneRef = NO_LANE
    field: FieldFinding | None = None
    """Of an attachment that is not in its field: what was found there."""

    def as_json(self) -> dict[str, Any]:
        """Return the line `{"event": "finding", …}`."""
        line = made_line(
            "finding",
            finding=self.finding,
            id=self.item_id,
            client_token=self.client_token,
            registration_attachment_id=self.attachment_id,
            status=None if self.status is None else self.status.value,
            registration_attachment_arn=self.attachment_arn,
            differences=[
                {"key": each.key, "ledger": each.ledger, "service": each.service} for each in self.differences
            ],
            bind=None if self.field is None else str(self.field.bind),
            holds=None if self.field is None else self.field.holds,
            new_version=None if self.field is None else self.field.new_version,
        )
        return in_lane(line, self.lane)


@dataclass(frozen=True, slots=True)
class FindingCounts:
    """The numbers of a comparison. `listed` attachments are at the service, `strangers` of them of no item here.

    `tags_compared`: attachments of the ledger whose tags were read; 0 without `--tags`.
    """

    findings: Mapping[str, int]
    listed: int
    strangers: int
    agreeing: int
    finished: int
    tags_compared: int = 0
    bound: int = 0
    """Attachments that the ledger has in fields of registrations, which were all compared."""

    def as_json(self) -> dict[str, Any]:
        """Return the line `{"event": "comparison", …}`."""
        return made_line(
            "comparison",
            findings=dict(self.findings),
            attachments=self.listed,
            strangers=self.strangers,
            agreeing=self.agreeing,
            finished=self.finished,
            tags_compared=self.tags_compared,
            bound=self.bound,
        )

    def lines(self) -> list[str]:
        """Return the numbers for people."""
        found = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.findings.items() if count)
        elsewhere = sum(self.findings.get(kind, 0) for kind in ("not_bound", "new_version", "displaced"))
        lines = [
            f"at the service: {count_words(self.listed, 'attachment')}, {self.strangers:,} not of this batch",
            f"in agreement: {self.agreeing:,}",
            *([f"in their fields: {self.bound - elsewhere:,} of {self.bound:,}"] if self.bound else []),
            f"findings: {found or 'none'}",
        ]
        if self.finished:
            lines.append(f"finished since the ledger was written: {self.finished:,}; `upload` takes note of it")
        return lines


@dataclass(frozen=True, slots=True)
class PruneRow:
    """One attachment that the manifest no longer lists. `deletes`: it will be deleted, once its tag proves it ours."""

    deletes: bool
    item_id: str
    client_token: str
    attachment_id: str | None
    reason: str
    lane: LaneRef = NO_LANE

    @property
    def action(self) -> str:
        return "delete" if self.deletes else "keep"

    def as_json(self) -> dict[str, Any]:
        """Return the line `{"event": "prune", …}`."""
        line = made_line(
            "prune",
            action=self.action,
            id=self.item_id,
            client_token=self.client_token,
            registration_attachment_id=self.attachment_id,
            reason=self.reason,
        )
        return in_lane(line, self.lane)


def finding_lines(rows: Sequence[FindingRow]) -> Iterator[str]:
    """Return the findings in aligned columns, header first. Empty without one."""
    cells = [
        (
            row.finding,
            printable(row.item_id),
            printable(row.attachment_id or ""),
            row.status.value if row.status else "",
        )
        for row in rows
    ]
    return aligned_lines(_with_lanes([_FINDING_TITLES, *cells], [row.lane for row in rows]) if cells else [])


def prune_lines(rows: Sequence[PruneRow]) -> Iterator[str]:
    """Return the attachments in aligned columns, header first. Empty without one."""
    cells = [
        (row.action, printable(row.item_id), printable(row.attachment_id or ""), printable(row.reason)) for row in rows
    ]
    return aligned_lines(_with_lanes([_PRUNE_TITLES, *cells], [row.lane for row in rows]) if cells else [])


def _with_lanes(cells: Sequence[Sequence[str]], lanes: Sequence[LaneRef]) -> Sequence[Sequence[str]]:
    """Return the cells with a first column for the lane, if any of the rows is of a lane of several."""
    if all(lane.target is None for lane in lanes):
        return cells
    labels = ["lane", *(printable(lane.target or "") for lane in lanes)]
    return [(label, *row) for label, row in zip(labels, cells, strict=True)]


def tags_words(counts: FindingCounts, *, reads: int, reads_per_s: float) -> str:
    """Return whether tags were compared; if not, what that takes: so many `reads`."""
    if counts.tags_compared or not reads:
        return f"tags: compared for {count_words(counts.tags_compared, 'attachment')}"
    time = duration_words(reads / reads_per_s)
    return f"tags: not compared; `--tags` reads those of {count_words(reads, 'attachment')}, about {time}"


def difference_lines(rows: Sequence[FindingRow]) -> Iterator[str]:
    """Yield each tag that is wrong, and how."""
    for row in rows:
        for each in row.differences:
            there = "is missing" if each.service is None else f"is `{each.service}`"
            sent = "the ledger sent none" if each.ledger is None else f"the ledger sent `{each.ledger}`"
            lane = "" if row.lane.target is None else f"{row.lane.target}: "
            yield printable(f"{lane}`{row.item_id}`: tag `{each.key}` {there} at AWS, {sent}")


def field_lines(rows: Sequence[FindingRow]) -> Iterator[str]:
    """Yield each attachment that is not in its field, and what is there."""
    for row in rows:
        if row.field is not None:
            lane = "" if row.lane.target is None else f"{row.lane.target}: "
            yield printable(f"{lane}`{row.item_id}`: {row.field.words}")


def tag_lines(rows: Sequence[FindingRow], aws_flags: Sequence[str]) -> list[str]:
    """Return the commands of AWS's own tool that give attachments the tags of the ledger."""
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
    """Return what reconciling will cost, on one line."""
    if pages is None or tag_reads is None or time_s is None:
        return "the service does not say how much it holds: a listing of 100 a second, then 10 tags a second"
    calls = f"{count_words(pages, f'{DESCRIBE} call')}, at most {tag_reads:,} {LIST_TAGS}"
    return f"{calls}: about {duration_words(time_s)}"


def cost_line(*, pages: int | None, tag_reads: int | None, time_s: float | None) -> dict[str, Any]:
    """Return the line `{"event": "cost", …}`; null where that is not known."""
    rounded_s = None if time_s is None else round(time_s, 1)
    return made_line("cost", describe_calls=pages, tag_reads=tag_reads, time_s=rounded_s)
