"""The manual page: as it is made from the verbs, and as `man` reads it."""

import re
import shutil
import subprocess

import pytest

from batch_upload.cli.help import EXAMPLES
from batch_upload.errors import ExitCode
from tests.support.man_page import PAGE, page
from tests.support.strace import needed


def test_the_page_is_what_is_made_from_the_verbs() -> None:
    assert PAGE.read_text(encoding="ascii") == page()


def test_it_has_every_verb_with_its_examples_and_every_exit_code(rendered: str) -> None:
    told = " ".join(rendered.split())

    for verb, examples in EXAMPLES.items():
        assert re.search(rf"^ +{verb}( [A-Z\[]|$)", rendered, re.MULTILINE), verb
        for example in examples:
            assert " ".join(example.split()) in told
    for code in ExitCode:
        assert re.search(rf"^ +{int(code)}  +\w", rendered, re.MULTILINE), code


def test_it_describes_every_flag_once_and_no_text_is_read_as_a_request(rendered: str) -> None:
    lines = [line.strip() for line in rendered.splitlines()]

    assert sum(line.startswith("--ledger PATH or URL") for line in lines) == 1
    assert sum(line.startswith("--skip-invalid, --no-skip-invalid") for line in lines) == 1
    assert "`" not in rendered, "what is in backticks is printed in bold"
    assert "…" in rendered


@pytest.fixture(scope="module")
def rendered() -> str:
    """The page as plain text, a line wide enough that groff breaks none; groff had nothing to warn of."""
    if shutil.which("groff") is None:
        needed("groff is not installed")
    command = ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-bou", "-rLL=1000n", str(PAGE)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout
