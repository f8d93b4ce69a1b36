"""A host that nothing may ever be sent to: it takes whatever comes, keeps it, and answers what a thief would."""

import json
import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

FORGED = {
    "RegistrationAttachmentArn": "arn:aws:sms-voice:us-east-1:666666666666:registration-attachment/forged",
    "RegistrationAttachmentId": "forged",
    "AttachmentStatus": "UPLOAD_COMPLETE",
    "CreatedTimestamp": 1_800_000_000,
    "RegistrationAttachments": [],
    "Tags": [],
}
"""Good enough for a client that follows a redirect to be content with."""
PATIENCE_S = 1.0
"""How long it waits for the rest of a request before it answers."""


@dataclass(slots=True)
class Thief:
    """`connections` were opened, and these bytes came, in the pieces in which they came."""

    url: str
    connections: int = 0
    stolen: list[bytes] = field(default_factory=list)

    def assert_nothing_came(self) -> None:
        """Not one request, not one byte, not even a connection."""
        assert (self.connections, self.stolen) == (0, [])


@contextmanager
def waiting_thief() -> Iterator[Thief]:
    """Wait on loopback until the context ends."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            thief.connections += 1
            request: socket.socket = self.request
            request.settimeout(PATIENCE_S)
            with suppress(TimeoutError):
                while taken := request.recv(65_536):
                    thief.stolen.append(taken)
                    if taken.endswith((b"\r\n\r\n", b"}")):
                        break
            body = json.dumps(FORGED).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
            request.sendall(head.encode() + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thief = Thief(f"http://127.0.0.1:{server.server_address[1]}/stolen")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield thief
        finally:
            server.shutdown()
            thread.join()
