"""Whose an attachment is: its identity tag, read once, and not believed to be missing before it must be there.

Tags may be readable only a while after their attachment, at most a horizon. So an attachment without any tag is
believed to have none only if it was a horizon old when its tags were read; a younger one is untold, and read again
later. Tags come with the create, all at once: what has other tags and no identity tag is not ours, however new it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from batch_upload.engine.context import LaneContext
from batch_upload.engine.groups import for_each
from batch_upload.engine.listing import NOT_FOUND, Asking, Listing, Progress, still_there
from batch_upload.errors import Refused
from batch_upload.model import Attachment, AttachmentStatus
from batch_upload.operations import LIST_TAGS
from batch_upload.token import IDENTITY_TAG

READERS = 4
"""Tag reads in flight at once: at 10 a second and 100 ms each, more would only wait for slots."""
FIRST_PAUSE_S = 1.0
PAUSE_MAX_S = 30.0
"""Pauses between two readings of the same tags double, from the first to the longest."""


@dataclass(frozen=True, slots=True)
class Untold:
    """An attachment whose identity tag was not readable, and may be later. Moments are monotonic seconds."""

    attachment: Attachment
    age_s: float
    """How old it was at least at `seen_at`."""
    seen_at: float
    read_at: float
    """When its tags were asked for last."""

    def certain_at(self, horizon_s: float) -> float:
        """Return the moment from which its tags must be readable."""
        return self.seen_at + horizon_s - self.age_s


@dataclass(slots=True)
class Readings:
    """What is known of the attachments of a lane. `tokens`: by id, None for one that carries no identity tag."""

    tokens: dict[str, str | None]
    untold: dict[str, Untold] = field(default_factory=dict)


async def tags_of(context: Asking, attachment_arn: str) -> Mapping[str, str] | None:
    """Return the tags of an attachment; None where the service does not find them: not yet, or not any more."""
    try:
        return await context.wire.call(LIST_TAGS, lambda: context.service.tags(attachment_arn))
    except Refused as error:
        if error.code == NOT_FOUND:
            return None
        raise


async def read_tokens(
    context: LaneContext, listing: Listing, known: Mapping[str, str | None], *, progress: Progress | None = None
) -> Readings:
    """Read the identity tag of each attachment that is there and that the ledger does not know; remember what is
    certain of it.

    However old it is: its age is by the service's clock, and ours may be wrong. `progress` counts what is read.
    """
    progress = progress or Progress()
    seen_at = context.clock.monotonic()
    readings = Readings(dict(known))
    strangers = [
        Untold(each, listing.age_s(each), seen_at, seen_at)
        for each in still_there(listing).attachments
        if each.attachment_id not in known
    ]
    progress.begin_reading(len(strangers))
    await _read(context, strangers, readings, progress)
    return readings


async def wait_for_tags(context: LaneContext, readings: Readings) -> None:
    """Read the tags of what is untold again and again until they tell, or until they must be there: a horizon at most.

    Raises Withheld if the run stops creating meanwhile.
    """
    if not readings.untold:
        return
    count, left_s = len(readings.untold), _left_s(context, readings)
    message = f"{count} new attachments have no readable tags yet; waiting until they tell whose they are"
    context.notice(f"{message}, at most {max(1.0, left_s):.0f} s")
    pause_s = FIRST_PAUSE_S
    while readings.untold:
        with context.lane.waiting(to_create=True):
            await context.clock.sleep(max(0.0, min(pause_s, _left_s(context, readings))))
        pause_s = min(PAUSE_MAX_S, pause_s * 2)
        await _read(context, tuple(readings.untold.values()), readings, Progress())


def carriers(listing: Listing, tokens: Mapping[str, str | None]) -> dict[str, list[Attachment]]:
    """Return the attachments that stand at the service by the token they carry, oldest first."""
    found: dict[str, list[Attachment]] = {}
    for attachment in sorted(listing.attachments, key=lambda each: (each.created_at, each.attachment_id)):
        token = tokens.get(attachment.attachment_id)
        if token is not None and attachment.status is not AttachmentStatus.DELETED:
            found.setdefault(token, []).append(attachment)
    return found


def _left_s(context: LaneContext, readings: Readings) -> float:
    """Return how long it takes at most until everything that is untold must tell."""
    now = context.clock.monotonic()
    return max(each.certain_at(context.horizon_s) for each in readings.untold.values()) - now


async def _read(context: LaneContext, strangers: Iterable[Untold], readings: Readings, progress: Progress) -> None:
    async def read(stranger: Untold) -> None:
        read_at, attachment = context.clock.monotonic(), stranger.attachment
        tags = await tags_of(context, attachment.attachment_arn)
        progress.one_read(attachment)
        token = None if tags is None else tags.get(IDENTITY_TAG)
        if not tags and read_at < stranger.certain_at(context.horizon_s):
            readings.untold[attachment.attachment_id] = replace(stranger, read_at=read_at)
            return
        readings.untold.pop(attachment.attachment_id, None)
        readings.tokens[attachment.attachment_id] = token
        if tags is not None:
            await context.ledger.remember([(attachment, token)], at=context.now())

    await for_each(strangers, read, at_once=READERS)
