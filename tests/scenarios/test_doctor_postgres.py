"""`doctor` of a ledger in PostgreSQL: a line for each thing that a run needs of the database."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from batch_upload.app.checks import Verdict
from batch_upload.app.database_checks import connections_check, database_checks, database_clock_check, tls_check
from batch_upload.ledger import health_of_database
from batch_upload.ledger_address import PostgresUrl
from tests.support.batches import make_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres, running_standby
from tests.support.postgres_tls import guarded_postgres, make_server_certificate
from tests.support.preloaded import Preloaded


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    return postgres.new_database(request.node.name[:60])


def verdicts(result: Result) -> dict[str, str]:
    """Check → verdict, of the ledger alone."""
    return {line["check"]: line["verdict"] for line in result.of("check") if line["check"].startswith("ledger")}


def checked(url: str) -> dict[str, tuple[Verdict, str]]:
    return {check.name: (check.verdict, check.message) for check in database_checks(PostgresUrl(url, url))}


def test_a_database_is_checked_before_and_after_a_run(
    command: Preloaded, endpoint: Endpoint, url: str, tmp_path: Path
) -> None:
    batch, env = make_batch(tmp_path, 2), {**endpoint.env, "BATCH_UPLOAD_LEDGER": url}
    before = command.run("doctor", batch.manifest, "--json", cwd=tmp_path, env=env)
    command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=env)
    after = command.run("doctor", batch.manifest, "--json", cwd=tmp_path, env=env)

    names = ("tls", "durability", "standbys", "schema", "rights", "clock", "pooler", "connections")
    assert (before.code, after.code) == (0, 0), before.stderr + after.stderr
    assert verdicts(before) == {"ledger": "ok", **{f"ledger {name}": "ok" for name in names}}
    # the tests' user is a superuser, who may do anything
    assert verdicts(after) == {**verdicts(before), "ledger rights": "warn", "ledger lanes": "ok", "ledger lane": "ok"}
    said = {line["check"]: line["message"] for line in after.of("check")}
    assert f"`{url}`: PostgreSQL 1" in said["ledger"]
    assert said["ledger durability"] == "fsync on, full_page_writes on, synchronous_commit on"
    assert said["ledger pooler"].startswith("none")


def test_a_database_that_cannot_be_used_fails_with_the_exit_code_of_a_run(
    command: Preloaded, endpoint: Endpoint, url: str, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    for named, code, says in (
        ("postgresql://127.0.0.1:1/x", 10, "its server does not answer"),
        (f"{url}x", 24, "its server has no such database"),
        ("postgresql://db.internal/x?sslmode=require", 24, "is too weak"),
    ):
        ended = command.run("doctor", batch.manifest, "--ledger", named, "--json", cwd=tmp_path, env=endpoint.env)
        assert ended.code == code
        assert verdicts(ended) == {"ledger": "fail"}
        assert any(says in line["message"] for line in ended.of("check"))


@pytest.fixture(scope="module")
def unsafe() -> Iterator[PostgresServer]:
    with running_postgres(fsync="off", synchronous_commit="off", max_connections="12") as server:
        yield server


def test_a_server_that_may_lose_what_it_committed_fails(unsafe: PostgresServer) -> None:
    found = checked(unsafe.url())
    verdict, message = found["ledger durability"]
    assert verdict is Verdict.FAIL
    assert "`fsync` and `synchronous_commit` off" in message


def test_few_free_connections_are_a_warning(unsafe: PostgresServer) -> None:
    with open_connections(unsafe, 4):
        verdict, message = checked(unsafe.url())["ledger connections"]
    assert verdict is Verdict.WARN
    assert message.endswith("of 12 in use")


def test_a_standby_fails_and_one_that_does_not_hold_commits_up_is_a_warning() -> None:
    with running_postgres() as primary, running_standby(primary) as standby:
        verdict, message = checked(primary.url())["ledger standbys"]
        assert verdict is Verdict.WARN
        assert "1 standby, none synchronous" in message
        failed = checked(standby.url())["ledger"]
        assert failed[0] is Verdict.FAIL
        assert "it is a standby" in failed[1]
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        primary.wait_until("SELECT current_setting('synchronous_standby_names') = '*'")
        assert checked(primary.url())["ledger standbys"] == (Verdict.OK, "1 standby, commits wait for `*`")


def test_a_pooler_is_recognised(postgres: PostgresServer, url: str) -> None:
    with running_pgbouncer(postgres) as pooler:
        found = checked(pooler.url(url.rpartition("/")[2]))
    assert found["ledger"][0] is Verdict.OK
    assert "there is one" in found["ledger pooler"][1]


def test_tls_and_the_certificate_are_shown_and_one_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    made = make_server_certificate(tmp_path, "DNS:db.example.com")  # for two days
    with guarded_postgres(certificate=made) as server:
        url = f"postgresql://postgres@db.example.com:{server.port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full"
        verdict, message = checked(f"{url}&sslrootcert={made.certificate}")["ledger tls"]
    assert verdict is Verdict.WARN
    assert message.startswith("TLSv1.3, certificate of `Example database CA` until 20")


def test_a_clock_that_is_off_is_a_warning_and_a_slow_answer_is_none(url: str) -> None:
    found = health_of_database(PostgresUrl(url, url))
    assert tls_check(found).verdict is Verdict.OK
    assert connections_check(found).verdict is Verdict.OK
    for off_s, answer_s, verdict in ((3.0, 0.1, Verdict.WARN), (-3.0, 0.1, Verdict.WARN), (3.0, 4.0, Verdict.OK)):
        assert database_clock_check(replace(found, clock_off_s=off_s, answer_s=answer_s)).verdict is verdict


@contextmanager
def open_connections(server: PostgresServer, count: int) -> Iterator[None]:
    """Hold some connections open."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(psycopg.connect(server.url()))
        yield
