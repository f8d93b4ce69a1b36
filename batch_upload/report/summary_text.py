"""The end of a verb for people: counts of the items, what failed and why, and the commands to type next."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

from batch_upload.errors import ExitCode
from batch_upload.escape import printable, quoted, shell_word
from batch_upload.model import Fault, Known, State
from batch_upload.operations import IDENTITY
from batch_upload.report.advice import advice
from batch_upload.summary import Summary, in_order_of_states
from batch_upload.words import duration_words, fault_message, fault_name, indented, size_words

IDS_SHOWN = 3

_PROGRAM = "batch-upload"
_OFFLINE_VERBS = frozenset({"validate", "status", "why", "report", "watch"})
"""Verbs that make no request, and so take no flag that chooses a lane."""
_NO_FAULT = Fault(code="no reason given", message="")


@dataclass(frozen=True, slots=True)
class Invocation:
    """How the user names this manifest, empty for a verb that takes none.

    `flags` are those without which another ledger or other files would be meant; `lane_flags` choose the lane, for
    verbs that talk to the service.
    """

    manifest: str
    flags: tuple[str, ...] = ()
    lane_flags: tuple[str, ...] = ()

    def command(self, verb: str, *arguments: str) -> str:
        """Return a command of ours that can be typed as it is shown."""
        lane_flags = () if verb in _OFFLINE_VERBS else self.lane_flags
        return shell_line((_PROGRAM, verb, self.manifest, *arguments, *self.flags, *lane_flags))

    def why(self, item_id: str) -> str:
        """Return the command that shows one item's history. An id that looks like a flag goes behind `--`."""
        if not item_id.startswith("-"):
            return self.command("why", item_id)
        return shell_line((_PROGRAM, "why", *self.flags, "--", self.manifest, item_id))


def shell_line(words: Iterable[str]) -> str:
    """Return the words as a line of a POSIX shell."""
    return " ".join(shell_word(word) for word in words)


def ids_words(ids: Sequence[str]) -> str:
    """Return the first few ids, and how many more there are."""
    shown = ", ".join(map(quoted, ids[:IDS_SHOWN]))
    return f"{shown} and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else shown


