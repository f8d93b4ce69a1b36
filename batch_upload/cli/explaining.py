"""What `why` does: everything that manifest and ledger know of one item."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.items import invalid, item_of, list_items_and_unmatched
from batch_upload.cli import messages
from batch_upload.cli.flags import Flags, options_of, truth_of
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.recorded import RUNS_LOOKED_AT, refusal_of
from batch_upload.clock import counting_s
from batch_upload.documents.inspect import inspect
from batch_upload.documents.refusals import Refusal
from batch_upload.engine.plan import Knowledge, LaneOutlook, is_absent, latest_try, plan, shown_row, shown_row_of_id
from batch_upload.errors import ExitCode, UsageError
from batch_upload.ledger.reading import LedgerReader, find_reader
from batch_upload.model import Action, ActionKind, Item, Known, Lane, Listed, Manifest, Problem, State
from batch_upload.report.advice import advice
from batch_upload.report.history import Chapter, History, Named, Next, Tried, history_json, history_lines
from batch_upload.report.summary_text import Invocation
from batch_upload.settings import Settings, settings_of
from batch_upload.spelling import id_hint
from batch_upload.summary import Summary, exit_of
from batch_upload.token import RETRIES_MAX, client_token

SUGGESTED = 3

_NEXT_WORDS = {
    ActionKind.CREATE: "the next `upload` sends it",
    ActionKind.REPLACE: "the next `upload` sends it as a new attachment; the old one stays",
    ActionKind.RESOLVE: "the next `upload` replays it, or looks at the service for what became of it",
    ActionKind.UNCHANGED: "nothing is left to do",
    ActionKind.RETAG: "the next `upload` gives its attachment the new tags",
    ActionKind.PARKED: "the next `upload` sends it once there is capacity",
    ActionKind.FAILED: "nothing, unless the file is another or `generation` is raised",
    ActionKind.ORPHAN: "nothing",
}
_UPLOADS = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.PARKED)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of an id. `listed` is None where the manifest no longer has it."""

    manifest: Manifest
    settings: Settings
    item_id: str
    listed: Listed | None
    known: Sequence[Known]
    """Every token of the batch."""
    chapters: Sequence[Chapter]
    """Of this id, oldest first."""
    lane: Lane | None
    unmatched: Sequence[Problem]
    """Globs of the manifest that match no file."""
    refusal: str
    """Why `upload` refuses this ledger; empty where it does not."""
    is_new: bool
    """Whether the ledger has never listed its lane: the item may be at the service although nothing is known of it."""


def explained(path: Path, item_id: str, flags: Flags, output: Output) -> Ended:
    """Tell the history. Raises UsageError for an id that neither manifest nor ledger know."""
    started = counting_s()
    found = _find(path, item_id, flags)
    invocation = Invocation(str(path), Repeated.of(flags, found.settings).flags)
    history = _history(found, invocation)
    for line in history_json(history):
        output.event(line)
    if not output.quiet:
        output.answer(history_lines(history))
    ended = Summary(
        verb="why",
        exit=exit_of(ExitCode.DONE),
        batch=found.manifest.batch,
        account=found.lane.account if found.lane else None,
        region=found.lane.region if found.lane else None,
        states={history.state: 1},
        items=1,
        elapsed_s=counting_s() - started,
    )
    return Ended(ended, lines=())


def _find(path: Path, item_id: str, flags: Flags) -> _Found:
    allow_outside = truth_of(flags, "allow_outside")
    manifest, listed, unmatched = list_items_and_unmatched(path, allow_outside=allow_outside)
    settings = settings_of(options_of(flags), manifest=path, ledger=manifest.ledger, target=manifest.target)
    wanted = next((each for each in listed if each.item_id == item_id), None)
    reader = find_reader(settings.ledger)
    if reader is None and unmatched:
        raise invalid(path, unmatched)
    if reader is None:
        known: Sequence[Known] = ()
        chapters: Sequence[Chapter] = ()
        lane, refusal, is_new = None, "", True
    else:
        with reader:
            known, lane = reader.known(manifest.batch), reader.lane()
            is_new = reader.listed_at() is None
            refusal = refusal_of(reader.runs(manifest.batch, limit=RUNS_LOOKED_AT))
            chapters = [_chapter(reader, row, manifest.batch) for row in known if row.item_id == item_id]
    if wanted is None and not chapters:
        raise _unknown(item_id, path, {each.item_id for each in listed} | {row.item_id for row in known})
    return _Found(manifest, settings, item_id, wanted, known, chapters, lane, unmatched, refusal, is_new)


