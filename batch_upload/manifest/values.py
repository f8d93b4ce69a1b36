"""From an event to the value it must be, or to a problem and None."""

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from yaml.events import AliasEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.cursor import Cursor, is_null, is_plain, kind_of, position
from batch_upload.manifest.problems import Problems, quoted
from batch_upload.manifest.quotes import in_quotes
from batch_upload.manifest.rules import has_braces, wrong_with_template
from batch_upload.model import Position
from batch_upload.spelling import yaml_scalar

KEYS: dict[str, tuple[str, ...]] = {
    "the manifest": ("version", "ledger", "batch", "target", "defaults", "attachments"),
    "`target`": ("region", "account", "profile", "role_arn"),
    "`defaults`": ("tags", "max_size", "generation", "identity_tag"),
    "an entry": ("id", "file", "glob", "url", "tags", "generation", "max_size"),
}
"""Which keys each mapping has, by its name in messages."""

Take = Callable[[Event], None]


class Tags(NamedTuple):
    """The tags of one mapping, and where each key stands."""

    values: Mapping[str, str]
    at: Mapping[str, Position]


NO_TAGS = Tags({}, {})


class Values:
    """Takes values off the cursor. Every method leaves the cursor behind the value, whatever it was."""

    def __init__(self, cursor: Cursor, problems: Problems) -> None:
        self._cursor = cursor
        self._problems = problems

    def fields(self, event: Event, where: str, takers: Mapping[str, Take]) -> set[str] | None:
        """Hand each value of the mapping to the taker of its key, and give the keys that were there, known or not.

        None where it is no mapping.
        """
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, where, "a mapping")
            return None
        seen: set[str] = set()
        for name, key, value in self._cursor.pairs():
            seen.add(name)
            taker = takers.get(name)
            if taker is None:
                self.report_unknown(name, key, where)
                self._cursor.skip(value)
            else:
                taker(value)
        return seen

    def items(self, event: Event, name: str) -> Iterator[Event]:
        """The items of a list, of which there must be one; none where it is something else."""
        if not isinstance(event, SequenceStartEvent):
            self.report_kind(event, name, "a list")
            return
        count = 0
        for item in self._cursor.items():
            count += 1
            yield item
        if not count:
            self._problems.add(
                position(event), Code.EMPTY_LIST, f"{name} is empty: add an entry such as `- file: files/a.pdf`"
            )

    def scalar(self, event: Event, name: str) -> ScalarEvent | None:
        """A value that is there and neither a list nor a mapping."""
        if type(event) is ScalarEvent:
            if not is_null(event):
                return event
            if not (event.anchor or event.tag):  # which are problems already
                self._problems.add(position(event), Code.EMPTY_VALUE, f"{quoted(name)} must not be empty")
        else:
            self.report_kind(event, quoted(name), "text")
        return None

    def text(self, event: Event, name: str) -> str | None:
        """A text as written, without control characters."""
        scalar = self.scalar(event, name)
        if scalar is None:
            return None
        wrong = rules.wrong_with_text(name, scalar.value)
        if wrong and scalar.style == '"' and (message := rules.wrong_with_escape(name, scalar.value)):
            wrong = (wrong[0], message)
        return None if self._is_wrong(event, wrong) else scalar.value

    def identifier(self, event: Event) -> str | None:
        """An entry's `id`."""
        text = self.text(event, "id")
        return None if text is None or self._is_wrong(event, rules.wrong_with_id(text)) else text

    def word(self, event: Event, name: str, code: Code) -> str | None:
        """A text with a pattern."""
        scalar = self.scalar(event, name)
        if scalar is None or self._is_wrong(event, rules.wrong_with_word(code, scalar.value)):
            return None
        return scalar.value

    def generation(self, event: Event) -> int | None:
        """A whole number from 1, as plain digits."""
        scalar = self.scalar(event, "generation")
        if scalar is None:
            return None
        found = rules.number(scalar.value) if is_plain(scalar) else None
        if found is None:
            message = f"`generation` must be a whole number from 1, in plain digits: {quoted(scalar.value)}"
            self._problems.add(position(event), Code.GENERATION, message)
        return found

    def size_bytes(self, event: Event) -> int | None:
        """A size such as `500KB` or `1MiB`, in bytes."""
        scalar = self.scalar(event, "max_size")
        if scalar is None:
            return None
        found = rules.size_bytes(scalar.value)
        if found is None:
            message = f"`max_size` must be a size such as `500KB` or `1MiB`, at most `5MiB`: {quoted(scalar.value)}"
            self._problems.add(position(event), Code.MAX_SIZE, message)
        return found

    def truth(self, event: Event) -> bool | None:
        """`true` or `false`, and none of YAML's other words for them."""
        scalar = self.scalar(event, "identity_tag")
        if scalar is None:
            return None
        if is_plain(scalar) and scalar.value in ("true", "false"):
            return bool(scalar.value == "true")
        message = f"`identity_tag` must be `true` or `false`: {quoted(scalar.value)}"
        self._problems.add(position(event), Code.IDENTITY_TAG, message)
        return None

    def check_version(self, event: Event) -> None:
        """The number 1, not the text."""
        scalar = self.scalar(event, "version")
        if scalar is None or (scalar.value == "1" and is_plain(scalar)):
            return
        how = "write it without quotes" if scalar.value == "1" else f"this is {quoted(scalar.value)}"
        self._problems.add(position(event), Code.VERSION, f"`version` must be the number `1`: {how}")

    def tags(self, event: Event) -> Tags:
        """A mapping of tags. Those with a problem are reported and left out."""
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, "`tags`", "a mapping")
            return NO_TAGS
        values: dict[str, str] = {}
        at: dict[str, Position] = {}
        for name, key, event_of_value in self._cursor.pairs():
            good_key = not self._is_wrong(key, rules.wrong_with_tag_key(name))
            value = self._tag_value(name, event_of_value)
            if good_key and value is not None:
                values[sys.intern(name)] = value
                at[name] = position(key)
        return Tags(values, at)

    def _tag_value(self, key: str, event: Event) -> str | None:
        if isinstance(event, MappingStartEvent):
            message = f'{quoted(key)} must be text, not a mapping: put a template in quotes, as in `"{{stem}}"`'
            self._problems.add(position(event), Code.WRONG_TYPE, message)
            self._cursor.skip(event)
            return None
        if isinstance(event, ScalarEvent) and is_null(event) and not (event.anchor or event.tag):
            message = f'{quoted(key)} must not be empty: for an empty tag write `""`'
            self._problems.add(position(event), Code.EMPTY_VALUE, message)
            return None
        scalar = self.scalar(event, key)
        if scalar is None:
            return None
        value = scalar.value
        if not has_braces(value):
            return None if self._is_wrong(event, rules.wrong_with_tag_value(key, value)) else value
        if wrong := wrong_with_template(value):
            self._problems.add(position(event), Code.TEMPLATE, wrong)
            return None
        return value

    def _is_wrong(self, event: Event, wrong: rules.Wrong | None) -> bool:
        if wrong is None:
            return False
        code, message = wrong
        self._problems.add(position(event), code, message)
        return True

    def report_kind(self, event: Event, name: str, due: str) -> None:
        """Report that `name` is not `due` (such as "a mapping"), and pass over it."""
        # An alias is already among the problems.
        if isinstance(event, AliasEvent):
            return
        if isinstance(event, ScalarEvent) and is_null(event):
            self._problems.add(position(event), Code.EMPTY_VALUE, f"{name} must not be empty")
        else:
            message = f"{name} must be {due}, not {kind_of(event)}{_example(name, event)}"
            self._problems.add(position(event), Code.WRONG_TYPE, message)
        self._cursor.skip(event)

    def report_unknown(self, name: str, key: ScalarEvent, where: str) -> None:
        """Report a key that means nothing in the mapping `where`, one of KEYS."""
        message = f"{quoted(name)} is not a key of {where}{_advice(name, where)}"
        self._problems.add(position(key), Code.UNKNOWN_KEY, message)


