"""One item's whole history, for people and for programs: what it is, every attempt, what happens next."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from batch_upload.escape import printable
from batch_upload.model import Item, Known, OutcomeKind
from batch_upload.records import AttemptRecord, BindRecord, TokenHistory, UploadedBy
from batch_upload.registration import BindState
from batch_upload.report.ndjson import LaneRef, error_json, in_lane, json_line, made_line
from batch_upload.token import canonical_json
from batch_upload.words import (
    count_words,
    denial_words,
    duration_words,
    fault_words,
    indented,
    utc_iso,
    utc_iso_or_none,
    who_words,
)


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next: in words, and the commands that do it."""

    words: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """An item. `state` and `state_words` are of `current`, or of an item that was never sent.

    `current` is None where the ledger does not know it. `item` is what the manifest has now, under the token of its
    `retry`; None where the manifest no longer lists the id or its file cannot be read: then `unreadable` says why.
    `earlier` are tokens that were replaced.
    """

    item_id: str
    batch: str
    state: str
    state_words: str
    current: TokenHistory | None
    item: Item | None
    retry: int
    unreadable: str
    next: Next
    earlier: Sequence[TokenHistory] = ()

    def members_of(self, record: TokenHistory) -> dict[str, Any]:
        """Return what the token of a record is made of."""
        return token_members(record.known, self.batch, record.retry)

    def members_of_item(self) -> dict[str, Any] | None:
        """Return what the manifest's token is made of, if there is one."""
        return None if self.item is None else token_members(self.item, self.batch, self.retry)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Return what differs between the ledger's current token and the manifest's."""
        new = self.members_of_item()
        return {} if self.current is None or new is None else changed_members(self.members_of(self.current), new)


def token_members(of: Known | Item, batch: str, retry: int) -> dict[str, Any]:
    """Return the members of the canonical JSON of which a ClientToken is made, in their order."""
    named = canonical_json(
        batch=batch, item_id=of.item_id, content=of.content, generation=of.generation, tags=of.tags, retry=retry
    )
    members: dict[str, Any] = json.loads(named)
    return members


def changed_members(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the members that differ → (old, new); a tag as `tags.<key>`, None where it is not there."""
    before, after = (
        {**members, **{f"tags.{key}": value for key, value in members["tags"].items()}} for members in (old, new)
    )
    keys = [key for key in dict.fromkeys((*before, *after)) if key != "tags"]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def history_lines(history: History) -> Iterator[str]:
    """Yield the history, a line each; names in it are escaped."""
    current = history.current
    since = f" since {utc_iso(current.since)}" if current and current.since else ""
    yield printable(f"`{history.item_id}` of batch `{history.batch}`: {history.state}{since} ({history.state_words})")
    if current is not None:
        yield from indented(_known_lines(current.known))
        yield from indented(_uploader_lines(current.uploader))
    yield from _token_lines(history)
    attempts = current.attempts if current else ()
    yield f"attempts: {len(attempts)}"
    yield from indented(line for attempt in attempts for line in _attempt_lines(attempt))
    was_accepted = any(attempt.kind is OutcomeKind.ACCEPTED for attempt in attempts)
    if current is not None and current.known.attachment_id is not None and not was_accepted:
        yield "  found at the service by its identity tag"
    if current is not None and current.binds:
        yield f"requests to put it into a field: {len(current.binds)}"
        yield from indented(line for bind in current.binds for line in _bind_lines(bind))
    for record in history.earlier:
        known = record.known
        since = f" since {utc_iso(record.since)}" if record.since else ""
        attachment = f", attachment {known.attachment_id}" if known.attachment_id else ""
        count = count_words(len(record.attempts), "attempt")
        yield printable(f"earlier token: {known.client_token}, {known.state.value}{since}{attachment}, {count}")
        yield from indented(_uploader_lines(record.uploader))
        yield from indented(_member_lines(history.members_of(record)))
        yield from indented(line for attempt in record.attempts for line in _attempt_lines(attempt))
        yield from indented(line for bind in record.binds for line in _bind_lines(bind))
    yield printable(f"next: {history.next.words}")
    yield from indented(history.next.commands)


