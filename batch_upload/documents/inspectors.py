"""Looks inside documents, in processes of their own that a document cannot hang, crash or fill. Blocking.

What runs there is `inside.py`.
"""

import json
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock
from typing import IO

from batch_upload.document import Insight
from batch_upload.documents.inside import LENGTH, REQUEST, TYPES_BY_NUMBER, not_checked
from batch_upload.model import ContentType

PROCESSES = 2
"""Documents that are looked into at once. Each process has 30 MB, and 150 MB at most (`inside.MEMORY_BYTES`)."""
KEPT_MAX = 10_000
"""Digests whose insight is kept, so that the same bytes under several names are looked into once."""

NOT_STARTED = Insight(flaws=(not_checked("the program that reads it could not be started"),))
"""The insight if no process could be started, for example for lack of file descriptors. It is not remembered, so the
next run looks again."""


class InspectorPool:
    """At most PROCESSES processes, started when they are needed. For use by several threads.

    If the parent ends in any way, each of them ends once it is done with its document.
    """

    def __init__(self) -> None:
        self._idle: SimpleQueue[_Inspector] = SimpleQueue()
        self._all = [_Inspector() for _ in range(PROCESSES)]
        for each in self._all:
            self._idle.put(each)
        self._kept: dict[str, Future[Insight]] = {}
        self._lock = Lock()

    def close(self) -> None:
        """End the processes. Do not call `look_inside` afterwards."""
        for each in self._all:
            each.stop()

    def look_inside(self, content: bytes, sha256: str, content_type: ContentType) -> Insight:
        """Return what is in a document, looked into once for each digest; NOT_STARTED if no process can be started."""
        with self._lock:
            kept = self._kept.get(sha256)
            if kept is None:
                if len(self._kept) >= KEPT_MAX:
                    self._kept.clear()
                future = self._kept[sha256] = Future[Insight]()
        if kept is not None:
            return kept.result()
        inspector = self._idle.get()
        try:
            future.set_result(inspector.look_inside(content, content_type))
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            self._idle.put(inspector)
        return future.result()


class _Inspector:
    """A process, started at its first document and after it ended over one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def look_inside(self, content: bytes, content_type: ContentType) -> Insight:
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it was ended from outside, and not by this document
        try:
            process = self._process = self._process or _start()
        except OSError:
            return NOT_STARTED
        requests = _pipe(process.stdin)
        with suppress(BrokenPipeError):
            requests.write(REQUEST.pack(TYPES_BY_NUMBER.index(content_type), len(content)) + content)
            requests.flush()
        answers = _pipe(process.stdout)
        header = answers.read(LENGTH.size)
        answer = answers.read(LENGTH.unpack(header)[0]) if len(header) == LENGTH.size else b""
        if answer:
            return Insight.of_json(json.loads(answer))
        ended_by = self.stop()
        is_slow = ended_by in (-signal.SIGPROF, -signal.SIGALRM)
        why = "it takes too long to read" if is_slow else "the program that reads it crashed"
        return Insight(flaws=(not_checked(why),))

    def stop(self) -> int:
        """End the process. Returns its code, negative for a signal; 0 if there is none."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            with suppress(BrokenPipeError):
                _pipe(process.stdin).close()
            return process.wait()


def _start() -> subprocess.Popen[bytes]:
    # -P: what lies in the current folder, perhaps documents, is never imported. A session of its own: Ctrl-C is for us
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "batch_upload.documents.inside"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("a pipe is missing")
    return stream
