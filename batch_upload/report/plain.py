"""A run as lines for logs and pipes: one for each change that matters, one now and then, with `-v` one a request."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from batch_upload.escape import printable, quoted, write_text
from batch_upload.events import (
    ItemChanged,
    LaneStopped,
    Looking,
    Notice,
    OrphanSeen,
    Requested,
    Resolving,
    Retrying,
    RunEnded,
    RunStarted,
    Sending,
)
from batch_upload.model import ActionKind, Known, State
from batch_upload.report.estimate import creates_within
from batch_upload.report.observers import RunObserver
from batch_upload.report.progress import RunProgress
from batch_upload.report.summary_text import ids_words
from batch_upload.words import clock_words, count_words, duration_words, fault_words, rate_words, utc_iso

STATUS_EVERY = timedelta(seconds=30)
_QUOTAS = {
    "REGISTRATION_ATTACHMENTS_PER_ACCOUNT": "the account is full",
    "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY": "the day's quota is used up",
}
"""What the reasons of ServiceQuotaExceededException mean (API reference of AWS End User Messaging SMS)."""

LocalTime = Callable[[datetime], datetime]
"""Turns an aware time into the reader's zone."""


class PlainObserver(RunObserver):
    """Writes lines to `stream`, which is no terminal. Raises OSError as the stream does."""

    def __init__(self, stream: TextIO, *, local_time: LocalTime = datetime.astimezone) -> None:
        self._stream = stream
        self._local_time = local_time
        self._progress = RunProgress()
        self._status_at: datetime | None = None
        self._said_throttled = False
        self._said_failed = False
        self._said_all_sent = False

    def notify(self, event: object) -> None:
        """Count the event, and write what it changes."""
        self._progress.notify(event)
        for line in self._lines(event):
            write_text(self._stream, [line])
        if isinstance(event, RunStarted):
            self._status_at = event.at
        elif isinstance(event, RunEnded):
            self._status_at = None

    def tick(self, at: datetime) -> None:
        """Write how far the run is, if the last such line is old enough."""
        if self._status_at is None or at - self._status_at < STATUS_EVERY:
            return
        self._status_at = at
        pace = pace_words(self._progress, at=at, local_time=self._local_time)
        write_text(self._stream, [f"{counts_words(self._progress)}; {pace}"])

    def _lines(self, event: object) -> Sequence[str]:
        progress, lines = self._progress, []
        sentence = event_sentence(event)
        if progress.throttled and not self._said_throttled and progress.started is not None:
            self._said_throttled = True
            # requests before the run's first line may be throttled: say so after that line
            lines = [sentence] if isinstance(event, RunStarted) and sentence else []
            return [*lines, "AWS is limiting requests (this is normal): the rate goes down"]
        if isinstance(event, ItemChanged):
            # a short run need not say that all is sent; every failure after the first is in the summary
            is_long = progress.started is not None and event.at - progress.started.at >= STATUS_EVERY
            if event.created and progress.is_all_sent and is_long and not self._said_all_sent:
                self._said_all_sent = True
                return [f"all is sent, the service is at work on {count_words(progress.processing, 'item')}"]
            if self._said_failed:
                return []
            self._said_failed = sentence is not None
        return [] if sentence is None else [sentence]


class VerboseObserver(RunObserver):
    """Writes a line for each request; at level 2 also when a create leaves, and how long a retry waits.

    No document, header or credential is in any event. Raises OSError as the stream does.
    """

    def __init__(self, stream: TextIO, *, level: int) -> None:
        self._stream = stream
        self._level = level

    def notify(self, event: object) -> None:
        """Write the event's line, if it has one at this level."""
        match event:
            case Requested() if self._level >= 1:
                parts = [event.operation, event.outcome.value, f"{round(event.latency_s * 1000)} ms"]
                if event.item_id:
                    parts.insert(1, quoted(event.item_id))
                if event.request_id:
                    parts.append(f"request={event.request_id}")
                line = " ".join(parts) + (f": {fault_words(event.fault)}" if event.fault else "")
            case Sending() if self._level >= 2:
                line = f"sending {quoted(event.item_id)} attempt={event.number} {event.client_token}"
            case Retrying() if self._level >= 2:
                item = f"{quoted(event.item_id)} " if event.item_id else ""
                line = f"retrying {event.operation} {item}in {event.delay_s:.2f} s"
            case _:
                return
        write_text(self._stream, [f"{utc_iso(event.at)} {line}"])


