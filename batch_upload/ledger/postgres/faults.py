"""Errors of the database as sentences: what happened, whether it passes (exit 10 or 24), and what to do.

Before a connection is made the server's text is all there is: libpq keeps its SQLSTATE to itself. A server that speaks
another language than English is quoted as it is, and its faults count as permanent.
"""

import re
from typing import NamedTuple

from batch_upload.errors import LedgerAway, LedgerUnusable
from batch_upload.ledger.postgres.certificates import wrong_with_certificate
from batch_upload.ledger.postgres.parameters import PostgresParameters

AGAIN = "then run the same command again"
STANDBY = "standby"


class DatabaseFault(NamedTuple):
    """One kind of error."""

    name: str
    words: str
    """What happened, behind the name of the ledger."""
    hint: str
    texts: tuple[str, ...] = ()
    """Regular expressions for what the server or libpq says while a connection is made."""
    states: tuple[str, ...] = ()
    """SQLSTATEs or their classes (PostgreSQL documentation, appendix A)."""


FOR_A_PERSON = (
    DatabaseFault(
        "certificate",
        "its server does not prove who it is",
        "`sslrootcert=FILE` in the URL names the certificates to trust: for RDS, the `global-bundle.pem` of AWS; "
        "if your company's proxy answers in its place, the database must be reached without it",
        (r"certificate verify failed", r"server certificate for .+ does not match host name"),
    ),
    DatabaseFault(
        "certificates",
        "the file of certificates to check its server with cannot be used",
        "`sslrootcert=FILE` in the URL names another",
        (r"root certificate (file|store)", r"could not (read|load) (root|certificate|private)"),
    ),
    DatabaseFault(
        "service",
        "libpq does not find the service that is named",
        "correct `PGSERVICE` or `service` of the URL, or name its file in `PGSERVICEFILE`",
        (r"definition of service", r"service file"),
    ),
    DatabaseFault(
        "no TLS",
        "its server has no TLS",
        "switch it on (`ssl = on`, with a certificate), or use a Unix socket",
        (r"server does not support SSL",),
    ),
    DatabaseFault(
        "not PostgreSQL",
        "what answers there is no PostgreSQL server",
        "check host and port",
        (r"invalid response to SSL negotiation", r"expected authentication request from server"),
    ),
    DatabaseFault("no such host", "its host is not known", "check the name of the host", (r"failed to resolve host",)),
    DatabaseFault(
        "password",
        "the database does not accept the password",
        "check `PGPASSFILE`; tokens of IAM need the role `rds_iam`, and a policy with `rds-db:connect`",
        (r"authentication failed for user",),
        ("28P01",),
    ),
    DatabaseFault(
        "no password",
        "the database wants a password, and there is none",
        "put it into `PGPASSFILE` (`chmod 600`) or the variable `BATCH_UPLOAD_LEDGER`",
        (r"no password supplied",),
    ),
    DatabaseFault(
        "no such database",
        "its server has no such database",
        "make it with `createdb`, or correct the URL",
        (r'database ".+" does not exist',),
        ("3D000",),
    ),
    DatabaseFault(
        "no access",
        "its server does not let this user in",
        "who runs the server must allow user, host and database (`pg_hba.conf`, `GRANT CONNECT`)",
        (
            r"no pg_hba\.conf entry",
            r"pg_hba\.conf rejects",
            r'role ".+" does not exist',
            r"not permitted to log in",
            r"permission denied for database",
            r"not currently accepting connections",
        ),
        ("28",),
    ),
    DatabaseFault(
        STANDBY,
        "its server takes no writes: it is a standby, or its transactions are read-only",
        "name the primary, or all servers, of which the primary is taken: `postgresql://HOST1,HOST2/DATABASE`",
        (r"session is read-only", r"server is in hot standby mode"),
        ("25006",),
    ),
    DatabaseFault(
        "no rights",
        "the user has not the rights that are needed",
        "`deploy/postgres/roles.sql` has the roles; to make or update the tables takes the owner's: "
        "`batch-upload ledger migrate`",
        (),
        ("42501",),
    ),
    DatabaseFault(
        "damaged", "a table or column is missing", "restore a backup, or use another database", (), ("42P01", "42703")
    ),
    DatabaseFault(
        "damaged pages",
        "the database is damaged",
        "restore a backup; `batch-upload reconcile` adds what is newer",
        (),
        ("XX001", "XX002", "58030"),
    ),
    DatabaseFault(
        "disk full", "its server has no room left", f"make room on the server's disk, {AGAIN}", (), ("53100",)
    ),
)
"""Kinds that end a run with exit 24: the same command fails again until somebody has done something."""
PASSING = (
    DatabaseFault(
        "DNS",
        "names of hosts cannot be looked up now",
        "run the same command again",
        (r"failed to resolve host .+(Errno -3\b|Temporary failure)",),
    ),
    DatabaseFault(
        "too many connections",
        "its server has no connection free",
        "run the same command again; fewer workers, a higher `max_connections` or pgbouncer make room",
        (
            r"too many (clients|connections)",
            r"remaining connection slots are reserved",
            r"no more connections allowed",
            r"query_wait_timeout",
        ),
        ("53300",),
    ),
    DatabaseFault(
        "starting or stopping",
        "its server starts up, shuts down or recovers",
        "run the same command again",
        (
            r"the database system is (starting up|shutting down|in recovery mode|not yet accepting connections)",
            r"the database system is not accepting connections",
        ),
        ("57P",),
    ),
    DatabaseFault(
        "time limit",
        "its server took too long",
        "run the same command again; `batch-upload doctor` looks for what holds it up",
        (),
        ("57014", "55P03", "25P03", "25P04", "40"),
    ),
    DatabaseFault(
        "short of memory", "its server has no memory to spare", "run the same command again", (), ("53200", "53000")
    ),
    DatabaseFault(
        "unreached",
        "its server does not answer",
        f"is it running, and may this host reach it? {AGAIN.capitalize()}",
        (
            r"Connection refused",
            r"timeout expired",
            r"timed out",
            r"No route to host",
            r"(Network|Host) is (unreachable|down)",
            r"server closed the connection unexpectedly",
            r"Connection reset by peer",
            r"could not (send|receive) data",
            r"SSL SYSCALL error",
            r"the connection is (lost|closed)",
            r"socket .+ failed: No such file",
            r"Broken pipe",
            r"couldn't get a connection after",
            r"pool initialization incomplete",
        ),
        ("08",),
    ),
)
"""Kinds that end a run with exit 10: the same command may do it later without anybody's help."""
UNKNOWN = DatabaseFault("unknown", "the database refuses", "see the server's log")
_KINDS = (*PASSING, *FOR_A_PERSON)
"""In the order in which they are tried: `DNS` before `no such host`."""
_TEXTS = [(fault, re.compile("|".join(fault.texts), re.IGNORECASE)) for fault in _KINDS if fault.texts]
_PREFIX = re.compile(
    r"^(- host: .+?, hostaddr: \S+: )?(connection (failed|is bad): )?"
    r"(connection to server (at|on) .+? failed: )?((FATAL|ERROR|PANIC): +)?"
)
"""What psycopg and libpq write before that which the server said."""


