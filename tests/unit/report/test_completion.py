"""The completion report, read back as its readers would."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from batch_upload.model import Known, State
from batch_upload.registration import Bind, BindState, Denial
from batch_upload.report.completion import (
    OF_EVERYTHING,
    ReportRow,
    defused,
    report_row,
    write_csv,
    write_jsonl,
)
from batch_upload.report.ndjson import LaneRef
from tests.unit.report.samples import HOSTILE_NAMES, TOO_LARGE, item, known, listed

HEADER = (
    "id,source,sha256,size_bytes,content_type,client_token,state,registration_attachment_id,"
    "registration_attachment_arn,attachment_status,error_code,error_reason,error_message,attempts,request_id,"
    "first_sent_at,completed_at,target,account,region,bound_to,tags,uploaded_by,run_id,batch,"
    "denied_reason,feedback"
)


def csv_bytes(rows: Iterable[ReportRow], encoding: str = "utf-8") -> bytes:
    """The report as it stands in a file."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, newline="") as stream:
        write_csv(rows, stream)
        stream.flush()
        return raw.getvalue()


def read_back(data: bytes) -> list[dict[str, str]]:
    """What a CSV reader makes of it."""
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_a_report_is_rfc_4180_with_the_header_of_the_contract() -> None:
    data = csv_bytes([report_row(item(), known())])

    digest = "ab" * 32
    assert data.decode() == (
        f"{HEADER}\r\n"
        f"acme/loa,files/acme/loa.pdf,{digest},496000,application/pdf,bu1-acme/loa,complete,registration-attachment-1,"
        "arn:aws:sms-voice:us-east-1:123456789012:x/1,UPLOAD_COMPLETE,,,,1,r-1,"
        '2026-11-23T14:00:00.000Z,2026-11-23T14:00:04.000Z,,,,,"{""Country"": ""NO""}",,,,,\r\n'
    )


def test_a_report_for_excel_begins_with_a_byte_order_mark() -> None:
    stream = io.StringIO(newline="")

    write_csv([], stream, is_marked=True)

    assert stream.getvalue().encode() == b"\xef\xbb\xbf" + f"{HEADER}\r\n".encode()


def test_an_empty_report_still_has_its_header() -> None:
    assert csv_bytes([]).decode() == f"{HEADER}\r\n"


def test_an_item_that_was_never_sent_has_a_row(tmp_path: Path) -> None:
    hashed, unread = read_back(
        csv_bytes([report_row(item("a"), None), report_row(listed("b", "files/b.pdf", folder=tmp_path), None)])
    )

    assert (hashed["id"], hashed["state"], hashed["attempts"], hashed["size_bytes"]) == ("a", "pending", "0", "496000")
    assert (hashed["sha256"], hashed["client_token"]) == ("ab" * 32, "bu1-a")
    assert (unread["id"], unread["state"], unread["sha256"], unread["client_token"]) == ("b", "pending", "", "")


def test_a_failed_item_tells_why() -> None:
    (row,) = read_back(csv_bytes([report_row(item(), known(state=State.FAILED, fault=TOO_LARGE))]))

    assert (row["state"], row["error_code"], row["error_reason"], row["error_message"]) == (
        "failed",
        "ValidationException",
        "MAXIMUM_SIZE_EXCEEDED",
        "the attachment is too large",
    )
    assert row["registration_attachment_id"] == ""


def test_what_stands_for_another_document_is_not_reported_as_this_one() -> None:
    earlier = known()._replace(client_token="bu1-of-the-earlier-document")

    row = report_row(item(), earlier)

    assert (row.state, row.registration_attachment_id, row.client_token) == ("pending", None, "bu1-acme/loa")


def test_an_item_whose_file_was_not_read_is_as_the_ledger_knows_it(tmp_path: Path) -> None:
    row = report_row(listed("acme/loa", "files/acme/loa.pdf", folder=tmp_path), known())

    assert (row.state, row.sha256, row.size_bytes) == ("complete", "ab" * 32, 496_000)


def test_a_url_has_no_digest_size_or_type() -> None:
    url = item("terms", url="s3://bucket/terms.pdf")

    sent = report_row(url, known("terms")._replace(content=url.content, size_bytes=None, content_type=None))

    assert (sent.sha256, sent.size_bytes, sent.content_type, sent.source) == (None, None, None, "s3://bucket/terms.pdf")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(start: str) -> None:
    formula = f'{start}HYPERLINK("http://x","y")'

    (row,) = read_back(csv_bytes([report_row(item(formula)._replace(source=formula), None)]))

    assert row["id"] == f"'{formula}"
    assert row["source"] == f"'{formula}"
    assert defused("a=1") == "a=1"


def test_quotes_commas_and_line_ends_come_back_as_they_were() -> None:
    name = 'a "b", c\r\nd 日 😀'

    (row,) = read_back(csv_bytes([report_row(item(name), None)]))

    assert row["id"] == name


def test_what_an_encoding_cannot_take_is_escaped_and_not_an_error() -> None:
    assert rb"a\udcff" in csv_bytes([report_row(item("a\udcff"), None)])
    assert rb"\u65e5" in csv_bytes([report_row(item("日"), None)], encoding="latin-1")


