"""The control plane under `/_emulator/`: what tests look at and turn. No credentials, no rates, no faults."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from aiohttp import web
from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from batch_upload.emulator.attachment import Status
from batch_upload.emulator.clock import Clock
from batch_upload.emulator.core import Emulator, described
from batch_upload.emulator.faults import faults_from_json
from batch_upload.errors import UsageError

PREFIX = "/_emulator"


@dataclass(frozen=True, slots=True)
class Planted:
    """An attachment to plant, as a test describes it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    region: str = "us-east-1"
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    created_at: AwareDatetime | None = None
    client_token: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class StatusChange:
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    status: Status


_PLANTED = TypeAdapter(Planted)
_STATUS_CHANGE = TypeAdapter(StatusChange)


class ControlPlane:
    """Each route answers JSON; a request that cannot be is answered 400 with `{"error": …}`, an unknown id 404."""

    def __init__(self, emulator: Emulator, clock: Clock) -> None:
        self._emulator = emulator
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PREFIX}/stats", self.stats),
            web.get(f"{PREFIX}/log", self.log),
            web.get(f"{PREFIX}/settings", self.settings),
            web.get(f"{PREFIX}/attachments", self.attachments),
            web.post(f"{PREFIX}/attachments", _checked(self.plant)),
            web.post(f"{PREFIX}/attachments/{{id}}/status", _checked(self.set_status)),
            web.post(f"{PREFIX}/faults", _checked(self.set_faults)),
            web.post(f"{PREFIX}/settings", _checked(self.change_settings)),
        ]

    async def stats(self, _request: web.Request) -> web.Response:
        """The counters."""
        return _json(self._emulator.stats())

    async def log(self, _request: web.Request) -> web.Response:
        """[seconds since the start, operation, outcome, token] of each request, in order."""
        return _json(list(self._emulator.record.log))

    async def settings(self, _request: web.Request) -> web.Response:
        """The settings as they are now."""
        return _json(self._emulator.settings.to_json())

    async def attachments(self, _request: web.Request) -> web.Response:
        """Everything that is held."""
        return _json(self._emulator.attachments())

    async def plant(self, request: web.Request) -> web.Response:
        """Make an attachment that no client made."""
        wanted = _PLANTED.validate_json(await request.read())
        attachment = self._emulator.plant(
            region=wanted.region,
            tags=wanted.tags,
            account=wanted.account,
            created_at=wanted.created_at,
            client_token=wanted.client_token,
            status=wanted.status,
        )
        return _json(described(attachment, self._now()))

    async def set_status(self, request: web.Request) -> web.Response:
        """Force a status."""
        change = _STATUS_CHANGE.validate_json(await request.read())
        attachment = self._emulator.set_status(request.match_info["id"], change.status)
        return _json(described(attachment, self._now()))

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace the fault rules."""
        self._emulator.set_faults(faults_from_json(await request.read()))
        return _json({})

    async def change_settings(self, request: web.Request) -> web.Response:
        """Lay settings over the present ones."""
        self._emulator.change_settings(await request.read())
        return _json(self._emulator.settings.to_json())

    def _now(self) -> datetime:
        return self._clock.now()


Handler = Callable[[web.Request], Awaitable[web.Response]]


def _checked(handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (UsageError, ValidationError) as error:
            return _json({"error": str(error)}, status=400)
        except KeyError as error:
            return _json({"error": f"no attachment {error}"}, status=404)

    return checked


def _json(value: Any, *, status: int = 200) -> web.Response:  # noqa: ANN401 - whatever JSON holds
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")
