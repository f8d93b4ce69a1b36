"""The operations that are emulated, by the names that requests, rates, faults and permissions use."""

CREATE = "CreateRegistrationAttachment"
DESCRIBE = "DescribeRegistrationAttachments"
LIST_TAGS = "ListTagsForResource"
TAG = "TagResource"
UNTAG = "UntagResource"
DELETE = "DeleteRegistrationAttachment"
LIMITS = "DescribeAccountLimits"

CALLER_IDENTITY = "GetCallerIdentity"
ASSUME_ROLE = "AssumeRole"
TOKEN_SERVICE = frozenset({CALLER_IDENTITY, ASSUME_ROLE})
"""Operations of the token service, which speaks another protocol and is not in the service's model."""

OPERATIONS = frozenset({CREATE, DESCRIBE, LIST_TAGS, TAG, UNTAG, DELETE, LIMITS}) | TOKEN_SERVICE
EVERY_OPERATION = "*"
