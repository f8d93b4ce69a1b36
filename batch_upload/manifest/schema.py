"""The manifest for editors: pydantic models, and the JSON Schema that is made of them.

The reader does not use them: it needs positions, and must not build a tree. Tests compare the two. What a schema cannot
say (unique ids, globs that match, templates) only the reader checks.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from batch_upload.manifest import rules
from batch_upload.manifest.binds import ARN_PATTERN, FIELD_PATTERN, REGISTRATION_PATTERN
from batch_upload.manifest.filters import TAG_VALUE_LENGTH
from batch_upload.manifest.forms import BUILT_IN, FORM_OF_FIELD, TYPES_BY_NAME
from batch_upload.model import MAX_SIZE_SERVICE_BYTES
from batch_upload.spelling import REGION_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"
_TAG_KEY = r"^(?![aA][wW][sS]:)(?!batch-upload:)"

# Editors read `0123`, `1e3` and `true` as numbers and booleans; here they are text as written.
NotQuoted = int | float | bool
Text = Annotated[str, StringConstraints(pattern=_TEXT)] | NotQuoted
ItemId = Annotated[str, StringConstraints(pattern=_TEXT, max_length=rules.ID_LENGTH)] | NotQuoted
Batch = Annotated[str, StringConstraints(pattern=f"^{rules.BATCH_PATTERN}$")] | Annotated[int, Field(ge=0)]
Region = Annotated[str, StringConstraints(pattern=f"^{REGION_PATTERN}$")]
Account = (
    Annotated[str, StringConstraints(pattern=f"^{rules.ACCOUNT_PATTERN}$")]
    | Annotated[int, Field(ge=10**11, lt=10**12)]
)
RoleArn = Annotated[str, StringConstraints(pattern=f"^{rules.ROLE_ARN_PATTERN}$")]
NameOfTarget = Annotated[str, StringConstraints(pattern=f"^(?:{rules.TARGET_NAME_PATTERN})$")] | NotQuoted
Group = Annotated[str, StringConstraints(pattern=f"^{rules.GROUP_PATTERN}$")] | NotQuoted
VariableName = Annotated[str, StringConstraints(pattern=f"^{rules.VARIABLE_PATTERN}$")]
ExternalId = Annotated[str, StringConstraints(pattern=f"^{rules.EXTERNAL_ID_PATTERN}$")] | NotQuoted
Names = Text | Annotated[list[Text], Field(min_length=1)]
# With `targets` the name of the bucket may have templates.
_URL = rules.URL_PATTERN.replace("[A-Za-z0-9", "[A-Za-z0-9{").replace("._-]", "._{}-]")
Url = Annotated[str, StringConstraints(pattern=f"^{_URL}$", max_length=rules.URL_LENGTH)]
Generation = Annotated[int, Field(ge=1, lt=10**15)]
Size = (
    Annotated[str, StringConstraints(pattern=f"^{rules.SIZE_PATTERN}$")]
    | Annotated[int, Field(ge=1, le=MAX_SIZE_SERVICE_BYTES)]
)
Patterns = Text | Annotated[list[Text], Field(min_length=1)]
Duration = Annotated[str, StringConstraints(pattern=f"^{rules.DURATION_PATTERN}$")]
Pixels = Annotated[str, StringConstraints(pattern=f"^{rules.PIXELS_PATTERN}$")]
# The names of the built-in forms are values that an editor offers.
FormName = Annotated[str, Field(json_schema_extra={"enum": [*BUILT_IN]})] | Text
OwnFormName = Annotated[str, StringConstraints(pattern=f"^(?!(?:{'|'.join(BUILT_IN)})$){rules.FORM_NAME_PATTERN}$")]
_TEMPLATE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*\{[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*"
RegistrationName = (
    Annotated[str, StringConstraints(pattern=f"^(?:{REGISTRATION_PATTERN}|{ARN_PATTERN}|{_TEMPLATE})$")] | NotQuoted
)
# Fields whose forms are known are values that an editor offers.
FieldName = (
    Annotated[str, Field(json_schema_extra={"enum": [*FORM_OF_FIELD]}), StringConstraints(pattern=f"^{FIELD_PATTERN}$")]
    | Annotated[str, StringConstraints(pattern=f"^(?:{FIELD_PATTERN}|{_TEMPLATE})$")]
    | NotQuoted
)
TypeName = Annotated[
    str,
    StringConstraints(pattern=f"^(?:{'|'.join(TYPES_BY_NAME)})$"),
    Field(json_schema_extra={"enum": [*TYPES_BY_NAME]}),
]
Types = TypeName | Annotated[list[TypeName], Field(min_length=1)]
TagKey = Annotated[str, StringConstraints(min_length=1, max_length=rules.TAG_KEY_LENGTH, pattern=_TAG_KEY)]
TagValue = Annotated[str, StringConstraints(max_length=TAG_VALUE_LENGTH)] | NotQuoted
Tags = Annotated[dict[TagKey, TagValue], Field(max_length=rules.TAGS_LIMIT)]


class _Mapping(BaseModel):
    # Rust's regular expressions have no look-ahead, JSON Schema's have.
    model_config = ConfigDict(extra="forbid", strict=True, regex_engine="python-re", use_attribute_docstrings=True)


class TargetModel(_Mapping):
    """Where the attachments go. What is not here comes from the AWS configuration."""

    region: Region = Field(default="", examples=["us-east-1"])
    """The Region, as for the AWS CLI."""
    account: Account = Field(default="", examples=["123456789012"])
    """A guard: nothing is sent to any other account. 12 digits, in quotes."""
    profile: Text = Field(default="", examples=["acme"])
    """The AWS profile."""
    role_arn: RoleArn = Field(default="", examples=["arn:aws:iam::123456789012:role/uploader"])
    """A role to assume."""


class TargetsDefaultsModel(_Mapping):
    """What holds for every target that does not say otherwise."""

    role_arn: Text = Field(default="", examples=["arn:aws:iam::{account}:role/uploader"])
    """A role to assume. May hold {account}, {name}, {region} and {vars.NAME}."""
    external_id: ExternalId = Field(default="", examples=["env:UPLOAD_EXTERNAL_ID"])
    """The external id of the role; `env:NAME` for the value of a variable."""
    profile: Text = Field(default="", examples=["{name}"])
    """The AWS profile. May hold {account}, {name}, {region} and {vars.NAME}."""
    regions: Annotated[list[Region], Field(min_length=1)] = Field(default=[], examples=[["us-east-1", "us-west-2"]])
    """The Regions; each is a lane of its own."""
    groups: list[Group] = Field(default=[], examples=[["tier1"]])
    """Names that an entry, or `--target`, uses as `group:NAME`."""
    vars: dict[VariableName, str | NotQuoted] = Field(default={}, examples=[{"brand": "acme"}])
    """Values for {vars.NAME}."""


class TargetOfListModel(TargetsDefaultsModel):
    """An account with its Regions."""

    name: NameOfTarget = Field(examples=["acme"])
    """The name by which entries and `--target` choose it."""
    account: Account = Field(examples=["123456789012"])
    """A guard: nothing is sent to any other account. 12 digits, in quotes."""


class TargetsModel(_Mapping):
    """Several accounts and Regions."""

    defaults: TargetsDefaultsModel = TargetsDefaultsModel()
    """What holds for every target that does not say otherwise."""
    file: Text = Field(default="", alias="from", examples=["accounts.yaml"])
    """A YAML file with targets, relative to the manifest: a list, or c7n-org's `accounts`."""
    targets: Annotated[list[TargetOfListModel], Field(min_length=1)] = Field(default=[], alias="list")
    """The targets; they follow those of the file."""


