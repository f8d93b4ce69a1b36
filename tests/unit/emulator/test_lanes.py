"""Accounts and Regions beside each other: whose settings hold, and that none of them touches another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.emulator.context import Caller
from batch_upload.emulator.core import Emulator
from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.limits import Rate
from batch_upload.emulator.settings import EmulatorSettings, LaneOverlay
from batch_upload.emulator.state import JOURNAL_HEADER, Journal
from tests.unit.emulator.support import (
    ATTACHMENT_ID,
    CREATE,
    DESCRIBE,
    UNLIMITED,
    Client,
    MakeClient,
    ManualClock,
)

ACME, BETA = "111122223333", "444455556666"
EAST, WEST = "us-east-1", "us-west-2"
ACME_EAST, ACME_WEST, BETA_EAST = Caller(ACME, EAST), Caller(ACME, WEST), Caller(BETA, EAST)
LANES = (ACME_EAST, ACME_WEST, BETA_EAST)


def test_a_key_of_twelve_digits_is_the_account(make_client: MakeClient) -> None:
    client = make_client(accounts={BETA: ACME, "AKID": BETA})

    accounts = [
        client.ask("GetCallerIdentity", Caller(key, EAST)).members["Account"]
        for key in ("777788889999", BETA, "AKID", "77778888999")
    ]

    assert accounts == ["777788889999", ACME, BETA, "123456789012"]


def test_the_most_specific_settings_hold() -> None:
    settings = EmulatorSettings(
        processing_s=9,
        attachments_per_account=9,
        attachments_per_day=9,
        lanes={
            ACME: LaneOverlay(attachments_per_account=5, attachments_per_day=5),
            f"{ACME}/{WEST}": LaneOverlay(attachments_per_account=None),
        },
    )

    found = [
        (lane.attachments_per_account, lane.attachments_per_day, lane.processing_s)
        for lane in (settings.of_lane(*key) for key in ((ACME, EAST), (ACME, WEST), (BETA, WEST)))
    ]

    assert found == [(5, 5, 9), (None, 5, 9), (9, 9, 9)]


def test_rates_are_laid_over_one_by_one_and_a_star_covers_what_its_place_does_not_name() -> None:
    settings = EmulatorSettings(
        rates={CREATE: Rate(1), DESCRIBE: Rate(2), "*": Rate(3)},
        lanes={
            ACME: LaneOverlay(rates={CREATE: Rate(4)}),
            f"{ACME}/{WEST}": LaneOverlay(rates={"*": Rate(5), DESCRIBE: None}),
        },
    )

    def rates(account: str, region: str) -> list[float | None]:
        lane = settings.of_lane(account, region)
        found = [lane.rate_of(name) for name in (CREATE, DESCRIBE, "TagResource")]
        return [None if rate is None else rate.per_second for rate in found]

    assert rates(BETA, EAST) == [1, 2, 3]
    assert rates(ACME, EAST) == [4, 2, 3]
    assert rates(ACME, WEST) == [5, None, 5]


def test_the_settings_of_lanes_survive_json() -> None:
    settings = EmulatorSettings(
        rates={CREATE: Rate(7)},
        lanes={ACME: LaneOverlay(rates={DESCRIBE: None}, faults=(FaultRule(FaultAction.THROTTLE, region=WEST),))},
    )

    again = EmulatorSettings.from_json(json.dumps(settings.to_json()))

    assert again.to_json() == settings.to_json()
    assert set(settings.to_json()["lanes"][ACME]) == {"rates", "faults"}
    assert again.of_lane(ACME, EAST) == settings.of_lane(ACME, EAST)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"lanes": {"12": {}}}', "lanes.12"),
        ('{"lanes": {"111122223333/": {}}}', "lanes.111122223333/"),
        ('{"lanes": {"111122223333": {"account": "444455556666"}}}', "lanes.111122223333.account"),
        ('{"lanes": {"111122223333": {"processing_s": -1}}}', "lanes.111122223333.processing_s"),
        ('{"lanes": {"111122223333": {"rates": {"CreateEverything": 1}}}}', "lanes.111122223333.rates"),
        ('{"lanes": {"111122223333": {"lanes": {}}}}', "lanes.111122223333.lanes"),
        ('{"refused_roles": ["uploader"]}', "refused_roles.0"),
        ('{"external_ids": {"uploader": "x"}}', "external_ids.uploader"),
        ('{"role_session_s": -1}', "role_session_s"),
        ('{"faults": [{"action": "throttle", "account": "12"}]}', "faults.0.account"),
    ],
)
def test_settings_of_lanes_that_cannot_be_are_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match="the emulator's settings") as error:
        EmulatorSettings.from_json(text)

    assert names in str(error.value)


def test_one_lane_is_denied_one_full_one_fails_and_the_others_go_on(make_client: MakeClient) -> None:
    client = make_client(
        faults=(FaultRule(FaultAction.INTERNAL_ERROR, account=BETA, region=EAST),),
        lanes={
            f"{ACME}/{EAST}": LaneOverlay(deny=frozenset({CREATE})),
            f"{ACME}/{WEST}": LaneOverlay(attachments_per_account=0),
            "777788889999": LaneOverlay(is_region_enabled=False),
        },
    )

    codes = [client.create(caller=caller).code for caller in (*LANES, Caller(BETA, WEST), Caller("777788889999", EAST))]

    assert codes == [
        "AccessDeniedException",
        "ServiceQuotaExceededException",
        "InternalServerException",
        None,
        "UnrecognizedClientException",
    ]


def test_a_fault_lasts_from_the_first_request_that_it_takes(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(faults=(FaultRule(FaultAction.INTERNAL_ERROR, after=1, lasts_s=60),))
    clock.advance(3_600)

    codes = [client.create().code]
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        codes.append(client.create().code)

    assert codes == [None, "InternalServerException", "InternalServerException", None]


def test_a_rule_counts_the_requests_of_each_lane_by_itself(make_client: MakeClient) -> None:
    client = make_client(faults=(FaultRule(FaultAction.THROTTLE, times=1),))

    codes = [client.create(caller=caller).code for caller in (*LANES, *LANES)]

    assert codes == ["ThrottlingException"] * 3 + [None] * 3


def test_changed_settings_of_a_lane_leave_the_buckets_of_others_as_they_are(make_client: MakeClient) -> None:
    client = make_client(rates={CREATE: Rate(1)})
    for caller in LANES:
        client.create(caller=caller)

    client.emulator.change_settings(json.dumps({"lanes": {ACME: {"rates": {CREATE: 2}}}}))

    assert [client.create(caller=caller).code for caller in LANES] == [None, None, "ThrottlingException"]


def test_requests_are_logged_and_counted_by_lane(make_client: MakeClient) -> None:
    client = make_client(lanes={ACME: LaneOverlay(deny=frozenset({CREATE}))})
    client.create("a", caller=ACME_WEST)
    made = client.create("a", caller=BETA_EAST)
    client.create("a", caller=BETA_EAST)
    client.ask("DeleteRegistrationAttachment", BETA_EAST, RegistrationAttachmentId=made.members[ATTACHMENT_ID])

    entries, stats = client.emulator.log.entries, client.emulator.stats()

    assert [(entry.account, entry.region, entry.outcome) for entry in entries] == [
        (ACME, WEST, "AccessDeniedException"),
        (BETA, EAST, "accepted"),
        (BETA, EAST, "replayed"),
        (BETA, EAST, "accepted"),
    ]
    assert (stats["requests"][CREATE], stats["replays"]) == (3, 1)
    lane = stats["lanes"][f"{BETA}/{EAST}"]
    assert (lane["requests"][CREATE], lane["accepted"][CREATE], lane["replays"], lane["attachments"]) == (2, 2, 1, 0)
    assert stats["lanes"][f"{ACME}/{WEST}"]["accepted"] == {}


def test_a_request_without_credentials_is_of_no_lane(make_client: MakeClient) -> None:
    client = make_client()

    client.emulator.handle(CREATE, {}, None)

    [entry] = client.emulator.log.entries
    assert (entry.account, entry.region) == (None, None)
    assert client.emulator.stats()["lanes"] == {}


def test_a_state_file_holds_several_lanes(make_client: MakeClient, tmp_path: Path, clock: ManualClock) -> None:
    client = make_client(state_path=tmp_path / "state")
    made = [client.create("same", caller=caller).members[ATTACHMENT_ID] for caller in LANES]
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / "state").read_bytes())

    again = make_client(state_path=copy)

    assert [again.create("same", caller=caller).members[ATTACHMENT_ID] for caller in LANES] == made
    assert copy.read_bytes().startswith(JOURNAL_HEADER)


OTHER = -1
Step = tuple[int, str, str]
STEPS = st.lists(
    st.tuples(
        st.integers(0, len(LANES) - 1),
        st.sampled_from(["create", "list", "tags", "delete", "limits", "wait"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=40,
)
SETTINGS = st.builds(
    EmulatorSettings,
    rates=st.sampled_from([UNLIMITED, {CREATE: Rate(1, burst=2)}, {"*": Rate(2)}]),
    attachments_per_account=st.sampled_from([None, 2]),
    attachments_per_day=st.sampled_from([None, 2]),
    faults=st.lists(
        st.builds(
            FaultRule,
            action=st.sampled_from([FaultAction.THROTTLE, FaultAction.DROP_AFTER, FaultAction.INTERNAL_ERROR]),
            operation=st.sampled_from([CREATE, DESCRIBE, "*"]),
            times=st.sampled_from([None, 1, 2]),
            after=st.integers(0, 2),
            share=st.sampled_from([0.5, 1.0]),
        ),
        max_size=2,
    ).map(tuple),
    seed=st.integers(0, 3),
    lanes=st.dictionaries(
        st.sampled_from([ACME, f"{ACME}/{WEST}", BETA]),
        st.sampled_from(
            [LaneOverlay(rates={"*": Rate(3)}), LaneOverlay(deny=frozenset({DESCRIBE})), LaneOverlay(seed=9)]
        ),
    ),
)


def done(settings: EmulatorSettings, steps: Sequence[Step]) -> list[list[Any]]:
    """What each lane saw of these steps, without the ids, which are drawn. A step of OTHER takes time and no more."""
    clock = ManualClock()
    client = Client(Emulator(settings, clock=clock))
    made: list[list[tuple[str, str]]] = [[] for _ in LANES]
    seen: list[list[Any]] = [[] for _ in LANES]
    for number, action, letter in steps:
        clock.advance(1.0 if action == "wait" else 0.25)
        if number == OTHER:
            continue
        caller = LANES[number]
        last_id, last_arn = made[number][-1] if made[number] else ("registration-attachment-0", "arn:aws:none")
        match action:
            case "create":
                reply = client.create(letter, tags={"Letter": letter}, caller=caller)
                if ATTACHMENT_ID in reply.members:
                    made[number].append((reply.members[ATTACHMENT_ID], reply.members["RegistrationAttachmentArn"]))
            case "list":
                reply = client.ask(DESCRIBE, caller)
            case "tags":
                reply = client.ask("ListTagsForResource", caller, ResourceArn=last_arn)
            case "delete":
                reply = client.ask("DeleteRegistrationAttachment", caller, RegistrationAttachmentId=last_id)
            case _:
                reply = client.ask("DescribeAccountLimits", caller)
        listed = len(reply.members.get("RegistrationAttachments", ()))
        limits = [one["Used"] for one in reply.members.get("AccountLimits", ())]
        seen[number].append((reply.outcome, reply.code, reply.delivery, listed, limits, reply.members.get("Tags")))
    return seen


@given(settings=SETTINGS, steps=STEPS, kept=st.integers(0, len(LANES) - 1))
def test_whatever_is_done_in_one_lane_changes_nothing_in_another(
    settings: EmulatorSettings, steps: list[Step], kept: int
) -> None:
    together = done(settings, steps)

    alone = done(settings, [step if step[0] == kept else (OTHER, step[1], step[2]) for step in steps])

    assert together[kept] == alone[kept]


def test_a_journal_of_one_lane_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(
        JOURNAL_HEADER
        + b'{"attachment":{"attachment_id":"registration-attachment-1","account":"123456789012","region":"us-east-1",'
        b'"created_at":"2026-06-30T12:00:00Z","ready_at":"2026-06-30T12:00:00.300000Z","ends_as":"UPLOAD_COMPLETE",'
        b'"fingerprint":"f","tags":{"A":"1"},"client_token":"t","sha256":"0","size_bytes":9,"content_type":'
        b'"application/pdf","url":null,"forced":null},"change":"created"}\n'
    )
    journal = Journal(path)

    held = Emulator(EmulatorSettings(), clock=ManualClock(), journal=journal).attachments()
    journal.close()

    assert [(each["id"], each["account"], each["region"]) for each in held] == [
        ("registration-attachment-1", "123456789012", "us-east-1")
    ]
