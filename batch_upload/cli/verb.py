"""How every verb runs: flags in, then the work, then words and an exit code. The one place where errors become text."""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import typer

from batch_upload.cli import messages
from batch_upload.cli.flags import Flags, options_of, shard_of, takes
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.process import quiet_libraries
from batch_upload.cli.signals import Interrupted, Stopped, stopped_by_signals
from batch_upload.cli.sinks import Sinks
from batch_upload.cli.streams import failure_of, is_failure_of, reason_of
from batch_upload.errors import (
    BatchUploadError,
    EmptyShard,
    ExitCode,
    LaneFault,
    LedgerLocked,
    LedgerUnusable,
    ManifestInvalid,
    OutOfResources,
    OutputUnwritable,
    UsageError,
)
from batch_upload.escape import printable
from batch_upload.ledger_address import LedgerAddress, ledger_address
from batch_upload.report.item_text import KnownItems
from batch_upload.report.ndjson import problem_line
from batch_upload.report.summary_text import Invocation, next_lines, summary_lines
from batch_upload.shortage import shortage_of
from batch_upload.summary import Exit, Summary, exit_of

_WITH_OWN_REASON = (LaneFault, LedgerLocked, LedgerUnusable, OutOfResources, OutputUnwritable)
"""Errors whose message says more than the common reason of their exit code."""
_WITH_NEXT_COMMANDS = (ExitCode.LOCKED, ExitCode.ACCESS, ExitCode.LEDGER)
"""Errors of `upload` whose hint is no command of ours, so that the next commands are printed too."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a verb ended. `lines` are printed instead of the summary's own text, if given.

    `invocation` is how the next commands name the manifest; None if only its path is known.
    """

    summary: Summary
    known: KnownItems = ()
    lines: tuple[str, ...] | None = None
    invocation: Invocation | None = None
    has_failed: bool = False
    """Whether an error ended it, which is printed already: only the next commands are left to print."""


def verb(
    name: str, *groups: Sequence[str], declared: Mapping[str, object] = MappingProxyType({})
) -> Callable[[Callable[..., Ended]], Callable[..., None]]:
    """Make a function the command of a verb, with the flags of these groups behind its own.

    The function receives them as one `Flags` named `flags`, prints to `output`, and returns how it ended.
    `declared`: annotations of flags that take the place of those of `Flags`.
    """
    taken = [flag for group in groups for flag in group]

    def decorate(work: Callable[..., Ended]) -> Callable[..., None]:
        @takes(taken, work, declared)
        def command(flags: Flags, **given: Any) -> None:  # noqa: ANN401 - whatever the verb takes
            output = Output()
            wrong: UsageError | None = None
            try:
                output = Output.of(flags)  # before the other flags: their errors are reported as --json and --quiet ask
                shard = shard_of(flags) if "shard" in taken else None
                output = replace(output, sinks=Sinks(flags, taken), shard=shard)
                if isinstance(manifest := given.get("manifest"), str):
                    given["manifest"] = None
                    given["manifest"] = ledger_address(manifest)
                if isinstance(manifest := given.get("manifest"), Path):
                    given["manifest"] = manifest_named(manifest)
            except UsageError as error:
                wrong = error

            def run() -> Ended:
                if wrong is not None:
                    raise wrong
                return work(flags=flags, output=output, **given)

            named = given.get("manifest")

            def invocation() -> Invocation:
                return Invocation("") if named is None else invocation_of(named, flags, options_of(flags))

            run_verb(name, named, output, run, invocation)

        return command

    return decorate


def manifest_named(path: Path) -> Path:
    """Return the manifest that an argument names; STANDARD_INPUT for one in a pipe. Raises UsageError for two pipes."""
    from batch_upload.manifest.source import named_manifest  # imports YAML's errors, which `--help` does without

    return named_manifest(path)


def run_verb(
    name: str,
    manifest: LedgerAddress | None,
    output: Output,
    work: Callable[[], Ended],
    invocation: Callable[[], Invocation] | None = None,
) -> NoReturn:
    """Run a verb, print how it ended, and leave with its exit code.

    `invocation`: how next commands name the manifest of a verb that failed before it knew its settings.
    """
    from batch_upload.clock import counting_s  # imports anyio, which `--help` does without

    quiet_libraries()
    started = counting_s()
    ended = _outcome(name, manifest, output, work)
    summary = ended.summary
    if not summary.adds_up:
        summary = replace(summary, exit=exit_of(ExitCode.OUR_FAULT))
    shard = None if output.shard is None else str(output.shard)
    elapsed_s = summary.elapsed_s or counting_s() - started
    ended = replace(ended, summary=replace(summary, elapsed_s=elapsed_s, shard=shard))
    try:
        ended = _printed(ended, manifest, output, invocation)
    except Exception as error:  # noqa: BLE001 - as in `_outcome`
        ended = _our_fault(name, error, output)
    finally:
        output.sinks.close(ended.summary)
    raise typer.Exit(int(ended.summary.exit.code))


