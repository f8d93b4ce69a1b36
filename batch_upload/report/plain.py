"""A run as lines for logs and pipes: one for each change that matters, one now and then, with `-v` one a request."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TextIO

from batch_upload.actions import ActionKind
from batch_upload.errors import ExitCode
from batch_upload.escape import printable, quoted, write_text
from batch_upload.events import (
    ItemChanged,
    LaneEnded,
    LanesChosen,
    LaneStopped,
    Looking,
    Notice,
    OfLane,
    OrphanSeen,
    Requested,
    Resolving,
    Retrying,
    RunEnded,
    RunStarted,
    Sending,
    lane_and_event,
)
from batch_upload.model import Known, OutcomeKind, State
from batch_upload.report.estimate import creates_within
from batch_upload.report.item_text import ids_words
from batch_upload.report.lane_progress import LanesProgress, ProgressCounts
from batch_upload.report.lane_words import (
    LocalTime,
    chosen_sentence,
    in_lane_words,
    lane_ended_sentence,
    lanes_pace_words,
    lanes_words,
    stop_words,
)
from batch_upload.report.observers import RunObserver
from batch_upload.report.progress import RunProgress
from batch_upload.words import clock_words, count_words, duration_words, fault_words, rate_words, utc_iso

STATUS_EVERY = timedelta(seconds=30)
FAILING_LANES_SAID = 20
"""Lanes whose first failed item is written; the summary has all."""


_THROTTLED = "AWS is limiting requests (this is normal): the rate goes down"


class PlainObserver(RunObserver):
    """Writes lines to `stream`, which is no terminal. Raises OSError as the stream does.

    Of a lane of several it writes what ends otherwise than well; with `is_verbose` also its start and its end.
    """

    def __init__(
        self, stream: TextIO, *, local_time: LocalTime = datetime.astimezone, is_verbose: bool = False
    ) -> None:
        self._stream = stream
        self._local_time = local_time
        self._is_verbose = is_verbose
        self._progress = LanesProgress()
        self._status_at: datetime | None = None
        self._begin_at: datetime | None = None
        self._said_throttled = False
        self._said_failed = False
        self._said_all_sent = False
        self._lanes_said_failed: set[str] = set()

    def notify(self, event: object) -> None:
        """Count the event, and write what it changes."""
        self._progress.notify(event)
        wrapped, inner = lane_and_event(event)
        for line in self._lines(event) if wrapped is None else self._lane_lines(wrapped):
            write_text(self._stream, [line])
        if isinstance(inner, RunStarted | LanesChosen) and self._begin_at is None:
            self._status_at = self._begin_at = inner.at
        elif isinstance(event, RunEnded):
            self._status_at = None

    def tick(self, at: datetime) -> None:
        """Write how far the run is, if the last such line is old enough."""
        if self._status_at is None or at - self._status_at < STATUS_EVERY:
            return
        self._status_at = at
        progress = self._progress
        if progress.lanes:
            pace = lanes_pace_words(progress, at=at, local_time=self._local_time)
            write_text(self._stream, [f"{counts_words(progress)}; {lanes_words(progress)}; {pace}"])
        else:
            pace = pace_words(progress.whole, at=at, local_time=self._local_time)
            write_text(self._stream, [f"{counts_words(progress.whole)}; {pace}"])

    def _lines(self, event: object) -> Sequence[str]:
        progress, lines = self._progress.whole, []
        sentence = event_sentence(event)
        if progress.throttled and not self._said_throttled and progress.started is not None:
            self._said_throttled = True
            # requests before the run's first line may be throttled: say so after that line
            lines = [sentence] if isinstance(event, RunStarted) and sentence else []
            return [*lines, _THROTTLED]
        if isinstance(event, ItemChanged):
            # a short run need not say that all is sent; every failure after the first is in the summary
            is_long = progress.started is not None and event.at - progress.started.at >= STATUS_EVERY
            if event.created and progress.is_all_sent and is_long and not self._said_all_sent:
                self._said_all_sent = True
                return [all_sent_words(progress)]
            if self._said_failed:
                return []
            self._said_failed = sentence is not None
        return [] if sentence is None else [sentence]

    def _lane_lines(self, wrapped: OfLane) -> Sequence[str]:
        """Return what is written of an event of one lane: of hundreds of lanes only what is out of the ordinary."""
        event, lane = wrapped.event, self._progress.lanes[wrapped.label]
        sentence: str | None = None
        match event:
            case Requested() if event.outcome is OutcomeKind.THROTTLED and not self._said_throttled:
                self._said_throttled = True
                return [_THROTTLED]
            case RunStarted():
                sentence = event_sentence(event) if self._is_verbose else "; ".join(cut_words(event)) or None
            case LaneEnded():
                is_said = self._is_verbose or event.code != ExitCode.DONE
                sentence = lane_ended_sentence(event, lane) if is_said else None
            case ItemChanged():
                said = self._lanes_said_failed
                if wrapped.label not in said and len(said) < FAILING_LANES_SAID and (sentence := event_sentence(event)):
                    said.add(wrapped.label)
            case LaneStopped() | OrphanSeen() | Notice():
                sentence = event_sentence(event)
            case Resolving() | Looking() if self._is_verbose:
                sentence = event_sentence(event)
        return [] if sentence is None else [in_lane_words(wrapped.label, printable(sentence))]


class UrgentObserver(RunObserver):
    """Writes to `stream` what a person must act on although the run ends well. Raises OSError as the stream does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def notify(self, event: object) -> None:
        """Write an urgent notice, which of a lane begins with its label."""
        wrapped, inner = lane_and_event(event)
        if isinstance(inner, Notice) and inner.is_urgent:
            line = printable(inner.message)
            write_text(self._stream, [line if wrapped is None else in_lane_words(wrapped.label, line)])


