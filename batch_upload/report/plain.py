"""How a run goes on, for logs and pipes: a line now and then, and one at each change of fortune."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from batch_upload.escape import printable, write_text
from batch_upload.events import (
    ItemChanged,
    LaneStopped,
    Looking,
    Notice,
    OrphanSeen,
    Resolving,
    RunEnded,
    RunStarted,
)
from batch_upload.model import ActionKind, Known, State
from batch_upload.report.estimate import creates_within
from batch_upload.report.tally import Eta, Tally
from batch_upload.words import clock_words, count_words, duration_words, fault_words, rate_words

EVERY = timedelta(seconds=30)
_QUOTAS = {
    "REGISTRATION_ATTACHMENTS_PER_ACCOUNT": "the account is full",
    "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY": "the day's quota is used up",
}
"""What the reasons of ServiceQuotaExceededException mean (API reference of AWS End User Messaging SMS)."""
IDS_SHOWN = 3

LocalTime = Callable[[datetime], datetime]


class PlainObserver:
    """Writes lines to `stream`, which is no terminal. `local_time` turns an aware time into the reader's zone.

    Raises OSError as the stream does.
    """

    def __init__(self, stream: TextIO, *, local_time: LocalTime = datetime.astimezone) -> None:
        self._stream = stream
        self._local_time = local_time
        self._tally = Tally()
        self._told_at: datetime | None = None
        self._throttle_told = False
        self._failure_told = False
        self._all_sent_told = False

    def notify(self, event: object) -> None:
        """Count the event, and write what it changes."""
        self._tally.take(event)
        for line in self._changes(event):
            write_text(self._stream, [line])
        if isinstance(event, RunStarted):
            self._told_at = event.at
        elif isinstance(event, RunEnded):
            self._told_at = None

    def tick(self, at: datetime) -> None:
        """Write how far the run is, if the last such line is old enough."""
        if self._told_at is None or at - self._told_at < EVERY:
            return
        self._told_at = at
        write_text(self._stream, [status_line(self._tally, at=at, local_time=self._local_time)])

    def close(self) -> None:
        """Every line is flushed already; the stream is the caller's."""

    def _changes(self, event: object) -> Sequence[str]:
        if self._tally.throttled and not self._throttle_told and self._tally.started is not None:
            self._throttle_told = True
            begun = [started_sentence(event)] if isinstance(event, RunStarted) else []
            return (*begun, "AWS is limiting requests (this is normal): the rate goes down")
        if self._is_all_sent_now(event):
            self._all_sent_told = True
            return (f"all is sent, the service is at work on {count_words(self._tally.processing, 'item')}",)
        line = event_sentence(event)
        if line is None or (isinstance(event, ItemChanged) and self._failure_told):
            return ()
        self._failure_told = self._failure_told or isinstance(event, ItemChanged)
        return (line,)

    def _is_all_sent_now(self, event: object) -> bool:
        """Whether the last create of a run has just been accepted. One that is over at once need not say so."""
        started = self._tally.started
        if self._all_sent_told or started is None or not isinstance(event, ItemChanged) or not event.created:
            return False
        return self._tally.all_sent and event.at - started.at >= EVERY


def event_sentence(event: object) -> str | None:
    """What an event is to people, on one line; None for the many that only change counts."""
    if isinstance(event, RunStarted):
        return started_sentence(event)
    if isinstance(event, ItemChanged):
        return failure_sentence(event.known) if event.ended and event.known.state is State.FAILED else None
    if isinstance(event, LaneStopped):
        return stopped_sentence(event)
    if isinstance(event, Resolving):
        return f"looking up what became of {count_words(event.count, 'request')} without an answer"
    if isinstance(event, Looking):
        return looking_sentence(event)
    if isinstance(event, OrphanSeen):
        return printable(
            f"attachment `{event.attachment_id}` is a second copy: `{event.kept_attachment_id}` was there first"
        )
    return printable(event.message) if isinstance(event, Notice) else None


def looking_sentence(event: Looking) -> str:
    """How far the look through the lane is: what it will take, or what is done of it."""
    count = "the attachments" if event.attachments is None else count_words(event.attachments, "attachment")
    left = "" if event.left_s is None else f", about {duration_words(event.left_s)}"
    if not event.listed and event.to_read is None:
        return f"looking through {count} of the account first{left}"
    left = f"{left} left" if left else ""
    if event.to_read is None:
        of = "" if event.attachments is None else f" of {event.attachments:,}"
        return f"listed {event.listed:,}{of} attachments of the account{left}"
    if event.read >= event.to_read:
        return f"looked through {count} of the account; waiting for tags that cannot be read yet"
    return f"read the tags of {event.read:,} of {count_words(event.to_read, 'attachment')} of the account{left}"


