"""The lane a ledger belongs to, and the runs that used it."""

import os
import pwd
from datetime import timedelta
from socket import gethostname

import pytest

from batch_upload.errors import BatchUploadError, ExitCode, LedgerOfAnotherLane
from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import AttachmentStatus, Lane, OutcomeKind
from batch_upload.ports import LaneMemory
from tests.support.one_lane import OneLane, Open
from tests.unit.ledger.samples import (
    RUN,
    T0,
    accepted,
    after,
    attachment,
    began,
    ended,
    item,
    pin,
    run_without_listing,
    whole_run,
)

PRINCIPAL = "arn:aws:sts::123456789012:assumed-role/uploader/jane"


async def test_a_new_ledger_never_listed_its_lane_and_follows_on_nothing(ledger: OneLane) -> None:
    assert await pin(ledger) == LaneMemory(listed_at=None, continuous=False, doubted_before=T0)


async def test_a_listing_that_was_read_to_its_end_is_remembered(ledger: OneLane) -> None:
    await pin(ledger)

    await ledger.listed(at=after(5))

    assert (await pin(ledger)).listed_at == after(5)


async def test_when_anything_was_sent_last_is_remembered(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))
    before = await pin(ledger)

    await ledger.intend("bu1-b-1", run_id=RUN, at=after(1))
    await ledger.intend("bu1-a-1", run_id=RUN, at=after(2))

    assert (before.sent_at, (await pin(ledger)).sent_at) == (None, after(2))


@pytest.mark.parametrize("other", [Lane("999999999999", "us-east-1"), Lane("123456789012", "eu-west-1")])
async def test_another_account_or_region_is_refused_and_said(opened: Open, other: Lane) -> None:
    ledger = await opened()
    await pin(ledger)
    await ledger.close()
    ledger = await opened()

    with pytest.raises(LedgerOfAnotherLane, match="belongs to 123456789012/us-east-1, and not to") as caught:
        await ledger.pin(other, endpoint="e", at=T0)

    assert caught.value.exit_code is ExitCode.LEDGER
    assert (await pin(ledger)).listed_at is None


async def _ended(ledger: OneLane, number: int, code: int, **summary: int) -> None:
    """A run that began `number` hours after the first, and ended a minute later."""
    began = after(number * 3_600)
    await ledger.record_end(
        f"run-{number}",
        verb="upload",
        batch="june",
        began_at=began,
        exit_code=code,
        summary=summary,
        at=began + timedelta(minutes=1),
    )


async def test_runs_are_kept_with_how_they_ended(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger)
    await ledger.end_run(RUN, exit_code=20, summary={"items": 3, "states": {"failed": 1}}, at=after(60))
    await ledger.begin_run("run-2", verb="upload", batch="june", at=after(61))

    reader = find_reader(address)

    assert reader is not None
    with reader:
        open_one, ended = reader.runs("june", 5)
        assert (ended.run_id, ended.exit_code, ended.ended_at) == (RUN, 20, after(60))
        assert ended.summary == {"items": 3, "states": {"failed": 1}}
        assert (open_one.run_id, open_one.ended_at, open_one.exit_code, open_one.summary) == ("run-2", None, None, None)
        assert [run.run_id for run in reader.runs("june", 1)] == ["run-2"]
        assert reader.runs("july", 5) == []


async def test_a_run_begins_once_and_ends_only_if_it_began(ledger: OneLane) -> None:
    await began(ledger)

    with pytest.raises(BatchUploadError, match="breaks its rules"):
        await ledger.begin_run(RUN, verb="upload", batch="june", at=T0)
    with pytest.raises(KeyError):
        await ledger.end_run("run-9", exit_code=0, summary={}, at=T0)


@pytest.mark.parametrize(
    ("codes", "since_s"),
    [
        ((), None),
        ((0,), None),
        ((0, 22), None),
        ((0, 10), 60),
        ((10,), 0),
        ((22, 10, 12), 0),
        ((0, 10, 11, 10), 60),
        ((0, 10, 27), None),
        ((10, 14, 10), 3_660),
    ],
)
async def test_since_when_runs_fail_in_passing_counts_from_the_last_answer(
    ledger: OneLane, codes: tuple[int, ...], since_s: int | None
) -> None:
    for number, code in enumerate(codes):
        await _ended(ledger, number, code)

    assert await ledger.failing_since() == (None if since_s is None else after(since_s))


