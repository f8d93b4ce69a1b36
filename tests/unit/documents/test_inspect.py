"""What is in a file, and why it may not be sent."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from batch_upload.document import Document
from batch_upload.documents.inspect import examine, read_body
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.model import ContentType
from tests.support.privileges import unprivileged

PDF = b"%PDF-1.4\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
LIMIT_BYTES = 500_000


def put(folder: Path, name: str, body: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def refusal(path: Path, *, max_size_bytes: int = LIMIT_BYTES, root: Path | None = None) -> Refusal:
    found = examine(path, max_size_bytes=max_size_bytes, root=root).found
    assert isinstance(found, Refusal)
    assert found.message.isprintable()
    assert not found.message.endswith(".")
    return found


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("a.pdf", PDF, ContentType.PDF),
        ("a.PDF", b"\xef\xbb\xbf" + PDF, ContentType.PDF),
        ("a.pdf", b"x" * 1_024 + PDF, ContentType.PDF),
        ("a.png", PNG, ContentType.PNG),
        ("a.jpg", JPEG, ContentType.JPEG),
        ("a.b.JpEg", JPEG, ContentType.JPEG),
    ],
)
def test_a_document_is_known_by_its_content(name: str, body: bytes, content_type: ContentType, tmp_path: Path) -> None:
    path = put(tmp_path, name, body)

    found = examine(path, max_size_bytes=LIMIT_BYTES, root=tmp_path).found

    assert found == Document(str(path.resolve()), hashlib.sha256(body).hexdigest(), len(body), content_type)


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("a.pdf", b"", RefusalCode.EMPTY),
        ("a.pdf", b"x" * 1_025 + PDF, RefusalCode.UNSUPPORTED_TYPE),
        ("a.pdf", b"%PDF", RefusalCode.UNSUPPORTED_TYPE),
        ("a.png", PNG[:7], RefusalCode.UNSUPPORTED_TYPE),
        ("a.jpg", JPEG[:2], RefusalCode.UNSUPPORTED_TYPE),
        ("a.pdf", b"<html>", RefusalCode.UNSUPPORTED_TYPE),
        ("a.png", JPEG, RefusalCode.WRONG_EXTENSION),
        ("a.pdf", PNG, RefusalCode.WRONG_EXTENSION),
        ("a.jpg", PDF, RefusalCode.WRONG_EXTENSION),
        ("a", PDF, RefusalCode.WRONG_EXTENSION),
        (".pdf", PDF, RefusalCode.WRONG_EXTENSION),
        ("a.pdf.", PDF, RefusalCode.WRONG_EXTENSION),
    ],
)
def test_what_the_service_would_not_take_is_refused(name: str, body: bytes, code: RefusalCode, tmp_path: Path) -> None:
    assert refusal(put(tmp_path, name, body)).code is code


def test_a_wrong_extension_is_told_the_right_one(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", JPEG)

    assert refusal(path).message == f"`{path}` is image/jpeg by its content: name it `*.jpg` or `*.jpeg`"


def test_a_file_may_have_exactly_its_limit(tmp_path: Path) -> None:
    path = put(tmp_path, "a.pdf", PDF.ljust(1_000, b" "))

    assert isinstance(examine(path, max_size_bytes=1_000, root=None).found, Document)
    assert refusal(path, max_size_bytes=999).code is RefusalCode.TOO_LARGE


@pytest.mark.parametrize(
    ("size_bytes", "advice"),
    [
        (500_001, "make it smaller, or set `max_size: 600KB`"),
        (1_000_000, "make it smaller, or set `max_size: 1000KB`"),
        (1_000_001, "make it smaller, or set `max_size: 1MiB`"),
        (5_242_880, "make it smaller, or set `max_size: 5MiB`"),
        (5_242_881, "the service takes no more than 5,242,880 bytes (5,243 KB), make it smaller"),
    ],
)
def test_a_file_over_its_limit_is_told_what_would_do(size_bytes: int, advice: str, tmp_path: Path) -> None:
    path = put(tmp_path, "a.pdf", b"%PDF-")
    os.truncate(path, size_bytes)

    message = refusal(path).message

    assert message.endswith(f", its limit is 500,000 bytes (500 KB): {advice}")
    assert message.startswith(f"`{path}` has {size_bytes:,} bytes (")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    file = put(tmp_path, "a.pdf", PDF)
    link = tmp_path / "link.pdf"
    link.symlink_to("nowhere")

    assert refusal(tmp_path / "b.pdf").code is RefusalCode.MISSING
    assert refusal(file / "b.pdf").code is RefusalCode.MISSING
    assert refusal(link).message == f"`{link}` does not exist (a link that leads nowhere)"


def test_links_in_a_circle_cannot_be_read(tmp_path: Path) -> None:
    loop = tmp_path / "loop.pdf"
    loop.symlink_to("loop.pdf")

    assert refusal(loop) == Refusal(RefusalCode.UNREADABLE, f"`{loop}` cannot be read: its links go round in a circle")


@pytest.mark.parametrize("name", ["a\0.pdf", "a" * 300 + ".pdf"], ids=["nul", "long"])
def test_what_no_file_can_be_called_cannot_be_read(name: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / name).code is RefusalCode.UNREADABLE


def test_a_file_without_permission_cannot_be_read(tmp_path: Path) -> None:
    path = put(tmp_path, "a.pdf", PDF)
    path.chmod(0)

    with unprivileged():
        assert refusal(path).message == f"`{path}` cannot be read: permission denied"


def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pdf")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.pdf"))
        assert refusal(tmp_path / "socket.pdf").code is RefusalCode.NOT_REGULAR
    assert refusal(tmp_path / "fifo.pdf").code is RefusalCode.NOT_REGULAR
    assert refusal(Path("/dev/zero")).code is RefusalCode.NOT_REGULAR
    assert refusal(tmp_path).code is RefusalCode.FOLDER


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    target = put(tmp_path, "deep/a.pdf", PDF)
    (tmp_path / "link.pdf").symlink_to("deep/a.pdf")

    found = examine(tmp_path / "link.pdf", max_size_bytes=LIMIT_BYTES, root=tmp_path).found

    assert isinstance(found, Document)
    assert found.path == str(target.resolve())


def test_the_extension_is_that_of_the_name_in_the_manifest(tmp_path: Path) -> None:
    put(tmp_path, "blob", PDF)
    (tmp_path / "link.pdf").symlink_to("blob")

    assert isinstance(examine(tmp_path / "link.pdf", max_size_bytes=LIMIT_BYTES, root=tmp_path).found, Document)


@pytest.mark.parametrize("route", ["link.pdf", "linked/a.pdf", "../outside/a.pdf"])
def test_whatever_leads_out_of_the_folder_is_outside(route: str, tmp_path: Path) -> None:
    target = put(tmp_path, "outside/a.pdf", PDF)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.pdf").symlink_to(target)
    (inside / "linked").symlink_to(target.parent)

    assert refusal(inside / route, root=inside).code is RefusalCode.OUTSIDE
    assert isinstance(examine(inside / route, max_size_bytes=LIMIT_BYTES, root=None).found, Document)


def test_a_folder_that_is_itself_a_link_holds_its_files(tmp_path: Path) -> None:
    put(tmp_path, "real/a.pdf", PDF)
    (tmp_path / "alias").symlink_to("real")

    assert isinstance(
        examine(tmp_path / "alias" / "a.pdf", max_size_bytes=LIMIT_BYTES, root=tmp_path / "alias").found, Document
    )


def test_a_folder_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    path = put(tmp_path, "ab/a.pdf", PDF)
    (tmp_path / "a").mkdir()

    assert refusal(path, root=tmp_path / "a").code is RefusalCode.OUTSIDE


def test_files_are_named_from_the_folder_as_in_the_manifest(tmp_path: Path) -> None:
    assert refusal(tmp_path / "img/a.png", root=tmp_path).message == "`img/a.png` does not exist"
    assert refusal(tmp_path / "img/a.png").message == f"`{tmp_path}/img/a.png` does not exist"


def test_strange_names_are_escaped(tmp_path: Path) -> None:
    assert "\\x1b" in refusal(tmp_path / "\x1b.pdf").message


def body_of(
    path: Path, planned: bytes, *, max_size_bytes: int = LIMIT_BYTES, root: Path | None = None
) -> bytes | Refusal:
    sha256 = hashlib.sha256(planned).hexdigest()
    return read_body(path, sha256=sha256, size_bytes=len(planned), max_size_bytes=max_size_bytes, root=root)


def code_of(found: bytes | Refusal) -> RefusalCode | None:
    return found.code if isinstance(found, Refusal) else None


@pytest.mark.parametrize("size_bytes", [1, 65_536, 200_000, LIMIT_BYTES])
def test_a_body_is_the_planned_bytes(size_bytes: int, tmp_path: Path) -> None:
    planned = os.urandom(size_bytes)

    assert body_of(put(tmp_path, "a.pdf", planned), planned, root=tmp_path) == planned


@pytest.mark.parametrize(
    ("now", "how"),
    [
        (b"%PDF-1.5", "it has other bytes now; `--rehash` reads it anew"),
        (b"%PDF-1.4 ", "it had 8 bytes (1 KB), now 9 bytes (1 KB)"),
        (b"", "it had 8 bytes (1 KB), now 0 bytes (0 KB)"),
        (b"%PDF-1.4" * 2, "it has more than 10 bytes (1 KB) now"),
    ],
)
def test_a_body_that_changed_is_not_handed_out(now: bytes, how: str, tmp_path: Path) -> None:
    path = put(tmp_path, "a.pdf", now)

    found = body_of(path, b"%PDF-1.4", max_size_bytes=10)

    message = f"`{path}` changed since it was planned, and was not sent: {how}"
    assert found == Refusal(RefusalCode.CHANGED_SINCE_PLAN, message)


def test_a_body_that_is_gone_or_no_file_any_more_has_changed(tmp_path: Path) -> None:
    outside = put(tmp_path, "outside.pdf", PDF)
    inside = tmp_path / "inside"
    (inside / "folder.pdf").mkdir(parents=True)
    (inside / "link.pdf").symlink_to(outside)
    os.mkfifo(inside / "fifo.pdf")

    for name in ("gone.pdf", "folder.pdf", "link.pdf", "fifo.pdf"):
        assert code_of(body_of(inside / name, PDF, root=inside)) is RefusalCode.CHANGED_SINCE_PLAN


def test_a_body_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "loop.pdf").symlink_to("loop.pdf")

    assert code_of(body_of(tmp_path / "loop.pdf", PDF)) is RefusalCode.UNREADABLE


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    put(tmp_path, "a.pdf", PDF)
    before = os.listdir("/proc/self/fd")

    for name in ("a.pdf", "missing.pdf", "."):
        examine(tmp_path / name, max_size_bytes=3, root=tmp_path)
        body_of(tmp_path / name, PDF)

    assert os.listdir("/proc/self/fd") == before
