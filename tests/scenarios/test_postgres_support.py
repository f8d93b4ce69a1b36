"""The servers that tests of a shared ledger need: a standby that lags, its promotion, and pgbouncer."""

import psycopg

from tests.support.pgbouncer import POOL, running_pgbouncer
from tests.support.postgres import running_postgres, running_standby

NOTED = "SELECT what FROM noted ORDER BY what"
TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


def test_a_standby_that_was_cut_off_loses_what_came_later_when_it_is_promoted() -> None:
    with running_postgres() as primary:
        primary.execute("CREATE TABLE noted (what text)")
        with running_standby(primary) as standby:
            primary.execute("INSERT INTO noted VALUES ('copied')")
            primary.wait_for(standby)
            standby.stop_following()
            primary.execute("INSERT INTO noted VALUES ('lost')")
            before = primary.execute(TIMELINE)
            primary.crash()
            standby.promote()
            standby.execute("INSERT INTO noted VALUES ('new')")

            assert standby.execute(NOTED) == [("copied",), ("new",)]
            assert before != standby.execute(TIMELINE)


def test_a_crashed_server_is_started_with_all_that_it_had_committed() -> None:
    with running_postgres() as server:
        server.execute("CREATE TABLE noted (what text)")
        server.execute("INSERT INTO noted VALUES ('kept')")
        server.crash()
        server.start()

        assert server.execute(NOTED) == [("kept",)]


def test_behind_pgbouncer_clients_share_the_connections_of_a_few_backends() -> None:
    with running_postgres() as server, running_pgbouncer(server) as pool:
        clients = [psycopg.connect(pool.url("postgres"), prepare_threshold=None) for _ in range(2 * POOL)]
        for client in clients:
            client.execute("SELECT 1")
            client.commit()
        backends = server.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        for client in clients:
            client.close()

    assert backends <= [(POOL + 1,)]
