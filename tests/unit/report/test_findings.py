"""What `verify` prints of tags, as it is typed into a shell."""

import json
import shlex
from dataclasses import dataclass

import pytest

from batch_upload.registration import Bind
from batch_upload.report.findings import (
    FieldFinding,
    FindingRow,
    PruneRow,
    difference_lines,
    field_lines,
    finding_lines,
    prune_lines,
    tag_lines,
)
from batch_upload.report.ndjson import LaneRef
from tests.unit.report.samples import HOSTILE_NAMES

ARN = "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/registration-attachment-1"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag with its value in the ledger and at the service."""

    key: str
    ledger: str | None
    service: str | None


def row(*differences: Tag) -> FindingRow:
    return FindingRow("tags", "a.pdf", "bu1-a", "registration-attachment-1", None, ARN, differences)


def test_what_is_missing_is_put_back_and_what_is_too_much_is_taken_off() -> None:
    tag, untag = tag_lines(
        [row(Tag("Customer", "Ann's = 5", None), Tag("batch-upload:token", None, "bu1-b"))],
        ("--region", "us-east-1", "--profile", "acme uploads"),
    )

    where = ["--region", "us-east-1", "--profile", "acme uploads", "--resource-arn", ARN]
    *words, tags = shlex.split(tag)
    assert words == ["aws", "pinpoint-sms-voice-v2", "tag-resource", *where, "--tags"]
    assert json.loads(tags) == [{"Key": "Customer", "Value": "Ann's = 5"}]
    assert shlex.split(untag) == [
        *("aws", "pinpoint-sms-voice-v2", "untag-resource"),
        *where,
        *("--tag-keys", "batch-upload:token"),
    ]


def test_each_wrong_tag_is_a_sentence_whose_names_are_escaped() -> None:
    said = list(difference_lines([row(Tag("A\u202e", "x", "y"), Tag("B", "x", None), Tag("C", None, "z"))]))

    assert said == [
        "`a.pdf`: tag `A\\u202e` is `y` at AWS, the ledger sent `x`",
        "`a.pdf`: tag `B` is missing at AWS, the ledger sent `x`",
        "`a.pdf`: tag `C` is `z` at AWS, the ledger sent none",
    ]


def test_a_finding_without_tags_has_no_command() -> None:
    assert tag_lines([row()], ()) == []


ACME = LaneRef("acme/us-east-1", "111122223333", "us-east-1")


def test_rows_of_several_lanes_begin_with_the_lane_for_people_and_for_programs() -> None:
    found = FindingRow("missing", "a.pdf", "bu1-a", None, None, lane=ACME)
    pruned = PruneRow(True, "a.pdf", "bu1-a", "r-1", "no longer listed", lane=ACME)  # noqa: FBT003

    assert list(finding_lines([found])) == [
        "lane            finding  id     attachment  status",
        "acme/us-east-1  missing  a.pdf",
    ]
    assert list(prune_lines([pruned])) == [
        "lane            action  id     attachment  reason",
        "acme/us-east-1  delete  a.pdf  r-1         no longer listed",
    ]
    for row_json in (found.as_json(), pruned.as_json()):
        assert list(row_json)[:5] == ["event", "schema_version", "target", "account", "region"]
        assert row_json["target"] == "acme/us-east-1"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_is_harmless_in_every_line(name: str) -> None:
    found = FindingRow("tags", "a", "t", None, None, None, (Tag("k", "1", "2"),), LaneRef(name))

    lines = [*finding_lines([found]), *difference_lines([found])]

    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("holds", "new_version", "words"),
    [
        ("registration-attachment-9", None, "holds `registration-attachment-9` at AWS"),
        (None, None, "holds nothing at AWS"),
        (None, 3, "is of version 3 now; the next `upload` binds it again"),
    ],
)
def test_a_field_without_its_attachment_says_what_it_holds(
    holds: str | None, new_version: int | None, words: str
) -> None:
    field = FieldFinding(Bind("registration-1", "messagingUseCase.optInImage"), holds, new_version)
    found = FindingRow(
        "not_bound", "odd\x1b[2J", "bu1-a", "registration-attachment-1", None, lane=LaneRef("acme/r"), field=field
    )

    assert list(field_lines([found])) == [
        rf"acme/r: `odd\x1b[2J`: `messagingUseCase.optInImage` of `registration-1` {words}"
    ]
    line = found.as_json()
    assert (line["bind"], line["holds"], line["new_version"]) == (
        "registration-1/messagingUseCase.optInImage",
        holds,
        new_version,
    )
