"""Bindings: the intent before an attachment is put into a field, its outcome, and what of a lane is in which field."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, literal_column, or_, select, update

from batch_upload.errors import BatchUploadError
from batch_upload.ledger.attempts import RUN_NO
from batch_upload.ledger.driver import Database, Statement, Upsert
from batch_upload.ledger.items import (
    IS_CURRENT,
    OF_LANE,
    OF_TOKEN,
    STORED,
    Stored,
    known_of,
    stored,
    stored_of_tokens,
    write,
)
from batch_upload.ledger.tables import UtcText, bind_attempt, bind_outcome, field_definition, item, run, wanted
from batch_upload.ledger.transitions import bind_ended, bind_sent, bind_wanted, is_refused, reviewed
from batch_upload.model import Known, Outcome, OutcomeKind, State
from batch_upload.ports import BindAttempt
from batch_upload.records import BindRecord, BoundItem
from batch_upload.registration import Bind, BindState, Denial, RegistrationField


def has_binds(db: Database, lane_id: int) -> bool:
    """Return whether any item of the lane has a `bind`. Without one it costs a look into an empty index."""
    return db.one(_HAS_BINDS, {"of_lane": lane_id}) is not None


def follow(db: Database, lane_id: int, binds: Mapping[str, Bind | None], *, at: datetime) -> None:
    """Give the items of these tokens the `bind` that the manifest has now."""
    for before in stored_of_tokens(db, lane_id, tuple(binds)):
        after = bind_wanted(before.known, binds[before.known.client_token])
        write(db, before, after, at=at)


def intend_bind(db: Database, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> BindAttempt:
    """Raises BatchUploadError for an item that is not to be bound, or is bound: sending that is our fault."""
    before = stored(db, lane_id, client_token)
    known = before.known
    is_due = known.state is State.BINDING or is_refused(known)
    if known.bind is None or known.attachment_id is None or not is_due:
        raise BatchUploadError(f"`{client_token}` is not to be bound: it is `{known.state}`")
    attempt_id = _intend(db, lane_id, before.number, known.bind, known.attachment_id, run_id=run_id, at=at)
    write(db, before, bind_sent(known), at=at)
    # from now on the field may hold this one, whatever answer comes or is lost
    displaced = _replace_others(db, lane_id, before.number, known.bind, at=at)
    return BindAttempt(
        attempt_id=attempt_id,
        client_token=client_token,
        attachment_id=known.attachment_id,
        bind=known.bind,
        started_at=at.astimezone(UTC),
        was_sent=known.bind_state is BindState.SENT,
        displaced=tuple(displaced),
    )


def conclude_bind(db: Database, lane_id: int, started: BindAttempt, ended: Outcome, *, version: int | None) -> Known:
    """Raises KeyError for an attempt that is not in the lane.

    The outcome is recorded in any case. An item that has another `bind` or attachment by now stays as it is.
    """
    if (ended.kind is OutcomeKind.ACCEPTED) != (version is not None):
        raise BatchUploadError(f"only what was bound has a version: `{started.client_token}`")
    row = db.one(_OF_ATTEMPT, {"of_lane": lane_id, "token": started.client_token, "wanted_id": started.attempt_id})
    if row is None:
        raise KeyError(f"{started.client_token} into {started.bind}")
    before = Stored(row[-1], known_of(row))
    db.run(_RECORD, _outcome_row(started.attempt_id, ended, version))
    if ended.kind is OutcomeKind.ACCEPTED:
        _replace_others(db, lane_id, before.number, started.bind, at=ended.at)
    known = before.known
    if (known.bind, known.attachment_id) != (started.bind, started.attachment_id):
        return known
    return write(db, before, bind_ended(known, ended, version=version, was_sent=started.was_sent), at=ended.at)


def deny(db: Database, lane_id: int, client_token: str, denial: Denial, *, at: datetime) -> Known:
    before = stored(db, lane_id, client_token)
    return write(db, before, reviewed(before.known, denial), at=at)


def bound_items(db: Database, lane_id: int, batch: str) -> list[BoundItem]:
    """Return every current token of a batch whose attachment is in its field."""
    return bound_items_of(db.rows(_BOUND, {"of_lane": lane_id, "of_batch": batch}))


def bound_items_of(rows: Iterable[Sequence[Any]]) -> list[BoundItem]:
    """Return what rows of BOUND_OF_BATCH say."""
    return [
        BoundItem(item_id, token, attachment_id, Bind(registration, field), version, denial and denial["version"])
        for item_id, token, attachment_id, registration, field, version, denial in rows
    ]


def record_bound(db: Database, lane_id: int, found: BoundItem, *, run_id: str, at: datetime) -> None:
    """Record an accepted attempt for an item whose attachment was found in the field that it is bound to.

    Nothing is recorded for one that is bound to another field or version by now.
    """
    before = stored(db, lane_id, found.client_token)
    known = before.known
    if (known.bound_to, known.attachment_id, known.bound_version) != (found.bind, found.attachment_id, found.version):
        return
    attempt_id = _intend(db, lane_id, before.number, found.bind, found.attachment_id, run_id=run_id, at=at)
    db.run(_RECORD, _outcome_row(attempt_id, Outcome(OutcomeKind.ACCEPTED, at), found.version))


def fields_of(db: Database, lane_id: int, attachment_ids: Collection[str]) -> dict[str, list[Bind]]:
    """Return, by attachment id, every field that requests put it into, accepted or never answered, oldest first."""
    db.want(dict.fromkeys(attachment_ids))
    fields: dict[str, dict[Bind, None]] = {}
    for attachment_id, registration, field in db.rows(_FIELDS_OF, {"of_lane": lane_id}):
        fields.setdefault(attachment_id, {})[Bind(registration, field)] = None
    return {attachment_id: list(binds) for attachment_id, binds in fields.items()}


def bind_attempts_of(db: Database, lane_id: int, client_token: str) -> list[BindRecord]:
    """Return every request to put the token's attachment into a field, oldest first."""
    return [
        BindRecord(run_id, Bind(registration, field), *rest)
        for run_id, registration, field, *rest in db.rows(_ATTEMPTS_OF, {"of_lane": lane_id, "token": client_token})
    ]


