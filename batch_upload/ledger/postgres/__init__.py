"""A ledger in a PostgreSQL database, which several hosts share. The only room that knows psycopg."""

from batch_upload.ledger.postgres.connection import open_for_reading, open_for_writing
from batch_upload.ledger.postgres.lease import OpenLease
from batch_upload.ledger.postgres.parameters import parameters_of

__all__ = ["OpenLease", "open_for_reading", "open_for_writing", "parameters_of"]
