"""What is known of files: shared by the code that reads them and the ledger that remembers it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from batch_upload.errors import ProblemCode
from batch_upload.model import ContentType, Listed

EXTENSIONS: Mapping[ContentType, tuple[str, ...]] = {
    ContentType.PDF: (".pdf",),
    ContentType.PNG: (".png",),
    ContentType.JPEG: (".jpg", ".jpeg"),
}
"""The extensions that a file of each type may have, in lower case."""
DATABASE_HEADER = b"SQLite format 3\0"
"""The first bytes of a SQLite file, such as a ledger (https://www.sqlite.org/fileformat.html)."""
EVERY_EXTENSION = tuple(extension for extensions in EXTENSIONS.values() for extension in extensions)


class FlawCode(ProblemCode):
    """What a look inside a document finds. Codes are only ever added."""

    LOCKED = "locked", "the PDF asks for a password when it is opened"
    DAMAGED = "damaged", "the PDF cannot be opened, or the picture cannot be decoded"
    CUT_OFF = "cut-off", "the end of the document is missing"
    NO_PAGE = "no-page", "the PDF has no page"
    XFA_ONLY = "xfa-only", "the PDF is an XFA form, which most viewers show as one page that asks to wait"
    ONE_PIXEL = "one-pixel", "the picture is a single pixel"
    NOT_CHECKED = "not-checked", "the document could not be checked within the limits of time, memory and size"
    TRANSPARENT = "transparent", "a guess: every pixel is transparent, so that the picture shows nothing"
    CMYK = "cmyk", "a guess: the picture has the colours of print (CMYK), which many viewers show wrongly"
    ANIMATED = "animated", "a guess: the picture is animated, and only its first frame may be seen"
    ROTATED = "rotated", "a guess: the picture is turned by its EXIF data, and may be seen on its side"
    HUGE_PAGE = "huge-page", "a guess: a page is larger than 14,400 points (200 inches), the limit of many viewers"


_FLAW_CODES = {each.value: each for each in FlawCode}


class Flaw(NamedTuple):
    """Something wrong inside a document. `message` continues the document's name, and says what to do."""

    code: FlawCode
    message: str


class Insight(NamedTuple):
    """What a look inside a document found. `pixels`: width and height of a picture as stored, before EXIF turns it."""

    pixels: tuple[int, int] | None = None
    pages: int | None = None
    flaws: tuple[Flaw, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the members that are not empty, as values that JSON can hold."""
        return {name: value for name, value in self._asdict().items() if value not in (None, ())}

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> "Insight":
        """Return the insight of which `as_json` made `value`. Other members are ignored."""
        pixels = value.get("pixels")
        flaws = tuple(Flaw(_FLAW_CODES[code], message) for code, message in value.get("flaws", ()))
        return Insight(None if pixels is None else (pixels[0], pixels[1]), value.get("pages"), flaws)


INSIGHT_VERSION = 1
"""Version of the look inside. Raise it when a look finds other flaws or words them differently: documents are then
looked into again."""


class Document(NamedTuple):
    """The content of a file. `path` is resolved, `sha256` is lower-case hex. `insight`: None without a look inside."""

    path: str
    sha256: str
    size_bytes: int
    content_type: ContentType
    insight: Insight | None = None


class Fingerprint(NamedTuple):
    """The metadata of a file that change with its content. While they are the same, the file is not read again.

    `mtime_ns` in nanoseconds since 1970. `device` and `inode` are any 64 bits.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


class RememberedDigest(NamedTuple):
    """The content of a file when it was last read, and its fingerprint then. `sha256` is lower-case hex.

    `insight`: None without a look inside, or if the look was one of another INSIGHT_VERSION.
    """

    fingerprint: Fingerprint
    sha256: str
    content_type: ContentType
    insight: Insight | None = None


class YoungFile(NamedTuple):
    """A match that was changed less than `min_age` ago: perhaps it is still being written. A later run takes it."""

    listed: Listed
    min_age_s: float
    is_future: bool
    """Whether its time of change is in the future, as by the clock of another host. Such a file counts as young."""
