"""What the texts of a manifest must be. A `wrong_with_…` returns the code and message of a problem, or None."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from batch_upload.escape import quoted_path
from batch_upload.manifest.filters import TAG_VALUE_LENGTH, TagChanged, filtered, filters_of, not_allowed_in_tag
from batch_upload.manifest.patterns import alternatives
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.model import KB, KIB, MAX_SIZE_SERVICE_BYTES
from batch_upload.spelling import REGION_PATTERN, url_advice

TAGS_LIMIT = 50
"""Of one attachment, the identity tag counted."""
TAG_KEY_LENGTH = 128
ID_LENGTH = 1_024
URL_LENGTH = 2_048

BATCH_LENGTH = 64
BATCH_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
NUMBER_PATTERN = r"[1-9][0-9]{0,14}"
"""From 1, and small enough to be the same number in JSON everywhere."""
SIZE_PATTERN = r"[1-9][0-9]{0,8}(KB|KiB|MB|MiB|B)?"
DURATION_PATTERN = r"(0|[1-9][0-9]{0,5})[smh]"
ACCOUNT_PATTERN = r"[0-9]{12}"
ROLE_ARN_PATTERN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,512}"
TARGET_NAME_PATTERN = r"(?!all$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""Without `/` and `:`, which `NAME/REGION` and `group:NAME` have, and not `all`."""
GROUP_PATTERN = r"[^\s,]{1,256}"
"""Without commas, which separate the names in `BATCH_UPLOAD_TARGET`."""
VARIABLE_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]{0,127}"
EXTERNAL_ID_PATTERN = r"(env:[A-Za-z_][A-Za-z0-9_]*|(?!env:)[A-Za-z0-9_+=,.@:/-]{2,1224})"
"""As AssumeRole takes it (botocore 1.43.117, `externalIdType`), or the name of a variable."""
FORM_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PIXELS_PATTERN = r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}"
"""Width and height of a picture."""
URL_PATTERN = r"s3://[A-Za-z0-9][A-Za-z0-9._-]*/\S+"

Wrong = tuple[Code, str]

_BYTES_OF_UNIT = {"": 1, "B": 1, "KB": KB, "KiB": KIB, "MB": KB * KB, "MiB": KIB * KIB}
_SECONDS_OF_UNIT = {"s": 1, "m": 60, "h": 3_600}
_SIZE = re.compile(r"([1-9][0-9]{0,8})(KB|KiB|MB|MiB|B)?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_YAML_ESCAPES = {"\0": r"\0", "\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r",
                 "\x1b": r"\e", "\x85": r"\N", "\u2028": r"\L", "\u2029": r"\P"}  # fmt: skip
"""Characters that one letter after a backslash stands for (YAML 1.2.2, 5.7)."""
_PATTERNS: dict[Code, tuple[str, str]] = {
    Code.BATCH: (
        BATCH_PATTERN,
        "`batch` must be 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, and begin with a letter or digit",
    ),
    Code.REGION: (REGION_PATTERN, "`region` must be a Region such as `us-east-1`"),
    Code.ACCOUNT: (ACCOUNT_PATTERN, "`account` must be 12 digits"),
    Code.ROLE_ARN: (
        ROLE_ARN_PATTERN,
        "`role_arn` must be the ARN of a role, such as `arn:aws:iam::123456789012:role/uploader`",
    ),
    Code.TARGET_NAME: (
        TARGET_NAME_PATTERN,
        "the name of a target must be 1 to 128 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, begin with a letter or digit, and"
        " not be `all`",
    ),
    Code.GROUP: (GROUP_PATTERN, "a group must be 1 to 256 characters without white space and commas"),
    Code.VARIABLE: (VARIABLE_PATTERN, "the name of a variable must be letters, digits, `_` and `-`"),
    Code.EXTERNAL_ID: (
        EXTERNAL_ID_PATTERN,
        "`external_id` must be `env:NAME` of a variable, or 2 to 1,224 of letters, digits and `_+=,.@:/-`",
    ),
    Code.FORM: (
        FORM_NAME_PATTERN,
        "the name of a form must be 1 to 64 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, and begin with a letter or digit",
    ),
    Code.URL: (URL_PATTERN, "`url` must be `s3://BucketName/FileName`, without white space"),
}


