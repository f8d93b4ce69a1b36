"""A ledger in a PostgreSQL database, which several hosts share. The only room that knows psycopg."""

from batch_upload.ledger.postgres.connection import open_for_reading
from batch_upload.ledger.postgres.faults import unusable
from batch_upload.ledger.postgres.fenced import open_fenced
from batch_upload.ledger.postgres.health import health_of
from batch_upload.ledger.postgres.lease import PostgresLeases
from batch_upload.ledger.postgres.migrations import SCHEMA_VERSION
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger.postgres.pool import reach_pool

__all__ = [
    "SCHEMA_VERSION",
    "PostgresLeases",
    "health_of",
    "open_fenced",
    "open_for_reading",
    "parameters_of",
    "reach_pool",
    "unusable",
]
