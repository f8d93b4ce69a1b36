"""The page about registrations can be followed from top to bottom, and the example over two accounts can be run."""

import csv
import io
import re
import shlex
from pathlib import Path

import pytest

from tests.support.bound_fields import TYPE, current_fields
from tests.support.command import Result
from tests.support.emulator_process import ROOT, EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.real_documents import real_pdf
from tests.support.transcripts import copy_of_manifests

PAGE = ROOT / "docs" / "registrations.md"
EXAMPLE = ROOT / "manifests" / "examples" / "bind.yaml"
FIELD = "idSidSpecificInfo.letterOfAuthorization3"
ACME = "registration-acme01"
DENIAL = {"reason": "The signature is missing", "feedback": "Sign page 1 and upload it again."}


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def blocks() -> list[list[list[str]]]:
    """The commands of each block of the page, as words without the name of ours."""
    found = re.findall(r"^```sh\n(.*?)^```", page(), re.MULTILINE | re.DOTALL)
    return [[shlex.split(line)[1:] for line in block.splitlines()] for block in found]


def write_table(folder: Path) -> list[list[str]]:
    """Write `customers.csv` as the page shows it, with its letters. Return its rows."""
    lines = re.findall(r"^\| (.*) \|$", page().partition("**2.")[0], re.MULTILINE)
    head, *rows = [line.split(" | ") for line in lines]
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    (folder / "customers.csv").write_text(text.getvalue(), encoding="utf-8")
    (folder / "letters").mkdir()
    for name, company, *_ in rows:
        (folder / "letters" / name).write_bytes(real_pdf(company))
    return rows


def _without_sizes(text: str) -> str:
    return re.sub(r"\(.* sent\)", "(… sent)", text)


@pytest.mark.skipif(not PAGE.exists(), reason="a wheel has no documents")
def test_the_page_can_be_followed_from_the_spreadsheet_to_a_denial_and_back(
    emulator_process: EmulatorProcess, command: Preloaded, tmp_path: Path
) -> None:
    rows = write_table(tmp_path)
    endpoint = Endpoint(emulator_process, by_role={row[3] for row in rows})
    for *_, account, registration in rows:
        endpoint.plant_registration(registration, TYPE, account=account)
    made, first, denied, again, cleared = blocks()

    def run(words: list[str]) -> Result:
        return command.run(*words, cwd=tmp_path, env=endpoint.env)

    ended = [run(words) for words in (*made, *first)]
    endpoint.deny_registration(ACME, {FIELD: DENIAL})
    ended += [run(words) for words in denied]
    (tmp_path / "letters" / "acme.pdf").write_bytes(real_pdf("signed"))
    endpoint.open_registration_version(ACME)
    ended += [run(words) for words in (*again, *cleared)]

    assert [each.code for each in ended] == [0] * 10, "\n".join(each.stderr for each in ended)
    said = _without_sizes("".join(each.stdout + each.stderr for each in ended)).splitlines()
    quoted = re.findall(r"^    (.*)$", page().partition("## What is checked")[0], re.MULTILINE)
    shown = [line for line in quoted if not line.startswith(("- {", "file:", "target:", "bind:", "tags:"))]
    assert len(shown) == 6
    assert [line for line in shown if _without_sizes(line) not in said] == []
    assert endpoint.stats().creates == len(rows) + 1
    assert {place.registration for place in current_fields(endpoint)} == {row[4] for row in rows}
    held = [each for each in endpoint.attachments() if each["status"] != "DELETED"]
    assert sorted(current_fields(endpoint).values()) == sorted(each["id"] for each in held)


@pytest.mark.skipif(not PAGE.exists(), reason="a wheel has no documents")
def test_the_manifest_that_the_page_writes_by_hand_is_that_of_the_command(command: Preloaded, tmp_path: Path) -> None:
    write_table(tmp_path)
    (by_hand,) = re.findall(r"^```yaml\n(.*?)^```", page(), re.MULTILINE | re.DOTALL)

    def plan_of(manifest: str) -> list[dict[str, str]]:
        planned = command.run("plan", manifest, "--offline", "--json", cwd=tmp_path)
        assert planned.code == 0, planned.stderr
        return [{name: each[name] for name in ("id", "client_token", "reason")} for each in planned.of("action")]

    assert command.run(*blocks()[0][0], cwd=tmp_path).code == 0
    (tmp_path / "by-hand.yaml").write_text(by_hand, encoding="utf-8")

    assert plan_of("by-hand.yaml") == plan_of("june.yaml")
    assert len(plan_of("june.yaml")) == 3


@pytest.mark.skipif(not EXAMPLE.exists(), reason="a wheel has no examples")
def test_the_example_binds_in_two_accounts_with_the_emulator_of_local(command: Preloaded, tmp_path: Path) -> None:
    folder = copy_of_manifests(tmp_path) / "examples"
    planned, done, again, verified = (
        command.run(verb, "bind.yaml", "--local", "--json", cwd=folder)
        for verb in ("plan", "upload", "upload", "verify")
    )

    assert [each.code for each in (planned, done, again, verified)] == [0] * 4, done.stderr
    assert (done.summary["uploaded"], done.summary["bound"]) == (4, 4)
    assert done.summary["registrations_ready"] == [f"registration-{name}01" for name in ("acme", "birch", "cedar")]
    assert (again.summary["uploaded"], again.summary["bound"], again.summary["registrations_ready"]) == (0, 0, [])
    assert {each["bound_to"] for each in done.of("item")} >= {f"registration-cedar01/{FIELD}"}
