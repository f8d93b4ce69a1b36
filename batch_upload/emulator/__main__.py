"""The emulator as a process of its own: prints its URL when it is ready, ends when stdin closes or on a signal."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.serve import serving
from batch_upload.emulator.settings import EmulatorSettings


def serve_from_command_line() -> int:
    """Run until told to stop. Return 0, or 2 for an argument that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m batch_upload.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep the state in this file")
    parser.add_argument("--settings", metavar="JSON or FILE", help="settings as JSON, or a file: docs/emulator.md")
    arguments = parser.parse_args()
    try:
        settings = EmulatorSettings.from_argument(arguments.settings)
        asyncio.run(_serve_until_told(settings, port=arguments.port, state_path=arguments.state))
    except ConfigurationError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


async def _serve_until_told(settings: EmulatorSettings, *, port: int, state_path: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def stop_at_the_end_of_stdin() -> None:
        # The descriptor, not sys.stdin: a thread that holds its lock when Python ends would abort the process.
        with suppress(OSError):
            while os.read(0, 4_096):
                pass
        with suppress(RuntimeError):  # the loop has closed already
            loop.call_soon_threadsafe(stop.set)

    async with serving(settings, port=port, state_path=state_path) as running:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        threading.Thread(target=stop_at_the_end_of_stdin, daemon=True).start()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(serve_from_command_line())
