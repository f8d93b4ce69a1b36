"""Where a verb prints: NDJSON to stdout and nothing else there, text for people to stderr."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batch_upload.cli import messages
from batch_upload.cli.flags import Flags, truth_of
from batch_upload.cli.sinks import Sinks
from batch_upload.cli.streams import reason_of
from batch_upload.document import YoungFile
from batch_upload.errors import ExitCode
from batch_upload.escape import write_text
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Problem
from batch_upload.report.ndjson import left_for_later_line, problem_line, warning_line, write_line
from batch_upload.report.summary_text import Invocation
from batch_upload.settings import RunOptions
from batch_upload.summary import exit_of
from batch_upload.targets import Shard

_ENDPOINT = re.compile(r"(https?://)(?:[^@/?#]*@)?((?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:/[^@?#]*)?)")
"""Scheme, user and password, and the rest of a URL that may be shown."""


@dataclass(frozen=True, slots=True)
class Output:
    """What was asked for by `--json`, `--quiet` and `-v`, and the sinks of the verb."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    sinks: Sinks = field(default_factory=Sinks, compare=False)
    shard: Shard | None = None
    """The part of the lanes that the verb is for, None for all of them."""

    @staticmethod
    def of(flags: Flags) -> "Output":
        """Return what these flags ask for, without sinks and shard. Raises UsageError for an invalid variable."""
        return Output(truth_of(flags, "json"), truth_of(flags, "quiet"), flags.verbose)

    def event(self, line: Mapping[str, Any]) -> None:
        """Print a line for machines, with `--json`."""
        if self.json:
            write_line(sys.stdout, line)

    def say(self, *lines: str) -> None:
        """Print text for people, unless `--quiet`."""
        if not self.quiet:
            write_text(sys.stderr, lines)

    def answer(self, lines: Iterable[str]) -> None:
        """Print the result of the verb: to stdout, or with `--json` to stderr."""
        if self.json:
            self.say(*lines)
        else:
            write_text(sys.stdout, lines)

    def error(self, text: str) -> None:
        """Print and log an error, also with `--quiet`."""
        self.sinks.log(logging.ERROR, text)
        write_text(sys.stderr, [text])

    def warn(self, message: str) -> None:
        """Print a warning, which does not end the verb."""
        self.say(messages.warning_text(message))

    def file_warnings(self, warnings: Sequence[Problem], *, shown: int | None = None) -> None:
        """Print the warnings of the manifest's files; people get at most `shown` lines."""
        for each in warnings:
            self.event(warning_line(each))
        self.say(*messages.file_warnings_text(warnings, shown=shown))

    def left_for_later(self, young: Sequence[YoungFile]) -> None:
        """Print which files are too young for this run; people get their number."""
        for each in young:
            self.event(left_for_later_line(each))
        self.say(*messages.left_for_later_text(young))

    def skipped(self, problems: Sequence[Problem]) -> None:
        """Print the problems of what is skipped. People get their number; the verb's end lists them."""
        for each in sorted(problems, key=lambda problem: (problem.file, problem.at)):
            self.event(problem_line(each))
        if problems:
            self.say(messages.skipped_text(len(problems)))

    def lost(self, error: OSError | ValueError) -> None:
        """Report that an observer failed, to those that are left."""
        message = f"one output of the run failed: {reason_of(error)}; the run goes on without it"
        self.sinks.log(logging.WARNING, message)
        self.warn(message)

    def ending(self, code: ExitCode, *lines: str) -> None:
        """Print how the verb ended; with `--quiet` only if a person must act, so that cron's mail means something."""
        if not self.quiet or exit_of(code).wants_a_person:
            write_text(sys.stderr, lines)


def invocation_of(manifest: LedgerAddress, flags: Flags, options: RunOptions) -> Invocation:
    """Return how a next command names the manifest, with the flags that mean the same ledger, files, lane and checks.

    Of the endpoint it never repeats a user or password, nor anything that is not a URL.
    """
    ledger = () if flags.ledger is None else ("--ledger", flags.ledger)
    batch = () if flags.batch is None else ("--batch", flags.batch)
    shard = () if flags.shard is None or options.shard is None else ("--shard", str(options.shard))
    checks = (("--strict", options.strict), ("--skip-invalid", options.skip_invalid))
    endpoint = _ENDPOINT.fullmatch(flags.endpoint_url or "")
    lane = (
        ("--profile", flags.profile),
        ("--region", flags.region),
        ("--endpoint-url", None if endpoint is None else endpoint[1] + endpoint[2]),
        *(("--allow-endpoint", host) for host in flags.allow_endpoint or ()),
    )
    return Invocation(
        str(manifest),
        flags=(*(["--allow-outside"] if options.allow_outside else ()), *shard),
        ledger_flags=(*(["--local"] if options.local else ()), *ledger, *batch),
        lane_flags=tuple(word for name, value in lane if value is not None for word in (name, value)),
        check_flags=tuple(name for name, given in checks if given),
        targets=options.targets,
    )
