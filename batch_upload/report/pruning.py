"""What `prune` is about to do and what became of it, for people and for machines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batch_upload.escape import printable
from batch_upload.summary import SCHEMA_VERSION
from batch_upload.words import display_width

_TITLES = ("action", "id", "attachment", "reason")


@dataclass(frozen=True, slots=True)
class PruneRow:
    """One attachment that nobody lists. `deletes`: whether it is to be deleted, once its tag proves it."""

    deletes: bool
    item_id: str
    client_token: str
    attachment_id: str | None
    reason: str

    @property
    def action(self) -> str:
        return "delete" if self.deletes else "keep"

    def as_json(self) -> dict[str, Any]:
        """The line `{"event": "prune", …}`."""
        return {
            "event": "prune",
            "schema_version": SCHEMA_VERSION,
            "action": self.action,
            "id": self.item_id,
            "client_token": self.client_token,
            "registration_attachment_id": self.attachment_id,
            "reason": self.reason,
        }


def prune_lines(rows: Sequence[PruneRow]) -> Iterator[str]:
    """The attachments in aligned columns, header first. Nothing without one."""
    if not rows:
        return
    cells = [_TITLES, *((row.action, row.item_id, row.attachment_id or "", row.reason) for row in rows)]
    shown = [tuple(printable(cell) for cell in row) for row in cells]
    widths = [max(display_width(row[column]) for row in shown) for column in range(len(_TITLES))]
    for row in shown:
        padded = (text + " " * (width - display_width(text)) for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
