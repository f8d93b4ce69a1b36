"""The manual page `batch-upload(1)`, made from the verbs: `python -m tests.support.man_page` writes it anew.

The wheel installs the page as `share/man/man1/batch-upload.1`.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol, cast

import typer.main

from batch_upload.cli.help import EXAMPLES
from batch_upload.cli.main import app
from batch_upload.errors import ExitCode
from batch_upload.summary import EXIT_REASONS
from tests.support.emulator_process import ROOT

PAGE = ROOT / "docs" / "man" / "batch-upload.1"
SHARED_BY = 3
"""A flag that so many verbs take with the same words is described once."""
_VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

_ABOUT = (
    "Uploads registration attachments (letters of authorization, opt-in screenshots) to AWS End User Messaging SMS: "
    "all files that a YAML manifest lists, as fast as the account allows. Every upload is recorded in a ledger before "
    "and after the request. The same command can be run again after any failure: nothing is uploaded twice, and "
    "nothing is lost.",
    "With `--local`, everything runs against an emulator on this machine: no AWS account is needed.",
)
_ENVIRONMENT = (
    (
        "BATCH_UPLOAD_…",
        "Most shared flags have a variable of their name, such as `BATCH_UPLOAD_LOG_FILE`. A flag goes before it.",
    ),
    ("AWS_…", "Credentials, profile, Region and endpoint, as for the AWS CLI."),
    ("PG…", "The connection to a ledger in PostgreSQL, as for psql(1). A password belongs into `PGPASSFILE`."),
)
_FILES = (
    ("NAME.ledger", "The ledger of `NAME.yaml`, beside it. Keep it: it says what was uploaded."),
    ("NAME.ledger.lock", "Held by the run that uses the ledger. The lock ends with the process; the file may stay."),
    ("NAME.local.ledger, NAME.local.service", "The ledger and the emulated service of `--local`."),
)


class _Parameter(Protocol):
    """An argument or a flag, as the library of the command line holds it."""

    opts: list[str]
    secondary_opts: list[str]
    metavar: str | None
    help: str | None
    required: bool


class _Verb(Protocol):
    params: list[_Parameter]
    help: str


def page() -> str:
    """Return the page in the man(7) macros: ASCII, one request or line of text a line."""
    verbs = dict(_verbs())
    flags = Counter(_described(each) for verb in verbs.values() for each in verb.params if _is_flag(each))
    shared = {flag for flag, count in flags.items() if count >= SHARED_BY}
    lines = [
        '.\\" Made by tests/support/man_page.py from the verbs: change them, not this file.',
        f'.TH BATCH\\-UPLOAD 1 "" "batch\\-upload {_VERSION}"',
        ".SH NAME",
        "batch\\-upload \\- upload registration attachments to AWS End User Messaging SMS from a manifest",
        ".SH SYNOPSIS",
        *_spaced(
            f"\\fBbatch\\-upload\\fR \\fIVERB\\fR {_text('[ARGUMENTS] [FLAGS]')}",
            "\\fBbatch\\-upload\\fR \\-\\-version",
        ),
        ".SH DESCRIPTION",
        *_paragraphs(_ABOUT),
        ".SH VERBS",
    ]
    for name, verb in verbs.items():
        lines += _verb(name, verb, shared)
    lines += [".SH SHARED FLAGS", *_entries(sorted(shared, key=lambda flag: (_long_name(flag[0]), flag)))]
    codes = ((str(int(code)), EXIT_REASONS[code]) for code in ExitCode)
    lines += [".SH EXIT STATUS", *_paragraphs([_EXITS]), *_entries(codes)]
    lines += [".SH ENVIRONMENT", *_entries(_ENVIRONMENT), ".SH FILES", *_entries(_FILES)]
    lines += [".SH SEE ALSO", "aws(1), cron(8), psql(1), systemd.timer(5)"]
    return "\n".join(lines) + "\n"


_EXITS = "After 10 to 19 the same command again will do; after 20 to 29 a person must act first."


def _verbs() -> Iterator[tuple[str, _Verb]]:
    for name, command in vars(typer.main.get_command(app))["commands"].items():
        for verb, its in getattr(command, "commands", {"": command}).items():
            yield f"{name} {verb}".strip(), cast(_Verb, its)


def _verb(name: str, verb: _Verb, shared: set[tuple[str, str]]) -> list[str]:
    arguments = [each for each in verb.params if not _is_flag(each)]
    own = [_described(each) for each in verb.params if _is_flag(each)]
    words = [f"{each.metavar}" if each.required else f"[{each.metavar}]" for each in arguments]
    sentence = verb.help.replace("\n", " ")
    lines = [f".SS {_text(' '.join([name, *words]))}", *_paragraphs([sentence[:1].upper() + sentence[1:] + "."])]
    lines += _entries((each.metavar or "", each.help or "") for each in arguments)
    lines += _entries(flag for flag in own if flag not in shared)
    taken = [_long_name(names) for names, words in own if (names, words) in shared]
    if taken:
        lines += _paragraphs([f"Shared flags: {', '.join(f'`{flag}`' for flag in taken)}."])
    return [*lines, ".PP", "Examples:", ".PP", ".nf", ".RS 4", *(_text(each) for each in EXAMPLES[name]), ".RE", ".fi"]


def _is_flag(parameter: _Parameter) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _described(flag: _Parameter) -> tuple[str, str]:
    """Return a flag's names, a short one first, with what it takes, and its help."""
    names = [*sorted(flag.opts, key=len), *flag.secondary_opts]
    takes = f" {flag.metavar}" if flag.metavar else ""
    return f"{', '.join(names)}{takes}", flag.help or ""


def _long_name(names: str) -> str:
    return next(name.rstrip(",") for name in names.split() if name.startswith("--"))


def _entries(entries: Iterable[tuple[str, str]]) -> list[str]:
    return [line for term, words in entries for line in (".TP", f".B {_text(term)}", _text(words))]


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (".PP", _text(text))]


def _spaced(*lines: str) -> list[str]:
    return [part for line in lines for part in (".PP", line)]


def _text(words: str) -> str:
    """Escape what groff would read as a request, and print what is in backticks in bold."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq")
    escaped = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="ascii")
