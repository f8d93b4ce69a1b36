"""The tables as statements see them. How they are made, with their rules, stands in `migrations.py`."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Boolean, Column, Dialect, Integer, MetaData, Table, Text, TypeDecorator

from batch_upload.model import AttachmentStatus, ContentType, OutcomeKind, State


def utc_text(at: datetime) -> str:
    """A time as it is kept: UTC, ISO 8601, microseconds, `Z`; of fixed width, so that texts sort as times do.

    Raises ValueError for a time without a zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at}")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class UtcText(TypeDecorator[datetime]):
    """An aware time, kept as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else utc_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class AnyText(TypeDecorator[str]):
    """Text from anywhere. What UTF-8 cannot hold (a lone surrogate) is kept as its escape: no answer is lost for it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encodable(value)


class EnumText(TypeDecorator[StrEnum]):
    """One of a few words."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.kind(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as compact text with sorted keys; what UTF-8 cannot hold stays a JSON escape."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401 - any JSON value
        if value is None:
            return None
        return encodable(_COMPACT.encode(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401 - any JSON value
        return None if value is None else json.loads(value)


_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: a lone surrogate as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class Bits64(TypeDecorator[int]):
    """A number of 64 bits without a sign, such as an inode's, kept as SQLite's number with one."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else (value + 2**63) % 2**64 - 2**63

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else value % 2**64


METADATA = MetaData()

migration = Table(
    "migration",
    METADATA,
    Column("version", Integer, primary_key=True),
    Column("program", Text),
    Column("applied_at", UtcText),
)

lane = Table(
    "lane",
    METADATA,
    Column("lane_id", Integer, primary_key=True),
    Column("account", Text),
    Column("region", Text),
    Column("endpoint", AnyText),
    Column("pinned_at", UtcText),
    Column("listed_at", UtcText),
)

run = Table(
    "run",
    METADATA,
    Column("run_no", Integer, primary_key=True),
    Column("run_id", Text),
    Column("verb", Text),
    Column("batch", Text),
    Column("program", Text),
    Column("began_at", UtcText),
    Column("ended_at", UtcText),
    Column("exit_code", Integer),
    Column("summary", JsonText),
)


def _item_columns() -> list[Column[Any]]:
    return [
        Column("item_no", Integer, primary_key=True),
        Column("lane_id", Integer),
        Column("client_token", Text),
        Column("batch", Text),
        Column("item_id", Text),
        Column("source", AnyText),
        Column("content", Text),
        Column("tags", JsonText),
        Column("generation", Integer),
        Column("identity_tag", Boolean),
        Column("size_bytes", Integer),
        Column("content_type", EnumText(ContentType)),
        Column("current", Boolean),
        Column("state", EnumText(State)),
        Column("attachment_id", Text),
        Column("attachment_arn", Text),
        Column("attachment_status", EnumText(AttachmentStatus)),
        Column("attachment_created_at", UtcText),
        Column("fault_code", AnyText),
        Column("fault_message", AnyText),
        Column("fault_reason", AnyText),
        Column("fault_fields", JsonText),
        Column("fault_resource_id", AnyText),
        Column("unknown_since", UtcText),
        Column("last_open_at", UtcText),
        Column("resume_after", UtcText),
        Column("completed_at", UtcText),
        Column("enlisted_at", UtcText),
        Column("changed_at", UtcText),
    ]


item = Table("item", METADATA, *_item_columns())

known = Table(
    "known",
    METADATA,
    *_item_columns(),
    Column("attempts", Integer),
    Column("request_id", Text),
    Column("first_sent_at", UtcText),
)
"""A view: each item with what its attempts tell."""

attempt = Table(
    "attempt",
    METADATA,
    Column("attempt_id", Integer, primary_key=True),
    Column("lane_id", Integer),
    Column("client_token", Text),
    Column("number", Integer),
    Column("run_id", Text),
    Column("started_at", UtcText),
    Column("unknown_before", UtcText),
    Column("last_open_before", UtcText),
)

outcome = Table(
    "outcome",
    METADATA,
    Column("attempt_id", Integer, primary_key=True),
    Column("kind", EnumText(OutcomeKind)),
    Column("ended_at", UtcText),
    Column("request_id", AnyText),
    Column("status", Integer),
    Column("code", AnyText),
    Column("message", AnyText),
    Column("reason", AnyText),
    Column("fields", JsonText),
    Column("resource_id", AnyText),
    Column("resume_after", UtcText),
    Column("attachment_id", Text),
    Column("attachment_arn", Text),
    Column("attachment_status", EnumText(AttachmentStatus)),
)

stranger = Table(
    "stranger",
    METADATA,
    Column("lane_id", Integer, primary_key=True),
    Column("attachment_id", Text, primary_key=True),
    Column("attachment_arn", Text),
    Column("status", EnumText(AttachmentStatus)),
    Column("identity_tag", AnyText),
    Column("created_at", UtcText),
    Column("seen_at", UtcText),
)

rate = Table(
    "rate",
    METADATA,
    Column("lane_id", Integer, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("learned", JsonText),
    Column("learned_at", UtcText),
)

digest = Table(
    "digest",
    METADATA,
    Column("path", AnyText, primary_key=True),
    Column("device", Bits64),
    Column("inode", Bits64),
    Column("size_bytes", Integer),
    Column("mtime_ns", Integer),
    Column("sha256", Text),
    Column("content_type", EnumText(ContentType)),
)
