"""Types by content, not by name: the first bytes decide."""

from batch_upload.model import ContentType

PDF_OFFSET_BYTES = 1_024
"""Readers accept that much before `%PDF-` (Adobe's PDF Reference 1.7, implementation note 13)."""
SNIFFED_BYTES = PDF_OFFSET_BYTES + 8

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PDF = b"%PDF-"
_EXTENSIONS = {
    ContentType.PDF: (".pdf",),
    ContentType.PNG: (".png",),
    ContentType.JPEG: (".jpg", ".jpeg"),
}


def content_type_of(head: bytes) -> ContentType | None:
    """The type of a document that begins with `head`, its first SNIFFED_BYTES; None if it is none of ours."""
    if head.startswith(_PNG):
        return ContentType.PNG
    if head.startswith(_JPEG):
        return ContentType.JPEG
    if 0 <= head.find(_PDF) <= PDF_OFFSET_BYTES:
        return ContentType.PDF
    return None


def extensions_of(content_type: ContentType) -> tuple[str, ...]:
    """The extensions, in lower case, that go with a type."""
    return _EXTENSIONS[content_type]


def is_named_as(source: str, content_type: ContentType) -> bool:
    """Whether a file's name has an extension that goes with a type; `.pdf` alone has none."""
    stem, _, extension = source.rpartition("/")[2].rpartition(".")
    return bool(stem) and f".{extension.lower()}" in extensions_of(content_type)
