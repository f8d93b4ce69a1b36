"""What `report --format` takes."""

from enum import StrEnum


class Format(StrEnum):
    """A form of the completion report."""

    CSV = "csv"
    JSONL = "jsonl"
    HTML = "html"
    MANIFEST = "manifest"
