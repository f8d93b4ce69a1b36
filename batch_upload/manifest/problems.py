"""The problems of a manifest: their codes, and the list that they are gathered in."""

from batch_upload.errors import ProblemCode
from batch_upload.escape import quoted
from batch_upload.model import Position, Problem

EXCERPT_LENGTH = 80


class Code(ProblemCode):
    """What is wrong with a manifest. Codes are only ever added."""

    TOO_LARGE = "manifest-too-large", "the manifest is larger than 512 MiB"
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
    MISSING_KEY = "missing-key", "`version`, `batch` or `attachments` is missing"
    WRONG_TYPE = "wrong-type", "a list, a mapping or a text where another of them is needed"
    EMPTY_VALUE = "empty-value", 'a key without a value (for an empty tag write `""`)'
    EMPTY_LIST = "empty-list", "`attachments` is an empty list"
    CONTROL_CHARACTER = "control-character", "a control character in a name, path, pattern or id"
    VERSION = "version", "`version` is not the number 1"
    BATCH = "batch", "`batch` is not `[a-z0-9][a-z0-9._-]{0,63}`"
    GENERATION = "generation", "`generation` is not a whole number from 1, written in plain digits"
    MAX_SIZE = "max-size", "`max_size` is not a size from 1 byte to 5MiB"
    IDENTITY_TAG = "identity-tag", "`identity_tag` is not `true` or `false`"
    REGION = "region", "`target.region` does not look like a Region"
    ACCOUNT = "account", "`target.account` is not 12 digits"
    ROLE_ARN = "role-arn", "`target.role_arn` is not the ARN of a role"
    URL = "url", "`url` is not `s3://BucketName/FileName` of at most 2,048 characters without white space"
    NO_SOURCE = "no-source", "an entry without `file`, `glob` or `url`"
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
        "braces in a tag's value other than `{stem}`, `{name}`, `{parent}`, `{id}`, `{batch}`, `{{`, `}}`",
    )
    NO_MATCH = "no-match", "a `glob` that matches no file"
    FOLDER_UNREADABLE = "folder-unreadable", "a folder that a `glob` must look into cannot be read"
    OUTSIDE = "outside", "a path that leaves the manifest's folder"
    FOLDER = "folder", "a `file` that ends with `/`, as only folders do"


def excerpt(text: str) -> str:
    """Return the text in backticks for a message, on one line and cut off after EXCERPT_LENGTH characters."""
    return quoted(text, max_length=EXCERPT_LENGTH)


class Problems:
    """Every problem of one manifest. `file` is the manifest as the user named it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, at: Position, code: Code, message: str) -> None:
        self._found.append(Problem(self._file, at, code.value, message))

    def in_order(self) -> tuple[Problem, ...]:
        """Return the problems in the order of their positions."""
        return tuple(sorted(self._found, key=lambda problem: problem.at))
