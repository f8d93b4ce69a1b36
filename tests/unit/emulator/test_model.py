"""Requests and answers against the service's own model."""

import base64
from typing import Any

import pytest

from batch_upload.emulator.errors import EmulatorError
from batch_upload.emulator.model import service_model
from tests.unit.emulator.support import ARN, CREATE, DESCRIBE, MakeClient

BODY = base64.b64encode(b"%PDF-").decode()


@pytest.mark.parametrize(
    ("operation", "members", "field"),
    [
        (CREATE, {"AttachmentBody": BODY, "ClientToken": ""}, "ClientToken"),
        (CREATE, {"AttachmentBody": BODY, "ClientToken": "x" * 65}, "ClientToken"),
        (CREATE, {"AttachmentBody": BODY, "ClientToken": "a b"}, "ClientToken"),
        (CREATE, {"AttachmentBody": BODY, "ClientToken": 7}, "ClientToken"),
        (CREATE, {"AttachmentBody": "no base64!"}, "AttachmentBody"),
        (CREATE, {"AttachmentBody": ""}, "AttachmentBody"),
        (CREATE, {"AttachmentBody": 7}, "AttachmentBody"),
        (CREATE, {"AttachmentUrl": "s3://bucket/a b"}, "AttachmentUrl"),
        (CREATE, {"AttachmentUrl": "s3://bucket/" + "x" * 2_048}, "AttachmentUrl"),
        (CREATE, {"AttachmentBody": BODY, "Name": "x"}, "Name"),
        (CREATE, {"AttachmentBody": BODY, "Tags": {}}, "Tags"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k", "Value": "v"}] * 201}, "Tags"),
        (CREATE, {"AttachmentBody": BODY, "Tags": ["k"]}, "Tags.0"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k"}]}, "Tags.0.Value"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k", "Value": None}]}, "Tags.0.Value"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "", "Value": "v"}]}, "Tags.0.Key"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k" * 129, "Value": "v"}]}, "Tags.0.Key"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k", "Value": "v" * 257}]}, "Tags.0.Value"),
        (CREATE, {"AttachmentBody": BODY, "Tags": [{"Key": "k", "Value": "v", "x": 1}]}, "Tags.0.x"),
        (DESCRIBE, {"RegistrationAttachmentIds": ["x"] * 6}, "RegistrationAttachmentIds"),
        (DESCRIBE, {"RegistrationAttachmentIds": ["a b"]}, "RegistrationAttachmentIds.0"),
        (DESCRIBE, {"MaxResults": 0}, "MaxResults"),
        (DESCRIBE, {"MaxResults": 101}, "MaxResults"),
        (DESCRIBE, {"MaxResults": True}, "MaxResults"),
        (DESCRIBE, {"MaxResults": 1.5}, "MaxResults"),
        (DESCRIBE, {"Filters": [{"Name": "colour", "Values": ["red"]}]}, "Filters.0.Name"),
        (DESCRIBE, {"Filters": [{"Name": "attachment-status", "Values": []}]}, "Filters.0.Values"),
        ("ListTagsForResource", {}, "ResourceArn"),
        ("ListTagsForResource", {"ResourceArn": "not-an-arn-but-long-enough"}, "ResourceArn"),
        ("TagResource", {"ResourceArn": "arn:aws:sms-voice:x", "Tags": []}, "ResourceArn"),
        ("UntagResource", {"ResourceArn": "arn:" + "x" * 20, "TagKeys": []}, "TagKeys"),
        ("DeleteRegistrationAttachment", {"RegistrationAttachmentId": None}, "RegistrationAttachmentId"),
    ],
)
def test_a_request_that_does_not_fit_the_model_names_its_field(
    make_client: MakeClient, operation: str, members: dict[str, Any], field: str
) -> None:
    reply = make_client().ask(operation, **members)

    assert (reply.code, reply.status) == ("ValidationException", 400)
    assert reply.members["Reason"] == "FIELD_VALIDATION_FAILED"
    assert field in [misfit["Name"] for misfit in reply.members["Fields"]]


def test_all_that_does_not_fit_is_told_at_once(make_client: MakeClient) -> None:
    reply = make_client().ask(CREATE, AttachmentBody=BODY, Tags=[{"Key": "k"}], ClientToken="a b")

    assert [misfit["Name"] for misfit in reply.members["Fields"]] == [
        "Tags.0.Value",
        "ClientToken",
    ]


def test_a_member_that_is_null_is_as_one_that_is_not_there(make_client: MakeClient) -> None:
    assert make_client().ask(CREATE, AttachmentBody=BODY, AttachmentUrl=None, Tags=None, ClientToken=None).code is None


def test_an_answer_of_ours_that_does_not_fit_is_our_fault() -> None:
    with pytest.raises(EmulatorError, match="does not fit"):
        service_model().check_answer(CREATE, {ARN: "arn"})


@pytest.mark.parametrize("members", [{"Reason": "BECAUSE"}, {"Because": "x"}, {"Fields": [{"Name": "x"}]}])
def test_an_error_of_ours_that_does_not_fit_is_our_fault(members: dict[str, Any]) -> None:
    with pytest.raises(EmulatorError, match="does not fit"):
        service_model().check_error("ValidationException", members)


def test_a_status_is_500_where_the_service_blames_itself() -> None:
    statuses = [service_model().status_of(code) for code in ("InternalServerException", "ConflictException")]

    assert statuses == [500, 400]