def history_lines_of_lanes(histories: Sequence[tuple[LaneRef, History]]) -> Iterator[str]:
    """Yield the history of an item in each of several lanes, under the lane's name."""
    for lane, history in histories:
        where = f" ({lane.account or '?'}/{lane.region or '?'})"
        yield printable(f"in {lane.target}{where}:" if lane.target is not None else f"in{where}:")
        yield from indented(history_lines(history))


def history_json_of_lanes(histories: Sequence[tuple[LaneRef, History]]) -> Iterator[dict[str, Any]]:
    """Yield the lines for programs, each with its lane."""
    for lane, history in histories:
        yield from (in_lane(line, lane) for line in history_json(history))


def history_json(history: History) -> Iterator[dict[str, Any]]:
    """Yield the lines for programs: the item, its attempts, then each earlier token with its attempts."""
    yield _item_json(history)
    current = () if history.current is None else (history.current,)
    for record in (*current, *history.earlier):
        known = record.known
        if record is not history.current:
            yield made_line(
                "earlier",
                id=known.item_id,
                client_token=known.client_token,
                named=history.members_of(record),
                state=known.state.value,
                since=utc_iso_or_none(record.since),
                registration_attachment_id=known.attachment_id,
                uploaded_by=_uploader_json(record),
            )
        for attempt in record.attempts:
            yield made_line(
                "attempt",
                id=known.item_id,
                client_token=known.client_token,
                number=attempt.number,
                run_id=attempt.run_id,
                started_at=utc_iso(attempt.started_at),
                ended_at=utc_iso_or_none(attempt.ended_at),
                outcome=None if attempt.kind is None else attempt.kind.value,
                code=attempt.code,
                reason=attempt.reason,
                message=attempt.message,
                request_id=attempt.request_id,
                http_status=attempt.status,
            )
        for bind in record.binds:
            yield made_line(
                "bind_attempt",
                id=known.item_id,
                client_token=known.client_token,
                bind=str(bind.bind),
                registration_attachment_id=bind.attachment_id,
                run_id=bind.run_id,
                started_at=utc_iso(bind.started_at),
                ended_at=utc_iso_or_none(bind.ended_at),
                outcome=None if bind.kind is None else bind.kind.value,
                version=bind.version,
                code=bind.code,
                reason=bind.reason,
                message=bind.message,
                request_id=bind.request_id,
                http_status=bind.status,
            )


def _known_lines(known: Known) -> Iterator[str]:
    if known.attachment_id is not None:
        status = known.attachment_status.value if known.attachment_status else "status not known"
        yield printable(f"attachment: {known.attachment_id} ({status})")
        yield printable(f"arn: {known.attachment_arn}")
    if known.bind is not None and known.bind_state is not None:
        version = "" if known.bound_version is None else f", version {known.bound_version}"
        yield printable(f"{_BIND_TITLES[known.bind_state]}: {known.bind.words}{version}")
    if known.denial is not None and (known.denial.reason or known.denial.feedback):
        yield f"denied by a reviewer: {denial_words(known.denial)}"
    if known.fault is not None:
        yield f"fault: {fault_words(known.fault)}"
        yield from (printable(f"  {name}: {message}") for name, message in known.fault.fields)
    if known.unknown_since is not None:
        yield f"outcome not known since: {utc_iso(known.unknown_since)}"
    if known.resume_after is not None:
        yield f"not tried before: {utc_iso(known.resume_after)}"


def _uploader_lines(uploader: UploadedBy | None) -> Iterator[str]:
    if uploader is not None and uploader.host is not None:  # not recorded in runs of an earlier program
        who = who_words(uploader.principal, uploader.os_user, uploader.host)
        yield printable(f"uploaded by: {who}, run {uploader.run_id}")


def _uploader_json(record: TokenHistory | None) -> dict[str, Any] | None:
    uploader = None if record is None else record.uploader
    return None if uploader is None else asdict(uploader)


