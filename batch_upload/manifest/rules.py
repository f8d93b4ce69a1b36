"""What the texts of a manifest must be. Each rule gives what is wrong, in words, or None."""

import re
import unicodedata

from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import quoted
from batch_upload.model import KB, KIB, MAX_SIZE_SERVICE_BYTES

TAGS_LIMIT = 50
"""Of one attachment, the identity tag counted."""
TAG_KEY_LENGTH = 128
TAG_VALUE_LENGTH = 256
ID_LENGTH = 1_024
URL_LENGTH = 2_048

BATCH_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
NUMBER_PATTERN = r"[1-9][0-9]{0,14}"
"""From 1, and small enough to be the same number in JSON everywhere."""
SIZE_PATTERN = r"[1-9][0-9]{0,8}(KB|KiB|MB|MiB|B)?"
ACCOUNT_PATTERN = r"[0-9]{12}"
REGION_PATTERN = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"
ROLE_ARN_PATTERN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,512}"
URL_PATTERN = r"s3://[A-Za-z0-9][A-Za-z0-9._-]*/\S+"

Wrong = tuple[Code, str]

_UNITS = {"": 1, "B": 1, "KB": KB, "KiB": KIB, "MB": KB * KB, "MiB": KIB * KIB}
_SIZE = re.compile(r"([1-9][0-9]{0,8})(KB|KiB|MB|MiB|B)?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TAG_ASCII = re.compile(r"[A-Za-z0-9 _.:/=+@-]*")
_TAG_PUNCTUATION = frozenset("_.:/=+-@")
_WORDS: dict[Code, tuple[re.Pattern[str], str]] = {
    Code.BATCH: (
        re.compile(BATCH_PATTERN),
        "`batch` must be 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, and begin with a letter or digit",
    ),
    Code.REGION: (re.compile(REGION_PATTERN), "`region` must be a Region such as `us-east-1`"),
    Code.ACCOUNT: (re.compile(ACCOUNT_PATTERN), "`account` must be 12 digits"),
    Code.ROLE_ARN: (
        re.compile(ROLE_ARN_PATTERN),
        "`role_arn` must be the ARN of a role, such as `arn:aws:iam::123456789012:role/uploader`",
    ),
    Code.URL: (
        re.compile(URL_PATTERN),
        "`url` must be `s3://BucketName/FileName`, without white space",
    ),
}


def wrong_with_word(code: Code, text: str) -> Wrong | None:
    """For what has a pattern: `batch`, `region`, `account`, `role_arn`, `url`."""
    pattern, demand = _WORDS[code]
    if pattern.fullmatch(text) is None:
        return code, f"{demand}: {quoted(text)}"
    if code is Code.URL and len(text) > URL_LENGTH:
        return code, f"`url` has {len(text)} characters: at most {URL_LENGTH} are allowed"
    return None


def wrong_with_text(name: str, text: str) -> Wrong | None:
    """For ids, paths, patterns and names: there must be something, and no control characters."""
    if not text:
        return Code.EMPTY_VALUE, f"{quoted(name)} must not be empty"
    if not text.isprintable() and (found := _CONTROL.search(text)):
        return Code.CONTROL_CHARACTER, f"{quoted(name)} has the control character U+{ord(found.group()):04X}: remove it"
    return None


def wrong_with_id(text: str) -> Wrong | None:
    """For an id, given or derived from a path."""
    if len(text) > ID_LENGTH:
        return Code.ID, f"an id has at most {ID_LENGTH} characters, this has {len(text)}: give a shorter `id`"
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return Code.ID, f"the name {quoted(text)} is not UTF-8: rename the file"
    return wrong_with_text("id", text)


def wrong_with_tag_key(key: str) -> Wrong | None:
    """For a tag's key: its length, its characters, and the prefixes that others own."""
    if not 1 <= len(key) <= TAG_KEY_LENGTH:
        return Code.TAG_KEY, f"a tag's key has 1 to {TAG_KEY_LENGTH} characters, this has {len(key)}"
    if bad := _not_allowed_in_tag(key):
        return Code.TAG_KEY, f"{quoted(bad)} is not allowed in the tag key {quoted(key)}: {_TAG_DEMAND}"
    if key[:4].lower() == "aws:":
        return Code.TAG_RESERVED, f"the tag {quoted(key)} begins with `aws:`, which AWS keeps for itself: rename it"
    if key.startswith("batch-upload:"):
        return Code.TAG_RESERVED, f"the tag {quoted(key)} begins with `batch-upload:`, which is kept for us: rename it"
    return None


def wrong_with_tag_value(key: str, value: str) -> Wrong | None:
    """For a tag's value without templates, or after them."""
    if len(value) > TAG_VALUE_LENGTH:
        message = f"the tag {quoted(key)} has {len(value)} characters: at most {TAG_VALUE_LENGTH} are allowed"
        return Code.TAG_VALUE, message
    if bad := _not_allowed_in_tag(value):
        return Code.TAG_VALUE, f"{quoted(bad)} is not allowed in the tag {quoted(key)}: {quoted(value)}; {_TAG_DEMAND}"
    return None


_TAG_DEMAND = "letters, digits, spaces and `_.:/=+-@` are"


def _not_allowed_in_tag(text: str) -> str | None:
    if _TAG_ASCII.fullmatch(text):
        return None
    return next((char for char in text if not _is_allowed_in_tag(char)), None)


def _is_allowed_in_tag(char: str) -> bool:
    # Letters, numbers and separators of any script, as in AWS's own `[\p{L}\p{Z}\p{N}_.:/=+\-@]`.
    return char in _TAG_PUNCTUATION or unicodedata.category(char)[0] in "LNZ"


def number(text: str) -> int | None:
    """A whole number from 1 in plain digits, or None."""
    return int(text) if re.fullmatch(NUMBER_PATTERN, text) else None


def size_bytes(text: str) -> int | None:
    """A size from 1 byte to what the service takes, or None."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    size = int(found[1]) * _UNITS[found[2] or ""]
    return size if size <= MAX_SIZE_SERVICE_BYTES else None
