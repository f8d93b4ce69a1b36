"""What the service looks at in a request's document and tags, beyond the model."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from batch_upload.emulator.model import Misfit

MAX_TAGS = 50
"""On one resource. The list's bound of 200 in the model is the request's."""
PDF_HEADER_WITHIN_BYTES = 1_024
URL_FORM = re.compile(r"s3://[^/\s]+/\S+")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")


def content_type_of(body: bytes) -> str | None:
    """The media type by content, or None for what the service does not take."""
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    # Readers accept up to 1,024 bytes of anything before the header of a PDF.
    if b"%PDF-" in body[: PDF_HEADER_WITHIN_BYTES + len(b"%PDF-")]:
        return "application/pdf"
    return None


def tag_misfits(keys: Sequence[str], values: Sequence[str]) -> Iterator[Misfit]:
    """What is wrong with tags that fit the model, named as in the request."""
    seen: set[str] = set()
    for index, (key, value) in enumerate(zip(keys, values, strict=True)):
        if key in seen:
            yield Misfit(f"Tags.{index}.Key", "must be unique")
        seen.add(key)
        yield from _text_misfits(index, key, value)


def _text_misfits(index: int, key: str, value: str) -> Iterator[Misfit]:
    if key.lower().startswith("aws:"):
        yield Misfit(f"Tags.{index}.Key", "must not begin with aws:, which is reserved")
    for name, text in (("Key", key), ("Value", value)):
        if not _is_tag_text(text):
            yield Misfit(f"Tags.{index}.{name}", "may hold letters, digits, white space and _ . : / = + - @")


def _is_tag_text(text: str) -> bool:
    if _PLAIN_TEXT.fullmatch(text):
        return True
    return all(char in "_.:/=+-@" or unicodedata.category(char)[0] in "LZN" for char in text)


def fingerprint(content: bytes, tags: Mapping[str, str], *, is_url: bool) -> str:
    """Equal for equal parameters of a create; `content` is the document or the URL."""
    digest = hashlib.sha256(content).hexdigest()
    return hashlib.sha256(json.dumps([is_url, digest, sorted(tags.items())]).encode()).hexdigest()
