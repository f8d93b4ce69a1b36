"""Where a verb's words go: NDJSON to stdout and nothing else there, people's text to stderr."""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import typer

from batch_upload.cli import messages
from batch_upload.cli.flags import Flags, truth_of
from batch_upload.cli.interrupted import Interrupted, Stopped, stopped_by_signals
from batch_upload.cli.logs import quiet_libraries
from batch_upload.cli.streams import failure_of, is_failure_of, reason_of
from batch_upload.cli.witnesses import Witnesses
from batch_upload.errors import (
    BatchUploadError,
    ExitCode,
    LaneFault,
    LedgerLocked,
    LedgerUnusable,
    ManifestInvalid,
    OutOfResources,
    OutputUnwritable,
)
from batch_upload.escape import printable, write_text
from batch_upload.model import Known, Problem
from batch_upload.report.ndjson import problem_line, warning_line, write_line
from batch_upload.report.summary_text import Invocation, next_lines, summary_lines
from batch_upload.settings import RunOptions
from batch_upload.shortage import shortage_of
from batch_upload.summary import Exit, Summary, exit_of

_TELLING = (LaneFault, LedgerLocked, LedgerUnusable, OutOfResources, OutputUnwritable)
"""Errors whose own message says more than what their exit code means."""
_MENDED_OUTSIDE = (ExitCode.LOCKED, ExitCode.ACCESS, ExitCode.LEDGER)
"""Errors whose hint is no command of ours, so that the next one is told besides."""


@dataclass(frozen=True, slots=True)
class Output:
    """What was asked for by `--json`, `--quiet` and `-v`."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    witnesses: Witnesses = field(default_factory=Witnesses, compare=False)

    @staticmethod
    def of(flags: Flags, witnesses: Witnesses | None = None) -> "Output":
        """What these flags ask for. `witnesses` only of a verb that has flags for them."""
        return Output(
            json=truth_of(flags, "json"),
            quiet=truth_of(flags, "quiet"),
            verbose=flags.verbose,
            witnesses=witnesses or Witnesses(),
        )

    def event(self, line: Mapping[str, Any]) -> None:
        """A line for machines, where they were asked for."""
        if self.json:
            write_line(sys.stdout, line)

    def say(self, *lines: str) -> None:
        """Text for people, unless they want none."""
        if not self.quiet:
            write_text(sys.stderr, lines)

    def answer(self, lines: Iterable[str]) -> None:
        """What the verb was asked for: to stdout, or to stderr beside NDJSON."""
        if self.json:
            self.say(*lines)
        else:
            write_text(sys.stdout, lines)

    def error(self, text: str) -> None:
        """An error; also with `--quiet`."""
        self.witnesses.hear(logging.ERROR, text)
        write_text(sys.stderr, [text])

    def warn(self, message: str) -> None:
        """Something that does not end the verb but should be known."""
        self.say(messages.warning_text(message))

    def file_warnings(self, warnings: Sequence[Problem], *, shown: int | None = None) -> None:
        """What is worth a warning in the manifest's files; people get at most `shown` lines."""
        for each in warnings:
            self.event(warning_line(each))
        self.say(*messages.file_warnings_text(warnings, shown=shown))

    def lost(self, error: OSError | ValueError) -> None:
        """One that was told of the run cannot be told any more: say so to the others."""
        message = f"one output of the run failed: {reason_of(error)}; the run goes on without it"
        self.witnesses.hear(logging.WARNING, message)
        self.warn(message)

    def ending(self, code: ExitCode, *lines: str) -> None:
        """How the verb ended; with `--quiet` only where a person must act, so that cron's mail means something."""
        if not self.quiet or exit_of(code).wants_a_person:
            write_text(sys.stderr, lines)


@dataclass(frozen=True, slots=True)
class Repeated:
    """What was typed and a next command must repeat: to mean the same ledger and files, and the same lane."""

    flags: tuple[str, ...] = ()
    lane_flags: tuple[str, ...] = ()

    @staticmethod
    def of(flags: Flags, options: RunOptions) -> "Repeated":
        """What these flags ask to be repeated."""
        ledger = () if flags.ledger is None else ("--ledger", flags.ledger)
        switches = (("--local", options.local), ("--allow-outside", options.allow_outside))
        lane = (
            ("--profile", flags.profile),
            ("--region", flags.region),
            ("--endpoint-url", _without_user(flags.endpoint_url)),
            *(("--allow-endpoint", host) for host in flags.allow_endpoint or ()),
        )
        return Repeated(
            flags=(*(name for name, given in switches if given), *ledger),
            lane_flags=tuple(word for name, value in lane if value is not None for word in (name, value)),
        )


NOTHING_REPEATED = Repeated()


_ENDPOINT = re.compile(r"https?://(?:[^@/?#]*@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[^@?#]*)?")


