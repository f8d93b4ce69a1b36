"""Runs on several lanes of one ledger, for its tests."""

from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Lane, OutcomeKind
from batch_upload.ports import LaneMemory, Ledger, LedgerReader, LedgerWriter
from batch_upload.records import RateRecord
from tests.unit.ledger.samples import (
    BATCH,
    LANE,
    RUN,
    T0,
    accepted,
    after,
    ended,
    item,
)

OTHER = Lane("123456789012", "eu-west-1")
STRANGE = Lane("999999999999", "us-east-1")
RATE = RateRecord("Create", {"rate": 2.0}, T0)
LANES = 200


def label_of(lane: Lane) -> str:
    return f"acme/{lane.region}"


async def pinned(writer: LedgerWriter, lane: Lane, *, endpoint: str = "") -> LaneMemory:
    return await writer.pin(lane, endpoint=endpoint or f"https://{lane.region}", at=T0)


async def two_of(ledger: Ledger) -> tuple[LedgerWriter, LedgerWriter]:
    """Writers of two targets that are not pinned yet."""
    return await ledger.writer(label_of(LANE)), await ledger.writer(label_of(OTHER))


async def run_on(writer: LedgerWriter, lane: Lane, *ids: str, run_id: str = RUN) -> LaneMemory:
    """A run on a lane that lists it and creates these items."""
    memory = await pinned(writer, lane)
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.listed(at=T0)
    await writer.enlist([item(each) for each in ids], at=T0)
    for each in ids:
        attempt = await writer.intend(f"bu1-{each}-1", run_id=run_id, at=T0)
        await writer.conclude(attempt, accepted(f"att-{lane.region}-{each}"))
    await writer.end_run(run_id, exit_code=0, summary={}, at=T0)
    return memory


async def ended_early(writer: LedgerWriter, run_id: str, exit_code: int, *, at_s: float) -> None:
    """A run that reached no lane and took a second."""
    began_at, at = after(at_s), after(at_s + 1)
    await writer.record_end(
        run_id, verb="upload", batch=BATCH, began_at=began_at, exit_code=exit_code, summary={}, at=at
    )


def reader_of(address: LedgerAddress, lane: Lane | None = None) -> LedgerReader:
    reader = find_reader(address, lane=lane)
    assert reader is not None
    return reader


async def worked(writer: LedgerWriter, number: int, run_id: str) -> LaneMemory:
    """A whole run on one of many lanes: one item is created, another is refused."""
    memory = await pinned(writer, Lane(f"{number:012}", "us-east-1"), endpoint="e")
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.listed(at=T0)
    await writer.enlist([item("a", token=f"a-{run_id}"), item("b", token=f"b-{run_id}")], at=T0)
    for name in "ab":
        attempt = await writer.intend(f"{name}-{run_id}", run_id=run_id, at=after(number))
        made = accepted(f"att-{run_id}") if name == "a" else ended(OutcomeKind.REFUSED)
        await writer.conclude(attempt, made)
    await writer.end_run(run_id, exit_code=12, summary={"lane": number}, at=T0)
    return memory
