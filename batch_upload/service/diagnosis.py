"""What the AWS configuration gives, and whether the endpoint can be reached: the checks of `doctor`."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from anyio import to_thread
from botocore import UNSIGNED
from botocore import exceptions as sdk
from botocore.utils import get_environ_proxies

from batch_upload.service.access import (
    SERVICE,
    Access,
    bypasses_proxies,
    check_endpoint,
    check_region,
    chosen_region,
    client_config,
    known_regions,
    open_session,
)
from batch_upload.service.accounts import Accounts
from batch_upload.service.client import configuration_fault
from batch_upload.service.credentials import FetchedCredentials
from batch_upload.service.http import CONNECT_TIMEOUT_S
from batch_upload.service.network import Knock, check_ca_bundle, check_proxy, knock

ENVIRONMENT = "env"
SOURCES = {
    ENVIRONMENT: "environment variables",
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
"""botocore's names of the sources of credentials, in words."""


class Diagnosis:
    """Checks one thing after another, in the order of a run. Every method raises ServiceError for what is wrong.

    Nothing that is returned or raised has a secret.
    """

    def __init__(self, access: Access, *, accounts: Accounts | None = None) -> None:
        """`accounts`: what the lanes of this process share, for one lane of several."""
        self._access = access
        self._accounts = accounts

    async def region(self) -> tuple[str, str | None]:
        """Return the Region, and a warning if this version does not know it."""
        with _configuration_faults():
            session = await self._session()
            region = chosen_region(self._access, session)
            if region in await known_regions(session, SERVICE):
                return region, None
            endpoint = await self._endpoint(session, region)
            has_proxy = bool(get_environ_proxies(endpoint))
            return region, await check_region(session, SERVICE, region, endpoint, has_proxy=has_proxy)

    async def endpoint(self) -> str:
        """Return the URL that documents would go to."""
        with _configuration_faults():
            session = await self._session()
            endpoint = await self._endpoint(session, chosen_region(self._access, session))
            check_endpoint(endpoint, self._access.allowed_hosts)
            return endpoint

    async def proxy(self, endpoint: str) -> str | None:
        """Return the proxy for the endpoint, without user and password."""
        return None if bypasses_proxies(self._access) else check_proxy(endpoint)

    async def tls(self, endpoint: str) -> Knock | None:
        """Return the answer of the endpoint to a request without credentials; None for plain http."""
        with _configuration_faults():
            bundle = await to_thread.run_sync(check_ca_bundle, await self._session())
        if urlsplit(endpoint).scheme != "https":
            return None
        return await knock(endpoint, self._access.http_session, ca_bundle=bundle, timeout_s=CONNECT_TIMEOUT_S)

    async def credentials(self, region: str | None) -> FetchedCredentials:
        """Return credentials as a run would have them, fetched (SSO, a role, a helper)."""
        with _configuration_faults():
            if self._accounts is None:
                found = FetchedCredentials(await self._session(), self._access, region)
            else:
                found = (await self._accounts.lane(self._access)).account.credentials
            await found.get_frozen_credentials()
            return found

    async def _session(self) -> AioSession:
        return await (open_session(self._access) if self._accounts is None else self._accounts.session(self._access))

    async def _endpoint(self, session: AioSession, region: str) -> str:
        if self._access.endpoint_url is not None:
            check_endpoint(self._access.endpoint_url, self._access.allowed_hosts)  # the SDK quotes what is no URL
        config = client_config(self._access, session, bypass_proxies=True).merge(AioConfig(signature_version=UNSIGNED))
        made = session.create_client(SERVICE, region_name=region, endpoint_url=self._access.endpoint_url, config=config)
        async with made as client:
            return str(client.meta.endpoint_url)


@contextmanager
def _configuration_faults() -> Iterator[None]:
    """Raise AccessFault for what the AWS configuration makes botocore raise."""
    try:
        yield
    except (sdk.BotoCoreError, OSError, ValueError) as error:
        raise configuration_fault(error) from error
