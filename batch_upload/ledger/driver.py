"""Statements of SQLAlchemy Core, compiled once for each database, and the connection that carries them out.

SQLAlchemy spends about 50 µs between a statement and its rows, ten times what SQLite does. Here the text, the order of
the parameters and the conversions are worked out once; each call converts and asks the driver. Values are always
parameters, never part of the text.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from operator import itemgetter
from threading import Event
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from sqlalchemy import CompoundSelect, Dialect, Insert, Select, Table, insert
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from batch_upload.errors import LedgerFault, LedgerUnusable
from batch_upload.ledger.tables import Convert, Kept
from batch_upload.records import LaneHold

Returned = TypeVar("Returned")
ResultRow = tuple[Any, ...]
Values = Mapping[str, Any]
Expression = Select[Any] | CompoundSelect[Any] | UpdateBase

ROWS_A_JOB = 500
"""Rows that one job of the writer changes at most, where there are many."""
_NO_VALUES: Values = {}


class Statement:
    """One statement. `columns` are those that an INSERT or UPDATE takes as parameters without naming them itself.

    `is_large`: it may return hundreds of thousands of rows, which are never in memory all at once.
    """

    def __init__(self, expression: Expression, *, columns: Sequence[str] | None = None, is_large: bool = False) -> None:
        self.is_large = is_large
        self._expression = expression
        self._columns = columns
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return the statement for one database; it is compiled at the first call."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = Compiled(self._for(dialect), self._columns, dialect)
        return found

    def _for(self, _dialect: Dialect) -> Expression:
        return self._expression


class Upsert(Statement):
    """INSERT of one row into `table`. Where `key` exists already, it sets `replaced` to the new values, if `when` is
    so; with nothing to replace the existing row stays."""

    def __init__(
        self,
        table: Table,
        *,
        key: Sequence[str],
        columns: Sequence[str],
        replaced: Sequence[str] = (),
        when: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(insert(table), columns=columns)
        self.columns = columns
        self.table = table
        self.key = key
        self._replaced = replaced
        self._when = when

    def _for(self, dialect: Dialect) -> Expression:
        # both databases have the same clause, each as a method of its own INSERT; the other one's takes 20 ms to load
        new = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(self.table).inline()
        key = [self.table.c[name] for name in self.key]
        values = {name: new.excluded[name] for name in self._replaced}
        where = None if self._when is None else self._when(new.excluded)
        upsert: Insert = (
            new.on_conflict_do_update(index_elements=key, set_=values, where=where)
            if values
            else new.on_conflict_do_nothing(index_elements=key)
        )
        return upsert


class Compiled:
    """A statement as one database takes it. `names` are those of its parameters, in order; the `required` ones have no
    value of their own."""

    def __init__(self, expression: Expression, columns: Sequence[str] | None, dialect: Dialect) -> None:
        compiled = expression.compile(dialect=dialect, column_keys=columns)
        binds, names = compiled.binds, tuple(compiled.positiontup or ())
        self.sql = compiled.string
        self.names = names
        self.required = frozenset(name for name in names if binds[name].required)
        self._constants = {name: bind.effective_value for name, bind in binds.items() if not bind.required}
        self._pick = itemgetter(*names) if len(names) > 1 else lambda values: tuple(values[name] for name in names)
        self._to_driver = _conversions((binds[name].type for name in names), _to_driver, dialect)
        columns_read = (each.type for each in expression.exported_columns)
        self._from_driver = _conversions(columns_read, _from_driver, dialect)

    def parameters(self, values: Values) -> Sequence[Any]:
        """Return the values as the driver takes them, in the order of the text. Raises KeyError for one left out."""
        picked = self._pick({**self._constants, **values} if self._constants else values)
        return _converted(picked, self._to_driver)

    def row(self, row: ResultRow) -> ResultRow:
        """Return a row with our types. NULL is None, whatever the column's type."""
        return _converted(row, self._from_driver)


