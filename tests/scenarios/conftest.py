"""One emulator for all scenarios; each test finds it as new."""

from collections.abc import Iterator

import pytest

from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded, preloaded


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[EmulatorProcess]:
    with running_emulator() as process:
        yield process


@pytest.fixture
def endpoint(emulator_process: EmulatorProcess) -> Endpoint:
    return Endpoint(emulator_process)


@pytest.fixture(scope="session")
def command() -> Iterator[Preloaded]:
    """The command without its start-up time, for scenarios of many runs."""
    with preloaded() as running:
        yield running
