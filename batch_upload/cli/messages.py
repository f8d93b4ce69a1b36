"""What people read of the verbs: lower case, no full stop, literals in backticks; what, which, then what to do.

Every function is pure and returns plain text without colour and without a line end behind it; names are escaped.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from batch_upload.document import YoungFile
from batch_upload.errors import BatchUploadError, ManifestInvalid, Refused, ServiceError
from batch_upload.escape import printable
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Problem, State
from batch_upload.report.item_text import IDS_SHOWN
from batch_upload.report.summary_text import Invocation
from batch_upload.targets import Shard
from batch_upload.words import count_words, duration_words

if TYPE_CHECKING:
    from batch_upload.app.sendable import Prepared

PROBLEMS_SHOWN = 10
"""The most that are printed with an error; `validate` lists all."""
SAME_SHOWN = 5
"""Problems of the same kind in a table that are printed whole."""
LINES_SHOWN = 10
"""Lines that are named of the others."""

_STATE_WORDS: Mapping[State, str] = {
    State.PENDING: "not sent yet",
    State.SENDING: "sent, no answer so far",
    State.PROCESSING: "created, the service is still processing it",
    State.BINDING: "uploaded, not in the field of its registration yet",
    State.COMPLETE: "uploaded, the service has finished with it",
    State.FAILED: "refused, or failed by the service",
    State.UNKNOWN: "sent, and no way to prove whether it was created",
    State.PARKED: "waits for capacity",
    State.INVALID: "cannot be sent as the manifest and its file are now",
}


def error_text(error: BatchUploadError, *, verb: str = "") -> str:
    """Return an error that ends a verb: what happened, its details, what to do."""
    unsent = ", nothing was sent" if verb == "upload" and isinstance(error, ManifestInvalid) else ""
    lines = [_labelled("error", error.message + unsent)]
    if isinstance(error, ManifestInvalid):
        lines += [f"  {printable(str(problem))}" for problem in error.problems[:PROBLEMS_SHOWN]]
        more = len(error.problems) - PROBLEMS_SHOWN
        lines += [f"  and {count_words(more, 'problem')} more"] if more > 0 else []
    elif isinstance(error, ServiceError):
        names = (("code", error.code), ("reason", error.reason), ("request id", error.request_id))
        details = ", ".join(f"{name} `{value}`" for name, value in names if value)
        lines += [f"  {printable(details)}"] if details else []
        fields = error.fields if isinstance(error, Refused) else ()
        lines += [f"  {printable(f'`{name}`: {message}')}" for name, message in fields]
    return "\n".join([*lines, *hint_lines(error.hint)])


def warning_text(message: str, *, hint: str = "") -> str:
    """Return a warning, which does not end the verb."""
    return "\n".join([_labelled("warning", message), *hint_lines(hint)])


def lane_warnings_text(warnings: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return the warnings of lanes, given as label, message and hint; one that several lanes share is there once."""
    labels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for label, message, hint in warnings:
        labels[message, hint].append(label)
    return [warning_text(f"{names_words(shared)}: {message}", hint=hint) for (message, hint), shared in labels.items()]


