"""Registration forms: what each takes for one of its attachments."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_upload.model import ContentType


@dataclass(frozen=True, slots=True)
class Form:
    """What a registration form takes for one of its attachments. A demand that it does not have is None.

    `pixels` and `min_pixels`: width and height of a picture. `source` is the address that the numbers come from, and
    `date` the day on which they were read there; both are empty for a form of the manifest's own.
    """

    name: str
    types: "frozenset[ContentType] | None" = None
    max_size_bytes: int | None = None
    pixels: tuple[int, int] | None = None
    min_pixels: tuple[int, int] | None = None
    about: str = ""
    """What the attachment is, in a few words."""
    source: str = ""
    date: str = ""

    @property
    def types_text(self) -> str:
        """Its types in words, such as "PNG or JPEG"; empty if it takes any."""
        given = [each.name for each in self.types or ()]
        *names, last = sorted(given, key=("PDF", "PNG", "JPEG").index) or [""]
        return f"{', '.join(names)} or {last}" if names else last

    @property
    def pixels_text(self) -> str:
        """Its pixels in words, such as "224 x 224"; empty if it takes any."""
        width, height = self.pixels or self.min_pixels or (0, 0)
        return "" if not width else f"{'' if self.pixels else 'at least '}{width} x {height}"


def limiting_form(form: Form | None, max_size_bytes: int) -> str | None:
    """Return the name of a form whose size is this limit; None if the limit is another."""
    return form.name if form is not None and form.max_size_bytes == max_size_bytes else None
