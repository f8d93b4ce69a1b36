"""From YAML events to the values of a manifest: each key's value is checked, and its problems are reported."""

import difflib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from yaml.events import AliasEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from batch_upload.manifest import rules
from batch_upload.manifest.cursor import Pair, YamlCursor, is_null, is_plain, position, yaml_kind
from batch_upload.manifest.keys import KEYS, KEYS_OF_ENTRIES
from batch_upload.manifest.patterns import alternatives
from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.rules import COLUMN_NAME, LANE_NAMES, TEMPLATE_NAMES, has_braces, wrong_with_template
from batch_upload.manifest.syntax import VALUE_EXAMPLES, in_quotes
from batch_upload.manifest.table_entry import NEEDS_SOURCE, TableEntry, check_table_keys, table_entry_of
from batch_upload.model import Entry, Position, SourceKind
from batch_upload.spelling import yaml_scalar

Parsed = TypeVar("Parsed")
ValueReader = Callable[[Event, str], Any]
"""Reads the value that an event begins; the text is its name in messages."""

_SOURCES = {kind.value: kind for kind in SourceKind}
_ONLY_GLOBS = {
    "exclude": "only a `glob` has matches that can be left out",
    "optional": "only a `glob` may match nothing, any other source must exist",
    "min_age": "only a `glob` leaves files for a later run",
}
"""What only a `glob` may have, and why."""
_TRUTH_CODES = {"identity_tag": Code.IDENTITY_TAG, "optional": Code.OPTIONAL}
_TRUTHS = {"true": True, "false": False}
"""The two spellings that are taken, and none of YAML's other words for them."""
_CHECKS = {"bytes": False, "inside": True}
"""Whether documents are looked into, by the words of `check`."""

Given = dict[str, tuple[Any, Event]]
"""The keys that a mapping has: the value of each, None if it has a problem, and the event that begins it."""


class TagMapping(NamedTuple):
    """The tags of one mapping, and the position of each key."""

    values: Mapping[str, str]
    at: Mapping[str, Position]


NO_TAGS = TagMapping({}, {})


def value_in(given: Given, key: str) -> Any:  # noqa: ANN401  as the key's reader returns it
    """Return the value of a key, or None if it is not given or has a problem."""
    return given[key][0] if key in given else None


class ManifestValues:
    """Reads values from the cursor. Every method leaves the cursor behind the value, whatever it was.

    A value with a problem is reported, and returned as None.
    """

    def __init__(self, cursor: YamlCursor, problems: Problems) -> None:
        self._cursor = cursor
        self._problems = problems
        self._template_names: tuple[str, ...] | None = None
        """The names that templates of tags may have; None until it is known whether the manifest has `targets`."""
        self._undecided: list[tuple[dict[str, str], str, str, Event]] = []
        """Tags whose template is wrong without `targets`: their mapping, key, template and event."""
        self._of_columns: list[tuple[dict[str, str], str, str, Event]] = []
        """Tags that take from columns, until it is known whether their entry has a `table`; as above."""
        number = "`generation` must be a whole number from 1, in plain digits"
        size = "`max_size` must be a size such as `500KB` or `1MiB`, at most `5MiB`"
        check = "`check` must be `bytes`, or `inside` (the default)"
        age = "`min_age` must be a duration such as `60s`, `5m` or `2h`"
        readers: dict[str, ValueReader] = {
            **dict.fromkeys(("ledger", "part_of", "profile", "file", "table", "sheet", "form"), self.text),
            "version": self.version,
            "batch": partial(self.word, code=Code.BATCH),
            "target": lambda event, _: self.mapping(event, "`target`"),
            "defaults": lambda event, _: self.mapping(event, "`defaults`"),
            "region": partial(self.word, code=Code.REGION),
            "account": partial(self.word, code=Code.ACCOUNT),
            "role_arn": partial(self.word, code=Code.ROLE_ARN),
            "id": self.identifier,
            "glob": self.pattern,
            "url": partial(self.word, code=Code.URL),
            "tags": self.tags,
            "generation": partial(self.parsed, parse=rules.number, plain=True, code=Code.GENERATION, demand=number),
            "max_size": partial(self.parsed, parse=rules.size_bytes, plain=False, code=Code.MAX_SIZE, demand=size),
            "identity_tag": self.truth,
            "check": partial(self.parsed, parse=_CHECKS.get, plain=True, code=Code.CHECK, demand=check),
            "exclude": self.patterns,
            "optional": self.truth,
            "min_age": partial(self.parsed, parse=rules.duration_s, plain=False, code=Code.MIN_AGE, demand=age),
        }
        self.readers = {where: {key: readers[key] for key in keys if key in readers} for where, keys in KEYS.items()}
        """The reader of each key, by the name of its mapping."""

    def mapping(self, event: Event, where: str) -> Given | None:
        """Return what the mapping `where` (one of KEYS) has, unknown keys too; None if `event` begins no mapping."""
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, where, "a mapping")
            return None
        readers = self.readers[where]
        found: Given = {}
        for name, key, value in self._cursor.pairs():
            reader = readers.get(name)
            found[name] = self.value(name, key, value, where) if reader is None else (reader(value, name), value)
        return found

    def value(self, name: str, key_event: ScalarEvent, event: Event, where: str) -> tuple[Any, Event]:
        """Return the value of a key of the mapping `where`, and its event. An unknown key is reported."""
        reader = self.readers[where].get(name)
        if reader is not None:
            return reader(event, name), event
        # Few manifests have `targets`: their keys are no advice for others.
        nearby = KEYS_OF_ENTRIES if where in KEYS_OF_ENTRIES else tuple(KEYS)
        homes = [other for other in nearby if name in KEYS[other]]
        close = difflib.get_close_matches(name[:64].lower().replace("-", "_"), KEYS[where], n=1)
        if homes:
            advice = f"it belongs to {' or '.join(homes)}"
        elif close:
            advice = f"did you mean `{close[0]}`?"
        else:
            advice = f"there are {', '.join(f'`{key}`' for key in KEYS[where])}"
        message = f"{excerpt(name)} is not a key of {where}: {advice}"
        self._problems.add(position(key_event), Code.UNKNOWN_KEY, message)
        self._cursor.skip(event)
        return None, event

    def entry(self, event: Event) -> Entry | TableEntry | None:
        """Return the entry that `event` begins, or None if it has no usable source."""
        before = len(self._of_columns)
        found = self.mapping(event, "an entry")
        has_table = found is not None and "table" in found
        of_columns = self._of_columns[before:]
        del self._of_columns[before:]
        if not has_table:
            self._report_columns(of_columns)
        if found is None:
            return None
        sources = [name for name in found if name in _SOURCES]
        if not sources:
            # An unknown key may be the misspelt source: that is one problem, not two.
            if found.keys() <= self.readers["an entry"].keys():
                message = NEEDS_SOURCE if has_table else "an entry needs one of `file`, `glob` and `url`"
                self._problems.add(position(event), Code.NO_SOURCE, message)
            return None
        check_table_keys(found, self._problems)
        for other in () if has_table else sources[1:]:
            message = f"`{other}` and `{sources[0]}` are both given: an entry has only one of `file`, `glob` and `url`"
            self._problems.add(position(found[other][1]), Code.SEVERAL_SOURCES, message)
        kind, (source, source_event) = _SOURCES[sources[0]], found[sources[0]]
        item_id, id_event = found.get("id", (None, None))
        id_at = None if id_event is None else position(id_event)
        if id_at is not None and kind is SourceKind.GLOB:
            self._problems.add(id_at, Code.ID_ON_GLOB, "remove `id`: each match of a `glob` is its own id")
            item_id = None  # otherwise all matches have the same id, which is not a second problem
        if kind is not SourceKind.GLOB:
            for name in found.keys() & _ONLY_GLOBS.keys():
                self.report(found[name][1], Code.GLOB_ONLY, f"remove `{name}`: {_ONLY_GLOBS[name]}")
        if source is None:
            return None
        tags: TagMapping = value_in(found, "tags") or NO_TAGS
        entry = Entry(
            kind=kind,
            source=source,
            at=position(source_event),
            item_id=item_id,
            id_at=id_at,
            tags=tags.values,
            tags_at=tags.at,
            generation=value_in(found, "generation"),
            max_size_bytes=value_in(found, "max_size"),
            targets=found["target"][0] if "target" in found else None,
            exclude=value_in(found, "exclude") or (),
            optional=value_in(found, "optional") is True,
            min_age_s=value_in(found, "min_age"),
            form=value_in(found, "form"),
            form_at=position(found["form"][1]) if "form" in found else None,
            bind=value_in(found, "bind"),
            bind_at=position(found["bind"][1]) if "bind" in found else None,
        )
        return table_entry_of(found, entry) if has_table else entry

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs of the mapping that just began, as the cursor does."""
        return self._cursor.pairs()

    def list_items(self) -> Iterator[Event]:
        """Yield the items of the list that just began, as the cursor does."""
        return self._cursor.items()

    def skip(self, event: Event) -> None:
        """Pass over the rest of what `event` begins."""
        self._cursor.skip(event)

    def report(self, event: Event, code: Code, message: str) -> None:
        """Report a problem of the value that `event` begins."""
        self._problems.add(position(event), code, message)

    def items(self, event: Event, name: str, *, advice: str = "") -> Iterator[Event]:
        """Yield the events that begin the items of a list. A list without items is reported, and so is no list."""
        if not isinstance(event, SequenceStartEvent):
            self.report_kind(event, name, "a list")
            return
        count = 0
        for item in self._cursor.items():
            count += 1
            yield item
        if not count:
            message = f"{name} is empty: {advice or 'add an entry such as `- file: files/a.pdf`'}"
            self._problems.add(position(event), Code.EMPTY_LIST, message)

    def one_or_more(self, event: Event, name: str, *, due: str, advice: str, example: str = "") -> Iterator[Event]:
        """Yield the events of a list's items, or the event of a text. A mapping is reported, as by `report_kind`.

        `advice` is for a list without items.
        """
        if isinstance(event, MappingStartEvent):
            self.report_kind(event, excerpt(name), due, example=example)
        elif isinstance(event, SequenceStartEvent):
            yield from self.items(event, excerpt(name), advice=advice)
        else:
            yield event

    def scalar(self, event: Event, name: str) -> ScalarEvent | None:
        """Return a value that is given, and neither a list nor a mapping."""
        if type(event) is ScalarEvent:
            if not is_null(event):
                return event
            if not (event.anchor or event.tag):  # which are reported already
                self._problems.add(position(event), Code.EMPTY_VALUE, f"{excerpt(name)} must not be empty")
        else:
            self.report_kind(event, excerpt(name), "text")
        return None

    def text(self, event: Event, name: str) -> str | None:
        """Return a text as written, without control characters."""
        scalar = self.scalar(event, name)
        if scalar is None:
            return None
        wrong = rules.wrong_with_text(name, scalar.value)
        if wrong and scalar.style == '"' and (message := rules.wrong_with_escape(name, scalar.value)):
            wrong = (wrong[0], message)
        return None if self.is_wrong(event, wrong) else scalar.value

    def pattern(self, event: Event, name: str) -> str | None:
        """Return a text whose braces do not stand for too many patterns."""
        text = self.text(event, name)
        return None if text is None or self.is_wrong(event, rules.wrong_with_pattern(text)) else text

    def patterns(self, event: Event, name: str) -> tuple[str, ...]:
        """Return the patterns of `exclude`: of one text, or of a list. Those with a problem are left out."""
        items = self.one_or_more(
            event, name, due="a pattern or a list of patterns", advice="name a pattern such as `draft-*`"
        )
        texts = [self.pattern(item, name) for item in items]
        return tuple(pattern for text in texts if text is not None for pattern in alternatives(text))

    def identifier(self, event: Event, name: str) -> str | None:
        """Return an entry's `id`."""
        text = self.text(event, name)
        return None if text is None or self.is_wrong(event, rules.wrong_with_id(text)) else text

    def word(self, event: Event, name: str, *, code: Code) -> str | None:
        """Return a text that has the pattern of `code`."""
        scalar = self.scalar(event, name)
        if scalar is None:
            return None
        if code is Code.URL and has_braces(scalar.value):
            return scalar.value  # with `targets` this is a template, and checked when filled in
        return None if self.is_wrong(event, rules.wrong_with_word(code, scalar.value)) else scalar.value

    def parsed(
        self, event: Event, name: str, *, parse: Callable[[str], Parsed | None], plain: bool, code: Code, demand: str
    ) -> Parsed | None:
        """Return what `parse` makes of a scalar; None is a problem. `demand` says what it must be.

        `plain`: quotes are a problem, too.
        """
        scalar = self.scalar(event, name)
        if scalar is None:
            return None
        found = parse(scalar.value) if is_plain(scalar) or not plain else None
        if found is None:
            self._problems.add(position(event), code, f"{demand}: {excerpt(scalar.value)}")
        return found

    def truth(self, event: Event, name: str) -> bool | None:
        """Return whether a value is `true`; None is a problem."""
        code, demand = _TRUTH_CODES[name], f"`{name}` must be `true` or `false`"
        return self.parsed(event, name, parse=_TRUTHS.get, plain=True, code=code, demand=demand)

    def version(self, event: Event, name: str) -> None:
        """Check that the version is the number 1, and not the text."""
        scalar = self.scalar(event, name)
        if scalar is None or (scalar.value == "1" and is_plain(scalar)):
            return
        how = "write it without quotes" if scalar.value == "1" else f"this is {excerpt(scalar.value)}"
        self._problems.add(position(event), Code.VERSION, f"`version` must be the number `1`: {how}")

    def tags(self, event: Event, name: str) -> TagMapping:
        """Return a mapping of tags without those that have a problem."""
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, excerpt(name), "a mapping")
            return NO_TAGS
        values: dict[str, str] = {}
        at: dict[str, Position] = {}
        for tag_key, key, event_of_value in self._cursor.pairs():
            is_good_key = not self.is_wrong(key, rules.wrong_with_tag_key(tag_key))
            value = self._tag_value(tag_key, event_of_value)
            if is_good_key and value is not None:
                values[sys.intern(tag_key)] = value
                at[tag_key] = position(key)
            if value is not None and rules.has_columns(value):
                self._of_columns.append((values, tag_key, value, event_of_value))
            elif self._template_names is None and value is not None and wrong_with_template(value):
                self._undecided.append((values, tag_key, value, event_of_value))
        return TagMapping(values, at)

    def _tag_value(self, key: str, event: Event) -> str | None:
        if isinstance(event, MappingStartEvent):
            message = f'{excerpt(key)} must be text, not a mapping: put a template in quotes, as in `"{{stem}}"`'
            self._problems.add(position(event), Code.WRONG_TYPE, message)
            self._cursor.skip(event)
            return None
        if isinstance(event, ScalarEvent) and is_null(event) and not (event.anchor or event.tag):
            message = f'{excerpt(key)} must not be empty: for an empty tag write `""`'
            self._problems.add(position(event), Code.EMPTY_VALUE, message)
            return None
        scalar = self.scalar(event, key)
        if scalar is None:
            return None
        value = scalar.value
        if not has_braces(value):
            wrong = rules.wrong_with_tag_value(key, value)
        elif self._template_names is None:
            return value
        else:
            names = (*self._template_names, COLUMN_NAME) if rules.has_columns(value) else self._template_names
            message_or_none = wrong_with_template(value, names)
            wrong = (Code.TEMPLATE, message_or_none) if message_or_none else None
        return None if self.is_wrong(event, wrong) else value

    def decide_templates(self, *, has_targets: bool) -> None:
        """Say whether the manifest has `targets`, once that is known. Report the templates of tags that are wrong."""
        self._template_names = (*TEMPLATE_NAMES, *LANE_NAMES) if has_targets else TEMPLATE_NAMES
        for tags, key, template, event in self._undecided:
            if message := wrong_with_template(template, self._template_names):
                self._problems.add(position(event), Code.TEMPLATE, message)
                tags.pop(key, None)
        self._undecided.clear()
        self._report_columns(self._of_columns)
        self._of_columns.clear()

    def _report_columns(self, of_columns: Sequence[tuple[dict[str, str], str, str, Event]]) -> None:
        """Report templates that take from columns outside of an entry with `table`, and remove their tags."""
        for tags, key, template, event in of_columns:
            if message := wrong_with_template(template, self._template_names or TEMPLATE_NAMES):
                self._problems.add(position(event), Code.TEMPLATE, message)
            tags.pop(key, None)

    def is_wrong(self, event: Event, wrong: rules.Wrong | None) -> bool:
        """Report what is wrong with the value that `event` begins. Return whether anything is."""
        if wrong is None:
            return False
        self._problems.add(position(event), *wrong)
        return True

    def report_kind(self, event: Event, name: str, due: str, *, example: str = "") -> None:
        """Report that `name` is not `due` (such as "a mapping"), and pass over it.

        `example` says how it is written; that of VALUE_EXAMPLES if empty.
        """
        if isinstance(event, AliasEvent):  # which is reported already
            return
        if isinstance(event, ScalarEvent) and is_null(event):
            self._problems.add(position(event), Code.EMPTY_VALUE, f"{name} must not be empty")
            return
        example = example or VALUE_EXAMPLES.get(name, "")
        if name == "an entry" and isinstance(event, ScalarEvent):
            # a text alone in place of an entry is probably its source
            source = f"file: {yaml_scalar(event.value)}"
            if event.value.startswith("s3://"):
                source = f"url: {event.value}"
            elif re.search(r"[*?]", event.value):
                source = f"glob: {in_quotes(event.value)}"
            example = f"write {excerpt(f'- {source}')}"
        message = f"{name} must be {due}, not {yaml_kind(event)}{example and f': {example}'}"
        self._problems.add(position(event), Code.WRONG_TYPE, message)
        self._cursor.skip(event)
