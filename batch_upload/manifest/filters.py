"""Filters of templates, as in `{col:Company|tag}`: each turns a value into another text."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache, partial

from batch_upload.manifest.problems import excerpt

TAG_VALUE_LENGTH = 256
"""Characters of a tag's value (AWS, "Tag naming limits and requirements")."""
REPLACEMENT = "_"
"""What `tag` writes in place of a character that tags may not have; `tag:-` writes another."""
TagChanged = Callable[[str, str, str], None]
"""Takes the name in a template, its value, and what the filter `tag` made of it."""

_ALLOWED_IN_TAG = re.compile(r"[\w .:/=+@-]*")
"""Letters and numbers of any script, the space, and the punctuation that is allowed. Other separators are, too."""
_NOT_ASCII_WORD = re.compile(r"[^a-z0-9]+")


def not_allowed_in_tag(text: str) -> str | None:
    """Return the first character that a tag may not have, or None."""
    if _ALLOWED_IN_TAG.fullmatch(text):
        return None
    return next((char for char in text if not _is_allowed_in_tag(char)), None)


def _is_allowed_in_tag(char: str) -> bool:
    # Letters, numbers and separators of any script, as in AWS's own `[\p{L}\p{Z}\p{N}_.:/=+\-@]`.
    return _ALLOWED_IN_TAG.fullmatch(char) is not None or unicodedata.category(char)[0] == "Z"


@lru_cache(maxsize=10_000)  # a column often has the same few values
def clean_for_tag(text: str, replacement: str = REPLACEMENT) -> str:
    """Return a text that a tag's value may be: others than allowed characters, one or several, become `replacement`.

    Separate accents are composed (NFC) first. The text is cut off after TAG_VALUE_LENGTH characters.
    """
    if len(text) <= TAG_VALUE_LENGTH and text.isascii() and _ALLOWED_IN_TAG.fullmatch(text):
        return text
    made: list[str] = []
    was_replaced = False
    for char in unicodedata.normalize("NFC", text):
        if is_allowed := _is_allowed_in_tag(char):
            made.append(char)
        elif not was_replaced:
            made.append(replacement)
        was_replaced = not is_allowed
    return "".join(made)[:TAG_VALUE_LENGTH].rstrip()


def slug(text: str) -> str:
    """Return a text in lower-case ASCII letters, digits and `-`, for ids and names of files."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return _NOT_ASCII_WORD.sub("-", bare).strip("-")


_FILTERS: dict[str, Callable[[str], str]] = {
    "tag": clean_for_tag,
    "lower": str.lower,
    "upper": str.upper,
    "slug": slug,
}
FILTER_NAMES = tuple(_FILTERS)


@lru_cache(maxsize=1_000)
def filters_of(text: str) -> tuple[Callable[[str], str], ...]:
    """Return the filters of `|tag:_|lower`. Raises ValueError, with what is wrong in words, for what is none."""
    found: list[Callable[[str], str]] = []
    for written in text.split("|")[1:]:
        name, colon, argument = written.partition(":")
        if name not in _FILTERS:
            listed = ", ".join(f"`{each}`" for each in FILTER_NAMES)
            raise ValueError(f"{excerpt(f'|{written}')} is not a filter: there are {listed}")
        if not colon:
            found.append(_FILTERS[name])
        elif name == "tag" and is_replacement(argument):
            found.append(partial(clean_for_tag, replacement=argument))
        elif name == "tag":
            message = f"{excerpt(f'|{written}')}: `tag:` takes one character that a tag may have, such as `tag:_`"
            raise ValueError(message)
        else:
            raise ValueError(f"{excerpt(f'|{written}')}: only `tag` takes a character, as in `tag:_`")
    return tuple(found)


def is_replacement(text: str) -> bool:
    """Tell whether `tag:` and `--clean-tags` take this: one character that a tag may have."""
    return len(text) == 1 and not_allowed_in_tag(text) is None


def filtered(value: str, filters: str, *, name: str = "", changed: TagChanged | None = None) -> str:
    """Return a value after the filters of a correct template, such as `|lower|slug`; empty for none.

    `changed` is called, with the `name` of the value, if the filter `tag` is among them and they make another text.
    """
    made = value
    for each in filters_of(filters):
        made = each(made)
    if changed is not None and made != value and "|tag" in filters:
        changed(name, value, made)
    return made
