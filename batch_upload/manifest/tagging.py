"""`--tag KEY=VALUE` of `manifest new`: tags for every entry, and templates that are filled from a CSV file."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batch_upload.errors import UsageError
from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import quoted
from batch_upload.manifest.rules import has_braces, wrong_with_template
from batch_upload.spelling import closest

_COLUMN = re.compile(r"\{col:([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The tags that were asked for. Templates of a manifest (`{stem}`) stay in the values for its reader."""

    shared: Mapping[str, str] = field(default_factory=dict)
    """The same for every entry."""
    by_row: Mapping[str, str] = field(default_factory=dict)
    """Those with `{col:NAME}`, to be filled row by row."""

    def of_row(self, cells: Mapping[str, str]) -> dict[str, str]:
        """The tags of a row, by its cells. What comes out empty is no tag."""
        filled = {key: _filled(value, cells) for key, value in self.by_row.items()}
        return {key: value for key, value in filled.items() if value}

    def for_columns(self, known: Collection[str]) -> "Wanted":
        """The same, with columns named as the table names them: capital letters are not told apart where one fits.

        Raises UsageError where a column is named that is not there.
        """

        def named(key: str, name: str) -> str:
            alike = [each for each in known if each.casefold() == name.casefold()]
            if name in known or len(alike) == 1:
                return f"{{col:{name if name in known else alike[0]}}}"
            found = closest(name, known)
            listed = f"the columns are {', '.join(quoted(each) for each in known)}"
            raise UsageError(
                f"`--tag` {quoted(key)} asks for the column {quoted(name)}, which is not there",
                hint=listed if found is None else f"there is {quoted(found.name)}, {found.how}",
            )

        by_row = {
            key: _COLUMN.sub(lambda found, key=key: named(key, found[1]), value)  # type: ignore[misc]
            for key, value in self.by_row.items()
        }
        return replace(self, by_row=by_row)


def wanted_tags(texts: Sequence[str]) -> Wanted:
    """What these `KEY=VALUE` ask for. Raises UsageError for what no tag can be."""
    shared: dict[str, str] = {}
    by_row: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        _demand(text, key, equals, value)
        if key in shared or key in by_row:
            raise UsageError(f"`--tag` {quoted(key)} is given twice", hint="keep one")
        (by_row if _COLUMN.search(value) else shared)[key] = value
    if len(shared) + len(by_row) > rules.TAGS_LIMIT - 1:
        raise UsageError(f"at most {rules.TAGS_LIMIT - 1} tags are allowed, besides the identity tag")
    return Wanted(shared, by_row)


def _demand(text: str, key: str, equals: str, value: str) -> None:
    if not equals:
        raise UsageError(f"`--tag` {quoted(text)} is not `KEY=VALUE`", hint="such as `--tag Customer=acme`")
    wrong = rules.wrong_with_tag_key(key) or _wrong_with_value(key, _COLUMN.sub("", value))
    if wrong is not None:
        raise UsageError(f"`--tag`: {wrong[1]}")


def _wrong_with_value(key: str, value: str) -> rules.Wrong | None:
    if has_braces(value):
        wrong = wrong_with_template(value)
        return (Code.TEMPLATE, f"{wrong}; and `{{col:NAME}}` for a column of a CSV file") if wrong else None
    return rules.wrong_with_tag_value(key, value)


def _filled(value: str, cells: Mapping[str, str]) -> str:
    # braces of a cell are braces, and no template: the reader is told so, and then says that no tag may have them
    return _COLUMN.sub(lambda found: cells.get(found[1], "").replace("{", "{{").replace("}", "}}"), value)
