"""One emulator for all scenarios; each test finds it as new."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.clocks import Clocks, build_library
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded, preloaded

if TYPE_CHECKING:
    from playwright.async_api import Browser


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    from tests.support.browser import launched  # few scenarios need one

    async with launched() as running:
        yield running


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("clocks"))


@pytest.fixture
def clocks(clock_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocks]:
    """Clocks for one process, which a test can move."""
    made = Clocks(clock_library, tmp_path_factory.mktemp("machine") / "clocks")
    yield made
    made.close()


@pytest.fixture(scope="session")
def process_with_clocks(
    clock_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Preloaded, Clocks]]:
    clocks = Clocks(clock_library, tmp_path_factory.mktemp("machine") / "clocks")
    with preloaded(env=clocks.env) as running:
        yield running, clocks
    clocks.close()


@pytest.fixture
def timed(process_with_clocks: tuple[Preloaded, Clocks]) -> tuple[Preloaded, Clocks]:
    """Return the command without its start-up time, and its clocks, which a test can move."""
    process_with_clocks[1].reset(0.0)
    return process_with_clocks
