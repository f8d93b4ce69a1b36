"""The end of a verb for people: counts of the items, what failed and why, and the commands to type next."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath

from batch_upload.errors import ExitCode
from batch_upload.escape import printable, quoted, shell_word
from batch_upload.model import Known, State
from batch_upload.operations import ASSUME_ROLE, FIELD_DEFINITIONS, FIELD_VALUES, IDENTITY, REGISTRATIONS
from batch_upload.report.advice import ROOM_IN_ACCOUNT
from batch_upload.report.item_text import (
    KnownItems,
    failure_lines,
    ids_words,
    invalid_lines,
    listing_verb,
    shown_items,
)
from batch_upload.summary import Exit, LaneSummary, Summary, in_order_of_states, reason_of_lanes
from batch_upload.words import (
    aligned_lines,
    count_words,
    duration_words,
    indented,
    size_words,
)

READY_SHOWN = 5
"""Registrations that the end of a run names of those that have all their attachments."""
LANES_SHOWN = 20
"""Lanes in the table of those that did not end with 0."""
TARGETS_NAMED = 3
"""Targets that a next command names; it goes over the whole manifest where more lanes want it."""

_PROGRAM = "batch-upload"
_OFFLINE_VERBS = frozenset({"validate", "status", "why", "report", "watch"})
"""Verbs that make no request, and so take no flag that chooses a lane."""
_CHECKING_VERBS = frozenset({"upload", "plan", "validate"})
"""Verbs that look into every file, and so take the flags that say what is a problem and whether to go on."""
_LOOKED_UP = frozenset({IDENTITY, ASSUME_ROLE, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES})
"""Requests that are no work: every run looks up whose account it is, and what became of registrations."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """How the user names this manifest, empty for a verb that takes none.

    `flags` choose files and lanes, `ledger_flags` the ledger (for verbs that read one), and `lane_flags` the lane (for
    verbs that talk to the service). `check_flags` say what counts as a problem, and whether to go on in spite of one.
    `targets` are those that the user gave.
    """

    manifest: str
    flags: tuple[str, ...] = ()
    ledger_flags: tuple[str, ...] = ()
    lane_flags: tuple[str, ...] = ()
    check_flags: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    upload: tuple[str, ...] = ("upload",)
    """The words of the verb that uploads: those of a fleet where it was one that ran."""

    def command(self, verb: str, *arguments: str, targets: Sequence[str] = ()) -> str:
        """Return a command of ours that can be typed as it is shown. `targets` take the place of the user's own."""
        chosen = _target_flags(targets or self.targets)
        words = self.upload if verb == "upload" else (verb,)
        flags = (
            *self.flags,
            *(() if verb == "validate" else self.ledger_flags),
            *(() if verb in _OFFLINE_VERBS else self.lane_flags),
            *(self.check_flags if verb in _CHECKING_VERBS else ()),
        )
        return shell_line((_PROGRAM, *words, self.manifest, *arguments, *chosen, *flags))

    def why(self, item_id: str, *, target: str | None = None) -> str:
        """Return the command that shows one item's history. An id that looks like a flag goes behind `--`."""
        targets = self.targets if target is None else (target,)
        if not item_id.startswith("-"):
            return self.command("why", item_id, targets=targets)
        flags = (*_target_flags(targets), *self.flags, *self.ledger_flags)
        return shell_line((_PROGRAM, "why", *flags, "--", self.manifest, item_id))


def shell_line(words: Iterable[str]) -> str:
    """Return the words as a line of a POSIX shell."""
    return " ".join(shell_word(word) for word in words)


def summary_lines(summary: Summary, known: KnownItems, invocation: Invocation) -> list[str]:
    """Return the whole text. `known` are the manifest's items as the ledger has them now."""
    return [
        headline(summary),
        *indented(counts_lines(summary)),
        *lane_lines(summary.lanes, invocation),
        *failure_lines(known),
        *invalid_lines(known),
        *ready_lines(summary),
        *(printable(note) for note in summary.notes),
        *next_lines(summary, known, invocation),
    ]