class FormModel(_Mapping):
    """What a registration form takes. At least one of these."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    types: Types = Field(default=[], examples=[["png", "jpeg"]])
    """The types that it takes: pdf, png, jpeg."""
    max_size: Size = Field(default="", examples=["50KB"])
    """The size that it takes: KB = 1,000 bytes, KiB = 1,024; at most 5MiB."""
    pixels: Pixels = Field(default="", examples=["224x224"])
    """The width and height that a picture must have."""
    min_pixels: Pixels = Field(default="", examples=["640x480"])
    """The width and height that a picture must have at least."""

    @model_validator(mode="after")
    def _demands_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a form demands something")
        return self


class DefaultsModel(_Mapping):
    """What holds for every entry that does not say otherwise."""

    tags: Tags = Field(default={}, examples=[{"Customer": "acme"}])
    """Tags of every attachment; an entry's own are laid over them."""
    max_size: Size = Field(default="500KB", examples=["500KB", "1MiB"])
    """The size a file may have: KB = 1,000 bytes, KiB = 1,024; at most 5MiB."""
    generation: Generation = 1
    """Raise it to upload again on purpose."""
    identity_tag: bool = True
    """Whether each attachment carries the tag `batch-upload:token`, by which it is recognised at the service."""
    target: Names = Field(default="", examples=["all"])
    """With `targets`: NAME, NAME/REGION, group:NAME, all, or a list of these."""
    exclude: Patterns = Field(default="", examples=["draft-*", ["draft-*", "old"]])
    """Patterns of files and folders that no glob matches."""
    min_age: Duration = Field(default="", examples=["60s", "5m"])
    """For globs: files that were changed more recently are left for a later run."""
    form: FormName = Field(default="", examples=["sender-id-letter"])
    """The registration form that the attachments are for: a built-in one, or one of `forms`."""
    check: Literal["inside", "bytes"] = "inside"
    """Whether documents are looked into; `bytes`: only their size, and their type by their first bytes."""


