"""The wire that tests cut: what passes, what does not, and which side hears of it, with a real PostgreSQL behind it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg
import pytest

from tests.support.postgres import PostgresServer, running_postgres
from tests.support.tcp_proxy import Message, TcpProxy, commit_asked, commit_done, running_proxy

TIMEOUT = "5"
GONE = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {})"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        found.execute("CREATE TABLE noted (what text)")
        yield found


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[TcpProxy]:
    server.execute("TRUNCATE noted")
    with running_proxy(server.port) as found:
        yield found


@contextmanager
def through(proxy: TcpProxy, *, timeout: str = TIMEOUT) -> Iterator["psycopg.Connection[tuple[str]]"]:
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?connect_timeout={timeout}"
    connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.close()


def note(proxy: TcpProxy, what: str) -> None:
    """Note it in a transaction through the proxy. Raises psycopg.OperationalError where the wire is cut."""
    with through(proxy) as connection:
        connection.execute("INSERT INTO noted VALUES (%s)", [what])
        connection.commit()


def noted(server: PostgresServer) -> list[str]:
    # waits for a transaction whose client is gone and which the server still carries out
    with psycopg.connect(server.url()) as connection:
        connection.execute("LOCK noted IN ACCESS EXCLUSIVE MODE")
        return [what for (what,) in connection.execute("SELECT what FROM noted ORDER BY what").fetchall()]


def test_what_is_not_cut_passes(server: PostgresServer, proxy: TcpProxy) -> None:
    note(proxy, "x" * 300_000)

    assert [len(each) for each in noted(server)] == [300_000]
    assert (proxy.accepted, proxy.cuts) == (1, 0)


def test_cut_before_the_commit_passes_nothing_is_committed(server: PostgresServer, proxy: TcpProxy) -> None:
    proxy.cut_before(commit_asked)

    with pytest.raises(psycopg.OperationalError):
        note(proxy, "lost")

    assert (noted(server), proxy.cuts) == ([], 1)


def test_cut_before_the_answer_to_the_commit_passes_it_is_committed(server: PostgresServer, proxy: TcpProxy) -> None:
    proxy.cut_before(commit_done)

    with pytest.raises(psycopg.OperationalError):
        note(proxy, "kept")

    assert (noted(server), proxy.cuts) == (["kept"], 1)


def test_cut_right_after_the_commit_passed_the_server_carries_it_out(server: PostgresServer, proxy: TcpProxy) -> None:
    proxy.cut_after(commit_asked)

    with pytest.raises(psycopg.OperationalError):
        note(proxy, "kept")

    assert (noted(server), proxy.cuts) == (["kept"], 1)


def test_a_cut_counts_by_itself_which_message_it_is(server: PostgresServer, proxy: TcpProxy) -> None:
    seen: list[Message] = []

    def second(message: Message) -> bool:
        if commit_asked(message):
            seen.append(message)
        return len(seen) == 2

    proxy.cut_before(second)
    note(proxy, "first")
    with pytest.raises(psycopg.OperationalError):
        note(proxy, "second")
    proxy.spare()
    note(proxy, "third")

    assert noted(server) == ["first", "third"]


def test_held_nothing_passes_until_it_is_released(server: PostgresServer, proxy: TcpProxy) -> None:
    with ThreadPoolExecutor() as others:
        proxy.hold()
        held = others.submit(note, proxy, "held")
        before = noted(server)
        proxy.release()
        held.result()

    assert (before, noted(server)) == ([], ["held"])


def test_refused_no_connection_is_made_until_it_admits(server: PostgresServer, proxy: TcpProxy) -> None:
    with through(proxy) as connection:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        note(proxy, "refused")
    proxy.admit()
    note(proxy, "admitted")

    assert noted(server) == ["admitted"]


def test_cut_from_the_server_the_client_never_hears_of_it(server: PostgresServer, proxy: TcpProxy) -> None:
    with through(proxy) as connection:
        [(backend,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        proxy.cut_from_server()
        server.wait_until(GONE.format(backend))

        assert connection.pgconn.status == psycopg.pq.ConnStatus.OK
        connection.pgconn.send_query(b"SELECT 1")
        assert connection.pgconn.is_busy()

    note(proxy, "new")
    assert noted(server) == ["new"]


def test_a_lost_wire_is_silent_on_both_sides(server: PostgresServer, proxy: TcpProxy) -> None:
    with through(proxy) as connection:
        [(backend,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        proxy.lose()
        connection.pgconn.send_query(b"SELECT 1")
        note(proxy, "new")

        assert connection.pgconn.is_busy()
        assert server.execute(GONE.format(backend)) == [(False,)]

    assert noted(server) == ["new"]


def test_what_stands_behind_may_change(server: PostgresServer, proxy: TcpProxy) -> None:
    with running_postgres() as other:
        other.execute("CREATE TABLE noted (what text)")
        proxy.target = other.port
        note(proxy, "there")

        assert (noted(server), noted(other)) == ([], ["there"])
