"""Why a file cannot be sent: the codes, and how people are told."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from batch_upload.documents.sniff import other_type_of
from batch_upload.model import KB, KIB, MAX_SIZE_SERVICE_BYTES


class RefusalCode(StrEnum):
    """What is wrong with a file. Codes are only ever added."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    OUTSIDE = "outside"
    FOLDER = "folder"
    NOT_REGULAR = "not-regular"
    EMPTY = "empty"
    TOO_LARGE = "too-large"
    UNSUPPORTED_TYPE = "unsupported-type"
    WRONG_EXTENSION = "wrong-extension"
    CHANGED_SINCE_PLAN = "changed_since_plan"


MEANINGS: dict[RefusalCode, str] = {
    RefusalCode.MISSING: "the file does not exist, or is a link that leads nowhere",
    RefusalCode.UNREADABLE: "the file cannot be opened or read",
    RefusalCode.OUTSIDE: "the file is outside the manifest's folder, perhaps through a symlink",
    RefusalCode.FOLDER: "the path is that of a folder, not of a file",
    RefusalCode.NOT_REGULAR: "the path is that of a device, FIFO or socket",
    RefusalCode.EMPTY: "the file has no bytes",
    RefusalCode.TOO_LARGE: "the file is larger than its `max_size`",
    RefusalCode.UNSUPPORTED_TYPE: "the content is neither PDF nor PNG nor JPEG, whatever the name says",
    RefusalCode.WRONG_EXTENSION: "the extension does not go with the content",
    RefusalCode.CHANGED_SINCE_PLAN: "the bytes are no longer those that were planned; they were not sent",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that will not be sent. `code` is stable, `message` is for people."""

    code: RefusalCode
    message: str


def printable(name: str | Path) -> str:
    """A name for messages: control characters, bidi overrides and bytes that are not UTF-8 are escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(name))


def quoted(name: str | Path) -> str:
    """The same, in backticks."""
    return f"`{printable(name)}`"


def for_people(size_bytes: int) -> str:
    """A size in bytes and in KB, rounded up, so that it never looks smaller than it is."""
    return f"{size_bytes:,} bytes ({-(-size_bytes // KB):,} KB)"


def too_large(path: str | Path, size_bytes: int, max_size_bytes: int, *, key: str = "file") -> Refusal:
    """`size_bytes` is what the file has, or at least has. `key` is where the file was named; see `examine`."""
    message = f"{quoted(path)} has {for_people(size_bytes)}, its limit is {for_people(max_size_bytes)}"
    if size_bytes > MAX_SIZE_SERVICE_BYTES:
        advice = f"the service takes no more than {for_people(MAX_SIZE_SERVICE_BYTES)}, make it smaller"
    elif key == "file":
        advice = f"make it smaller, or set `max_size: {_roomy(size_bytes)}`"
    else:
        advice = f"make it smaller, or add `--max-size {_roomy(size_bytes)}` (most registration forms take only 500 KB)"
    return Refusal(RefusalCode.TOO_LARGE, f"{message}: {advice}")


def of_other_type(name: str | Path, head: bytes) -> Refusal:
    """Why a file is refused whose content is no PDF, PNG or JPEG. `head` is its first EXPLAINED_BYTES, or all of it."""
    found = other_type_of(head)
    if found is None:
        message = f"{quoted(name)} is neither PDF nor PNG nor JPEG by its content"
    else:
        suffix = Path(name).suffix
        is_named_ours = suffix.lower() in (".pdf", ".png", ".jpg", ".jpeg")
        although = f", although it is named `{suffix}`" if is_named_ours else ""
        message = f"{quoted(name)} is {found[0]}{although}: {found[1]}"
    return Refusal(RefusalCode.UNSUPPORTED_TYPE, message)


def _roomy(size_bytes: int) -> str:
    """The next size that is easily written: whole 100 KB, then whole MiB."""
    if size_bytes <= 1_000 * KB:
        return f"{-(-size_bytes // (100 * KB)) * 100}KB"
    return f"{-(-size_bytes // (KIB * KIB))}MiB"