def started_sentence(event: RunStarted) -> str:
    """Where a run sends what, and how fast it begins."""
    counts = event.plan.counts
    uploads, unchanged = counts[ActionKind.CREATE] + counts[ActionKind.REPLACE], counts[ActionKind.UNCHANGED]
    rate = rate_words(event.rate)
    what = f"{count_words(uploads, 'item')} to upload, {unchanged:,} unchanged"
    cuts = "".join(f"; {cut}" for cut in cut_words(event))
    return printable(f"batch `{event.batch}` to `{event.lane}` at {event.endpoint}: {what}, from {rate}{cuts}")


def cut_words(event: RunStarted) -> list[str]:
    """What will end the run before everything is sent, as far as that is known before the first byte."""
    creates = len(event.plan.of(ActionKind.CREATE, ActionKind.REPLACE))
    found = []
    parked = event.plan.of(ActionKind.PARKED)
    if parked:
        found.append(f"{count_words(len(parked), 'item')} stay parked: {parked[0].reason}")
    if event.capacity is not None and creates > event.capacity.left:
        found.append(f"the account has room for {event.capacity.left:,} of {creates:,}, the rest will be parked")
    if event.deadline_s is not None:
        within = creates_within(event.deadline_s, event.rate)
        if within < creates:
            deadline, rate = duration_words(event.deadline_s), rate_words(event.rate)
            found.append(f"at {rate} about {within:,} of {creates:,} would be sent before the deadline in {deadline}")
    return found


def stopped_sentence(event: LaneStopped) -> str:
    """Why nothing new is sent, and what still goes on."""
    after = "waiting for AWS to finish what was sent" if event.draining else "no further call is made"
    why = _QUOTAS.get(event.fault.reason or "") or fault_words(event.fault)
    return f"nothing more is sent: {why}; {after}"


def failure_sentence(known: Known) -> str:
    """Which item failed, and why."""
    why = "" if known.fault is None else f": {fault_words(known.fault)}"
    return f"failed `{printable(known.item_id)}`{why}"


def status_line(tally: Tally, *, at: datetime, local_time: LocalTime) -> str:
    """How far a run is, on one line."""
    return f"{counts_words(tally)}; {pace_words(tally, at=at, local_time=local_time)}"


def counts_words(tally: Tally) -> str:
    """`120 of 500 done, 3 failed, 5 processing, 2 parked`; only the first is told where it is 0."""
    parts = [f"{tally.done:,} of {tally.total:,} done"]
    others = (
        (tally.failed, "failed"),
        (tally.processing, "processing"),
        (tally.parked, "parked"),
        (tally.open, "open"),
    )
    parts.extend(f"{count:,} {word}" for count, word in others if count)
    return ", ".join(parts)


def pace_words(tally: Tally, *, at: datetime, local_time: LocalTime) -> str:
    """`0.98/s now, 1.0/s learned, 4 throttled, 6 min left (until 14:32)`."""
    parts = _rate_parts(tally, at)
    if tally.throttled:
        parts.append(f"{tally.throttled:,} throttled")
    parts.append(left_words(tally, at=at, local_time=local_time))
    return ", ".join(parts)


def _rate_parts(tally: Tally, at: datetime) -> list[str]:
    """What leaves now, and what was learned to be possible; nothing once nothing new is sent."""
    rate, learned = tally.rate_per_s(at), tally.learned_rate
    if tally.stopped is not None or tally.all_sent:
        return []
    parts = [] if rate is None else [f"{rate_words(rate)} now"]
    return parts if learned is None else [*parts, f"{rate_words(learned)} learned"]


def flight_words(tally: Tally) -> str | None:
    """`in flight: a, b, c and 5 more`; None where nothing is."""
    ids = tally.in_flight
    if not ids:
        return None
    more = f" and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else ""
    return printable(f"in flight: {', '.join(f'`{each}`' for each in ids[:IDS_SHOWN])}{more}")


def left_words(tally: Tally, *, at: datetime, local_time: LocalTime) -> str:
    """How long the run still takes, or what it waits for instead."""
    if tally.stopped is not None:
        return "nothing new is sent"
    ending = tally.eta(at)
    if ending is not None:
        return _eta_words(ending, at=at, local_time=local_time)
    return _rest_words(tally)


def _rest_words(tally: Tally) -> str:
    if tally.processing:
        return "waiting for the service"
    return "no end in sight" if tally.ended < tally.total else "done"


def _eta_words(ending: Eta, *, at: datetime, local_time: LocalTime) -> str:
    clock = clock_words(local_time(ending.ends_at), today=local_time(at))
    words = f"{duration_words(ending.left_s)} left (until {clock})"
    return f"{words}, then the capacity is used up" if ending.by_capacity else words
