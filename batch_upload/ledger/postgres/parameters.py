"""How a connection to the ledger's database is made: what the URL says, and what is set where it says nothing."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from batch_upload.ledger_address import PostgresUrl

USUAL: dict[str, Any] = {
    "application_name": "batch-upload",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    # a server that is gone without a word is noticed within 15 s, and not after hours
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""Parameters of libpq where the URL does not give them: seconds, and milliseconds for `tcp_user_timeout`."""


def connection_parameters(url: PostgresUrl) -> dict[str, Any]:
    """Return the parameters of libpq for a database. What is left out it takes from `PGPASSFILE` and the like.

    Raises psycopg.ProgrammingError for a URL that cannot be read.
    """
    return USUAL | conninfo_to_dict(url.secret)