def _unknown(item_id: str, path: Path, ids: Collection[str]) -> UsageError:
    hint = id_hint(item_id, ids)
    if not hint:
        close = difflib.get_close_matches(item_id, sorted(ids), n=SUGGESTED)
        hint = (
            f"did you mean {' or '.join(f'`{each}`' for each in close)}?" if close else "`status` counts what there is"
        )
    return UsageError(f"`{item_id}` is no id of `{path}`, nor of its ledger", hint=hint)


def _chapter(reader: LedgerReader, known: Known, batch: str) -> Chapter:
    tried = [Tried(**asdict(attempt)) for attempt in reader.attempts(known.client_token)]
    named = _named(known.client_token, batch, known.item_id, known.content, known.generation, known.tags)
    return Chapter(known, named, reader.since(known.client_token), tried)


def _history(found: _Found, invocation: Invocation) -> History:
    item = _item(found)
    now = _now(found, item)
    state = now.known.state if now else State.PENDING
    return History(
        item_id=found.item_id,
        batch=found.manifest.batch,
        state=state.value,
        state_words=messages.state_words(state),
        now=now,
        wanted=_wanted(item, found) if isinstance(item, Item) else None,
        unreadable=item.message if isinstance(item, Refusal) else "",
        next=_next(found, item, invocation),
        earlier=[each for each in found.chapters if now is None or each.named.client_token != now.named.client_token],
    )


def _wanted(item: Item, found: _Found) -> Named:
    """What the token is made of that stands for the item as the manifest has it now."""
    each = latest_try(item, Knowledge.of(found.known))
    return _named(each.client_token, each.batch, each.item_id, each.content, each.generation, each.tags)


def _item(found: _Found) -> Item | Refusal | None:
    """The item as the manifest has it now, with a look into its file; None where it no longer has it."""
    listed = found.listed
    if listed is None:
        return None
    if listed.path is None:
        return item_of(listed, None)
    root = None if found.settings.allow_outside else found.manifest.folder
    document = inspect(listed.path, max_size_bytes=listed.max_size_bytes, root=root, source=listed.source)
    return document if isinstance(document, Refusal) else item_of(listed, document)


def _now(found: _Found, item: Item | Refusal | None) -> Chapter | None:
    """What is reported of the id: by its item, or by the ledger alone where there is none."""
    if isinstance(item, Item):
        row = shown_row(item, Knowledge.of(found.known))
    else:
        row = shown_row_of_id([each.known for each in found.chapters])
    chapters = [each for each in found.chapters if row is not None and each.known.client_token == row.client_token]
    return replace(chapters[0], known=row) if row is not None and chapters else None


def _named(token: str, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str]) -> Named:
    """What the token is made of. Which retry it is of is found out by making the token of each."""
    for retry in range(1, RETRIES_MAX + 1):
        made = client_token(
            batch=batch, item_id=item_id, content=content, generation=generation, tags=tags, retry=retry
        )
        if made == token:
            return Named(token, batch, item_id, content, generation, tags, retry)
    return Named(token, batch, item_id, content, generation, tags)


def _next(found: _Found, item: Item | Refusal | None, invocation: Invocation) -> Next:
    """What the planner would do with this item now."""
    if isinstance(item, Refusal):
        words = f"`upload` sends nothing of this manifest: {item.message}"
        return Next(words, (invocation.command("validate"),))
    if found.unmatched:
        words = f"`upload` sends nothing of this manifest: {found.unmatched[0].message}"
        return Next(words, (invocation.command("validate"),))
    if found.refusal:
        words = f"`upload` refuses this ledger: {found.refusal}"
        return Next(words, (invocation.command("reconcile"),))
    knowledge = Knowledge.of(found.known)
    made = plan([] if item is None else [item], knowledge, LaneOutlook(datetime.now(UTC)))
    action = next((each for each in made.actions if each.item_id == found.item_id), None)
    if action is None:
        return Next("nothing: the manifest no longer lists it, and nothing of it is at the service")
    if found.is_new and action.kind is ActionKind.CREATE:
        words = f"the next `upload` looks whether the service has it already, and sends it if not ({action.reason})"
        return Next(words, (invocation.command("upload"),))
    return _next_of(action, invocation)


def _next_of(action: Action, invocation: Invocation) -> Next:
    if action.known is not None and is_absent(action.known):
        return Next(advice(State.FAILED, action.known.fault), (invocation.command("upload"),))
    known = action.known
    if action.kind is ActionKind.UNCHANGED and known is not None and known.state is State.PROCESSING:
        return Next("the next `upload` asks whether the service has finished with it", (invocation.command("upload"),))
    words = f"{_NEXT_WORDS[action.kind]} ({action.reason})"
    if known is not None and known.state in (State.SENDING, State.UNKNOWN):
        return Next(words, (invocation.command("upload"), invocation.command("reconcile")))
    return Next(words, (invocation.command("upload"),) if action.kind in _UPLOADS else ())
