"""Errors of a real server as sentences: what passes, and what needs a person."""

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from batch_upload.errors import ExitCode, LedgerUnusable
from batch_upload.ledger.postgres.certificates import certificate_of
from batch_upload.ledger.postgres.faults import database_fault_of, unusable
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger_address import PostgresUrl
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.postgres_tls import WITH_PASSWORD, guarded_postgres, make_server_certificate

SECRET = "canary-91bc"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    rules = ("host all few,nologin 127.0.0.1/32 trust", "host all outside 127.0.0.1/32 reject", WITH_PASSWORD)
    with guarded_postgres(*rules, max_connections="12") as made:
        made.execute(f"CREATE ROLE ann LOGIN PASSWORD '{SECRET}'")
        made.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
        made.execute("CREATE ROLE nologin")
        made.execute("CREATE ROLE outside LOGIN")
        made.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        made.execute("CREATE DATABASE private")
        made.execute("REVOKE CONNECT ON DATABASE private FROM public")
        made.execute("CREATE TABLE theirs (n integer)")
        yield made


def refused(url: str, *, writes: bool = True) -> tuple[str, LedgerUnusable]:
    """Return the kind of fault of a connection that fails, and our error for it."""
    shown = url.replace(SECRET, "***")
    parameters = parameters_of(PostgresUrl(shown, url), writes=writes)
    with pytest.raises(psycopg.Error) as error:
        psycopg.connect(**parameters.keywords()).close()
    return database_fault_of(error.value).name, unusable(error.value, shown=shown, parameters=parameters)


@pytest.mark.parametrize(
    ("who", "where", "fault"),
    [
        (f"ann:not-{SECRET}", "postgres", "password"),
        ("ann", "postgres", "no password"),
        ("bob:word", "postgres", "password"),
        ("outside", "postgres", "no access"),
        ("nologin", "postgres", "no access"),
        ("few", "private", "no access"),
        ("postgres", "closed", "no access"),
        ("postgres", "nowhere", "no such database"),
    ],
)
def test_a_refusal_needs_a_person_and_shows_no_password(
    server: PostgresServer, who: str, where: str, fault: str
) -> None:
    kind, error = refused(f"postgresql://{who}@127.0.0.1:{server.port}/{where}")
    assert kind == fault
    assert error.exit_code is ExitCode.LEDGER
    assert error.hint
    assert SECRET not in f"{error.message} {error.hint}"
    assert "connection to server" not in error.message


def test_a_server_without_a_free_connection_is_tried_again_later(server: PostgresServer) -> None:
    with psycopg.connect(server.url(user="few")):
        kind, error = refused(server.url(user="few"))
    assert (kind, error.exit_code) == ("too many connections", ExitCode.TRANSIENT)
    kind = ""
    with ExitStack() as held:
        try:
            for _ in range(99):
                held.enter_context(psycopg.connect(server.url()))
        except psycopg.Error as full:
            kind = database_fault_of(full).name
    assert kind == "too many connections"


def test_a_server_without_tls_cannot_be_used_where_tls_is_demanded(server: PostgresServer) -> None:
    kind, error = refused(f"{server.url()}?sslmode=verify-full&sslrootcert=system")
    assert (kind, error.exit_code) == ("no TLS", ExitCode.LEDGER)


@pytest.mark.parametrize(
    ("url", "fault", "code"),
    [
        ("postgresql://ann@db.invalid/uploads", "no such host", ExitCode.LEDGER),
        ("postgresql://ann@127.0.0.1:1/uploads", "unreached", ExitCode.TRANSIENT),
        ("postgresql://ann@127.0.0.1:1,127.0.0.1:2/uploads", "unreached", ExitCode.TRANSIENT),
        ("postgresql://ann@/uploads?host=/nowhere", "unreached", ExitCode.TRANSIENT),
        ("postgresql:///uploads?service=nowhere", "service", ExitCode.LEDGER),
    ],
)
def test_a_server_that_cannot_be_reached(url: str, fault: str, code: ExitCode) -> None:
    kind, error = refused(url)
    assert (kind, error.exit_code) == (fault, code)
    assert "\n" not in error.message


