"""One item's whole history, for people and for machines: what it is, what was tried, what happens next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batch_upload.escape import printable
from batch_upload.model import Known, OutcomeKind
from batch_upload.report.ndjson import error_json, json_text
from batch_upload.summary import SCHEMA_VERSION
from batch_upload.words import count_words, duration_words, fault_words, utc_text, utc_text_or_none

_UNDER_WAY = "no end is recorded: its process died, or it is under way"


@dataclass(frozen=True, slots=True)
class Named:
    """What a ClientToken is made of: the members of the canonical JSON, and the token of them."""

    client_token: str
    batch: str
    item_id: str
    content: str
    generation: int
    tags: Mapping[str, str]
    retry: int = 0

    def members(self) -> dict[str, Any]:
        """The canonical JSON's members, in their order."""
        return {
            "batch": self.batch,
            "content": self.content,
            "generation": self.generation,
            "id": self.item_id,
            **({"retry": self.retry} if self.retry else {}),
            "tags": dict(sorted(self.tags.items())),
            "v": 1,
        }


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt. `ended_at` and `kind` are None where no end is recorded."""

    number: int
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    kind: OutcomeKind | None
    code: str | None
    reason: str | None
    message: str | None
    request_id: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class Chapter:
    """What the ledger holds of one token: the item as it stands, since when, and its attempts, oldest first."""

    known: Known
    named: Named
    since: datetime | None
    tried: Sequence[Tried]


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next: in words, and the commands that do it."""

    words: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """An item. `state` and `state_words` are of `now`, or of an item that was never sent.

    `now` is None where the ledger does not know it. `wanted` is what the manifest has now, None where it no longer
    lists the id or its file cannot be read; then `unreadable` says why. `earlier` are tokens that were replaced.
    """

    item_id: str
    batch: str
    state: str
    state_words: str
    now: Chapter | None
    wanted: Named | None
    unreadable: str
    next: Next
    earlier: Sequence[Chapter] = ()


