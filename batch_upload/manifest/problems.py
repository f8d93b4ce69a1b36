"""The problems of a manifest: their codes, and the list that they are gathered in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from batch_upload.errors import ProblemCode
from batch_upload.escape import escaped_for, quoted
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind

EXCERPT_LENGTH = 80

AddProblem = Callable[[Position, "Code", str], None]
"""Adds a problem."""


class Code(ProblemCode):
    """What is wrong with a manifest. Codes are only ever added."""

    TOO_LARGE = "manifest-too-large", ("the manifest is larger than 512 MiB, or a file of `targets` larger than 16 MiB")
    NOT_UTF8 = "not-utf-8", "the manifest is not UTF-8 text"
    CHARACTER = (
        "character",
        "a character that YAML does not allow, or that cannot be seen (NEL, LS, PS, a byte order mark)",
    )
    TAB = "tab", "a tab in the indentation"
    SYNTAX = "syntax", "not YAML; what follows it was not read"
    EMPTY_MANIFEST = "empty-manifest", "the manifest is empty or holds only comments"
    SECOND_DOCUMENT = "second-document", "a second YAML document after `---`"
    TOO_DEEP = "too-deep", "lists and mappings nested more than 20 deep"
    ANCHOR = "anchor", "an anchor (`&name`); `defaults` serves instead"
    ALIAS = "alias", "an alias (`*name`); `defaults` serves instead"
    MERGE_KEY = "merge-key", "a merge key (`<<`); `defaults` serves instead"
    YAML_TAG = "yaml-tag", "a YAML tag (`!!str`, `!anything`); text is text as written"
    KEY_NOT_TEXT = "key-not-text", "a key that is empty, a list or a mapping"
    DUPLICATE_KEY = "duplicate-key", "the same key twice in one mapping"
    UNKNOWN_KEY = "unknown-key", "a key that means nothing here"
    MISSING_KEY = (
        "missing-key",
        "`version`, `batch` or `attachments` is missing, or `name`, `account` or `regions` of a target, or"
        " `registration` or `field` of a `bind`",
    )
    WRONG_TYPE = "wrong-type", "a list, a mapping or a text where another of them is needed"
    EMPTY_VALUE = "empty-value", 'a key without a value (for an empty tag write `""`)'
    EMPTY_LIST = "empty-list", "`attachments` or a list of `targets` is empty"
    CONTROL_CHARACTER = "control-character", "a control character in a name, path, pattern or id"
    VERSION = "version", "`version` is not the number 1"
    BATCH = "batch", "`batch` is not `[a-z0-9][a-z0-9._-]{0,63}`"
    GENERATION = "generation", "`generation` is not a whole number from 1, written in plain digits"
    MAX_SIZE = "max-size", "`max_size` is not a size from 1 byte to 5MiB"
    IDENTITY_TAG = "identity-tag", "`identity_tag` is not `true` or `false`"
    CHECK = "check", "`check` is neither `bytes` nor `inside`"
    REGION = "region", "`target.region` or one of `regions` does not look like a Region"
    ACCOUNT = "account", "`account` of `target` or of a target is not 12 digits"
    ROLE_ARN = "role-arn", "`role_arn` is not the ARN of a role"
    EXTERNAL_ID = "external-id", "`external_id` is neither `env:NAME` nor an external id that AWS takes"
    TARGETS = "targets", "`target` and `targets` are both given, or an entry has a `target` and there are no `targets`"
    TARGETS_FILE = "targets-file", "the file of `targets.from` cannot be read"
    TARGET_NAME = "target-name", "the name of a target is not `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, or is `all`"
    GROUP = "group", "a group that is empty or has white space or a comma"
    VARIABLE = "variable", "the name of a variable is not `[A-Za-z_][A-Za-z0-9_-]*`"
    DUPLICATE_TARGET = "duplicate-target", "two targets with the same name, or for the same account and Region"
    UNKNOWN_TARGET = "unknown-target", "`target` names none of the manifest's `targets`"
    NO_TARGET = "no-target", "an entry without `target` where there are `targets` and no `defaults.target`"
    FORM = "form", "one of `forms` has a name that is taken or not allowed, demands nothing, or has wrong `types`"
    PIXELS = "pixels", "`pixels` or `min_pixels` of a form is not `WIDTHxHEIGHT`"
    UNKNOWN_FORM = "unknown-form", "`form` names neither a built-in form nor one of `forms`"
    URL = "url", "`url` is not `s3://BucketName/FileName` of at most 2,048 characters without white space"
    NO_SOURCE = "no-source", "an entry without `file`, `glob` or `url`, or a row whose cell for it is empty"
    SEVERAL_SOURCES = "several-sources", "an entry with more than one of `file`, `glob` and `url`"
    ID_ON_GLOB = "id-on-glob", "an `id` on a `glob`, whose matches are their own ids"
    ID = "id", "an id longer than 1,024 characters, or a file name that is not UTF-8"
    DUPLICATE_ID = "duplicate-id", "two attachments with the same id, or two globs that match the same files"
    TAG_KEY = "tag-key", "a tag's key that is empty, too long, or has a character that is not allowed"
    TAG_VALUE = "tag-value", "a tag's value that is too long, or has a character that is not allowed"
    TAG_RESERVED = "tag-reserved", "a tag that begins with `aws:` or `batch-upload:`"
    TOO_MANY_TAGS = "too-many-tags", "more than 50 tags on an attachment, the identity tag counted"
    TEMPLATE = (
        "template",
        "braces in a tag's value other than `{stem}`, `{name}`, `{parent}`, `{id}`, `{batch}`, `{{`, `}}`; with"
        " `targets` also a wrong template elsewhere, or a variable that a target does not have",
    )
    NO_MATCH = "no-match", "a `glob` that matches no file, and is not `optional`"
    FOLDER_UNREADABLE = "folder-unreadable", "a folder that a `glob` must look into cannot be read"
    OUTSIDE = "outside", "a path that leaves the manifest's folder"
    FOLDER = "folder", "a `file` that ends with `/`, as only folders do"
    PATTERN = "pattern", "braces in a `glob` or `exclude` that stand for more than 1,000 patterns"
    OPTIONAL = "optional", "`optional` is not `true` or `false`"
    MIN_AGE = "min-age", "`min_age` is not a duration such as `60s`"
    GLOB_ONLY = "glob-only", "`exclude`, `optional` or `min_age` in an entry without `glob`"
    TABLE = "table", "the file of `table` cannot be read, or is no table"
    CSV = "csv", "a table is not CSV: its quotes do not match, or it is empty; what follows was not read"
    COLUMNS = "columns", "a table does not have a column that a template names, or has two of this name"
    CELLS = "cells", "a cell is in no column that has a name"
    CELL_ERROR = "cell-error", "a cell of a workbook has an error, such as `#N/A`, in place of its formula's value"
    BIND = (
        "bind",
        "`registration` or `field` of a `bind` is empty or is not what AWS takes, or is an ARN of another account or"
        " Region",
    )
    BIND_TWICE = "bind-twice", "two attachments for one field of a registration"


class ManifestWarning(ProblemCode):
    """What is worth a warning in a manifest itself. Codes are only ever added."""

    SIMILAR_NAMES = (
        "similar-names",
        "files that a `glob` would match if their names had other capital letters or another Unicode form; they are"
        " left out",
    )
    CHANGED_FOR_TAG = "changed-for-tag", "the filter `tag` changed values, so that tags may have them"


GRAMMAR = frozenset(
    {
        Code.SYNTAX,
        Code.TOO_DEEP,
        Code.ANCHOR,
        Code.ALIAS,
        Code.MERGE_KEY,
        Code.YAML_TAG,
    }
)
"""Problems of YAML itself. Even inside an entry they are the manifest's: what was meant there cannot be known."""


