"""The error tree answers: whose fault, try again, which exit code."""

import re

import pytest

from batch_upload import errors
from batch_upload.errors import BatchUploadError, ExitCode, ServiceError, with_causes


def all_errors() -> list[type[BatchUploadError]]:
    found: list[type[BatchUploadError]] = [BatchUploadError]
    for error in found:
        found.extend(error.__subclasses__())
    return [error for error in found if error.__module__ == errors.__name__]


def drawn() -> dict[str, tuple[bool, int]]:
    """Name, may the same command be run again, exit code, as the docstring draws them."""
    lines = re.findall(r"(\w+) +(?:the )?\w+'s +(yes|no) +(\d+) ", errors.__doc__ or "")
    return {name: (again == "yes", int(code)) for name, again, code in lines}


DRAWN = [error for error in all_errors() if error is not ServiceError]
"""ServiceError is what three branches have in common, and is never raised itself."""


@pytest.mark.parametrize("error", DRAWN, ids=lambda error: error.__name__)
def test_every_error_is_drawn_in_the_tree(error: type[BatchUploadError]) -> None:
    assert re.search(rf"\b{error.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_an_error_has_the_exit_code_that_is_drawn(error: type[BatchUploadError]) -> None:
    if error.__name__ in drawn():
        again, code = drawn()[error.__name__]
        assert error.exit_code == code
        assert (10 <= error.exit_code <= 19) is again


def test_most_of_the_tree_is_drawn_with_a_code() -> None:
    assert len(drawn()) >= 12


def test_an_answer_keeps_what_it_came_with() -> None:
    error = ServiceError("no", code="X", reason="Y", request_id="req-1", status=400, hint="do this")

    assert (error.message, error.code, error.reason) == ("no", "X", "Y")
    assert (error.request_id, error.status, error.hint) == ("req-1", 400, "do this")
    assert str(error) == "no"


def test_the_exit_codes_are_the_contracts() -> None:
    assert {int(code) for code in ExitCode} == {0, 1, 2, 3, *range(10, 15), *range(20, 28), 130, 143}


def test_the_causes_of_an_error_are_each_told_once_though_they_go_in_a_circle() -> None:
    outer, middle, inner = ValueError("outer"), OSError("middle"), KeyError("inner")
    outer.__cause__, middle.__context__ = middle, inner
    inner.__cause__, inner.__context__ = inner, outer

    assert list(with_causes(outer)) == [outer, middle, inner]
