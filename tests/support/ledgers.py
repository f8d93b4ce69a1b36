"""Empty ledgers for tests of what every ledger does: files, or databases of one PostgreSQL server."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from batch_upload.ledger.tables import METADATA
from batch_upload.ledger_address import LedgerAddress, ledger_address
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import PostgresServer


class Ledgers(ABC):
    """Where ledgers of one kind are made."""

    kind: str

    @abstractmethod
    def one(self) -> AbstractContextManager[LedgerAddress]:
        """Lend the address of a ledger that nothing was written to yet. No process uses it afterwards."""


class SqliteLedgers(Ledgers):
    kind = "sqlite"

    @contextmanager
    def one(self) -> Iterator[LedgerAddress]:
        with TemporaryDirectory() as folder:
            yield Path(folder) / "june.ledger"


class PostgresLedgers(Ledgers):
    """A database is emptied and lent again: that takes 5 ms, to make one 0.3 s, and to drop one, with its checkpoint,
    more than a second."""

    kind = "postgres"

    def __init__(self, server: PostgresServer, pooler: PgBouncer | None = None) -> None:
        self._server = server
        self._pooler = pooler
        self._made = 0
        self._free: list[str] = []

    @contextmanager
    def one(self) -> Iterator[LedgerAddress]:
        name = self._free.pop() if self._free else self._new()
        try:
            yield ledger_address((self._pooler or self._server).url(name))
        finally:
            self._empty(name)
            self._free.append(name)

    def _new(self) -> str:
        self._made += 1
        self._server.new_database(f"ledger_{self._made}")
        return f"ledger_{self._made}"

    def _empty(self, name: str) -> None:
        """Remove every row, also those that are never changed, and count from 1 again."""
        with psycopg.connect(self._server.url(name), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if connection.execute("SELECT to_regclass('migration')").fetchone() == (None,):
                return
            numbers = connection.execute("SELECT sequencename FROM pg_sequences").fetchall()
            with connection.transaction():
                connection.execute("SET LOCAL session_replication_role = replica")  # no triggers
                for table in METADATA.tables.keys() - {"migration", "digest"}:
                    connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - our own names
                for (number,) in numbers:
                    connection.execute(f"ALTER SEQUENCE {number} RESTART".encode())
