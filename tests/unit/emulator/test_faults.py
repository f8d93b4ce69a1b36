"""Each fault, and which request it hits."""

import json

import pytest

from batch_upload.emulator.core import Delivery
from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule, FaultScript, faults_from_json
from tests.unit.emulator.support import ATTACHMENT_ID, CREATE, DESCRIBE, MakeClient, ManualClock


@pytest.mark.parametrize(
    ("rule", "code", "status"),
    [
        (FaultRule(FaultAction.THROTTLE), "ThrottlingException", 400),
        (FaultRule(FaultAction.RETRY_AFTER, seconds=3), "ThrottlingException", 400),
        (FaultRule(FaultAction.INTERNAL_ERROR), "InternalServerException", 500),
        (FaultRule(FaultAction.UNAVAILABLE), None, 503),
        (FaultRule(FaultAction.ACCESS_DENIED), "AccessDeniedException", 400),
        (FaultRule(FaultAction.EXPIRED_TOKEN), "ExpiredTokenException", 400),
        (FaultRule(FaultAction.UNRECOGNIZED_CLIENT), "UnrecognizedClientException", 400),
        (FaultRule(FaultAction.UNKNOWN_CODE), "UnheardOfException", 400),
        (FaultRule(FaultAction.QUOTA_DAY), "ServiceQuotaExceededException", 400),
        (FaultRule(FaultAction.QUOTA_ACCOUNT), "ServiceQuotaExceededException", 400),
        (FaultRule(FaultAction.VALIDATION), "ValidationException", 400),
    ],
)
def test_a_fault_that_refuses_leaves_nothing_behind(
    make_client: MakeClient, rule: FaultRule, code: str | None, status: int
) -> None:
    client = make_client(faults=(rule,))

    reply = client.create("token")

    assert (reply.code, reply.status) == (code, status)
    assert client.emulator.attachments() == []
    assert client.emulator.stats()["faults"] == {rule.action: 1}
    assert client.emulator.stats()["accepted"] == {}


@pytest.mark.parametrize(
    ("rule", "delivery", "count"),
    [
        (FaultRule(FaultAction.DROP_BEFORE), Delivery.CLOSED, 0),
        (FaultRule(FaultAction.DROP_AFTER), Delivery.CLOSED, 1),
        (FaultRule(FaultAction.GARBAGE), Delivery.GARBAGE, 1),
        (FaultRule(FaultAction.TRUNCATED), Delivery.TRUNCATED, 1),
        (FaultRule(FaultAction.CUT_SHORT), Delivery.CUT_SHORT, 1),
        (FaultRule(FaultAction.EMPTY_200), Delivery.EMPTY, 1),
        (FaultRule(FaultAction.HANG), Delivery.NEVER, 0),
        (FaultRule(FaultAction.HANG, done=True), Delivery.NEVER, 1),
        (FaultRule(FaultAction.SLOW, seconds=1), Delivery.WHOLE, 1),
        (FaultRule(FaultAction.ERROR_AFTER), Delivery.WHOLE, 1),
    ],
)
def test_a_fault_of_the_wire_is_done_or_not_and_a_replay_finds_out(
    make_client: MakeClient, rule: FaultRule, delivery: Delivery, count: int
) -> None:
    client = make_client(faults=(rule,))

    reply = client.create("token")
    client.emulator.set_faults(())
    replay = client.create("token")

    assert reply.delivery is delivery
    assert replay.outcome == ("replayed" if count else "accepted")
    assert client.emulator.stats()["attachments"] == 1
    assert [line[2] for line in client.emulator.log.entries] == [rule.action, replay.outcome]


def test_error_after_answers_500_though_it_was_done(make_client: MakeClient) -> None:
    client = make_client(faults=(FaultRule(FaultAction.ERROR_AFTER),))

    reply = client.create("token")

    assert (reply.code, reply.status) == ("InternalServerException", 500)
    assert client.emulator.stats()["accepted"] == {CREATE: 1}


