"""Checks of `doctor` of a ledger in PostgreSQL: the server, the way to it, the role, and who holds the lanes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from batch_upload.app.checks import LEDGER_CHECK, RIGHTS, SCHEMA, Check, not_ok, ok, warned
from batch_upload.errors import BatchUploadError, ExitCode
from batch_upload.ledger import find_reader, health_of_database
from batch_upload.ledger_address import PostgresUrl
from batch_upload.records import DatabaseHealth
from batch_upload.words import count_words, holder_words

DATABASE_TLS, DURABILITY, STANDBYS, DATABASE_CLOCK, POOLER, CONNECTIONS, LANES = (
    f"ledger {each}" for each in ("tls", "durability", "standbys", "clock", "pooler", "connections", "lanes")
)
CLOCK_OFF_S = 2.0
"""Far below the margin of a lease (10 s), and above what an answer over a slow line takes."""
CONNECTIONS_FREE = 10
"""A worker has 2 for the ledger and 4 for the queue."""
CERTIFICATE_ENDS = timedelta(days=14)


def database_checks(address: PostgresUrl) -> Iterator[Check]:
    """Check the database of a ledger. Raises nothing for what is wrong with it."""
    try:
        found = health_of_database(address)
    except BatchUploadError as error:
        yield not_ok(LEDGER_CHECK, error.exit_code, error.message, error.hint)
        return
    yield server_check(address, found)
    for check in (
        tls_check,
        durability_check,
        standbys_check,
        database_schema_check,
        role_check,
        database_clock_check,
        pooler_check,
    ):
        yield check(found)
    yield connections_check(found)
    if found.schema:
        yield lanes_check(address)


def server_check(address: PostgresUrl, found: DatabaseHealth) -> Check:
    """Check what answers: its version and encoding, and whether it takes writes."""
    words = f"`{address}`: PostgreSQL {found.version}, answers in {found.answer_s * 1_000:.1f} ms"
    if found.number < found.needed:
        return not_ok(LEDGER_CHECK, ExitCode.LEDGER, f"{words}; a ledger needs {found.needed // 10_000} or newer")
    if found.settings.get("server_encoding") != "UTF8":
        hint = "make one with `createdb --encoding UTF8 --template template0`"
        return not_ok(LEDGER_CHECK, ExitCode.LEDGER, f"{words}; its encoding is not UTF8", hint)
    if found.is_standby:
        hint = "name the primary, or all servers: `postgresql://HOST1,HOST2/DATABASE`"
        return not_ok(LEDGER_CHECK, ExitCode.LEDGER, f"{words}; it is a standby, which takes no writes", hint)
    return ok(LEDGER_CHECK, words)


def tls_check(found: DatabaseHealth) -> Check:
    """Check how the connection is protected, and until when the certificate is good."""
    certificate = found.certificate
    if found.tls is None:
        return ok(DATABASE_TLS, "none: the server is reached on this machine")
    if certificate is None:
        return ok(DATABASE_TLS, found.tls)
    words = f"{found.tls}, certificate of `{certificate.issuer}` until {certificate.expires_at:%Y-%m-%d}"
    if certificate.expires_at - datetime.now(UTC) < CERTIFICATE_ENDS:
        return warned(DATABASE_TLS, words, "renew the server's certificate: without a valid one no run begins")
    return ok(DATABASE_TLS, words)


def durability_check(found: DatabaseHealth) -> Check:
    """Check that the server keeps what it has committed."""
    names = ("fsync", "full_page_writes", "synchronous_commit")
    off = [name for name in names if found.settings.get(name) == "off"]
    if off:
        listed = " and ".join(f"`{name}`" for name in off)
        message = f"{listed} off: a crash could lose what was recorded, and cause second uploads"
        return not_ok(DURABILITY, ExitCode.LEDGER, message, "turn it on")
    return ok(DURABILITY, ", ".join(f"{name} {found.settings.get(name)}" for name in names))


def standbys_check(found: DatabaseHealth) -> Check:
    """Check whether a failover could lose commits."""
    names = found.settings.get("synchronous_standby_names", "")
    if not found.standbys:
        return ok(STANDBYS, "none is connected")
    words = count_words(found.standbys, "standby") if found.standbys == 1 else f"{found.standbys} standbys"
    if names and found.settings.get("synchronous_commit") != "local":
        return ok(STANDBYS, f"{words}, commits wait for `{names}`")
    hint = "set `synchronous_standby_names`; after such a failover a run lists its lanes before it creates anything"
    return warned(STANDBYS, f"{words}, none synchronous: a failover may lose the last commits", hint)


def database_schema_check(found: DatabaseHealth) -> Check:
    """Check the version of the tables, and who makes or updates them."""
    hint = "run `batch-upload ledger migrate` as the owner of the tables (deploy/postgres/roles.sql)"
    if found.schema == found.newest_schema:
        return ok(SCHEMA, str(found.schema))
    words = f"{found.schema}; the next `upload` brings it to" if found.schema else "none yet; the first `upload` makes"
    if found.may_migrate:
        return ok(SCHEMA, f"{words} {found.newest_schema}")
    what = f"{found.schema}, a run needs {found.newest_schema}" if found.schema else "the database has no ledger yet"
    return not_ok(SCHEMA, ExitCode.LEDGER, f"{what}, and `{found.role}` may not make it", hint)


def role_check(found: DatabaseHealth) -> Check:
    """Check that the role may do what a run does, and cannot change what happened."""
    if found.missing_rights:
        missing = ", ".join(found.missing_rights[:3]) + (" and more" if len(found.missing_rights) > 3 else "")
        message = f"`{found.role}` lacks {missing}"
        return not_ok(RIGHTS, ExitCode.LEDGER, message, "upload as `batch_upload_worker` (deploy/postgres/roles.sql)")
    if found.excess_rights:
        message = f"`{found.role}` could change what happened"
        return warned(RIGHTS, message, "upload as `batch_upload_worker` (deploy/postgres/roles.sql)")
    return ok(RIGHTS, f"`{found.role}` may upload, and cannot change what happened")


def database_clock_check(found: DatabaseHealth) -> Check:
    """Compare the server's clock with this machine's. Only the server's decides about leases."""
    off_s = found.clock_off_s
    side = "ahead of" if off_s > 0 else "behind"
    if abs(off_s) - found.answer_s / 2 > CLOCK_OFF_S:
        hint = "let both follow NTP: leases go by the server's clock, the ledger's times by this machine's"
        return warned(DATABASE_CLOCK, f"the server's is {abs(off_s):.1f} s {side} this machine's", hint)
    return ok(DATABASE_CLOCK, f"within {max(abs(off_s), 0.001):.3f} s of this machine's")