def test_json_lines_have_the_same_fields_and_the_tags() -> None:
    stream = io.StringIO()

    count = write_jsonl([report_row(item(), known()), report_row(item("=b"), None)], stream)

    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert count == 2
    assert list(first) == HEADER.split(",")
    assert (first["size_bytes"], first["tags"], first["completed_at"]) == (
        496_000,
        {"Country": "NO"},
        "2026-11-23T14:00:04.000Z",
    )
    assert (second["id"], second["completed_at"]) == ("=b", None)


def test_rows_are_written_as_they_come() -> None:
    stream = io.StringIO()
    written_before_last = []

    def rows() -> Iterable[ReportRow]:
        yield report_row(item("a"), None)
        written_before_last.append(stream.getvalue().count("\n"))
        yield report_row(item("b"), None)

    assert write_jsonl(rows(), stream) == 2
    assert written_before_last == [1]


def test_what_only_the_ledger_has_is_a_row_as_the_ledger_has_it() -> None:
    row = report_row(None, known(), "replaced")

    assert (row.item_id, row.source, row.state, row.in_manifest) == (
        "acme/loa",
        "files/acme/loa.pdf",
        "complete",
        "replaced",
    )


def test_a_row_is_of_something() -> None:
    with pytest.raises(ValueError, match="a row is of an item"):
        report_row(None, None)


ACME = LaneRef("acme/us-east-1", "111122223333", "us-east-1")


@pytest.mark.parametrize("lane", [ACME, LaneRef(None, "123456789012", "us-east-1"), LaneRef("beta/us-east-1")])
def test_a_row_names_its_lane_whether_the_item_was_sent_or_not(lane: LaneRef, tmp_path: Path) -> None:
    rows = [
        report_row(item(), known(), lane=lane),
        report_row(item("b"), None, lane=lane),
        report_row(listed("c", "c.pdf", folder=tmp_path), None, lane=lane),
        report_row(None, known("d"), "replaced", lane=lane),
    ]

    for row in read_back(csv_bytes(rows)):
        assert (row["target"], row["account"], row["region"], row["bound_to"]) == (
            lane.target or "",
            lane.account or "",
            lane.region or "",
            "",
        )


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_and_its_tags_run_in_no_spreadsheet_and_come_back(name: str) -> None:
    row = report_row(item()._replace(tags={name: name}), None, lane=LaneRef(f"{name}/r", "1" * 12, "r"))
    raw, stream = csv_bytes([row]), io.StringIO()
    write_jsonl([row], stream)

    (cells,) = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    assert not cells["target"].startswith(("=", "+", "-", "@"))
    assert not cells["tags"].startswith(("=", "+", "-", "@"))
    (line,) = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (line["target"], line["tags"]) == (f"{name}/r", {name: name})
    if name.isascii():
        assert json.loads(cells["tags"]) == {name: name}


def test_what_became_of_it_is_told_by_the_last_columns() -> None:
    given = replace(
        report_row(None, known(), "replaced", lane=ACME), fate="failed", batch="june", uploaded_by="arn:jane"
    )
    stream = io.StringIO()
    write_csv([given], stream, more=OF_EVERYTHING)

    head, row = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert head == [*HEADER.split(","), "in_manifest", "fate"]
    assert row[-12:-7] == ["acme/us-east-1", "111122223333", "us-east-1", "", '{"Country": "NO"}']
    assert row[-7:] == ["arn:jane", "", "june", "", "", "replaced", "failed"]


OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")


def bound(denial: Denial | None = None, version: int = 1) -> Known:
    return known()._replace(bind=OPT_IN, bind_state=BindState.BOUND, bound_version=version, denial=denial)


def test_a_row_names_the_field_that_holds_the_attachment_and_no_field_that_does_not() -> None:
    rows = [bound(), bound()._replace(bind_state=BindState.WANTED, state=State.BINDING)]

    first, second = read_back(csv_bytes([report_row(None, row) for row in rows]))
    assert (first["bound_to"], first["state"]) == ("registration-1/messagingUseCase.optInImage", "complete")
    assert (second["bound_to"], second["state"]) == ("", "binding")


@pytest.mark.parametrize("said", ["=HYPERLINK(0)", "\x1b[2J\u202e", "a\r\nb", "", "x" * 3_000])
def test_the_words_of_a_reviewer_are_told_whole_and_run_in_no_spreadsheet(said: str) -> None:
    row = report_row(None, bound(Denial(1, said, said)))
    stream = io.StringIO()
    write_jsonl([row], stream)

    (cells,) = read_back(csv_bytes([row]))
    assert cells["denied_reason"] == cells["feedback"] == (f"'{said}" if said.startswith("=") else said)
    (line,) = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert line["denied_reason"] == line["feedback"] == (said or None)


def test_a_denial_is_not_told_of_an_attachment_that_is_in_a_later_version() -> None:
    row = report_row(None, bound(Denial(1, "too blurred", "scan again"), version=2))

    assert (row.denied_reason, row.feedback) == (None, None)
