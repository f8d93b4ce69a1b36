"""Compares a document with the registration form that it is for."""

from collections.abc import Iterator

from batch_upload.document import Document
from batch_upload.documents.copies import WarningCode
from batch_upload.documents.refusals import size_for_people
from batch_upload.escape import quoted
from batch_upload.form import Form
from batch_upload.model import ContentType, Listed, Problem


def mismatches(listed: Listed, document: Document | None, *, manifest: str) -> Iterator[Problem]:
    """Yield a warning for each demand of the attachment's form that its document does not meet.

    Pixels that are not known are not compared. `document` is None for a URL. `manifest`: as the user named it.
    """
    form = listed.form
    if form is None or document is None:
        return
    shown, named = quoted(listed.source), f"the form `{form.name}`"
    if form.types is not None and document.content_type not in form.types:
        best = next(each for each in (ContentType.PNG, ContentType.JPEG, ContentType.PDF) if each in form.types)
        message = f"{shown} is a {document.content_type.name}, {named} takes {form.types_text}: save it as {best.name}"
        yield Problem(manifest, listed.at, WarningCode.FORM_TYPE, message)
    if form.max_size_bytes is not None and document.size_bytes > form.max_size_bytes:
        size, limit = size_for_people(document.size_bytes), size_for_people(form.max_size_bytes)
        message = f"{shown} has {size}, {named} takes no more than {limit}: make it smaller"
        yield Problem(manifest, listed.at, WarningCode.FORM_SIZE, message)
    pixels = None if document.insight is None else document.insight.pixels
    if pixels is not None and (advice := _advice_on_pixels(pixels, form)):
        message = f"{shown} is {pixels[0]} x {pixels[1]} pixels, {named} takes {form.pixels_text}: {advice}"
        yield Problem(manifest, listed.at, WarningCode.FORM_PIXELS, message)


def _advice_on_pixels(pixels: tuple[int, int], form: Form) -> str:
    """Return what to do about a picture with other pixels than the form takes, or nothing."""
    (width, height), wanted = pixels, form.pixels
    if wanted is not None and pixels != wanted:
        return "scale it" if width * wanted[1] == height * wanted[0] else "crop it to that shape and scale it"
    if form.min_pixels is not None and (width < form.min_pixels[0] or height < form.min_pixels[1]):
        return "use a larger one"
    return ""
