"""A ledger in a PostgreSQL database: each verb as with a file, and no file beside the manifest."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.batches import make_batch
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer
from tests.support.postgres_tls import WITH_PASSWORD, guarded_postgres
from tests.support.preloaded import Preloaded


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    return postgres.new_database(request.node.name[:60])


def test_an_upload_is_recorded_in_the_database_and_not_repeated(
    command: Preloaded, endpoint: Endpoint, url: str, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": url}

    first = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=env)
    again = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=env)
    status = command.run("status", batch.manifest, "--json", cwd=tmp_path, env=env)
    report = command.run("report", batch.manifest, "--format", "csv", cwd=tmp_path, env=env)
    why = command.run("why", batch.manifest, batch.ids[0], cwd=tmp_path, env=env)

    assert (first.code, first.summary["uploaded"]) == (0, 3), first.stderr
    assert (again.code, again.summary["uploaded"], again.summary["unchanged"]) == (0, 0, 3), again.stderr
    assert (status.code, status.states) == (0, {"complete": 3}), status.stderr
    assert (report.code, len(report.stdout.splitlines())) == (0, 4), report.stderr
    assert why.code == 0, why.stderr
    assert len(endpoint.attachments()) == 3
    assert sorted(os.listdir(tmp_path)) == ["cache", "files", "june.yaml"]


def test_a_server_that_is_not_there_is_said_with_its_address(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)

    ended = command.run(
        "upload", batch.manifest, "--json", "--ledger", "postgresql://127.0.0.1:1/x", cwd=tmp_path, env=endpoint.env
    )

    assert ended.code == 10
    assert ended.summary["exit"]["retryable"]
    assert (
        "`postgresql://127.0.0.1:1/x` cannot be used: its server does not answer (Connection refused)" in ended.stderr
    )
    assert endpoint.attachments() == []


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("postgresql://db.internal/x?sslmode=require", 24, "`sslmode=require` is too weak"),
        ("postgresql://db.internal/x?sslmood=require", 2, "has `sslmood`, which cannot be used"),
        ("postgresql://db.invalid/x", 24, "its host is not known"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(
    command: Preloaded, endpoint: Endpoint, url: str, code: int, says: str, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    for verb in ("upload", "status"):
        ended = command.run(verb, batch.manifest, "--ledger", url, cwd=tmp_path, env=endpoint.env)
        assert ended.code == code
        assert says in ended.stderr


def test_no_password_is_in_any_output(
    command: Preloaded, endpoint: Endpoint, url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """A canary in the URL, in PGPASSWORD and in the file is in no line of output, log, metrics or ledger."""
    canary, batch = "canary-5d1e", make_batch(tmp_path, 2)
    named = url.replace("postgres@", f"postgres:{canary}@")
    for text, code in ((named, 0), (named.replace("127.0.0.1", "db.invalid"), 24), (f"{named}x", 24)):
        env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": text, "PGPASSWORD": f"{canary}-2"}
        outputs = ["--log-file", "run.log", "--metrics-file", "run.prom", "-v", "--json"]
        ended = command.run("upload", batch.manifest, *outputs, "--rate", "100", cwd=tmp_path, env=env)
        shown = command.run("doctor", batch.manifest, "-v", cwd=tmp_path, env=env)
        written = "".join((tmp_path / name).read_text() for name in ("run.log", "run.prom"))
        assert ended.code == code
        assert canary not in f"{ended.stdout}{ended.stderr}{shown.stdout}{shown.stderr}{written}"
    dump = postgres.execute("SELECT table_to_xml('run', true, false, '')::text", url.rpartition("/")[2])
    assert canary not in str(dump)


PASSWORD = "canary: 4\\b"
"""With what a password file and a URL must escape."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """A server that wants a password of `ann`."""
    with guarded_postgres(WITH_PASSWORD) as server:
        server.execute(f"CREATE ROLE ann LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        yield server


@pytest.mark.parametrize("way", ["PGPASSFILE", "PGPASSWORD", "PGSERVICE", "BATCH_UPLOAD_LEDGER"])
def test_the_password_is_found_where_libpq_looks_for_it(
    command: Preloaded, guarded: PostgresServer, way: str, tmp_path: Path
) -> None:
    passwords, services = tmp_path / "pgpass", tmp_path / "services"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passwords.write_text(f"127.0.0.1:{guarded.port}:postgres:ann:{escaped}\n")
    passwords.chmod(0o600)
    services.write_text(f"[ledger]\nhost=127.0.0.1\nport={guarded.port}\nuser=ann\npassword={PASSWORD}\n")
    url, batch = guarded.url(user="ann"), make_batch(tmp_path, 1)
    ways = {
        "PGPASSFILE": {"BATCH_UPLOAD_LEDGER": url, "PGPASSFILE": str(passwords)},
        "PGPASSWORD": {"BATCH_UPLOAD_LEDGER": url, "PGPASSWORD": PASSWORD},
        "PGSERVICE": {
            "BATCH_UPLOAD_LEDGER": "postgresql:///postgres",
            "PGSERVICE": "ledger",
            "PGSERVICEFILE": str(services),
        },
        "BATCH_UPLOAD_LEDGER": {"BATCH_UPLOAD_LEDGER": url.replace("ann@", f"ann:{quote(PASSWORD)}@")},
    }
    without = command.run("status", batch.manifest, cwd=tmp_path, env={"BATCH_UPLOAD_LEDGER": url})
    ended = command.run("status", batch.manifest, cwd=tmp_path, env=ways[way])

    assert without.code == 24
    assert "the database wants a password, and there is none" in without.stderr
    assert ended.code == 0, ended.stderr
    assert "canary" not in ended.stdout + ended.stderr
