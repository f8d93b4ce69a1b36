"""The installed command, with what its process holds written down while it runs.

`python -m tests.support.sampled_command FILE SECONDS -- ARGUMENTS`: every so many seconds a thread adds a line of JSON
to FILE (`Sample`). The command itself is as it always is.
"""

import asyncio
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import FrameType

PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds at a time: seconds since its start, resident memory, and how many of each."""

    at_s: float
    memory_bytes: int
    descriptors: int
    threads: int
    """The one that samples is not counted."""
    tasks: int
    """Of the event loop; 0 while none runs."""


def read_samples(path: Path) -> list[Sample]:
    """Return what was written down."""
    return [Sample(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def held(samples: Sequence[Sample], tenth: int) -> Sample:
    """Return the middle of each number in a tenth of the run, the first being 1."""
    size = len(samples) / 10
    some = samples[int((tenth - 1) * size) : max(int(tenth * size), int((tenth - 1) * size) + 1)]
    return Sample(
        median(each.at_s for each in some),
        int(median(each.memory_bytes for each in some)),
        int(median(each.descriptors for each in some)),
        int(median(each.threads for each in some)),
        int(median(each.tasks for each in some)),
    )


def table(samples: Sequence[Sample]) -> str:
    """Return a row for each tenth of the run, as Markdown."""
    rows = [held(samples, tenth) for tenth in range(1, 11)]
    return "\n".join(
        [
            "| after | memory | descriptors | threads | tasks |",
            "|--:|--:|--:|--:|--:|",
            *(
                f"| {each.at_s / 60:.1f} min | {each.memory_bytes / 2**20:.0f} MiB | {each.descriptors}"
                f" | {each.threads} | {each.tasks} |"
                for each in rows
            ),
        ]
    )


def sample(began_s: float, main_thread: int) -> Sample:
    """Return what this process holds now."""
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    loop = running_loop(sys._current_frames().get(main_thread))
    return Sample(
        round(time.monotonic() - began_s, 1),
        resident_pages * PAGE_BYTES,
        len(os.listdir("/proc/self/fd")),
        threading.active_count() - 1,
        0 if loop is None else len(asyncio.all_tasks(loop)),
    )


def running_loop(frame: FrameType | None) -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in a thread, found on its stack."""
    while frame is not None:
        if frame.f_code.co_name == "run_forever" and isinstance(loop := frame.f_locals["self"], asyncio.BaseEventLoop):
            return loop
        frame = frame.f_back
    return None


def main() -> None:
    path, every_s, _, *arguments = sys.argv[1:]
    began_s, main_thread = time.monotonic(), threading.get_ident()
    tick = threading.Event()

    def keep_sampling() -> None:
        with open(path, "a", encoding="utf-8", buffering=1) as samples:
            while not tick.wait(float(every_s)):
                samples.write(json.dumps(asdict(sample(began_s, main_thread))) + "\n")

    threading.Thread(target=keep_sampling, daemon=True).start()
    from batch_upload.__main__ import main as command

    sys.argv = ["batch-upload", *arguments]
    command()


if __name__ == "__main__":
    main()
