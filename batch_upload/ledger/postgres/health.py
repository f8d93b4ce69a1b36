"""What `doctor` looks at in a database: it changes nothing, and takes no lock that a run waits for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic

from batch_upload.ledger.postgres.certificates import certificate_of
from batch_upload.ledger.postgres.connection import Raw, connect, database_errors
from batch_upload.ledger.postgres.migrations import POSTGRES_NEEDED, SCHEMA_VERSION, schema_version
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger_address import PostgresUrl
from batch_upload.records import DatabaseHealth

_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "server_encoding")
_NEEDED: Mapping[str, str] = {
    **dict.fromkeys(("lane", "target", "run", "item", "rate", "field_definition"), "SELECT, INSERT, UPDATE"),
    **dict.fromkeys(("attempt", "outcome", "bind_attempt", "bind_outcome"), "SELECT, INSERT"),
    "stranger": "SELECT, INSERT, UPDATE, DELETE",
    "migration": "SELECT",
}
"""The rights of a run on each table (deploy/postgres/roles.sql)."""
_HISTORY = ("attempt", "outcome", "bind_attempt", "bind_outcome")


def health_of(url: PostgresUrl) -> DatabaseHealth:
    """Return how a database is. Raises LedgerUnusable where it cannot be reached or is not a ledger, and UsageError."""
    parameters = parameters_of(url, writes=False)
    with database_errors(parameters), connect(parameters) as raw:
        began_s, before = monotonic(), datetime.now(UTC)
        [(at, version, number, is_standby, pid, role)] = raw.execute(
            "SELECT clock_timestamp(), current_setting('server_version'), current_setting('server_version_num')::int,"
            " pg_is_in_recovery(), pg_backend_pid(), current_user::text"
        ).fetchall()
        answer_s, after = monotonic() - began_s, datetime.now(UTC)
        settings: dict[str, str] = dict(
            raw.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)])
        )
        [(standbys,)] = raw.execute("SELECT count(*) FROM pg_stat_replication").fetchall()
        [(connections, connections_max)] = raw.execute(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'"
        ).fetchall()
        schema = schema_version(raw, shown=parameters.shown)
        missing, excess = _rights(raw) if schema else ([], [])
        has_tls = raw.pgconn.ssl_in_use
        return DatabaseHealth(
            version=version.split()[0],
            number=number,
            answer_s=answer_s,
            tls=_tls_of(raw) if has_tls else None,
            certificate=certificate_of(parameters) if has_tls else None,
            settings=settings,
            is_standby=is_standby,
            standbys=standbys,
            schema=schema,
            newest_schema=SCHEMA_VERSION,
            needed=POSTGRES_NEEDED * 10_000,
            role=role,
            may_migrate=_may_migrate(raw),
            missing_rights=missing,
            excess_rights=excess,
            clock_off_s=(at - before - (after - before) / 2).total_seconds(),
            # a pooler gives out a number of its own
            has_pooler=raw.info.backend_pid != pid,
            connections=connections,
            connections_max=connections_max,
        )


def _tls_of(raw: Raw) -> str:
    rows = raw.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchall()
    return str(rows[0][0]) if rows and rows[0][0] else "TLS"


def _may_migrate(raw: Raw) -> bool:
    """Return whether the role owns the tables, or may make them where there are none."""
    rows = raw.execute(
        "SELECT coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('migration')),"
        " has_schema_privilege(current_schema(), 'CREATE'))"
    ).fetchall()
    return bool(rows[0][0])


def _rights(raw: Raw) -> tuple[list[str], list[str]]:
    """Return the rights that a run lacks, and those by which it could change what happened."""
    rows = raw.execute(
        "SELECT name, wanted, has_table_privilege(name, wanted) FROM unnest(%s::text[], %s::text[]) AS n (name, wanted)"
        " WHERE to_regclass(name) IS NOT NULL",
        [
            [name for name, rights in _NEEDED.items() for _ in rights.split(", ")]
            + [name for name in _HISTORY for _ in range(3)],
            [right for rights in _NEEDED.values() for right in rights.split(", ")]
            + [right for _ in _HISTORY for right in ("UPDATE", "DELETE", "TRUNCATE")],
        ],
    ).fetchall()
    missing = [f"{right} on {name}" for name, right, has in rows if right in _NEEDED[name].split(", ") and not has]
    excess = [f"{right} on {name}" for name, right, has in rows if right not in _NEEDED[name].split(", ") and has]
    return missing, excess