def ended_by(error: BatchUploadError, output: Output, counted: Summary) -> Ended:
    """Print an error that ends a verb; `counted` is the verb's summary until then."""
    if isinstance(error, ManifestInvalid):
        for problem in error.problems:
            output.event(problem_line(problem))
    text = messages.error_text(error, verb=counted.verb)
    output.sinks.log(logging.ERROR, text)
    output.ending(error.exit_code, text)
    code = error.exit_code
    reason = error.message if isinstance(error, _WITH_OWN_REASON) else exit_of(code).reason
    return Ended(replace(counted, exit=Exit(code, reason)), lines=(), has_failed=True)


def _outcome(name: str, manifest: LedgerAddress | None, output: Output, work: Callable[[], Ended]) -> Ended:
    """Open the sinks and do the work; every error and signal becomes an end, and is printed."""
    try:
        with stopped_by_signals():
            output.sinks.open(name, manifest if isinstance(manifest, Path) else None, warn=output.warn)
            return work()
    except EmptyShard as empty:
        ending = Exit(empty.exit_code, empty.message)
        return Ended(Summary(verb=name, exit=ending), lines=(printable(f"{name}: {empty.message}"),))
    except BatchUploadError as error:
        return ended_by(error, output, Summary(verb=name, exit=exit_of(error.exit_code)))
    except Stopped as stopped:
        ending = Exit(stopped.code, stopped.message)
        return Ended(Summary(verb=name, exit=ending), lines=(printable(f"{name}: {stopped.message}"),))
    except KeyboardInterrupt:
        return Ended(Summary(verb=name, exit=exit_of(ExitCode.INTERRUPTED)), lines=())
    except Interrupted as interrupted:
        return Ended(Summary(verb=name, exit=exit_of(interrupted.code)))
    except Exception as error:  # noqa: BLE001 - any other error is our fault, and users get no traceback unasked
        if (short := shortage_of(error)) is not None:
            return ended_by(short, output, Summary(verb=name, exit=exit_of(short.exit_code)))
        if isinstance(error, OSError) and is_failure_of(error, sys.stdout):
            return Ended(Summary(verb=name, exit=exit_of(ExitCode.DONE)), lines=())  # `_printed` decides
        return _our_fault(name, error, output)


def _our_fault(name: str, error: Exception, output: Output) -> Ended:
    output.error(f"error: a fault of batch-upload itself: {type(error).__name__}: {error}")
    where = "".join(traceback.format_exception(error)).rstrip()
    if output.verbose:
        output.error(where)
    else:
        output.sinks.log(logging.ERROR, where)
        output.error("hint: the same command with `-v` shows where; the ledger is right, whatever happened")
    return Ended(Summary(verb=name, exit=exit_of(ExitCode.OUR_FAULT)), lines=())


def _printed(
    ended: Ended, manifest: LedgerAddress | None, output: Output, fallback: Callable[[], Invocation] | None
) -> Ended:
    """Print how the verb ended. Return another end if standard output did not take its lines."""
    summary = ended.summary
    invocation = ended.invocation or Invocation(str(manifest or ""))
    lines = ended.lines
    if lines is None:
        lines = tuple(summary_lines(summary, ended.known, invocation))
    elif ended.has_failed and summary.verb == "upload" and summary.exit.code in _WITH_NEXT_COMMANDS:
        named = fallback() if ended.invocation is None and fallback is not None else invocation
        lines = tuple(next_lines(summary, ended.known, named))
    output.ending(summary.exit.code, *lines)
    output.event(summary.as_json())
    if (unsaid := failure_of(sys.stderr)) is not None:
        output.sinks.log(logging.WARNING, f"cannot write to standard error: {reason_of(unsaid)}")
    if (undelivered := failure_of(sys.stdout)) is None:
        return ended
    message = f"cannot write to standard output: {reason_of(undelivered)}"
    output.error(messages.error_text(OutputUnwritable(message)))
    return replace(ended, summary=replace(summary, exit=Exit(ExitCode.OUR_FAULT, message)))
