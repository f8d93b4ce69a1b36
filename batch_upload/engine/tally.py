"""Counting what happened: the numbers of the summary, from the same events that everybody else sees."""

from collections import Counter
from dataclasses import dataclass, field

from batch_upload.events import ItemChanged, Requested
from batch_upload.model import OutcomeKind, State
from batch_upload.operations import CREATE, PUT_FIELD


@dataclass(slots=True)
class Tally:
    """Counts of one run. `requests` are wire attempts by operation, `throttled` of all operations."""

    requests: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    uploaded: int = 0
    adopted: int = 0
    bound: int = 0
    """Requests that put an attachment into a field."""
    failed: int = 0
    bytes_sent: int = 0
    states: dict[str, State] = field(default_factory=dict)
    """By item id, of the items that have moved on in this run."""
    latency_s: float | None = None
    """How long a create takes that is accepted: a moving average over the last 20 or so, or None before the first."""

    def notify(self, event: object) -> None:
        match event:
            case Requested():
                self.requests[event.operation] += 1
                self.throttled += event.outcome is OutcomeKind.THROTTLED
                self.bound += event.operation == PUT_FIELD and event.outcome is OutcomeKind.ACCEPTED
                if event.operation == CREATE and event.outcome is OutcomeKind.ACCEPTED:
                    before = event.latency_s if self.latency_s is None else self.latency_s
                    self.latency_s = before + (event.latency_s - before) / 20
            case ItemChanged():
                self.states[event.known.item_id] = event.known.state
                if event.created:
                    self.uploaded += 1
                    self.bytes_sent += event.known.size_bytes or 0
                self.adopted += event.adopted
                self.failed += event.ended and event.known.state is State.FAILED
