"""Documents that a manifest binds to fields of registrations, and what the registrations must hold."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from batch_upload.operations import PUT_FIELD
from tests.support.emulator_process import lane_of
from tests.support.endpoint import Endpoint

TYPE = "ID_SENDER_ID_REGISTRATION"
FIELDS = ("idSidSpecificInfo.letterOfAuthorization1", "idSidSpecificInfo.letterOfAuthorization2")
"""Of this type, for letters of all kinds: each registration takes so many documents."""


class FieldPlace(NamedTuple):
    """A field of a registration. `lane`: `111122223333/us-east-1`."""

    lane: str
    registration: str
    path: str


Fields = Mapping[FieldPlace, str]
"""The SHA-256 of the document that each field is for."""


def bind_of(number: int, prefix: str = "") -> tuple[str, str]:
    """Return the registration and the field of the n-th document of a lane, from 0."""
    return f"registration-{prefix}{number // len(FIELDS)}", FIELDS[number % len(FIELDS)]


def bind_line(registration: str, path: str) -> str:
    """Return the `bind` of an entry as a manifest has it."""
    return f'bind: {{registration: "{registration}", field: {path}}}'


def plant_registrations(endpoint: Endpoint, fields: Collection[FieldPlace], registration_type: str = TYPE) -> None:
    """Make the registrations that have these fields, each in its account and Region."""
    for lane, registration in sorted({(place.lane, place.registration) for place in fields}):
        account, _, region = lane.partition("/")
        endpoint.plant_registration(registration, registration_type, account=account, region=region)


def assert_no_wrong_put(endpoint: Endpoint, fields: Fields) -> None:
    """Assert that nothing was ever put into a field, of any version, but the document that it is for."""
    held = {(lane_of(each), each["id"]): each["sha256"] for each in endpoint.attachments()}
    for place, attachment_id in _puts(endpoint):
        assert place in fields, f"{attachment_id} was put into {place}"
        assert held[place.lane, attachment_id] == fields[place], f"{attachment_id} was put into {place}"


def assert_bound(endpoint: Endpoint, fields: Fields) -> None:
    """Assert that the current version of each registration holds its documents and nothing else, each in one field."""
    held = {(lane_of(each), each["id"]): each["sha256"] for each in endpoint.attachments()}
    now = current_fields(endpoint)
    assert {place: held[place.lane, attachment_id] for place, attachment_id in now.items()} == dict(fields)
    assert max(Counter((place.lane, attachment_id) for place, attachment_id in now.items()).values(), default=1) == 1


def current_fields(endpoint: Endpoint) -> dict[FieldPlace, str]:
    """Return the attachment that each field of the current versions holds."""
    return {
        FieldPlace(lane_of(each), each["id"], path): value["RegistrationAttachmentId"]
        for each in endpoint.registrations()
        for path, value in each["versions"][-1]["values"].items()
    }


def all_fields(endpoint: Endpoint) -> set[tuple[FieldPlace, str]]:
    """Return what the fields of all versions hold, also of those that were denied."""
    return {
        (FieldPlace(lane_of(each), each["id"], path), value["RegistrationAttachmentId"])
        for each in endpoint.registrations()
        for version in each["versions"]
        for path, value in version["values"].items()
    }


def puts_by_lane(endpoint: Endpoint) -> Counter[str]:
    """Return how many requests to put something into a field each lane has carried out."""
    return Counter(place.lane for place, _ in _puts(endpoint))


def puts(endpoint: Endpoint) -> int:
    """Return how many requests to put something into a field have come, carried out or not."""
    return endpoint.stats().requests[PUT_FIELD]


def _puts(endpoint: Endpoint) -> Iterator[tuple[FieldPlace, str]]:
    for each in endpoint.registrations():
        for version in each["versions"]:
            for put in version["puts"]:
                yield FieldPlace(lane_of(each), each["id"], put["FieldPath"]), put["RegistrationAttachmentId"]
