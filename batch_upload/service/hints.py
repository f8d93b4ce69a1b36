"""What to do about a refusal of access, in a phrase. Every command named here mends something."""

from botocore import exceptions as sdk

from batch_upload.operations import CREATE, IDENTITY, TAG

FRESH_KEYS = "sign in again (`aws sso login`, or fresh keys), then run the same command"
_NOT_ACTIVE = "enable the Region, or STS in it, in the account's settings (IAM, Account settings); or choose another"
_BY_CODE = {
    "RegionDisabledException": _NOT_ACTIVE,
    "OptInRequired": "enable the Region or the service in the account: console, Account, AWS Regions",
    "SubscriptionRequiredException": "subscribe the account to the service: finish its sign-up in the AWS console",
    "NotSignedUp": "finish the sign-up of the account in the AWS console",
    "AccountProblem": "the account itself has a problem: see its billing page, or ask AWS Support",
    "UnknownOperationException": "is this the endpoint of AWS End User Messaging SMS, in a Region that has it?",
    "InvalidClientTokenId": "the access key is unknown to AWS: another profile (`--profile NAME`), or fresh keys",
    "InvalidAccessKeyId": "the access key is unknown to AWS: another profile (`--profile NAME`), or fresh keys",
    "UnrecognizedClientException": "the keys or their session token are not valid: `--profile NAME`, or fresh keys",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key: copy both again",
    "InvalidSignatureException": "the secret key does not belong to the access key: copy both again",
    "IDPRejectedClaim": "the identity provider refuses the token: see the role's trust policy",
    "InvalidIdentityToken": "the token file holds no valid token: see the role's trust policy and the token's audience",
}


def access_hint(code: str, reason: str | None, operation: str) -> str:
    """What to do about an answer that refuses access."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("Expired"):
        return FRESH_KEYS
    if reason == "ACCOUNT_DISABLED":
        return "the account is disabled for SMS: ask AWS Support"
    if code.startswith("AccessDenied"):
        return _permission_hint(operation)
    return "other credentials are needed: `--profile NAME`, or fresh keys"


def sdk_hint(error: Exception) -> str:
    """What to do about a configuration or credentials that botocore itself refuses."""
    match error:
        case sdk.ProfileNotFound():
            return "`aws configure list-profiles` shows which there are; `--profile NAME` chooses one"
        case sdk.ConfigParseError():
            return "mend that file: a byte order mark, or a line that is neither `[section]` nor `key = value`"
        case sdk.NoRegionError():
            return "`--region us-east-1`, or `target: {region: …}`"
        case sdk.PartialCredentialsError():
            return "give both `aws_access_key_id` and `aws_secret_access_key`"
        case sdk.NoCredentialsError():
            return "`aws configure`, `aws sso login` or `--profile NAME`"
        case _:
            return "mend the profile in `~/.aws/config`, or choose another with `--profile NAME`"


def _permission_hint(operation: str) -> str:
    if operation == CREATE:
        return f"the identity needs `sms-voice:{CREATE}` and `sms-voice:{TAG}`"
    if operation.startswith("AssumeRole"):
        return f"the identity needs `sts:{operation}` on the role, and the role's trust policy must name the identity"
    if operation == "GetRoleCredentials":
        return "this SSO user may not use the account and role of the profile: `sso_account_id`, `sso_role_name`"
    service = "sts" if operation == IDENTITY else "sms-voice"
    return f"the identity needs `{service}:{operation}`"
