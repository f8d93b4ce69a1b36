"""Whatever the order of the operations, the versions and values of a registration keep their rules."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from batch_upload.emulator import VersionStatus
from batch_upload.emulator.core import Emulator, Reply
from batch_upload.emulator.registration_state import IN_REVIEW
from batch_upload.emulator.settings import EmulatorSettings
from tests.unit.emulator.support import (
    ATTACHMENT_ID,
    COMPANY,
    IMAGE,
    TOLL_FREE,
    UNLIMITED,
    Client,
    ManualClock,
    registered,
)

STATUSES = st.sampled_from(VersionStatus)
PLACES = st.integers(0, 1)


class Orders(RuleBasedStateMachine):
    """Two registrations and two attachments. `held` is what the fields of each version should hold."""

    @initialize()
    def begin(self) -> None:
        settings = EmulatorSettings(rates=UNLIMITED, processing_s=0)
        self.client = Client(Emulator(settings, clock=ManualClock()))
        self.ids = [registered(self.client) for _ in range(2)]
        self.attachments: list[str] = [self.client.create().members[ATTACHMENT_ID] for _ in range(2)]
        self.held: list[list[dict[str, str]]] = [[{}], [{}]]
        self.statuses = [[VersionStatus.DRAFT], [VersionStatus.DRAFT]]
        self.deleted = [False, False]

    def ask(self, place: int, operation: str, **members: Any) -> Reply:  # noqa: ANN401 - any JSON
        return self.client.ask(operation, RegistrationId=self.ids[place], **members)

    def is_draft(self, place: int) -> bool:
        return self.statuses[place][-1] is VersionStatus.DRAFT and not self.deleted[place]

    @rule(place=PLACES, text=st.sampled_from(["a", "b"]))
    def put_text(self, place: int, text: str) -> None:
        reply = self.ask(place, "PutRegistrationFieldValue", FieldPath=COMPANY, TextValue=text)

        assert (reply.code is None) == self.is_draft(place)
        if reply.code is None:
            self.held[place][-1][COMPANY] = text

    @rule(place=PLACES, which=PLACES)
    def put_attachment(self, place: int, which: int) -> None:
        attachment_id = self.attachments[which]
        reply = self.ask(place, "PutRegistrationFieldValue", FieldPath=IMAGE, RegistrationAttachmentId=attachment_id)

        assert (reply.code is None) == self.is_draft(place)
        if reply.code is None:
            self.held[place][-1][IMAGE] = attachment_id

    @rule(place=PLACES, path=st.sampled_from([COMPANY, IMAGE]))
    def delete_value(self, place: int, path: str) -> None:
        reply = self.ask(place, "DeleteRegistrationFieldValue", FieldPath=path)

        assert (reply.code is None) == self.is_draft(place)
        if reply.code is None:
            self.held[place][-1].pop(path, None)

    @rule(place=PLACES)
    def submit(self, place: int) -> None:
        reply = self.ask(place, "SubmitRegistrationVersion")

        assert (reply.code is None) == self.is_draft(place)
        if reply.code is None:
            self.statuses[place][-1] = VersionStatus.SUBMITTED

    @rule(place=PLACES, status=STATUSES)
    def review(self, place: int, status: VersionStatus) -> None:
        self.client.emulator.registrations.review(self.ids[place], status)
        self.statuses[place][-1] = status

    @rule(place=PLACES)
    def renew(self, place: int) -> None:
        reply = self.ask(place, "CreateRegistrationVersion")

        status = self.statuses[place][-1]
        is_open = status is VersionStatus.DRAFT or status in IN_REVIEW
        assert (reply.code is None) == (not is_open and not self.deleted[place])
        if reply.code is None:
            assert reply.members["VersionNumber"] == len(self.held[place]) + 1
            self.held[place].append({})
            self.statuses[place].append(VersionStatus.DRAFT)

    @rule(place=PLACES)
    def delete(self, place: int) -> None:
        reply = self.ask(place, "DeleteRegistration")

        assert (reply.code is None) == (self.statuses[place][-1] not in IN_REVIEW and not self.deleted[place])
        self.deleted[place] |= reply.code is None

    @rule(which=PLACES)
    def replace_attachment(self, which: int) -> None:
        """Delete an attachment, which must work exactly if no registration holds it, and upload another."""
        attachment_id = self.attachments[which]
        over = {"DENIED", "DISCARDED", "REVOKED", "ARCHIVED"}
        is_held = any(
            attachment_id in values.values() and status not in over and not self.deleted[place]
            for place in range(2)
            for values, status in zip(self.held[place], self.statuses[place], strict=True)
        )
        reply = self.client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=attachment_id)

        assert (reply.code is None) == (not is_held)
        if reply.code is None:
            self.attachments[which] = self.client.create().members[ATTACHMENT_ID]

    @invariant()
    def every_version_holds_what_was_put_into_it(self) -> None:
        for place, versions in enumerate(self.held):
            for number, values in enumerate(versions, start=1):
                answer = self.ask(place, "DescribeRegistrationFieldValues", VersionNumber=number).members
                found = {
                    one["FieldPath"]: one.get("TextValue") or one["RegistrationAttachmentId"]
                    for one in answer["RegistrationFieldValues"]
                }
                assert found == values

    @invariant()
    def versions_are_counted_without_gaps_and_the_latest_is_the_current_one(self) -> None:
        answer = self.client.ask("DescribeRegistrations", RegistrationIds=self.ids).members["Registrations"]
        for place, one in enumerate(answer):
            listed = self.ask(place, "DescribeRegistrationVersions").members["RegistrationVersions"]
            numbers = [version["VersionNumber"] for version in listed]
            assert numbers == list(range(1, len(self.held[place]) + 1))
            assert one["CurrentVersionNumber"] == numbers[-1]
            assert [version["RegistrationVersionStatus"] for version in listed] == self.statuses[place]
            assert one["RegistrationType"] == TOLL_FREE


TestOrders = Orders.TestCase
