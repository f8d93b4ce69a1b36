"""Serving an emulator over HTTP on loopback, on the event loop that is running."""

import ipaddress
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from batch_upload.emulator.clock import Clock, SystemClock
from batch_upload.emulator.control import ControlPlane
from batch_upload.emulator.core import Emulator
from batch_upload.emulator.http import MAX_REQUEST_BYTES, ServiceEndpoint
from batch_upload.emulator.journal import Journal
from batch_upload.emulator.model import service_model
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.errors import UsageError

LOOPBACK = "127.0.0.1"
SHUTDOWN_S = 0.5
"""How long requests that are being answered get when the emulator stops; what hangs is cut at once."""


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """`url` is the endpoint for clients, without a slash at its end."""

    url: str
    emulator: Emulator


@asynccontextmanager
async def serving(
    settings: EmulatorSettings,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    state_path: Path | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[RunningEmulator]:
    """Serve until the context ends; port 0 takes a free one. `state_path` keeps the state in a file.

    Raises UsageError for a host that is not loopback, a port that is taken, and a state that cannot be used. Stops
    promptly, whatever clients are waiting for.
    """
    _check_loopback(host)
    time = SystemClock() if clock is None else clock
    # Read now, so that the first request is not the slow one.
    service_model()
    with _journal(state_path) as journal:
        emulator = Emulator(settings, clock=time, journal=journal)
        async with _bound(emulator, time, host=host, port=port) as url:
            yield RunningEmulator(url=url, emulator=emulator)


@contextmanager
def _journal(path: Path | None) -> Iterator[Journal | None]:
    if path is None:
        yield None
        return
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


@asynccontextmanager
async def _bound(emulator: Emulator, clock: Clock, *, host: str, port: int) -> AsyncIterator[str]:
    endpoint = ServiceEndpoint(emulator, clock)
    runner = web.AppRunner(
        _application(endpoint, ControlPlane(emulator, clock)), access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        yield await _listening(runner, host, port)
    finally:
        endpoint.stop()
        await runner.cleanup()


def _application(endpoint: ServiceEndpoint, control: ControlPlane) -> web.Application:
    application = web.Application(client_max_size=MAX_REQUEST_BYTES)
    application.add_routes([web.post("/", endpoint.handle), *control.routes()])
    return application


async def _listening(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error}") from error
    bound_host, bound_port, *_ = runner.addresses[0]
    return f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"


def _check_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(f"the emulator listens on loopback only, not on `{host}`")