def test_a_request_that_was_dropped_may_be_done_later(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(faults=(FaultRule(FaultAction.DROP_LATE, seconds=10, times=1),))
    client.create("token")

    before = client.emulator.attachments()
    clock.advance(10)

    assert before == []
    assert [held["client_token"] for held in client.emulator.attachments()] == ["token"]
    assert client.create("token").outcome == "replayed"


def test_upload_failed_is_done_and_fails_in_the_end(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(faults=(FaultRule(FaultAction.UPLOAD_FAILED, times=1),))
    reply = client.create()
    clock.advance(1)

    assert reply.code is None
    assert client.status(reply.members[ATTACHMENT_ID]) == "UPLOAD_FAILED"
    assert client.status(client.create().members[ATTACHMENT_ID]) == "UPLOAD_IN_PROGRESS"


def test_retry_after_says_when(make_client: MakeClient) -> None:
    reply = make_client(faults=(FaultRule(FaultAction.RETRY_AFTER, seconds=3),)).create()

    assert reply.retry_after_s == 3


def test_faults_that_throttle_count_as_throttled(make_client: MakeClient) -> None:
    client = make_client(
        faults=(FaultRule(FaultAction.THROTTLE, times=1), FaultRule(FaultAction.RETRY_AFTER, seconds=1))
    )
    client.create()
    client.create()

    assert client.emulator.stats()["throttled"] == {CREATE: 2}


def test_rules_in_a_row_are_a_script(make_client: MakeClient) -> None:
    client = make_client(
        faults=(FaultRule(FaultAction.DROP_AFTER, times=1), FaultRule(FaultAction.INTERNAL_ERROR, times=2)),
    )

    assert [client.create("t").outcome for _ in range(4)] == [
        "drop_after",
        "internal_error",
        "internal_error",
        "replayed",
    ]


def test_a_rule_leaves_the_first_alone_and_then_fires_so_often() -> None:
    script = FaultScript([FaultRule(FaultAction.THROTTLE, after=2, times=2)], seed=0)

    fired = [script.next(CREATE, None, b"", at_s=0) is not None for _ in range(6)]

    assert fired == [False, False, True, True, False, False]


def test_a_rule_is_about_one_operation_or_all() -> None:
    one = FaultScript([FaultRule(FaultAction.THROTTLE, operation=DESCRIBE)], seed=0)
    every = FaultScript([FaultRule(FaultAction.THROTTLE, operation="*")], seed=0)

    assert [one.next(name, None, b"", at_s=0) is not None for name in (CREATE, DESCRIBE)] == [False, True]
    assert [every.next(name, None, b"", at_s=0) is not None for name in (CREATE, DESCRIBE)] == [True, True]


def test_a_rule_can_be_about_a_token_or_a_text_of_the_document(make_client: MakeClient) -> None:
    client = make_client(
        faults=(
            FaultRule(FaultAction.VALIDATION, token="bad"),
            FaultRule(FaultAction.QUOTA_DAY, body_contains="Ünlucky"),
        ),
    )

    outcomes = [
        client.create("good").outcome,
        client.create("bad").outcome,
        client.create("other", body=b"%PDF-" + "Ünlucky".encode()).outcome,
        client.create("url", url="s3://bucket/Ünlucky").outcome,
    ]

    assert outcomes == ["accepted", "validation", "quota_day", "quota_day"]


def test_a_share_of_the_requests_fails_and_the_seed_says_which() -> None:
    def fired(seed: int) -> list[bool]:
        script = FaultScript([FaultRule(FaultAction.THROTTLE, share=0.25)], seed=seed)
        return [script.next(CREATE, None, b"", at_s=0) is not None for _ in range(2_000)]

    assert fired(1) == fired(1) != fired(2)
    assert sum(fired(1)) == pytest.approx(500, abs=75)


def test_new_rules_count_anew(make_client: MakeClient) -> None:
    client = make_client(faults=(FaultRule(FaultAction.THROTTLE, times=1),))
    client.create()
    client.emulator.set_faults((FaultRule(FaultAction.THROTTLE, times=1),))

    assert client.create().code == "ThrottlingException"


def test_rules_come_from_json() -> None:
    rules = faults_from_json(json.dumps([{"action": "hang", "done": True, "seconds": 5}, {"action": "throttle"}]))

    assert rules == (FaultRule(FaultAction.HANG, done=True, seconds=5), FaultRule(FaultAction.THROTTLE))


@pytest.mark.parametrize(
    "rules",
    [
        "{",
        "{}",
        '[{"action": "explode"}]',
        '[{"action": "throttle", "operation": "CreateEverything"}]',
        '[{"action": "throttle", "colour": "red"}]',
        '[{"action": "throttle", "share": 1.5}]',
        '[{"action": "throttle", "times": -1}]',
        '[{"action": "throttle", "seconds": 1}]',
        '[{"action": "throttle", "done": true}]',
        '[{"action": "slow"}]',
        '[{"action": "slow", "seconds": -1}]',
        '[{"action": "upload_failed", "operation": "*"}]',
    ],
)
def test_a_rule_that_cannot_be_is_refused(rules: str) -> None:
    with pytest.raises(ConfigurationError, match="fault rules"):
        faults_from_json(rules)