class BindModel(_Mapping):
    """The field of a registration that the attachment is put into. Both may hold the templates that tags may hold."""

    registration: RegistrationName = Field(examples=["registration-0123abcd", "{col:Registration}"])
    """The id of the registration, or its ARN. It must be in the account and Region that the attachment goes to."""
    field: FieldName = Field(examples=["messagingUseCase.optInImage"])
    """The path of the field, which must take an attachment."""


class _EntryModel(_Mapping):
    tags: Tags = Field(default={}, examples=[{"Name": "{stem}", "Country": "NO"}])
    """Tags of this entry, laid over the defaults. Values may hold {stem}, {name}, {parent}, {id} and {batch}; with
    `targets` also {account}, {region}, {target} and {vars.NAME}; with `table` also {col:NAME}. A filter may follow, as
    in {col:Company|tag}."""
    generation: Generation = 0
    """Raise it to upload this again on purpose."""
    max_size: Size = Field(default="", examples=["500KB", "1MiB"])
    """The size the file may have: KB = 1,000 bytes, KiB = 1,024; at most 5MiB."""
    target: Names = Field(default="", examples=["acme", "acme/us-east-1", "group:tier1", ["acme", "beta"]])
    """With `targets`: NAME, NAME/REGION, group:NAME, all, or a list of these."""
    form: FormName = Field(default="", examples=["rcs-logo"])
    """The registration form that this is for: a built-in one, or one of `forms`. Type and pixels are checked against
    it, and its size is the `max_size`, unless that is given."""
    bind: BindModel = Field(
        default=BindModel.model_construct(registration="", field=""),
        examples=[{"registration": "registration-0123abcd", "field": "messagingUseCase.optInImage"}],
    )
    """The field of a registration that the attachment is put into once the service has finished with it."""


class FileEntryModel(_EntryModel):
    """One file."""

    file: Text = Field(examples=["files/acme-loa.pdf"])
    """The path of a PDF, PNG or JPEG, relative to the manifest."""
    id: ItemId = Field(default="", examples=["acme/loa"])
    """The attachment's name in this batch; the path as written if it is not given."""


