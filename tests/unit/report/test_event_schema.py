"""The published schema of `--json`, and of one mind with what is written."""

import jsonschema
import pytest

from batch_upload.actions import ActionKind
from batch_upload.app.checks import Verdict
from batch_upload.engine.verify import FindingKind
from batch_upload.model import AttachmentStatus, OutcomeKind, State
from tests.support.event_schema import OPTIONAL, PAGE, page, schema, shape_of, shapes

DEFS = schema()["$defs"]


def test_it_is_a_json_schema_of_2020() -> None:
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_page_is_what_the_schema_says() -> None:
    """`python -m tests.support.event_schema` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (DEFS["state"], State),
        (DEFS["status"], AttachmentStatus),
        (DEFS["action_kind"], ActionKind),
        (DEFS["finding_event"]["properties"]["finding"], FindingKind),
        (DEFS["check_event"]["properties"]["verdict"], Verdict),
        (DEFS["attempt_event"]["properties"]["outcome"], [*OutcomeKind, None]),
    ],
    ids=["state", "status", "action", "finding", "verdict", "outcome"],
)
def test_its_words_are_the_programs(words: dict[str, list[str | None]], values: list[str | None]) -> None:
    assert words["enum"] == list(values)


@pytest.mark.parametrize("name", shapes())
def test_every_member_that_is_declared_is_always_there(name: str) -> None:
    shape = shapes()[name]

    required = [member for member in shape["properties"] if member not in OPTIONAL or member in shape["required"]]
    assert shape["required"] == required
    assert shape["properties"]["event"] == {"const": shape["title"]}
    assert shape["description"]
    assert shape["x-verbs"]


def test_what_a_lane_adds_is_declared_on_every_line_that_may_be_about_one() -> None:
    about_no_lane = {
        "progress",
        "problem",
        "warning",
        "left_out",
        "schema",
        "form",
        "listening",
        "summary",
        "fleet_worker",
        "schedule",
    }
    for name, shape in shapes().items():
        assert ("target" in shape["properties"]) == (name not in about_no_lane), name
    assert {member for shape in shapes().values() for member in set(shape["properties"]) - set(shape["required"])} == {
        *("target", "account", "region"),
        "lanes",
        "shard",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"event": "nonsense", "schema_version": 1}, "`nonsense` is no event"),
        ({"event": "listening", "schema_version": 1}, "'url' is a required property"),
        ({"event": "listening", "schema_version": 1, "url": "http://x", "more": 1}, "'more' was unexpected"),
        ({"event": "listening", "schema_version": 2, "url": "http://x"}, "1 was expected"),
    ],
)
def test_what_is_not_declared_is_found(line: dict[str, object], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        shape_of(line)
