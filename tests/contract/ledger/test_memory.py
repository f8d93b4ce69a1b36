"""What later runs need not find out again: rates, and what was in files."""

import pytest

from batch_upload.document import Fingerprint, Flaw, FlawCode, Insight, RememberedDigest
from batch_upload.errors import BatchUploadError
from batch_upload.ledger import find_digests, find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import ContentType
from batch_upload.ports import LedgerReader
from batch_upload.records import RateRecord
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import T0, after, began, item


async def test_the_latest_of_each_operation_is_remembered(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    old, new = (RateRecord("Create", {"rate": rate}, T0) for rate in (2.0, 19.5))
    other = RateRecord("Describe", {"rate": 1.0, "stage": 3}, after(60))

    await ledger.learn([old, other])
    await ledger.learn([new])

    assert await ledger.rates() == [new, other]


async def test_nothing_learned_leaves_what_was(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    known = RateRecord("Create", {"rate": 2.0}, T0)

    await ledger.learn([known])
    await ledger.learn([])

    assert await ledger.rates() == [known]


async def test_a_reader_sees_what_was_learned(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger, item("a"))
    known = RateRecord("Create", {"rate": 2.0}, T0)

    await ledger.learn([known])

    reader = find_reader(address)
    assert reader is not None
    with reader:
        assert reader.rates() == [known]


LOOK = Fingerprint(device=64_768, inode=1_234, size_bytes=450_000, mtime_ns=1_764_000_000_123_456_789)
FOUND = RememberedDigest(LOOK, "0f" * 32, ContentType.PDF)


def digests_of(address: LedgerAddress) -> LedgerReader:
    reader = find_digests(address)
    assert reader is not None
    return reader


async def test_what_was_remembered_is_found_before_a_lane_is_known(ledger: OneLane, address: LedgerAddress) -> None:
    await ledger.remember_digests({"/files/a.pdf": FOUND})

    with digests_of(address) as reader:
        assert reader.digests(["/files/b.pdf", "/files/a.pdf"]) == {"/files/a.pdf": FOUND}


async def test_the_later_wins_and_the_others_stay(ledger: OneLane, address: LedgerAddress) -> None:
    later = FOUND._replace(fingerprint=LOOK._replace(mtime_ns=LOOK.mtime_ns + 1), sha256="a0" * 32)

    await ledger.remember_digests({"/files/a.pdf": FOUND, "/files/b.pdf": FOUND})
    await ledger.remember_digests({"/files/a.pdf": later})

    with digests_of(address) as reader:
        assert reader.digests(["/files/a.pdf", "/files/b.pdf"]) == {"/files/a.pdf": later, "/files/b.pdf": FOUND}


async def test_more_paths_than_a_statement_takes_are_all_found(ledger: OneLane, address: LedgerAddress) -> None:
    many = {f"/files/{number}.pdf": FOUND._replace(sha256=f"{number:064x}") for number in range(1_201)}

    await ledger.remember_digests(many)

    with digests_of(address) as reader:
        assert reader.digests([*many]) == many


@pytest.mark.parametrize(
    "look",
    [
        Fingerprint(device=2**64 - 1, inode=2**63, size_bytes=0, mtime_ns=0),
        Fingerprint(device=0, inode=2**63 - 1, size_bytes=1, mtime_ns=-1),
    ],
)
async def test_any_look_that_a_file_system_gives_comes_back(
    ledger: OneLane, address: LedgerAddress, look: Fingerprint
) -> None:
    remembered = {"/files/\udcff Ø.pdf": FOUND._replace(fingerprint=look)}

    await ledger.remember_digests(remembered)

    with digests_of(address) as reader:
        assert reader.digests([*remembered]) == remembered


@pytest.mark.parametrize(
    "insight",
    [
        Insight(),
        Insight(pages=0, flaws=(Flaw(FlawCode.NO_PAGE, "has no page: Ø \udcff"),)),
        Insight(pixels=(600, 400), flaws=tuple(Flaw(code, code.meaning) for code in FlawCode)),
    ],
)
async def test_what_a_look_inside_found_comes_back(ledger: OneLane, address: LedgerAddress, insight: Insight) -> None:
    remembered = {"/files/a.pdf": FOUND._replace(insight=insight), "/files/b.pdf": FOUND}

    await ledger.remember_digests(remembered)

    with digests_of(address) as reader:
        assert reader.digests([*remembered]) == remembered


@pytest.mark.parametrize("sha256", ["", "0F" * 32, "0f" * 31])
async def test_what_is_no_digest_is_refused(ledger: OneLane, sha256: str) -> None:
    with pytest.raises(BatchUploadError, match="breaks its rules"):
        await ledger.remember_digests({"/files/a.pdf": FOUND._replace(sha256=sha256)})

    await began(ledger, item("a"))
    assert await ledger.intend("bu1-a-1", run_id="run-1", at=T0)