class VerboseObserver(RunObserver):
    """Writes a line for each request; at level 2 also when a create leaves, and how long a retry waits.

    No document, header or credential is in any event. Raises OSError as the stream does.
    """

    def __init__(self, stream: TextIO, *, level: int) -> None:
        self._stream = stream
        self._level = level

    def notify(self, event: object) -> None:
        """Write the event's line, if it has one at this level; one of a lane begins with its label."""
        wrapped, event = lane_and_event(event)
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
        line = line if wrapped is None else in_lane_words(wrapped.label, line)
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
            return f"nothing more is sent: {stop_words(event.fault)}; {after}"
        case Resolving():
            return f"looking up what became of {count_words(event.count, 'request')} without an answer"
        case Looking():
            return _looking_sentence(event)
        case OrphanSeen():
            first = quoted(event.kept_attachment_id)
            return f"attachment {quoted(event.attachment_id)} is a second copy: {first} was there first"
        case Notice():
            return printable(event.message)
        case LanesChosen():
            return chosen_sentence(event)
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


def all_sent_words(progress: RunProgress) -> str:
    """Return what a run still does once every document is sent."""
    left = f", {count_words(progress.binds_left, 'bind')} left" if progress.binds_left else ""
    return f"all is sent, the service is at work on {count_words(progress.processing, 'item')}{left}"


def counts_words(progress: ProgressCounts) -> str:
    """Return `120 of 500 done, 3 failed, 5 processing, 4 binding, 2 parked`; counts of 0 but the first are left out."""
    parts = [f"{progress.done:,} of {progress.total:,} done"]
    others = (
        (progress.failed, "failed"),
        (progress.processing, "processing"),
        (progress.binding, "binding"),
        (progress.parked, "parked"),
        (progress.open, "open"),
    )
    parts.extend(f"{count:,} {word}" for count, word in others if count)
    return ", ".join(parts)


def pace_words(progress: RunProgress, *, at: datetime, local_time: LocalTime) -> str:
    """Return `0.98/s now, 1.0/s learned, 4 throttled, 6 min left (until 14:32)`.

    Once all is created, the pace is that of the binds: `binding at 1.0/s`.
    """
    parts = []
    if progress.stopped is None and not progress.is_all_sent:
        rates = ((progress.rate_per_s(at), "now"), (progress.learned_rate, "learned"))
        parts = [f"{rate_words(rate)} {word}" for rate, word in rates if rate is not None]
    elif progress.stopped is None and progress.binding:
        parts = [f"binding at {rate_words(progress.bind_rate)}"]
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
    elif progress.binding:
        parts.append("putting attachments into their fields")
    else:
        parts.append("no end in sight" if progress.ended < progress.total else "done")
    return ", ".join(parts)


def flight_words(progress: RunProgress) -> str | None:
    """Return `in flight: a, b, c and 5 more`; None where nothing is."""
    return f"in flight: {ids_words(progress.in_flight)}" if progress.in_flight else None


def _started_sentence(event: RunStarted) -> str:
    counts = event.plan.counts
    uploads, unchanged = counts[ActionKind.CREATE] + counts[ActionKind.REPLACE], counts[ActionKind.UNCHANGED]
    binds = f"{counts[ActionKind.BIND]:,} to bind, " if counts[ActionKind.BIND] else ""
    what = f"{count_words(uploads, 'item')} to upload, {binds}{unchanged:,} unchanged, from {rate_words(event.rate)}"
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
