"""The rules of the service that its model does not hold."""

import hashlib
from typing import Any

import pytest

from tests.unit.emulator.support import ATTACHMENT_ID, JPEG, PDF, PNG, MakeClient, ManualClock


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PDF, "application/pdf"),
        (b"\n" * 1_024 + PDF, "application/pdf"),
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
    ],
)
def test_a_document_is_taken_by_its_content(make_client: MakeClient, body: bytes, content_type: str) -> None:
    client = make_client()

    reply = client.create(body=body)

    assert reply.code is None
    [held] = client.emulator.attachments()
    assert (held["content_type"], held["size"]) == (content_type, len(body))
    assert held["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("body", [b"GIF89a", b"PNG", b"\n" * 1_025 + PDF, b"\xff\xd8", b" \x89PNG\r\n\x1a\n"])
def test_other_documents_are_not_supported(make_client: MakeClient, body: bytes) -> None:
    reply = make_client().create(body=body)

    assert (reply.code, reply.members["Reason"]) == ("ValidationException", "ATTACHMENT_TYPE_NOT_SUPPORTED")


def test_a_document_may_be_as_large_as_the_limit_and_no_larger(make_client: MakeClient) -> None:
    client = make_client(max_size_bytes=100)

    assert client.create(body=PDF.ljust(100)).code is None
    refused = client.create(body=PDF.ljust(101))

    assert (refused.code, refused.members["Reason"]) == ("ValidationException", "MAXIMUM_SIZE_EXCEEDED")


def test_six_mebibytes_are_too_large_by_default(make_client: MakeClient) -> None:
    refused = make_client().create(body=PDF.ljust(6 * 1024 * 1024))

    assert refused.members["Reason"] == "MAXIMUM_SIZE_EXCEEDED"


def test_a_body_or_a_url_and_not_both_and_not_neither(make_client: MakeClient) -> None:
    client = make_client()

    both = client.ask("CreateRegistrationAttachment", AttachmentBody="JVBERi0=", AttachmentUrl="s3://bucket/a.pdf")
    neither = client.ask("CreateRegistrationAttachment")
    url = client.create(url="s3://bucket/a.pdf")

    assert both.members["Reason"] == "PARAMETERS_CANNOT_BE_USED_TOGETHER"
    assert neither.members["Reason"] == "MISSING_PARAMETER"
    assert url.code is None
    assert client.emulator.attachments()[0]["url"] == "s3://bucket/a.pdf"


@pytest.mark.parametrize("url", ["https://bucket/a.pdf", "s3://bucket", "s3://bucket/", "s3:///a.pdf", "s3://b/\ud800"])
def test_a_url_names_a_bucket_and_a_file(make_client: MakeClient, url: str) -> None:
    reply = make_client().create(url=url)

    assert reply.members["Fields"][0]["Name"] == "AttachmentUrl"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aws:x", "v"),
        ("AWS:x", "v"),
        ("Aws:x", "v"),
        ("a,b", "v"),
        ("a", "v;w"),
        ("a\tb", "v"),
        ("🙂", "v"),
        ("a", "<"),
    ],
)
def test_a_tag_that_is_reserved_or_of_other_characters_is_refused(
    make_client: MakeClient, key: str, value: str
) -> None:
    reply = make_client().create(tags={key: value})

    assert (reply.code, reply.members["Reason"]) == ("ValidationException", "FIELD_VALIDATION_FAILED")
    assert reply.members["Fields"][0]["Name"].startswith("Tags.0.")


@pytest.mark.parametrize("text", ["Größe", "名前", "a b_c.d:e/f=g+h-i@j", "०१२", "batch-upload:token"])
def test_tags_may_be_of_any_script(make_client: MakeClient, text: str) -> None:
    assert make_client().create(tags={text: text}).code is None


def test_tag_keys_are_unique_and_case_sensitive(make_client: MakeClient) -> None:
    client = make_client()
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]

    assert client.create(tags={"a": "1", "A": "2"}).code is None
    reply = client.ask("CreateRegistrationAttachment", AttachmentUrl="s3://b/k", Tags=twice)

    assert reply.members["Fields"] == [{"Name": "Tags.1.Key", "Message": "must be unique"}]


def test_fifty_tags_are_enough(make_client: MakeClient) -> None:
    client = make_client()

    assert client.create(tags={f"k{index}": "v" for index in range(50)}).code is None
    refused = client.create(tags={f"k{index}": "v" for index in range(51)})

    assert (refused.code, refused.members["Reason"]) == ("ServiceQuotaExceededException", "TAGS_PER_RESOURCE")