@dataclass(slots=True)
class Invalid:
    """The entries and attachments of a manifest that cannot be sent, so that the rest can be."""

    refused: list[tuple[Listed, Problem]] = field(default_factory=list)
    """Attachments that are not listed, each with its problem. One whose id is not known has its position as its id."""
    withdrawn: dict[tuple[str | None, str], Problem] = field(default_factory=dict)
    """By lane and id: attachments that were listed and must not be sent, since a problem was found later."""
    problems: set[Problem] = field(default_factory=set)
    """All problems of such entries; every other problem is the manifest's own."""

    def refuse(self, listed: Listed, problem: Problem) -> None:
        """Add an attachment that is not listed."""
        self.refused.append((listed, problem))
        self.problems.add(problem)

    def withdraw(self, lane_label: str | None, item_id: str, problem: Problem) -> None:
        """Take back an attachment that was listed, or will be."""
        self.withdrawn.setdefault((lane_label, item_id), problem)
        self.problems.add(problem)

    def of_manifest(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return the problems that are of no entry."""
        return tuple(each for each in problems if each not in self.problems)


def refused(manifest: Manifest, entry: Entry, label: str | None, source: str = "") -> Listed:
    """Return an attachment of an entry that is not listed in a lane, or the entry itself, without its tags.

    It is the entry itself (`is_entry`) if what it names is not known: a glob without a `source`, or no source at all.
    A name that is not UTF-8 has escapes, since no ledger, report or stream could take it.
    """
    is_entry = not source and (entry.kind is SourceKind.GLOB or not entry.source)
    source = escaped_for(source or entry.source, "utf-8")
    item_id = escaped_for(entry.item_id or source, "utf-8")
    place = f"{manifest.path.name}:{entry.at.line}:{entry.at.column}"
    if entry.at_file is not None:
        place = f"{entry.at_file}:{entry.at.line}"
    is_file = entry.kind is not SourceKind.URL and not is_entry
    return Listed(
        batch=manifest.batch,
        item_id=place if is_entry else item_id,
        source=source,
        folder=manifest.folder if is_file else None,
        tags={},
        generation=entry.generation or manifest.generation,
        max_size_bytes=entry.max_size_bytes or manifest.max_size_bytes,
        identity_tag=manifest.identity_tag,
        at=entry.at,
        lane_label=label,
        is_entry=is_entry,
        at_file=entry.at_file,
    )


def excerpt(text: str) -> str:
    """Return the text in backticks for a message, on one line and cut off after EXCERPT_LENGTH characters."""
    return quoted(text, max_length=EXCERPT_LENGTH)


def in_file_order(problems: Iterable[Problem], manifest: str) -> list[Problem]:
    """Return problems in the order of their positions: those of the manifest, then those of each other file."""
    return sorted(problems, key=lambda problem: (problem.file != manifest, problem.file, problem.at))


@dataclass(slots=True)
class _TagChange:
    """The values that the filter `tag` changed in one template, of which the first is the example."""

    before: str
    after: str
    count: int = 0

    def message(self, name: str) -> str:
        """Return the warning. `name` is what the template has in braces."""
        column = name.removeprefix("col:")
        shown = excerpt(column) if column != name else f"`{{{name}}}`"
        values, was = ("1 value", "was") if self.count == 1 else (f"{self.count:,} values", "were")
        return f"{values} of {shown} {was} changed for tags: {excerpt(self.before)} → {excerpt(self.after)}"


class Problems:
    """Every problem and warning of one manifest. `file` is the manifest as the user named it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.table: str | None = None
        """The table whose row is being looked at: positions are in there. None: they are in the manifest."""
        self._found: list[Problem] = []
        self.last: Problem | None = None
        """The problem that was reported last, also if it was in the list already."""
        self._tag_changes: dict[tuple[Position, str], _TagChange] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, at: Position, code: str, message: str) -> None:
        self.last = Problem(self.table or self.file, at, str(code), message)
        self._found.append(self.last)

    def add_in_table(self, table: str, line: int, code: str, message: str) -> None:
        """Add a problem of a line of a table."""
        self.table = table
        self.add(Position(line, 0), code, message)
        self.table = None

    def after(self, count: int) -> list[Problem]:
        """Return all but the first `count` problems, in the order in which they were found."""
        return self._found[count:]

    def tag_changed(self, at: Position, name: str, before: str, after: str) -> None:
        """Count a value of `{name}` that the filter `tag` changed, in the template at this position of the manifest."""
        self._tag_changes.setdefault((at, name), _TagChange(before, after)).count += 1

    def include(self, others: "Problems") -> None:
        """Add the problems of a file that the manifest names."""
        self._found += others._found

    def in_order(self) -> tuple[Problem, ...]:
        """Return the problems in the order of their positions: those of the manifest, then those of other files."""
        return tuple(in_file_order(self._found, self.file))

    def warnings(self) -> tuple[Problem, ...]:
        """Return the warnings in the order of their positions."""
        changes = sorted(self._tag_changes.items(), key=lambda found: found[0])
        code = ManifestWarning.CHANGED_FOR_TAG
        return tuple(Problem(self.file, at, code.value, change.message(name)) for (at, name), change in changes)
