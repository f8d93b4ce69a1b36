"""The right to write to the lanes of a ledger, and what the times in a lane are worth. For any database."""

from datetime import datetime
from typing import Protocol

from batch_upload.ledger.driver import Database
from batch_upload.moments import Moment, Stretch


class Leases(Protocol):
    """The right to write to lanes, and the notes of their holders. The notes outlive the right.

    The lock of a file is the right to all its lanes; a database leases each lane. Everything but `may_send_until` is
    called in the writing thread; what is given a `Database` is part of its transaction.
    """

    @property
    def of_each_lane(self) -> bool:
        """Whether each lane has a right and notes of its own."""
        ...

    def take(self, db: Database, lane_id: int) -> int | None:
        """Take a lane, or keep it, and return its fence; None if lanes have no leases.

        The fence is how often the lane was taken, this time included. Raises LedgerLocked if another process holds it.
        """
        ...

    def give_back(self, db: Database, lane_id: int) -> None:
        """Let other processes take a lane at once. Does nothing for one that is not held."""
        ...

    def stretch(self, lane_id: int | None) -> Stretch | None:
        """Return since when the wall clock has gone steadily, as the last holder noted it; None if it is not known."""
        ...

    def is_as_left(self, lane_id: int, last_run_id: str | None) -> bool | None:
        """Return whether the ledger is the one that the lane's last holder left, and no copy or backup of it.

        None if no holder has noted anything yet. `last_run_id`: the last run that the ledger has of the lane.
        """
        ...

    def note_run(self, db: Database, lane_id: int, run_id: str, *, is_trusted: bool) -> None:
        """Note that a run is at work on a lane. `is_trusted`: from now on the ledger is the one that was left."""
        ...

    def sync(self) -> None:
        """Make durable what was noted outside of transactions. Raises OSError."""
        ...

    def note_stretch(self, db: Database, lane_id: int | None, stretch: Stretch) -> None:
        """Note that the wall clock goes steadily from now on, or was set just now. Raises OSError."""
        ...

    def may_send_until(self, lane_id: int) -> float:
        """Return as `LedgerWriter.may_send_until`. Called from any thread."""
        ...


class LaneTimes:
    """What the wall times of a lane are worth, or of all lanes that share a note, on this machine."""

    def __init__(self, noted: Stretch | None, *, machine: str, now: Moment) -> None:
        self._machine = machine
        self._is_noted = noted is not None
        self.stretch = noted or Stretch(machine, now)
        self.began_here = False
        """Whether the stretch began in this process: then every time that was in the ledger is from before it."""

    def goes_on(self, now: Moment) -> bool:
        """Return whether the wall clock has not been set since the stretch began."""
        return self.stretch.goes_on(now, self._machine)

    def is_over(self, now: Moment, *, is_copy: bool) -> bool:
        """Return whether a new stretch must begin: the clock was set, or nothing says what the ledger's times are."""
        is_unknown = not self.began_here and (not self._is_noted or is_copy)
        return is_unknown or not self.goes_on(now)

    def begin(self, now: Moment, *, latest_before: datetime | None) -> None:
        """Begin a new stretch. `latest_before` is as `Stretch.latest_before`."""
        self.stretch, self.began_here = Stretch(self._machine, now, latest_before), True
