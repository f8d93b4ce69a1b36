"""What `verify` does. It reads the ledger as any reader does: also while a run writes it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from batch_upload.cli.audience import Everybody, audience_of
from batch_upload.cli.compose import reach
from batch_upload.cli.exit_codes import first_of
from batch_upload.cli.flags import Flags
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.planning import check_lane
from batch_upload.cli.prepare import Prepared, ready_to_read
from batch_upload.cli.recorded import state_of
from batch_upload.cli.signals import until_interrupted
from batch_upload.clock import counting_s
from batch_upload.engine.listing import list_completely
from batch_upload.engine.plan import Knowledge, shown_row
from batch_upload.engine.tally import Tally
from batch_upload.engine.verify import (
    Comparison,
    FindingKind,
    compare,
    read_unknown,
    standing,
    unlisted,
    with_latecomers,
    young_of,
)
from batch_upload.errors import ExitCode, NoAnswer
from batch_upload.ledger.reading import find_reader
from batch_upload.model import Known, Lane, RateRecord
from batch_upload.report.observers import Observers
from batch_upload.report.summary import Exit, Summary, exit_of
from batch_upload.report.summary_text import Invocation, counts_lines, headline
from batch_upload.report.verification import FindingRow, Tallied, finding_lines, tallied_lines
from batch_upload.settings import Settings

_CODES: Mapping[FindingKind, ExitCode] = {
    FindingKind.UNKNOWN: ExitCode.OUTCOMES_UNKNOWN,
    FindingKind.OPEN: ExitCode.TRANSIENT,
    FindingKind.IN_PROGRESS: ExitCode.STILL_PROCESSING,
    FindingKind.NOT_YET: ExitCode.STILL_PROCESSING,
}
"""Every other kind is a disagreement."""


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What a ledger holds at one moment. Empty where there is none."""

    lane: Lane | None = None
    known: Sequence[Known] = ()
    tokens: Mapping[str, str | None] = field(default_factory=dict)
    rates: Sequence[RateRecord] = ()


def verify_manifest(path: Path, flags: Flags, output: Output) -> Ended:
    """Show every finding. Raises BatchUploadError where the lane or the ledger cannot be read."""
    started = counting_s()
    prepared, settings = ready_to_read(path, flags)
    tally = Tally()
    audience = audience_of(output)
    work = partial(_compared, prepared, settings, audience, tally)
    try:
        lane, compared, knowledge = anyio.run(partial(until_interrupted, work, at_once=audience.close))
    finally:
        audience.close()
    ended = Summary(
        verb="verify",
        exit=_exit(compared),
        batch=prepared.manifest.batch,
        account=lane.account,
        region=lane.region,
        states=Counter(state_of(shown_row(item, knowledge)).value for item in prepared.items),
        items=len(prepared.items),
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - started,
    )
    repeated = Repeated.of(flags, settings)
    _show(compared, ended, output, Invocation(str(path), repeated.flags, repeated.lane_flags))
    return Ended(ended, lines=())


async def _compared(
    prepared: Prepared, settings: Settings, audience: Observers, tally: Tally
) -> tuple[Lane, Comparison, Knowledge]:
    batch, items = prepared.manifest.batch, prepared.items
    before = _read(settings.ledger, batch)
    async with reach(settings, Everybody([tally], audience), remembered=before.rates, reads_only=True) as reached:
        check_lane(before.lane, reached.lane, settings)
        listing = await list_completely(reached)
        if not listing.is_complete:
            raise NoAnswer("the account kept changing while its attachments were listed", code="ListingIncomplete")
        # after the listing: what a run that goes on meanwhile has created by then is in the ledger
        ledger = await to_thread.run_sync(_read, settings.ledger, batch)
        knowledge = Knowledge.of(ledger.known)
        listing = await with_latecomers(reached, listing, unlisted(standing(items, knowledge), listing))
        tokens = await read_unknown(reached, listing, ledger.tokens)
        young = young_of(ledger.known, now=reached.clock.now(), horizon_s=settings.safe_horizon_s)
        return reached.lane, compare(items, knowledge, listing, tokens, young=young), knowledge


def _read(path: Path, batch: str) -> _Ledger:
    reader = find_reader(path)
    if reader is None:
        return _Ledger()
    with reader:
        return _Ledger(reader.lane(), reader.known(batch), reader.attachment_tokens(), reader.rates())


def _show(compared: Comparison, ended: Summary, output: Output, invocation: Invocation) -> None:
    rows = [
        FindingRow(each.kind.value, each.item_id, each.client_token, each.attachment_id, each.status)
        for each in compared.findings
    ]
    tallied = _tallied(compared)
    for row in rows:
        output.event(row.as_json())
    output.event(tallied.as_json())
    if output.quiet:
        return
    numbers = (f"  {line}" for line in (*tallied_lines(tallied), *counts_lines(ended)))
    output.answer([*finding_lines(rows), headline(ended), *numbers, *_next_lines(ended.exit.code, invocation)])


def _exit(compared: Comparison) -> Exit:
    code = first_of({_CODES.get(kind, ExitCode.DISAGREEMENT) for kind in compared.counts})
    if code is ExitCode.TRANSIENT:
        return Exit(code, "the outcome of some requests is not known yet")
    return Exit(code, "service and ledger agree") if code is ExitCode.DONE else exit_of(code)


def _tallied(compared: Comparison) -> Tallied:
    counts = compared.counts
    return Tallied(
        findings={kind.value: counts[kind] for kind in FindingKind},
        listed=compared.listed,
        strangers=compared.strangers,
        agreeing=compared.agreeing,
        finished=compared.finished,
    )


def _next_lines(code: ExitCode, invocation: Invocation) -> list[str]:
    if code in (ExitCode.DISAGREEMENT, ExitCode.OUTCOMES_UNKNOWN):
        return ["next:", f"  {invocation.command('reconcile')}    # writes into the ledger what the service proves"]
    if code in (ExitCode.TRANSIENT, ExitCode.STILL_PROCESSING):
        return ["next:", f"  {invocation.command('upload')}    # goes on with what is open"]
    return []
