"""How a verb ended, for people: what came of the items, what failed and why, and the very command to type next."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

from batch_upload.errors import ExitCode
from batch_upload.escape import printable, shell_word
from batch_upload.model import Fault, Known, State
from batch_upload.operations import IDENTITY
from batch_upload.report.advice import advice
from batch_upload.summary import Summary, in_order_of_states
from batch_upload.words import duration_words, fault_message, fault_name, size_words

IDS_SHOWN = 3

_PROGRAM = "batch-upload"
_OFFLINE = frozenset({"validate", "status", "why", "report", "watch"})
"""Verbs that talk to nobody, and so take no flag that chooses a lane."""
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
        """A command of ours that can be typed as it is shown."""
        lane_flags = () if verb in _OFFLINE else self.lane_flags
        return shell_line((_PROGRAM, verb, self.manifest, *arguments, *self.flags, *lane_flags))

    def why(self, item_id: str) -> str:
        """The command that tells one item's history. An id that looks like a flag goes behind `--`."""
        if not item_id.startswith("-"):
            return self.command("why", item_id)
        return shell_line((_PROGRAM, "why", *self.flags, "--", self.manifest, item_id))


def shell_line(words: Iterable[str]) -> str:
    """The words as a line of a POSIX shell."""
    return " ".join(shell_word(word) for word in words)


