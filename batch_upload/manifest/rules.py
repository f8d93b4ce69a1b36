"""What the texts of a manifest must be. Each rule gives what is wrong, in words, or None."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import quoted, quoted_path
from batch_upload.model import KB, KIB, MAX_SIZE_SERVICE_BYTES
from batch_upload.spelling import REGION_PATTERN, url_advice

TAGS_LIMIT = 50
"""Of one attachment, the identity tag counted."""
TAG_KEY_LENGTH = 128
TAG_VALUE_LENGTH = 256
ID_LENGTH = 1_024
URL_LENGTH = 2_048

BATCH_LENGTH = 64
BATCH_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
NUMBER_PATTERN = r"[1-9][0-9]{0,14}"
"""From 1, and small enough to be the same number in JSON everywhere."""
SIZE_PATTERN = r"[1-9][0-9]{0,8}(KB|KiB|MB|MiB|B)?"
ACCOUNT_PATTERN = r"[0-9]{12}"
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
        advice = url_advice(text) if code is Code.URL else ""
        return code, f"{demand}: {quoted(text)}{advice and f'; {advice}'}"
    if code is Code.URL and len(text) > URL_LENGTH:
        return code, f"`url` has {len(text)} characters: at most {URL_LENGTH} are allowed"
    return None


def wrong_with_text(name: str, text: str) -> Wrong | None:
    """For ids, paths, patterns and names: there must be something, and no control characters."""
    if not text:
        return Code.EMPTY_VALUE, f"{quoted(name)} must not be empty"
    if not text.isprintable() and (found := _CONTROL.search(text)):
        return Code.CONTROL_CHARACTER, f"{quoted(name)} has {_control_words(found[0])}: remove it from {quoted(text)}"
    return None


def wrong_with_file(source: str) -> Wrong | None:
    """For the path of a file, as text: one that ends with `/` means a folder, whatever is there."""
    if not source.endswith(("/", "/.")):
        return None
    bare = source.rstrip("/.")
    return Code.FOLDER, f"{quoted(source)} ends as only folders do: write {quoted(bare)} for a file, or use a `glob`"


def wrong_with_name(path: str) -> Wrong | None:
    """For an id that is the path of a file as it was found: what cannot be an id is a name that must be changed."""
    if len(path) > ID_LENGTH:
        return Code.ID, f"the path {quoted_path(path)} has {len(path)} characters, at most {ID_LENGTH}: shorten it"
    return wrong_with_path(path)


def wrong_with_path(path: str) -> Wrong | None:
    """For the path of a file that is to be named in a manifest, whatever its id."""
    if not path.isascii() and any("\ud800" <= char <= "\udfff" for char in path):
        return Code.ID, f"the name {quoted_path(path)} is not UTF-8: rename the file"
    if not path.isprintable() and (found := _CONTROL.search(path)):
        return Code.CONTROL_CHARACTER, f"the name {quoted_path(path)} has {_control_words(found[0])}: rename the file"
    return None


def wrong_with_escape(name: str, text: str) -> str | None:
    """What to say of a control character that was written in double quotes, as `\\n` is."""
    found = _CONTROL.search(text)
    escape = found and _ESCAPES.get(found[0])
    if not found or not escape:
        return None
    advice = "write paths with `/`, or use single quotes" if name in ("file", "glob") else "use single quotes"
    return f"{quoted(name)} has {_control_words(found[0])}, since `{escape}` in double quotes means one: {advice}"


_ESCAPES = {"\0": r"\0", "\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r",
            "\x1b": r"\e", "\x85": r"\N", "\u2028": r"\L", "\u2029": r"\P"}  # fmt: skip
"""Characters that one letter behind a backslash stands for (YAML 1.2.2, 5.7)."""


def _control_words(char: str) -> str:
    if char in "\n\r\x85\u2028\u2029":
        return "a line break"
    return "a tab" if char == "\t" else f"the control character U+{ord(char):04X}"


def wrong_with_id(text: str) -> Wrong | None:
    """For an id, given or derived from a path."""
    if len(text) > ID_LENGTH:
        return Code.ID, f"an id has at most {ID_LENGTH} characters, this has {len(text)}: give a shorter `id`"
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return Code.ID, f"the name {quoted(text)} is not UTF-8: rename the file"
    return wrong_with_text("id", text)


@lru_cache(maxsize=1_000)  # the same few keys on every entry
def wrong_with_tag_key(key: str) -> Wrong | None:
    """For a tag's key: its length, its characters, and the prefixes that others own."""
    if not 1 <= len(key) <= TAG_KEY_LENGTH:
        return Code.TAG_KEY, f"a tag's key has 1 to {TAG_KEY_LENGTH} characters, this has {len(key)}"
    if bad := _not_allowed_in_tag(key):
        message = f"{_named(bad)} is not allowed in the tag key {quoted(key)}: {_TAG_DEMAND}"
        return Code.TAG_KEY, f"{message}{_composed_advice(bad, key)}"
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
        message = f"{_named(bad)} is not allowed in the tag {quoted(key)}: {quoted(value)}; {_TAG_DEMAND}"
        return Code.TAG_VALUE, f"{message}{_composed_advice(bad, value)}"
    return None


def _named(char: str) -> str:
    """A character in a message. An accent would else be drawn over the quotation mark."""
    if unicodedata.category(char)[0] == "M":
        return f"the accent or vowel sign U+{ord(char):04X}"
    return quoted(char)


def _composed_advice(bad: str, text: str) -> str:
    """What to do about an accent that could be part of its letter, as Macs write names."""
    composed = unicodedata.normalize("NFC", text)
    if unicodedata.category(bad)[0] != "M" or bad in composed:
        return ""
    return f". Each accented letter is two characters here (NFD, as Macs write names): type it anew, {quoted(composed)}"


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


def batch_of(name: str) -> str | None:
    """The name of a batch that is made of a file's or folder's name; None where nothing of it can stand in one."""
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    batch = re.sub(r"[^a-z0-9._]+", "-", bare).lstrip("-._")[:BATCH_LENGTH].rstrip("-._")
    return batch if re.fullmatch(BATCH_PATTERN, batch) else None


TEMPLATE_NAMES = ("stem", "name", "parent", "id", "batch")
"""What may stand in braces in a tag's value, and nothing else that braces can do elsewhere."""

_TEMPLATE_PIECE = re.compile(r"\{\{|\}\}|\{([a-z]+)\}|[{}]")


def has_braces(text: str) -> bool:
    """Whether a text is a template at all."""
    return "{" in text or "}" in text


def wrong_with_template(text: str) -> str | None:
    """What is wrong with a template, in words, or None."""
    for piece in _TEMPLATE_PIECE.finditer(text):
        if piece[0] in ("{", "}") or (piece[1] is not None and piece[1] not in TEMPLATE_NAMES):
            rest = quoted(text[piece.start() :])
            return f"{rest} is not a template: {_TEMPLATE_DEMAND}, and `{{{{` and `}}}}` for braces"
    return None


_TEMPLATE_DEMAND = ", ".join(f"`{{{name}}}`" for name in TEMPLATE_NAMES) + " are"


def render(text: str, values: Mapping[str, str]) -> str:
    """A template without fault, with its names replaced. What was put in is not looked at again."""
    return _TEMPLATE_PIECE.sub(lambda piece: values[piece[1]] if piece[1] is not None else piece[0][0], text)
