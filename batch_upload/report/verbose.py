"""`-v`: a line for each request on the wire. No document, no header, no credential is in any event."""

from datetime import datetime
from typing import TextIO

from batch_upload.escape import printable, write_text
from batch_upload.events import Requested, Retrying, Sending
from batch_upload.words import fault_words, utc_text


class VerboseObserver:
    """Writes a line for each request; at level 2 also when a create leaves, and how long a retry waits.

    Raises OSError as the stream does.
    """

    def __init__(self, stream: TextIO, *, level: int) -> None:
        self._stream = stream
        self._level = level

    def notify(self, event: object) -> None:
        line = self._line(event)
        if line is not None:
            write_text(self._stream, [line])

    def tick(self, at: datetime) -> None:
        """Lines come of events alone."""

    def close(self) -> None:
        """The stream is the caller's."""

    def _line(self, event: object) -> str | None:
        match event:
            case Requested() if self._level >= 1:
                return _requested(event)
            case Sending() if self._level >= 2:
                return (
                    f"{utc_text(event.at)} sending {_item(event.item_id)} attempt={event.number} {event.client_token}"
                )
            case Retrying() if self._level >= 2:
                return (
                    f"{utc_text(event.at)} retrying {event.operation} {_item(event.item_id)} in {event.delay_s:.2f} s"
                )
        return None


def _requested(event: Requested) -> str:
    said = f": {printable(fault_words(event.fault))}" if event.fault else ""
    request = f" request={event.request_id}" if event.request_id else ""
    milliseconds = round(event.latency_s * 1000)
    where = f" {_item(event.item_id)}" if event.item_id else ""
    return f"{utc_text(event.at)} {event.operation}{where} {event.outcome} {milliseconds} ms{request}{said}"


def _item(item_id: str | None) -> str:
    return f"`{printable(item_id)}`" if item_id else ""
