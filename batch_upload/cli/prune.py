"""`prune`: deletes attachments that this tool created and that the manifest no longer lists."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import ACCESS, LEDGER, OUTPUT, RECORDS, Flags, ManifestArgument, options_of, takes
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.cli.witnesses import Witnesses

if TYPE_CHECKING:
    from batch_upload.app.interruption import Interruption
    from batch_upload.app.prune import PruneResult, PruneSession
    from batch_upload.engine.prune import Pruning
    from batch_upload.ports import Observer


@dataclass(frozen=True, slots=True)
class Consent:
    """What may be deleted unasked. `max_deletes` is None for the default: half of what the batch has."""

    is_given: bool
    max_deletes: int | None = None


@takes(LEDGER, ACCESS, ("concurrency", "wait_lock", "allow_outside"), OUTPUT, RECORDS)
def prune(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question; without a terminal nothing is deleted otherwise")
    ] = False,
    max_deletes: Annotated[
        int | None,
        typer.Option("--max-deletes", metavar="N", min=0, help="with `--yes`: default half of what the batch has"),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """delete attachments that this tool created and that the manifest no longer lists; shows them first"""
    output = Output.of(flags, Witnesses(flags))
    consent = Consent(is_given=yes, max_deletes=max_deletes)
    run_verb("prune", manifest, output, partial(_prune, manifest, flags, output, consent))


def _prune(path: Path, flags: Flags, output: Output, consent: Consent) -> Ended:
    from batch_upload.app.items import ready  # heavy, like all that follows: only when there is work
    from batch_upload.app.prune import PruneSession, demand_whole
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.cli.asking import asker
    from batch_upload.cli.on_lane import run_session
    from batch_upload.clock import counting_s
    from batch_upload.events import PruneOutcome

    started, run_id = counting_s(), output.witnesses.run_id
    # what is deleted does not come back: every file is read, whatever is remembered of it
    options = replace(options_of(flags), rehash=True)
    prepared, settings = ready_or_recorded("prune", path, options, run_id=run_id)
    demand_whole(prepared.manifest)

    def make(observer: "Observer", interruption: "Interruption") -> "PruneSession":
        session = PruneSession(
            prepared,
            settings,
            _SaysWhatIsSpared(observer, output),
            read=partial(ready, path, options),
            run_id=run_id,
            interruption=interruption,
            ask=asker(),
            started=started,
        )
        session.decide = partial(_decide, output, consent)
        return session

    def ended_of(result: "PruneResult") -> Ended:
        if result.was_cut_off:
            return Ended(result.summary)
        counts = [f"{result.counts[each]:,} {each}" for each in PruneOutcome if result.counts.get(each)]
        if result.left:
            counts.append(f"{result.left:,} left for the next run")
        return Ended(result.summary, lines=(f"prune: {', '.join(counts) or result.summary.exit.reason}",))

    return run_session(output, Repeated.of(flags, settings), make, ended_of)


async def _decide(output: Output, consent: Consent, found: "Pruning") -> bool:
    """Show what would be deleted, and ask unless it was agreed before.

    Raises UsageError where nobody can be asked, and for more deletes than may go unasked.
    """
    from batch_upload.cli.asking import can_ask, is_agreed
    from batch_upload.errors import UsageError
    from batch_upload.report.findings import PruneRow, prune_lines
    from batch_upload.words import count_words

    rows = [
        PruneRow(deletes, each.known.item_id, each.known.client_token, each.known.attachment_id, each.reason)
        for deletes, some in ((True, found.candidates), (False, found.spared))
        for each in some
    ]
    for row in rows:
        output.event(row.as_json())
    if not output.quiet:
        output.answer(prune_lines(rows))
    if not found.candidates:
        return False
    if consent.is_given:
        _demand_few(found, consent.max_deletes)
        return True
    attachments = count_words(len(found.candidates), "attachment")
    if can_ask():
        return await is_agreed(f"delete {attachments}?")
    raise UsageError(
        f"{attachments} would be deleted, and there is nobody to ask", hint="`--yes` deletes them without a question"
    )


def _demand_few(found: "Pruning", max_deletes: int | None) -> None:
    """A part of a manifest on the ledger of the whole must not delete all the rest unseen."""
    from batch_upload.errors import UsageError

    count = found.unlisted if max_deletes is None else len(found.candidates)
    allowed = found.standing // 2 if max_deletes is None else max_deletes
    if count > allowed:
        raise UsageError(
            f"{count:,} of {found.standing:,} attachments of this batch would be deleted, {allowed:,} may be;"
            " nothing was deleted",
            hint=f"if this is the whole manifest of the batch: `--max-deletes {len(found.candidates)}`",
        )


class _SaysWhatIsSpared:
    """An observer that says at once what was not deleted, and hands every event on."""

    def __init__(self, observer: "Observer", output: Output) -> None:
        self._observer = observer
        self._output = output

    def notify(self, event: object) -> None:
        """Hand the event on, and say what it spares."""
        from batch_upload.events import Pruned, PruneOutcome

        self._observer.notify(event)
        if isinstance(event, Pruned) and event.outcome is not PruneOutcome.DELETED:
            self._output.say(f"{event.outcome}: `{event.known.item_id}`: {event.reason}")
