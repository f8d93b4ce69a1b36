"""Every verb has an example in its help, every example is a command that can be typed, and exit codes are explained."""

import re
import shlex
from typing import Any

import pytest
import typer.main

from batch_upload.cli.help import EXAMPLES, exit_codes_text
from batch_upload.cli.main import app
from batch_upload.errors import ExitCode
from batch_upload.summary import EXIT_REASONS

ROOT: Any = typer.main.get_command(app)
"""A group of commands; typer does not give it a type."""
LINES = [(verb, line) for verb in EXAMPLES for line in EXAMPLES[verb]]


def verbs() -> set[str]:
    found = set()
    for name, command in ROOT.commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {inner}" for inner in below} if below else {name}
    return found


def test_every_verb_has_an_example() -> None:
    assert verbs() <= set(EXAMPLES)


@pytest.mark.parametrize(("verb", "line"), [each for each in LINES if each[0] in verbs()])
def test_an_example_is_a_command_of_its_verb(verb: str, line: str) -> None:
    program, *words = shlex.split(line.partition(" > ")[0])
    command = ROOT
    for name in verb.split():
        assert words.pop(0) == name
        command = command.commands[name]

    command.make_context(verb, words)

    assert program == "batch-upload"


def test_examples_stand_in_the_help_line_by_line() -> None:
    for verb in verbs():
        command = ROOT
        for name in verb.split():
            command = command.commands[name]
        help_text = command.make_context(verb, [], resilient_parsing=True).command.epilog
        assert all(f"\n  {line}" in help_text for line in EXAMPLES[verb])


def test_every_exit_code_is_explained_once_and_by_the_text_that_a_run_ends_with() -> None:
    text = exit_codes_text()

    explained = re.findall(r"(?m)(?:^|: |\| )(\d+) ([^|\n]+?)(?= \||$)", text)
    assert explained == [(str(int(code)), EXIT_REASONS[code]) for code in ExitCode]
    assert "10-19, the same command again will do: 10 transient errors are left | 11 " in text
