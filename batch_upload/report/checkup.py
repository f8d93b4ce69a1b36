"""What `doctor` found: a line for each check, for people and for machines."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.summary import SCHEMA_VERSION


class Verdict(StrEnum):
    """How a check ended. `SKIPPED`: it could not be made, or there was nothing to look at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `code` is what a failure means for the exit; 0 of everything else."""

    name: str
    verdict: Verdict
    message: str
    hint: str = ""
    code: ExitCode = ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """The line for machines."""
        return {
            "event": "check",
            "schema_version": SCHEMA_VERSION,
            "check": self.name,
            "verdict": self.verdict.value,
            "message": self.message,
            "hint": self.hint or None,
        }


def ok(name: str, message: str) -> Check:
    return Check(name, Verdict.OK, message)


def warn(name: str, message: str, hint: str = "") -> Check:
    return Check(name, Verdict.WARN, message, hint)


def fail(name: str, code: ExitCode, message: str, hint: str = "") -> Check:
    return Check(name, Verdict.FAIL, message, hint, code)


def skipped(name: str, message: str) -> Check:
    return Check(name, Verdict.SKIPPED, message)


NAME_WIDTH = len("may DescribeRegistrationAttachments")
"""Of the longest name: each check is printed before the next is made."""


def check_lines(check: Check) -> Iterator[str]:
    """A line for a check, its hint behind it on a line of its own."""
    yield printable(f"{check.verdict:<4}  {check.name:<{NAME_WIDTH}}  {check.message}")
    if check.hint:
        yield printable(f"{'':<4}  {'':<{NAME_WIDTH}}  hint: {check.hint}")