def changed_members(old: Named, new: Named) -> dict[str, tuple[Any, Any]]:
    """What differs between two names of one item: member → (old, new); a tag as `tags.<key>`, None where it is not."""
    before, after = _flat(old), _flat(new)
    keys = [*before, *(key for key in after if key not in before)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def history_lines(history: History) -> Iterator[str]:
    """The history, a line each; names in it are escaped."""
    yield printable(f"`{history.item_id}` of batch `{history.batch}`: {_state_text(history)}")
    if history.now is not None:
        yield from _indented(_standing_lines(history.now.known))
    yield from _token_lines(history)
    yield from _attempt_lines(history.now)
    for chapter in history.earlier:
        yield from _earlier_lines(chapter)
    yield printable(f"next: {history.next.words}")
    yield from _indented(history.next.commands)


def history_json(history: History) -> Iterator[dict[str, Any]]:
    """The lines for machines: the item, an attempt each, then each earlier token with its attempts."""
    yield _item_json(history)
    for chapter in (*_chapters(history.now), *history.earlier):
        if chapter is not history.now:
            yield _earlier_json(chapter)
        for tried in chapter.tried:
            yield _attempt_json(chapter.known, tried)


def _chapters(now: Chapter | None) -> tuple[Chapter, ...]:
    return () if now is None else (now,)


def _state_text(history: History) -> str:
    since = history.now.since if history.now else None
    moment = f" since {utc_text(since)}" if since else ""
    return f"{history.state}{moment} ({history.state_words})"


def _standing_lines(known: Known) -> Iterator[str]:
    if known.attachment_id is not None:
        status = known.attachment_status.value if known.attachment_status else "status not known"
        yield printable(f"attachment: {known.attachment_id} ({status})")
        yield printable(f"arn: {known.attachment_arn}")
    if known.fault is not None:
        yield f"fault: {fault_words(known.fault)}"
        yield from (printable(f"  {name}: {message}") for name, message in known.fault.fields)
    if known.unknown_since is not None:
        yield f"outcome not known since: {utc_text(known.unknown_since)}"
    if known.resume_after is not None:
        yield f"not tried before: {utc_text(known.resume_after)}"


def _token_lines(history: History) -> Iterator[str]:
    now, wanted = history.now, history.wanted
    named = now.named if now else wanted
    if named is not None:
        yield f"token: {printable(named.client_token)}"
        yield from _indented(_member_lines(named))
    if now is not None and not now.known.identity_tag:
        yield "  identity tag: none"
    if history.unreadable:
        yield printable(f"the manifest's token: cannot be told, {history.unreadable}")
    elif now is not None and wanted is None:
        yield "the manifest's token: none, it no longer lists this id"
    elif now is not None and wanted is not None and wanted.client_token != now.named.client_token:
        yield f"the manifest's token: {printable(wanted.client_token)}, which differs in"
        yield from _indented(_changed_lines(now.named, wanted))


def _member_lines(named: Named) -> Iterator[str]:
    for name, value in named.members().items():
        yield printable(f"{name}: {_value_text(value)}")


def _changed_lines(old: Named, new: Named) -> Iterator[str]:
    for name, (before, after) in changed_members(old, new).items():
        yield printable(f"{name}: {_change_text(before)} → {_change_text(after)}")


def _value_text(value: object) -> str:
    return json_text(value, encoding="utf-8") if isinstance(value, dict) else str(value)


def _change_text(value: object) -> str:
    return "none" if value is None else f"`{value}`"


def _attempt_lines(chapter: Chapter | None) -> Iterator[str]:
    tried = chapter.tried if chapter else ()
    yield f"attempts: {len(tried)}"
    yield from _indented(line for each in tried for line in _tried_lines(each))
    if chapter is not None and _was_found(chapter):
        yield "  found at the service by its identity tag"


def _was_found(chapter: Chapter) -> bool:
    answered = any(tried.kind is OutcomeKind.ACCEPTED for tried in chapter.tried)
    return chapter.known.attachment_id is not None and not answered


def _tried_lines(tried: Tried) -> Iterator[str]:
    began = f"{tried.number}. {utc_text(tried.started_at)}"
    if tried.ended_at is None or tried.kind is None:
        yield f"{began} {_UNDER_WAY}; run {tried.run_id}"
        return
    took = duration_words((tried.ended_at - tried.started_at).total_seconds())
    request = f", request {tried.request_id}" if tried.request_id else ", no request id"
    status = f", HTTP {tried.status}" if tried.status is not None else ""
    yield printable(f"{began} {tried.kind.value} after {took}{status}{request}, run {tried.run_id}")
    said = ": ".join(part for part in (tried.code, tried.reason, tried.message) if part)
    if said:
        yield printable(f"   {said}")


def _earlier_lines(chapter: Chapter) -> Iterator[str]:
    known = chapter.known
    since = f" since {utc_text(chapter.since)}" if chapter.since else ""
    attachment = f", attachment {known.attachment_id}" if known.attachment_id else ""
    tried = count_words(len(chapter.tried), "attempt")
    yield printable(f"earlier token: {known.client_token}, {known.state.value}{since}{attachment}, {tried}")
    yield from _indented(_member_lines(chapter.named))
    yield from _indented(line for each in chapter.tried for line in _tried_lines(each))


def _item_json(history: History) -> dict[str, Any]:
    now, wanted = history.now, history.wanted
    known = now.known if now else None
    named = now.named if now else wanted
    differs = changed_members(now.named, wanted) if now and wanted else {}
    status = known.attachment_status if known else None
    return {
        "event": "item",
        "schema_version": SCHEMA_VERSION,
        "id": history.item_id,
        "state": history.state,
        "since": utc_text_or_none(now.since if now else None),
        "client_token": None if named is None else named.client_token,
        "named": None if named is None else named.members(),
        "registration_attachment_id": known.attachment_id if known else None,
        "registration_attachment_arn": known.attachment_arn if known else None,
        "attachment_status": None if status is None else status.value,
        "error": error_json(known.fault) if known else None,
        "attempts": known.attempts if known else 0,
        "unknown_since": utc_text_or_none(known.unknown_since if known else None),
        "resume_after": utc_text_or_none(known.resume_after if known else None),
        "manifest_client_token": None if wanted is None else wanted.client_token,
        "changed": {name: {"ledger": old, "manifest": new} for name, (old, new) in differs.items()},
        "unreadable": history.unreadable or None,
        "next": {"words": history.next.words, "commands": list(history.next.commands)},
    }


def _earlier_json(chapter: Chapter) -> dict[str, Any]:
    known = chapter.known
    return {
        "event": "earlier",
        "schema_version": SCHEMA_VERSION,
        "id": known.item_id,
        "client_token": known.client_token,
        "named": chapter.named.members(),
        "state": known.state.value,
        "since": utc_text_or_none(chapter.since),
        "registration_attachment_id": known.attachment_id,
    }


def _attempt_json(known: Known, tried: Tried) -> dict[str, Any]:
    return {
        "event": "attempt",
        "schema_version": SCHEMA_VERSION,
        "id": known.item_id,
        "client_token": known.client_token,
        "number": tried.number,
        "run_id": tried.run_id,
        "started_at": utc_text(tried.started_at),
        "ended_at": utc_text_or_none(tried.ended_at),
        "outcome": None if tried.kind is None else tried.kind.value,
        "code": tried.code,
        "reason": tried.reason,
        "message": tried.message,
        "request_id": tried.request_id,
        "http_status": tried.status,
    }


def _flat(named: Named) -> dict[str, Any]:
    members = named.members()
    tags = members.pop("tags")
    return members | {f"tags.{key}": value for key, value in tags.items()}


def _indented(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