def summary_lines(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    """The whole text, a line each. `known` are the manifest's items as the ledger has them now."""
    return [
        headline(summary),
        *_indented(counts_lines(summary)),
        *failure_lines(known),
        *(printable(note) for note in summary.notes),
        *next_lines(summary, known, invocation),
    ]


def headline(summary: Summary) -> str:
    """What was asked for, and how it ended."""
    batch = "" if summary.batch is None else f" of batch `{summary.batch}`"
    lane = "" if summary.account is None else f" to {summary.account}/{summary.region}"
    return printable(f"{summary.verb}{batch}{lane}: {_ending_words(summary)}")


def _ending_words(summary: Summary) -> str:
    """The exit's reason; where all is well, whether that took any work."""
    if summary.exit.code is not ExitCode.DONE or summary.verb != "upload":
        return summary.exit.reason
    return "nothing to do" if summary.requests.keys() <= {IDENTITY} else "done"


def states_line(summary: Summary) -> str:
    """Items by state."""
    return f"items: {_states_words(summary)}"


def counts_lines(summary: Summary) -> list[str]:
    """Items by state, what this run did, and what it cost."""
    lines = [states_line(summary)]
    if summary.uploaded or summary.adopted or summary.unchanged:
        lines.append(f"this run: {_work_words(summary)}")
    lines.append(f"requests: {_request_words(summary)}")
    lines.append(f"elapsed: {duration_words(summary.elapsed_s)}")
    return lines


def failure_lines(known: Iterable[Known]) -> list[str]:
    """What failed, grouped by reason and by what to do, the most frequent first, with the first few ids of each."""
    groups: defaultdict[tuple[str, str], list[Known]] = defaultdict(list)
    for one in known:
        if one.state is State.FAILED:
            groups[fault_name(one.fault or _NO_FAULT), advice(State.FAILED, one.fault)].append(one)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [line for (name, to_do), failed in ordered for line in _group_lines(name, to_do, failed)]


def attention_lines(known: Iterable[Known], invocation: Invocation) -> list[str]:
    """What a person should look at: failures by reason, and whatever else is not simply done."""
    rows = list(known)
    lines = failure_lines(rows)
    for state in (State.UNKNOWN, State.SENDING, State.PARKED, State.PROCESSING):
        waiting = [row for row in rows if row.state is state]
        if waiting:
            lines.append(printable(f"{len(waiting):,} {state.value}: {_ids_words(waiting)}"))
            if state is State.PARKED:
                lines += _indented(_parked_reasons(waiting))
    first = _first_id(rows, State.FAILED, State.UNKNOWN, State.SENDING)
    return lines if first is None else [*lines, f"{invocation.why(first)}    # its whole history"]


def next_lines(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    """What to do now, as commands; nothing where nothing is left to do, or where no manifest is named."""
    steps = _NEXT.get(summary.exit.code) if invocation.manifest else None
    lines = [] if steps is None else steps(summary, known, invocation)
    return ["next:", *_indented(lines)] if lines else []


def _states_words(summary: Summary) -> str:
    counts = [f"{count:,} {name}" for name, count in in_order_of_states(summary.states).items() if count]
    total = f"{summary.items:,}"
    words = total if not counts else f"{total}, of which {', '.join(counts)}"
    if summary.adds_up:
        return words
    return f"{words} (which does not add up: this is a fault of the program)"


def _work_words(summary: Summary) -> str:
    parts = ["nothing uploaded"]
    if summary.uploaded:
        parts = [f"{summary.uploaded:,} uploaded ({size_words(summary.bytes_sent)} sent)"]
    if summary.adopted:
        parts.append(f"{summary.adopted:,} {'was' if summary.adopted == 1 else 'were'} already at AWS")
    if not summary.adopted or summary.unchanged != summary.adopted:  # what was found at AWS is unchanged, too
        parts.append(f"{summary.unchanged:,} unchanged")
    return ", ".join(parts)


def _request_words(summary: Summary) -> str:
    total = sum(summary.requests.values())
    if not total:
        return "none"
    each = ", ".join(f"{count:,} {operation}" for operation, count in sorted(summary.requests.items()))
    throttled = f"; {summary.throttled:,} throttled ({100 * summary.throttled / total:.1f} %)"
    return printable(f"{total:,} ({each}){throttled if summary.throttled else ''}")


def _group_lines(name: str, what_to_do: str, failed: Sequence[Known]) -> list[str]:
    """What failed for one reason: how many and why, which, and what to do about it."""
    first = failed[0].fault or _NO_FAULT
    message = fault_message(first)
    said = f": {message}" if message else ""
    return [
        printable(f"{len(failed):,} failed, {name}{said}"),
        *_indented([printable(_ids_words(failed)), f"to do: {what_to_do}"]),
    ]


def _ids_words(rows: Sequence[Known]) -> str:
    """The first few ids, and how many more there are."""
    ids = ", ".join(f"`{row.item_id}`" for row in rows[:IDS_SHOWN])
    return f"{ids} and {len(rows) - IDS_SHOWN:,} more" if len(rows) > IDS_SHOWN else ids


def _parked_reasons(parked: Sequence[Known]) -> list[str]:
    """Why items are parked, and when they can be sent: a line for each time, and one for a full account."""
    times = sorted({row.resume_after for row in parked if row.resume_after is not None})
    reasons = [f"the day's quota is used up; the same command goes on after {_utc_words(at)}" for at in times]
    if any(row.resume_after is None for row in parked):
        reasons.append("the account is full: raise the quota (Service Quotas), or delete with `prune`; then run again")
    return reasons


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _first_id(known: Iterable[Known], *states: State) -> str | None:
    return next((one.item_id for one in known if one.state in states), None)


def _again(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [f"{invocation.command('upload')}    # goes on where this run ended"]


def _look_into_failures(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    lines = []
    failed = _first_id(known, State.FAILED)
    if failed is not None:
        lines.append(f"{invocation.why(failed)}    # its whole history")
    beside = str(PurePath(invocation.manifest).with_name("failed.yaml"))
    report = invocation.command("report", "--format", "manifest", "--only", "failed", "-o", beside)
    lines.append(f"{report}    # a manifest of the failed")
    lines.append(f"{invocation.command('upload')}    # once what is named under `to do` is done")
    return lines


def _when_there_is_capacity(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    resume_after = summary.exit.resume_after
    when = "not before midnight UTC" if resume_after is None else f"not before {_utc_words(resume_after)}"
    return [f"{invocation.command('upload')}    # {when}"]


def _make_room(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [
        f"{invocation.command('plan')}    # how many attachments the account holds, and how many are needed",
        f"{invocation.command('prune')}    # deletes what the manifest no longer lists; shows it first",
        f"{invocation.command('upload')}    # goes on once there is room, or AWS has raised the quota",
    ]


def _decide_unknowns(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    unknown = _first_id(known, State.UNKNOWN)
    why = [] if unknown is None else [f"{invocation.why(unknown)}    # when it was sent, and what came back"]
    return [*why, f"{invocation.command('reconcile')}    # looks at the service again"]


def _settle_dispute(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [
        f"{invocation.command('verify')}    # what the two disagree about",
        f"{invocation.command('reconcile')}    # takes up what the service proves",
    ]


def _validate(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [f"{invocation.command('validate')}    # lists every problem"]


def _check_ledger(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [
        f"{invocation.command('doctor')}    # looks at the ledger, its disk and its lock",
        f"{invocation.command('upload')}    # goes on once the ledger can be used again",
    ]


def _hold_against_service(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [f"{invocation.command('verify')}    # compares the ledger with what AWS holds"]


def _check_access(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [
        f"{invocation.command('doctor')}    # checks credentials, network, Region and permissions",
        f"{invocation.command('upload')}    # goes on once that is put right",
    ]


def _after_the_other(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [
        f"{invocation.command('status')}    # how far the other run is",
        f"{invocation.command('upload', '--wait-lock', '30m')}    # waits for it to end",
    ]


def _ask_once_more(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [f"{invocation.command('upload')}    # asks again whether the service has finished; sends nothing twice"]


def _the_rest(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    """What `--only` left out, or what nobody waited for."""
    left = summary.items - summary.count(State.COMPLETE) - summary.count(State.FAILED)
    if summary.verb != "upload" or left <= 0:
        return []
    return [f"{invocation.command('upload')}    # goes on with the other {left:,}"]


def _upload(summary: Summary, known: Sequence[Known], invocation: Invocation) -> list[str]:
    return [invocation.command("upload")]


_Steps = Callable[[Summary, Sequence[Known], Invocation], list[str]]

_NEXT: Mapping[ExitCode, _Steps] = {
    ExitCode.DONE: _the_rest,
    ExitCode.OUR_FAULT: _hold_against_service,
    ExitCode.THERE_IS_WORK: _upload,
    ExitCode.TRANSIENT: _again,
    ExitCode.LOCKED: _after_the_other,
    ExitCode.DEADLINE: _again,
    ExitCode.NO_CAPACITY: _when_there_is_capacity,
    ExitCode.STILL_PROCESSING: _ask_once_more,
    ExitCode.ITEMS_FAILED: _look_into_failures,
    ExitCode.INVALID: _validate,
    ExitCode.ACCESS: _check_access,
    ExitCode.TOO_MANY_FAILURES: _look_into_failures,
    ExitCode.LEDGER: _check_ledger,
    ExitCode.DISAGREEMENT: _settle_dispute,
    ExitCode.OUTCOMES_UNKNOWN: _decide_unknowns,
    ExitCode.ACCOUNT_FULL: _make_room,
    ExitCode.INTERRUPTED: _again,
    ExitCode.TERMINATED: _again,
}


def _utc_words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