def field_definitions(db: Database, lane_id: int, *, after: datetime) -> dict[str, list[RegistrationField]]:
    """Return the fields of each type of registration that were remembered after this time."""
    found = db.rows(_DEFINITIONS, {"of_lane": lane_id, "after": after})
    return {registration_type: [RegistrationField(*each) for each in fields] for registration_type, fields in found}


def remember_field_definitions(
    db: Database, lane_id: int, definitions: Mapping[str, Sequence[RegistrationField]], *, at: datetime
) -> None:
    rows = (
        {"lane_id": lane_id, "registration_type": kind, "fields": [list(each) for each in fields], "read_at": at}
        for kind, fields in definitions.items()
    )
    db.run_many(_REMEMBER, rows)


def _intend(
    db: Database, lane_id: int, number: int, bind: Bind, attachment_id: str, *, run_id: str, at: datetime
) -> int:
    row = {
        "of_lane": lane_id,
        "of_run": run_id,
        "number": number,
        "registration": bind.registration,
        "field": bind.field,
        "attachment_id": attachment_id,
        "at": at,
    }
    intended = db.one(_INTEND, row)
    if intended is None:
        raise BatchUploadError("the ledger gave an attempt no id")
    return int(intended[0])


def _replace_others(db: Database, lane_id: int, number: int, bind: Bind, *, at: datetime) -> list[tuple[str, str]]:
    """No other item of the lane counts as bound to this field any more. Return batch and id of those that did and are
    current."""
    in_field = {"registration": bind.registration, "field": bind.field}
    replaced = db.rows(_REPLACE, {"of_lane": lane_id, "number": number, "at": at, **in_field})
    return [(batch, item_id) for batch, item_id, is_current in replaced if is_current]


def _outcome_row(attempt_id: int, ended: Outcome, version: int | None) -> dict[str, Any]:
    fault = ended.fault
    return {
        "attempt_id": attempt_id,
        "kind": ended.kind,
        "ended_at": ended.at,
        "request_id": ended.request_id,
        "status": ended.status,
        "code": fault.code if fault else None,
        "message": fault.message if fault else None,
        "reason": fault.reason if fault else None,
        "fields": [list(pair) for pair in fault.fields] if fault else None,
        "resource_id": fault.resource_id if fault else None,
        "version": version,
    }


