"""A manifest through a pipe: `-`, `/dev/stdin`, or the name of a pipe."""

import os
from pathlib import Path
from threading import Thread

import pytest

from tests.support.batches import Batch, make_batch
from tests.support.command import COMMAND, run
from tests.support.endpoint import Endpoint

VERBS = {
    "validate": (),
    "plan": ("--offline",),
    "status": (),
    "report": (),
    "why": ("files/000.pdf",),
}


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """A batch of two documents in the working directory, whose manifest is not written to a file."""
    made = make_batch(tmp_path, 2)
    (tmp_path / "away").mkdir()
    made.path.rename(tmp_path / "away" / "june.yaml")
    return made


def text_of(batch: Batch) -> str:
    return (batch.folder / "away" / "june.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_manifest_on_standard_input_is_uploaded_and_read_by_every_verb(
    endpoint: Endpoint, batch: Batch, name: str
) -> None:
    flags = ("--ledger", "june.ledger")
    uploaded = run(
        "upload", name, *flags, "--rate", "100", "--json", cwd=batch.folder, env=endpoint.env, piped=text_of(batch)
    )
    others = {
        verb: run(verb, name, *more, *(flags if verb != "validate" else ()), cwd=batch.folder, piped=text_of(batch))
        for verb, more in VERBS.items()
    }

    assert (uploaded.code, uploaded.summary["uploaded"]) == (0, 2)
    assert {verb: ended.code for verb, ended in others.items()} == dict.fromkeys(VERBS, 0)
    assert "items: 2, of which 2 complete" in others["status"].stdout
    assert {each.name.partition(".")[0] for each in batch.folder.iterdir()} == {"away", "files", "june"}


def test_a_named_pipe_is_read_once_and_to_its_end(batch: Batch) -> None:
    fifo = batch.folder / "june.fifo"
    os.mkfifo(fifo)
    writer = Thread(target=fifo.write_text, args=(text_of(batch),))
    writer.start()

    ended = run("plan", fifo, "--offline", "--ledger", "june.ledger", "--json", cwd=batch.folder)
    writer.join()

    assert (ended.code, ended.summary["items"]) == (0, 2)


def test_problems_have_the_position_in_what_was_piped(batch: Batch) -> None:
    text = "version: 1\nbatch: june\nattachments:\n  - file: none.pdf\n"

    ended = run("validate", "-", cwd=batch.folder, piped=text)

    assert ended.code == 21
    assert "-:4:11: `none.pdf` does not exist" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("upload", "-"), "`--ledger PATH` names one, or `ledger:` in the manifest"),
        (("upload", "-", "--local"), "`--ledger PATH` names one"),
        (("status", "-"), "a manifest on standard input has no name for its ledger to go by"),
        (("report", "-", "/dev/stdin", "--all"), "only one manifest can come through a pipe"),
    ],
)
def test_what_a_pipe_cannot_say_must_be_named(batch: Batch, arguments: tuple[str, ...], words: str) -> None:
    ended = run(*arguments, cwd=batch.folder, piped=text_of(batch))

    assert (ended.code, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert sorted(each.name for each in batch.folder.glob("*")) == ["away", "files"]


def test_the_ledger_may_be_named_in_the_manifest_and_the_local_service_stays_beside_it(batch: Batch) -> None:
    text = text_of(batch).replace("batch:", "ledger: state/june.ledger\nbatch:", 1)
    (batch.folder / "state").mkdir()

    ended = run("status", "-", cwd=batch.folder, piped=text)
    local = run("upload", "-", "--local", "--ledger", "state/l.ledger", cwd=batch.folder, piped=text_of(batch))

    assert (ended.code, local.code) == (0, 0), local.stderr
    assert (batch.folder / "state" / "l.local.service").exists()
    assert not list(batch.folder.glob("-*"))


def test_a_closed_standard_input_and_an_empty_one_are_told(batch: Batch) -> None:
    closed = run("-c", 'exec "$0" validate - <&-', str(COMMAND), cwd=batch.folder, command=("/bin/sh",))
    empty = run("validate", "-", cwd=batch.folder)

    assert closed.code in (2, 21)
    assert "Traceback" not in closed.stderr
    assert empty.code == 21
    assert "the manifest is empty" in empty.stderr
