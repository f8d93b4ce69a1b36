"""The queries of the page about the ledger answer what they say, on both databases."""

import re
from pathlib import Path

import pytest

from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import AttachmentStatus, Outcome, OutcomeKind
from batch_upload.registration import Bind, Denial
from tests.support.ledgers import Ledgers
from tests.support.one_lane import Open
from tests.unit.ledger.samples import LANE, RUN, T0, TOO_LARGE, accepted, began, ended, item, rows

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text(encoding="utf-8")
QUERIES = {
    kind: re.findall(rf"```sql(?: {named})?\n(.*?)```", PAGE, flags=re.DOTALL)
    for kind, named in (("sqlite", "sqlite"), ("postgres", "postgresql"))
}
"""For each database those for both, and those that are for it alone."""
ANSWERS: tuple[list[tuple[object, ...]], ...] = (
    [("failed", 1), ("processing", 1), ("sending", 1)],
    [("ValidationException", "MAXIMUM_SIZE_EXCEEDED", 1, "b")],
    [("acme/loa", "registration-attachment-1", "UPLOAD_IN_PROGRESS")],
    [
        (1, RUN, "2026-11-23T09:00:00.000000Z", "throttled", "NoAnswer", None, None),
        (2, RUN, "2026-11-23T09:00:00.000000Z", "accepted", None, None, "req-1"),
    ],
    [("june", "acme/loa", "bu1-acme/loa-1")],
    [("registration-1", "messagingUseCase.optInImage", 1, "opt-in", "registration-attachment-2", "NOT_CLEAR")],
    [("acme/loa", "registration-attachment-1", None, RUN, "2026-11-23T09:00:00.000000Z")],
    [("june", "c", "bu1-c-1", "2026-11-23T09:00:00.000000Z")],
    [(RUN, 5, 1, 5.0)],
    [("acme/loa", "processing"), ("b", "failed"), ("c", "sending"), ("opt-in", "complete")],
    [("acme/us-east-1", "123456789012", "us-east-1", 1, 4)],
)


def test_every_query_has_its_answer_here() -> None:
    assert {kind: len(queries) for kind, queries in QUERIES.items()} == dict.fromkeys(QUERIES, len(ANSWERS))


@pytest.mark.parametrize(("number", "answer"), list(enumerate(ANSWERS)))
async def test_the_queries_answer_what_is_asked(
    opened: Open, address: LedgerAddress, ledgers: Ledgers, number: int, answer: list[tuple[object, ...]]
) -> None:
    ledger = await opened()
    await began(ledger, item("acme/loa"), item("b"), item("c"))
    throttled = await ledger.intend("bu1-acme/loa-1", run_id=RUN, at=T0)
    await ledger.conclude(throttled, ended(OutcomeKind.THROTTLED))
    created = await ledger.intend("bu1-acme/loa-1", run_id=RUN, at=T0)
    await ledger.conclude(created, accepted("registration-attachment-1"))
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), ended(OutcomeKind.REFUSED, TOO_LARGE))
    await ledger.intend("bu1-c-1", run_id=RUN, at=T0)
    opt_in = item("opt-in", batch="screenshots")._replace(bind=Bind("registration-1", "messagingUseCase.optInImage"))
    await ledger.enlist([opt_in], at=T0)
    created = await ledger.intend(opt_in.client_token, run_id=RUN, at=T0)
    await ledger.conclude(created, accepted("registration-attachment-2", AttachmentStatus.COMPLETE))
    bind_attempt = await ledger.intend_bind(opt_in.client_token, run_id=RUN, at=T0)
    await ledger.conclude_bind(bind_attempt, Outcome(OutcomeKind.ACCEPTED, T0), version=1)
    await ledger.deny(opt_in.client_token, Denial(1, "NOT_CLEAR", ""), at=T0)
    await ledger.close()
    ledger = await opened()
    await (await ledger.ledger.writer("acme/us-east-1")).pin(LANE, endpoint="https://sms-voice.example", at=T0)

    assert rows(address, QUERIES[ledgers.kind][number]) == answer
