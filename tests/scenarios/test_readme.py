"""The README's commands work as they stand."""

import re
from pathlib import Path

import pytest

from batch_upload.errors import ExitCode
from tests.support.command import run
from tests.support.emulator_process import ROOT
from tests.support.transcripts import copy_of_manifests, played

README = ROOT / "README.md"
TESTED = re.compile(r"^<!-- tested[^\n]*-->\n+```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks() -> list[list[str]]:
    """The commands of each block that is marked as tested."""
    if not README.exists():
        return []
    return [re.findall(r"^batch-upload .*", block, re.MULTILINE) for block in TESTED.findall(README.read_text("utf-8"))]


@pytest.mark.skipif(not README.exists(), reason="a wheel has no README")
def test_the_readme_has_commands_to_test() -> None:
    assert sum(len(commands) for commands in _blocks()) >= 3


@pytest.mark.skipif(not README.exists(), reason="a wheel has no README")
def test_its_table_has_every_verb_that_there_is() -> None:
    told = set(re.findall(r"^\| `([a-z]+)(?: [^`]*)?`", README.read_text("utf-8"), re.MULTILINE))

    assert _verbs() - told == set()


@pytest.mark.skipif(not README.exists(), reason="a wheel has no README")
def test_it_names_every_exit_code_in_order() -> None:
    (table,) = re.findall(r"^\| code \| means \|\n((?:\|.*\n)+)", README.read_text("utf-8"), re.MULTILINE)
    ranges = re.sub(r"\d+–\d+", "", table)  # 10–19 is no code but many

    assert [int(code) for code in re.findall(r"\b\d+\b", ranges)] == [int(code) for code in ExitCode]


@pytest.mark.skipif(not README.exists(), reason="a wheel has no README")
def test_its_exit_codes_mean_what_help_says() -> None:
    text = " ".join(
        run("--help", cwd=ROOT).stdout.partition("exit codes:")[2].partition("stopped by a signal:")[0].split()
    )
    retryable, _, for_people = text.partition("20-29, a person must act: ")
    meant = {10: retryable.partition("will do: ")[2].strip(), 20: for_people.strip()}
    shown = re.findall(r"^\| \*\*(\d0)–.*?:\*\* (.*) \|$", README.read_text("utf-8"), re.MULTILINE)

    assert {int(first): meanings.replace(" · ", " | ") for first, meanings in shown} == meant


def _verbs() -> set[str]:
    """Those of `--help`."""
    (listed,) = re.findall(r"^Commands:\n((?:  .*\n)+)", run("--help", cwd=ROOT).stdout, re.MULTILINE)
    return set(re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE))


@pytest.mark.parametrize("commands", _blocks(), ids=lambda commands: commands[0].split("#")[0].strip())
def test_the_commands_of_a_block_succeed_one_after_another(commands: list[str], tmp_path: Path) -> None:
    folder = copy_of_manifests(tmp_path)

    for step in played(commands, folder):
        assert not step.printed[-1:] or not step.printed[-1].startswith("[exit"), "\n".join(step.printed)