def summary_lines(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    """Return the whole text. `known` are the manifest's items as the ledger has them now."""
    return [
        headline(summary),
        *indented(counts_lines(summary)),
        *failure_lines(known),
        *(printable(note) for note in summary.notes),
        *next_lines(summary, known, invocation),
    ]


def headline(summary: Summary) -> str:
    """Return what the verb was to do, and how it ended."""
    batch = "" if summary.batch is None else f" of batch `{summary.batch}`"
    lane = "" if summary.account is None else f" to {summary.account}/{summary.region}"
    ending = summary.exit.reason
    if summary.exit.code is ExitCode.DONE and summary.verb == "upload":
        # every run looks up whose account it is, so that request alone is no work
        ending = "nothing to do" if summary.requests.keys() <= {IDENTITY} else "done"
    return printable(f"{summary.verb}{batch}{lane}: {ending}")


def states_line(summary: Summary) -> str:
    """Return the items by state."""
    counts = [f"{count:,} {name}" for name, count in in_order_of_states(summary.states).items() if count]
    words = f"items: {summary.items:,}" + (f", of which {', '.join(counts)}" if counts else "")
    return words if summary.adds_up else f"{words} (which does not add up: this is a fault of the program)"


def counts_lines(summary: Summary) -> list[str]:
    """Return the items by state, what this run did, and what it cost."""
    lines = [states_line(summary)]
    if summary.uploaded or summary.adopted or summary.unchanged:
        work = ["nothing uploaded"]
        if summary.uploaded:
            work = [f"{summary.uploaded:,} uploaded ({size_words(summary.bytes_sent)} sent)"]
        if summary.adopted:
            work.append(f"{summary.adopted:,} {'was' if summary.adopted == 1 else 'were'} already at AWS")
        if not summary.adopted or summary.unchanged != summary.adopted:  # what was found at AWS is unchanged, too
            work.append(f"{summary.unchanged:,} unchanged")
        lines.append(f"this run: {', '.join(work)}")
    total, requests = sum(summary.requests.values()), "none"
    if total:
        each = ", ".join(f"{count:,} {operation}" for operation, count in sorted(summary.requests.items()))
        share = f"; {summary.throttled:,} throttled ({100 * summary.throttled / total:.1f} %)"
        requests = printable(f"{total:,} ({each}){share if summary.throttled else ''}")
    return [*lines, f"requests: {requests}", f"elapsed: {duration_words(summary.elapsed_s)}"]


def failure_lines(known: Iterable[Known]) -> list[str]:
    """Return what failed, grouped by reason and by what to do, the most frequent first, with the first few ids."""
    groups: defaultdict[tuple[str, str], list[Known]] = defaultdict(list)
    for one in known:
        if one.state is State.FAILED:
            groups[fault_name(one.fault or _NO_FAULT), advice(State.FAILED, one.fault)].append(one)
    lines = []
    for (name, to_do), failed in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        message = fault_message(failed[0].fault or _NO_FAULT)
        why = f"{name}: {message}" if message else name
        lines.append(printable(f"{len(failed):,} failed, {why}"))
        lines += indented([ids_words([one.item_id for one in failed]), f"to do: {to_do}"])
    return lines


def attention_lines(known: Iterable[Known], invocation: Invocation) -> list[str]:
    """Return what needs attention: failures by reason, and every other state that is not complete."""
    rows = list(known)
    lines = failure_lines(rows)
    for state in (State.UNKNOWN, State.SENDING, State.PARKED, State.PROCESSING):
        waiting = [row for row in rows if row.state is state]
        if waiting:
            lines.append(f"{len(waiting):,} {state.value}: {ids_words([row.item_id for row in waiting])}")
            if state is State.PARKED:
                lines += indented(_parked_reasons(waiting))
    first = _first_id(rows, State.FAILED, State.UNKNOWN, State.SENDING)
    return lines if first is None else [*lines, f"{invocation.why(first)}    # its whole history"]


def next_lines(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    """Return what to do now, as commands; nothing where nothing is left to do, or where no manifest is named."""
    if not invocation.manifest:
        return []
    code, upload = summary.exit.code, invocation.command("upload")
    lines = [f"{invocation.command(*words)}    # {why}".removesuffix("    # ") for words, why in _NEXT.get(code, ())]
    if code is ExitCode.DONE:
        # what `--only` left out, or what `--no-wait` did not wait for
        left = summary.items - summary.count(State.COMPLETE) - summary.count(State.FAILED)
        lines = [f"{upload}    # goes on with the other {left:,}"] if summary.verb == "upload" and left > 0 else []
    elif code is ExitCode.NO_CAPACITY:
        resume_after = summary.exit.resume_after
        when = "midnight UTC" if resume_after is None else _utc_minute(resume_after)
        lines = [f"{upload}    # not before {when}"]
    elif code in (ExitCode.ITEMS_FAILED, ExitCode.TOO_MANY_FAILURES):
        failed = _first_id(known, State.FAILED)
        path = _manifest_of_failed(PurePath(invocation.manifest))
        report = invocation.command("report", "--format", "manifest", "--only", "failed", "-o", str(path))
        lines = [] if failed is None else [f"{invocation.why(failed)}    # its whole history"]
        lines.append(f"{report}    # a manifest of the failed")
        lines.append(f"{upload}    # once what is named under `to do` is done")
    elif code is ExitCode.OUTCOMES_UNKNOWN and (unknown := _first_id(known, State.UNKNOWN)) is not None:
        lines.insert(0, f"{invocation.why(unknown)}    # when it was sent, and what came back")
    return ["next:", *indented(lines)] if lines else []


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
        reasons.append("the account is full: raise the quota (Service Quotas), or delete with `prune`; then run again")
    return reasons


def _manifest_of_failed(manifest: PurePath) -> PurePath:
    """Return the file for the failed items of a manifest: in its folder, and never the manifest itself."""
    written_by_us = re.fullmatch(r"failed(?:-(\d{1,9}))?\.yaml", manifest.name, re.IGNORECASE)
    number = 0 if written_by_us is None else int(written_by_us[1] or 1)
    return manifest.with_name(f"failed-{number + 1}.yaml" if number else "failed.yaml")


def _first_id(known: Iterable[Known], *states: State) -> str | None:
    return next((one.item_id for one in known if one.state in states), None)


def _utc_minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
