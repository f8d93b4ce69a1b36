"""One item's history as people and machines read it."""

from dataclasses import replace

import pytest

from batch_upload.model import AttachmentStatus, Fault, Item, OutcomeKind, State
from batch_upload.records import AttemptRecord, BindRecord, TokenHistory
from batch_upload.registration import Bind, BindState, Denial
from batch_upload.report.history import (
    History,
    Next,
    changed_members,
    history_json,
    history_json_of_lanes,
    history_lines,
    history_lines_of_lanes,
    token_members,
)
from batch_upload.report.ndjson import LaneRef
from tests.unit.report.samples import BEGIN, HOSTILE_NAMES, after, item, known

ITEM = item("acme/loa")
ACCEPTED = AttemptRecord(2, "run-2", after(10), after(10.5), OutcomeKind.ACCEPTED, None, None, None, "req-2", None)
CUT_OFF = AttemptRecord(1, "run-1", BEGIN, None, None, None, None, None, None, None)


def record(*attempts: AttemptRecord, state: State = State.COMPLETE) -> TokenHistory:
    row = known("acme/loa", state)._replace(attachment_id="at-1", attachment_status=AttachmentStatus.COMPLETE)
    return TokenHistory(row, 0, after(11), attempts)


def history(
    current: TokenHistory | None, *, manifest: Item | None = ITEM, earlier: tuple[TokenHistory, ...] = ()
) -> History:
    return History(
        item_id="acme/loa",
        batch="june",
        state="complete" if current else "pending",
        state_words="in words",
        current=current,
        item=manifest,
        retry=0,
        unreadable="",
        next=Next("nothing is left to do", ("batch-upload status june.yaml",)),
        earlier=earlier,
    )


def text(of: History) -> str:
    return "\n".join(history_lines(of))


def test_the_state_comes_first_with_its_time_and_the_next_step_last() -> None:
    lines = list(history_lines(history(record(ACCEPTED))))

    assert lines[0] == "`acme/loa` of batch `june`: complete since 2026-11-23T14:00:11.000Z (in words)"
    assert lines[-2:] == ["next: nothing is left to do", "  batch-upload status june.yaml"]


def test_an_attempt_says_when_what_came_and_under_which_request() -> None:
    told = text(history(record(CUT_OFF, ACCEPTED)))

    assert "1. 2026-11-23T14:00:00.000Z no end is recorded: its process died, or it is under way; run run-1" in told
    assert "2. 2026-11-23T14:00:10.000Z accepted after 0.5 s, request req-2, run run-2" in told


def test_a_refusal_says_what_the_service_said_without_its_control_characters() -> None:
    refused = replace(ACCEPTED, kind=OutcomeKind.REFUSED, code="ValidationException", message="\x1b[31mtoo large")

    told = text(history(record(refused, state=State.FAILED)))

    assert r"ValidationException: \x1b[31mtoo large" in told
    assert "\x1b" not in told


def test_an_attachment_without_an_accepted_attempt_was_found_at_the_service() -> None:
    assert "found at the service by its identity tag" in text(history(record(CUT_OFF)))
    assert "found at the service by its identity tag" not in text(history(record(ACCEPTED)))


def test_the_token_is_shown_with_every_member_it_is_made_of() -> None:
    told = text(history(None))

    for line in (
        "token: bu1-acme/loa",
        "  batch: june",
        f"  content: sha256:{'ab' * 32}",
        "  generation: 1",
        '  tags: {"Country": "NO"}',
    ):
        assert line in told.split("\n")
    assert "  v: 1" in told


def test_a_retry_is_a_member_of_its_token() -> None:
    assert "retry" not in token_members(ITEM, "june", 0)
    assert list(token_members(ITEM, "june", 2)) == ["batch", "content", "generation", "id", "retry", "tags", "v"]


def test_only_what_changed_is_named_member_by_member_and_tag_by_tag() -> None:
    new = ITEM._replace(client_token="bu1-b", generation=2, tags={"Country": "SE", "Form": "x"})

    assert changed_members(token_members(ITEM, "june", 0), token_members(new, "june", 0)) == {
        "generation": (1, 2),
        "tags.Country": ("NO", "SE"),
        "tags.Form": (None, "x"),
    }
    assert "  tags.Form: none → `x`" in text(history(record(ACCEPTED), manifest=new)).split("\n")


def test_an_item_the_manifest_no_longer_lists_says_so() -> None:
    assert "none, it no longer lists this id" in text(history(record(ACCEPTED), manifest=None))


def test_machines_get_the_item_then_its_attempts_then_each_earlier_token_with_its_own() -> None:
    earlier = replace(record(CUT_OFF), known=known("acme/loa")._replace(client_token="bu1-0", current=False))

    lines = list(history_json(history(record(CUT_OFF, ACCEPTED), earlier=(earlier,))))

    assert [line["event"] for line in lines] == ["item", "attempt", "attempt", "earlier", "attempt"]
    assert [line["client_token"] for line in lines] == ["bu1-acme/loa"] * 3 + ["bu1-0"] * 2
    assert all(line["schema_version"] == 1 for line in lines)


