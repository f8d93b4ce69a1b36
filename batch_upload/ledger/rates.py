"""What the pacers learned of the lane, so that the next run starts right."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from batch_upload.ledger.tables import rate
from batch_upload.model import RateRecord


def rates(connection: Connection, lane_id: int) -> list[RateRecord]:
    found = select(rate.c.operation, rate.c.learned, rate.c.learned_at).where(rate.c.lane_id == lane_id)
    return [RateRecord(*row) for row in connection.execute(found.order_by(rate.c.operation))]


def learn(connection: Connection, lane_id: int, learned: Sequence[RateRecord]) -> None:
    if not learned:
        return
    rows = [
        {
            "lane_id": lane_id,
            "operation": each.operation,
            "learned": dict(each.learned),
            "learned_at": each.learned_at,
        }
        for each in learned
    ]
    new = insert(rate)
    replaced = {"learned": new.excluded.learned, "learned_at": new.excluded.learned_at}
    connection.execute(new.on_conflict_do_update(index_elements=["lane_id", "operation"], set_=replaced), rows)
