"""What the use cases share that read a ledger and a lane and change neither."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from batch_upload.app.items import Prepared
from batch_upload.engine.retry import Wire
from batch_upload.engine.rows import shown_row_of_id
from batch_upload.errors import LedgerOfAnotherLane
from batch_upload.model import Known, Lane
from batch_upload.ports import AttachmentService, Clock, Observer
from batch_upload.settings import Settings


@dataclass(frozen=True, slots=True)
class LaneReading:
    """A lane that is looked through, and where that is reported. Implements `engine.survey.Reading`."""

    service: AttachmentService
    wire: Wire
    clock: Clock
    observer: Observer


def check_lane(ledger: Lane | None, asked: Lane | None, settings: Settings) -> None:
    """Raise LedgerOfAnotherLane where a ledger that is only read belongs to another lane than the one asked."""
    if ledger is not None and asked is not None and ledger != asked:
        raise LedgerOfAnotherLane(
            f"`{settings.ledger}` belongs to account {ledger.account} in {ledger.region},"
            f" these credentials are of account {asked.account} in {asked.region}",
            hint="`--ledger PATH` names another, `--profile` and `--region` choose the account",
        )


def unplanned(prepared: Prepared, known: Sequence[Known]) -> tuple[Known | None, ...]:
    """Return the ledger's rows for files that cannot be sent, then for items that no glob matches any more.

    None stands for a file that the ledger does not know.
    """
    rows: defaultdict[str, list[Known]] = defaultdict(list)
    for row in known:
        rows[row.item_id].append(row)
    ids = [listed.item_id for listed, _ in prepared.unread]
    if prepared.unmatched:
        listed = {*ids, *(item.item_id for item in prepared.items)}
        ids += [row.item_id for row in known if row.current and row.item_id not in listed]
    return tuple(shown_row_of_id(rows.get(item_id, ())) for item_id in ids)
