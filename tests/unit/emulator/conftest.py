"""Fixtures of the emulator's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from batch_upload.emulator.core import Emulator
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.emulator.state import Journal
from tests.unit.emulator.support import SERVICE, UNLIMITED, Client, MakeBoto3, MakeClient, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_client(clock: ManualClock) -> Iterator[MakeClient]:
    """Clients of fresh emulators without rates, unless told otherwise; `state_path` keeps their state."""
    journals: list[Journal] = []

    def made(*, state_path: Path | None = None, **settings: Any) -> Client:  # noqa: ANN401 - any setting
        journal = None if state_path is None else Journal(state_path)
        journals.extend([] if journal is None else [journal])
        chosen = EmulatorSettings(**{"rates": UNLIMITED, **settings})
        return Client(Emulator(chosen, clock=clock, journal=journal))

    yield made
    for journal in journals:
        journal.close()


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    """A client of a service that processes attachments at once."""
    return make_client(processing_s=0)


@pytest.fixture
def make_boto3() -> Iterator[MakeBoto3]:
    """Real boto3 clients without retries, closed at the end."""
    clients: list[Any] = []

    def made(
        url: str, service: str = SERVICE, *, region: str = "us-east-1", key: str = "AKID", token: str | None = None
    ) -> Any:  # noqa: ANN401 - boto3 ships no types
        client = boto3.client(
            service,
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key="not-a-secret",
            aws_session_token=token,
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )
        clients.append(client)
        return client

    yield made
    for client in clients:
        client.close()
