"""What the AWS configuration gives, without a question to the service: for those who look for what is wrong."""

from dataclasses import dataclass
from datetime import datetime

from botocore import exceptions as sdk

from batch_upload.service.access import Access, open_session
from batch_upload.service.faults import NEVER_ANSWERED, fault_of

SOURCES = {
    "env": "environment variables",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "custom-process": "a credential process",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a role assumed with a web identity",
    "sso": "IAM Identity Center (SSO)",
    "login": "`aws login`",
    "iam-role": "the role of this machine",
    "container-role": "the role of this container",
}
"""botocore's names of where credentials come from, in words."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was found. `source` is None without credentials; `expires_at` is None for those that do not expire."""

    source: str | None
    region: str | None
    expires_at: datetime | None = None
    refreshes: bool = False
    """Whether the credentials renew themselves before they expire."""


async def configuration(access: Access) -> Configuration:
    """Find credentials and Region as a run would; what must be fetched is fetched (SSO, a role, a process).

    Raises ServiceError where they cannot be had; nothing secret is in what is returned or raised.
    """
    try:
        session = await open_session(access)
        region = access.region or session.get_config_variable("region")
        credentials = await session.get_credentials()
        if credentials is None:
            return Configuration(None, region)
        await credentials.get_frozen_credentials()
    except (sdk.ClientError, sdk.BotoCoreError, *NEVER_ANSWERED) as error:
        raise fault_of(error) from error
    method = str(credentials.method)
    # botocore tells the expiry nowhere in public
    expires_at = getattr(credentials, "_expiry_time", None)
    return Configuration(SOURCES.get(method, method), region, expires_at, refreshes=expires_at is not None)
