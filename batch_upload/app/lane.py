"""The composition root: real parts are put together for one lane."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from batch_upload.app.rates import laws
from batch_upload.clock import SystemClock
from batch_upload.engine.context import RECORD_S, LaneContext
from batch_upload.engine.lane import LaneControl
from batch_upload.engine.retry import CONVENIENCE, RetryPolicy, Wire
from batch_upload.errors import AccessFault, NoAnswer, UsageError
from batch_upload.events import Notice
from batch_upload.ledger_address import PostgresUrl
from batch_upload.model import Lane
from batch_upload.operations import ASSUME_ROLE, DESCRIBE, IDENTITY
from batch_upload.pacing import Pacer, RateLaw
from batch_upload.ports import Clock, LedgerWriter, Observer
from batch_upload.records import RateRecord
from batch_upload.registration import Bind
from batch_upload.service.access import Access, Ask, StaticKeys
from batch_upload.service.accounts import Accounts
from batch_upload.service.client import AwsService, open_service
from batch_upload.service.credentials import CredentialsUnreached, FetchedCredentials
from batch_upload.settings import LOCAL_ACCOUNT, LOCAL_REGION, Settings, external_id_of
from batch_upload.shortage import are_descriptors_free, out_of_descriptors

LANE_DESCRIPTORS = 6
"""Connections to the service and to STS, a document, and what is open while names and certificates are looked up."""
LOCAL_LANE_DESCRIPTORS = 9
"""With the emulator in this process: also its end of each connection."""
EMULATOR_DESCRIPTORS = 2
"""The emulator's state, and its listening socket."""