def wrong_with_word(code: Code, text: str) -> Wrong | None:
    """Check a text that has a pattern: `batch`, `region`, `account`, `role_arn`, `url`, names of targets and forms."""
    pattern, demand = _PATTERNS[code]
    if re.fullmatch(pattern, text) is None:
        advice = url_advice(text) if code is Code.URL else ""
        return code, f"{demand}: {excerpt(text)}{advice and f'; {advice}'}"
    if code is Code.URL and len(text) > URL_LENGTH:
        return code, f"`url` has {len(text)} characters: at most {URL_LENGTH} are allowed"
    return None


def wrong_with_text(name: str, text: str) -> Wrong | None:
    """Check an id, path, pattern or name: it must not be empty or have control characters."""
    if not text:
        return Code.EMPTY_VALUE, f"{excerpt(name)} must not be empty"
    if not text.isprintable() and (found := _CONTROL.search(text)):
        return Code.CONTROL_CHARACTER, f"{excerpt(name)} has {_control_words(found[0])}: remove it from {excerpt(text)}"
    return None


def wrong_with_escape(name: str, text: str) -> str | None:
    """Return the message for a control character that was written in double quotes, as `\\n` is."""
    found = _CONTROL.search(text)
    escape = found and _YAML_ESCAPES.get(found[0])
    if not found or not escape:
        return None
    advice = "write paths with `/`, or use single quotes" if name in ("file", "glob") else "use single quotes"
    return f"{excerpt(name)} has {_control_words(found[0])}, since `{escape}` in double quotes means one: {advice}"


def _control_words(char: str) -> str:
    if char in "\n\r\x85\u2028\u2029":
        return "a line break"
    return "a tab" if char == "\t" else f"the control character U+{ord(char):04X}"


def wrong_with_file(source: str) -> Wrong | None:
    """Check the path of a `file` by its text: one that ends with `/` means a folder, whatever is there."""
    if not source.endswith(("/", "/.")):
        return None
    bare = source.rstrip("/.")
    return Code.FOLDER, f"{excerpt(source)} ends as only folders do: write {excerpt(bare)} for a file, or use a `glob`"


def wrong_with_pattern(text: str) -> Wrong | None:
    """Check that the braces of a pattern do not stand for too many patterns."""
    try:
        alternatives(text)
    except ValueError as error:
        return Code.PATTERN, f"the braces in {excerpt(text)} stand for {error}: write several, or `*`"
    return None


def wrong_with_found_path(path: str) -> Wrong | None:
    """Check the path of a file that a pattern found, which becomes its id."""
    if len(path) > ID_LENGTH:
        return Code.ID, f"the path {quoted_path(path)} has {len(path)} characters, at most {ID_LENGTH}: shorten it"
    return wrong_with_path(path)


def wrong_with_path(path: str) -> Wrong | None:
    """Check the path of a file that a manifest is to name, whatever its id."""
    if not path.isascii() and has_surrogate(path):
        return Code.ID, f"the name {quoted_path(path)} is not UTF-8: rename the file"
    if not path.isprintable() and (found := _CONTROL.search(path)):
        return Code.CONTROL_CHARACTER, f"the name {quoted_path(path)} has {_control_words(found[0])}: rename the file"
    return None


def wrong_with_id(text: str) -> Wrong | None:
    """Check an id, whether it is given or made of a path."""
    if len(text) > ID_LENGTH:
        return Code.ID, f"an id has at most {ID_LENGTH} characters, this has {len(text)}: give a shorter `id`"
    if not text.isascii() and has_surrogate(text):
        return Code.ID, f"the name {excerpt(text)} is not UTF-8: rename the file"
    return wrong_with_text("id", text)


def has_surrogate(text: str) -> bool:
    """Tell whether a text has a lone surrogate. Python decodes to these the bytes of a path that are not UTF-8."""
    return any("\ud800" <= char <= "\udfff" for char in text)


