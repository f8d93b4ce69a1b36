"""`--notify URL`: pings a monitor in the style of healthchecks at the begin and the end of a verb.

`URL/start` at the begin, `URL` for a success, `URL/fail` if a person must act (as with `--quiet`), and `URL/log` if the
same command again will do: the job lives, and the monitor's own schedule decides about success or failure. Each ping
has 5 seconds, in a thread of its own: no upload waits for it, and no exit code changes. Only counts are sent. The URL
is as good as a password and is never shown whole.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from threading import Thread
from time import monotonic
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from batch_upload.errors import UsageError
from batch_upload.escape import printable
from batch_upload.report.metrics import SUCCESSES
from batch_upload.report.summary_text import counts_lines
from batch_upload.summary import Exit, Summary, reason_of_lanes

LIMIT_S = 5.0
BODY_LIMIT = 10_000
"""Bytes that every monitor takes (healthchecks keeps 100 kB)."""
_AGENT = "batch-upload"


class Monitor:
    """The monitor of one verb. Raises UsageError for what is not a URL that can be pinged, without showing it."""

    def __init__(self, url: str, *, limit_s: float = LIMIT_S) -> None:
        hint = "such as `https://hc-ping.com/…`"
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise UsageError("`--notify` is not a URL", hint=hint) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("`--notify` wants a URL of http or https", hint=hint)
        if parts.username is not None or parts.password is not None:
            raise UsageError("`--notify` takes no user and password in its URL", hint=hint)
        if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
            raise UsageError("`--notify` is not a URL: it holds characters that must be written as `%XX`", hint=hint)
        self._url = parts
        self._limit_s = limit_s
        self._pings: list[_Ping] = []

    @property
    def shown(self) -> str:
        """The part of the URL that may be shown."""
        return printable(f"{self._url.scheme}://{self._url.hostname}/…")

    def begin(self) -> None:
        """Ping that the verb has begun, and do not wait."""
        self._ping("start", "")

    def end(self, summary: Summary) -> str | None:
        """Ping how it ended, and wait 5 seconds at most for each ping. Return what went wrong, or None."""
        for earlier in self._pings:
            earlier.wait()  # a start that comes in after the end would look like a run that hangs
        self._ping(path_of(summary.exit), body_of(summary))
        return next((wrong for wrong in [ping.wait() for ping in self._pings] if wrong), None)

    def _ping(self, below: str, body: str) -> None:
        path = f"{self._url.path.rstrip('/')}/{below}" if below else self._url.path
        url = urlunsplit((self._url.scheme, self._url.netloc, path, self._url.query, ""))
        self._pings.append(_Ping(url, body.encode("utf-8", "backslashreplace")[:BODY_LIMIT], limit_s=self._limit_s))


def path_of(ending: Exit) -> str:
    """Return what follows the URL for this end."""
    if ending.code in SUCCESSES:
        return ""
    return "fail" if ending.wants_a_person else "log"


def body_of(summary: Summary) -> str:
    """Return the text that is sent: the counts of the summary, without an id, path or command."""
    ending = summary.exit
    where = summary.verb if summary.batch is None else f"{summary.verb} of batch `{summary.batch}`"
    first = f"{printable(where)}: exit {int(ending.code)} ({ending.name})"
    again = "" if ending.resume_after is None else f"not before {ending.resume_after:%Y-%m-%d %H:%M} UTC"
    counts: Sequence[str] = counts_lines(summary) if summary.items else ()
    lanes = f"lanes: {reason_of_lanes(summary.lanes)}" if summary.lanes else ""
    return "\n".join(line for line in (first, lanes, *counts, again) if line) + "\n"


class _Ping:
    """One request, sent by a daemon thread: the process does not wait for it as it ends."""

    def __init__(self, url: str, body: bytes, *, limit_s: float) -> None:
        self._request = urllib.request.Request(  # noqa: S310 - http or https, see Monitor
            url, data=body, headers={"User-Agent": _AGENT, "Content-Type": "text/plain; charset=utf-8"}, method="POST"
        )
        self._limit_s = limit_s
        self._wrong = self._too_late = f"no answer within {limit_s:g} s"
        self._until = monotonic() + limit_s
        self._thread = Thread(target=self._send, name="notify", daemon=True)
        self._thread.start()

    def wait(self) -> str:
        """Wait for its end, but not beyond its limit. Return what went wrong, or an empty text."""
        self._thread.join(max(0.0, self._until - monotonic()))
        return self._wrong

    def _send(self) -> None:
        try:
            with _OPENER.open(self._request, timeout=self._limit_s) as answer:
                answer.read(BODY_LIMIT)
        except urllib.error.HTTPError as error:
            self._wrong = f"it answered {error.code}"
            error.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            # never the error's own text, which may hold the URL
            inner = error.reason if isinstance(error, urllib.error.URLError) else None
            cause = inner if isinstance(inner, Exception) else error
            if isinstance(cause, TimeoutError):
                self._wrong = self._too_late
            else:
                said = cause.strerror.lower() if isinstance(cause, OSError) and cause.strerror else ""
                self._wrong = said or type(cause).__name__
        else:
            self._wrong = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: only the host that the user named gets the request."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
