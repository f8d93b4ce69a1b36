"""Statements of SQLAlchemy Core that are made into SQL once, and then handed to the driver as they are.

Between a statement and its rows SQLAlchemy spends some 50 µs each time, ten times what SQLite does. Here text, order of
parameters and conversions are worked out when a statement is prepared; a call converts, and asks the driver. Values are
parameters, never part of the text. Errors are the driver's own: sqlite3.Error.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from batch_upload.ledger.tables import Convert, Kept

Row = tuple[Any, ...]

_DIALECT = dialect(paramstyle="qmark")


class Prepared:
    """One statement. `columns` are those that an INSERT or UPDATE takes values of, where it does not say so itself."""

    def __init__(
        self, statement: Select[Any] | CompoundSelect[Any] | UpdateBase, *, columns: Sequence[str] | None = None
    ) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        self.sql = compiled.string
        binds = compiled.binds
        names = compiled.positiontup or ()
        self._constants = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._take = itemgetter(*names) if len(names) > 1 else lambda known: tuple(known[name] for name in names)
        self._converts = _conversions(_to_driver(binds[name].type) for name in names)
        self._from_driver = _converting(statement)

    def one(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """The only row, or None."""
        row = driver_of(connection).execute(self.sql, self.parameters(values)).fetchone()
        return None if row is None else self._from_driver(row)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Iterator[Row]:
        """Every row, as they are asked for."""
        return map(self._from_driver, driver_of(connection).execute(self.sql, self.parameters(values)))

    def as_they_are(self, connection: Connection, values: Mapping[str, Any]) -> Iterator[Row]:
        """Every row as the driver gives it, as they are asked for."""
        return driver_of(connection).execute(self.sql, self.parameters(values))

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Change what is to be changed, and give the number of rows that were."""
        return driver_of(connection).execute(self.sql, self.parameters(values)).rowcount

    def add(self, connection: Connection, values: Mapping[str, Any]) -> int | None:
        """Insert one row, and give its number; None where the statement inserted none."""
        done = driver_of(connection).execute(self.sql, self.parameters(values))
        return done.lastrowid if done.rowcount == 1 else None

    def run_all(self, connection: Connection, values: Iterable[Mapping[str, Any]]) -> None:
        """Change what is to be changed, for each."""
        driver_of(connection).executemany(self.sql, map(self.parameters, values))

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The values as the driver takes them, in the order of the text."""
        found = list(self._take({**self._constants, **values} if self._constants else values))
        for index, convert in self._converts:
            if found[index] is not None:
                found[index] = convert(found[index])
        return found


def knowing_driver(connection: Connection, driver: sqlite3.Connection) -> Connection:
    """The connection, which from now on tells `driver_of` what is beneath it."""
    return connection.execution_options(**{_DRIVER: driver})


def driver_of(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection beneath, in the same transaction. SQLAlchemy takes a statement's time to look for it."""
    driver: sqlite3.Connection = connection.get_execution_options()[_DRIVER]
    return driver


_DRIVER = "batch_upload_driver"
"""The name of an execution option, of which SQLAlchemy lets users have their own."""


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """A transaction that has the right to write from its beginning: as `connection.begin()`, at a third of the price.

    What goes through SQLAlchemy within it is part of it.
    """
    driver = driver_of(connection)
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        _end(connection, driver, Connection.commit, sqlite3.Connection.commit)
    except BaseException:
        _end(connection, driver, Connection.rollback, sqlite3.Connection.rollback)
        raise


def _end(
    connection: Connection,
    driver: sqlite3.Connection,
    of_both: Callable[[Connection], None],
    of_driver: Callable[[sqlite3.Connection], None],
) -> None:
    """SQLAlchemy knows of a transaction only where something went through it."""
    if connection.in_transaction():
        of_both(connection)
    else:
        of_driver(driver)


def _to_driver(kind: TypeEngine[Any]) -> Convert | None:
    return kind.to_driver if isinstance(kind, Kept) else kind.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def _from_driver(kind: TypeEngine[Any]) -> Convert | None:
    if isinstance(kind, Kept):
        return kind.from_driver
    return kind.dialect_impl(_DIALECT).result_processor(_DIALECT, None)


def _converting(statement: Select[Any] | CompoundSelect[Any] | UpdateBase) -> Callable[[Row], Row]:
    """What makes a row of the driver one of ours. NULL is None whatever the column's type."""
    converts = _conversions(_from_driver(each.type) for each in statement.exported_columns)

    def converted(row: Row) -> Row:
        values = list(row)
        for index, convert in converts:
            if values[index] is not None:
                values[index] = convert(values[index])
        return tuple(values)

    return converted if converts else _as_it_is


def _conversions(converts: Iterable[Convert | None]) -> tuple[tuple[int, Convert], ...]:
    """Which values are to be converted, by their place, and how."""
    return tuple((index, convert) for index, convert in enumerate(converts) if convert is not None)


def _as_it_is(row: Row) -> Row:
    return row