@lru_cache(maxsize=1_000)  # most entries have the same few keys
def wrong_with_tag_key(key: str) -> Wrong | None:
    """Check the key of a tag: length, characters, and reserved prefixes."""
    if not 1 <= len(key) <= TAG_KEY_LENGTH:
        return Code.TAG_KEY, f"a tag's key has 1 to {TAG_KEY_LENGTH} characters, this has {len(key)}"
    if bad := not_allowed_in_tag(key):
        return Code.TAG_KEY, _not_allowed_message(bad, key, f"the tag key {excerpt(key)}:")
    if key[:4].lower() == "aws:":
        return Code.TAG_RESERVED, f"the tag {excerpt(key)} begins with `aws:`, which AWS keeps for itself: rename it"
    if key.startswith("batch-upload:"):
        return Code.TAG_RESERVED, f"the tag {excerpt(key)} begins with `batch-upload:`, which is kept for us: rename it"
    return None


def wrong_with_tag_value(key: str, value: str) -> Wrong | None:
    """Check the value of a tag that is no template, or is filled in already."""
    if len(value) > TAG_VALUE_LENGTH:
        message = f"the tag {excerpt(key)} has {len(value)} characters: at most {TAG_VALUE_LENGTH} are allowed"
        return Code.TAG_VALUE, message
    if bad := not_allowed_in_tag(value):
        return Code.TAG_VALUE, _not_allowed_message(bad, value, f"the tag {excerpt(key)}: {excerpt(value)};")
    return None


def are_tag_values(texts: Sequence[str]) -> bool:
    """Tell whether each of many texts, at least one, may be a tag's value."""
    return not_allowed_in_tag("".join(texts)) is None and max(map(len, texts)) <= TAG_VALUE_LENGTH


def _not_allowed_message(bad: str, text: str, where: str) -> str:
    is_accent = unicodedata.category(bad)[0] == "M"
    # An accent in backticks would be drawn over one of them.
    named = f"the accent or vowel sign U+{ord(bad):04X}" if is_accent else excerpt(bad)
    message = f"{named} is not allowed in {where} letters, digits, spaces and `_.:/=+-@` are"
    composed = unicodedata.normalize("NFC", text)
    if not is_accent or bad in composed:
        return message
    how = "Each accented letter is two characters here (NFD, as Macs write names)"
    return f"{message}. {how}: type it anew, {excerpt(composed)}"


def number(text: str) -> int | None:
    """Return a whole number from 1 in plain digits, or None."""
    return int(text) if re.fullmatch(NUMBER_PATTERN, text) else None


