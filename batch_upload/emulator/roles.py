"""AWS STS: who a caller is, and keys that act in the account of a role.

A session token holds the identity itself, unsigned: so keys are still good after a restart of the emulator.
"""

import base64
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from batch_upload.emulator.context import Call, Caller, Identity, Members, ServiceContext
from batch_upload.emulator.errors import (
    ErrorResponse,
    access_denied,
    expired_token,
    unrecognized_client,
    validation_error,
)
from batch_upload.emulator.names import ROLE_PATTERN, TWELVE_DIGITS
from batch_upload.emulator.settings import EmulatorSettings

DEFAULT_SESSION_S = 3_600
LONGEST_CHAINED_SESSION_S = 3_600
"""Of a role that a role assumes."""
SESSION_SECONDS = range(900, 43_201)
"""What DurationSeconds may be, by the API reference of AssumeRole."""
_ROLE_ID = "AROAEMULATED00000000"
_ISSUED_KEY = re.compile(rf"ASIAEMUL({TWELVE_DIGITS})[0-9A-F]{{8}}")
"""An access key id as `assume_role` makes it: it holds the role's account."""
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RoleSession:
    """The session that a session token is of."""

    access_key: str
    arn: str
    expires_at: datetime

    def token(self) -> str:
        return base64.urlsafe_b64encode(
            json.dumps([self.access_key, self.arn, self.expires_at.isoformat()]).encode()
        ).decode()

    @classmethod
    def of_token(cls, token: str) -> "RoleSession":
        """Raise ValueError or TypeError for what `token` cannot have made."""
        access_key, arn, expires_at = json.loads(base64.urlsafe_b64decode(token))
        return cls(str(access_key), str(arn), datetime.fromisoformat(expires_at))


def account_of_key(settings: EmulatorSettings, access_key: str) -> str:
    """Return the account that an access key id acts in, whether or not the key is still good."""
    issued = _ISSUED_KEY.fullmatch(access_key)
    return settings.account_of(access_key) if issued is None else issued[1]


def identity_of(settings: EmulatorSettings, caller: Caller, now: datetime) -> Identity:
    """Return who a caller is. Raises ErrorResponse for the key of a role that is expired or lacks its token."""
    account = account_of_key(settings, caller.access_key)
    if _ISSUED_KEY.fullmatch(caller.access_key) is None:
        return Identity(account, f"arn:aws:iam::{account}:user/emulated", "AIDAEMULATED00000000")
    try:
        session = RoleSession.of_token(caller.session_token or "")
        is_expired = now >= session.expires_at
    except (ValueError, TypeError) as error:
        raise unrecognized_client() from error
    if session.access_key != caller.access_key:
        raise unrecognized_client()
    if is_expired:
        raise expired_token()
    return Identity(account, session.arn, f"{_ROLE_ID}:{session.arn.rpartition('/')[2]}")


def caller_identity(_: ServiceContext, call: Call) -> Members:
    identity = call.identity
    return {"Arn": identity.arn, "UserId": identity.user_id, "Account": identity.account}


def assume_role(context: ServiceContext, call: Call) -> Members:
    """Return keys that act in the account of the role that is named, whoever asks, unless the settings refuse it."""
    arn, name = call.members.get("RoleArn", ""), call.members.get("RoleSessionName", "")
    if not re.fullmatch(ROLE_PATTERN, arn, re.ASCII) or not _SESSION_NAME.fullmatch(name):
        raise validation_error("INVALID_PARAMETER", "RoleArn or RoleSessionName is missing or malformed")
    account, role_name = arn.split(":")[4], arn.rpartition("/")[2]
    duration_s = _duration_s(call)
    settings = context.settings
    wanted = settings.external_ids.get(arn, settings.external_ids.get(account))
    is_refused = bool({arn, account} & settings.refused_roles)
    if is_refused or (wanted is not None and call.members.get("ExternalId") != wanted):
        who = f"User: {call.identity.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        raise access_denied(who)
    context.log.roles[arn] += 1
    valid_s = duration_s if settings.role_session_s is None else settings.role_session_s
    session = RoleSession(
        access_key=f"ASIAEMUL{account}{secrets.token_hex(4).upper()}",
        arn=f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}",
        expires_at=context.clock.now() + timedelta(seconds=valid_s),
    )
    expires_at = session.expires_at + timedelta(seconds=settings.clock_ahead_s)
    return {
        "AssumedRoleUser": {"AssumedRoleId": f"{_ROLE_ID}:{name}", "Arn": session.arn},
        "Credentials": {
            "AccessKeyId": session.access_key,
            "SecretAccessKey": secrets.token_hex(20),
            "SessionToken": session.token(),
            "Expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def _duration_s(call: Call) -> int:
    """Return how long a session is wanted for. Raises ErrorResponse."""
    given = call.members.get("DurationSeconds")
    if given is None:
        return DEFAULT_SESSION_S
    if not given.isdecimal() or int(given) not in SESSION_SECONDS:
        raise validation_error("INVALID_PARAMETER", f"DurationSeconds is from {min(SESSION_SECONDS)} to 43200")
    if call.identity.is_role and int(given) > LONGEST_CHAINED_SESSION_S:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise ErrorResponse("ValidationException", message)
    return int(given)
