"""One item of a ledger, as simply as the contract of `ports.LedgerWriter` can be said."""

from dataclasses import dataclass, replace
from datetime import datetime

from batch_upload.model import AttachmentStatus, State
from batch_upload.registration import Bind, BindState

AT_REST = (BindState.BOUND, BindState.REPLACED)
LANDED = {
    AttachmentStatus.IN_PROGRESS: State.PROCESSING,
    AttachmentStatus.COMPLETE: State.COMPLETE,
    AttachmentStatus.FAILED: State.FAILED,
    AttachmentStatus.DELETED: State.FAILED,
}


@dataclass(frozen=True)
class Model:
    """One token, as simply as it can be said."""

    state: State = State.PENDING
    attachment_id: str | None = None
    unknown_since: datetime | None = None
    last_open_at: datetime | None = None
    attempts: int = 0
    bind: Bind | None = None
    bind_state: BindState | None = None
    bound_version: int | None = None

    @property
    def is_ready(self) -> bool:
        return self.state in (State.BINDING, State.COMPLETE) or self.bind_state is BindState.REFUSED

    @property
    def is_live(self) -> bool:
        return self.state is State.PROCESSING or self.is_ready

    def landed(self, attachment_id: str, status: AttachmentStatus) -> "Model":
        if self.is_ready and LANDED[status] is not State.FAILED:
            return self
        is_same = self.attachment_id == attachment_id and LANDED[status] is not State.FAILED
        found = replace(self if is_same else self.unbound(), state=LANDED[status], attachment_id=attachment_id)
        return replace(
            found.ready() if status is AttachmentStatus.COMPLETE else found, unknown_since=None, last_open_at=None
        )

    def ready(self) -> "Model":
        is_bound = self.bind is None or self.bind_state in AT_REST
        return replace(self, state=State.COMPLETE if is_bound else State.BINDING)

    def unbound(self) -> "Model":
        return replace(self, bind_state=None if self.bind is None else BindState.WANTED, bound_version=None)

    def sent(self, at: datetime) -> "Model":
        since = self.unknown_since or at
        alone = replace(self, state=State.SENDING, attachment_id=None, unknown_since=since, last_open_at=at)
        return replace(alone.unbound() if self.attachment_id else alone, attempts=self.attempts + 1)

    def wanted_in(self, bind: Bind | None) -> "Model":
        if bind == self.bind and self.bind_state is not BindState.REPLACED:
            return self
        wanted = replace(self, bind=bind).unbound()
        return wanted.ready() if self.is_ready else wanted
