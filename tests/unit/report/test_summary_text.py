"""How a verb ended, and what to type next."""

import shlex
from collections import Counter
from dataclasses import replace

import pytest

from batch_upload.errors import ExitCode
from batch_upload.events import RunEnded
from batch_upload.model import Fault, State
from batch_upload.registration import Bind, BindState, Denial
from batch_upload.report.advice import advice
from batch_upload.report.item_text import DENIALS_SHOWN, denial_lines, failure_lines
from batch_upload.report.summary_text import LANES_SHOWN, Invocation, attention_lines, next_lines, summary_lines
from batch_upload.summary import Exit, LaneSummary, Summary, exit_of, reason_of_lanes, summary_of_run
from tests.unit.report.samples import HOSTILE_NAMES, LANE, TOO_LARGE, after, known

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


def lane(label: str, code: ExitCode, *, items: int = 25, state: str = "complete", reason: str = "") -> LaneSummary:
    """How a lane of the batch ended, with all of its items in one state."""
    ending = replace(exit_of(code), reason=reason or exit_of(code).reason)
    return LaneSummary(label, "111122223333", label.rpartition("/")[2], ending, items, {state: items})


def of_lanes(*lanes: LaneSummary, code: ExitCode) -> Summary:
    """The end of a run over these lanes."""
    states: Counter[str] = Counter()
    for each in lanes:
        states.update(each.states)
    return Summary(
        verb="upload",
        exit=exit_of(code),
        batch="june",
        states=states,
        items=sum(each.items for each in lanes),
        requests={"CreateRegistrationAttachment": 7},
        elapsed_s=60,
        lanes=lanes,
    )


def test_the_end_of_many_lanes_names_those_that_did_not_end_well_and_what_to_do_there() -> None:
    lanes = [lane(f"t{number}/us-east-1", ExitCode.DONE) for number in range(76)]
    lanes[3:3] = [
        lane("full/us-east-1", ExitCode.ACCOUNT_FULL, state="parked"),
        lane("late/us-east-1", ExitCode.NO_CAPACITY, state="parked"),
        lane("failing/us-east-1", ExitCode.ITEMS_FAILED, state="failed"),
        lane("denied/us-west-2", ExitCode.ACCESS, state="pending", reason="the role cannot be assumed"),
    ]
    rows = {
        "t0/us-east-1": [known("a")],
        "failing/us-east-1": [known("a"), known("b", State.FAILED, fault=TOO_LARGE)],
        "full/us-east-1": [known("c", State.PARKED)],
    }

    assert summary_lines(of_lanes(*lanes, code=ExitCode.ACCESS), rows, JUNE) == [
        "upload of batch `june`: 1 of 80 lanes ended with items_failed, 1 ended with access, "
        "1 ended with account_full, 1 ended with no_capacity, 76 are done",
        "  items: 2,000, of which 25 pending, 1,900 complete, 25 failed, 50 parked",
        "  requests: 7 (7 CreateRegistrationAttachment)",
        "  elapsed: 1 min",
        "  lane               account/Region          exit          items       reason",
        "  failing/us-east-1  111122223333/us-east-1  items_failed  25 failed   some items failed",
        "  denied/us-west-2   111122223333/us-west-2  access        25 pending  the role cannot be assumed",
        "  full/us-east-1     111122223333/us-east-1  account_full  25 parked   "
        "the account is full: raise the quota or prune",
        "  late/us-east-1     111122223333/us-east-1  no_capacity   25 parked   the day's quota is used up",
        "1 failed, MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "  `failing/us-east-1:b`",
        f"  to do: {advice(State.FAILED, TOO_LARGE)}",
        "next:",
        "  batch-upload why june.yaml b --target failing/us-east-1    # its whole history",
        "  batch-upload report june.yaml --format manifest --only failed -o failed.yaml --target failing/us-east-1    "
        "# a manifest of the failed",
        "  batch-upload doctor june.yaml --target denied/us-west-2    "
        "# checks credentials, network, Region and permissions",
        "  batch-upload plan june.yaml --target full/us-east-1    "
        "# how many attachments the account holds, and how many are needed",
        "  batch-upload prune june.yaml --target full/us-east-1    "
        "# deletes what the manifest no longer lists; shows it first",
        "  batch-upload upload june.yaml    # goes on in every lane that is not done",
    ]


