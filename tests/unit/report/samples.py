"""Values that the tests of this room are made of: small, and spelled out where a test does not care."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.errors import ExitCode
from batch_upload.events import ItemChanged, LaneEnded, OfLane, Requested, RunStarted, Sending
from batch_upload.model import (
    AttachmentStatus,
    Capacity,
    ContentType,
    Fault,
    Item,
    Known,
    Lane,
    Listed,
    Manifest,
    OutcomeKind,
    Position,
    State,
)
from batch_upload.registration import Bind
from batch_upload.summary import EXIT_REASONS
from batch_upload.targets import Target

BEGIN = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
LANE = Lane(account="123456789012", region="us-east-1")
HOSTILE_NAMES = (
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe\u2066",
    'a"b\\c\nd{e="f"} 1',
    "日本 😀",
    "\udcff",
    "x" * 300,
)
"""Names of targets that a terminal, a page, a spreadsheet and a metrics file must survive."""
TOO_LARGE = Fault(
    code="ValidationException",
    reason="MAXIMUM_SIZE_EXCEEDED",
    message="the attachment is too large",
    fields=(("AttachmentBody", "too long"),),
)


def after(seconds: float) -> datetime:
    """A moment of the sample run."""
    return BEGIN + timedelta(seconds=seconds)


def utc(at: datetime) -> datetime:
    """A reader whose zone is UTC."""
    return at.astimezone(UTC)


def item(item_id: str = "acme/loa", *, size_bytes: int | None = 496_000, url: str | None = None) -> Item:
    """A file of the manifest, or a URL."""
    return Item(
        batch="june",
        item_id=item_id,
        source=url or f"files/{item_id}.pdf",
        digest=None if url else b"\xab" * 32,
        client_token=f"bu1-{item_id}",
        tags={"Country": "NO"},
        folder=None if url else Path("/m"),
        size_bytes=None if url else size_bytes,
        content_type=None if url else ContentType.PDF,
    )


def listed(item_id: str, source: str, *, folder: Path, tags: dict[str, str] | None = None) -> Listed:
    """An item before anybody looked into its file; without a path if the source is a URL."""
    return Listed(
        batch="june",
        item_id=item_id,
        source=source,
        folder=None if source.startswith("s3://") else folder,
        tags={} if tags is None else tags,
        generation=1,
        max_size_bytes=500_000,
        identity_tag=True,
        at=Position(),
    )


def known(item_id: str = "acme/loa", state: State = State.COMPLETE, *, fault: Fault | None = None) -> Known:
    """What the ledger has of an item that was sent, or failed."""
    return Known(
        item_id=item_id,
        client_token=f"bu1-{item_id}",
        state=state,
        content="sha256:" + "ab" * 32,
        tags={"Country": "NO"},
        generation=1,
        source=f"files/{item_id}.pdf",
        size_bytes=496_000,
        content_type=ContentType.PDF,
        attachment_id=None if state is State.FAILED else "registration-attachment-1",
        attachment_arn=None if state is State.FAILED else "arn:aws:sms-voice:us-east-1:123456789012:x/1",
        attachment_status=AttachmentStatus.COMPLETE if state is State.COMPLETE else None,
        fault=fault,
        attempts=1,
        request_id="r-1",
        first_sent_at=BEGIN,
        completed_at=after(4) if state is State.COMPLETE else None,
    )


def plan_of(count: int, kind: ActionKind = ActionKind.CREATE) -> Plan:
    """A plan with `count` actions of one kind, ids `item-0` and on."""
    ids = [f"item-{number}" for number in range(count)]
    return Plan(tuple(Action(kind, each, f"bu1-{each}", "new", item=item(each)) for each in ids))


def started(
    plan: Plan, *, capacity: Capacity | None = None, rate: float = 1.0, deadline_s: float | None = None
) -> RunStarted:
    """The first event of the sample run."""
    return RunStarted(
        run_id="run-1",
        batch="june",
        lane=LANE,
        endpoint="https://sms-voice.us-east-1.amazonaws.com",
        plan=plan,
        rate=rate,
        capacity=capacity,
        at=BEGIN,
        deadline_s=deadline_s,
        states={"pending": len(plan.actions)},
    )


def created(item_id: str, at: datetime) -> ItemChanged:
    """An item that the service took just now."""
    return ItemChanged(known(item_id, State.PROCESSING), ended=False, created=True, at=at)


def ended(item_id: str, at: datetime, state: State = State.COMPLETE, *, fault: Fault | None = None) -> ItemChanged:
    """An item that this run has done with."""
    return ItemChanged(known(item_id, state, fault=fault), ended=True, created=False, at=at)


def throttled(at: datetime) -> Requested:
    """A create that came too fast."""
    return Requested(
        operation="CreateRegistrationAttachment",
        outcome=OutcomeKind.THROTTLED,
        latency_s=0.05,
        item_id="item-0",
        request_id="r-9",
        fault=Fault(code="ThrottlingException", message="rate exceeded"),
        at=at,
    )


def sending(item_id: str, at: datetime) -> Sending:
    """A create that leaves."""
    return Sending(item_id, f"bu1-{item_id}", number=1, size_bytes=496_000, at=at)


def answered(item_id: str, at: datetime, *, rate: float = 1.0) -> Requested:
    """A create that was accepted; `rate` is the pace afterwards."""
    return Requested(
        operation="CreateRegistrationAttachment",
        outcome=OutcomeKind.ACCEPTED,
        latency_s=0.05,
        item_id=item_id,
        request_id="r-1",
        fault=None,
        at=at,
        rate=rate,
    )


def manifest_at(folder: Path) -> Manifest:
    """A manifest with a target, read from `folder`."""
    return Manifest(
        path=folder / "june.yaml",
        folder=folder,
        batch="june",
        entries=(),
        target=Target(region="us-east-1", account="123456789012"),
    )


def of_lane(event: object, label: str = "acme/us-east-1", *, account: str | None = "123456789012") -> OfLane:
    """An event of a lane; the label's end is its Region."""
    return OfLane(label, account, label.rpartition("/")[2], event)


def lane_ended(code: ExitCode = ExitCode.DONE, at: datetime = BEGIN, *, reason: str = "", hint: str = "") -> LaneEnded:
    """The end of a lane."""
    return LaneEnded(int(code), reason or EXIT_REASONS[code], hint, at)


BIND = Bind("registration-0123abcd", "messagingUseCase.optInImage")


def to_bind(item_id: str, kind: ActionKind = ActionKind.BIND, state: State | None = State.BINDING) -> Action:
    """An action for an item that is to be put into a field; `state` is None for an item that is new."""
    known_as = None if state is None else known(item_id, state)
    return Action(kind, item_id, f"bu1-{item_id}", "", item=item(item_id)._replace(bind=BIND), known=known_as)


def moved(item_id: str, state: State, at: datetime) -> ItemChanged:
    """An item with which the run has not done."""
    return ItemChanged(known(item_id, state), ended=False, created=False, at=at)
