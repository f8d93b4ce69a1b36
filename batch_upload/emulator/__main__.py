"""The emulator as a process of its own: prints its URL when it is ready, ends when stdin closes or on a signal."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from batch_upload.emulator.serve import serving
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.errors import UsageError


def main() -> int:
    """Run until told to stop. Exit code 0, or 2 for an argument that cannot be."""
    arguments = _parser().parse_args()
    try:
        asyncio.run(_run(EmulatorSettings.given(arguments.settings), port=arguments.port, state_path=arguments.state))
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return int(error.exit_code)
    return 0


async def _run(settings: EmulatorSettings, *, port: int, state_path: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings, port=port, state_path=state_path) as running:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
        await stop.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # The descriptor, not sys.stdin: a thread that holds its lock when Python ends would abort the process.
    while _is_read(0):
        pass
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:
        return  # the loop has closed already, so there is nobody left to tell


def _is_read(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 4_096))
    except OSError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batch_upload.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep the state in this file")
    parser.add_argument("--settings", metavar="FILE or JSON", help="a file with settings, or the JSON itself")
    return parser


if __name__ == "__main__":
    sys.exit(main())
