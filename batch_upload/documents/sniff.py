"""Types by content, not by name: the first bytes decide.

The signatures, in the order of the table. Ours: PNG (W3C, Portable Network Graphics, 5.2), JPEG (ITU-T T.81, B.1.1.3:
SOI and the next marker), PDF (ISO 32000-1, 7.5.2). Others: ISO base media files, whose brand follows `ftyp` (ISO/IEC
14496-12, 4.3), with HEIC and HEIF (ISO/IEC 23008-12, annex B) and AVIF (AOM, AV1 Image File Format, 6) by brand; WebP
(RFC 9649, 2.4); GIF (CompuServe, GIF89a, 17); TIFF (Adobe, TIFF 6.0, section 2) and BigTIFF (its version 43); JPEG 2000
(ISO/IEC 15444-1, I.5.1 and A.4.1); JPEG XL (ISO/IEC 18181-2, 9.1, and 18181-1); BMP (Microsoft, BITMAPFILEHEADER);
Photoshop (Adobe, Photoshop File Formats); ZIP (PKWARE, APPNOTE.TXT 4.3.7 and 4.3.16), with Office Open XML by the names
of its parts (ECMA-376, part 1, 11 to 13) and OpenDocument by its first member (OASIS, OpenDocument 1.2, part 3, 3.3);
older Office files (Microsoft, [MS-CFB] 2.2); RTF (Microsoft, Rich Text Format 1.9.1); PostScript (Adobe, DSC 3.0);
gzip (RFC 1952, 2.3.1), 7z and RAR (their own format notes); Windows shortcuts (Microsoft, [MS-SHLLINK] 2.1); Git LFS
pointers (git-lfs, docs/spec.md); web pages (WHATWG, MIME Sniffing, 7.1).
"""

import re
from typing import NamedTuple

from batch_upload.document import EXTENSIONS
from batch_upload.model import ContentType

PDF_OFFSET_BYTES = 1_024
"""Readers accept that much before `%PDF-` (Adobe's PDF Reference 1.7, implementation note 13)."""
SNIFFED_BYTES = PDF_OFFSET_BYTES + 8
EXPLAINED_BYTES = 65_536
"""Bytes that are read of a file to name its type: the names of the parts of a ZIP file take some KB."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PDF = b"%PDF-"


def content_type_of(head: bytes) -> ContentType | None:
    """Return the type of a document by `head`, its first SNIFFED_BYTES; None if the service does not take it."""
    if head.startswith(_PNG):
        return ContentType.PNG
    if head.startswith(_JPEG):
        return ContentType.JPEG
    if 0 <= head.find(_PDF, 0, SNIFFED_BYTES) <= PDF_OFFSET_BYTES:
        return ContentType.PDF
    return None


def is_named_as(source: str, content_type: ContentType) -> bool:
    """Tell whether a file's name has an extension of a type. The name `.pdf` has none."""
    stem, _, extension = source.rpartition("/")[2].rpartition(".")
    return bool(stem) and f".{extension.lower()}" in EXTENSIONS[content_type]


class OtherType(NamedTuple):
    """A kind of file that the service does not take. `name` continues "the file is …"."""

    pattern: re.Pattern[bytes]
    """Matched at the beginning of the file."""
    name: str
    advice: str


_AS_JPEG = "open it and export it as JPEG"
_AS_PNG = "open it and export it as PNG"
_AS_PDF = "open it and save it as PDF"
_AGAIN = "copy or download it again"


def _starts(*beginnings: bytes) -> str:
    return "|".join(re.escape(each.decode("latin-1")) for each in beginnings)


_ZIP_START = _starts(b"PK\x03\x04")
_BLANKS = r"(?:\xef\xbb\xbf)?\s*"
_COMMENTS = r"(?:<!--(?:(?!-->).)*-->\s*)*"
_PAGE_ADVICE = "the download was answered by a page instead, perhaps one to log in: download it again"

