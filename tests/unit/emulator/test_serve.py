"""Serving from a thread, for code that is not asynchronous."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from batch_upload.emulator import (
    ConfigurationError,
    EmulatorSettings,
    FaultAction,
    FaultRule,
    RunningEmulator,
    serving_in_thread,
)
from tests.unit.emulator.support import ATTACHMENT_ID, PDF, MakeBoto3


@pytest.fixture
def service() -> Iterator[RunningEmulator]:
    settings = EmulatorSettings(rates={"*": None}, attachments_per_account=None, keeps_bodies=True)
    with serving_in_thread(settings) as running:
        yield running


def test_a_thread_serves_until_its_context_ends(make_boto3: MakeBoto3) -> None:
    with serving_in_thread() as running:
        client = make_boto3(running.url)
        assert client.describe_account_limits()["AccountLimits"]

    with pytest.raises(EndpointConnectionError):
        client.describe_account_limits()


def test_a_client_that_is_not_asynchronous_sees_what_its_test_has_set(
    service: RunningEmulator, make_boto3: MakeBoto3
) -> None:
    client = make_boto3(service.url)
    service.emulator.set_faults([FaultRule(FaultAction.EMPTY_200, times=1)])

    spoilt = client.create_registration_attachment(AttachmentBody=PDF, ClientToken="token")
    created = client.create_registration_attachment(AttachmentBody=PDF, ClientToken="token")

    assert ATTACHMENT_ID not in spoilt
    assert service.emulator.body(created[ATTACHMENT_ID]) == PDF
    assert service.emulator.stats()["replays"] == 1


def test_a_test_may_look_and_change_while_clients_are_at_work(service: RunningEmulator, make_boto3: MakeBoto3) -> None:
    client = make_boto3(service.url)

    with ThreadPoolExecutor(4) as pool:
        creates = [pool.submit(client.create_registration_attachment, AttachmentBody=PDF) for _ in range(100)]
        while not all(create.done() for create in creates):
            service.emulator.plant(region="eu-west-1", tags={})
            service.emulator.change_settings('{"processing_s": 1}')
            assert service.emulator.stats()["attachments"] <= len(service.emulator.attachments())

    ids = {create.result()[ATTACHMENT_ID] for create in creates}
    held = {one["id"] for one in service.emulator.attachments() if one["region"] == "us-east-1"}
    assert (len(ids), ids) == (100, held)


def test_a_state_that_cannot_be_used_is_told_to_the_thread_that_asked(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="cannot be opened"),
        serving_in_thread(state_path=tmp_path / "no" / "f"),
    ):
        pass
