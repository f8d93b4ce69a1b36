"""Fields of registrations among faults, kills, edits, denials and lost ledgers: any order that Hypothesis finds.

What must hold whatever happens: nothing is ever put into a field but attachments of the item that the manifest bound to
it. In the end every field holds the attachment of its item, and a rerun puts nothing.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.registration_state import FieldDenial, VersionStatus
from batch_upload.errors import ExitCode
from batch_upload.operations import FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind
from batch_upload.token import IDENTITY_TAG
from tests.crash.test_machine import HORIZON_S, HOW_OFTEN, PASSING, Thing, Uploads
from tests.support.world import REGION, Ended, Plan

TYPE = "US_TEN_DLC_CAMPAIGN_REGISTRATION"
FIELDS = (
    Bind("registration-1", "campaignInfo.optInScreenshot"),
    Bind("registration-1", "campaignInfo.privacyPolicyFile"),
    Bind("registration-2", "campaignInfo.optInScreenshot"),
)
IDS = ("registration-1", "registration-2")
FAULTS = st.lists(
    st.builds(
        FaultRule, st.sampled_from(PASSING), st.sampled_from((PUT_FIELD, REGISTRATIONS, FIELD_VALUES)), **HOW_OFTEN
    ),
    min_size=1,
    max_size=3,
)


class BoundUploads(Uploads):
    """A manifest whose items may be bound to fields, and reviewers who decide about the registrations."""

    def __init__(self) -> None:
        super().__init__()
        for registration in IDS:
            self.world.emulator.registrations.plant(TYPE, region=REGION, registration_id=registration)
        self.right: dict[Bind, set[Thing]] = {field: set() for field in FIELDS}
        """What the manifest has bound to each field so far."""
        for item_id, field in zip(self.world.wanted, FIELDS, strict=False):
            self.world.wanted[item_id] = replace(self.world.wanted[item_id], bind=field)

    def edit(self, item_id: str, wanted: Any) -> None:  # noqa: ANN401 - `Wanted`, of the machine
        """Edits of the document and its tags leave what the item is bound to."""
        before = self.world.wanted.get(item_id)
        super().edit(
            item_id, wanted if before is None or wanted.bind is not None else replace(wanted, bind=before.bind)
        )

    @precondition(lambda self: self.world.wanted)
    @rule(data=st.data(), field=st.sampled_from((*FIELDS, None)))
    def bind(self, data: st.DataObject, field: Bind | None) -> None:
        """Bind an item to a field, or to none; what was bound to the field is so no more."""
        item_id = data.draw(st.sampled_from(sorted(self.world.wanted)))
        for other, wanted in self.world.wanted.items():
            if other == item_id or (field is not None and wanted.bind == field):
                self.world.wanted[other] = replace(wanted, bind=field if other == item_id else None)
        self.is_done = False

    @precondition(lambda self: len(self.world.wanted) > 1)
    @rule(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        """Bind each of two items to what the other was bound to."""
        one, other = data.draw(st.permutations(sorted(self.world.wanted)))[:2]
        binds = self.world.wanted[one].bind, self.world.wanted[other].bind
        self.world.wanted[one] = replace(self.world.wanted[one], bind=binds[1])
        self.world.wanted[other] = replace(self.world.wanted[other], bind=binds[0])
        self.is_done = False

    @rule(faults=FAULTS)
    def have_faults_of_registrations(self, faults: list[FaultRule]) -> None:
        self.world.emulator.set_faults(faults)

    @rule(registration=st.sampled_from(IDS))
    def submit(self, registration: str) -> None:
        self.world.emulator.registrations.review(registration, VersionStatus.SUBMITTED)
        self.is_done = False

    @rule(registration=st.sampled_from(IDS), field=st.sampled_from(sorted({each.field for each in FIELDS})))
    def deny_and_open_a_version(self, registration: str, field: str) -> None:
        denials = {field: FieldDenial("too blurred", "make it sharper")}
        self.world.emulator.registrations.review(registration, VersionStatus.DENIED, denials=denials)
        self.open_version(registration)

    def open_version(self, registration: str) -> None:
        self.world.emulator.registrations.open_version(registration)
        self.is_done = False

    def remembered(self, plan: Plan) -> Plan:
        for item_id, wanted in self.world.wanted.items():
            if wanted.bind is not None:
                self.right[wanted.bind].add((item_id, wanted.content, wanted.generation))
        return super().remembered(plan)

    def nothing_is_uploaded_twice(self) -> None:
        super().nothing_is_uploaded_twice()
        things = self.things_by_attachment()
        for registration in self.world.emulator.registrations.all():
            for version in registration["versions"]:
                for put in version["puts"]:
                    field = Bind(registration["id"], put["FieldPath"])
                    assert things[put["RegistrationAttachmentId"]] in self.right[field], field

    def things_by_attachment(self) -> dict[str, Thing]:
        return {each["id"]: self.things[each["tags"][IDENTITY_TAG]] for each in self.world.held()}

    def puts(self) -> int:
        return int(self.world.emulator.stats()["requests"].get(PUT_FIELD, 0))

    def act_on(self, exit_code: Any) -> None:  # noqa: ANN401 - an exit code, or None
        super().act_on(exit_code)
        if exit_code is ExitCode.TRANSIENT:  # a field takes an attachment that the service does not find yet only later
            self.world.pass_time(HORIZON_S)
        for registration in self.world.emulator.registrations.all():
            if registration["versions"][-1]["status"] != VersionStatus.DRAFT:
                self.open_version(registration["id"])

    def come_to_rest(self) -> None:
        super().come_to_rest()
        self.act_on(None)
        last: Ended = self.world.run(self.remembered(Plan()))
        things, puts = self.things_by_attachment(), self.puts()
        for item_id, wanted in self.world.wanted.items():
            if wanted.bind is not None:
                held = self.attachment_in(wanted.bind)
                assert things[held] == (item_id, wanted.content, wanted.generation), (wanted.bind, last.exit_code)
        assert (self.world.run().sent, self.puts()) == (0, puts)

    def attachment_in(self, bind: Bind) -> str:
        """The attachment in a field of the current version."""
        (found,) = (each for each in self.world.emulator.registrations.all() if each["id"] == bind.registration)
        attachment: str = found["versions"][-1]["values"][bind.field]["RegistrationAttachmentId"]
        return attachment


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        BoundUploads,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_faults_kills_edits_and_denials_puts_anything_into_a_wrong_field() -> None:
    explore(examples=25, steps=12)


@pytest.mark.soak
def test_no_long_order_of_faults_kills_edits_and_denials_does_either() -> None:
    explore(examples=500, steps=40)