def database_fault_of(error: Exception) -> DatabaseFault:
    """Return which kind an error of psycopg is; UNKNOWN for any other. Of several servers one that passes wins."""
    code = getattr(error, "sqlstate", None)
    if code is not None:
        found = (fault for key in (code, code[:3], code[:2]) for fault in _KINDS if key in fault.states)
        return next(found, UNKNOWN)
    kinds = [next((fault for fault, pattern in _TEXTS if pattern.search(text)), UNKNOWN) for text in _attempts(error)]
    return next((fault for fault in kinds if fault in PASSING), kinds[0])


def unusable(error: Exception, *, shown: str, parameters: PostgresParameters | None = None) -> LedgerUnusable:
    """Return an error of psycopg as a sentence; LedgerAway if it may pass. `shown` is the URL without secrets.

    With `parameters` the server is asked for its certificate, if that is what is wrong.
    """
    fault, said = database_fault_of(error), first_line(error)
    if fault.name == "certificate" and parameters is not None:
        said = wrong_with_certificate(parameters) or said
    kind = LedgerAway if fault in PASSING else LedgerUnusable
    found = kind(f"`{shown}` cannot be used: {fault.words} ({said})", hint=fault.hint)
    found.__cause__ = error
    return found


def first_line(error: Exception) -> str:
    """Return what the server or libpq says, in one line."""
    return _PREFIX.sub("", _attempts(error)[0].split("\n")[0]).strip().rstrip(".") or type(error).__name__


def _attempts(error: Exception) -> list[str]:
    """Return what each server said, of one that was tried or of several."""
    lines = [line for line in str(error).split("\n") if line.startswith("- host: ")]
    return lines or [str(error)]