@pytest.mark.parametrize("count", [1, 2, 80, 200])
def test_the_table_of_lanes_is_bounded_and_a_command_for_many_names_none(count: int) -> None:
    lanes = [lane(f"t{number}/r", ExitCode.ACCESS, state="pending") for number in range(count)]

    lines = summary_lines(of_lanes(*lanes, code=ExitCode.ACCESS), {}, replace(JUNE, targets=("group:x",)))

    assert len(lines) <= 4 + 1 + LANES_SHOWN + 1 + 3
    more = [line for line in lines if "more lane" in line]
    status = "`batch-upload status june.yaml --target group:x`"
    assert more == ([f"  and {count - LANES_SHOWN} more lanes; see {status}"] if count > LANES_SHOWN else [])
    named = {1: "--target t0/r", 2: "--target t0/r --target t1/r"}.get(count, "--target group:x")
    assert lines[-2].startswith(f"  batch-upload doctor june.yaml {named}    #")
    assert lines[-1].startswith(f"  batch-upload upload june.yaml {named}    #")


def test_many_lanes_that_are_all_done_need_no_table_and_no_command() -> None:
    lanes = [lane(f"t{number}/r", ExitCode.DONE) for number in range(80)]

    assert summary_lines(of_lanes(*lanes, code=ExitCode.DONE), {}, JUNE) == [
        "upload of batch `june` to 80 lanes: done",
        "  items: 2,000, of which 2,000 complete",
        "  requests: 7 (7 CreateRegistrationAttachment)",
        "  elapsed: 1 min",
    ]


def test_what_needs_attention_in_many_lanes_is_named_with_its_lane() -> None:
    rows = {
        "a/r": [known("x", State.UNKNOWN)],
        "b/r": [known("x", State.UNKNOWN), known("-y", State.FAILED, fault=TOO_LARGE)],
    }

    assert attention_lines(rows, JUNE)[-2:] == [
        "2 unknown: `a/r:x`, `b/r:x`",
        "batch-upload why june.yaml x --target a/r    # its whole history",
    ]
    assert JUNE.why("-y", target="b/r") == "batch-upload why --target b/r -- june.yaml -y"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_is_harmless_in_the_summary_and_can_be_typed(name: str) -> None:
    summary = of_lanes(
        lane(f"{name}/r", ExitCode.ITEMS_FAILED, reason=name), lane("b/r", ExitCode.DONE), code=ExitCode.ITEMS_FAILED
    )

    lines = summary_lines(summary, {f"{name}/r": [known("x", State.FAILED, fault=TOO_LARGE)]}, JUNE)

    assert all(line.isprintable() for line in lines)
    (command,) = [line for line in lines if " why " in line]
    assert shlex.split(command.partition("    #")[0])[-1] == f"{name}/r" or "$'" in command


def test_the_reason_of_a_run_counts_its_lanes() -> None:
    assert reason_of_lanes([lane("a/r", ExitCode.DONE)]) == "1 of 1 lane is done"
    assert reason_of_lanes([]) == "no lane"
    assert reason_of_lanes([lane("a/r", ExitCode.TRANSIENT), lane("b/r", ExitCode.LEDGER)]) == (
        "1 of 2 lanes ended with ledger, 1 ended with transient"
    )


OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")
SUBMITTED = Fault("ConflictException", "`registration-1` is under review", reason="REGISTRATION_ALREADY_SUBMITTED")


def test_attachments_refused_for_a_field_are_told_apart_from_failures_with_their_fields() -> None:
    refused = known("loa", State.FAILED, fault=SUBMITTED)._replace(
        attachment_id="registration-attachment-1", bind=OPT_IN, bind_state=BindState.REFUSED
    )

    lines = summary_lines(SUMMARY, [refused, *FAILED], JUNE)

    at = lines.index(
        "1 uploaded, but refused for the field, REGISTRATION_ALREADY_SUBMITTED: `registration-1` is under review"
    )
    assert lines[at - 1] == f"  to do: {advice(State.FAILED, CONFLICT)}"
    assert lines[at + 1 : at + 3] == [
        "  `loa` → `messagingUseCase.optInImage` of `registration-1`",
        f"  to do: {advice(State.FAILED, SUBMITTED, is_bind=True)}",
    ]
    assert "without an upload" in lines[at + 2]


