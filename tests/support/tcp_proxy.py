"""A wire on loopback that can be slow, silent, or cut: a TCP proxy in threads of its own.

It reads PostgreSQL's protocol where it is not encrypted, so that it can cut right before or right after a message,
such as the COMMIT of a transaction or the server's answer to it.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

CHUNK = 65_536
_LINGER_NOT = struct.pack("ii", 1, 0)
_REQUESTS = (80_877_103, 80_877_104)  # SSLRequest, GSSENCRequest: answered by one byte


class Way(Enum):
    """Who sends: the client or the server."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


@dataclass(frozen=True, slots=True)
class Message:
    """A message of PostgreSQL's protocol. `kind` is its type byte, empty for a message of the connection's start."""

    way: Way
    kind: bytes
    body: bytes


Cut = Callable[[Message], bool]
"""Whether to cut at this message."""


def commit_asked(message: Message) -> bool:
    """The client asks for a COMMIT: as a simple query, or as a statement that is parsed."""
    if message.way is not Way.TO_SERVER or message.kind not in (b"Q", b"P"):
        return False
    text = message.body if message.kind == b"Q" else message.body.partition(b"\0")[2]
    return text.lstrip().upper().startswith(b"COMMIT")


def commit_done(message: Message) -> bool:
    """The server says that a COMMIT is done (CommandComplete)."""
    return message.way is Way.TO_CLIENT and message.kind == b"C" and message.body == b"COMMIT\0"


class TcpProxy:
    """A proxy that listens on `port` of 127.0.0.1 and connects to `target`, a port of the same address.

    `delay_s`: how late each chunk of bytes is, in each direction. `target` and `delay_s` may be changed at any time;
    connections that are open keep their server. `accepted` counts the connections, `cuts` those that were cut at a
    message.
    """

    def __init__(self, target: int, port: int) -> None:
        self.target = target
        self.port = port
        self.delay_s = 0.0
        self.accepted = 0
        self.cuts = 0
        self.wires: set[_Wire] = set()
        self.lock = threading.Lock()
        self.passes = threading.Event()
        self.passes.set()
        self.before: Cut | None = None
        self.after: Cut | None = None
        self._is_refusing = False

    def hold(self) -> None:
        """Let nothing pass, in either direction, until `release`. Connections are accepted, and nothing comes."""
        self.passes.clear()

    def release(self) -> None:
        """Let everything pass that came meanwhile."""
        self.passes.set()

    def refuse(self) -> None:
        """Cut every connection, and each new one at once, until `admit`."""
        self._is_refusing = True
        self.cut()

    def admit(self) -> None:
        self._is_refusing = False

    def cut(self) -> None:
        """Reset all connections, on both sides."""
        for wire in self._wires():
            wire.reset()

    def cut_from_server(self) -> None:
        """Cut all connections half-open: the server sees the end of them, and the client never hears of it."""
        for wire in self._wires():
            wire.reset_server()

    def lose(self) -> None:
        """Let nothing more pass on the connections that are open: neither side hears of it. New ones pass."""
        for wire in self._wires():
            wire.is_lost = True

    def cut_before(self, cut: Cut) -> None:
        """Reset each connection right before a message for which `cut` returns true: it does not pass."""
        self.before = cut

    def cut_after(self, cut: Cut) -> None:
        """Reset each connection right after a message for which `cut` returns true has passed."""
        self.after = cut

    def spare(self) -> None:
        """Cut at no message any more."""
        self.before = self.after = None

    def _wires(self) -> list["_Wire"]:
        with self.lock:
            return list(self.wires)

    def serve(self, listener: socket.socket) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the listener is closed: the end
                return
            self.accepted += 1
            if self._is_refusing:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            wire = _Wire(self, client, server)
            with self.lock:
                self.wires.add(wire)
            wire.start()


class _Wire:
    """One connection: a thread for each direction."""

    def __init__(self, proxy: TcpProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._ends = 0
        self.is_lost = False
        self._threads = [
            threading.Thread(target=self._pump, args=(client, server, Way.TO_SERVER), daemon=True),
            threading.Thread(target=self._pump, args=(server, client, Way.TO_CLIENT), daemon=True),
        ]
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def reset(self) -> None:
        """Reset both sides."""
        _reset(self._client)
        _reset(self._server)

    def reset_server(self) -> None:
        """Reset the server's side only."""
        self.is_lost = True
        _reset(self._server)

    def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        parser = _Parser(way)
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                if self._proxy.delay_s:
                    threading.Event().wait(self._proxy.delay_s)
                self._proxy.passes.wait()
                if not self.is_lost and not self._pass(parser, chunk, sink):
                    break
        self._end(sink)

    def _pass(self, parser: "_Parser", chunk: bytes, sink: socket.socket) -> bool:
        """Send on what came, message by message. Return False where the wire was cut."""
        for raw, message in parser.feed(chunk):
            if message is not None and self._is_cut(self._proxy.before, message):
                return False
            sink.sendall(raw)
            if message is not None and self._is_cut(self._proxy.after, message):
                return False
        return True

    def _is_cut(self, cut: Cut | None, message: Message) -> bool:
        if cut is None:
            return False
        with self._proxy.lock:
            if not cut(message):
                return False
            self._proxy.cuts += 1
        self.reset()
        return True

    def _end(self, sink: socket.socket) -> None:
        """One direction has ended: say so to the other side, unless it must not hear of it."""
        if not self.is_lost:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        with self._proxy.lock:
            self._ends += 1
            if self._ends < 2:
                return
            self._proxy.wires.discard(self)
        self._client.close()
        self._server.close()


class _Parser:
    """Cuts a stream into messages. What is not PostgreSQL's, or encrypted, passes as it is."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._rest = b""
        self._is_starting = way is Way.TO_SERVER
        self._is_plain = True

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, Message | None]]:
        """Yield the bytes to send on, each with its message if it is one."""
        self._rest += chunk
        while self._rest:
            if not self._is_plain:
                raw, self._rest = self._rest, b""
                yield raw, None
                return
            taken = self._one()
            if taken is None:
                return
            yield taken

    def _one(self) -> tuple[bytes, Message | None] | None:
        """Take one message from the rest; None where it is not whole yet."""
        rest = self._rest
        if self._way is Way.TO_CLIENT and rest[:1] in (b"N", b"S", b"G") and len(rest) == 1:
            self._is_plain = rest == b"N"  # the answer to SSLRequest
            self._rest = b""
            return rest, None
        head = 0 if self._is_starting else 1
        if len(rest) < head + 4:
            return None
        (length,) = struct.unpack("!I", rest[head : head + 4])
        if not 4 <= length < 1 << 30:
            self._is_plain = False
            self._rest = b""
            return rest, None
        if len(rest) < head + length:
            return None
        raw, self._rest = rest[: head + length], rest[head + length :]
        body = raw[head + 4 :]
        if self._is_starting:
            self._is_starting = len(body) >= 4 and struct.unpack("!I", body[:4])[0] in _REQUESTS
        return raw, Message(self._way, raw[:head], body)


def _reset(side: socket.socket) -> None:
    """Close a socket with a RST, whatever else uses it."""
    with suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
    with suppress(OSError):
        side.close()


@contextmanager
def running_proxy(target: int) -> Iterator[TcpProxy]:
    """Start a proxy in front of a port, and end all its connections at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TcpProxy(target, int(listener.getsockname()[1]))
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            proxy.release()
            proxy.cut()
            thread.join(timeout=10)
