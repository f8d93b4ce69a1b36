"""What a look at registrations finds, with as few requests as it takes, and what is recorded of it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from batch_upload.engine.lane import LaneControl
from batch_upload.engine.registrations import RegistrationLook, denial_notices, look_at_registrations
from batch_upload.engine.retry import RetryPolicy, Wire
from batch_upload.errors import AccessFault
from batch_upload.model import Item
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, REGISTRATIONS
from batch_upload.pacing import FixedRate, Pacer
from batch_upload.ports import Clock
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, Denial, FieldContent, RegistrationField
from tests.support.engine_world import BIND_OPERATIONS, Heard, an_item
from tests.support.manual_clock import ManualClock
from tests.support.memory_registrations import FORMS, LETTER, OPT_IN, TOLL_FREE
from tests.support.memory_service import MemoryService, Trouble, denied, lost, refused

KNOWN_FORMS = {TOLL_FREE: FORMS[TOLL_FREE]}


@dataclass(frozen=True, slots=True)
class Asker:
    """Implements `engine.listing.Asking`."""

    service: MemoryService
    wire: Wire
    clock: Clock


@pytest.fixture
def service(clock: ManualClock) -> MemoryService:
    return MemoryService(clock)


def to(registration: str, field: str = OPT_IN, item_id: str = "a") -> Item:
    """An item that is to be bound."""
    return an_item(item_id, bind=Bind(registration, field))


def in_field(item: Item, *, version: int = 1, denied_version: int | None = None) -> BoundItem:
    """An item as the ledger has it when its attachment is in its field."""
    assert item.bind is not None
    return BoundItem(item.item_id, item.client_token, f"att-{item.item_id}", item.bind, version, denied_version)


async def look(
    service: MemoryService,
    *items: Item,
    bound: tuple[BoundItem, ...] = (),
    known: Mapping[str, Sequence[RegistrationField]] | None = None,
    notices: list[str] | None = None,
) -> RegistrationLook:
    told = [] if notices is None else notices
    definitions = KNOWN_FORMS if known is None else known
    pacers = {name: Pacer(FixedRate(10.0), service.clock) for name in BIND_OPERATIONS}
    wire = Wire(
        pacers,
        lane=LaneControl(),
        clock=service.clock,
        observer=Heard(),
        policy=RetryPolicy(unanswered_max=2),
        chance=random.Random(7),
    )
    asker = Asker(service, wire, service.clock)
    return await look_at_registrations(asker, items, bound, definitions, notice=told.append)


async def test_without_a_bind_not_one_request_is_sent(service: MemoryService) -> None:
    found = await look(service, an_item("a"), an_item("b"))

    assert (found, service.calls) == (RegistrationLook(), [])


async def test_what_fits_is_no_problem_and_takes_one_page_and_the_form(service: MemoryService) -> None:
    service.forms.add("registration-1", "registration-2")

    found = await look(service, to("registration-1"), to("registration-2", LETTER, "b"), known={})

    assert (found.problems, set(found.registrations)) == ((), {"registration-1", "registration-2"})
    assert found.read == {TOLL_FREE: tuple(FORMS[TOLL_FREE])}
    assert [call.operation for call in service.calls] == [REGISTRATIONS, FIELD_DEFINITIONS, FIELD_DEFINITIONS]


async def test_a_form_that_the_ledger_remembers_is_not_asked_for(service: MemoryService) -> None:
    service.forms.add("registration-1")

    found = await look(service, to("registration-1"))

    assert (found.read, service.made(FIELD_DEFINITIONS), found.problems) == ({}, [], ())


async def test_a_form_that_the_ledger_remembers_is_asked_for_again_before_it_is_a_problem(
    service: MemoryService,
) -> None:
    service.forms.add("registration-1")
    remembered = {TOLL_FREE: [RegistrationField(OPT_IN, "TEXT", "REQUIRED")]}

    found = await look(service, to("registration-1"), to("registration-1", "nothing.likeIt", "b"), known=remembered)

    assert [(problem.item_id, problem.code) for problem in found.problems] == [("b", "bind-field")]
    assert found.read == {TOLL_FREE: tuple(FORMS[TOLL_FREE])}
    assert len(service.made(FIELD_DEFINITIONS)) == 2  # the pages of one form


async def test_a_form_that_cannot_be_asked_for_again_is_no_reason_for_a_problem(service: MemoryService) -> None:
    service.forms.add("registration-1")
    service.always[FIELD_DEFINITIONS] = lambda _: lost(done=False)
    remembered = {TOLL_FREE: [RegistrationField(OPT_IN, "TEXT", "REQUIRED")]}
    told: list[str] = []

    found = await look(service, to("registration-1"), known=remembered, notices=told)

    assert found.problems == ()
    (notice,) = told
    assert "are not checked" in notice


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (
            "messagingUseCase.optinImage",
            f"`registration-1` is a {TOLL_FREE}, which has no field `messagingUseCase.optinImage`: did you mean",
        ),
        ("messagingUseCase.optinImage", f"did you mean `{OPT_IN}`?"),
        ("optInImage", f"did you mean `{OPT_IN}`?"),
        ("messagingUsecase.optInImages", f"did you mean `{OPT_IN}`?"),
        ("something.else", f"attachments go into `{LETTER}`, `{OPT_IN}`"),
        ("companyInfo.companyName", f"takes no attachment (text field of a {TOLL_FREE}); attachments go into"),
    ],
)
async def test_a_field_that_takes_no_attachment_is_a_problem_that_says_which_do(
    service: MemoryService, field: str, said: str
) -> None:
    service.forms.add("registration-1")

    (problem,) = (await look(service, to("registration-1", field))).problems

    assert (problem.item_id, problem.code) == ("a", "bind-field")
    assert said in problem.message


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (None, "registration `registration-1` does not exist in this account and Region"),
        ("CLOSED", "registration `registration-1` is closed: nothing can be put into its fields any more"),
        ("DELETED", "registration `registration-1` was deleted: nothing can be put into its fields any more"),
    ],
)
async def test_a_registration_that_is_gone_is_a_problem(service: MemoryService, status: str | None, said: str) -> None:
    service.forms.add("registration-0", *(["registration-1"] if status else []))
    if status is not None:
        service.forms.held["registration-1"].status = status

    (problem,) = (await look(service, to("registration-0"), to("registration-1", item_id="b"))).problems

    assert (problem.item_id, problem.code) == ("b", "bind-registration")
    assert said in problem.message


@pytest.mark.parametrize("status", ["SUBMITTED", "REVIEWING", "REQUIRES_UPDATES", "COMPLETE"])
async def test_a_registration_under_review_or_decided_is_no_problem(service: MemoryService, status: str) -> None:
    service.forms.add("registration-1")
    service.forms.held["registration-1"].status = status

    assert (await look(service, to("registration-1"))).problems == ()


async def test_what_no_page_shows_is_asked_for_by_id_five_at_a_time(service: MemoryService) -> None:
    ids = [f"registration-{number:02}" for number in range(12)]
    service.forms.add(*ids)
    service.forms.hidden = set(ids[:7])

    found = await look(service, *(to(each, item_id=each) for each in [*ids, "registration-99"]))

    assert set(found.registrations) == set(ids)
    by_id = [call.about for call in service.made(REGISTRATIONS) if isinstance(call.about, tuple)]
    assert (len(by_id[0]), len(by_id[1]), len(by_id)) == (5, 3, 3)
    assert [problem.item_id for problem in found.problems] == ["registration-99"]


async def test_pages_are_read_until_everything_is_found(service: MemoryService) -> None:
    service.forms.add(*(f"registration-{number}" for number in range(350)))

    await look(service, to("registration-5"), to("registration-150", item_id="b"))

    assert [call.about for call in service.made(REGISTRATIONS)] == [None, "100"]


async def test_an_expired_page_token_leaves_the_rest_to_be_asked_for_by_id(service: MemoryService) -> None:
    service.forms.add(*(f"registration-{number}" for number in range(350)))
    service.script(REGISTRATIONS, None, refused())

    found = await look(service, to("registration-5"), to("registration-150", item_id="b"))

    assert set(found.registrations) == {"registration-5", "registration-150"}
    assert service.made(REGISTRATIONS)[-1].about == ("registration-150",)


async def test_a_newer_version_makes_what_was_bound_before_stale(service: MemoryService) -> None:
    service.forms.add("registration-1", "registration-2")
    service.forms.held["registration-1"].begin_version()
    first, second = to("registration-1"), to("registration-2", item_id="b")

    found = await look(service, first, second, bound=(in_field(first), in_field(second)))

    assert [each.item_id for each in found.stale] == ["a"]


async def test_what_the_manifest_binds_elsewhere_by_now_is_not_stale(service: MemoryService) -> None:
    service.forms.add("registration-1", "registration-2")
    service.forms.held["registration-1"].begin_version()

    found = await look(service, to("registration-2"), bound=(in_field(to("registration-1")),))

    assert found.stale == ()


async def test_what_is_bound_already_is_no_problem_though_its_registration_is_closed(service: MemoryService) -> None:
    service.forms.add("registration-1")
    service.forms.held["registration-1"].status = "CLOSED"
    item = to("registration-1")

    assert (await look(service, item, bound=(in_field(item),))).problems == ()


async def test_a_denial_is_read_once_from_the_version_that_was_denied(service: MemoryService) -> None:
    service.forms.add("registration-1", "registration-2")
    item, other = to("registration-1"), to("registration-2", item_id="b")
    held = service.forms.held["registration-1"]
    held.versions[0][OPT_IN] = FieldContent(OPT_IN, "att-a")
    held.deny(reason="too blurred", feedback="make it sharper")
    held.begin_version()

    found = await look(service, item, other, bound=(in_field(item), in_field(other)))
    again = await look(service, item, other, bound=(in_field(item, version=2, denied_version=1), in_field(other)))

    assert found.denials == ((in_field(item), Denial(1, "too blurred", "make it sharper")),)
    assert again.denials == ()
    assert [call.about for call in service.made(FIELD_VALUES)] == [("registration-1", (OPT_IN,), 1)]


async def test_a_denial_of_another_attachment_says_nothing_of_ours(service: MemoryService) -> None:
    service.forms.add("registration-1")
    item = to("registration-1")
    service.forms.held["registration-1"].versions[0][OPT_IN] = FieldContent(OPT_IN, "att-of-a-person")
    service.forms.held["registration-1"].deny()

    assert [denial for _, denial in (await look(service, item, bound=(in_field(item),))).denials] == [Denial(1, "", "")]


@pytest.mark.parametrize("trouble", [refused(), denied(), lost(done=False)])
async def test_a_denial_that_cannot_be_read_is_a_notice(service: MemoryService, trouble: Trouble) -> None:
    service.forms.add("registration-1")
    item, notices = to("registration-1"), list[str]()
    service.forms.held["registration-1"].deny()
    service.always[FIELD_VALUES] = lambda _: trouble

    found = await look(service, item, bound=(in_field(item),), notices=notices)

    assert (found.denials, found.problems) == ((), ())
    assert [notice.partition(":")[0] for notice in notices] == [
        "the denial of `registration-1` (version 1) could not be read"
    ]


@pytest.mark.parametrize("operation", [REGISTRATIONS, FIELD_DEFINITIONS])
async def test_a_missing_permission_is_the_fault_of_the_lane(service: MemoryService, operation: str) -> None:
    service.forms.add("registration-1")
    service.script(operation, denied())

    with pytest.raises(AccessFault):
        await look(service, to("registration-1"), known={})


async def test_a_form_that_is_refused_is_not_checked(service: MemoryService) -> None:
    service.forms.add("registration-1", kind="XX_NEW_REGISTRATION")
    notices: list[str] = []

    found = await look(service, to("registration-1", "what.ever"), notices=notices)

    assert (found.problems, found.read) == ((), {})
    assert notices == ["the fields of a XX_NEW_REGISTRATION could not be read, and are not checked: no such type"]


async def test_what_is_said_of_denials_is_told_once_and_by_whom(service: MemoryService) -> None:
    with_words, silent, current = (in_field(to(f"registration-{name}", item_id=name)) for name in "abc")
    again = in_field(to("registration-d", item_id="d"), version=2, denied_version=2)

    found = RegistrationLook(
        stale=(with_words, again, current),
        denials=((with_words, Denial(1, "too blurred", "")), (silent, Denial(1, "", ""))),
    )

    assert denial_notices(found) == [
        "`a` → `messagingUseCase.optInImage` of `registration-a`: version 1 was denied: too blurred",
        "`registration-b` was denied (version 1); nothing was said of its attachments",
        "`registration-a` has a new version, and gets again what was denied: `a`",
        "`registration-d` has a new version, and gets again what was denied: `d`",
    ]
    assert denial_notices(RegistrationLook()) == []
