"""The names of the service: its operations, as requests, rates, faults and permissions use them, and its statuses."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator


class Operation(StrEnum):
    """An operation, as its request names it."""

    CREATE = "CreateRegistrationAttachment"
    DESCRIBE = "DescribeRegistrationAttachments"
    LIST_TAGS = "ListTagsForResource"
    TAG = "TagResource"
    UNTAG = "UntagResource"
    DELETE = "DeleteRegistrationAttachment"
    LIMITS = "DescribeAccountLimits"
    CREATE_REGISTRATION = "CreateRegistration"
    DESCRIBE_REGISTRATIONS = "DescribeRegistrations"
    DELETE_REGISTRATION = "DeleteRegistration"
    CREATE_VERSION = "CreateRegistrationVersion"
    DESCRIBE_VERSIONS = "DescribeRegistrationVersions"
    SUBMIT_VERSION = "SubmitRegistrationVersion"
    FIELD_DEFINITIONS = "DescribeRegistrationFieldDefinitions"
    FIELD_VALUES = "DescribeRegistrationFieldValues"
    PUT_FIELD_VALUE = "PutRegistrationFieldValue"
    DELETE_FIELD_VALUE = "DeleteRegistrationFieldValue"
    CALLER_IDENTITY = "GetCallerIdentity"
    ASSUME_ROLE = "AssumeRole"
    ACCOUNTS = "ListAccounts"
    ACCOUNTS_OF_PARENT = "ListAccountsForParent"
    UNITS_OF_PARENT = "ListOrganizationalUnitsForParent"


STS_OPERATIONS = frozenset({Operation.CALLER_IDENTITY, Operation.ASSUME_ROLE})
"""Operations of AWS STS, which speaks another protocol and is not in the service's model."""

ORGANIZATIONS_OPERATIONS = frozenset({Operation.ACCOUNTS, Operation.ACCOUNTS_OF_PARENT, Operation.UNITS_OF_PARENT})
"""Operations of AWS Organizations, which has a model of its own and other names for the common errors."""
ORGANIZATIONS_TARGET = "AWSOrganizationsV20161128"

OPERATIONS = frozenset(each.value for each in Operation)
EVERY_OPERATION = "*"
TWELVE_DIGITS = "[0-9]{12}"
ROLE_PATTERN = rf"arn:aws:iam::{TWELVE_DIGITS}:role/(?:[\w+=,.@/-]*/)?[\w+=,.@-]+"
"""The part of an ARN behind the last slash is the name of the role."""


def _emulated_operation(name: str) -> str:
    if name not in OPERATIONS and name != EVERY_OPERATION:
        raise ValueError(f"`{name}` is not an operation that is emulated")
    return name


OperationName = Annotated[str, AfterValidator(_emulated_operation)]
"""One of `OPERATIONS`, or `*` for every one."""


class UploadStatus(StrEnum):
    """`AttachmentStatus` of the model."""

    IN_PROGRESS = "UPLOAD_IN_PROGRESS"
    COMPLETE = "UPLOAD_COMPLETE"
    FAILED = "UPLOAD_FAILED"
    DELETED = "DELETED"
