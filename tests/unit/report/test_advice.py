"""What to do about an item, by its cause."""

import pytest

from batch_upload.model import Fault, State
from batch_upload.report.advice import advice


@pytest.mark.parametrize("state", State)
def test_every_state_has_something_to_do_or_nothing_left(state: State) -> None:
    assert advice(state, None)
    assert not advice(state, None).endswith(".")


def test_the_reason_is_asked_before_the_code() -> None:
    by_reason = advice(State.FAILED, Fault("ConflictException", "", "MAXIMUM_SIZE_EXCEEDED"))
    by_code = advice(State.FAILED, Fault("ConflictException", "", "NOBODY_KNOWS"))

    assert by_reason.startswith("make the file smaller")
    assert "run `reconcile`, which takes the attachment over" in by_code


def test_a_fault_that_nobody_has_heard_of_is_its_messages() -> None:
    assert advice(State.FAILED, Fault("NewException", "", "NEW")).startswith("see the message")


def test_what_has_not_failed_is_advised_by_its_state() -> None:
    assert advice(State.PARKED, Fault("X", "", "MAXIMUM_SIZE_EXCEEDED")) == advice(State.PARKED, None)
