"""Several programs that make the tables of a new database at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import psycopg

from batch_upload.ledger.postgres.migrations import SCHEMA_VERSION, migrate, schema_version
from tests.support.postgres import PostgresServer

PROGRAMS = 8
DATABASES = 5


def test_each_of_them_finds_or_makes_the_ledger(postgres: PostgresServer) -> None:
    at, begin = datetime(2026, 11, 27, tzinfo=UTC), Barrier(PROGRAMS)

    def open_and_migrate(url: str) -> int:
        with psycopg.connect(url, autocommit=True) as raw:
            begin.wait()
            migrate(raw, shown="x", at=at)
            return schema_version(raw, shown="x")

    for number in range(DATABASES):
        url = postgres.new_database(f"at_once_{number}")
        with ThreadPoolExecutor(PROGRAMS) as threads:
            versions = list(threads.map(open_and_migrate, [url] * PROGRAMS))

        assert versions == [SCHEMA_VERSION] * PROGRAMS