class GlobEntryModel(_EntryModel):
    """One attachment for each match, whose id is its path."""

    glob: Text = Field(examples=["screenshots/**/*.png"])
    """A pattern, relative to the manifest. `**` is any number of folders, `{a,b}` is a or b."""
    exclude: Patterns = Field(default="", examples=["draft-*", ["draft-*", "old"]])
    """Patterns of files and folders that are left out, besides those of the defaults."""
    optional: bool = False
    """Whether it is no problem if nothing matches."""
    min_age: Duration = Field(default="", examples=["60s", "5m"])
    """Files that were changed more recently are left for a later run."""


class UrlEntryModel(_EntryModel):
    """An object that the service reads from S3 by itself."""

    url: Url = Field(examples=["s3://bucket/terms.pdf"])
    """`s3://BucketName/FileName`."""
    id: ItemId = Field(default="", examples=["acme/terms"])
    """The attachment's name in this batch; the URL if it is not given."""


class TableEntryModel(_EntryModel):
    """One attachment for each row of a table: CSV, JSON Lines or a workbook (.xlsx)."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["file"]}, {"required": ["url"]}]})

    table: Text = Field(examples=["customers.csv"])
    """The path of the table, relative to the manifest. Its first row has the names of the columns."""
    sheet: Text = Field(default="", examples=["Customers"])
    """The sheet of a workbook; the first one if it is not given."""
    file: Text = Field(default="", examples=["letters/{col:File Name}"])
    """The path of each row's file, relative to the manifest: a template that takes from columns by {col:NAME}."""
    url: Text = Field(default="", examples=["{col:Address}"])
    """The `s3://BucketName/FileName` of each row, or of those without a file."""
    id: ItemId = Field(default="", examples=["{col:Number}/letter"])
    """The attachment's name in this batch; the path or URL where it is empty."""


class ManifestModel(_Mapping):
    """What `batch-upload` is to upload. Version 1."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["target", "targets"]}})

    version: Literal[1]
    """The version of this format."""
    ledger: Text = Field(default="", examples=["june.ledger"])
    """Where the ledger is, relative to the manifest; beside the manifest if it is not given."""
    part_of: Text = Field(default="", examples=["june.yaml"])
    """The manifest of which this one lists only some items, relative to this one: `prune` refuses a part."""
    batch: Batch = Field(examples=["acme-2026"])
    """The name of the batch. It is part of what each attachment is: with another name, all are others."""
    target: TargetModel = TargetModel()
    """Where the attachments go."""
    targets: TargetsModel = TargetsModel()
    """Several accounts and Regions; instead of `target`."""
    defaults: DefaultsModel = DefaultsModel()
    """What holds for every entry that does not say otherwise."""
    forms: dict[OwnFormName, FormModel] = Field(
        default={}, examples=[{"my-logo": {"types": ["png"], "max_size": "50KB", "pixels": "224x224"}}]
    )
    """Forms of your own, beside the built-in ones that `batch-upload manifest forms` lists."""
    attachments: Annotated[list[FileEntryModel | GlobEntryModel | UrlEntryModel | TableEntryModel], Field(min_length=1)]
    """What is to be uploaded, in this order."""


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest, the same on every call and machine."""
    schema = ManifestModel.model_json_schema()
    schema["title"] = "batch-upload manifest, version 1"
    for name, definition in schema["$defs"].items():
        definition["title"] = name.removesuffix("Model")
    _walk(schema)
    return {"$schema": DIALECT, **schema}


def schema_text() -> str:
    """Return the text of the schema file."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def _walk(node: Any) -> None:  # noqa: ANN401  a tree of JSON
    if isinstance(node, list):
        for child in node:
            _walk(child)
    if not isinstance(node, dict):
        return
    # pydantic writes `patternProperties`, which accept a name that fits no pattern: `propertyNames` refuses it.
    for pattern, value in node.pop("patternProperties", {}).items():
        names = {"minLength": 1, "maxLength": rules.TAG_KEY_LENGTH, "pattern": pattern}
        node.update(propertyNames=names, additionalProperties=value)
    # An empty default means "not given" here, which is nothing to offer.
    default = node.get("default")
    if default in ("", 0) or isinstance(default, dict | list):
        del node["default"]
    for value in node.get("properties", {}).values():
        value.pop("title", None)
    for child in node.values():
        _walk(child)
