"""Reading the tables of an earlier program: as if they were of this version, with nothing in what they lack.

Controllers of the earlier program may still write to them. (A file is copied instead, and the copy is brought up to
date.)
"""

from collections.abc import Mapping

from sqlalchemy import Boolean, Integer, Table
from sqlalchemy.types import TypeEngine

from batch_upload.ledger.tables import (
    METADATA,
    JsonText,
    TagsText,
    bind_attempt,
    bind_outcome,
    field_definition,
    item,
    run,
)

_NEW_TABLES: Mapping[Table, int] = {bind_attempt: 4, bind_outcome: 4, field_definition: 4}
"""The version of the tables (`schema.py`) in which each came to be; the others are of the first."""
_NEW_COLUMNS: Mapping[Table, tuple[int, tuple[str, ...]]] = {
    run: (2, ("principal", "os_user", "host")),
    item: (4, ("bind_registration", "bind_field", "bind_state", "bound_version", "denial")),
}


def tables_of(version: int) -> frozenset[str]:
    """Return the tables that a database of this version must have.

    What remembers files (`digest`) belongs to one machine, and is a file there.
    """
    later = {table.name for table, since in _NEW_TABLES.items() if since > version}
    return frozenset(METADATA.tables) - later - {"digest"}


def expressions_of(version: int) -> tuple[str, ...]:
    """Return common table expressions that give the tables of this version the columns of the newest.

    They name every column, so that they stay right if the tables are brought up to date meanwhile.
    """
    changed = {table: set(names) for table, (since, names) in _NEW_COLUMNS.items() if since > version}
    missing = {table: set(table.c.keys()) for table, since in _NEW_TABLES.items() if since > version}
    selects = {table.name: f"SELECT {_columns(table, lacks)} FROM {table.name}" for table, lacks in changed.items()}  # noqa: S608 - our own names
    selects |= {table.name: f"SELECT {_columns(table, lacks)} WHERE false" for table, lacks in missing.items()}
    return tuple(f"{name} AS NOT MATERIALIZED ({select})" for name, select in selects.items())


def sql_type_of(kind: TypeEngine[object]) -> str:
    """Return the type of a column of our tables in PostgreSQL, wide enough for each."""
    if isinstance(kind, JsonText | TagsText):
        return "json"
    return {Integer: "bigint", Boolean: "boolean"}.get(type(kind), "text")


def _columns(table: Table, lacks: set[str]) -> str:
    return ", ".join(
        f"CAST(NULL AS {sql_type_of(column.type)}) AS {column.name}" if column.name in lacks else column.name
        for column in table.c
    )