def problems_text(problems: Sequence[Problem]) -> str:
    """Return all problems, a line each, in the form that editors and compilers use: `file:line:column: message`.

    Of rows of a table whose problems differ only in names and numbers, the first few are there, and the others' lines.
    """
    alike: defaultdict[tuple[str, str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        if not problem.at.column:
            alike[_kind_of(problem)].append(problem)
    lines = []
    for problem in problems:
        same = alike[_kind_of(problem)] if not problem.at.column else ()
        if len(same) <= SAME_SHOWN or problem in same[:SAME_SHOWN]:
            lines.append(printable(str(problem)))
        elif problem is same[SAME_SHOWN]:
            others = same[SAME_SHOWN:]
            numbers = ", ".join(f"{each.at.line:,}" for each in others[:LINES_SHOWN])
            more = f", … ({len(others) - LINES_SHOWN:,} others)" if len(others) > LINES_SHOWN else ""
            rows = "1 more row: line" if len(others) == 1 else f"{len(others):,} more rows: lines"
            lines.append(printable(f"{problem.file}: the same in {rows} {numbers}{more}; `--json` has all"))
    return "\n".join(lines)


def _kind_of(problem: Problem) -> tuple[str, str, str]:
    """Return a key that problems of a table share which differ only in names and numbers."""
    return problem.file, problem.code, re.sub(r"`[^`]*`|[0-9,]+", "", problem.message)


def file_warnings_text(warnings: Sequence[Problem], *, shown: int | None = None) -> list[str]:
    """Return the warnings of a manifest's files, a line each as compilers write them; at most `shown` of them."""
    lines = [printable(str(replace(each, message=f"warning: {each.message}"))) for each in warnings[:shown]]
    more = len(warnings) - len(lines)
    return [*lines, f"and {count_words(more, 'warning')} more; `validate` lists all of them"] if more else lines


def left_for_later_text(young: Sequence[YoungFile]) -> list[str]:
    """Return how many files are too young for this run, and what to do about times in the future."""
    files = {each.listed.source: each for each in young}
    lines = []
    for min_age_s in sorted({each.min_age_s for each in files.values()}):
        count = sum(each.min_age_s == min_age_s and not each.is_future for each in files.values())
        if count:
            age = f"{min_age_s:.0f} s" if min_age_s < 600 else duration_words(min_age_s)
            are = "file is" if count == 1 else "files are"
            lines.append(f"{count:,} {are} younger than {age}: left for a later run")
    ahead = [name for name, each in files.items() if each.is_future]
    if ahead:
        have = "1 file has" if len(ahead) == 1 else f"{len(ahead):,} files have"
        what = f"{have} a time of change in the future, such as `{ahead[0]}`: left for a later run"
        lines.append(printable(f"{what}; if it stays so, set the clocks right or `touch` the file"))
    return lines


def skipped_text(count: int) -> str:
    """Return what a verb prints that goes on without what is invalid."""
    return f"{count_words(count, 'problem')}: what has a problem is left out, the rest goes on (`--skip-invalid`)"


def valid_text(manifest: str, *, items: int, lanes: int = 0, warnings: int = 0) -> str:
    """Return what `validate` prints of a manifest without a problem. `lanes` is 0 for a manifest without `targets`."""
    where = f" in {count_words(lanes, 'lane')}" if lanes else ""
    warned = f", {count_words(warnings, 'warning')}" if warnings else ""
    return printable(f"`{manifest}` is valid: {count_words(items, 'item')}{where}{warned}")


def some_valid_text(manifest: str, *, items: int, invalid: int, lanes: int = 0) -> str:
    """Return what `validate --skip-invalid` prints of a manifest in which not every item can be sent."""
    where = f" in {count_words(lanes, 'lane')}" if lanes else ""
    rest = f"{items - invalid:,} of {count_words(items, 'item')}{where} can be sent"
    return printable(f"`{manifest}`: {invalid:,} {'is' if invalid == 1 else 'are'} invalid, {rest}")


def shard_lines(shard: Shard | None, *, lanes: int) -> list[str]:
    """Return of which part of the lanes the lines below are; nothing without `--shard`."""
    return [] if shard is None else [f"shard {shard}: {count_words(lanes, 'lane')}"]


def ledger_alone_text(ledger: LedgerAddress) -> str:
    """Return what a verb does not know that was given a ledger in place of a manifest."""
    unknown = "items that no run has recorded are not known, and no file was looked at for changes"
    return printable(f"from the ledger `{ledger}` alone, the manifest was not read: {unknown}")


def names_words(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are; not escaped."""
    first = ", ".join(f"`{name}`" for name in names[:IDS_SHOWN])
    return f"{first} and {len(names) - IDS_SHOWN:,} more" if len(names) > IDS_SHOWN else first


def obstacle_lines(
    missing: Sequence[str], prepared: "Prepared | None", *, gone: int, invocation: Invocation
) -> list[str]:
    """Return why the next `upload` sends nothing of a manifest, or with `--skip-invalid` what it leaves out.

    That is: files that are missing or cannot be sent, and globs without a match. `gone` items of the ledger are no
    longer matched. `prepared` is None if no file was opened.
    """
    from batch_upload.documents.refusals import RefusalCode  # imports a room that no other message needs

    is_skipping = "--skip-invalid" in invocation.check_flags
    sends = "`upload --skip-invalid` leaves out" if is_skipping else "`upload` sends nothing"
    lines = []
    if missing:
        lines.append(f"{sends}: {count_words(len(missing), 'file')} missing: {names_words(missing)}")
        lines.append(f"  {invocation.command('validate')}")
    unread, unmatched = ((), ()) if prepared is None else (prepared.unread, prepared.unmatched)
    refused = [problem for _, problem in unread if problem.code != RefusalCode.MISSING]
    lines += [f"no longer matched by the manifest: {count_words(gone, 'item')}"] if gone else []
    lines += [f"{sends}: {problem.message}" for problem in (*unmatched, *refused[:IDS_SHOWN])]
    if len(refused) > IDS_SHOWN:
        lines.append(f"  and {len(refused) - IDS_SHOWN:,} more: {invocation.command('validate')}")
    if not is_skipping and (missing or unmatched or refused):
        lines.append("  with `--skip-invalid` it goes on without what is invalid")
    return [printable(line) for line in lines]


def state_words(state: State) -> str:
    """Return what a state means."""
    return _STATE_WORDS[state]


def hint_lines(hint: str) -> list[str]:
    """Return `hint: …`, or nothing without one."""
    return [_labelled("hint", hint)] if hint else []


def _labelled(label: str, text: str) -> str:
    first, *others = text.split("\n")
    return "\n".join([f"{label}: {printable(first)}", *(f"  {printable(line)}" for line in others)])