def headline(summary: Summary) -> str:
    """Return what the verb was to do, and how it ended; of several lanes how many ended how."""
    batch = "" if summary.batch is None else f" of batch `{summary.batch}`"
    lane = "" if summary.account is None or summary.lanes else f" to {summary.account}/{summary.region}"
    ending = summary.exit.reason
    if summary.lanes and summary.exit.code is not ExitCode.DONE:
        ending = reason_of_lanes(summary.lanes)
    if summary.exit.code is ExitCode.DONE and summary.verb == "upload":
        lane = f" to {count_words(len(summary.lanes), 'lane')}" if summary.lanes else lane
        ending = "nothing to do" if summary.requests.keys() <= _LOOKED_UP else "done"
    shard = "" if summary.shard is None else f" (shard {summary.shard})"
    return printable(f"{summary.verb}{batch}{shard}{lane}: {ending}")


def lane_lines(lanes: Sequence[LaneSummary], invocation: Invocation) -> list[str]:
    """Return the lanes that did not end with 0 in aligned columns, those that want a person first."""
    ended = sorted(
        (lane for lane in lanes if lane.exit.code is not ExitCode.DONE),
        key=lambda lane: lane.exit.urgency,
    )
    rows: list[tuple[str, ...]] = [("lane", "account/Region", "exit", "items", "reason")]
    for lane in ended[:LANES_SHOWN]:
        counts = [f"{count:,} {name}" for name, count in in_order_of_states(lane.states).items() if count]
        where = f"{lane.account or '?'}/{lane.region or '?'}"
        cells = (lane.label or where, where, lane.exit.name, ", ".join(counts) or "none", lane.exit.reason)
        rows.append(tuple(printable(cell) for cell in cells))
    lines = indented(aligned_lines(rows)) if ended else []
    more = len(ended) - LANES_SHOWN
    if more > 0:
        see = f"; see `{invocation.command('status')}`" if invocation.manifest else ""
        lines.append(f"  and {count_words(more, 'more lane')}{see}")
    return lines


def states_line(summary: Summary) -> str:
    """Return the items by state."""
    counts = [f"{count:,} {name}" for name, count in in_order_of_states(summary.states).items() if count]
    words = f"items: {summary.items:,}" + (f", of which {', '.join(counts)}" if counts else "")
    return words if summary.adds_up else f"{words} (which does not add up: this is a fault of the program)"


def counts_lines(summary: Summary) -> list[str]:
    """Return the items by state, what this run did, and what it cost."""
    lines = [states_line(summary)]
    if summary.uploaded or summary.adopted or summary.unchanged or summary.bound:
        work = ["nothing uploaded"]
        if summary.uploaded:
            work = [f"{summary.uploaded:,} uploaded ({size_words(summary.bytes_sent)} sent)"]
        if summary.adopted:
            work.append(f"{summary.adopted:,} {'was' if summary.adopted == 1 else 'were'} already at AWS")
        if summary.bound:
            work.append(f"{summary.bound:,} put into a field")
        if not summary.adopted or summary.unchanged != summary.adopted:  # what was found at AWS is unchanged, too
            work.append(f"{summary.unchanged:,} unchanged")
        lines.append(f"this run: {', '.join(work)}")
    total, requests = sum(summary.requests.values()), "none"
    if total:
        each = ", ".join(f"{count:,} {operation}" for operation, count in sorted(summary.requests.items()))
        share = f"; {summary.throttled:,} throttled ({100 * summary.throttled / total:.1f} %)"
        requests = printable(f"{total:,} ({each}){share if summary.throttled else ''}")
    return [*lines, f"requests: {requests}", f"elapsed: {duration_words(summary.elapsed_s)}"]


def ready_lines(summary: Summary) -> list[str]:
    """Return which registrations have all the attachments that the manifest binds to them, so that a person can submit
    them. Of several lanes they are named with their lanes."""
    registrations: list[tuple[str | None, str]] = [(None, each) for each in summary.registrations_ready]
    if summary.lanes:
        registrations = [(lane.label, each) for lane in summary.lanes for each in lane.registrations_ready]
    if not registrations:
        return []
    shown = registrations[:READY_SHOWN]
    names = ", ".join(quoted(each) if label is None else f"{quoted(each)} of {label}" for label, each in shown)
    more = len(registrations) - READY_SHOWN
    named = f"{names} and {more:,} more" if more > 0 else names
    if len(registrations) == 1:
        return [f"{named} has all its attachments: submit it in the console when its other fields are filled in"]
    return [f"{named} have all their attachments: submit them in the console when their other fields are filled in"]


