"""Listings of a service whose pages shift, repeat and expire."""

from collections.abc import Callable

import pytest

from batch_upload.engine.context import LaneContext
from batch_upload.engine.listing import LISTINGS_MAX, RESTARTS_MAX, list_completely, list_lane
from batch_upload.errors import AccessFault, NoAnswer, Refused
from batch_upload.model import Attachment, AttachmentPage
from batch_upload.ports import AttachmentService
from tests.support.engine_world import World
from tests.support.memory_service import DESCRIBE, Held, MemoryService, refused


class Turning(MemoryService):
    """Has something happen after each page."""

    after_page: Callable[[int], None] = staticmethod(lambda _: None)
    pages_read = 0

    async def page(self, next_token: str | None) -> AttachmentPage:
        page = await super().page(next_token)
        self.pages_read += 1
        self.after_page(self.pages_read)
        return page


class Looping(MemoryService):
    """Gives the same page token for ever."""

    async def page(self, next_token: str | None) -> AttachmentPage:
        page = await super().page(None)
        return AttachmentPage(page.attachments, next_token or "1", page.served_at)


class Endless(MemoryService):
    """Gives a new page token each time, and never anything new."""

    async def page(self, next_token: str | None) -> AttachmentPage:
        await super().page(None)
        return AttachmentPage((), str(int(next_token or 0) + 1))


def held(service: MemoryService, count: int, *, page_size: int) -> list[Held]:
    service.page_size, service.forgets_deleted = page_size, True
    return [service.plant(tags={}) for _ in range(count)]


async def context(world: World, service: MemoryService) -> LaneContext:
    world.service, world.rate = service, 1_000
    return await world.prepared()


def ids(attachments: tuple[Attachment, ...]) -> set[str]:
    return {each.attachment_id for each in attachments}


async def test_one_page_is_complete_by_itself(world: World) -> None:
    service = Turning(world.clock)
    held(service, 3, page_size=3)

    listing = await list_completely(await context(world, service))

    assert (len(listing.attachments), listing.is_complete, service.pages_read) == (3, True, 1)


async def test_what_a_shifted_page_skipped_is_found_by_the_next_listing(world: World) -> None:
    service = Turning(world.clock)
    first, *_, last = held(service, 4, page_size=3)
    service.after_page = lambda count: service.remove(first.attachment_id) if count == 1 else None

    once = await list_lane(await context(world, service))

    assert (last.attachment_id in ids(once.attachments), once.is_complete) == (False, False)

    service = Turning(world.clock)
    first, *_, last = held(service, 4, page_size=3)
    service.after_page = lambda count: service.remove(first.attachment_id) if count == 1 else None

    listing = await list_completely(await context(world, service), used=4)

    assert (last.attachment_id in ids(listing.attachments), listing.is_complete) == (True, True)


async def test_several_pages_are_complete_where_the_service_counts_as_many_before(world: World) -> None:
    service = Turning(world.clock)
    held(service, 7, page_size=3)

    listing = await list_completely(await context(world, service), used=7)

    assert (len(listing.attachments), listing.is_complete, service.pages_read) == (7, True, 3)


@pytest.mark.parametrize("used", [None, 5])
async def test_without_a_count_that_fits_two_listings_agree(world: World, used: int | None) -> None:
    service = Turning(world.clock)
    held(service, 7, page_size=3)

    listing = await list_completely(await context(world, service), used=used)

    assert (len(listing.attachments), listing.is_complete, service.pages_read) == (7, True, 6)


async def test_what_others_upload_meanwhile_does_not_hold_up_a_proof(world: World) -> None:
    service = Turning(world.clock)
    held(service, 4, page_size=3)

    def plant(_: int) -> None:
        service.plant(tags={})

    service.after_page = plant
    listing = await list_completely(await context(world, service))

    assert listing.is_complete
    assert service.pages_read <= 6


async def test_a_lane_that_never_stands_still_is_listed_a_few_times_and_not_believed(world: World) -> None:
    service = Turning(world.clock)
    held(service, 40, page_size=3)
    service.after_page = lambda count: service.remove(next(iter(service.held))) if count % 2 else None

    listing = await list_completely(await context(world, service))

    assert not listing.is_complete
    assert len([call for call in service.made(DESCRIBE) if call.about is None]) == LISTINGS_MAX


@pytest.mark.parametrize("kind", [Looping, Endless])
async def test_a_listing_without_end_is_given_up(world: World, kind: type[MemoryService]) -> None:
    service = kind(world.clock)
    held(service, 2, page_size=1)

    with pytest.raises(NoAnswer, match="repeated or expired"):
        await list_lane(await context(world, service))

    assert len(service.made(DESCRIBE)) < 500


async def test_a_page_token_that_expired_begins_the_listing_anew(world: World) -> None:
    service = Turning(world.clock)
    held(service, 5, page_size=2)
    service.script(DESCRIBE, None, refused(reason="INVALID_NEXT_TOKEN"))

    listing = await list_lane(await context(world, service))

    assert len(listing.attachments) == 5
    assert [call.about for call in service.made(DESCRIBE)] == [None, "2", None, "2", "4"]


async def test_page_tokens_that_always_expire_are_no_answer(world: World) -> None:
    service = Turning(world.clock)
    held(service, 5, page_size=2)
    service.always[DESCRIBE] = lambda about: None if about is None else refused()

    with pytest.raises(NoAnswer):
        await list_lane(await context(world, service))

    assert len(service.made(DESCRIBE)) == 2 * (RESTARTS_MAX + 1)


async def test_a_first_page_that_is_refused_is_a_fault_of_the_lane(world: World) -> None:
    service = Turning(world.clock)
    service.script(DESCRIBE, refused("UnheardOfException"))

    with pytest.raises(AccessFault, match="refuses to list") as caught:
        await list_lane(await context(world, service))

    assert isinstance(caught.value.__cause__, Refused)


async def test_an_attachment_that_two_pages_show_is_listed_once_as_the_later_shows_it(world: World) -> None:
    service = Turning(world.clock)
    first, *_ = held(service, 4, page_size=2)

    def shift(count: int) -> None:
        if count == 1:  # something comes before all others
            service.held = {service.plant(tags={}).attachment_id: service.held.popitem()[1], **service.held}

    service.after_page = shift

    listing = await list_lane(await context(world, service))

    assert len(listing.attachments) == len(ids(listing.attachments)) == 4
    assert first.attachment_id in ids(listing.attachments)


def test_the_stand_ins_are_services() -> None:
    assert all(issubclass(kind, MemoryService) for kind in (Turning, Looping, Endless))
    assert AttachmentService is not None