def test_one_that_says_nothing_is_given_up_and_tried_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kind, error = refused(f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/uploads?connect_timeout=2")
    assert (kind, error.exit_code) == ("unreached", ExitCode.TRANSIENT)


def test_of_several_servers_one_that_may_come_back_decides(server: PostgresServer) -> None:
    kind, error = refused(f"postgresql://postgres@127.0.0.1:{server.port},127.0.0.1:1/nowhere")
    assert (kind, error.exit_code) == ("unreached", ExitCode.TRANSIENT)


def test_a_standby_takes_no_writes_and_can_be_read() -> None:
    with running_postgres() as server:
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        kind, error = refused(server.url())
        assert (kind, error.exit_code) == ("standby", ExitCode.LEDGER)
        reading = parameters_of(PostgresUrl(server.url(), server.url()), writes=False)
        with psycopg.connect(**reading.keywords()) as connection, pytest.raises(psycopg.Error) as written:
            connection.execute("CREATE TABLE mine (n integer)")
        assert database_fault_of(written.value).name == "standby"


def test_a_server_that_is_about_to_stop_is_tried_again_later() -> None:
    with running_postgres() as server, psycopg.connect(server.url()):
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)  # the server waits for the connection that is open
        while can_connect(server):
            pass
        kind, error = refused(server.url())
        assert (kind, error.exit_code) == ("starting or stopping", ExitCode.TRANSIENT)


def can_connect(server: PostgresServer) -> bool:
    try:
        psycopg.connect(server.url()).close()
    except psycopg.Error:
        return False
    return True


@pytest.mark.parametrize(
    ("statement", "fault", "code"),
    [
        ("SELECT * FROM theirs", "no rights", ExitCode.LEDGER),
        ("SET LOCAL statement_timeout = 50; SELECT pg_sleep(9)", "time limit", ExitCode.TRANSIENT),
        ("SELECT * FROM none", "damaged", ExitCode.LEDGER),
        ("SET TRANSACTION READ ONLY; CREATE TABLE t ()", "standby", ExitCode.LEDGER),
    ],
)
def test_an_error_of_a_statement_is_known_by_its_sqlstate(
    server: PostgresServer, statement: str, fault: str, code: ExitCode
) -> None:
    with psycopg.connect(server.url(user="few")) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(statement.encode())
    assert database_fault_of(error.value).name == fault
    assert unusable(error.value, shown="uploads").exit_code is code


def test_a_connection_that_the_server_ends_is_tried_again_later(server: PostgresServer) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        server.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(psycopg.Error) as error:
            connection.execute("SELECT 1")
        assert database_fault_of(error.value).name == "starting or stopping"
        with pytest.raises(psycopg.Error) as lost:
            connection.execute("SELECT 1")
        assert database_fault_of(lost.value).name == "unreached"


def test_a_certificate_that_is_not_trusted_or_of_another_name_is_a_permanent_fault(tmp_path: Path) -> None:
    made = make_server_certificate(tmp_path, "DNS:db.example.com")
    with guarded_postgres(WITH_PASSWORD, certificate=made) as server:
        base = f"postgresql://postgres@db.example.com:{server.port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full"
        kind, error = refused(f"{base}&sslrootcert=/etc/ssl/certs/ca-certificates.crt")
        assert (kind, error.exit_code) == ("certificate", ExitCode.LEDGER)
        assert "self-signed certificate" in error.message
        trusted = f"{base}&sslrootcert={made.certificate}"
        kind, error = refused(trusted.replace("db.example.com", "other.example.com"))
        assert (kind, error.exit_code) == ("certificate", ExitCode.LEDGER)
        assert "other.example.com" in error.message
        kind, error = refused(f"{base}&sslrootcert={tmp_path}/none.pem")
        assert (kind, error.exit_code) == ("certificates", ExitCode.LEDGER)
        parameters = parameters_of(PostgresUrl(trusted, trusted))
        with psycopg.connect(**parameters.keywords()) as connection:
            assert connection.pgconn.ssl_in_use
        found = certificate_of(parameters)
        assert found is not None
        assert found.issuer == "Example database CA"


def test_a_certificate_that_is_out_of_date_is_said_so(tmp_path: Path) -> None:
    made = make_server_certificate(tmp_path, "DNS:db.example.com", days=("20200101000000Z", "20200201000000Z"))
    with guarded_postgres(certificate=made) as server:
        url = f"postgresql://postgres@db.example.com:{server.port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full"
        kind, error = refused(f"{url}&sslrootcert={made.certificate}")
    assert (kind, error.exit_code) == ("certificate", ExitCode.LEDGER)
    assert "expired" in error.message
