"""What `verify` does. It reads the ledger as any reader does: also while a run writes it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from batch_upload.app.exits import first_of
from batch_upload.app.items import Prepared, invalid, missing_files, ready_to_read
from batch_upload.app.lane import reach
from batch_upload.app.readonly import LaneReading, check_lane, unplanned
from batch_upload.cli.asking import asker
from batch_upload.cli.audience import Everybody, audience_of
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.messages import obstacle_lines
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.signals import until_interrupted
from batch_upload.clock import counting_s
from batch_upload.engine.listing import list_completely, still_there
from batch_upload.engine.looking import reported
from batch_upload.engine.plan import Knowledge, shown_row
from batch_upload.engine.retry import LIST_TAGS
from batch_upload.engine.states import state_of_row
from batch_upload.engine.tally import Tally
from batch_upload.engine.verify import (
    NOTHING_READ,
    Comparison,
    FindingKind,
    compare,
    read_tags,
    standing,
    tokens_with,
    unlisted,
    with_latecomers,
    young_of,
)
from batch_upload.errors import ExitCode, NoAnswer
from batch_upload.ledger.reading import find_reader
from batch_upload.model import Known, Lane, RateRecord
from batch_upload.ports import Observer
from batch_upload.report.summary_text import Invocation, counts_lines, headline
from batch_upload.report.verification import (
    FindingRow,
    Tallied,
    difference_lines,
    finding_lines,
    tag_lines,
    tags_words,
    tallied_lines,
)
from batch_upload.settings import Settings
from batch_upload.summary import Exit, Summary, exit_of

_CODES: Mapping[FindingKind, ExitCode] = {
    FindingKind.UNKNOWN: ExitCode.OUTCOMES_UNKNOWN,
    FindingKind.OPEN: ExitCode.TRANSIENT,
    FindingKind.IN_PROGRESS: ExitCode.STILL_PROCESSING,
    FindingKind.NOT_YET: ExitCode.STILL_PROCESSING,
}
"""Every other kind is a disagreement."""
_OF_TAGS = (FindingKind.IDENTITY, FindingKind.TAGS)
"""What the ledger has nothing to learn from."""
_TAGS_ADVICE = "# put the tags back that were sent: a lost ledger is rebuilt from `batch-upload:token`"


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What a ledger holds at one moment. Empty where there is none."""

    lane: Lane | None = None
    known: Sequence[Known] = ()
    tokens: Mapping[str, str | None] = field(default_factory=dict)
    rates: Sequence[RateRecord] = ()


def verify_manifest(path: Path, flags: Flags, output: Output, *, reads_tags: bool) -> Ended:
    """Show every finding; `reads_tags` as by `--tags`.

    Files that cannot be sent are named, and do not end it: what the ledger knows of them is compared. Raises
    ManifestInvalid where it knows nothing, BatchUploadError where the lane or the ledger cannot be read.
    """
    started = counting_s()
    prepared, settings = ready_to_read(path, options_of(flags))
    if prepared.problems and _read(settings.ledger, prepared.manifest.batch).lane is None:
        raise invalid(path, prepared.problems)
    tally = Tally()
    audience = audience_of(output)
    work = partial(_compare, prepared, settings, Everybody([tally], audience), reads_tags=reads_tags)
    try:
        found = anyio.run(partial(until_interrupted, work, at_once=audience.close))
    finally:
        audience.close()
    rows = [*(shown_row(item, found.knowledge) for item in prepared.items), *found.unplanned]
    states = Counter(state_of_row(row) for row in rows)
    ended = Summary(
        verb="verify",
        exit=_exit(found.comparison),
        batch=prepared.manifest.batch,
        account=found.lane.account,
        region=found.lane.region,
        states={state.value: count for state, count in states.items()},
        items=states.total(),
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - started,
    )
    repeated = Repeated.of(flags, settings)
    _show(found, ended, prepared, output, Invocation(str(path), repeated.flags, repeated.lane_flags))
    return Ended(ended, lines=())


@dataclass(frozen=True, slots=True)
class _Compared:
    """What came of it. `unplanned` is reported of what has no item, since its file cannot be sent."""

    lane: Lane
    comparison: Comparison
    knowledge: Knowledge
    unplanned: Sequence[Known | None]
    tags_per_s: float
    aws_flags: tuple[str, ...]
    """Those by which AWS's own tool reaches the lane."""


