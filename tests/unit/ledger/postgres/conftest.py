"""A database of the test's own, in a server that all tests share."""

import re
from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    name = re.sub(r"\W+", "_", request.node.name)[-55:].strip("_")
    yield postgres.new_database(name)
    postgres.drop_database(name)