def test_of_several_registrations_the_message_is_said_to_be_that_of_the_first() -> None:
    other = replace(SUBMITTED, message="`registration-2` is under review")
    rows = [
        known(name, State.FAILED, fault=fault)._replace(
            attachment_id=f"registration-attachment-{name}", bind=OPT_IN, bind_state=BindState.REFUSED
        )
        for name, fault in (("a", SUBMITTED), ("b", other))
    ]

    (line, *_) = failure_lines(rows)

    assert line == (
        "2 uploaded, but refused for the field, REGISTRATION_ALREADY_SUBMITTED, the first: "
        "`registration-1` is under review"
    )


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (1, "`r-0` has all its attachments: submit it in the console when its other fields are filled in"),
        (
            2,
            "`r-0`, `r-1` have all their attachments: submit them in the console when their other fields are filled in",
        ),
        (
            7,
            "`r-0`, `r-1`, `r-2`, `r-3`, `r-4` and 2 more have all their attachments: submit them in the console when"
            " their other fields are filled in",
        ),
    ],
)
def test_registrations_that_are_ready_are_named_up_to_five(count: int, line: str) -> None:
    ready = tuple(f"r-{number}" for number in range(count))

    assert line in summary_lines(replace(SUMMARY, registrations_ready=ready), (), JUNE)


def test_registrations_of_several_lanes_are_named_with_their_lanes() -> None:
    first, second = (lane(f"{name}/us-east-1", ExitCode.DONE) for name in ("acme", "beta"))
    lanes = (replace(first, registrations_ready=("r-1",)), replace(second, registrations_ready=("r-1", "r-2")))
    summary = replace(of_lanes(*lanes, code=ExitCode.DONE), registrations_ready=("r-1", "r-2"))

    assert (
        "`r-1` of acme/us-east-1, `r-1` of beta/us-east-1, `r-2` of beta/us-east-1 have all their attachments:"
        " submit them in the console when their other fields are filled in"
    ) in summary_lines(summary, (), JUNE)
    assert [each.as_json()["registrations_ready"] for each in lanes] == [["r-1"], ["r-1", "r-2"]]


def test_what_a_run_put_into_fields_is_counted() -> None:
    summary = replace(SUMMARY, uploaded=0, bound=3)

    assert "  this run: nothing uploaded, 3 put into a field, 5 unchanged" in summary_lines(summary, (), JUNE)


def test_a_run_that_only_looks_at_registrations_had_nothing_to_do() -> None:
    looked = {"GetCallerIdentity": 1, "DescribeRegistrations": 1, "DescribeRegistrationFieldValues": 1}
    summary = replace(SUMMARY, exit=exit_of(ExitCode.DONE), requests=looked)

    assert summary_lines(summary, (), JUNE)[0].endswith(": nothing to do")
    assert summary_lines(replace(summary, requests={**looked, "PutRegistrationFieldValue": 1}), (), JUNE)[0].endswith(
        ": done"
    )


def test_items_to_be_bound_want_attention() -> None:
    assert "1 binding: `loa`" in attention_lines([known("loa", State.BINDING)], JUNE)


def test_the_words_of_a_reviewer_are_told_beside_the_field_escaped_and_cut() -> None:
    row = known("loa")._replace(
        bind=OPT_IN, bind_state=BindState.BOUND, bound_version=1, denial=Denial(1, "too\nblurred\x1b[2J", "x" * 3_000)
    )

    first, where, words, to_do = denial_lines([row, known("fine")])

    assert first == "1 denied by a reviewer:"
    assert where == "  `loa` → `messagingUseCase.optInImage` of `registration-1`"
    assert words.startswith(r"    version 1 was denied: too\nblurred\x1b[2J; feedback: xxx")
    assert len(words) < 600
    assert words.isprintable()
    assert to_do.startswith("  to do: correct the document, make a new version of the registration (in the console, or")


def test_denials_that_say_nothing_or_are_over_are_not_told() -> None:
    empty = known("a")._replace(bind=OPT_IN, bind_state=BindState.BOUND, bound_version=1, denial=Denial(1, "", ""))
    over = empty._replace(item_id="b", bound_version=2, denial=Denial(1, "too blurred", ""))

    assert denial_lines([empty, over]) == []


def test_of_many_denials_the_first_are_listed() -> None:
    row = known()._replace(
        bind=OPT_IN, bind_state=BindState.BOUND, bound_version=1, denial=Denial(1, "too blurred", "")
    )
    lines = denial_lines(
        {"acme/us-east-1": [row._replace(item_id=f"i-{number}") for number in range(DENIALS_SHOWN + 2)]}
    )

    assert lines[0] == f"{DENIALS_SHOWN + 2} denied by a reviewer:"
    assert lines[1].startswith("  `acme/us-east-1:i-0` → ")
    assert lines[-2] == "  and 2 more; `report` has all of them"