_EXAMPLES = {
    "the manifest": "begin with `version: 1`",
    "`version`": "write `version: 1`",
    "`batch`": "write `batch: acme-2026`",
    "`target`": "write `target: {region: us-east-1}`",
    "`defaults`": "write `defaults: {max_size: 500KB}`",
    "`tags`": "write tags as `tags: {Customer: acme}`",
    "`attachments`": "put a line such as `- file: files/a.pdf` below it for each document",
    "an entry": "write `- file: files/a.pdf`",
    "`file`": "an entry names one file; write an entry for each",
    "`glob`": "an entry has one pattern, in quotes if it begins with `[`; write an entry for each",
    "`url`": "an entry has one address; write an entry for each",
}
"""How it is written, by the name of what is of the wrong type."""


def _example(name: str, event: Event) -> str:
    if name == "an entry" and isinstance(event, ScalarEvent):
        return f": write {quoted(f'- {_as_source(event.value)}')}"
    example = _EXAMPLES.get(name)
    return f": {example}" if example else ""


def _as_source(text: str) -> str:
    """The key and value that an entry has if it is meant to be this text alone."""
    if text.startswith("s3://"):
        return f"url: {text}"
    if re.search(r"[*?]", text):
        return f"glob: {in_quotes(text)}"
    return f"file: {yaml_scalar(text)}"


def _advice(name: str, where: str) -> str:
    homes = [other for other, keys in KEYS.items() if name in keys]
    if homes:
        return f": it belongs to {' or '.join(homes)}"
    close = difflib.get_close_matches(name[:64].lower().replace("-", "_"), KEYS[where], n=1)
    if close:
        return f": did you mean `{close[0]}`?"
    return f": there are {', '.join(f'`{key}`' for key in KEYS[where])}"