_ROWS = (
    (r"....ftyp(?:hei[cmsx]|hev[cmx]|mif1|msf1)", "a HEIC photo (as iPhones make them)", _AS_JPEG),
    (r"....ftypavi[fs]", "an AVIF picture", _AS_JPEG),
    (r"....ftyp", "a video", "take a picture of the screen, as PNG or JPEG"),
    (r"RIFF....WEBP", "a WebP picture", _AS_PNG),
    (r"GIF8[79]a", "a GIF picture", _AS_PNG),
    (_starts(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), "a TIFF picture (as scanners make them)", _AS_PDF),
    (_starts(b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), "a JPEG 2000 picture", _AS_JPEG),
    (_starts(b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"\xff\x0a"), "a JPEG XL picture", _AS_JPEG),
    (r"BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "a BMP picture", _AS_PNG),
    (r"8BPS", "a Photoshop file", _AS_PNG),
    (_starts(b"\x89PNG\n", b"\x89PNG\r\r\n", b"\x89PNG\r\x1a", b"\x89PNG\x1a", b"\tPNG\r\n", b"\xc2\x89PNG",
             b"\xef\xbf\xbdPNG"), "a PNG that was damaged when it was sent as text", f"{_AGAIN}, as binary"),
    (_starts(b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", b"\xc3\xbf\xc3\x98\xc3\xbf"),
     "a JPEG that was damaged when it was sent as text", f"{_AGAIN}, as binary"),
    (rf"{_ZIP_START}.*word/(?:document|_rels|styles)", "a Word file", _AS_PDF),
    (rf"{_ZIP_START}.*xl/(?:workbook|_rels|worksheets)", "an Excel file", _AS_PDF),
    (rf"{_ZIP_START}.*ppt/(?:presentation|_rels|slides)", "a PowerPoint file", _AS_PDF),
    (rf"{_ZIP_START}.*(?:\[Content_Types\]\.xml|mimetypeapplication/vnd\.oasis\.)", "an Office file", _AS_PDF),
    (_starts(b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), "a ZIP archive", "unpack it and name the files in it"),
    (_starts(b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"), "an archive", "unpack it and name the files in it"),
    (_starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an older Office file (Word, Excel, Outlook)", _AS_PDF),
    (r"\{\\rtf", "an RTF text", _AS_PDF),
    (_starts(b"%!PS", b"\xc5\xd0\xd3\xc6"), "a PostScript file", "convert it to PDF"),
    (_starts(b"L\x00\x00\x00\x01\x14\x02\x00"), "a Windows shortcut", "copy the file that it leads to"),
    (r"version https://git-lfs\.github\.com/spec/", "a Git LFS pointer", "get the file itself with `git lfs pull`"),
    (r"(?:\.\./)*(?:\.git)?/annex/objects/", "a git-annex pointer", "get the file itself with `git annex get`"),
    (rf"{_BLANKS}{_COMMENTS}(?i:<!doctype html|<html|<head|<body|<script|<title|<meta)", "a web page",
     _PAGE_ADVICE),
    (rf"{_BLANKS}(?:<\?xml.*?\?>)?.{{0,2000}}?(?i:<html[ >])", "a web page",
     _PAGE_ADVICE),
    (rf"{_BLANKS}(?:<\?xml.*?\?>\s*)?{_COMMENTS}(?:<!DOCTYPE svg[^>]*>\s*)?{_COMMENTS}<svg[ >]", "an SVG drawing",
     _AS_PNG),
    (rf"{_BLANKS}<\?xml", "an XML file", "the download was perhaps answered by an error: download it again"),
    (r"JVBERi0|data:[a-z]+/[a-z]+;base64,|iVBORw0KGgo|/9j/", "a document in Base64", "decode it first"),
    (_starts(b"\xff\xfe", b"\xfe\xff"), "plain text in UTF-16", "print it to a PDF"),
    (r"HTTP/\d", "an answer of a web server with its headers", "save the document alone: download it again"),
    (r"(?:Received|Return-Path|MIME-Version|Delivered-To|From): ", "an e-mail", "save the attachment from it"),
    (r"\0{16,}\Z", "all zero bytes", f"the copy was not completed: {_AGAIN}"),
    (r"\0{512}", "a file that begins with zero bytes", f"the copy was not completed: {_AGAIN}"),
)  # fmt: skip
OTHER_TYPES = tuple(
    OtherType(re.compile(pattern.encode("latin-1"), re.DOTALL), name, advice) for pattern, name, advice in _ROWS
)
"""What people most often take for a document. Specific patterns come before general ones."""

_TEXT_BYTES = re.compile(rb"[\t\n\f\r\x20-\x7e\x80-\xff]+\Z")


def other_type_of(head: bytes) -> tuple[str, str] | None:
    """Return the type of a file that the service does not take, continuing "the file is …", and what to do.

    `head` is its first EXPLAINED_BYTES, or all of it. Returns None if the type is not known.
    """
    for pattern, name, advice in OTHER_TYPES:
        if pattern.match(head):
            return name, advice
    at = head.find(_PDF)
    if at > 0:
        return f"a PDF with {at:,} bytes before its beginning", "something was put before it: download it again"
    if head.startswith(_PDF[:4]) or _PNG.startswith(head) or _JPEG.startswith(head):
        return "cut off after its first bytes", _AGAIN
    if not _TEXT_BYTES.match(head):
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) - error.start >= 4:  # else a character that EXPLAINED_BYTES cut in two
            return None
    return "plain text", "print it to a PDF"
