"""One driver for all tests of a session; each point has a site of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clocks import build_library
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.fleet_history import SETTINGS
from tests.support.kill_ground import Ground, kill_ground
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.preloaded import Preloaded, preloaded
from tests.support.preloading import share_models

share_models()  # a world in virtual time spends a third of its real time on reading them


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with kill_ground() as found:
        yield found


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of shifted clocks, compiled once."""
    return build_library(tmp_path_factory.mktemp("clocks"))


@pytest.fixture(scope="session")
def witnessed() -> Iterator[PostgresServer]:
    """A server whose databases can be witnessed. Never stop it."""
    with running_postgres(**SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    with running_emulator() as process:
        yield process


@pytest.fixture(scope="session")
def command() -> Iterator[Preloaded]:
    """The command without its start-up time."""
    with preloaded() as running:
        yield running
