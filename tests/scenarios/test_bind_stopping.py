"""Runs that end while registrations are looked at or fields are filled, and those that go on after them."""

import signal
from pathlib import Path

import pytest

from batch_upload.operations import FIELD_DEFINITIONS, PUT_FIELD, REGISTRATIONS
from tests.support.batches import pdf
from tests.support.bound_batch import CAMPAIGN, OPT_IN, PRIVACY, TERMS, BoundBatch
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


@pytest.fixture
def batch(endpoint: Endpoint, emulator_process: EmulatorProcess, command: Preloaded, tmp_path: Path) -> BoundBatch:
    found = BoundBatch(tmp_path, endpoint, emulator_process, command)
    found.write({"opt-in": (found.registration(), OPT_IN)})
    return found


@pytest.mark.parametrize(
    ("operation", "state"),
    [(REGISTRATIONS, None), (FIELD_DEFINITIONS, None), (PUT_FIELD, "binding")],
)
def test_a_signal_ends_the_run_and_the_next_one_goes_on(batch: BoundBatch, operation: str, state: str | None) -> None:
    batch.endpoint.faults({"action": "throttle", "operation": operation})
    words = ("upload", "june.yaml", "--rate", "100", "--json")

    with batch.command.started(*words, cwd=batch.folder, env=batch.endpoint.env) as running:
        batch.endpoint.wait_for(operation)
        running.signal(signal.SIGTERM)
        ended = running.finish()
    recorded = batch.run("status").of("last_run")
    batch.endpoint.faults()
    done = batch.run("upload", "--rate", "100")

    assert (ended.code, ended.summary["exit"]["name"]) == (143, "terminated")
    assert ended.states == ({} if state is None else {state: 1})
    assert [line["exit"] for line in recorded] == [143]
    assert (done.code, done.states, batch.endpoint.stats().creates) == (0, {"complete": 1}, 1)


def test_a_document_that_comes_back_is_put_in_place_of_one_whose_request_was_not_answered(batch: BoundBatch) -> None:
    document = batch.folder / "opt-in.pdf"
    first = document.read_bytes()
    batch.run("upload", "--rate", "100")
    [before] = [line["registration_attachment_id"] for line in batch.run("status").of("item")]
    document.write_bytes(pdf("another"))
    batch.endpoint.faults({"action": "drop_after", "operation": PUT_FIELD})
    open_ended = batch.run("upload", "--rate", "100", "--deadline", "5s")
    batch.endpoint.faults()
    document.write_bytes(first)

    done = batch.run("upload", "--rate", "100")

    assert open_ended.states == {"binding": 1}
    assert (done.code, done.summary["bound"], done.summary["uploaded"]) == (0, 1, 0)
    [registration] = batch.endpoint.registrations()
    assert batch.held(registration["id"]) == {OPT_IN: before}
    assert batch.run("verify").code == 0


def test_a_registration_is_not_ready_while_an_item_that_was_not_chosen_is_not_in_it(batch: BoundBatch) -> None:
    campaign = batch.registration(CAMPAIGN)
    batch.write({"a": (campaign, TERMS), "b": (campaign, PRIVACY)})
    assert batch.run("upload", "--rate", "100").summary["registrations_ready"] == [campaign]
    batch.write({"a": (campaign, PRIVACY), "b": (campaign, TERMS)})

    chosen = batch.run("upload", "--rate", "100", "--only", "a")
    rest = batch.run("upload", "--rate", "100")

    assert (chosen.summary["bound"], chosen.summary["registrations_ready"]) == (1, [])
    assert (rest.summary["bound"], rest.summary["registrations_ready"]) == (1, [campaign])


def test_a_registration_is_not_ready_while_a_document_for_it_cannot_be_read(batch: BoundBatch) -> None:
    campaign = batch.registration(CAMPAIGN)
    batch.write({"a": (campaign, TERMS), "b": (campaign, PRIVACY)})
    (batch.folder / "b.pdf").unlink()

    ended = batch.run("upload", "--rate", "100", "--skip-invalid")

    assert ended.code == 20
    assert (ended.summary["bound"], ended.summary["registrations_ready"]) == (1, [])
