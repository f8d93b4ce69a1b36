"""Which fields a ledger cannot answer for: of what it has not created, bound or found in its field since a time."""

from collections.abc import Callable

from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import AttachmentStatus, Item, Outcome, OutcomeKind
from batch_upload.registration import Bind
from tests.support.one_lane import OneLane, Open
from tests.unit.ledger.samples import BATCH, RUN, T0, ManualClock, accepted, after, attachment, began, item, pin

FIELD = Bind("registration-1", "messagingUseCase.optInImage")
TOKEN, HEIR = "bu1-a-1", "bu1-a-2"
READY = AttachmentStatus.COMPLETE


def bound_item(*, generation: int = 1) -> Item:
    return item("a", generation=generation)._replace(bind=FIELD)


async def created(ledger: OneLane, one: Item) -> None:
    await ledger.enlist([one], at=T0)
    intended = await ledger.intend(one.client_token, run_id=RUN, at=T0)
    await ledger.conclude(intended, accepted("att-1", READY))


async def bound(ledger: OneLane) -> None:
    """Bind the only item by a request that began a second after T0."""
    await created(ledger, bound_item())
    intended = await ledger.intend_bind(TOKEN, run_id=RUN, at=after(1))
    await ledger.conclude_bind(intended, Outcome(OutcomeKind.ACCEPTED, after(2)), version=1)


async def test_a_lane_is_doubted_from_its_first_run_on_and_no_later_once_it_was_listed(
    opened: Open, clock: ManualClock
) -> None:
    first = await opened()
    began_at = clock.now()
    new = await pin(first)
    await first.begin_run(RUN, verb="upload", batch=BATCH, at=T0)
    await first.listed(at=T0)
    await first.close()
    await clock.sleep(60)
    second = await opened(run_id="run-2")

    again = await pin(second)

    assert (new.doubted_before, new.continuous) == (began_at, False)
    assert (again.doubted_before, again.continuous) == (began_at, True)


async def test_a_lane_that_was_not_listed_since_is_doubted_anew(opened: Open, clock: ManualClock) -> None:
    first = await opened()
    await pin(first)
    await first.begin_run(RUN, verb="upload", batch=BATCH, at=T0)
    await first.close()
    await clock.sleep(60)
    second = await opened(run_id="run-2")

    assert (await pin(second)).doubted_before == clock.now()


async def test_what_is_bound_is_unconfirmed_since_a_later_time_until_it_was_found_in_its_field(
    ledger: OneLane,
) -> None:
    await began(ledger)
    await bound(ledger)
    in_field = await ledger.bound(BATCH)

    at_once = await ledger.unconfirmed(BATCH, since=after(1))
    later = await ledger.unconfirmed(BATCH, since=after(3))
    doubts = [await ledger.is_doubtful(TOKEN, since=after(seconds)) for seconds in (1, 3)]
    await ledger.confirm(later, run_id=RUN, at=after(4))

    assert (at_once, later, doubts) == ([], in_field, [False, True])
    assert await ledger.unconfirmed(BATCH, since=after(3)) == []
    assert not await ledger.is_doubtful(TOKEN, since=after(3))
    assert await ledger.bound(BATCH) == in_field


async def test_what_is_to_be_bound_again_by_now_is_not_confirmed(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger)
    found = await ledger.unconfirmed(BATCH, since=after(3))
    await ledger.rebind([TOKEN], at=after(3))

    await ledger.confirm(found, run_id=RUN, at=after(4))

    assert await ledger.is_doubtful(TOKEN, since=after(3))


async def test_a_request_without_an_answer_ends_no_doubt(ledger: OneLane) -> None:
    await began(ledger)
    await created(ledger, bound_item())

    await ledger.intend_bind(TOKEN, run_id=RUN, at=after(4))

    assert await ledger.is_doubtful(TOKEN, since=after(3))


async def test_an_attachment_whose_tags_were_changed_is_as_old_as_its_create(ledger: OneLane) -> None:
    await began(ledger)
    await created(ledger, item("a"))
    await ledger.enlist([bound_item(generation=2)], at=after(5))

    await ledger.retagged(TOKEN, HEIR, identity_tag=True, at=after(5))

    assert [await ledger.is_doubtful(HEIR, since=after(seconds)) for seconds in (0, 1)] == [False, True]


async def test_an_attachment_that_was_found_at_the_service_is_in_doubt(ledger: OneLane) -> None:
    await began(ledger, bound_item())

    await ledger.adopt(TOKEN, attachment(status=READY), at=after(1))

    assert await ledger.is_doubtful(TOKEN, since=T0)
    assert not await ledger.bound(BATCH)


async def test_other_ledgers_have_doubts_of_their_own(
    opened: Open, new_address: Callable[[], LedgerAddress], clock: ManualClock
) -> None:
    await pin(await opened())
    await clock.sleep(60)

    assert (await pin(await opened(new_address(), "run-2"))).doubted_before == clock.now()
