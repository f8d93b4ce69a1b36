"""Points of a run at which its own process is stopped (SIGSTOP) or killed, wherever the command's code is.

The points are where the libraries under the command are called: a statement of psycopg, a signature of botocore, bytes
that are about to leave. So they are there in every verb, in a worker of a fleet, and whatever our own code is called.
"""

import os
import signal
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

BEFORE_GROUP = "before a group is begun"
BEFORE_INTENT = "before an intent is written"
BEFORE_COMMIT = "before a commit is asked for"
AFTER_COMMIT = "after a commit is done"
SIGNED = "after a create is signed and before it is checked"
LEAVING = "right before a create leaves"
ANSWERED = "after a create is answered"
BEFORE_OUTCOME = "before an outcome is written"
PUT_SIGNED = "after a request to bind is signed and before it is checked"
PUT_LEAVING = "right before a request to bind leaves"
PUT_ANSWERED = "after a request to bind is answered"
BEFORE_BIND_INTENT = "before an intent to bind is written"
BEFORE_BIND_OUTCOME = "before the outcome of a binding is written"
OF_BINDING = (BEFORE_BIND_INTENT, PUT_SIGNED, PUT_LEAVING, PUT_ANSWERED, BEFORE_BIND_OUTCOME)
OUTSIDE_COMMIT = (BEFORE_GROUP, BEFORE_INTENT, SIGNED, LEAVING, ANSWERED, BEFORE_OUTCOME)
ALL = (BEFORE_GROUP, BEFORE_INTENT, BEFORE_COMMIT, AFTER_COMMIT, SIGNED, LEAVING, ANSWERED, BEFORE_OUTCOME)
_POINTS_BY_OPERATION = {
    "CreateRegistrationAttachment": (SIGNED, LEAVING, ANSWERED),
    "PutRegistrationFieldValue": (PUT_SIGNED, PUT_LEAVING, PUT_ANSWERED),
}
"""The points of a request: when it is signed, when its body leaves, and when it is answered."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The `at`-th time that a run comes to `point` (from 1) it sends itself `number`. 0: it goes on."""

    point: str
    at: int
    number: int = signal.SIGSTOP


def install(pause: Pause | None, lease_s: float | None, away_s: float | None = None) -> None:
    """Let this forked process pause. `lease_s`: how long its leases and its patience with a silent server last;
    `away_s`: how long it waits for a database that is away."""
    if away_s is not None:
        from batch_upload.ledger.postgres import open_fenced

        given = open_fenced.__kwdefaults__
        if given is None or "reconnect_s" not in given:
            raise AttributeError("the time that a database is waited for has another name now")
        given["reconnect_s"] = away_s
    if lease_s is not None:
        from batch_upload.ledger.postgres import PostgresLeases, connection

        defaults = PostgresLeases.__init__.__kwdefaults__
        if defaults is None or "ttl_s" not in defaults:
            raise AttributeError("the duration of a lease has another name now")
        defaults["ttl_s"] = lease_s
        connection.SILENCE_S = lease_s
    if pause is not None:
        _watch(_passing(pause))


def _passing(pause: Pause) -> Callable[[str], None]:
    seen = 0

    def passed(point: str) -> None:
        nonlocal seen
        if point == pause.point:
            seen += 1
            if seen == pause.at:
                os.kill(os.getpid(), pause.number)

    return passed


def _watch(passed: Callable[[str], None]) -> None:
    """Let every point be passed before or after what it is named for."""
    import psycopg
    from aiobotocore.httpsession import AIOHTTPSession
    from aiohttp import BytesPayload
    from botocore.auth import SigV4Auth

    execute = psycopg.Cursor.execute

    @wraps(execute)
    def counted(cursor: Any, query: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - psycopg's own
        text = query if isinstance(query, str) else bytes(query).decode() if isinstance(query, bytes) else ""
        point = _point_of(text)
        if point is not None:
            passed(point)
        done = execute(cursor, query, *arguments, **named)
        if point == BEFORE_COMMIT:
            passed(AFTER_COMMIT)
        return done

    psycopg.Cursor.execute = counted  # type: ignore[method-assign, assignment]

    sign = SigV4Auth.add_auth

    @wraps(sign)
    def signed(self: Any, request: Any) -> None:  # noqa: ANN401 - botocore's own
        sign(self, request)
        if points := _points_of_request(request):
            passed(points[0])

    SigV4Auth.add_auth = signed

    send = AIOHTTPSession.send

    @wraps(send)
    async def leaving(self: Any, request: Any) -> Any:  # noqa: ANN401 - aiobotocore's own
        points = _points_of_request(request)
        if not points:
            return await send(self, request)
        leaves_at.set(points[1])  # for the task that aiohttp starts to write the body
        try:
            answer = await send(self, request)
        finally:
            leaves_at.set("")
        passed(points[2])
        return answer

    AIOHTTPSession.send = leaving

    leaves_at: ContextVar[str] = ContextVar("leaves_at", default="")
    write = BytesPayload.write_with_length

    @wraps(write)
    async def writing(self: Any, *arguments: Any) -> None:  # noqa: ANN401 - aiohttp's own
        if point := leaves_at.get():
            passed(point)
        await write(self, *arguments)

    BytesPayload.write_with_length = writing  # type: ignore[method-assign, assignment]


def _point_of(statement: str) -> str | None:
    text = statement.lstrip().upper()
    if text.startswith("BEGIN") and "READ WRITE" in text:
        return BEFORE_GROUP
    if text.startswith("COMMIT"):
        return BEFORE_COMMIT
    points = {
        "INSERT INTO ATTEMPT": BEFORE_INTENT,
        "INSERT INTO OUTCOME": BEFORE_OUTCOME,
        "INSERT INTO BIND_ATTEMPT": BEFORE_BIND_INTENT,
        "INSERT INTO BIND_OUTCOME": BEFORE_BIND_OUTCOME,
    }
    return next((point for insert, point in points.items() if insert in text), None)


def _points_of_request(request: Any) -> tuple[str, str, str] | None:  # noqa: ANN401 - of botocore
    target = request.headers.get("X-Amz-Target", b"")
    name = target.decode() if isinstance(target, bytes) else str(target)
    return _POINTS_BY_OPERATION.get(name.rpartition(".")[2])
