"""An element of `attachments` with `table`: which keys go together, before the table is opened (`rows.py`)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from yaml.events import Event

from batch_upload.manifest.cursor import position
from batch_upload.manifest.problems import Code, Problems
from batch_upload.model import Entry, Position, SourceKind

NEEDS_SOURCE = 'an entry with `table` needs `file` or `url`, such as `file: "{col:File Name}"`'


class TableEntry(NamedTuple):
    """An element of `attachments` with `table`. `entry` has its other keys, whose texts are templates."""

    path: str
    """As written: relative to the manifest's folder."""
    at: Position
    entry: Entry
    """`source` is the template of `file`; that of `url` if there is no `file`."""
    url: str | None = None
    """The template of `url` for rows without a file."""
    url_at: Position = Position()
    sheet: str | None = None


def check_table_keys(found: Mapping[str, tuple[Any, Event]], problems: Problems) -> None:
    """Report the keys of an entry that cannot be together, if it has a `table` or a `sheet`."""
    if "table" not in found:
        if "sheet" in found:
            problems.add(position(found["sheet"][1]), Code.UNKNOWN_KEY, "`sheet` is for an entry with `table`")
    elif "glob" in found:
        message = '`glob` and `table` are both given: a row names one file, as in `file: "{col:File Name}"`'
        problems.add(position(found["glob"][1]), Code.SEVERAL_SOURCES, message)


def table_entry_of(found: Mapping[str, tuple[Any, Event]], entry: Entry) -> TableEntry | None:
    """Return an entry with `table`, of which `entry` has the other keys; None if one of them has a problem."""
    table, event = found["table"]
    if table is None or "glob" in found or (entry.targets is not None and not entry.targets):
        return None
    if not ("file" in found and "url" in found):
        return TableEntry(table, position(event), entry, sheet=found.get("sheet", (None,))[0])
    (source, source_event), (url, url_event) = found["file"], found["url"]
    if source is None or url is None:
        return None
    entry = entry._replace(kind=SourceKind.FILE, source=source, at=position(source_event))
    return TableEntry(table, position(event), entry, url, position(url_event), found.get("sheet", (None,))[0])
