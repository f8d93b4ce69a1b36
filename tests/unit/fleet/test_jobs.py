"""Errors of the database of a queue, as they are told."""

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException

from batch_upload.errors import LedgerUnusable
from batch_upload.fleet.jobs import translated
from batch_upload.ledger_address import PostgresUrl

URL = PostgresUrl("postgresql://db/fleet", "postgresql://ann:secret@db/fleet")


@pytest.mark.parametrize(
    ("cause", "code", "words"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), 10, "its server does not answer"),
        (psycopg.OperationalError("couldn't get a connection after 10.00 sec"), 10, "its server does not answer"),
        (psycopg.errors.AdminShutdown("terminating connection"), 10, "its server starts up, shuts down"),
        (psycopg.errors.UndefinedTable('relation "procrastinate_jobs" does not exist'), 24, "is missing"),
        (psycopg.errors.InsufficientPrivilege("permission denied for table"), 24, "the user has not the rights"),
    ],
)
def test_an_error_of_the_queue_passes_or_not_as_one_of_the_ledger(cause: Exception, code: int, words: str) -> None:
    with pytest.raises(LedgerUnusable) as raised, translated(URL):
        raise ConnectorException from cause

    assert raised.value.exit_code == code
    assert raised.value.message.startswith("`postgresql://db/fleet` cannot be used: ")
    assert words in raised.value.message
    assert raised.value.hint