_has_bind = item.c.bind_registration.is_not(None)
"""As in the partial index `item_bind`: a ledger without binds has nothing in it."""
_IS_BOUND = item.c.bind_state == literal_column(f"'{BindState.BOUND}'")
_HAS_BINDS = Statement(select(item.c.item_no).where(OF_LANE, _has_bind).limit(1))
_INTEND = Statement(
    insert(bind_attempt)
    .from_select(
        ["item_no", "run_no", "registration", "field", "attachment_id", "started_at"],
        select(
            bindparam("number", type_=item.c.item_no.type),
            RUN_NO,
            bindparam("registration", type_=bind_attempt.c.registration.type),
            bindparam("field", type_=bind_attempt.c.field.type),
            bindparam("attachment_id", type_=bind_attempt.c.attachment_id.type),
            bindparam("at", type_=UtcText),
        ),
    )
    .returning(bind_attempt.c.attempt_id)
)
_OF_ATTEMPT = Statement(
    STORED.join_from(bind_attempt, item, bind_attempt.c.item_no == item.c.item_no).where(
        bind_attempt.c.attempt_id == bindparam("wanted_id"), OF_TOKEN
    )
)
_RECORD = Statement(insert(bind_outcome), columns=[column.name for column in bind_outcome.c])
_REPLACE = Statement(
    update(item)
    .where(
        OF_LANE,
        item.c.bind_registration == bindparam("registration"),
        item.c.bind_field == bindparam("field"),
        item.c.item_no != bindparam("number"),
        _IS_BOUND,
    )
    .values(bind_state=BindState.REPLACED, changed_at=bindparam("at", type_=UtcText))
    .returning(item.c.batch, item.c.item_id, item.c.current)
)
BOUND_OF_BATCH = (
    select(
        *(item.c.item_id, item.c.client_token, item.c.attachment_id, item.c.bind_registration, item.c.bind_field),
        *(item.c.bound_version, item.c.denial),
    )
    # by the index of those with a `bind`: expressions keep SQLite from reading every item of the batch
    .where(OF_LANE, _has_bind, _IS_BOUND, IS_CURRENT, item.c.batch.concat("") == bindparam("of_batch"))
    .where(item.c.state.concat("") == State.COMPLETE)
    .order_by(item.c.item_no)
)
_BOUND = Statement(BOUND_OF_BATCH, is_large=True)
_ended = bind_attempt.outerjoin(bind_outcome, bind_outcome.c.attempt_id == bind_attempt.c.attempt_id)
_of_item = item.c.item_no == bind_attempt.c.item_no
_kind = bind_outcome.c.kind
_FIELDS_OF = Statement(
    select(bind_attempt.c.attachment_id, bind_attempt.c.registration, bind_attempt.c.field)
    .select_from(_ended.join(item, _of_item))
    .where(
        item.c.lane_id + 0 == bindparam("of_lane"),  # an expression, so that SQLite does not begin with every item
        bind_attempt.c.attachment_id.in_(select(wanted.c.key)),
        or_(*(_kind.is_(None), _kind == OutcomeKind.ACCEPTED, _kind == OutcomeKind.UNKNOWN)),
    )
    .order_by(bind_attempt.c.attempt_id)
)
_ATTEMPTS_OF = Statement(
    select(
        *(run.c.run_id, bind_attempt.c.registration, bind_attempt.c.field, bind_attempt.c.attachment_id),
        *(bind_attempt.c.started_at, bind_outcome.c.ended_at, bind_outcome.c.kind, bind_outcome.c.version),
        *(bind_outcome.c.code, bind_outcome.c.reason, bind_outcome.c.message),
        *(bind_outcome.c.request_id, bind_outcome.c.status),
    )
    .select_from(_ended.join(run, run.c.run_no == bind_attempt.c.run_no).join(item, _of_item))
    .where(OF_TOKEN)
    .order_by(bind_attempt.c.attempt_id)
)
_DEFINITIONS = Statement(
    select(field_definition.c.registration_type, field_definition.c.fields)
    .where(field_definition.c.lane_id == bindparam("of_lane"), field_definition.c.read_at > bindparam("after"))
    .order_by(field_definition.c.registration_type)
)
_REMEMBER = Upsert(
    field_definition,
    key=["lane_id", "registration_type"],
    columns=["lane_id", "registration_type", "fields", "read_at"],
    replaced=["fields", "read_at"],
)
