"""Serving an emulator over HTTP on loopback, and the control plane by which tests look at it and change it."""

import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from anyio.from_thread import start_blocking_portal
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from batch_upload.emulator.context import EmulatorClock, RealClock
from batch_upload.emulator.core import Emulator
from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import faults_from_json
from batch_upload.emulator.http import ServiceEndpoint
from batch_upload.emulator.limits import STRICT_JSON
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.registration_state import FieldDenial, VersionStatus
from batch_upload.emulator.registration_types import RegistrationId, RegistrationTypeName
from batch_upload.emulator.settings import AccountId, EmulatorSettings
from batch_upload.emulator.state import Journal

CONTROL_PREFIX = "/_emulator"
MAX_REQUEST_BYTES = 64 * 1024 * 1024
STOP_GRACE_S = 0.5
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
    host: str = "127.0.0.1",
    port: int = 0,
    state_path: Path | None = None,
    clock: EmulatorClock | None = None,
) -> AsyncIterator[RunningEmulator]:
    """Serve on this event loop (asyncio's) until the context ends; port 0 takes a free one.

    `state_path` keeps the state in a file. Raises ConfigurationError for a host that is not loopback, a port that is
    taken, and a state that cannot be used. Stops promptly, whatever clients are waiting for.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigurationError(f"the emulator listens on loopback only, not on `{host}`")
    clock = RealClock() if clock is None else clock
    service_model()  # read now, so that the first request is not the slow one
    with nullcontext() if state_path is None else closing(Journal(state_path)) as journal:
        emulator = Emulator(settings, clock=clock, journal=journal)
        endpoint = ServiceEndpoint(emulator, clock)
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.add_routes([web.post("/", endpoint.handle), *control_routes(emulator, clock)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_GRACE_S)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except (OSError, OverflowError) as error:
                raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error
            bound_host, bound_port, *_ = runner.addresses[0]
            bound_host = f"[{bound_host}]" if ":" in bound_host else bound_host
            yield RunningEmulator(url=f"http://{bound_host}:{bound_port}", emulator=emulator)
        finally:
            endpoint.stop()
            await runner.cleanup()


@contextmanager
def serving_in_thread(
    settings: EmulatorSettings | None = None, *, port: int = 0, state_path: Path | None = None
) -> Iterator[RunningEmulator]:
    """Serve from a thread of its own, for code that is not asynchronous; otherwise as `serving`."""
    chosen = EmulatorSettings() if settings is None else settings
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(chosen, port=port, state_path=state_path)) as running,
    ):
        yield running


@validated(frozen=True, slots=True, config=STRICT_JSON)
class PlantedAttachment:
    """An attachment to plant, as `POST /_emulator/attachments` takes it."""

    region: str = "us-east-1"
    tags: Mapping[str, str] = field(default_factory=dict)
    account: AccountId | None = None
    created_at: AwareDatetime | None = None
    client_token: str | None = None
    status: UploadStatus | None = None


@validated(frozen=True, slots=True, config=STRICT_JSON)
class StatusChange:
    status: UploadStatus


@validated(frozen=True, slots=True, config=STRICT_JSON)
class PlantedRegistration:
    """A registration to plant, as `POST /_emulator/registrations` takes it."""

    registration_type: RegistrationTypeName
    region: str = "us-east-1"
    account: AccountId | None = None
    registration_id: RegistrationId | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@validated(frozen=True, slots=True, config=STRICT_JSON)
class RegistrationReview:
    """A reviewer's decision, as `POST /_emulator/registrations/{id}/review` takes it."""

    status: VersionStatus
    version: int | None = None
    denials: Mapping[str, FieldDenial] = field(default_factory=dict)
    feedback: str | None = None


_PLANTED = TypeAdapter(PlantedAttachment)
_STATUS_CHANGE = TypeAdapter(StatusChange)
_PLANTED_REGISTRATION = TypeAdapter(PlantedRegistration)
_REVIEW = TypeAdapter(RegistrationReview)


def control_routes(emulator: Emulator, clock: EmulatorClock) -> list[web.RouteDef]:
    """Return the routes of the control plane, which needs no credentials and knows no rates and no faults.

    Each answers JSON: 400 with `{"error": …}` for a request that cannot be, 404 for an id that is unknown.
    """

    def plant(body: bytes, _: str) -> object:
        return emulator.plant(**asdict(_PLANTED.validate_json(body))).to_json(clock.now())

    def set_status(body: bytes, attachment_id: str) -> object:
        status = _STATUS_CHANGE.validate_json(body).status
        return emulator.set_status(attachment_id, status).to_json(clock.now())

    def plant_registration(body: bytes, _: str) -> object:
        planted = asdict(_PLANTED_REGISTRATION.validate_json(body))
        return emulator.registrations.plant(**planted).to_json()

    def review(body: bytes, registration_id: str) -> object:
        decision = _REVIEW.validate_json(body)
        return emulator.registrations.review(
            registration_id,
            decision.status,
            version=decision.version,
            denials=decision.denials,
            feedback=decision.feedback,
        ).to_json()

    def open_version(_: bytes, registration_id: str) -> object:
        return emulator.registrations.open_version(registration_id).to_json()

    def set_faults(body: bytes, _: str) -> object:
        emulator.set_faults(faults_from_json(body))
        return {}

    def change_settings(body: bytes, _: str) -> object:
        emulator.change_settings(body)
        return emulator.settings.to_json()

    return [
        web.get(f"{CONTROL_PREFIX}/stats", _answering(lambda *_: emulator.stats())),
        web.get(f"{CONTROL_PREFIX}/log", _answering(lambda *_: list(emulator.log.entries))),
        web.get(f"{CONTROL_PREFIX}/settings", _answering(lambda *_: emulator.settings.to_json())),
        web.get(f"{CONTROL_PREFIX}/attachments", _answering(lambda *_: emulator.attachments())),
        web.post(f"{CONTROL_PREFIX}/attachments", _answering(plant)),
        web.post(f"{CONTROL_PREFIX}/attachments/{{id}}/status", _answering(set_status)),
        web.get(f"{CONTROL_PREFIX}/registrations", _answering(lambda *_: emulator.registrations.all())),
        web.post(f"{CONTROL_PREFIX}/registrations", _answering(plant_registration)),
        web.post(f"{CONTROL_PREFIX}/registrations/{{id}}/review", _answering(review)),
        web.post(f"{CONTROL_PREFIX}/registrations/{{id}}/versions", _answering(open_version)),
        web.post(f"{CONTROL_PREFIX}/faults", _answering(set_faults)),
        web.post(f"{CONTROL_PREFIX}/settings", _answering(change_settings)),
    ]


def _answering(action: Callable[[bytes, str], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that answers with what the action makes of the body and the id in the path."""

    async def handle(request: web.Request) -> web.Response:
        status = 200
        try:
            value = action(await request.read(), request.match_info.get("id", ""))
        except (ConfigurationError, ValidationError) as error:
            status, value = 400, {"error": str(error)}
        except KeyError as error:
            status, value = 404, {"error": f"there is no {error}"}
        return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")

    return handle
