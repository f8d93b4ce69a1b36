"""The composition root: real parts put together for one lane."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from batch_upload.cli.rates import laws
from batch_upload.clock import SystemClock
from batch_upload.engine.lane import LaneControl
from batch_upload.engine.pacing import Pacer
from batch_upload.engine.rate_law import RateLaw
from batch_upload.engine.retry import IDENTITY, RetryPolicy, Wire
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import AccessFault
from batch_upload.model import Lane, RateRecord
from batch_upload.ports import Bodies, Clock, Ledger, Observer
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import AwsService, open_service
from batch_upload.settings import LOCAL_ACCOUNT, LOCAL_REGION, Settings
from batch_upload.shortage import are_descriptors_free, out_of_descriptors

LANE_DESCRIPTORS = 6
"""Connections to the service and to STS, a document, and what is open while names and certificates are looked up."""
LOCAL_LANE_DESCRIPTORS = 11
"""With the emulator in this process: its state, the socket that it listens on, and the other ends of connections."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A lane that answered: the service, whose it is, and the one way to its wire."""

    service: AwsService
    lane: Lane
    wire: Wire
    control: LaneControl
    clock: Clock
    laws: Mapping[str, RateLaw]


@dataclass(frozen=True, slots=True)
class Opened:
    """A lane that was not asked anything yet."""

    service: AwsService
    wire: Wire
    control: LaneControl
    clock: Clock
    laws: Mapping[str, RateLaw]


@asynccontextmanager
async def opened(
    settings: Settings, observer: Observer, *, remembered: Sequence[RateRecord] = (), reads_only: bool = False
) -> AsyncIterator[Opened]:
    """Open the lane that the settings mean; nobody is asked anything yet. `remembered` is what was learned of it.

    Raises AccessFault for missing credentials or Region, or an endpoint that is not allowed, and OutOfResources where
    too few files can be opened for a lane: what reads AWS's configuration would take that for a missing one.
    """
    if not are_descriptors_free(LOCAL_LANE_DESCRIPTORS if settings.local else LANE_DESCRIPTORS):
        raise out_of_descriptors()
    clock, control = SystemClock(), LaneControl()
    async with AsyncExitStack() as stack:
        access = access_of(settings)
        if settings.local:
            access = await stack.enter_async_context(_local(settings, reads_only=reads_only))
        service = await stack.enter_async_context(open_service(access))
        made = laws(settings, remembered, now=clock.now())
        wire = Wire(
            {name: Pacer(law, clock) for name, law in made.items()},
            lane=control,
            clock=clock,
            observer=observer,
            policy=RetryPolicy(),
            chance=random.Random(),  # noqa: S311 - jitter, not a secret
        )
        yield Opened(service, wire, control, clock, made)


@asynccontextmanager
async def reach(
    settings: Settings, observer: Observer, *, remembered: Sequence[RateRecord] = (), reads_only: bool = False
) -> AsyncIterator[Reached]:
    """Open the lane that the settings mean and ask whose it is. `remembered` is what earlier runs learned of it.

    Raises AccessFault for missing credentials, an endpoint that is not allowed, or another account than the manifest's.
    """
    async with opened(settings, observer, remembered=remembered, reads_only=reads_only) as lane:
        account = await lane.wire.call(IDENTITY, lane.service.account)
        check_account(settings, account)
        whose = Lane(account, lane.service.region)
        yield Reached(lane.service, whose, lane.wire, lane.control, lane.clock, lane.laws)


def surroundings(
    reached: Reached, settings: Settings, ledger: Ledger, observer: Observer, *, run_id: str, bodies: Bodies
) -> Surroundings:
    """What the engine works with, for one run."""
    return Surroundings(
        run_id=run_id,
        service=reached.service,
        ledger=ledger,
        bodies=bodies,
        wire=reached.wire,
        lane=reached.control,
        clock=reached.clock,
        observer=observer,
        horizon_s=settings.safe_horizon_s,
    )


def access_of(settings: Settings) -> Access:
    """How the settings want the service to be reached."""
    return Access(
        profile=settings.profile,
        region=settings.region,
        role_arn=settings.role_arn,
        endpoint_url=settings.endpoint_url,
        sts_endpoint_configured=settings.sts_endpoint_configured,
        allowed_hosts=settings.allowed_hosts,
        connections=settings.concurrency + 4,
    )


@asynccontextmanager
async def _local(settings: Settings, *, reads_only: bool) -> AsyncIterator[Access]:
    """The embedded emulator, with its state beside the manifest."""
    from batch_upload.emulator.serve import serving  # heavy, and only for `--local`
    from batch_upload.emulator.settings import LOCAL

    emulated = replace(LOCAL, account=settings.account or LOCAL_ACCOUNT)
    state = None if reads_only and not settings.local_state.exists() else settings.local_state
    async with serving(emulated, state_path=state) as running:
        yield Access(
            region=settings.region or LOCAL_REGION,
            endpoint_url=running.url,
            keys=StaticKeys("local", "local"),
            connections=settings.concurrency + 4,
        )


def check_account(settings: Settings, account: str) -> None:
    """Raise AccessFault where the manifest is for another account."""
    if settings.account is not None and settings.account != account:
        raise AccessFault(
            f"these credentials are of account {account}, the manifest is for {settings.account}; nothing was sent",
            code="WrongAccount",
            hint="`--profile NAME` chooses other credentials; `target.account` in the manifest is the guard",
        )
