"""How a verb ended, and what to type next."""

import shlex
from dataclasses import replace

import pytest

from batch_upload.errors import ExitCode
from batch_upload.events import RunEnded
from batch_upload.model import Fault, State
from batch_upload.report.advice import advice
from batch_upload.report.summary_text import Invocation, attention_lines, next_lines, summary_lines
from batch_upload.summary import Exit, Summary, exit_of, summary_of_run
from tests.unit.report.samples import LANE, TOO_LARGE, after, known

JUNE = Invocation("june.yaml")
CONFLICT = Fault("ConflictException", "a token was reused")
SUMMARY = Summary(
    verb="upload",
    exit=exit_of(ExitCode.ITEMS_FAILED),
    run_id="run-1",
    batch="june",
    account="123456789012",
    region="us-east-1",
    states={"failed": 5, "complete": 1_005},
    items=1_010,
    uploaded=1_000,
    unchanged=5,
    requests={"DescribeRegistrationAttachments": 11, "CreateRegistrationAttachment": 1_010},
    throttled=5,
    bytes_sent=403_000_000,
    elapsed_s=1_025,
)
FAILED = [
    known("done"),
    *(known(f"bad-{number}", State.FAILED, fault=TOO_LARGE) for number in range(4)),
    known("odd\x1b[2J", State.FAILED, fault=CONFLICT),
]


def test_the_whole_text_of_a_run_with_failures() -> None:
    assert summary_lines(SUMMARY, FAILED, JUNE) == [
        "upload of batch `june` to 123456789012/us-east-1: some items failed",
        "  items: 1,010, of which 1,005 complete, 5 failed",
        "  this run: 1,000 uploaded (403 MB sent), 5 unchanged",
        "  requests: 1,021 (1,010 CreateRegistrationAttachment, 11 DescribeRegistrationAttachments); "
        "5 throttled (0.5 %)",
        "  elapsed: 17 min",
        "4 failed, MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "  `bad-0`, `bad-1`, `bad-2` and 1 more",
        f"  to do: {advice(State.FAILED, TOO_LARGE)}",
        "1 failed, ConflictException: a token was reused",
        r"  `odd\x1b[2J`",
        f"  to do: {advice(State.FAILED, CONFLICT)}",
        "next:",
        "  batch-upload why june.yaml bad-0    # its whole history",
        "  batch-upload report june.yaml --format manifest --only failed -o failed.yaml    # a manifest of the failed",
        "  batch-upload upload june.yaml    # once what is named under `to do` is done",
    ]


def test_the_whole_text_of_a_run_with_nothing_to_do() -> None:
    summary = Summary(
        verb="upload",
        exit=exit_of(ExitCode.DONE),
        batch="june",
        states={"complete": 3},
        items=3,
        unchanged=3,
        elapsed_s=0.21,
        notes=("the ledger was half made, and finished",),
    )

    assert summary_lines(summary, [known()], JUNE) == [
        "upload of batch `june`: nothing to do",
        "  items: 3, of which 3 complete",
        "  this run: nothing uploaded, 3 unchanged",
        "  requests: none",
        "  elapsed: 0.2 s",
        "the ledger was half made, and finished",
    ]


def test_what_is_parked_says_why_and_when_it_goes_on() -> None:
    midnight = after(36_000)
    rows = [known("day", State.PARKED)._replace(resume_after=midnight), known("full", State.PARKED)]

    lines = attention_lines(rows, JUNE)

    assert lines == [
        "2 parked: `day`, `full`",
        f"  the day's quota is used up; the same command goes on after {midnight:%Y-%m-%d %H:%M} UTC",
        "  the account is full: raise the quota (Service Quotas), or delete with `prune`; then run again",
    ]


def test_counts_that_do_not_add_up_are_called_a_fault() -> None:
    text = "\n".join(summary_lines(replace(SUMMARY, items=9), [], JUNE))

    assert "items: 9, of which 1,005 complete, 5 failed (which does not add up: this is a fault of the program)" in text


@pytest.mark.parametrize(
    ("code", "commands"),
    [
        (ExitCode.DONE, []),
        (ExitCode.OUR_FAULT, ["verify june.yaml"]),
        (ExitCode.USAGE, []),
        (ExitCode.THERE_IS_WORK, ["upload june.yaml"]),
        (ExitCode.TRANSIENT, ["upload june.yaml"]),
        (ExitCode.LOCKED, ["status june.yaml", "upload june.yaml --wait-lock 30m"]),
        (ExitCode.DEADLINE, ["upload june.yaml"]),
        (ExitCode.NO_CAPACITY, ["upload june.yaml"]),
        (ExitCode.STILL_PROCESSING, ["upload june.yaml"]),
        (
            ExitCode.ITEMS_FAILED,
            [
                "why june.yaml bad-0",
                "report june.yaml --format manifest --only failed -o failed.yaml",
                "upload june.yaml",
            ],
        ),
        (ExitCode.INVALID, ["validate june.yaml"]),
        (ExitCode.ACCESS, ["doctor june.yaml", "upload june.yaml"]),
        (
            ExitCode.TOO_MANY_FAILURES,
            [
                "why june.yaml bad-0",
                "report june.yaml --format manifest --only failed -o failed.yaml",
                "upload june.yaml",
            ],
        ),
        (ExitCode.LEDGER, ["doctor june.yaml", "upload june.yaml"]),
        (ExitCode.DISAGREEMENT, ["verify june.yaml", "reconcile june.yaml"]),
        (ExitCode.OUTCOMES_UNKNOWN, ["reconcile june.yaml"]),
        (ExitCode.INTERRUPTED, ["upload june.yaml"]),
        (ExitCode.TERMINATED, ["upload june.yaml"]),
    ],
)
def test_each_exit_code_names_the_commands_to_type_next(code: ExitCode, commands: list[str]) -> None:
    lines = next_lines(replace(SUMMARY, exit=exit_of(code)), FAILED, JUNE)

    typed = [line.strip().split("    #")[0] for line in lines if line.startswith("  batch-upload")]
    assert typed == [f"batch-upload {command}" for command in commands]


