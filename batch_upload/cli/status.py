"""`status`: counts and the items that need attention, from the ledger."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_upload.actions import Action, ActionKind
from batch_upload.cli import messages
from batch_upload.cli.flags import LEDGER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS, Flags, ManifestOrLedgerArgument, options_of
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.model import State
from batch_upload.report.estimate import work_left
from batch_upload.report.item_text import KnownItems, denial_lines
from batch_upload.report.ndjson import denial_line, in_lane, known_line, lane_ref
from batch_upload.report.summary_text import Invocation, attention_lines, states_line
from batch_upload.targets import Target, id_with_lane
from batch_upload.words import count_words, duration_words, holder_words, rate_words, who_words

if TYPE_CHECKING:
    from batch_upload.app.status import Status

HOLDS_SHOWN = 20
"""Lanes whose holders are named in text."""


@verb("status", ("batch",), LEDGER_FLAGS, TARGET_FLAGS, ("allow_outside",), OUTPUT_FLAGS)
def status_command(manifest: ManifestOrLedgerArgument, *, flags: Flags, output: Output) -> Ended:
    """count the items by state and name those that need attention, from ledger and files"""
    from batch_upload.app.lanes import LaneOutcome  # heavy, like all that follows: only when there is work
    from batch_upload.app.status import status_sync
    from batch_upload.report.lane_words import hold_line, last_run_line

    found = status_sync(manifest, options_of(flags), whole=output.json)
    for lane in found.lanes or [LaneOutcome(Target(), found)]:
        for row in lane.value.rows:
            output.event(in_lane(known_line(row, at=datetime.now(UTC)), lane_ref(lane.target, lane.value.lane)))
            if (denial := row.standing_denial) is not None:
                output.event(in_lane(denial_line(row, denial), lane_ref(lane.target, lane.value.lane)))
        for hold in lane.value.holds:
            output.event(hold_line(hold, lane_ref(lane.target, lane.value.lane)))
        if lane.value.last_run is not None:
            output.event(in_lane(last_run_line(lane.value.last_run), lane_ref(lane.target, lane.value.lane)))
    if not output.quiet:
        # `status` has no such flag: the run that left something out had it
        has_skipped = found.last_run is not None and State.INVALID in (found.last_run.summary or {}).get("states", ())
        settings = replace(found.settings, skip_invalid=found.settings.skip_invalid or has_skipped)
        invocation = invocation_of(manifest, flags, settings)
        obstacles = messages.obstacle_lines(found.missing, found.prepared, gone=found.gone, invocation=invocation)
        lines = [
            *run_lines(found),
            *invalid_run_lines(found, invocation),
            *(printable(line) for line in change_lines(found)),
            *obstacles,
            *hold_lines(found),
            *ledger_lines(found),
            *(lanes_lines(found, output) if found.lanes else refusal_lines(found, invocation)),
            *attention_lines(attention_of(found), invocation),
            *denial_lines(denied_of(found)),
            *orphan_lines(found, invocation),
        ]
        shard = messages.shard_lines(output.shard, lanes=len(found.lanes))
        output.answer([*shard, states_line(found.summary), *lines])
    return Ended(found.summary, lines=())


def hold_lines(found: "Status") -> Iterator[str]:
    """Yield who holds each lane now, where several hosts share the ledger."""
    from batch_upload.report.lane_words import hold_words

    held = [hold for hold in found.holds if hold.is_held]
    for hold in held[:HOLDS_SHOWN]:
        yield printable(f"lane {hold.lane}: held by {hold_words(hold)}")
    if len(held) > HOLDS_SHOWN:
        yield f"and {count_words(len(held) - HOLDS_SHOWN, 'more lane')} held; `--json` has all"


def ledger_lines(found: "Status") -> Iterator[str]:
    """Yield what is not known without the manifest, and the batches if the ledger holds several."""
    if not found.is_ledger_alone:
        return
    yield messages.ledger_alone_text(found.settings.ledger)
    for batch, states in found.batches.items() if len(found.batches) > 1 else ():
        counts = ", ".join(f"{states[state]:,} {state.value}" for state in State if states.get(state))
        yield printable(f"batch `{batch}`: {counts or 'no items'}")


def refusal_lines(found: "Status", invocation: Invocation) -> Iterator[str]:
    """Yield why `upload` refuses the ledger, and the command for it."""
    if found.refusal:
        yield printable(f"`upload` refuses this ledger: {found.refusal}")
        yield "  see `reconcile` with its manifest" if found.is_ledger_alone else f"  {invocation.command('reconcile')}"


def invalid_run_lines(found: "Status", invocation: Invocation) -> Iterator[str]:
    """Yield where to see why the last run sent nothing: what the service said of registrations is in no ledger."""
    run = found.last_run
    if run is None or run.exit_code != ExitCode.INVALID or found.is_ledger_alone:
        return
    yield f"  {invocation.command('plan')}    # lists the problems, those of registrations and their fields too"


def lanes_lines(found: "Status", output: Output) -> list[str]:
    """Return how far the lanes are: those that are not complete, and with `-v` all."""
    from batch_upload.report.lane_status import LaneStatus, lane_status_lines

    lanes = [
        LaneStatus(
            lane_ref(lane.target, lane.value.lane),
            lane.value.states,
            f"`upload` refuses this ledger: {lane.value.refusal}" if lane.value.refusal else "",
        )
        for lane in found.lanes
    ]
    return lane_status_lines(lanes, verbose=output.verbose > 0)


def attention_of(found: "Status") -> KnownItems:
    """Return the rows that need attention, by lane where there are several."""
    if not found.lanes:
        return found.attention
    return {lane.target.label or "": lane.value.attention for lane in found.lanes}


def denied_of(found: "Status") -> KnownItems:
    """Return the rows of denied attachments, by lane where there are several."""
    if not found.lanes:
        return found.denied
    return {lane.target.label or "": lane.value.denied for lane in found.lanes}


def run_lines(found: "Status") -> Iterator[str]:
    """Yield how the last run ended; while one goes on also its process, its rate, and how long the rest takes."""
    run, note = found.last_run, found.holder
    if run is None:
        yield "no run so far"
    else:
        named = f"last run: {run.run_id} ({run.verb}), began {run.began_at:%Y-%m-%d %H:%M:%SZ}"
        reason = (run.summary or {}).get("exit", {}).get("reason")
        why = printable(f" ({reason})") if run.exit_code and isinstance(reason, str) else ""
        if run.ended_at is not None:
            yield f"{named}, ended {run.ended_at:%Y-%m-%d %H:%M:%SZ}, exit {run.exit_code}{why}"
        elif note is not None:
            yield f"{named}, is under way"
        else:
            yield f"{named}, stopped without an end: run the same command again"
        if run.host is not None:
            yield printable(f"  by {who_words(run.principal, run.os_user, run.host)}")
    if note is not None:
        yield printable(f"running now: {holder_words(note.pid, note.host)}{note.since_words if note.pid else ''}")
        binds = found.states.get(State.BINDING, 0)
        left, left_s = work_left(found.states, found.create_rate, binds=binds)
        if left_s is not None:
            parts = [f"{left:,} to send at {rate_words(found.create_rate)}"] if left else []
            parts += [f"{binds:,} to put into fields"] if binds else []
            yield f"  {', '.join(parts)}, about {duration_words(left_s)} left"


def change_lines(found: "Status") -> Iterator[str]:
    """Yield what the next `upload` changes of what was uploaded."""
    changed = [name_of(action) for action in found.plan.of(ActionKind.REPLACE)]
    if changed:
        names = messages.names_words(changed)
        yield f"{len(changed):,} changed since the upload, sent by the next `upload`: {names}"
    tagged = [name_of(action) for action in found.plan.of(ActionKind.RETAG)]
    if tagged:
        names = messages.names_words(tagged)
        yield f"{len(tagged):,} with other tags than AWS has, changed by the next `upload`: {names}"
    moved = [name_of(each) for each in found.plan.of(ActionKind.BIND) if each.state is State.COMPLETE]
    if moved:
        names = messages.names_words(moved)
        yield f"{len(moved):,} not in the field that the manifest names, put there by the next `upload`: {names}"


def name_of(action: Action) -> str:
    """Return the id of an action's item as `--only` takes it: with its lane in a manifest with `targets`."""
    return id_with_lane(None if action.item is None else action.item.lane_label, action.item_id)


def orphan_lines(found: "Status", invocation: Invocation) -> Iterator[str]:
    """Yield how many attachments of the batch are no item of the manifest, and how to list them."""
    count = found.plan.counts[ActionKind.ORPHAN]
    if count:
        are = "attachment that was replaced or is" if count == 1 else "attachments that were replaced or are"
        yield f"not counted above: {count:,} {are} no longer listed"
        yield f"  {invocation.command('report', '--all')}"
