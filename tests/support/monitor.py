"""A monitor in the style of healthchecks, on loopback: it remembers who pinged what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass(slots=True)
class HeardMonitor:
    """What it heard, in order: method, path with query, and body."""

    url: str
    heard: list[tuple[str, str, str]] = field(default_factory=list)
    may_answer: Event = field(default_factory=Event)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.heard]


@contextmanager
def monitor(*, status: int = 200, hangs: bool = False, location: str | None = None) -> Iterator[HeardMonitor]:
    """Serve until the context ends. With `hangs` it takes a request and answers once the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            heard.heard.append((self.command, self.path, self.rfile.read(size).decode()))
            heard.may_answer.wait()
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests read what was heard."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        heard = HeardMonitor(f"http://127.0.0.1:{server.server_port}/ping/canary-uuid")
        if not hangs:
            heard.may_answer.set()
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield heard
        finally:
            heard.may_answer.set()
            server.shutdown()
            thread.join()