def attention_lines(known: KnownItems, invocation: Invocation) -> list[str]:
    """Return what needs attention: failures by reason, and every other state that is not complete."""
    rows = shown_items(known)
    lines = failure_lines(known)
    for state in (State.UNKNOWN, State.SENDING, State.PARKED, State.PROCESSING, State.BINDING):
        waiting = [row for row in rows if row.known.state is state]
        if waiting:
            lines.append(f"{len(waiting):,} {state.value}: {ids_words([row.name for row in waiting])}")
            if state is State.PARKED:
                lines += indented(_parked_reasons([row.known for row in waiting]))
    first = _why_first(invocation, known, State.FAILED, State.UNKNOWN, State.SENDING)
    return lines if first is None else [*lines, f"{first}    # its whole history"]


def next_lines(summary: Summary, known: KnownItems, invocation: Invocation) -> list[str]:
    """Return what to do now, as commands; nothing where nothing is left to do, or where no manifest is named.

    Of several lanes these are the commands for each way in which lanes ended, with `--target` where few ended so, and
    one `upload` for all of them.
    """
    ends: dict[Exit, list[str]] = {}
    for lane in sorted(summary.lanes, key=lambda lane: lane.exit.urgency):
        if lane.exit.code is not ExitCode.DONE and lane.label is not None:
            ends.setdefault(replace(lane.exit, reason=""), []).append(lane.label)
    if not ends:
        chosen = tuple(lane.label for lane in summary.lanes if lane.label is not None)
        named = invocation if len(chosen) > TARGETS_NAMED else replace(invocation, targets=chosen)
        return _next_lines(summary, known, named)
    found: dict[str, None] = {}
    for ending, labels in ends.items():
        named = invocation if len(labels) > TARGETS_NAMED else replace(invocation, targets=tuple(labels))
        of_lanes = {label: known[label] for label in labels if label in known} if isinstance(known, Mapping) else known
        found.update(dict.fromkeys(_next_lines(replace(summary, exit=ending), of_lanes, named)))
    if len(ends) == 1:
        return list(found)
    others = [line for line in found if not line.startswith(f"  {_PROGRAM} upload ")]
    if len(others) < len(found):
        others.append(f"  {invocation.command('upload')}    # goes on in every lane that is not done")
    return others


def _next_lines(summary: Summary, known: KnownItems, invocation: Invocation) -> list[str]:
    if not invocation.manifest:
        return []
    code, upload = summary.exit.code, invocation.command("upload")
    lines = [f"{command}    # {why}".removesuffix("    # ") for command, why in commands_after(code, invocation)]
    if code is ExitCode.DONE:
        # what `--only` left out, or what `--no-wait` did not wait for
        left = summary.items - summary.count(State.COMPLETE) - summary.count(State.FAILED)
        lines = [f"{upload}    # goes on with the other {left:,}"] if summary.verb == "upload" and left > 0 else []
    elif code is ExitCode.INVALID and summary.verb == "upload" and summary.lanes:  # the files of all lanes were valid
        lines = [f"{invocation.command('plan')}    # checks registrations and fields, too"]
    elif code is ExitCode.NO_CAPACITY:
        resume_after = summary.exit.resume_after
        when = "midnight UTC" if resume_after is None else _utc_minute(resume_after)
        lines = [f"{upload}    # not before {when}"]
    elif code in (ExitCode.ITEMS_FAILED, ExitCode.TOO_MANY_FAILURES):
        states = {row.known.state for row in shown_items(known)}
        if State.INVALID in states and State.FAILED not in states:
            problems = f"{invocation.command(listing_verb(known))}    # lists every problem"
            return ["next:", *indented([problems, f"{upload}    # once they are corrected"])]
        failed = _why_first(invocation, known, State.FAILED)
        path = _manifest_of_failed(PurePath(invocation.manifest))
        report = invocation.command("report", "--format", "manifest", "--only", "failed", "-o", str(path))
        lines = [] if failed is None else [f"{failed}    # its whole history"]
        lines.append(f"{report}    # a manifest of the failed")
        lines.append(f"{upload}    # once what is named under `to do` is done")
    elif code is ExitCode.OUTCOMES_UNKNOWN and (unknown := _why_first(invocation, known, State.UNKNOWN)) is not None:
        lines.insert(0, f"{unknown}    # when it was sent, and what came back")
    return ["next:", *indented(lines)] if lines else []


