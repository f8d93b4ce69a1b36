"""Lanes of `--local`: one embedded emulator serves every account and Region of a run."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from batch_upload.app.lane import embedded_emulator, local_lane, reach
from batch_upload.errors import UsageError
from batch_upload.model import AttachmentStatus, Lane
from batch_upload.operations import DESCRIBE
from batch_upload.ports import Body, CreateRequest
from batch_upload.registration import Bind, FieldContent
from batch_upload.service.accounts import Accounts
from batch_upload.settings import LOCAL_ACCOUNT, LOCAL_REGION, RunOptions, Settings, settings_of, settings_of_lane
from batch_upload.targets import Target

TARGETS = [
    Target(name=name, account=account, region=region, role_arn=f"arn:aws:iam::{account}:role/uploader")
    for name, account in (("acme", "111122223333"), ("beta", "444455556666"))
    for region in ("us-east-1", "us-west-2")
]


class Silent:
    """An observer that nothing reaches a person from."""

    def notify(self, event: object) -> None:
        """Do nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(RunOptions(local=True), manifest=tmp_path / "june.yaml", environ={})


async def test_one_emulator_serves_each_lane_as_the_manifest_names_it(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(embedded_emulator(settings, reads_only=False))
        accounts = await stack.enter_async_context(Accounts())
        lanes = []
        for target in TARGETS:
            of_lane = settings_of_lane(settings, target)
            reached = await stack.enter_async_context(reach(of_lane, Silent(), accounts=accounts, local_url=url))
            lanes.append(reached.lane)

    assert lanes == [Lane(target.account or "", target.region or "") for target in TARGETS]


async def test_a_lane_alone_starts_the_emulator_by_itself(settings: Settings) -> None:
    async with reach(settings, Silent()) as reached:
        assert reached.lane == Lane(LOCAL_ACCOUNT, LOCAL_REGION)

    assert settings.local_state.exists()


BOUND = [
    (Lane("111122223333", "us-east-1"), Bind("registration-a", "messagingUseCase.optInImage")),
    (Lane("111122223333", "us-east-1"), Bind("registration-b", "idSidSpecificInfo.letterOfAuthorization1")),
    (Lane("111122223333", "us-east-1"), Bind("registration-b", "idSidSpecificInfo.letterOfAuthorization2")),
    (Lane("444455556666", "us-west-2"), Bind("registration-a", "no.such.field")),
]


async def test_the_emulator_has_the_registrations_that_the_manifest_names_in_each_lane(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(embedded_emulator(settings, reads_only=False, binds=BOUND))
        accounts = await stack.enter_async_context(Accounts())
        found = {}
        for target in TARGETS:
            of_lane = settings_of_lane(settings, target)
            reached = await stack.enter_async_context(reach(of_lane, Silent(), accounts=accounts, local_url=url))
            page = await reached.service.registrations(None)
            found[target.label] = {each.registration_id: each.type for each in page.registrations}

    toll_free = "US_TOLL_FREE_REGISTRATION"
    assert found == {
        "acme/us-east-1": {"registration-a": toll_free, "registration-b": "ID_SENDER_ID_REGISTRATION"},
        "acme/us-west-2": {},
        "beta/us-east-1": {},
        "beta/us-west-2": {"registration-a": toll_free},
    }


async def test_the_state_keeps_registrations_and_what_their_fields_hold(settings: Settings) -> None:
    bind = Bind("registration-a", "messagingUseCase.optInImage")
    binds = [(local_lane(settings), bind)]
    request = CreateRequest("bu1-token", {}, body=Body.of(b"%PDF-1.7\n"))
    async with (
        embedded_emulator(settings, reads_only=False, binds=binds) as url,
        reach(settings, Silent(), local_url=url) as reached,
    ):
        receipt = await reached.service.create(request)
        status = receipt.status
        while status is AttachmentStatus.IN_PROGRESS:
            [shown] = await reached.wire.call(DESCRIBE, lambda: reached.service.describe([receipt.attachment_id]))
            status = shown.status
        await reached.service.put_field(bind, receipt.attachment_id)

    async with embedded_emulator(settings, reads_only=True) as url, reach(settings, Silent(), local_url=url) as reached:
        contents = await reached.service.field_contents(bind.registration, [bind.field])

    assert contents == (FieldContent(bind.field, receipt.attachment_id),)


async def test_what_only_reads_leaves_no_state_behind(settings: Settings) -> None:
    reading = embedded_emulator(settings, reads_only=True, binds=[(local_lane(settings), BOUND[0][1])])
    async with reading as url, reach(settings, Silent(), local_url=url) as reached:
        assert len((await reached.service.registrations(None)).registrations) == 1
        assert not settings.local_state.exists()


async def test_a_state_that_another_emulator_uses_is_the_callers_fault(settings: Settings) -> None:
    async with embedded_emulator(settings, reads_only=False):
        with pytest.raises(UsageError, match="in use by another emulator"):
            await embedded_emulator(settings, reads_only=False).__aenter__()
