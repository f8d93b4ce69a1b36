"""`doctor`: does a run have all that it needs? Reads only."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch_upload.cli.flags import ACCESS_FLAGS, LEDGER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS, Flags, options_of
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.escape import printable, terminal_width
from batch_upload.events import lane_and_event
from batch_upload.operations import DESCRIBE
from batch_upload.report.ndjson import LaneRef, in_lane
from batch_upload.summary import EVENT_SCHEMA_VERSION
from batch_upload.words import count_words, display_width, wrapped

if TYPE_CHECKING:
    from batch_upload.app.checks import Check

NAME_WIDTH = len(f"may {DESCRIBE}")
"""Of the longest name of a check that is not a lane's: each is printed before the next is made."""
_VERDICT_WIDTH = 4
_MESSAGE_WIDTH_MIN = 60
"""If fewer columns are left beside the names, long messages are printed below them."""


@verb("doctor", LEDGER_FLAGS, TARGET_FLAGS, ACCESS_FLAGS, ("allow_outside",), OUTPUT_FLAGS)
def doctor_command(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="look at its target and its ledger, too")
    ] = None,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """check credentials, account, Region, permissions, clock, capacity and ledger; changes nothing"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.app.checks import Verdict
    from batch_upload.app.doctor import doctor
    from batch_upload.cli.asking import asker
    from batch_upload.cli.signals import until_interrupted

    work = partial(doctor, manifest, options_of(flags), observer=_CheckPrinter(output), ask=asker())
    found = anyio.run(until_interrupted, work)
    failed = [f"`{check.name}`" for check in found.checks if check.verdict is Verdict.FAIL]
    lines = (f"{count_words(len(failed), 'check')} failed: {', '.join(failed)}",) if failed else ()
    return Ended(found.summary, lines=lines)


class _CheckPrinter:
    """Prints every check as soon as it is made; with `--quiet` failures only.

    Of one lane of several, people get the check that sums up the others, and with `-v` each of them.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def notify(self, event: object) -> None:
        from batch_upload.app.checks import Check, Verdict

        lane, check = lane_and_event(event)
        if not isinstance(check, Check):
            return
        ref = LaneRef() if lane is None else LaneRef(lane.label, lane.account, lane.region)
        self._output.event(in_lane(check_line(check), ref))
        if lane is not None and self._output.verbose == 0:
            return
        if lane is not None:
            check = replace(check, name=f"{lane.label} {check.name}")
        if not self._output.quiet:
            stream = sys.stderr if self._output.json else sys.stdout
            self._output.answer(check_lines(check, width=terminal_width(stream)))
            sys.stdout.flush()
        elif check.verdict is Verdict.FAIL:
            self._output.error("\n".join(check_lines(check)))


def check_line(check: "Check") -> dict[str, Any]:
    """Return the line `{"event": "check", …}`."""
    return {
        "event": "check",
        "schema_version": EVENT_SCHEMA_VERSION,
        "check": check.name,
        "verdict": check.verdict.value,
        "message": check.message,
        "hint": check.hint or None,
    }


def check_lines(check: "Check", *, width: int | None = None) -> Iterator[str]:
    """Yield a line for a check, and its hint on a line of its own.

    On a terminal of `width` columns the message is wrapped next to the name, or below it where there is no room.
    """
    texts = [printable(text) for text in (check.message, f"hint: {check.hint}" if check.hint else "") if text]
    name, blank = printable(check.name), " " * (_VERDICT_WIDTH + 2)
    indent = f"{blank}{'':<{NAME_WIDTH}}  "
    if width is None:
        first = f"{check.verdict:<{_VERDICT_WIDTH}}  {name:<{NAME_WIDTH}}  "
        yield from (f"{start}{text}" for start, text in zip((first, indent), texts, strict=False))
        return
    room = width - len(indent)
    has_room = room >= _MESSAGE_WIDTH_MIN or all(display_width(text) <= room for text in texts)
    if len(name) > NAME_WIDTH or not has_room:
        yield f"{check.verdict:<{_VERDICT_WIDTH}}  {name}"
        lines = [line for text in texts for line in wrapped(text, max(1, width - len(blank) - 2))]
        yield from (f"{blank}  {line}" for line in lines)
        return
    lines = [line for text in texts for line in wrapped(text, room)]
    yield f"{check.verdict:<{_VERDICT_WIDTH}}  {name:<{NAME_WIDTH}}  {lines[0]}"
    yield from (f"{indent}{line}" for line in lines[1:])