def event_sentence(event: object) -> str | None:
    """Return what an event is to people, on one line; None for the many that only change counts."""
    match event:
        case RunStarted():
            return _started_sentence(event)
        case ItemChanged():
            return failure_sentence(event.known) if event.ended and event.known.state is State.FAILED else None
        case LaneStopped():
            after = "waiting for AWS to finish what was sent" if event.draining else "no further call is made"
            why = _QUOTAS.get(event.fault.reason or "") or fault_words(event.fault)
            return f"nothing more is sent: {why}; {after}"
        case Resolving():
            return f"looking up what became of {count_words(event.count, 'request')} without an answer"
        case Looking():
            return _looking_sentence(event)
        case OrphanSeen():
            first = quoted(event.kept_attachment_id)
            return f"attachment {quoted(event.attachment_id)} is a second copy: {first} was there first"
        case Notice():
            return printable(event.message)
    return None


def cut_words(event: RunStarted) -> list[str]:
    """Return what will end the run before everything is sent, as far as that is known before the first byte."""
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


def failure_sentence(known: Known) -> str:
    """Return which item failed, and why."""
    why = "" if known.fault is None else f": {fault_words(known.fault)}"
    return f"failed {quoted(known.item_id)}{why}"


def counts_words(progress: RunProgress) -> str:
    """Return `120 of 500 done, 3 failed, 5 processing, 2 parked`; counts of 0 but the first are left out."""
    parts = [f"{progress.done:,} of {progress.total:,} done"]
    others = (
        (progress.failed, "failed"),
        (progress.processing, "processing"),
        (progress.parked, "parked"),
        (progress.open, "open"),
    )
    parts.extend(f"{count:,} {word}" for count, word in others if count)
    return ", ".join(parts)


def pace_words(progress: RunProgress, *, at: datetime, local_time: LocalTime) -> str:
    """Return `0.98/s now, 1.0/s learned, 4 throttled, 6 min left (until 14:32)`."""
    parts = []
    if progress.stopped is None and not progress.is_all_sent:
        rates = ((progress.rate_per_s(at), "now"), (progress.learned_rate, "learned"))
        parts = [f"{rate_words(rate)} {word}" for rate, word in rates if rate is not None]
    if progress.throttled:
        parts.append(f"{progress.throttled:,} throttled")
    ending = progress.eta(at)
    if progress.stopped is not None:
        parts.append("nothing new is sent")
    elif ending is not None:
        clock = clock_words(local_time(ending.ends_at), today=local_time(at))
        parts.append(f"{duration_words(ending.left_s)} left (until {clock})")
        if ending.by_capacity:
            parts.append("then the capacity is used up")
    elif progress.processing:
        parts.append("waiting for the service")
    else:
        parts.append("no end in sight" if progress.ended < progress.total else "done")
    return ", ".join(parts)


def flight_words(progress: RunProgress) -> str | None:
    """Return `in flight: a, b, c and 5 more`; None where nothing is."""
    return f"in flight: {ids_words(progress.in_flight)}" if progress.in_flight else None


def _started_sentence(event: RunStarted) -> str:
    counts = event.plan.counts
    uploads, unchanged = counts[ActionKind.CREATE] + counts[ActionKind.REPLACE], counts[ActionKind.UNCHANGED]
    what = f"{count_words(uploads, 'item')} to upload, {unchanged:,} unchanged, from {rate_words(event.rate)}"
    cuts = "".join(f"; {cut}" for cut in cut_words(event))
    return printable(f"batch `{event.batch}` to `{event.lane}` at {event.endpoint}: {what}{cuts}")


def _looking_sentence(event: Looking) -> str:
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
