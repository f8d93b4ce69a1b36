"""One driver for all tests of a session; each point has a site of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clocks import build_library
from tests.support.kill_ground import Ground, kill_ground
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