async def _compare(prepared: Prepared, settings: Settings, observer: Observer, *, reads_tags: bool) -> _Compared:
    batch, items = prepared.manifest.batch, prepared.items
    before = _read(settings.ledger, batch)
    async with reach(settings, observer, remembered=before.rates, reads_only=True, ask=asker()) as reached:
        check_lane(before.lane, reached.lane, settings)
        reading = LaneReading(reached.service, reached.wire, reached.clock, observer)
        async with reported(reading, None, known=0) as progress:
            listing = await list_completely(reading, on_page=progress.page)
            if not listing.is_complete:
                raise NoAnswer("the account kept changing while its attachments were listed", code="ListingIncomplete")
            # after the listing: what a run that goes on meanwhile has created by then is in the ledger
            ledger = await to_thread.run_sync(_read, settings.ledger, batch)
            knowledge = Knowledge.of(ledger.known)
            listing = await with_latecomers(reading, listing, unlisted(standing(items, knowledge), listing))
            there = still_there(listing).attachments
            wanted = there if reads_tags else [each for each in there if each.attachment_id not in ledger.tokens]
            tags = await read_tags(reading, wanted, progress)
        compared = compare(
            items,
            knowledge,
            listing,
            tokens_with(ledger.tokens, tags, ledger.known),
            young=young_of(ledger.known, now=reached.clock.now(), horizon_s=settings.safe_horizon_s),
            tags=tags if reads_tags else NOTHING_READ,
        )
        profile = () if settings.profile is None else ("--profile", settings.profile)
        return _Compared(
            reached.lane,
            compared,
            knowledge,
            unplanned(prepared, ledger.known),
            tags_per_s=reached.wire.rate(LIST_TAGS),
            aws_flags=("--region", reached.lane.region, *profile),
        )


def _read(path: Path, batch: str) -> _Ledger:
    reader = find_reader(path)
    if reader is None:
        return _Ledger()
    with reader:
        return _Ledger(reader.lane(), reader.known(batch), reader.attachment_tokens(), reader.rates())


def _show(found: _Compared, ended: Summary, prepared: Prepared, output: Output, invocation: Invocation) -> None:
    rows = [
        FindingRow(
            each.kind.value,
            each.item_id,
            each.client_token,
            each.attachment_id,
            each.status,
            each.attachment_arn,
            each.differences,
        )
        for each in found.comparison.findings
    ]
    tallied = _tallied(found.comparison)
    for row in rows:
        output.event(row.as_json())
    output.event(tallied.as_json())
    if output.quiet:
        return
    tags = tags_words(tallied, reads=found.comparison.listed, reads_per_s=found.tags_per_s)
    numbers = (f"  {line}" for line in (*tallied_lines(tallied), tags, *counts_lines(ended)))
    next_steps = [f"  {line}" for line in _next_lines(found, rows, invocation)]
    titled = ["next:", *next_steps] if next_steps else []
    gone = len(found.unplanned) - len(prepared.unread)
    obstacles = obstacle_lines(missing_files(prepared), prepared, gone=gone, invocation=invocation)
    output.answer([*finding_lines(rows), *difference_lines(rows), headline(ended), *numbers, *obstacles, *titled])


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
        tags_compared=compared.tags_compared,
    )


def _next_lines(found: _Compared, rows: Sequence[FindingRow], invocation: Invocation) -> list[str]:
    """What to do about the findings: `reconcile` records what AWS proves, tags are put back at AWS."""
    codes = {_CODES.get(kind, ExitCode.DISAGREEMENT) for kind in found.comparison.counts if kind not in _OF_TAGS}
    lines = []
    if codes & {ExitCode.DISAGREEMENT, ExitCode.OUTCOMES_UNKNOWN}:
        lines.append(f"{invocation.command('reconcile')}    # writes into the ledger what the service proves")
    elif codes & {ExitCode.TRANSIENT, ExitCode.STILL_PROCESSING}:
        lines.append(f"{invocation.command('upload')}    # goes on with what is open")
    commands = tag_lines(rows, found.aws_flags)
    return [*lines, _TAGS_ADVICE, *commands] if commands else lines
