"""The state on disk."""

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch_upload.emulator.errors import ConfigurationError, EmulatorError
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.state import JOURNAL_HEADER, Journal
from tests.unit.emulator.support import ARN, ATTACHMENT_ID, PDF, MakeClient, ManualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "june.local.service"


def copied(path: Path) -> Path:
    """The file as a killed process leaves it: whole lines, nothing closed."""
    copy = path.with_name(path.name + ".copy")
    copy.write_bytes(path.read_bytes())
    return copy


def test_everything_is_there_after_a_kill(make_client: MakeClient, path: Path, clock: ManualClock) -> None:
    client = make_client(state_path=path)
    arn = client.create("a", tags={"x": "ü"}).members[ARN]
    client.create("b", url="s3://bucket/key")
    gone = client.create("c").members[ATTACHMENT_ID]
    client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "y", "Value": "2"}])
    client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=gone)
    client.emulator.set_status(arn.rpartition("/")[2], UploadStatus.FAILED)
    client.emulator.plant(region="eu-west-1", tags={"z": "3"})

    after = make_client(state_path=copied(path))

    assert after.emulator.attachments() == client.emulator.attachments()
    assert after.create("a", tags={"x": "ü"}).outcome == "replayed"
    assert after.create("a", tags={"x": "u"}).code == "ConflictException"
    limits = after.ask("DescribeAccountLimits").members["AccountLimits"]
    assert {"Name": "REGISTRATION_ATTACHMENTS", "Used": 2, "Max": 25} in limits


def test_what_was_forgotten_stays_forgotten(make_client: MakeClient, path: Path) -> None:
    client = make_client(state_path=path, keeps_deleted=False)
    gone = client.create("a").members[ATTACHMENT_ID]
    client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=gone)

    assert make_client(state_path=copied(path)).emulator.attachments() == []


def test_an_upload_in_progress_completes_on_time_across_a_restart(
    make_client: MakeClient, path: Path, clock: ManualClock
) -> None:
    client = make_client(state_path=path, processing_s=60)
    attachment_id = client.create().members[ATTACHMENT_ID]
    clock.advance(30)
    after = make_client(state_path=copied(path), processing_s=0)

    statuses = [after.status(attachment_id)]
    clock.advance(30)
    statuses.append(after.status(attachment_id))

    assert statuses == ["UPLOAD_IN_PROGRESS", "UPLOAD_COMPLETE"]


def test_what_the_service_never_finishes_with_survives_a_restart(make_client: MakeClient, path: Path) -> None:
    client = make_client(state_path=path, hangs_containing=("PDF",))
    attachment_id = client.create().members[ATTACHMENT_ID]

    assert make_client(state_path=copied(path)).status(attachment_id) == "UPLOAD_IN_PROGRESS"


def test_the_quota_of_the_day_holds_across_a_restart(make_client: MakeClient, path: Path) -> None:
    make_client(state_path=path).create()

    after = make_client(state_path=copied(path), attachments_per_day=1)

    assert after.create().members["Reason"] == "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(make_client: MakeClient, path: Path, tmp_path: Path) -> None:
    client = make_client(state_path=path)
    client.create("a")
    whole = path.read_bytes()
    client.create("b", tags={f"k{index}": "v" * 200 for index in range(50)})
    torn = path.read_bytes()

    for length in [len(whole), len(whole) + 1, (len(whole) + len(torn)) // 2, len(torn) - 1]:
        copy = tmp_path / f"torn-{length}"
        copy.write_bytes(torn[:length])
        journal = Journal(copy)
        changes = list(journal.changes())
        journal.close()
        assert len(changes) == 1
        assert copy.read_bytes() == whole


def test_work_goes_on_after_a_torn_line(make_client: MakeClient, path: Path) -> None:
    make_client(state_path=path).create("a")
    copy = copied(path)
    copy.write_bytes(path.read_bytes() + b'{"attachment"')

    client = make_client(state_path=copy)
    client.create("b")

    again = make_client(state_path=copied(copy))
    assert [held["client_token"] for held in again.emulator.attachments()] == ["a", "b"]


@pytest.mark.parametrize("length", range(len(JOURNAL_HEADER)))
def test_a_torn_first_line_is_a_new_state(tmp_path: Path, length: int) -> None:
    path = tmp_path / "state"
    path.write_bytes(JOURNAL_HEADER[:length])

    journal = Journal(path)

    assert list(journal.changes()) == []
    journal.close()
    assert path.read_bytes() == JOURNAL_HEADER


@pytest.mark.parametrize("content", [b"version: 1\nattachments: []\n", b"{}", b"\x00" * 100])
def test_a_file_that_is_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "june.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="not a state"):
        Journal(path)

    assert path.read_bytes() == content


@pytest.mark.parametrize("line", [b"null\n", b"{}\n", b'{"change": "created"}\n', b"torn in the middle\n"])
def test_a_damaged_line_is_named(make_client: MakeClient, path: Path, line: bytes) -> None:
    path.write_bytes(JOURNAL_HEADER + line)

    with pytest.raises(ConfigurationError, match="line 2"):
        make_client(state_path=path)


def test_a_state_has_one_emulator_at_a_time(make_client: MakeClient, path: Path) -> None:
    make_client(state_path=path)

    with pytest.raises(ConfigurationError, match="in use"):
        make_client(state_path=path)


def test_a_state_in_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Journal(tmp_path / "missing" / "state")


def test_the_file_is_private_and_holds_no_document(make_client: MakeClient, path: Path) -> None:
    make_client(state_path=path).create(body=PDF + b"canary document")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"canary" not in path.read_bytes()
    assert b"Y2FuYXJ5" not in path.read_bytes()


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_change_that_cannot_be_written_has_not_happened(make_client: MakeClient, path: Path) -> None:
    client = make_client(state_path=path)
    client.create("a")
    before = path.read_bytes()

    with files_at_most(len(before) + 10), pytest.raises(EmulatorError, match="cannot be written"):
        client.create("b")

    assert path.read_bytes() == before
    assert client.create("b").outcome == "accepted"
    assert len(make_client(state_path=copied(path)).emulator.attachments()) == 2
