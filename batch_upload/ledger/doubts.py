"""Which fields the ledger cannot answer for: a ledger that was lost, copied or restored does not know all that was put
into them. It can again once it has put the attachment there itself, or has found it there."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, exists, false, literal_column, not_, select

from batch_upload.ledger.bindings import BOUND_OF_BATCH, bound_items_of, record_bound
from batch_upload.ledger.driver import Database, Statement
from batch_upload.ledger.items import OF_TOKEN
from batch_upload.ledger.tables import UtcText, attempt, bind_attempt, bind_outcome, item, outcome
from batch_upload.model import OutcomeKind
from batch_upload.records import BoundItem


def is_doubtful(db: Database, lane_id: int, client_token: str, *, since: datetime) -> bool:
    """Return whether the token's attachment was neither created by this ledger since then, nor put into its field, nor
    found there."""
    return db.one(_DOUBTFUL, {"of_lane": lane_id, "token": client_token, "since": since}) is not None


def unconfirmed(db: Database, lane_id: int, batch: str, *, since: datetime) -> list[BoundItem]:
    """Return every current token of a batch that is bound, and was not put into its field or found there since then."""
    return bound_items_of(db.rows(_UNCONFIRMED, {"of_lane": lane_id, "of_batch": batch, "since": since}))


def confirm(db: Database, lane_id: int, found: Sequence[BoundItem], *, run_id: str, at: datetime) -> None:
    """Record that attachments were found in the fields that they are bound to."""
    for each in found:
        record_bound(db, lane_id, each, run_id=run_id, at=at)


_SINCE = bindparam("since", type_=UtcText)
_owner = item.alias("owner")
_has_put = exists(
    select(literal_column("1"))
    .select_from(
        bind_attempt.join(bind_outcome, bind_outcome.c.attempt_id == bind_attempt.c.attempt_id).join(
            _owner, _owner.c.item_no == bind_attempt.c.item_no
        )
    )
    .where(
        bind_attempt.c.attachment_id == item.c.attachment_id,
        bind_attempt.c.registration == item.c.bind_registration,
        bind_attempt.c.field == item.c.bind_field,
        bind_attempt.c.started_at >= _SINCE,
        bind_outcome.c.kind == OutcomeKind.ACCEPTED,
        _owner.c.lane_id == item.c.lane_id,  # perhaps under the token of other tags
    )
    .correlate(item)
)
"""A request since then has put the attachment into the field, or it was found there."""
_before = item.alias("before")
_has_created = exists(
    select(literal_column("1"))
    .select_from(
        _before.join(attempt, attempt.c.item_no == _before.c.item_no).join(
            outcome, outcome.c.attempt_id == attempt.c.attempt_id
        )
    )
    .where(
        _before.c.lane_id == item.c.lane_id,
        _before.c.batch == item.c.batch,
        _before.c.item_id == item.c.item_id,
        _before.c.current == false(),
        outcome.c.attachment_id == item.c.attachment_id,
        attempt.c.started_at >= _SINCE,
    )
    .correlate(item)
)
"""The attachment was created since then under a token that its item had before its tags were changed."""
_DOUBTFUL = Statement(select(item.c.item_no).where(OF_TOKEN, not_(_has_put), not_(_has_created)))
_UNCONFIRMED = Statement(BOUND_OF_BATCH.where(not_(_has_put)), is_large=True)
