"""Every verb has an example in its help, and every example is a command that can be typed."""

import shlex
from typing import Any

import pytest
import typer.main

from batch_upload.cli.examples import EXAMPLES
from batch_upload.cli.main import app

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