def _token_lines(history: History) -> Iterator[str]:
    current, item = history.current, history.item
    if current is not None:
        yield f"token: {printable(current.known.client_token)}"
        yield from indented(_member_lines(history.members_of(current)))
        if not current.known.identity_tag:
            yield "  identity tag: none"
    elif item is not None:
        yield f"token: {printable(item.client_token)}"
        yield from indented(_member_lines(history.members_of_item() or {}))
    if history.unreadable:
        yield printable(f"the manifest's token: not known, {history.unreadable}")
    elif current is not None and item is None:
        yield "the manifest's token: none, it no longer lists this id"
    elif current is not None and item is not None and item.client_token != current.known.client_token:
        yield f"the manifest's token: {printable(item.client_token)}, which differs in"
        for name, values in history.changes().items():
            before, after = ("none" if value is None else f"`{value}`" for value in values)
            yield printable(f"  {name}: {before} → {after}")


def _member_lines(members: Mapping[str, Any]) -> Iterator[str]:
    for name, value in members.items():
        text = json_line(value, encoding="utf-8") if isinstance(value, dict) else str(value)
        yield printable(f"{name}: {text}")


_BIND_TITLES: Mapping[BindState, str] = {
    BindState.WANTED: "to be bound to",
    BindState.SENT: "to be bound to, without an answer so far",
    BindState.BOUND: "bound to",
    BindState.REFUSED: "refused for",
    BindState.REPLACED: "was bound to, until another was sent there",
}


def _bind_lines(bind: BindRecord) -> Iterator[str]:
    version = "" if bind.version is None else f", version {bind.version}"
    began = f"{utc_iso(bind.started_at)} {bind.attachment_id} into {bind.bind.words}{version}:"
    yield from _ended_lines(began, bind)


def _attempt_lines(attempt: AttemptRecord) -> Iterator[str]:
    yield from _ended_lines(f"{attempt.number}. {utc_iso(attempt.started_at)}", attempt)


def _ended_lines(began: str, attempt: AttemptRecord | BindRecord) -> Iterator[str]:
    """Yield how a request ended behind what `began` says of it."""
    if attempt.ended_at is None or attempt.kind is None:
        yield printable(f"{began} no end is recorded: its process died, or it is under way; run {attempt.run_id}")
        return
    took = duration_words((attempt.ended_at - attempt.started_at).total_seconds())
    request = f", request {attempt.request_id}" if attempt.request_id else ", no request id"
    status = f", HTTP {attempt.status}" if attempt.status is not None else ""
    yield printable(f"{began} {attempt.kind.value} after {took}{status}{request}, run {attempt.run_id}")
    why = ": ".join(part for part in (attempt.code, attempt.reason, attempt.message) if part)
    if why:
        yield printable(f"   {why}")


def _item_json(history: History) -> dict[str, Any]:
    current, item = history.current, history.item
    known = current.known if current else None
    named = history.members_of(current) if current else history.members_of_item()
    token = known.client_token if known else item.client_token if item else None
    status = known.attachment_status if known else None
    return made_line(
        "item",
        id=history.item_id,
        state=history.state,
        since=utc_iso_or_none(current.since if current else None),
        client_token=token,
        named=named,
        registration_attachment_id=known.attachment_id if known else None,
        registration_attachment_arn=known.attachment_arn if known else None,
        attachment_status=None if status is None else status.value,
        error=error_json(known.fault) if known else None,
        bind=str(known.bind) if known and known.bind else None,
        bind_state=known.bind_state.value if known and known.bind_state else None,
        bound_to=str(known.bound_to) if known and known.bound_to else None,
        bound_version=known.bound_version if known else None,
        denial=known.denial._asdict() if known and known.denial else None,
        attempts=known.attempts if known else 0,
        uploaded_by=_uploader_json(current),
        unknown_since=utc_iso_or_none(known.unknown_since if known else None),
        resume_after=utc_iso_or_none(known.resume_after if known else None),
        manifest_client_token=None if item is None else item.client_token,
        changed={name: {"ledger": old, "manifest": new} for name, (old, new) in history.changes().items()},
        unreadable=history.unreadable or None,
        next={"words": history.next.words, "commands": list(history.next.commands)},
    )