DATABASE_RECORD_S = 75.0
"""Seconds that the write of an outcome to a database may take: the writing thread gives up after 60 s
(`ledger/postgres/fenced.py`), and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLane:
    """An open lane to which no request was sent yet: the service, and what every request to it goes through."""

    service: AwsService
    wire: Wire
    control: LaneControl
    clock: Clock
    observer: Observer
    laws: Mapping[str, RateLaw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(OpenLane):
    """An open lane whose account is known."""

    lane: Lane
    principal: str | None = None
    """The ARN of the credentials; None where STS did not name it."""


@asynccontextmanager
async def open_lane(
    settings: Settings,
    observer: Observer,
    *,
    remembered: Sequence[RateRecord] = (),
    reads_only: bool = False,
    credentials: FetchedCredentials | None = None,
    ask: Ask | None = None,
    accounts: Accounts | None = None,
    local_url: str | None = None,
    binds: Iterable[Bind] = (),
) -> AsyncIterator[OpenLane]:
    """Open the lane of these settings without sending a request to the service.

    `remembered`: the rates that earlier runs learned. `credentials`: reused if they were fetched before. `ask` asks a
    person for the code of an MFA device; without it a profile that needs one is refused. `accounts`: what a lane of a
    manifest with `targets` shares with the others, for which `credentials` are not used. The only lane of a manifest
    without `targets` shares nothing. `local_url`: the `embedded_emulator` that all lanes of a run use; without it
    `--local` starts one for this lane, which has the registrations of `binds`.

    Raises AccessFault for missing credentials or Region, or an endpoint that is not allowed; UsageError as `access_of`;
    OutOfResources if the process may not open enough files: botocore would report that as a missing configuration.
    """
    if not are_descriptors_free(LOCAL_LANE_DESCRIPTORS if settings.local else LANE_DESCRIPTORS):
        raise out_of_descriptors()
    clock, control = SystemClock(), LaneControl()
    async with AsyncExitStack() as stack:
        if settings.local and local_url is None:
            of_lane = ((local_lane(settings), bind) for bind in binds)
            emulator = embedded_emulator(settings, reads_only=reads_only, binds=of_lane)
            local_url = await stack.enter_async_context(emulator)
        access = access_of(settings, ask=ask) if local_url is None else local_access(settings, local_url)
        shared = accounts if settings.lane_label is not None else None
        service = await stack.enter_async_context(open_service(access, credentials=credentials, accounts=shared))
        for warning in service.warnings:
            observer.notify(Notice(warning, clock.now()))
        made = laws(settings, remembered, now=clock.now())
        wire = Wire(
            {name: Pacer(law, clock) for name, law in made.items()},
            lane=control,
            clock=clock,
            observer=observer,
            policy=RetryPolicy(),
            chance=random.Random(),  # noqa: S311 - jitter, not a secret
        )
        yield OpenLane(service=service, wire=wire, control=control, clock=clock, observer=observer, laws=made)


@asynccontextmanager
async def reach(
    settings: Settings,
    observer: Observer,
    *,
    remembered: Sequence[RateRecord] = (),
    reads_only: bool = False,
    ask: Ask | None = None,
    accounts: Accounts | None = None,
    local_url: str | None = None,
) -> AsyncIterator[Reached]:
    """Open the lane of these settings and find out its account. The parameters are those of `open_lane`.

    Raises AccessFault for missing credentials, an endpoint that is not allowed, or an account that is not the
    manifest's.
    """
    opening = open_lane(
        settings,
        observer,
        remembered=remembered,
        reads_only=reads_only,
        ask=ask,
        accounts=accounts,
        local_url=local_url,
    )
    async with opening as opened:
        account = await account_of_lane(settings, opened)
        check_account(settings, account)
        yield Reached(
            service=opened.service,
            wire=opened.wire,
            control=opened.control,
            clock=opened.clock,
            observer=observer,
            laws=opened.laws,
            lane=Lane(account, opened.service.region),
            principal=opened.service.principal,
        )


async def account_of_lane(settings: Settings, lane: OpenLane) -> str:
    """Return the account of the lane, from STS. If STS does not answer, read it from the ARNs of the first listing.

    Lanes that share their credentials ask STS once, and not at all if these are a role's. The listing serves only if
    the manifest names the account, which must be the same. Raises AccessFault, and NoAnswer if the account cannot be
    found out.
    """
    policy = None if settings.account is None else CONVENIENCE
    operation = ASSUME_ROLE if lane.service.is_account_of_role else IDENTITY
    try:
        account = await lane.service.account_for_all(
            lambda: lane.wire.call(operation, lane.service.account, policy=policy)
        )
    except NoAnswer as error:
        if settings.account is None or isinstance(error, CredentialsUnreached):
            raise
        page = await lane.wire.call(DESCRIBE, lambda: lane.service.page(None))
        arns = [each.attachment_arn for each in page.attachments]
        if not arns:  # the account in the manifest is a guard, which proves nothing of the credentials
            message = f"{error.message}; and the account has no attachment yet that tells it"
            raise NoAnswer(message, code=error.code, status=error.status, hint=error.hint) from error
        account = arns[0].split(":")[4]
        notice = f"STS does not answer: account {account} is taken from the attachments that the service lists"
        lane.observer.notify(Notice(notice, lane.clock.now()))
    return account


def lane_context(
    reached: Reached, settings: Settings, ledger: LedgerWriter, observer: Observer, *, run_id: str
) -> LaneContext:
    """Collect what the engine needs for one run."""
    return LaneContext(
        run_id=run_id,
        service=reached.service,
        ledger=ledger,
        wire=reached.wire,
        lane=reached.control,
        clock=reached.clock,
        observer=observer,
        horizon_s=settings.safe_horizon_s,
        record_s=DATABASE_RECORD_S if isinstance(settings.ledger, PostgresUrl) else RECORD_S,
    )


def access_of(settings: Settings, *, ask: Ask | None = None) -> Access:
    """Translate the settings into how to reach AWS. Raises UsageError as `external_id_of`."""
    return Access(
        profile=settings.profile,
        region=settings.region,
        role_arn=settings.role_arn,
        external_id=external_id_of(settings),
        endpoint_url=settings.endpoint_url,
        sts_endpoint_configured=settings.sts_endpoint_configured,
        allowed_hosts=settings.allowed_hosts,
        ask_code=ask,
        connections=settings.concurrency + 4,
    )


@asynccontextmanager
async def embedded_emulator(
    settings: Settings, *, reads_only: bool, binds: Iterable[tuple[Lane, Bind]] = ()
) -> AsyncIterator[str]:
    """Serve the emulated service of `--local` for every account and Region, and yield its URL.

    Its state is a file beside the manifest, used by one emulator at a time, and not created if `reads_only`. It has the
    registrations of `binds`, of a type whose fields they name if there is one.

    Raises UsageError if the state cannot be used, and OutOfResources as `open_lane`.
    """
    if not are_descriptors_free(EMULATOR_DESCRIPTORS + LOCAL_LANE_DESCRIPTORS):
        raise out_of_descriptors()
    from batch_upload.emulator import LOCAL, ConfigurationError, serving  # heavy, and only for `--local`

    emulated = LOCAL.model_copy(update={"account": settings.account or LOCAL_ACCOUNT})
    state = None if reads_only and not settings.local_state.exists() else settings.local_state
    fields: dict[Lane, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for lane, bind in binds:
        fields[lane][bind.registration].add(bind.field)
    try:
        async with serving(emulated, state_path=state) as running:
            for lane, of_lane in fields.items():
                running.emulator.registrations.ensure(of_lane, account=lane.account, region=lane.region)
            yield running.url
    except ConfigurationError as error:
        raise UsageError(str(error)) from error


def local_lane(settings: Settings) -> Lane:
    """Return the account and Region that `--local` takes for the lane of these settings."""
    return Lane(settings.account or LOCAL_ACCOUNT, settings.region or LOCAL_REGION)


def local_access(settings: Settings, url: str) -> Access:
    """Return how to reach the lane's account and Region at the embedded emulator, which takes an account for a key."""
    lane = local_lane(settings)
    return Access(
        region=lane.region,
        endpoint_url=url,
        keys=StaticKeys(lane.account, "local"),
        connections=settings.concurrency + 4,
    )


def check_account(settings: Settings, account: str) -> None:
    """Raise AccessFault if the manifest names another account."""
    if settings.account is not None and settings.account != account:
        hint = "`--profile NAME` chooses other credentials; `target.account` in the manifest is the guard"
        if settings.lane_label is not None:  # one profile on the command line is not for several accounts
            hint = "`role_arn` or `profile` of a target chooses its credentials; its `account` is the guard"
        raise AccessFault(
            f"these credentials are of account {account}, the manifest is for {settings.account}; nothing was sent",
            code="WrongAccount",
            hint=hint,
        )
