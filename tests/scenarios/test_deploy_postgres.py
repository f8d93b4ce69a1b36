"""`deploy/postgres/roles.sql` on a real server: each role does its work, and no more."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.support.batches import Batch, make_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer, program
from tests.support.postgres_tls import guarded_postgres
from tests.support.preloaded import Preloaded

ROLES = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"
EVERY_ROLE = "host all batch_upload_owner,batch_upload_worker,batch_upload_reader 127.0.0.1/32 trust"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """A database with the roles of `roles.sql`."""

    server: PostgresServer
    name: str

    def url(self, role: str) -> str:
        return self.server.url(self.name, f"batch_upload_{role}")

    def lay_roles(self) -> None:
        psql = [program("psql") or "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(ROLES)]
        subprocess.run([*psql, self.server.url(self.name)], check=True, capture_output=True, timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with guarded_postgres(EVERY_ROLE) as made:
        yield made


@pytest.fixture
def ledger(server: PostgresServer, request: pytest.FixtureRequest) -> Ledger:
    """A database of the test's own, with the roles."""
    name = request.node.name[:60]
    server.new_database(name)
    made = Ledger(server, name)
    made.lay_roles()
    return made


@pytest.fixture
def batch(ledger: Ledger, command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> Batch:
    """A batch that the worker has uploaded, to tables that the owner has made."""
    migrated = command.run("ledger", "migrate", ledger.url("owner"), cwd=tmp_path)
    assert migrated.code == 0, migrated.stderr
    ledger.lay_roles()
    made = make_batch(tmp_path, 2)
    ended = upload(command, made, ledger.url("worker"), endpoint)
    assert ended.code == 0, ended.stderr
    return made


def upload(command: Preloaded, batch: Batch, url: str, endpoint: Endpoint) -> Result:
    rate = ("--rate", "100")
    return command.run("upload", batch.manifest, *rate, "--ledger", url, "--json", cwd=batch.folder, env=endpoint.env)


def test_a_worker_is_told_who_makes_the_tables(
    ledger: Ledger, command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    made = make_batch(tmp_path, 1)
    ended = upload(command, made, ledger.url("worker"), endpoint)
    assert ended.code == 24
    assert "permission denied for schema public" in ended.stderr
    assert "`batch-upload ledger migrate`" in ended.stderr
    assert endpoint.attachments() == []


def test_the_worker_uploads_and_cannot_change_what_happened(ledger: Ledger, batch: Batch) -> None:
    with psycopg.connect(ledger.url("worker"), autocommit=True) as worker:
        for statement in (
            "UPDATE attempt SET number = 9",
            "DELETE FROM attempt",
            "UPDATE outcome SET kind = 'accepted'",
            "DELETE FROM outcome",
            "TRUNCATE outcome",
            "DELETE FROM item",
            "DELETE FROM run",
            "DELETE FROM lane",
            "INSERT INTO migration (version, program, applied_at) VALUES (99, 'x', '2026-01-01T00:00:00.000000Z')",
            "DROP TABLE attempt",
            "ALTER TABLE attempt DISABLE TRIGGER ALL",
            "CREATE TABLE mine (n integer)",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement.encode())
        limits = worker.execute(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        ).fetchone()
        # what tells a server that was promoted or replaced from the one of the last run
        told = worker.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert limits == ("10s", "5s")
    assert told


def test_the_reader_reads_and_writes_nothing(
    ledger: Ledger, command: Preloaded, endpoint: Endpoint, batch: Batch, tmp_path: Path
) -> None:
    reader = ledger.url("reader")
    status = command.run("status", batch.manifest, "--ledger", reader, "--json", cwd=tmp_path)
    alone = command.run("report", reader, cwd=tmp_path)
    refused = upload(command, batch, reader, endpoint)

    assert (status.code, status.states) == (0, {"complete": 2}), status.stderr
    assert (alone.code, len(alone.stdout.splitlines())) == (0, 3), alone.stderr
    assert refused.code == 24
    with psycopg.connect(reader, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE item SET state = 'complete'")


def test_the_roles_may_be_laid_again_and_take_away_what_was_added(ledger: Ledger, batch: Batch) -> None:
    ledger.server.execute("GRANT UPDATE, DELETE ON attempt TO batch_upload_worker, batch_upload_reader", ledger.name)
    ledger.lay_roles()
    rights = ledger.server.execute(
        "SELECT has_table_privilege('batch_upload_worker', 'attempt', 'UPDATE, DELETE')", ledger.name
    )
    assert rights == [(False,)]
    assert batch.ids