def test_a_part_that_is_done_names_the_command_for_the_rest() -> None:
    part = replace(
        SUMMARY, exit=exit_of(ExitCode.DONE), states={"complete": 2, "pending": 1_000, "sending": 3}, items=1_005
    )

    assert next_lines(part, [], JUNE) == ["next:", "  batch-upload upload june.yaml    # goes on with the other 1,003"]
    assert next_lines(replace(part, verb="reconcile"), [], JUNE) == []


def test_a_verb_without_a_manifest_has_no_command_to_go_on_with() -> None:
    assert next_lines(SUMMARY, FAILED, Invocation("")) == []


def test_a_full_day_says_when_to_come_back() -> None:
    full = replace(SUMMARY, exit=Exit(ExitCode.NO_CAPACITY, "full", resume_after=after(36_000)))

    assert next_lines(full, [], JUNE) == [
        "next:",
        "  batch-upload upload june.yaml    # not before 2026-11-24 00:00 UTC",
    ]


def test_an_unknown_outcome_can_be_looked_into() -> None:
    unknown = replace(SUMMARY, exit=exit_of(ExitCode.OUTCOMES_UNKNOWN))

    assert next_lines(unknown, [known("a b", State.UNKNOWN)], JUNE)[1] == (
        "  batch-upload why june.yaml 'a b'    # when it was sent, and what came back"
    )


def test_commands_can_be_typed_whatever_the_names_are() -> None:
    odd = Invocation("in here/it's june.yaml", flags=("--ledger", "my ledger"))

    assert shlex.split(odd.command("status")) == [
        "batch-upload",
        "status",
        "in here/it's june.yaml",
        "--ledger",
        "my ledger",
    ]
    assert odd.why("-x").endswith("""-- 'in here/it'"'"'s june.yaml' -x""")


def test_the_failed_are_reported_beside_their_manifest() -> None:
    lines = next_lines(SUMMARY, FAILED, Invocation("in/june.yaml", flags=("--local",)))

    assert "-o in/failed.yaml --local" in lines[2]


@pytest.mark.parametrize(
    ("manifest", "output"),
    [
        ("failed.yaml", "failed-2.yaml"),
        ("in/Failed.YAML", "in/failed-2.yaml"),
        ("failed-2.yaml", "failed-3.yaml"),
        ("failed-x.yaml", "failed.yaml"),
    ],
)
def test_a_manifest_of_the_failed_is_reported_into_another_file(manifest: str, output: str) -> None:
    lines = next_lines(SUMMARY, FAILED, Invocation(manifest))

    assert f"-o {output} " in lines[2]


def test_a_summary_takes_the_counts_of_its_run() -> None:
    ended = RunEnded(
        states={"complete": 2},
        requests={"CreateRegistrationAttachment": 3},
        throttled=1,
        uploaded=1,
        adopted=1,
        unchanged=0,
        bytes_sent=10,
        elapsed_s=2.5,
        at=after(3),
        notes=("a note",),
    )

    summary = summary_of_run(
        ended, verb="upload", run_id="r", batch="june", lane=LANE, items=2, ending=exit_of(ExitCode.DONE)
    )

    assert summary.adds_up
    assert not replace(summary, items=3).adds_up
    assert (summary.count(State.COMPLETE), summary.count(State.FAILED)) == (2, 0)
    assert (summary.account, summary.region, summary.bytes_sent, summary.notes) == (
        "123456789012",
        "us-east-1",
        10,
        ("a note",),
    )
    work = "  this run: 1 uploaded (10 bytes sent), 1 was already at AWS, 0 unchanged"
    assert summary_lines(summary, [], JUNE)[2] == work


def test_what_was_found_at_aws_is_not_counted_as_unchanged_once_more() -> None:
    summary = Summary(verb="upload", exit=exit_of(ExitCode.DONE), adopted=57, unchanged=57, items=57)

    assert summary_lines(summary, [], JUNE)[2] == "  this run: nothing uploaded, 57 were already at AWS"


def test_a_state_of_a_newer_version_is_not_lost() -> None:
    odd = replace(SUMMARY, states={"zombie": 1, "complete": 1, "pending": 2}, items=4)

    assert list(odd.as_json()["states"].items()) == [("pending", 2), ("complete", 1), ("zombie", 1)]
