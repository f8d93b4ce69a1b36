"""A ledger with attachments in fields of registrations, and some that are not, for the page: made as a run makes it."""

import hashlib
from pathlib import Path

from batch_upload.model import (
    Attachment,
    AttachmentStatus,
    ContentType,
    Fault,
    Item,
    Lane,
    Outcome,
    OutcomeKind,
    Receipt,
)
from batch_upload.registration import Bind, Denial
from batch_upload.token import client_token
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import ManualClock, after

BATCH = "brands-2026"
LANE = Lane("123456789012", "us-east-1")
RUN = "20261123T090000Z-5e1f0a3c"
FIELD = "messagingUseCase.optInImage"
GO_ON = "it can go on once the review is decided and it has a new version"
SUBMITTED = Fault("ConflictException", f"the registration is under review: {GO_ON}", "REGISTRATION_ALREADY_SUBMITTED")
NO_FIELD = Fault("ValidationException", "no such field", "UNKNOWN_REGISTRATION_FIELD")
TOO_LARGE = Fault("ValidationException", "too large", "MAXIMUM_SIZE_EXCEEDED")
SILENT = Fault("NoAnswer", "no answer: the connection was lost")
REASON = "The image does not show that a person agrees to messages."
FEEDBACK = (
    "Show the whole form.\r\n</script><script>document.title='owned'</script> & <b>more</b>\n"
    f"See https://example.com/{'very-long-path/' * 20}\n\u202egnp.egami"
)
DENIED = ("denied-one.png", "denied-two.png", "denied-without-reason.png")
REFUSED = ("submitted-one.png", "submitted-two.png", "no-such-field.png")
BOUND = ("bound.png", "bound-again.png", *DENIED)
ITEMS = (*BOUND, *REFUSED, "binding.png", "silent.png", "processing.png", "pending.png", "too-large.png", "plain.png")
STATES = {"complete": 6, "failed": 4, "binding": 2, "processing": 1, "pending": 1}


def registration_of(name: str) -> str:
    """The registration that an item is for: each has its own."""
    return f"registration-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def write_bound_manifest(folder: Path) -> Path:
    """A manifest that lists these items; all but the last have a `bind`. Their files are not there."""
    lines = ["version: 1", f"batch: {BATCH}", "attachments:"]
    for name in ITEMS:
        lines.append(f"  - file: {name}")
        if name != "plain.png":
            lines.append(f"    bind: {{registration: {registration_of(name)}, field: {FIELD}}}")
    path = folder / "brands.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _item(name: str) -> Item:
    digest = hashlib.sha256(name.encode()).digest()
    token = client_token(batch=BATCH, item_id=name, content=f"sha256:{digest.hex()}", generation=1, tags={})
    bind = None if name == "plain.png" else Bind(registration_of(name), FIELD)
    return Item(BATCH, name, name, token, {}, digest, size_bytes=41_000, content_type=ContentType.PNG, bind=bind)


class BoundLedger:
    """A ledger that is written while a test goes on."""

    def __init__(self, ledger: OneLane) -> None:
        self._ledger = ledger
        self._items = {name: _item(name) for name in ITEMS}
        self._seconds = 0

    async def close(self) -> None:
        await self._ledger.close()

    def token(self, name: str) -> str:
        return self._items[name].client_token

    def _tick(self) -> int:
        self._seconds += 1
        return self._seconds

    async def begin(self) -> None:
        await self._ledger.pin(LANE, endpoint="https://sms-voice.us-east-1.amazonaws.com", at=after(0))
        await self._ledger.begin_run(RUN, verb="upload", batch=BATCH, at=after(0))
        await self._ledger.enlist(self._items.values(), at=after(0))

    async def end(self, code: int, reason: str) -> None:
        summary = {"exit": {"code": code, "reason": reason}}
        await self._ledger.end_run(RUN, exit_code=code, summary=summary, at=after(self._tick()))

    async def create(self, name: str) -> None:
        at = after(self._tick())
        attempt = await self._ledger.intend(self.token(name), run_id=RUN, at=at)
        attachment_id = f"registration-attachment-{self.token(name)[4:36]}"
        receipt = Receipt(attachment_id, f"arn:{attachment_id}", AttachmentStatus.IN_PROGRESS, at, "req-1")
        await self._ledger.conclude(attempt, Outcome(OutcomeKind.ACCEPTED, at, receipt=receipt, request_id="req-1"))

    async def refuse_create(self, name: str, fault: Fault) -> None:
        at = after(self._tick())
        attempt = await self._ledger.intend(self.token(name), run_id=RUN, at=at)
        await self._ledger.conclude(attempt, Outcome(OutcomeKind.REFUSED, at, fault=fault))

    async def settle(self, name: str) -> None:
        at = after(self._tick())
        attachment_id = f"registration-attachment-{self.token(name)[4:36]}"
        seen = Attachment(attachment_id, f"arn:{attachment_id}", AttachmentStatus.COMPLETE, at)
        await self._ledger.observe([seen], at=at)

    async def bind(self, name: str, *, version: int | None = None, fault: Fault | None = None) -> None:
        """Put the attachment into its field; without a version it was refused with the fault, or not answered."""
        at = after(self._tick())
        attempt = await self._ledger.intend_bind(self.token(name), run_id=RUN, at=at)
        kind = OutcomeKind.ACCEPTED if version else OutcomeKind.UNKNOWN if fault is SILENT else OutcomeKind.REFUSED
        await self._ledger.conclude_bind(attempt, Outcome(kind, at, fault=fault), version=version)

    async def deny(self, name: str, denial: Denial) -> None:
        await self._ledger.deny(self.token(name), denial, at=after(self._tick()))

    async def rebind(self, name: str) -> None:
        await self._ledger.rebind([self.token(name)], at=after(self._tick()))


async def open_bound_ledger(manifest: Path) -> BoundLedger:
    """Open the ledger of a manifest of `write_bound_manifest`, in which nothing has happened. Close it."""
    ledger = await open_one_lane(manifest.with_suffix(".ledger"), run_id=RUN, clock=ManualClock())
    opened = BoundLedger(ledger)
    await opened.begin()
    return opened


async def tell_binds(folder: Path) -> Path:
    """Return a manifest whose ledger has every state of a binding; see ITEMS and STATES."""
    manifest = write_bound_manifest(folder)
    ledger = await open_bound_ledger(manifest)
    for name in ITEMS:
        if name == "too-large.png":
            await ledger.refuse_create(name, TOO_LARGE)
        elif name != "pending.png":
            await ledger.create(name)
            if name != "processing.png":
                await ledger.settle(name)
    for name in BOUND:
        await ledger.bind(name, version=1)
    for name in DENIED[:2]:
        await ledger.deny(name, Denial(1, REASON, FEEDBACK))
    await ledger.deny(DENIED[2], Denial(1, "", FEEDBACK))
    await ledger.deny("bound-again.png", Denial(1, REASON, FEEDBACK))
    await ledger.rebind("bound-again.png")
    await ledger.bind("bound-again.png", version=2)
    for name in REFUSED:
        await ledger.bind(name, fault=NO_FIELD if name == "no-such-field.png" else SUBMITTED)
    await ledger.bind("silent.png", fault=SILENT)
    await ledger.end(20, "some items failed")
    await ledger.close()
    return manifest
