"""Settings from JSON, and changes while the emulator runs."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.limits import Rate, RateMode
from batch_upload.emulator.settings import LOCAL, EmulatorSettings
from tests.unit.emulator.support import CREATE, DESCRIBE, MakeClient, ManualClock

PAGE = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_are_settings() -> None:
    examples = re.findall(r"--settings '([^']+)'|```json\n(.*?)```", PAGE, re.DOTALL)

    assert [EmulatorSettings.from_json(first or second) != EmulatorSettings() for first, second in examples] == [
        True
    ] * 6


def test_an_empty_object_is_an_account_as_aws_opens_it() -> None:
    settings = EmulatorSettings.from_json("{}")

    assert settings == EmulatorSettings()
    assert (settings.rate_of(CREATE), settings.rate_of("ListTagsForResource")) == (Rate(1), Rate(10))
    assert settings.attachments_per_account == 25


def test_rates_are_numbers_objects_or_null_and_a_star_is_for_the_others() -> None:
    text = json.dumps(
        {"rates": {CREATE: 5, DESCRIBE: None, "*": {"per_second": 2, "mode": "window", "steps": [[10, 1]]}}}
    )

    settings = EmulatorSettings.from_json(text)

    assert settings.rate_of(CREATE) == Rate(5)
    assert settings.rate_of(DESCRIBE) is None
    assert settings.rate_of("TagResource") == Rate(2, mode=RateMode.WINDOW, steps=((10, 1),))


def test_settings_survive_json() -> None:
    settings = EmulatorSettings(
        rates={"*": Rate(3, burst=2), CREATE: None},
        deny=frozenset({DESCRIBE}),
        faults=(FaultRule(FaultAction.HANG, seconds=1),),
        fails_containing=("broken",),
    )

    assert EmulatorSettings.from_json(json.dumps(settings.to_json())) == settings


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"colour": "red"}',
        '{"rates": {"CreateEverything": 1}}',
        '{"rates": {"*": {"per_second": 1, "colour": 1}}}',
        '{"deny": ["CreateEverything"]}',
        '{"faults": [{"action": "throttle", "operation": "CreateEverything"}]}',
        '{"account": "12"}',
        '{"page_size": 101}',
        '{"processing_s": -1}',
        '{"tags_lag_s": -1}',
        '{"paging": "letters"}',
        '{"known_token": "maybe"}',
        '{"faults": [{"action": "repeat_page"}]}',
    ],
)
def test_settings_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="settings"):
        EmulatorSettings.from_json(text)


@pytest.mark.parametrize("text", ["[]", "{", '{"colour": "red"}'])
def test_a_change_that_cannot_be_changes_nothing(make_client: MakeClient, text: str) -> None:
    client = make_client()
    before = client.emulator.settings

    with pytest.raises(ConfigurationError, match="settings"):
        client.emulator.change_settings(text)

    assert client.emulator.settings == before


def test_a_changed_rate_begins_with_a_full_bucket_and_others_go_on(make_client: MakeClient) -> None:
    client = make_client(rates={})
    client.create()
    client.ask(DESCRIBE)

    client.emulator.change_settings(json.dumps({"rates": {CREATE: {"per_second": 1, "burst": 2}}}))

    assert [client.create().code for _ in range(3)] == [None, None, "ThrottlingException"]
    assert client.ask(DESCRIBE).code == "ThrottlingException"


def test_a_changed_quota_holds_at_once(make_client: MakeClient) -> None:
    client = make_client(attachments_per_account=1)
    client.create()

    client.emulator.change_settings('{"attachments_per_account": 2}')

    assert [client.create().code for _ in range(2)] == [None, "ServiceQuotaExceededException"]


def test_steps_count_from_the_start_of_the_emulator(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client()
    clock.advance(100)
    client.emulator.change_settings(json.dumps({"rates": {CREATE: {"per_second": 0, "steps": [[110, 1]]}}}))

    codes = [client.create().code, client.create().code]
    clock.advance(timedelta(seconds=11).total_seconds())
    codes.append(client.create().code)

    assert codes == [None, "ThrottlingException", None]


def test_the_settings_of_a_rehearsal_are_generous() -> None:
    assert LOCAL.rate_of(CREATE) == Rate(20, burst=20)
    assert LOCAL.attachments_per_account == 100_000
