"""The token service: who a caller is, and roles of other accounts that it may take on."""

import re
import secrets
from datetime import timedelta

from batch_upload.emulator.desk import Call, Desk, Members, Role
from batch_upload.emulator.refusals import invalid

SESSION_S = 3_600
_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\w+=,.@/-]*/)?([\w+=,.@-]+)", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


def caller_identity(desk: Desk, call: Call) -> Members:
    """GetCallerIdentity."""
    role = desk.roles.get(call.access_key)
    if role is not None:
        return {"Arn": role.arn, "UserId": role.role_id, "Account": role.account}
    arn = f"arn:aws:iam::{call.account}:user/emulated"
    return {"Arn": arn, "UserId": "AIDAEMULATED00000000", "Account": call.account}


def assume_role(desk: Desk, call: Call) -> Members:
    """AssumeRole, of any role of any account: whoever holds the key that is given acts in the role's account."""
    found = _ROLE_ARN.fullmatch(call.members.get("RoleArn", ""))
    session = call.members.get("RoleSessionName", "")
    if found is None or not _SESSION_NAME.fullmatch(session):
        raise invalid("INVALID_PARAMETER", "RoleArn or RoleSessionName is missing or malformed")
    account, name = found.groups()
    role = Role(account, f"arn:aws:sts::{account}:assumed-role/{name}/{session}", f"AROAEMULATED00000000:{session}")
    access_key = f"ASIA{secrets.token_hex(8).upper()}"
    desk.roles[access_key] = role
    expires_at = desk.clock.now() + timedelta(seconds=SESSION_S)
    return {
        "AssumedRoleUser": {"AssumedRoleId": role.role_id, "Arn": role.arn},
        "Credentials": {
            "AccessKeyId": access_key,
            "SecretAccessKey": secrets.token_hex(20),
            "SessionToken": secrets.token_hex(32),
            "Expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }
