"""What the page about the ledger says is so."""

import re
from pathlib import Path

import pytest

from batch_upload.ledger.tables import METADATA
from batch_upload.model import OutcomeKind
from batch_upload.ports import LedgerWriter
from tests.support.one_lane import OneLane
from tests.unit.ledger.conftest import Open
from tests.unit.ledger.samples import LANE, RUN, T0, TOO_LARGE, accepted, began, ended, item, rows

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)
ANSWERS: tuple[list[tuple[object, ...]], ...] = (
    [("failed", 1), ("processing", 1), ("sending", 1)],
    [("ValidationException", "MAXIMUM_SIZE_EXCEEDED", 1, "b")],
    [("acme/loa", "registration-attachment-1", "UPLOAD_IN_PROGRESS")],
    [
        (1, RUN, "2026-11-23T09:00:00.000000Z", "throttled", "NoAnswer", None, None),
        (2, RUN, "2026-11-23T09:00:00.000000Z", "accepted", None, None, "req-1"),
    ],
    [("june", "acme/loa", "bu1-acme/loa-1")],
    [("june", "c", "bu1-c-1", "2026-11-23T09:00:00.000000Z")],
    [(RUN, 4, 1, 4.0)],
    [("acme/loa", "processing"), ("b", "failed"), ("c", "sending")],
    [("acme/us-east-1", "123456789012", "us-east-1", 0, 3)],
)


def test_every_query_has_its_answer_here() -> None:
    assert len(QUERIES) == len(ANSWERS)


@pytest.mark.parametrize(("query", "answer"), list(zip(QUERIES, ANSWERS, strict=False)))
async def test_the_queries_answer_what_is_asked(
    opened: Open, path: Path, query: str, answer: list[tuple[object, ...]]
) -> None:
    ledger = await opened()
    await began(ledger, item("acme/loa"), item("b"), item("c"))
    throttled = await ledger.intend("bu1-acme/loa-1", run_id=RUN, at=T0)
    await ledger.conclude(throttled, ended(OutcomeKind.THROTTLED))
    created = await ledger.intend("bu1-acme/loa-1", run_id=RUN, at=T0)
    await ledger.conclude(created, accepted("registration-attachment-1"))
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), ended(OutcomeKind.REFUSED, TOO_LARGE))
    await ledger.intend("bu1-c-1", run_id=RUN, at=T0)
    await ledger.close()
    ledger = await opened()
    await (await ledger.ledger.writer("acme/us-east-1")).pin(LANE, endpoint="https://sms-voice.example", at=T0)

    assert rows(path, query) == answer


def test_every_table_and_column_is_explained() -> None:
    named = {word for quoted in re.findall(r"`([a-z0-9_]+)`", PAGE) for word in quoted.split()}

    missing = {
        f"{table.name}.{column.name}"
        for table in METADATA.tables.values()
        for column in table.columns
        if column.name not in named or table.name not in named
    }
    assert missing == set()


def test_it_is_the_ledger_that_the_engine_asks_for(ledger: OneLane) -> None:
    asked: LedgerWriter = ledger

    assert asked is ledger
