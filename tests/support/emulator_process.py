"""The emulator in a process of its own, for tests that kill things or run several clients."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batch_upload.emulator.request_log import LoggedRequest

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class EmulatorProcess:
    """A running emulator. `url` is the endpoint for clients."""

    url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        counters: dict[str, Any] = self._get("stats")
        return counters

    def attachments(self) -> list[dict[str, Any]]:
        held: list[dict[str, Any]] = self._get("attachments")
        return held

    def log(self) -> list[tuple[float, str, str, str | None]]:
        """(seconds since the start, operation, outcome, token) of each request, in order."""
        return [each[:4] for each in self.entries()]

    def entries(self) -> list[LoggedRequest]:
        """Return each request, in order, with its account and Region."""
        return [LoggedRequest(*each) for each in self._get("log")]

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self._post("faults", list(rules))

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        self._post("settings", dict(changes))

    def plant(self, attachment: Mapping[str, Any]) -> dict[str, Any]:
        """Make an attachment that no client made; gives it as `attachments` does."""
        planted: dict[str, Any] = self._post("attachments", dict(attachment))
        return planted

    def set_status(self, attachment_id: str, status: str) -> None:
        self._post(f"attachments/{attachment_id}/status", {"status": status})

    def registrations(self) -> list[dict[str, Any]]:
        held: list[dict[str, Any]] = self._get("registrations")
        return held

    def plant_registration(self, registration_type: str, **given: str) -> dict[str, Any]:
        """Make a registration that no client made; `given`: `region`, `account`, `registration_id`."""
        planted: dict[str, Any] = self._post("registrations", {"registration_type": registration_type, **given})
        return planted

    def review_registration(self, id_or_arn: str, status: str, **given: object) -> None:
        """Decide about a version: `version` (the current one), `denials`, `feedback`."""
        self._post(f"registrations/{quote(id_or_arn, safe='')}/review", {"status": status, **given})

    def deny_registration(
        self, id_or_arn: str, denials: Mapping[str, Mapping[str, str]], *, version: int | None = None
    ) -> None:
        """Deny a version, the current one by default. `denials`: `{field: {"reason": …, "feedback": …}}`."""
        self.review_registration(id_or_arn, "DENIED", denials=dict(denials), version=version)

    def open_registration_version(self, id_or_arn: str) -> int:
        """Add an empty draft to a registration and return its number."""
        number: int = self._post(f"registrations/{quote(id_or_arn, safe='')}/versions", {})["current_version"]
        return number

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=STOP_TIMEOUT_S)

    def _get(self, route: str) -> Any:  # noqa: ANN401 - whatever the route answers
        return self._asked(urllib.request.Request(f"{self.url}/_emulator/{route}"))  # noqa: S310 - loopback

    def _post(self, route: str, value: object) -> Any:  # noqa: ANN401 - whatever the route answers
        body = json.dumps(value).encode()
        return self._asked(urllib.request.Request(f"{self.url}/_emulator/{route}", data=body))  # noqa: S310 - loopback

    def _asked(self, request: urllib.request.Request) -> Any:  # noqa: ANN401 - whatever the route answers
        # No proxy, whatever the environment says: the emulator is on loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=STOP_TIMEOUT_S) as answer:
            return json.loads(answer.read())


@contextmanager
def running_emulator(
    settings_json: Mapping[str, Any] | None = None,
    *,
    state_path: Path | None = None,
    port: int = 0,
    env: Mapping[str, str] | None = None,
) -> Iterator[EmulatorProcess]:
    """Start an emulator, wait until it is ready, and stop it at the end, whatever happens.

    `env` is laid over the environment of the test.
    """
    command = [sys.executable, "-m", "batch_upload.emulator", "--port", str(port)]
    command += ["--settings", json.dumps(dict(settings_json or {}))]
    command += [] if state_path is None else ["--state", str(state_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield EmulatorProcess(url=_ready_url(process), process=process)
        finally:
            _stop(process)


def _ready_url(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise RuntimeError("the emulator has no stdout")
    url = process.stdout.readline().strip()
    if not url:
        raise RuntimeError("the emulator did not start; its stderr says why")
    return url


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def lane_of(held: Mapping[str, Any]) -> str:
    """Return the lane of an attachment or a registration as the emulator names it: account/Region."""
    return f"{held['account']}/{held['region']}"
