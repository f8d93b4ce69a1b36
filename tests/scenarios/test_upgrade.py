"""From an earlier program to this one: what is said of versions is so, and a ledger of every schema is gone on with."""

import hashlib
import re
import sqlite3
import tomllib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest

from batch_upload.ledger import postgres as postgres_ledger
from batch_upload.ledger.postgres import schema as postgres_schema
from batch_upload.ledger.postgres.connection import connect
from batch_upload.ledger.postgres.migrations import migrate
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger.sqlite import migrations as sqlite_migrations
from batch_upload.ledger.sqlite import schema as sqlite_schema
from batch_upload.ledger_address import PostgresUrl, ledger_address
from batch_upload.manifest.schema import ManifestModel
from batch_upload.summary import EVENT_SCHEMA_VERSION
from tests.crash.make_ledgers import AT, KEPT
from tests.support.batches import make_batch
from tests.support.emulator_process import ROOT
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
BEFORE_THE_FIRST = "0.1.0"
STEPS = {
    "1.0.0": (
        "ceb911734d5f1479c42ff0c0ba8b8b1d461bf9ae6fc7d8a69016af23972126c5",
        "9b84ce4299416359a858d8e1f1c6fe348b441ff7a3d8f7f478a9db522aec62b7",
    ),
}
"""SHA-256 of the steps that each release takes: in SQLite, and in PostgreSQL."""
KEPT_AS = {1: 6, 2: 8, 3: 9, 4: 10}
"""The schema of SQLite that the same program had, by the schema of PostgreSQL."""
TABLES = ("lane", "target", "run", "item", "attempt", "outcome", "bind_attempt", "bind_outcome", "rate", "stranger")
"""In an order in which each row finds those that it refers to."""
_ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _releases() -> dict[str, list[str]]:
    """Return what docs/ledger.md says of each release, in order: both schemas, the lines of `--json`, the manifest."""
    page = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    return {version: cells for version, *cells in _ROW.findall(page.partition("\n## Versions\n")[2])}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_last_release_of_the_table_is_this_version_with_the_schemas_that_it_writes() -> None:
    (manifest,) = get_args(ManifestModel.model_fields["version"].annotation)
    written = (
        sqlite_migrations.SCHEMA_VERSION,
        postgres_ledger.SCHEMA_VERSION,
        EVENT_SCHEMA_VERSION,
        manifest,
    )

    assert list(_releases().items())[-1] == (VERSION, [str(schema) for schema in written])


def test_versions_rise_and_every_release_writes_one_schema_that_is_no_older_than_the_one_before() -> None:
    released = {version: cells for version, cells in _releases().items() if version != BEFORE_THE_FIRST}
    schemas = [[int(cell) for cell in cells] for cells in released.values()]

    assert sorted(_releases(), key=_numbers) == list(_releases())
    assert all(list(column) == sorted(column) for column in zip(*schemas, strict=True))


def test_the_steps_of_a_release_are_never_changed() -> None:
    for version, (in_sqlite, in_postgres, *_) in _releases().items():
        if version != BEFORE_THE_FIRST:
            steps = (sqlite_schema.MIGRATIONS[: int(in_sqlite)], postgres_schema.MIGRATIONS[: int(in_postgres)])
            assert tuple(map(_digest, steps)) == STEPS[version], version


def _digest(steps: Sequence[Sequence[str]]) -> str:
    """Return a digest of statements, however their lines are broken."""
    statements = (" ".join(statement.split()) for step in steps for statement in (*step, ""))
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()


def test_the_changes_begin_with_this_version_behind_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} – \d{{4}}-\d\d-\d\d", headings[1])


def test_images_in_the_files_to_deploy_and_in_the_pages_have_this_version() -> None:
    pages = [*(ROOT / "deploy").rglob("*"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
    tags = [tag for text in texts for tag in re.findall(r"example\.com/batch-upload[\w-]*:([\w.-]+)", text)]

    assert len(tags) >= 5
    assert set(tags) == {VERSION}


@pytest.mark.parametrize("schema", KEPT_AS)
def test_a_ledger_in_postgresql_of_a_past_schema_is_read_as_it_is_and_gone_on_with(
    command: Preloaded, endpoint: Endpoint, postgres: PostgresServer, tmp_path: Path, schema: int
) -> None:
    url = postgres.new_database(f"past-{schema}")
    account = _fill(url, schema)
    batch = make_batch(tmp_path, 3)
    endpoint.change(account=account)
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": url}
    newest = "SELECT max(version) FROM migration"

    told = [
        command.run(*words, "--json", cwd=tmp_path, env=env)
        for words in (
            ("status", "june.yaml"),
            ("why", "june.yaml", "files/001.png"),
            ("report", "june.yaml", "-o", "r.csv"),
        )
    ]
    planned = command.run("plan", batch.manifest, "--offline", "--json", cwd=tmp_path, env=env)
    as_it_was = postgres.execute(newest, f"past-{schema}")
    ended = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=env)

    assert [each.code for each in (*told, planned)] == [0] * 4, [each.stderr for each in told]
    assert told[0].states == {"complete": 1, "sending": 1, "pending": 1}
    assert as_it_was == [(schema,)]
    assert (ended.code, ended.states) == (0, {"complete": 3}), ended.stderr
    assert endpoint.stats().creates == 2, "what the past program had uploaded is not sent again"
    assert postgres.execute(newest, f"past-{schema}") == [(postgres_ledger.SCHEMA_VERSION,)]


def _fill(url: str, schema: int) -> str:
    """Make a ledger as the program of this schema left it, with the rows of the file that is kept of it.

    Returns its account.
    """
    address = ledger_address(url)
    assert isinstance(address, PostgresUrl)
    with (
        connect(parameters_of(address)) as raw,
        closing(sqlite3.connect(KEPT / f"version-{KEPT_AS[schema]}.ledger")) as kept,
    ):
        kept.row_factory = sqlite3.Row
        migrate(raw, shown="ledger", at=AT, steps=postgres_schema.MIGRATIONS[:schema])
        for table in TABLES:
            _copy(kept, raw, table)
        return str(kept.execute("SELECT account FROM lane").fetchone()[0])


def _copy(kept: sqlite3.Connection, raw: psycopg.Connection[Any], table: str) -> None:
    """Copy the rows of a table, in the columns that both have, and let new rows be numbered behind them."""
    shape = "SELECT column_name, data_type, is_identity FROM information_schema.columns WHERE table_name = %s"
    types = {name: (kind, identity) for name, kind, identity in raw.execute(shape, [table]).fetchall()}
    if not types:  # of a later schema
        return
    for row in kept.execute(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
        shared = [name for name in row.keys() if name in types]  # noqa: SIM118 - a row is no dict
        values = ", ".join(f"CAST(CAST(%s AS text) AS {types[name][0]})" for name in shared)
        statement = f"INSERT INTO {table} ({', '.join(shared)}) VALUES ({values})"  # noqa: S608 - our own names
        raw.execute(statement.encode(), [None if row[name] is None else str(row[name]) for name in shared])
    for name in (name for name, (_, identity) in types.items() if identity == "YES"):
        last = f"SELECT setval(pg_get_serial_sequence('{table}', '{name}'), greatest(1, max({name}))) FROM {table}"  # noqa: S608
        raw.execute(last.encode())
