"""The tables as statements see them. Each database has its own script that makes them, such as `sqlite/schema.py`."""

import json
from abc import ABC
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, Column, Dialect, Integer, MetaData, Table, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from batch_upload.model import AttachmentStatus, ContentType, OutcomeKind, State
from batch_upload.registration import BindState

Convert = Callable[[Any], Any]


@lru_cache(maxsize=256)
def utc_text(at: datetime) -> str:
    """Return a time as it is stored: UTC, ISO 8601, microseconds, `Z`; of fixed width, so that texts sort as times do.

    Raises ValueError for a time without a zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at}")
    there = at if at.tzinfo is UTC else at.astimezone(UTC)
    return f"{there.isoformat(timespec='microseconds')[:_WITHOUT_ZONE]}Z"


_WITHOUT_ZONE = len("2026-11-23T09:00:00.000000")


def encodable(text: str) -> str:
    """Return the text as every database can hold it: a lone surrogate and a zero byte as their escapes."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_text(value: object) -> str:
    """Return a JSON value as compact text with sorted keys; what UTF-8 cannot hold stays a JSON escape."""
    return encodable(_COMPACT.encode(value))


_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=4_096)
def _shared_json(text: str) -> object:
    return json.loads(text)


class Kept(TypeDecorator[Any], ABC):
    """A value that is stored as a plain text or number; None as NULL.

    The conversions are plain functions: `driver.Compiled` calls them for every row, without SQLAlchemy in between.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Text
    cache_ok = True
    to_driver: Convert
    from_driver: Convert | None = None

    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        return None if value is None else self.to_driver(value)

    def process_result_value(self, value: object, dialect: Dialect) -> object:
        return value if value is None or self.from_driver is None else self.from_driver(value)


class UtcText(Kept):
    """An aware time, as text."""

    cache_ok = True
    to_driver = staticmethod(utc_text)
    from_driver = staticmethod(datetime.fromisoformat)


class AnyText(Kept):
    """Any text. What UTF-8 cannot hold (a lone surrogate) is stored as its escape, so that no answer is lost for it."""

    cache_ok = True
    to_driver = staticmethod(encodable)


class EnumText(Kept):
    """One of a few words."""

    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind  # what the cache of SQLAlchemy tells one from another by
        self.to_driver = str.__str__
        self.from_driver = {member.value: member for member in kind}.__getitem__


class JsonText(Kept):
    """A JSON value, as text."""

    cache_ok = True
    to_driver = staticmethod(json_text)
    from_driver = staticmethod(json.loads)


class TagsText(Kept):
    """An item's tags, as JSON. Most items of a batch carry the same: what reads the same is one object, to be left as
    it is."""

    cache_ok = True
    to_driver = staticmethod(json_text)
    from_driver = staticmethod(_shared_json)


class Bits64(Kept):
    """A number of 64 bits without a sign, such as an inode's, stored as one with a sign."""

    impl = Integer
    cache_ok = True
    to_driver = staticmethod(lambda number: (number + 2**63) % 2**64 - 2**63)
    from_driver = staticmethod(lambda number: number % 2**64)


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
    Column("doubted_before", UtcText),
)

target = Table(
    "target",
    METADATA,
    Column("label", AnyText, primary_key=True),
    Column("lane_id", Integer),
    Column("pinned_at", UtcText),
)

run = Table(
    "run",
    METADATA,
    Column("run_no", Integer, primary_key=True),
    Column("lane_id", Integer),
    Column("run_id", Text),
    Column("verb", Text),
    Column("batch", Text),
    Column("program", Text),
    Column("began_at", UtcText),
    Column("ended_at", UtcText),
    Column("exit_code", Integer),
    Column("summary", JsonText),
    Column("target", AnyText),
    Column("principal", AnyText),
    Column("os_user", AnyText),
    Column("host", AnyText),
)


item = Table(
    "item",
    METADATA,
    Column("item_no", Integer, primary_key=True),
    Column("lane_id", Integer),
    Column("client_token", Text),
    Column("batch", Text),
    Column("item_id", Text),
    Column("source", AnyText),
    Column("content", Text),
    Column("tags", TagsText),
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
    Column("attempts", Integer),
    Column("request_id", AnyText),
    Column("unknown_since", UtcText),
    Column("last_open_at", UtcText),
    Column("resume_after", UtcText),
    Column("first_sent_at", UtcText),
    Column("completed_at", UtcText),
    Column("enlisted_at", UtcText),
    Column("changed_at", UtcText),
    Column("bind_registration", AnyText),
    Column("bind_field", AnyText),
    Column("bind_state", EnumText(BindState)),
    Column("bound_version", Integer),
    Column("denial", JsonText),
)

attempt = Table(
    "attempt",
    METADATA,
    Column("attempt_id", Integer, primary_key=True),
    Column("item_no", Integer),
    Column("number", Integer),
    Column("run_no", Integer),
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

bind_attempt = Table(
    "bind_attempt",
    METADATA,
    Column("attempt_id", Integer, primary_key=True),
    Column("item_no", Integer),
    Column("run_no", Integer),
    Column("registration", AnyText),
    Column("field", AnyText),
    Column("attachment_id", Text),
    Column("started_at", UtcText),
)

bind_outcome = Table(
    "bind_outcome",
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
    Column("version", Integer),
)

field_definition = Table(
    "field_definition",
    METADATA,
    Column("lane_id", Integer, primary_key=True),
    Column("registration_type", AnyText, primary_key=True),
    Column("fields", JsonText),
    Column("read_at", UtcText),
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
    Column("insight", Text),
)

wanted = Table("wanted", MetaData(), Column("key", Text, primary_key=True), Column("value", Text))
"""What a statement is asked for (`Database.want`): a temporary table, or a set that is sent along. It is no part of the
ledger."""