@pytest.mark.parametrize("counted", ["uploaded", "adopted", "bound"])
async def test_a_run_that_uploaded_found_or_bound_something_has_got_answers(ledger: OneLane, counted: str) -> None:
    await _ended(ledger, 0, 10)
    await _ended(ledger, 1, 10, **{counted: 1})
    await _ended(ledger, 2, 10)

    assert await ledger.failing_since() == after(3_660)


async def test_the_next_run_follows_on_the_last(opened: Open, address: LedgerAddress) -> None:
    await whole_run(opened, address, "run-1")
    await whole_run(opened, address, "run-2")

    assert (await pin(await opened(address, "run-3"))).continuous


async def test_a_process_that_only_took_the_lock_breaks_nothing(opened: Open, address: LedgerAddress) -> None:
    await whole_run(opened, address, "run-1")
    await (await opened(address, "run-2")).close()

    assert (await pin(await opened(address, "run-3"))).continuous


async def test_a_run_that_listed_nothing_follows_on_one_that_did(opened: Open, address: LedgerAddress) -> None:
    await whole_run(opened, address, "run-1")

    await run_without_listing(opened, address, "run-2")

    assert (await pin(await opened(address, "run-3"))).continuous


async def test_a_run_that_never_reached_its_lane_breaks_nothing(opened: Open, address: LedgerAddress) -> None:
    await whole_run(opened, address, "run-1")
    unreached = await opened(address, "run-2")
    await _ended(unreached, 2, 22)
    await unreached.close()

    assert (await pin(await opened(address, "run-3"))).continuous


async def test_a_run_records_who_it_was(ledger: OneLane, address: LedgerAddress) -> None:
    await pin(ledger)
    ledger.act_as(PRINCIPAL)
    await ledger.begin_run(RUN, verb="upload", batch="june", at=T0)
    await ledger.end_run(RUN, exit_code=0, summary={}, at=after(1))

    reader = find_reader(address)

    assert reader is not None
    with reader:
        (run,) = reader.runs("june", 5)
    assert (run.principal, run.os_user, run.host) == (PRINCIPAL, pwd.getpwuid(os.geteuid()).pw_name, gethostname())


async def test_a_run_that_reached_no_account_has_no_principal(ledger: OneLane, address: LedgerAddress) -> None:
    await _ended(ledger, 0, 22)

    reader = find_reader(address)

    assert reader is not None
    with reader:
        (run,) = reader.runs("june", 5)
    assert (run.principal, run.host) == (None, gethostname())


async def test_the_run_whose_request_was_accepted_is_who_uploaded(ledger: OneLane, address: LedgerAddress) -> None:
    await pin(ledger)
    ledger.act_as(PRINCIPAL)
    await ledger.begin_run(RUN, verb="upload", batch="june", at=T0)
    await ledger.enlist([item("a"), item("b"), item("c")], at=T0)
    lost = await ledger.intend("bu1-b-1", run_id=RUN, at=after(1))
    await ledger.conclude(lost, ended(OutcomeKind.UNKNOWN))
    await ledger.adopt("bu1-b-1", attachment("ra-b"), at=after(3))
    ledger.act_as(None)
    await ledger.begin_run("run-2", verb="upload", batch="june", at=after(10))
    made = await ledger.intend("bu1-a-1", run_id="run-2", at=after(11))
    await ledger.conclude(made, accepted("ra-a"))

    reader = find_reader(address)

    assert reader is not None
    with reader:
        found = reader.uploaders("june", ["a", "b", "c"])
        others = reader.uploaders("july", ["a"])
    assert {each: who.run_id for each, who in found.items()} == {"ra-a": "run-2"}
    assert (found["ra-a"].principal, found["ra-a"].host, others) == (None, gethostname(), {})


async def test_who_uploaded_is_known_of_attachments_that_were_replaced_or_got_other_tags(
    ledger: OneLane, address: LedgerAddress
) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend("bu1-a-1", run_id=RUN, at=after(1)), accepted("ra-1"))
    await ledger.begin_run("run-2", verb="upload", batch="june", at=after(2))
    await ledger.enlist([item("a", generation=2)], at=after(2))
    made = await ledger.intend("bu1-a-2", run_id="run-2", at=after(3))
    await ledger.conclude(made, accepted("ra-2", AttachmentStatus.COMPLETE))
    await ledger.enlist([item("a", token="bu1-a-3", generation=2)], at=after(4))
    await ledger.retagged("bu1-a-2", "bu1-a-3", identity_tag=True, at=after(5))

    reader = find_reader(address)

    assert reader is not None
    with reader:
        found = reader.uploaders("june", ["a"])
    assert {each: who.run_id for each, who in found.items()} == {"ra-1": RUN, "ra-2": "run-2"}
