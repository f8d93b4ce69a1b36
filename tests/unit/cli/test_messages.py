"""The sentences of the verbs, whole."""

from batch_upload.cli.messages import (
    error_text,
    names_words,
    obstacle_lines,
    problems_text,
    state_words,
    valid_text,
    warning_text,
)
from batch_upload.errors import (
    AccessFault,
    LedgerUnusable,
    ManifestInvalid,
    Refused,
)
from batch_upload.model import Position, Problem, State
from batch_upload.report.summary_text import Invocation


def problem(line: int) -> Problem:
    """Something wrong in a line of the manifest."""
    return Problem("june.yaml", Position(line, 11), "missing", f"`file` does not exist: `img/{line}\x1b[2J.png`")


def test_an_error_with_problems_shows_them_and_what_to_do() -> None:
    problems = [problem(14)]
    error = ManifestInvalid(
        "1 problem in `june.yaml`",
        problems=problems,
        hint="`batch-upload validate june.yaml` lists all of them",
    )

    assert error_text(error) == (
        "error: 1 problem in `june.yaml`\n"
        "  june.yaml:14:11: `file` does not exist: `img/14\\x1b[2J.png`\n"
        "hint: `batch-upload validate june.yaml` lists all of them"
    )


def test_of_many_problems_an_error_shows_the_first_and_the_list_shows_all() -> None:
    problems = [problem(line) for line in range(1, 14)]

    lines = error_text(ManifestInvalid("13 problems", problems=problems)).splitlines()

    assert len(lines) == 1 + 10 + 1
    assert lines[-1] == "  and 3 problems more"
    assert len(problems_text(problems).splitlines()) == 13


def test_a_problem_is_placed_as_editors_read_it() -> None:
    assert problems_text([problem(14)]) == r"june.yaml:14:11: `file` does not exist: `img/14\x1b[2J.png`"


def test_an_error_without_hint_is_one_line() -> None:
    assert error_text(LedgerUnusable("the disk of `june.ledger` is full")) == "error: the disk of `june.ledger` is full"


def test_further_lines_of_a_message_are_indented_and_nothing_in_them_moves_the_cursor() -> None:
    assert error_text(LedgerUnusable("one\ntwo\x1b[2J", hint="a\nb")) == "error: one\n  two\\x1b[2J\nhint: a\n  b"


def test_an_error_of_the_service_keeps_its_code_request_and_fields() -> None:
    denied = AccessFault("not allowed to create", code="AccessDeniedException", request_id="r-1", hint="ask for it")
    refused = Refused("refused", code="ValidationException", reason="FIELD", fields=[("Tags", "too many")])

    assert error_text(denied) == (
        "error: not allowed to create\n  code `AccessDeniedException`, request id `r-1`\nhint: ask for it"
    )
    assert error_text(refused) == ("error: refused\n  code `ValidationException`, reason `FIELD`\n  `Tags`: too many")


def test_a_warning_is_labelled() -> None:
    assert warning_text("the clock is 3 min off", hint="set it") == "warning: the clock is 3 min off\nhint: set it"


def test_a_valid_manifest_is_called_so() -> None:
    assert valid_text("june.yaml", items=1) == "`june.yaml` is valid: 1 item"


def test_every_state_has_words_of_its_own() -> None:
    assert len({state_words(state) for state in State}) == len(State)


def test_only_the_first_names_are_spelled_out() -> None:
    assert names_words(["a", "b"]) == "`a`, `b`"
    assert names_words(["a", "b", "c", "d", "e"]) == "`a`, `b`, `c` and 2 more"


def test_files_that_are_missing_and_globs_that_no_longer_match_are_obstacles() -> None:
    lines = obstacle_lines(["a.pdf"], None, gone=2, invocation=Invocation("june.yaml"))

    assert lines == [
        "`upload` sends nothing: 1 file missing: `a.pdf`",
        "  batch-upload validate june.yaml",
        "no longer matched by the manifest: 2 items",
        "  with `--skip-invalid` it goes on without what is invalid",
    ]