def size_bytes(text: str) -> int | None:
    """Return a size from 1 byte to what the service takes, or None."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    size = int(found[1]) * _BYTES_OF_UNIT[found[2] or ""]
    return size if size <= MAX_SIZE_SERVICE_BYTES else None


def duration_s(text: str) -> float | None:
    """Return the seconds of a duration such as `60s`, `5m` or `2h`, or None."""
    return float(text[:-1]) * _SECONDS_OF_UNIT[text[-1]] if re.fullmatch(DURATION_PATTERN, text) else None


def pixels(text: str) -> tuple[int, int] | None:
    """Return the width and height of `WIDTHxHEIGHT`, or None."""
    if re.fullmatch(PIXELS_PATTERN, text) is None:
        return None
    width, height = text.split("x")
    return int(width), int(height)


def batch_of(name: str) -> str | None:
    """Return a batch name made of the name of a file or folder, or None if no character of it is allowed in one."""
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    batch = re.sub(r"[^a-z0-9._]+", "-", bare).lstrip("-._")[:BATCH_LENGTH].rstrip("-._")
    return batch if re.fullmatch(BATCH_PATTERN, batch) else None


TEMPLATE_NAMES = ("stem", "name", "parent", "id", "batch")
"""The names that may be in braces in the value of a tag."""
LANE_NAMES = ("account", "region", "target", "vars.NAME")
"""The names that may also be in braces with `targets`, in tags, sources and ids."""
TARGET_TEMPLATE_NAMES = ("account", "name", "region", "vars.NAME")
"""The names that may be in braces in `role_arn` and `profile` of `targets`."""
COLUMN_NAME = "col:NAME"
"""The name that may be in braces in an entry with `table`, for every column."""
COLUMN_PREFIX = "col:"
TEMPLATE_PIECE = re.compile(r"\{\{|\}\}|\{([a-z]+(?:\.[A-Za-z_][A-Za-z0-9_-]*)?|col:[^{}|]+)((?:\|[^{}|]*)*)\}|[{}]")
"""A piece of a template: doubled braces, a name (group 1) with its filters (group 2), or a brace that is wrong."""


def has_braces(text: str) -> bool:
    """Tell whether a text is a template."""
    return "{" in text or "}" in text


def wrong_with_template(text: str, names: Sequence[str] = TEMPLATE_NAMES) -> str | None:
    """Return what is wrong with a template, in words, or None.

    `vars.NAME` among `names` allows every variable, `col:NAME` every column.
    """
    for piece in TEMPLATE_PIECE.finditer(text):
        name = piece[1]
        if piece[0] in ("{", "}") or (name is not None and not _is_name(name, names)):
            listed = ", ".join(f"`{{{each}}}`" for each in names)
            rest = excerpt(text[piece.start() :])
            if name is not None and name.startswith(COLUMN_PREFIX):
                return f"{rest} takes from a column, which only an entry with `table` has"
            return f"{rest} is not a template: {listed} are, and `{{{{` and `}}}}` for braces"
        if piece[2]:
            try:
                filters_of(piece[2])
            except ValueError as wrong:
                return str(wrong)
    return None


def _is_name(name: str, names: Sequence[str]) -> bool:
    """Tell whether a template may have this name."""
    if name.startswith(COLUMN_PREFIX):
        return COLUMN_NAME in names
    return name in names or (name.startswith("vars.") and "vars.NAME" in names)


def names_in(text: str) -> list[str]:
    """Return the names that a correct template has in braces, in its order."""
    return [piece[1] for piece in TEMPLATE_PIECE.finditer(text) if piece[1] is not None]


def has_columns(template: str) -> bool:
    """Tell whether a text takes from a column. It may be wrong as a template otherwise."""
    return f"{{{COLUMN_PREFIX}" in template and any(name.startswith(COLUMN_PREFIX) for name in names_in(template))


def missing_variable(text: str, values: Mapping[str, str]) -> str | None:
    """Return the first variable (`vars.NAME`) of a correct template that has no value, without `vars.`, or None."""
    missing = sorted(name for name in names_in(text) if name not in values)
    return missing[0].removeprefix("vars.") if missing else None


def render(text: str, values: Mapping[str, str], changed: TagChanged | None = None) -> str:
    """Replace the names of a correct template by their values, filtered. Braces in a value stay as they are.

    `changed` is called as by `filtered`.
    """

    def filled(piece: re.Match[str]) -> str:
        if piece[1] is None:
            return piece[0][0]
        return filtered(values[piece[1]], piece[2], name=piece[1], changed=changed)

    return TEMPLATE_PIECE.sub(filled, text)


def rendered_tag(
    key: str, template: str, values: Mapping[str, str], changed: TagChanged | None = None
) -> tuple[str, Wrong | None]:
    """Return the value that a tag's template gives, and what is wrong with it. `changed` is called as by `render`."""
    text = render(template, values, changed)
    if wrong_with_tag_value(key, text):
        # Names from a Mac have accents apart from their letters (NFD), which tags may not have. All other values stay
        # as they are: the token depends on them.
        text = unicodedata.normalize("NFC", text)
    wrong = wrong_with_tag_value(key, text)
    if wrong is None:
        return text, None
    name = next((name for name in names_in(template) if wrong_with_tag_value(key, values[name])), None)
    advice = "" if name is None else f"; `{{{name}|tag}}` replaces what tags may not have"
    return text, (wrong[0], f"{wrong[1]} (of {excerpt(values['id'])}){advice}")
