"""What `prune` does once its flags are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from batch_upload.app.exits import first_of
from batch_upload.app.items import ready
from batch_upload.app.lane import Reached
from batch_upload.app.rates import learned
from batch_upload.cli.asking import can_ask, is_agreed
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.on_lane import OnLane, ready_or_recorded
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.clock import counting_s
from batch_upload.engine.plan import Knowledge, shown_row
from batch_upload.engine.prune import Around, Pruning, Result, look_at_unfinished, prune, pruning
from batch_upload.errors import ExitCode, ServiceError, UsageError
from batch_upload.events import Pruned, PruneOutcome
from batch_upload.ledger.store import SqliteLedger
from batch_upload.model import Known, Manifest
from batch_upload.report.pruning import PruneRow, prune_lines
from batch_upload.summary import Exit, Summary, exit_of
from batch_upload.words import count_words

DELETERS = 4
"""Deletes in flight at once: at one a second more would only wait for slots."""
NOT_AGREED = Exit(ExitCode.DONE, "nothing was deleted, as you wished")
NOTHING = Exit(ExitCode.DONE, "nothing to delete")


@dataclass(frozen=True, slots=True)
class Consent:
    """What may be deleted unasked. `max_deletes` is None for the default: half of what the batch has."""

    is_given: bool
    max_deletes: int | None = None


def pruned(path: Path, flags: Flags, output: Output, consent: Consent) -> Ended:
    """Show, ask, delete, and sum up. Raises BatchUploadError where nothing could begin."""
    started = counting_s()
    # what is deleted does not come back: every file is read, whatever is remembered of it
    flags = replace(flags, rehash=True)
    prepared, settings = ready_or_recorded("prune", path, flags, output)
    _demand_whole(prepared.manifest)
    repeated = Repeated.of(flags, settings)

    async def run() -> Ended:
        read = partial(ready, path, options_of(flags))
        verb = _Pruning(prepared, settings, output, repeated, started=started, read=read)
        verb.consent = consent
        return await verb.run()

    return anyio.run(run)


class _Pruning(OnLane):
    """One run of the verb."""

    verb = "prune"
    consent = Consent(is_given=False)

    async def work(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        _demand_whole(self.prepared.manifest)  # it may have been read again
        await ledger.pin(reached.lane, endpoint=reached.service.endpoint, at=self.clock.now())
        around = Around(
            self.run_id, reached.service, ledger, reached.wire, self.clock, self, self.settings.safe_horizon_s
        )
        rows = await ledger.known(self.batch)
        found = pruning(self.prepared.items, rows)
        if await look_at_unfinished(around, found):
            rows = await ledger.known(self.batch)
            found = pruning(self.prepared.items, rows)
        self._show(found)
        if not found.candidates:
            return self._told(self._stock(rows), NOTHING, Result())
        if not await self._may_begin(found):
            return self._told(self._stock(rows), NOT_AGREED, Result())
        await ledger.begin_run(self.run_id, verb=self.verb, batch=self.batch, at=self.clock.now())
        result, failed = Result(), None
        try:
            with self.draining(reached):
                await prune(around, found.candidates, result, at_once=min(DELETERS, self.settings.concurrency))
        except ServiceError as error:
            failed = error
        left = len(found.candidates) - sum(result.counts.values())
        ending = _exit(result, failed, signalled=self.interrupts.code)
        ended = self._told(self._stock(await ledger.known(self.batch)), ending, result, left=left)
        now, summary = self.clock.now(), ended.summary
        await ledger.learn(learned(reached.laws, self.tally, now=now))
        await ledger.end_run(self.run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=now)
        return ended

    async def _may_begin(self, found: Pruning) -> bool:
        """Whether it is agreed. Raises UsageError where nobody can be asked and nobody said yes before."""
        if self.consent.is_given:
            self._demand_few(found)
            return True
        if can_ask():
            return await is_agreed(f"delete {count_words(len(found.candidates), 'attachment')}?")
        raise UsageError(
            f"{count_words(len(found.candidates), 'attachment')} would be deleted, and there is nobody to ask",
            hint="`--yes` deletes them without a question",
        )

    def _demand_few(self, found: Pruning) -> None:
        """A part of a manifest on the ledger of the whole must not delete all the rest unseen."""
        limit = self.consent.max_deletes
        count = found.unlisted if limit is None else len(found.candidates)
        allowed = found.standing // 2 if limit is None else limit
        if count > allowed:
            raise UsageError(
                f"{count:,} of {found.standing:,} attachments of this batch would be deleted, {allowed:,} may be;"
                " nothing was deleted",
                hint=f"if this is the whole manifest of the batch: `--max-deletes {len(found.candidates)}`",
            )

    def notify(self, event: object) -> None:
        """As an observer: what was not deleted is told at once, the rest to machines alone."""
        self.observer.notify(event)
        if isinstance(event, Pruned) and event.outcome is not PruneOutcome.DELETED:
            self.output.say(f"{event.outcome}: `{event.known.item_id}`: {event.reason}")

    def _show(self, found: Pruning) -> None:
        rows = [
            *(_row(each.known, each.reason, deletes=True) for each in found.candidates),
            *(_row(each.known, each.reason, deletes=False) for each in found.spared),
        ]
        for row in rows:
            self.output.event(row.as_json())
        if not self.output.quiet:
            self.output.answer(prune_lines(rows))

    def _stock(self, rows: Sequence[Known]) -> Mapping[str, Known]:
        knowledge = Knowledge.of(rows)
        found = {item.item_id: shown_row(item, knowledge) for item in self.prepared.items}
        return {item_id: row for item_id, row in found.items() if row is not None}

    def _told(self, stock: Mapping[str, Known], ending: Exit, result: Result, *, left: int = 0) -> Ended:
        """How it ended. `left` attachments were not looked at, since the run stopped before them."""
        summary: Summary = self.summed_up(stock, ending)
        counts = [f"{result.counts[each]:,} {each}" for each in PruneOutcome if result.counts[each]]
        if left:
            counts.append(f"{left:,} left for the next run")
        return Ended(summary, lines=(f"prune: {', '.join(counts) or ending.reason}",))


def _demand_whole(manifest: Manifest) -> None:
    """Raise UsageError for a part of a manifest."""
    if manifest.part_of is not None:
        raise UsageError(
            f"`{manifest.path}` lists only a part of `{manifest.part_of}`: `prune` would delete the attachments of"
            " everything else",
            hint=f"run `prune` on `{manifest.folder / manifest.part_of}`",
        )


def _row(known: Known, reason: str, *, deletes: bool) -> PruneRow:
    return PruneRow(deletes, known.item_id, known.client_token, known.attachment_id, reason)


def _exit(result: Result, failed: ServiceError | None, *, signalled: ExitCode | None) -> Exit:
    codes = set() if signalled is None else {signalled}
    if failed is not None:
        codes.add(failed.exit_code)
    if result.unproved:
        codes.add(ExitCode.DISAGREEMENT)
    if result.refused:
        codes.add(ExitCode.ITEMS_FAILED)
    if result.counts[PruneOutcome.OPEN]:
        codes.add(ExitCode.TRANSIENT)
    code = first_of(codes)
    if failed is not None and failed.exit_code is code:
        return Exit(code, failed.message)
    return Exit(code, "done") if code is ExitCode.DONE else exit_of(code)
