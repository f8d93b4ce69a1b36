"""One emulator for many tests: each has an account, a full bucket and counters of its own."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from threading import Event as Flag
from time import monotonic
from typing import Any

from batch_upload.emulator.names import OPERATIONS
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.operations import CREATE
from tests.support.command import TIMEOUT_S, Event
from tests.support.emulator_process import EmulatorProcess

CREDENTIALS: Mapping[str, str] = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
TOLL_FREE = "US_TOLL_FREE_REGISTRATION"
LOOK_S = 0.01
"""Between two looks at the counters: without a pause they take the processor from the command that is waited for."""
_ACCOUNTS = count(200_000_000_000)


@dataclass(frozen=True, slots=True)
class Stats:
    """What the server has counted since the test began."""

    requests: Counter[str]
    throttled: Counter[str]
    accepted: Counter[str]
    token_mismatches: int
    replays: int

    @property
    def creates(self) -> int:
        return self.requests[CREATE]


class Endpoint:
    """The service as one test sees it. It begins without rates, quotas, delays and faults.

    `account` is the caller's. `by_role`: accounts that the test reaches by roles.
    """

    def __init__(self, process: EmulatorProcess, *, by_role: Collection[str] = ()) -> None:
        self._process = process
        self.account = str(next(_ACCOUNTS))
        self._accounts = frozenset({self.account, *by_role})
        self._before = process.stats()
        self.change(**{**EmulatorSettings().to_json(), "account": self.account, "attachments_per_account": None})
        self.change(rates=dict.fromkeys(OPERATIONS), processing_s=0)

    @property
    def url(self) -> str:
        return self._process.url

    @property
    def env(self) -> dict[str, str]:
        """An environment in which the command talks to this endpoint."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def change(self, **settings: Any) -> None:  # noqa: ANN401 - any setting of the emulator
        self._process.change_settings(settings)

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Put these rules in the place of those before."""
        self._process.set_faults(rules)

    def stats(self) -> Stats:
        now = self._process.stats()

        def since(name: str) -> Counter[str]:
            return Counter(now[name]) - Counter(self._before[name])

        return Stats(
            requests=since("requests"),
            throttled=since("throttled"),
            accepted=since("accepted"),
            token_mismatches=now["token_mismatches"] - self._before["token_mismatches"],
            replays=now["replays"] - self._before["replays"],
        )

    def creates_by_lane(self) -> dict[str, int]:
        """Return how many creates have come to each lane of this test, by `account/Region`."""
        lanes = self._process.stats()["lanes"]
        counts = {name: counters["requests"].get(CREATE, 0) for name, counters in lanes.items()}
        return {name: count for name, count in counts.items() if name.partition("/")[0] in self._accounts}

    def log(self) -> list[tuple[float, str, str, str | None]]:
        """(seconds, operation, outcome, token) of each request since the server was started, in order."""
        return self._process.log()

    def wait_for(self, operation: str, *, times: int = 1) -> None:
        """Return as soon as so many requests of this operation have come. Raises TimeoutError where they do not."""
        self.wait_until(lambda: self.stats().requests[operation] >= times, f"{operation} has not come {times} times")

    def wait_until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Return as soon as `is_so`. Raises TimeoutError with the words `otherwise` after TIMEOUT_S."""
        until, never = monotonic() + TIMEOUT_S, Flag()
        while not is_so():
            if monotonic() > until:
                raise TimeoutError(otherwise)
            never.wait(LOOK_S)

    def attachments(self) -> list[Event]:
        """Return what the accounts of this test hold."""
        return [each for each in self._process.attachments() if each["account"] in self._accounts]

    def set_status(self, attachment_id: str, status: str) -> None:
        self._process.set_status(attachment_id, status)

    def plant(self, tags: Mapping[str, str], *, created_at: datetime | None = None) -> Event:
        """An attachment of this account that the command did not make, of now unless told."""
        made = {} if created_at is None else {"created_at": created_at.isoformat()}
        return self._process.plant({"tags": dict(tags), "account": self.account, **made})

    def plant_registration(
        self, registration_id: str, registration_type: str = TOLL_FREE, *, account: str = "", region: str = "us-east-1"
    ) -> Event:
        """A registration that the command did not make; of the caller's account unless another is given."""
        where = {"account": account or self.account, "region": region}
        return self._process.plant_registration(registration_type, registration_id=registration_id, **where)

    def deny_registration(self, id_or_arn: str, denials: Mapping[str, Mapping[str, str]]) -> None:
        """Deny the current version of a registration of this test: `{field: {"reason": …, "feedback": …}}`."""
        self._process.deny_registration(self._arn_of(id_or_arn), denials)

    def review_registration(self, id_or_arn: str, status: str) -> None:
        """Give the current version of a registration of this test a status, as a reviewer does."""
        self._process.review_registration(self._arn_of(id_or_arn), status)

    def open_registration_version(self, id_or_arn: str) -> int:
        """Add an empty draft to a registration of this test and return its number."""
        return self._process.open_registration_version(self._arn_of(id_or_arn))

    def _arn_of(self, id_or_arn: str) -> str:
        (arn,) = (each["arn"] for each in self.registrations() if id_or_arn in (each["id"], each["arn"]))
        return str(arn)

    def registrations(self) -> list[Event]:
        """Return the registrations of the accounts of this test, with their versions and values."""
        return [each for each in self._process.registrations() if each["account"] in self._accounts]

    def assert_untouched(self) -> None:
        """Not one request of any operation has come."""
        assert self.stats().requests == Counter()


def tags_of(attachments: Sequence[Event]) -> list[dict[str, str]]:
    return [each["tags"] for each in attachments]
