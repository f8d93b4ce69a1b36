"""What a file is that the service does not take: each usual kind by its name, with what to do."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_upload.documents.inspect import examine
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.documents.sniff import EXPLAINED_BYTES, OTHER_TYPES, content_type_of, other_type_of

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01"
PDF = b"%PDF-1.7\n1 0 obj\n%%EOF\n"


def zipped(*names: str, first: bytes = b"") -> bytes:
    """A ZIP file with members of these names."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name in names:
            archive.writestr(name, first or b"<x/>" * 200)
    return body.getvalue()


def bmff(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x18ftyp" + brand + b"\x00\x00\x00\x00mif1" + bytes(40)


OFFICE = ("[Content_Types].xml", "_rels/.rels")
SAMPLES = {
    "heic": (bmff(b"heic"), "is a HEIC photo (as iPhones make them)", "export it as JPEG"),
    "heif": (bmff(b"mif1"), "is a HEIC photo", "export it as JPEG"),
    "avif": (bmff(b"avif"), "is an AVIF picture", "export it as JPEG"),
    "video": (bmff(b"qt  "), "is a video", "take a picture"),
    "webp": (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "is a WebP picture", "export it as PNG"),
    "gif": (b"GIF89a\x01\x00", "is a GIF picture", "export it as PNG"),
    "tiff-little": (b"II*\x00\x08\x00\x00\x00", "is a TIFF picture", "save it as PDF"),
    "tiff-big": (b"MM\x00*\x00\x00\x00\x08", "is a TIFF picture", "save it as PDF"),
    "jpeg-2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture", "export it as JPEG"),
    "jpeg-2000-stream": (b"\xff\x4f\xff\x51\x00", "is a JPEG 2000 picture", "export it as JPEG"),
    "jpeg-xl": (b"\xff\x0a\x00", "is a JPEG XL picture", "export it as JPEG"),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0", "is a BMP picture", "export it as PNG"),
    "photoshop": (b"8BPS\x00\x01", "is a Photoshop file", "export it as PNG"),
    "svg": (b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="x">', "is an SVG drawing", "export it as PNG"),
    "png-without-cr": (PNG.replace(b"\r\n", b"\n"), "is a PNG that was damaged", "download it again, as binary"),
    "png-with-more-cr": (b"\x89PNG\r\r\n\x1a\r\n", "is a PNG that was damaged", "as binary"),
    "png-as-utf-8": (b"\xc2\x89PNG\r\n\x1a\n", "is a PNG that was damaged", "as binary"),
    "png-replaced": ("\ufffdPNG\r\n\x1a\n".encode(), "is a PNG that was damaged", "as binary"),
    "jpeg-replaced": ("\ufffd\ufffd\ufffd\ufffd\x00\x10JFIF".encode(), "is a JPEG that was damaged", "as binary"),
    "docx": (zipped(*OFFICE, "word/document.xml"), "is a Word file", "save it as PDF"),
    "xlsx": (zipped(*OFFICE, "xl/workbook.xml"), "is an Excel file", "save it as PDF"),
    "pptx": (zipped(*OFFICE, "ppt/presentation.xml"), "is a PowerPoint file", "save it as PDF"),
    "odt": (zipped("mimetype", first=b"application/vnd.oasis.opendocument.text"), "is an Office file", "as PDF"),
    "zip": (zipped("a.pdf"), "is a ZIP archive", "unpack it"),
    "zip-empty": (zipped(), "is a ZIP archive", "unpack it"),
    "gzip": (b"\x1f\x8b\x08\x00", "is an archive", "unpack it"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "is an older Office file", "save it as PDF"),
    "rtf": (rb"{\rtf1\ansi hello}", "is an RTF text", "save it as PDF"),
    "postscript": (b"%!PS-Adobe-3.0\n", "is a PostScript file", "convert it to PDF"),
    "shortcut": (b"L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00", "is a Windows shortcut", "copy"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "is a Git LFS pointer", "`git lfs pull`"),
    "annex": (b"/annex/objects/SHA256E-s12--ab.pdf\n", "is a git-annex pointer", "`git annex get`"),
    "html": (b"\xef\xbb\xbf\r\n<!-- x --><!DOCTYPE HTML><html>", "is a web page", "download it again"),
    "html-bare": (b"<HTML><body>Sign in</body></HTML>", "is a web page", "download it again"),
    "xhtml": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">\n<html lang="en">', "is a web page", "again"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML file", "download it again"),
    "base64": (b"JVBERi0xLjcKMSAwIG9iago=", "is a document in Base64", "decode it"),
    "http": (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nx", "is an answer of a web server", "again"),
    "email": (b"MIME-Version: 1.0\nFrom: a@example.com\n", "is an e-mail", "save the attachment"),
    "zeros": (bytes(4_096), "is all zero bytes", "the copy was not completed"),
    "zeros-first": (bytes(70_000) + PDF, "is all zero bytes", "the copy was not completed"),
    "some-zeros-first": (bytes(2_000) + b"\x01", "is a file that begins with zero bytes", "not completed"),
    "pdf-far-in": (b"\x00\x01" * 600 + PDF, "is a PDF with 1,200 bytes before its beginning", "download it again"),
    "pdf-cut": (b"%PDF", "is cut off after its first bytes", "again"),
    "png-cut": (PNG[:7], "is cut off after its first bytes", "again"),
    "text": ("Grüße\n".encode() * 20, "is plain text", "print it to a PDF"),
    "text-utf-16": ("hello".encode("utf-16"), "is plain text in UTF-16", "print it to a PDF"),
    "text-cut-in-a-character": (b"a" + "ü".encode() * 40_000, "is plain text", "print it to a PDF"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_of_another_type_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    body, what, advice = SAMPLES[name]
    path = tmp_path / "scan.pdf"
    path.write_bytes(body)

    found = examine(path, max_size_bytes=500_000, root=tmp_path).found

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.UNSUPPORTED_TYPE
    assert found.message.startswith(f"`scan.pdf` {what}")
    assert "although it is named `.pdf`: " in found.message
    assert advice in found.message
    assert found.message.isprintable()


def test_a_name_that_says_what_it_is_is_not_held_against_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(bmff(b"heic"))

    found = examine(path, max_size_bytes=500_000, root=tmp_path).found

    assert isinstance(found, Refusal)
    assert found.message == "`photo.heic` is a HEIC photo (as iPhones make them): open it and export it as JPEG"


def test_what_nothing_is_known_of_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"\x01\x02\x03\x04" * 20)

    found = examine(path, max_size_bytes=500_000, root=tmp_path).found

    assert isinstance(found, Refusal)
    assert found.message == "`a.pdf` is neither PDF nor PNG nor JPEG by its content"


def test_every_row_of_the_table_is_sampled() -> None:
    assert {each.name for each in OTHER_TYPES} == {
        each.name
        for each in OTHER_TYPES
        for body, _, _ in SAMPLES.values()
        if (found := other_type_of(body[:EXPLAINED_BYTES])) and found[0] == each.name
    }


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", b"<!--", b"<!---->", b"PK\x03\x04", b"<?xml", b"\x00"]))
def test_any_bytes_are_looked_at_without_a_fault(tail: bytes, head: bytes) -> None:
    body = head + tail

    if content_type_of(body) is None:
        assert other_type_of(body) is None or all(other_type_of(body) or ())


@pytest.mark.parametrize("piece", [b"<!---->", b"<!--", b"<?xml?>", b"PK\x03\x04word/", b" ", b"<svg", b"\0\0\0\0\0"])
def test_what_is_made_to_be_slow_is_looked_at_as_quickly(piece: bytes) -> None:
    body = (piece * EXPLAINED_BYTES)[:EXPLAINED_BYTES]

    found = other_type_of(body)  # an expression that goes back over its steps would not end

    assert found is None or found[0]
