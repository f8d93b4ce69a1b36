"""The codes of problems: stable names for scripts, each with its meaning in one line."""

from enum import StrEnum


class Code(StrEnum):
    """What is wrong with a manifest. Codes are only ever added."""

    TOO_LARGE = "manifest-too-large"
    NOT_UTF8 = "not-utf-8"
    CHARACTER = "character"
    TAB = "tab"
    SYNTAX = "syntax"
    EMPTY_MANIFEST = "empty-manifest"
    SECOND_DOCUMENT = "second-document"
    TOO_DEEP = "too-deep"
    ANCHOR = "anchor"
    ALIAS = "alias"
    MERGE_KEY = "merge-key"
    YAML_TAG = "yaml-tag"
    KEY_NOT_TEXT = "key-not-text"
    DUPLICATE_KEY = "duplicate-key"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    EMPTY_VALUE = "empty-value"
    EMPTY_LIST = "empty-list"
    CONTROL_CHARACTER = "control-character"
    VERSION = "version"
    BATCH = "batch"
    GENERATION = "generation"
    MAX_SIZE = "max-size"
    IDENTITY_TAG = "identity-tag"
    REGION = "region"
    ACCOUNT = "account"
    ROLE_ARN = "role-arn"
    URL = "url"
    NO_SOURCE = "no-source"
    SEVERAL_SOURCES = "several-sources"
    ID_ON_GLOB = "id-on-glob"
    ID = "id"
    DUPLICATE_ID = "duplicate-id"
    TAG_KEY = "tag-key"
    TAG_VALUE = "tag-value"
    TAG_RESERVED = "tag-reserved"
    TOO_MANY_TAGS = "too-many-tags"
    TEMPLATE = "template"
    NO_MATCH = "no-match"
    FOLDER_UNREADABLE = "folder-unreadable"
    OUTSIDE = "outside"
    FOLDER = "folder"


MEANINGS: dict[Code, str] = {
    Code.TOO_LARGE: "the manifest is larger than 512 MiB",
    Code.NOT_UTF8: "the manifest is not UTF-8 text",
    Code.CHARACTER: "a character that YAML does not allow, or that cannot be seen (NEL, LS, PS, a byte order mark)",
    Code.TAB: "a tab in the indentation",
    Code.SYNTAX: "not YAML; what follows it was not read",
    Code.EMPTY_MANIFEST: "the manifest is empty or holds only comments",
    Code.SECOND_DOCUMENT: "a second YAML document after `---`",
    Code.TOO_DEEP: "lists and mappings nested more than 20 deep",
    Code.ANCHOR: "an anchor (`&name`); `defaults` serves instead",
    Code.ALIAS: "an alias (`*name`); `defaults` serves instead",
    Code.MERGE_KEY: "a merge key (`<<`); `defaults` serves instead",
    Code.YAML_TAG: "a YAML tag (`!!str`, `!anything`); text is text as written",
    Code.KEY_NOT_TEXT: "a key that is empty, a list or a mapping",
    Code.DUPLICATE_KEY: "the same key twice in one mapping",
    Code.UNKNOWN_KEY: "a key that means nothing here",
    Code.MISSING_KEY: "`version`, `batch` or `attachments` is missing",
    Code.WRONG_TYPE: "a list, a mapping or a text where another of them is needed",
    Code.EMPTY_VALUE: 'a key without a value (for an empty tag write `""`)',
    Code.EMPTY_LIST: "`attachments` is an empty list",
    Code.CONTROL_CHARACTER: "a control character in a name, path, pattern or id",
    Code.VERSION: "`version` is not the number 1",
    Code.BATCH: "`batch` is not `[a-z0-9][a-z0-9._-]{0,63}`",
    Code.GENERATION: "`generation` is not a whole number from 1, written in plain digits",
    Code.MAX_SIZE: "`max_size` is not a size from 1 byte to 5MiB",
    Code.IDENTITY_TAG: "`identity_tag` is not `true` or `false`",
    Code.REGION: "`target.region` does not look like a Region",
    Code.ACCOUNT: "`target.account` is not 12 digits",
    Code.ROLE_ARN: "`target.role_arn` is not the ARN of a role",
    Code.URL: "`url` is not `s3://BucketName/FileName` of at most 2,048 characters without white space",
    Code.NO_SOURCE: "an entry without `file`, `glob` or `url`",
    Code.SEVERAL_SOURCES: "an entry with more than one of `file`, `glob` and `url`",
    Code.ID_ON_GLOB: "an `id` on a `glob`, whose matches are their own ids",
    Code.ID: "an id longer than 1,024 characters, or a file name that is not UTF-8",
    Code.DUPLICATE_ID: "two attachments with the same id, or two globs that match the same files",
    Code.TAG_KEY: "a tag's key that is empty, too long, or has a character that is not allowed",
    Code.TAG_VALUE: "a tag's value that is too long, or has a character that is not allowed",
    Code.TAG_RESERVED: "a tag that begins with `aws:` or `batch-upload:`",
    Code.TOO_MANY_TAGS: "more than 50 tags on an attachment, the identity tag counted",
    Code.TEMPLATE: "braces in a tag's value other than `{stem}`, `{name}`, `{parent}`, `{id}`, `{batch}`, `{{`, `}}`",
    Code.NO_MATCH: "a `glob` that matches no file",
    Code.FOLDER_UNREADABLE: "a folder that a `glob` must look into cannot be read",
    Code.OUTSIDE: "a path that leaves the manifest's folder",
    Code.FOLDER: "a `file` that ends with `/`, as only folders do",
}