class Cursor(Protocol):
    """What a driver gives for a statement that was carried out."""

    def fetchall(self) -> list[Any]:
        """Every row that is left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Recovered(NamedTuple):
    """What became of a transaction that a failure of the connection ended. `was_committed`: it need not be redone."""

    was_committed: bool


LostLanes = Mapping[int, Callable[[], LedgerFault]]
"""The lanes that may not be written any more, with a new error for each caller that wanted to."""
_NO_LANES: LostLanes = {}


class Database(ABC):
    """One connection, used by one thread at a time. Its errors are the driver's own (`RULES`, `FAILURES`)."""

    DIALECT: ClassVar[Dialect]
    RULES: ClassVar[tuple[type[Exception], ...]]
    """Errors of a row that breaks a rule of the tables. The transaction can go on."""
    FAILURES: ClassVar[tuple[type[Exception], ...]]
    """Errors of the disk or the database."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Carry out one statement."""

    @abstractmethod
    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[ResultRow]:
        """Carry out one statement, and return its rows as they are asked for, within the transaction."""

    @abstractmethod
    def want(self, values: Mapping[str, str | None]) -> None:
        """Have these keys and values, and nothing else, in the table `wanted`, for the statements that follow in the
        transaction. So a set of any size is one statement, and the database compares and counts."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Commit what happens within, durably; roll it back if an exception leaves."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens within, and nothing else of the transaction, if an exception leaves."""

    def holds(self) -> list[LaneHold]:
        """Return who holds each lane; nothing where one process has all of them."""
        return []

    @abstractmethod
    def change_number(self) -> int:
        """Return a number that is another one once somebody else has committed a change."""

    @abstractmethod
    def of_digests(self) -> AbstractContextManager["Database | None"]:
        """Have the database of this machine that remembers what was in files: this one, or one of its own. None where
        it cannot be used; what goes wrong with one of its own is passed over."""

    @abstractmethod
    def unusable(self, error: Exception) -> LedgerUnusable:
        """Return one of `FAILURES` as a sentence that says what to do."""

    def fence(self, lanes: Collection[int]) -> LostLanes:
        """Begin to write to these lanes: the first statement of a transaction. Return those that another process has.

        The transaction goes on for the others.
        """
        return _NO_LANES

    def lost_lanes(self) -> LostLanes:
        """Return the lanes that were found lost. Asked after `recover`."""
        return _NO_LANES

    def recover(self, error: Exception, *, is_ending: Event) -> Recovered:
        """After one of `FAILURES` in a transaction: make the connection usable again, and find out what became of it.

        Waits for the database as long as that may help, and only some seconds once `is_ending` is set. Raises
        LedgerUnusable if the ledger cannot be written any more.
        """
        raise self.unusable(error)

    def renewal_due_s(self) -> float | None:
        """Return after how many seconds `renew` is to be called; None for never."""
        return None

    def renew(self) -> None:
        """Keep the right to write to all lanes that are held. Raises one of `FAILURES`."""
        raise NotImplementedError

    def one(self, statement: Statement, values: Values = _NO_VALUES) -> ResultRow | None:
        """Return the only row, or None."""
        compiled = statement.compiled(self.DIALECT)
        rows = self.execute(compiled.sql, compiled.parameters(values)).fetchall()
        return compiled.row(rows[0]) if rows else None

    def rows(self, statement: Statement, values: Values = _NO_VALUES) -> Iterator[ResultRow]:
        """Return every row."""
        return map(statement.compiled(self.DIALECT).row, self.raw_rows(statement, values))

    def raw_rows(self, statement: Statement, values: Values = _NO_VALUES) -> Iterator[ResultRow]:
        """Return every row as the driver gives it: for hundreds of thousands of rows."""
        compiled = statement.compiled(self.DIALECT)
        read = self.stream if statement.is_large else self.execute
        return iter(read(compiled.sql, compiled.parameters(values)))

    def run(self, statement: Statement, values: Values = _NO_VALUES) -> None:
        """Carry out a change. A rule that it breaks may be told later, within the savepoint or transaction."""
        compiled = statement.compiled(self.DIALECT)
        self.execute(compiled.sql, compiled.parameters(values))

    @abstractmethod
    def run_many(self, statement: Upsert, values: Iterable[Values]) -> None:
        """Insert each of these rows. Of rows with the same key the last one counts."""


_Conversions = tuple[tuple[int, Convert], ...]


def _conversions(
    kinds: Iterable[TypeEngine[Any]], convert_of: Callable[[TypeEngine[Any], Dialect], Convert | None], dialect: Dialect
) -> _Conversions:
    """Return which values are converted, by position, and how."""
    converts = ((index, convert_of(kind, dialect)) for index, kind in enumerate(kinds))
    return tuple((index, convert) for index, convert in converts if convert is not None)


def _converted(row: ResultRow, conversions: _Conversions) -> ResultRow:
    if not conversions:
        return row
    values = list(row)
    for index, convert in conversions:
        if values[index] is not None:
            values[index] = convert(values[index])
    return tuple(values)


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.to_driver if isinstance(kind, Kept) else kind.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    if isinstance(kind, Kept):
        return kind.from_driver
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def chunks(values: Sequence[Returned]) -> Iterator[tuple[Returned, ...]]:
    """Return some at a time, for a job of the writer each, so that other jobs come in between."""
    return (tuple(values[start : start + ROWS_A_JOB]) for start in range(0, len(values), ROWS_A_JOB))
