"""NDJSON on stdout and nothing else there, people's text on stderr, one exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, run_verb
from batch_upload.errors import (
    AccessFault,
    BatchUploadError,
    ExitCode,
    LedgerLocked,
    LedgerUnusable,
    ManifestInvalid,
    UsageError,
)
from batch_upload.model import Position, Problem
from batch_upload.settings import settings_of
from batch_upload.summary import Summary, exit_of

JUNE = Path("june.yaml")


def left_with(output: Output, body: Callable[[], Ended]) -> int:
    """Run a verb; its exit code."""
    with pytest.raises(typer.Exit) as left:
        run_verb("upload", JUNE, output, body)
    return left.value.exit_code


def raising(error: BaseException) -> Callable[[], Ended]:
    def body() -> Ended:
        raise error

    return body


def done() -> Ended:
    return Ended(Summary(verb="upload", exit=exit_of(ExitCode.DONE)), lines=("all is well",))


def test_the_last_line_for_machines_is_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(Output(json=True), done) == 0

    out, err = capsys.readouterr()
    assert json.loads(out)["event"] == "summary"
    assert "all is well" in err


def test_quiet_says_nothing_of_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(Output(quiet=True), done) == 0

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("`--rate x` is not a rate"), 2),
        (LedgerUnusable("`june.ledger` is damaged"), 24),
        (LedgerLocked("held", pid=1, host="h", since=None), 11),
        (AccessFault("no credentials"), 22),
        (BatchUploadError("ours"), 1),
        (ZeroDivisionError("oops"), 1),
        (KeyError("token"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_ends_with_its_code_a_summary_and_no_traceback(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left_with(Output(json=True), raising(error)) == code

    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert (lines[-1]["event"], lines[-1]["exit"]["code"]) == ("summary", code)
    assert "Traceback" not in err


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: str(int(code)))
def test_quiet_tells_an_end_if_and_only_if_a_person_must_act(
    code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = Ended(Summary(verb="upload", exit=exit_of(code)), lines=("so it ended",))

    assert left_with(Output(quiet=True), lambda: ended) == code

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("so it ended\n" if code in (1, 2) or 20 <= code <= 29 else "")


def test_quiet_says_nothing_of_a_run_that_another_holds_off(capsys: pytest.CaptureFixture[str]) -> None:
    locked = raising(LedgerLocked("another run holds it", pid=1, host="h", since=None))

    assert left_with(Output(quiet=True), locked) == ExitCode.LOCKED

    assert capsys.readouterr() == ("", "")


def test_an_error_is_told_even_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(Output(quiet=True), raising(LedgerUnusable("`june.ledger` is damaged", hint="restore it")))

    assert "`june.ledger` is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "commands"),
    [
        (LedgerLocked("held", pid=1, host="h", since=None), ["status june.yaml", "upload june.yaml --wait-lock 30m"]),
        (AccessFault("no credentials"), ["doctor june.yaml", "upload june.yaml"]),
        (LedgerUnusable("damaged"), ["doctor june.yaml", "upload june.yaml"]),
        (UsageError("`--rate x` is not a rate"), []),
    ],
)
def test_an_error_before_a_run_names_the_commands_to_type_next(
    error: BaseException, commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    left_with(Output(), raising(error))

    lines = [line.split("    #")[0] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line.startswith("  batch-upload")] == [
        f"  batch-upload {each}" for each in commands
    ]


def test_verbose_shows_where_our_own_fault_is(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(Output(verbose=1), raising(ZeroDivisionError("oops")))

    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_every_problem_of_a_manifest_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("june.yaml", Position(3, 5), "unknown_key", "`fil` is not known")] * 2

    code = left_with(Output(json=True), raising(ManifestInvalid("2 problems", problems=problems)))

    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert (code, events) == (21, ["problem", "problem", "summary"])


def test_what_was_asked_for_goes_to_stdout_unless_that_is_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    Output().answer(["a table"])
    assert capsys.readouterr() == ("a table\n", "")

    Output(json=True).answer(["a table"])
    assert capsys.readouterr() == ("", "a table\n")


@pytest.mark.parametrize(
    ("url", "repeated"),
    [
        ("https://upload.example:8443/x", ("--endpoint-url", "https://upload.example:8443/x")),
        ("https://somebody:secret@upload.example/x", ("--endpoint-url", "https://upload.example/x")),
        ("somebody:secret@upload.example/x", ()),
        ("https://a@b:secret@upload.example/x", ()),
        ("http://somebody:secret", ()),
        ("http://somebody:secret@", ()),
        ("somebody:secret", ()),
    ],
)
def test_a_next_command_never_repeats_a_password(url: str, repeated: tuple[str, ...]) -> None:
    flags = Flags(endpoint_url=url)

    assert (
        invocation_of(JUNE, flags, settings_of(options_of(flags, {}), manifest=JUNE, environ={})).lane_flags == repeated
    )


def test_a_next_command_repeats_what_means_the_same_ledger_and_lane() -> None:
    flags = Flags(ledger="x.ledger", local=True, region="eu-west-1", allow_endpoint=["a.example"])

    repeated = invocation_of(JUNE, flags, settings_of(options_of(flags, {}), manifest=JUNE, environ={}))

    assert repeated.ledger_flags == ("--local", "--ledger", "x.ledger")
    assert repeated.lane_flags == ("--region", "eu-west-1", "--allow-endpoint", "a.example")


def test_a_next_command_repeats_how_the_run_took_problems() -> None:
    flags = Flags(strict=True, allow_outside=True, local=True, region="eu-west-1")
    environ = {"BATCH_UPLOAD_SKIP_INVALID": "1"}

    repeated = invocation_of(JUNE, flags, settings_of(options_of(flags, environ), manifest=JUNE, environ={}))

    of_files = "--allow-outside --strict --skip-invalid"
    assert repeated.command("validate") == f"batch-upload validate june.yaml {of_files}"
    rest = "--allow-outside --local --region eu-west-1"
    assert repeated.command("upload") == f"batch-upload upload june.yaml {rest} --strict --skip-invalid"
    assert repeated.command("plan") == f"batch-upload plan june.yaml {rest} --strict --skip-invalid"
    assert repeated.command("reconcile") == f"batch-upload reconcile june.yaml {rest}"
    assert repeated.command("status") == "batch-upload status june.yaml --allow-outside --local"