def test_the_same_token_gives_the_same_attachment_with_its_status_of_now(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client()
    first = client.create("token", tags={"a": "1", "b": "2"})
    clock.advance(60)

    again = client.create("token", tags={"b": "2", "a": "1"})

    assert again.members[ATTACHMENT_ID] == first.members[ATTACHMENT_ID]
    assert (first.members["AttachmentStatus"], again.members["AttachmentStatus"]) == (
        "UPLOAD_IN_PROGRESS",
        "UPLOAD_COMPLETE",
    )
    assert client.emulator.stats()["replays"] == 1
    assert client.emulator.stats()["attachments"] == 1


@pytest.mark.parametrize("other", [{"body": PDF + b"x"}, {"tags": {"a": "2"}}, {"url": "s3://bucket/key"}])
def test_the_same_token_with_other_parameters_is_a_conflict_and_counted(
    make_client: MakeClient, other: dict[str, Any]
) -> None:
    client = make_client()
    first = client.create("token", tags={"a": "1"})

    reply = client.create("token", **{"tags": {"a": "1"}, **other})

    assert (reply.code, reply.members["ResourceId"]) == ("ConflictException", first.members[ATTACHMENT_ID])
    assert client.emulator.stats()["token_mismatches"] == 1
    assert client.emulator.stats()["attachments"] == 1


def test_a_mismatch_may_be_a_validation_error_instead(make_client: MakeClient) -> None:
    client = make_client(is_mismatch_conflict=False)
    client.create("token")

    assert client.create("token", body=PNG).code == "ValidationException"


def test_a_url_is_not_a_document_of_the_same_bytes(make_client: MakeClient) -> None:
    client = make_client()
    client.create("token", url="s3://bucket/%PDF-")

    assert client.create("token", body=b"s3://bucket/%PDF-").code == "ConflictException"


def test_retagging_does_not_change_what_a_token_was_used_for(make_client: MakeClient) -> None:
    client = make_client()
    arn = client.create("token", tags={"a": "1"}).members["RegistrationAttachmentArn"]
    client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}])

    assert client.create("token", tags={"a": "1"}).outcome == "replayed"


def test_a_forgotten_token_creates_anew(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(token_memory_s=60)
    first = client.create("token")
    clock.advance(59.9)
    remembered = client.create("token")
    clock.advance(0.1)

    anew = client.create("token")

    assert remembered.outcome == "replayed"
    assert anew.members[ATTACHMENT_ID] != first.members[ATTACHMENT_ID]


def test_without_a_token_each_create_is_its_own(make_client: MakeClient) -> None:
    client = make_client()

    assert client.create().members[ATTACHMENT_ID] != client.create().members[ATTACHMENT_ID]


def test_an_upload_completes_after_its_time(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(processing_s=10)
    attachment_id = client.create().members[ATTACHMENT_ID]

    statuses = [client.status(attachment_id)]
    clock.advance(9.9)
    statuses.append(client.status(attachment_id))
    clock.advance(0.1)
    statuses.append(client.status(attachment_id))

    assert statuses == ["UPLOAD_IN_PROGRESS", "UPLOAD_IN_PROGRESS", "UPLOAD_COMPLETE"]


def test_each_document_takes_its_own_time_around_the_median_where_that_is_spread(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client(processing_s=10, processing_spread=0.5, attachments_per_account=None)
    ids = [client.create(body=PDF + str(number).encode()).members[ATTACHMENT_ID] for number in range(60)]

    def share_done() -> float:
        return sum(client.status(attachment_id) == "UPLOAD_COMPLETE" for attachment_id in ids) / len(ids)

    shares = []
    for _ in range(3):
        clock.advance(6)
        shares.append(share_done())

    # of a log-normal distribution with sigma 0.5: 15 % at 0.6 of the median, 64 % at 1.2, 88 % at 1.8
    assert shares == pytest.approx([0.15, 0.64, 0.88], abs=0.15)


def test_a_document_that_holds_a_given_text_is_never_done(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(processing_s=1, hangs_containing=("stuck",))
    stuck = client.create(body=PDF + b"stuck").members[ATTACHMENT_ID]
    sound = client.create().members[ATTACHMENT_ID]
    clock.advance(1_000_000)

    assert [client.status(stuck), client.status(sound)] == ["UPLOAD_IN_PROGRESS", "UPLOAD_COMPLETE"]


def test_documents_that_hold_a_given_text_fail_in_the_end(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(fails_containing=("broken",))
    doomed = client.create(body=PDF + b"broken").members
    sound = client.create().members
    clock.advance(1)

    reply = client.ask("DescribeRegistrationAttachments", RegistrationAttachmentIds=[doomed[ATTACHMENT_ID]])

    [described] = reply.members["RegistrationAttachments"]
    assert (described["AttachmentStatus"], described["AttachmentUploadErrorReason"]) == (
        "UPLOAD_FAILED",
        "INTERNAL_ERROR",
    )
    assert client.status(sound[ATTACHMENT_ID]) == "UPLOAD_COMPLETE"