def pooler_check(found: DatabaseHealth) -> Check:
    """Say whether a pooler answers in the server's place."""
    if found.has_pooler:
        return ok(POOLER, "there is one (pgbouncer, RDS Proxy): any mode will do for the ledger")
    return ok(POOLER, "none: the server is asked directly")


def connections_check(found: DatabaseHealth) -> Check:
    """Check that there are connections to spare."""
    free = found.connections_max - found.connections
    words = f"{found.connections} of {found.connections_max} in use"
    if free < CONNECTIONS_FREE:
        return warned(CONNECTIONS, words, "raise `max_connections`, or put pgbouncer in front: a worker takes up to 6")
    return ok(CONNECTIONS, words)


def lanes_check(address: PostgresUrl) -> Check:
    """Say which lanes are held, and by whom."""
    try:
        reader = find_reader(address)
        if reader is None:
            return ok(LANES, "none yet")
        with reader:
            holds = [each for each in reader.holds() if each.is_held]
    except BatchUploadError as error:
        return not_ok(LANES, error.exit_code, error.message, error.hint)
    if not holds:
        return ok(LANES, "free")
    first, others = holds[0], len(holds) - 1
    more = f", and {count_words(others, 'more lane')} held" if others else ""
    return ok(LANES, f"{first.lane} is held by another run: {holder_words(first.pid, first.host)}{more}")