def _without_user(url: str | None) -> str | None:
    """An endpoint as it may be shown: never with what may be a user name or password, and nothing of what is no URL."""
    found = None if url is None else _ENDPOINT.fullmatch(url)
    if url is None or found is None:
        return None
    return f"{url.partition('://')[0]}://{found[1]}{found[2] or ''}{found[3] or ''}"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a verb ended. `lines` are shown instead of the summary's own words where they are given."""

    summary: Summary
    known: Sequence[Known] = ()
    lines: tuple[str, ...] | None = None
    repeated: Repeated = NOTHING_REPEATED
    has_failed: bool = False
    """Whether an error ended it, which was told already: only what to do next is left to say."""


def run_verb(verb: str, manifest: Path | None, output: Output, body: Callable[[], Ended]) -> NoReturn:
    """Run a verb, say how it ended, and leave with its exit code. The one place where errors become text."""
    quiet_libraries()
    ended = _guarded(verb, output, partial(_witnessed, verb, manifest, output, body))
    if not ended.summary.adds_up:
        ended = replace(ended, summary=replace(ended.summary, exit=exit_of(ExitCode.OUR_FAULT)))
    try:
        ended = _finish(ended, manifest, output)
    except Exception as error:  # noqa: BLE001 - as in `_guarded`
        ended = _our_fault(verb, error, output)
    finally:
        output.witnesses.end(ended.summary)
    raise typer.Exit(int(ended.summary.exit.code))


def _witnessed(verb: str, manifest: Path | None, output: Output, body: Callable[[], Ended]) -> Ended:
    output.witnesses.open(verb, manifest, warn=output.warn)
    return body()


def failure(error: BatchUploadError, output: Output, counted: Summary) -> Ended:
    """Tell an error that ends a verb; `counted` is the verb's summary until then."""
    if isinstance(error, ManifestInvalid):
        for problem in error.problems:
            output.event(problem_line(problem))
    told = messages.error_text(error, verb=counted.verb)
    output.witnesses.hear(logging.ERROR, told)
    output.ending(error.exit_code, told)
    code = error.exit_code
    reason = error.message if isinstance(error, _TELLING) else exit_of(code).reason
    return Ended(replace(counted, exit=Exit(code, reason)), lines=(), has_failed=True)


def _guarded(verb: str, output: Output, body: Callable[[], Ended]) -> Ended:
    try:
        with stopped_by_signals():
            return body()
    except BatchUploadError as error:
        return failure(error, output, Summary(verb=verb, exit=exit_of(error.exit_code)))
    except Stopped as stopped:
        ending = Exit(stopped.code, stopped.message)
        return Ended(Summary(verb=verb, exit=ending), lines=(printable(f"{verb}: {stopped.message}"),))
    except KeyboardInterrupt:
        return Ended(Summary(verb=verb, exit=exit_of(ExitCode.INTERRUPTED)), lines=())
    except Interrupted as interrupted:
        return Ended(Summary(verb=verb, exit=exit_of(interrupted.code)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is our fault, and nobody's traceback to read
        if (short := shortage_of(error)) is not None:
            return failure(short, output, Summary(verb=verb, exit=exit_of(short.exit_code)))
        if isinstance(error, OSError) and is_failure_of(error, sys.stdout):
            return Ended(Summary(verb=verb, exit=exit_of(ExitCode.DONE)), lines=())  # `_finish` judges it
        return _our_fault(verb, error, output)


def _our_fault(verb: str, error: Exception, output: Output) -> Ended:
    output.error(f"error: a fault of batch-upload itself: {type(error).__name__}: {error}")
    where = "".join(traceback.format_exception(error)).rstrip()
    if output.verbose:
        output.error(where)
    else:
        output.witnesses.hear(logging.ERROR, where)
        output.error("hint: the same command with `-v` shows where; the ledger is right, whatever happened")
    return Ended(Summary(verb=verb, exit=exit_of(ExitCode.OUR_FAULT)), lines=())


def _finish(ended: Ended, manifest: Path | None, output: Output) -> Ended:
    """Print how the verb ended. The result differs from `ended` if standard output did not take what belongs there."""
    summary, repeated = ended.summary, ended.repeated
    invocation = Invocation(str(manifest) if manifest else "", repeated.flags, repeated.lane_flags)
    lines = ended.lines
    if lines is None:
        lines = tuple(summary_lines(summary, ended.known, invocation))
    elif ended.has_failed and summary.verb == "upload" and summary.exit.code in _MENDED_OUTSIDE:
        lines = tuple(next_lines(summary, ended.known, invocation))
    output.ending(summary.exit.code, *lines)
    output.event(summary.as_json())
    if (unsaid := failure_of(sys.stderr)) is not None:
        output.witnesses.hear(logging.WARNING, f"cannot write to standard error: {reason_of(unsaid)}")
    if (undelivered := failure_of(sys.stdout)) is None:
        return ended
    message = f"cannot write to standard output: {reason_of(undelivered)}"
    output.error(messages.error_text(OutputUnwritable(message)))
    return replace(ended, summary=replace(summary, exit=Exit(ExitCode.OUR_FAULT, message)))