def commands_after(code: ExitCode, invocation: Invocation) -> list[tuple[str, str]]:
    """Return the commands that follow an exit code whatever the items, each with what it does."""
    return [(invocation.command(*words), why) for words, why in _NEXT.get(code, ())]


_RUN_AGAIN = ((("upload",), "goes on where this run ended"),)
_NEXT: Mapping[ExitCode, Sequence[tuple[tuple[str, ...], str]]] = {
    ExitCode.OUR_FAULT: ((("verify",), "compares the ledger with what AWS holds"),),
    ExitCode.THERE_IS_WORK: ((("upload",), ""),),
    ExitCode.TRANSIENT: _RUN_AGAIN,
    ExitCode.LOCKED: (
        (("status",), "how far the other run is"),
        (("upload", "--wait-lock", "30m"), "waits for it to end"),
    ),
    ExitCode.DEADLINE: _RUN_AGAIN,
    ExitCode.STILL_PROCESSING: ((("upload",), "asks again whether the service has finished; sends nothing twice"),),
    ExitCode.INVALID: ((("validate",), "lists every problem"),),
    ExitCode.ACCESS: (
        (("doctor",), "checks credentials, network, Region and permissions"),
        (("upload",), "goes on once that is put right"),
    ),
    ExitCode.LEDGER: (
        (("doctor",), "looks at the ledger, its disk and its lock"),
        (("upload",), "goes on once the ledger can be used again"),
    ),
    ExitCode.DISAGREEMENT: (
        (("verify",), "what the two disagree about"),
        (("reconcile",), "takes up what the service proves"),
    ),
    ExitCode.OUTCOMES_UNKNOWN: ((("reconcile",), "looks at the service again"),),
    ExitCode.ACCOUNT_FULL: (
        (("plan",), "how many attachments the account holds, and how many are needed"),
        (("prune",), "deletes what the manifest no longer lists; shows it first"),
        (("upload",), "goes on once there is room, or AWS has raised the quota"),
    ),
    ExitCode.INTERRUPTED: _RUN_AGAIN,
    ExitCode.TERMINATED: _RUN_AGAIN,
}
"""The commands after an exit code, as words and a comment. `next_lines` adds those that depend on the items."""


def _parked_reasons(parked: Sequence[Known]) -> list[str]:
    """Return why items are parked, and when they can be sent: a line for each time, and one for a full account."""
    times = sorted({row.resume_after for row in parked if row.resume_after is not None})
    reasons = [f"the day's quota is used up; the same command goes on after {_utc_minute(at)}" for at in times]
    if any(row.resume_after is None for row in parked):
        reasons.append(f"the account is full: {ROOM_IN_ACCOUNT}")
    return reasons


def _manifest_of_failed(manifest: PurePath) -> PurePath:
    """Return the file for the failed items of a manifest: in its folder, and never the manifest itself."""
    written_by_us = re.fullmatch(r"failed(?:-(\d{1,9}))?\.yaml", manifest.name, re.IGNORECASE)
    number = 0 if written_by_us is None else int(written_by_us[1] or 1)
    return manifest.with_name(f"failed-{number + 1}.yaml" if number else "failed.yaml")


def _why_first(invocation: Invocation, known: KnownItems, *states: State) -> str | None:
    """Return the command that shows the history of the first item in one of these states."""
    first = next((row for row in shown_items(known) if row.known.state in states), None)
    return None if first is None else invocation.why(first.known.item_id, target=first.label)


def _target_flags(targets: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for target in targets for word in ("--target", target))


def _utc_minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