def test_an_id_with_a_bidi_override_is_escaped_for_people_and_whole_for_machines() -> None:
    strange = replace(history(None), item_id="a\u202eb")

    assert r"`a\u202eb` of batch" in text(strange)
    assert next(history_json(strange))["id"] == "a\u202eb"


def test_the_fault_and_the_time_to_wait_for_are_told() -> None:
    row = known("acme/loa", State.PARKED)._replace(
        fault=Fault("Quota", "full", fields=(("F", "m"),)), resume_after=after(60)
    )

    told = text(history(TokenHistory(row, 0, None, ())))

    assert "fault: Quota: full" in told
    assert "not tried before: 2026-11-23T14:01:00.000Z" in told


@pytest.mark.parametrize("name", ["acme", *HOSTILE_NAMES])
def test_an_item_of_several_lanes_has_a_history_in_each_under_its_name(name: str) -> None:
    one = (LaneRef(f"{name}/us-east-1", "111122223333", "us-east-1"), history(record(ACCEPTED)))
    other = (LaneRef(f"{name}/us-west-2", None, "us-west-2"), history(None))

    lines = list(history_lines_of_lanes([one, other]))
    machines = list(history_json_of_lanes([one, other]))

    assert all(line.isprintable() for line in lines)
    heads = [line for line in lines if not line.startswith(" ")]
    assert len(heads) == 2
    assert heads[0].endswith("/us-east-1 (111122223333/us-east-1):")
    assert heads[1].endswith("/us-west-2 (?/us-west-2):")
    assert [(line["event"], line["target"]) for line in machines] == [
        ("item", f"{name}/us-east-1"),
        ("attempt", f"{name}/us-east-1"),
        ("item", f"{name}/us-west-2"),
    ]


OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")
PUT_LATE = BindRecord(
    "run-2", OPT_IN, "at-1", after(12), after(12.4), OutcomeKind.REFUSED, None, "ConflictException",
    "REGISTRATION_ALREADY_SUBMITTED", "wait for a new version", "req-3", 400,
)  # fmt: skip
PUT = BindRecord(
    "run-3", OPT_IN, "at-1", after(60), after(60.5), OutcomeKind.ACCEPTED, 2, None, None, None, "req-4", None
)


def bound_record() -> TokenHistory:
    made = record(ACCEPTED)
    row = made.known._replace(
        bind=OPT_IN, bind_state=BindState.BOUND, bound_version=2, denial=Denial(1, "too\nblurred", "scan it again")
    )
    return replace(made, known=row, binds=(PUT_LATE, PUT))


def test_the_field_the_version_the_denial_and_each_request_to_bind_are_told() -> None:
    lines = list(history_lines(history(bound_record())))

    assert "  bound to: `messagingUseCase.optInImage` of `registration-1`, version 2" in lines
    assert r"  denied by a reviewer: version 1 was denied: too\nblurred; feedback: scan it again" in lines
    at = lines.index("requests to put it into a field: 2")
    into = "at-1 into `messagingUseCase.optInImage` of `registration-1`"
    assert lines[at + 1 : at + 4] == [
        f"  2026-11-23T14:00:12.000Z {into}: refused after 0.4 s, HTTP 400, request req-3, run run-2",
        "     ConflictException: REGISTRATION_ALREADY_SUBMITTED: wait for a new version",
        f"  2026-11-23T14:01:00.000Z {into}, version 2: accepted after 0.5 s, request req-4, run run-3",
    ]


def test_an_accepted_request_without_a_request_id_says_so() -> None:
    made = bound_record()

    lines = list(history_lines(history(replace(made, binds=(replace(PUT, request_id=None),)))))

    assert any(line.endswith(", version 2: accepted after 0.5 s, no request id, run run-3") for line in lines)


@pytest.mark.parametrize(
    ("state", "title"),
    [
        (BindState.WANTED, "to be bound to"),
        (BindState.SENT, "to be bound to, without an answer so far"),
        (BindState.REFUSED, "refused for"),
        (BindState.REPLACED, "was bound to, until another was sent there"),
    ],
)
def test_an_attachment_that_is_not_in_its_field_says_so(state: BindState, title: str) -> None:
    made = record(ACCEPTED)
    row = made.known._replace(bind=OPT_IN, bind_state=state)

    assert f"  {title}: `messagingUseCase.optInImage` of `registration-1`" in text(
        history(replace(made, known=row))
    ).split("\n")


def test_programs_get_the_binding_and_each_request_for_it() -> None:
    one, attempt, first, second = history_json(history(bound_record()))

    assert attempt["event"] == "attempt"
    where = "registration-1/messagingUseCase.optInImage"
    assert (one["bind"], one["bind_state"], one["bound_to"], one["bound_version"]) == (where, "bound", where, 2)
    assert one["denial"] == {"version": 1, "reason": "too\nblurred", "feedback": "scan it again"}
    assert [(each["event"], each["bind"], each["outcome"], each["version"]) for each in (first, second)] == [
        ("bind_attempt", where, "refused", None),
        ("bind_attempt", where, "accepted", 2),
    ]
