"""The accounts of an AWS organization, page by page and slowly: everybody in the organization shares its rate."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from batch_upload.clock import MonotonicClock
from batch_upload.errors import Refused, UsageError
from batch_upload.service.access import (
    Access,
    bypasses_proxies,
    check_endpoint,
    check_region_name,
    client_config,
    endpoint_for_others,
    open_session,
)
from batch_upload.service.answers import member, text_member, unreadable
from batch_upload.service.client import answer_to, configured
from batch_upload.service.credentials import FetchedCredentials
from batch_upload.service.network import check_ca_bundle, check_proxy
from batch_upload.service.sharing import StartLimiter

ORGANIZATIONS = "organizations"
CALLS_PER_S = 1
"""Organizations publishes no rates for its lists. Tools that list a few hundred accounts faster are throttled."""
PAGE_MAX = 20
"""Results on a page, the most that the service gives (its model, `MaxResults`)."""
HOME_REGION = "us-east-1"
"""Where the SDK finds the service if no Region is chosen. The Region only decides the partition: see its endpoints."""
ACTIVE = "ACTIVE"

JsonAnswer = Mapping[str, Any]
Retry = Callable[[str, Callable[[], Awaitable[JsonAnswer]]], Awaitable[JsonAnswer]]
"""Sends the request of an operation, and again while it raises Throttled or NoAnswer. Each try takes a new slot."""


@dataclass(frozen=True, slots=True)
class OrganizationAccount:
    """An active account. `name` is as the organization has it, not unique."""

    account_id: str
    name: str


async def sent_once(_operation: str, send: Callable[[], Awaitable[JsonAnswer]]) -> JsonAnswer:
    """Send a request without another try."""
    return await send()


class Organization:
    """Lists accounts, CALLS_PER_S calls a second. Made by `open_organization`.

    Raises AccessFault, which names the permission that is missing, UsageError for a unit that does not exist, and
    Throttled or NoAnswer once `retry` gives up.
    """

    def __init__(self, client: Any, *, clock: MonotonicClock | None = None, retry: Retry = sent_once) -> None:  # noqa: ANN401
        self._client = client
        self._pace = StartLimiter(CALLS_PER_S, clock=clock)
        self._retry = retry

    @property
    def endpoint(self) -> str:
        """The URL that requests go to."""
        return str(self._client.meta.endpoint_url)

    async def accounts(self) -> tuple[OrganizationAccount, ...]:
        """Return the active accounts of the organization, by their ids."""
        return _active([each async for each in self._listed("ListAccounts", "Accounts")])

    async def accounts_below(self, parent_id: str) -> tuple[OrganizationAccount, ...]:
        """Return the active accounts in a unit (`ou-…`) or root (`r-…`) and in all units below it, by their ids."""
        found, parents, seen = [], [parent_id], {parent_id}
        try:
            while parents:
                parent = parents.pop(0)
                found += [each async for each in self._listed("ListAccountsForParent", "Accounts", ParentId=parent)]
                listed = self._listed("ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=parent)
                units = [text_member(each, "Id") async for each in listed]
                parents += [each for each in units if each not in seen]
                seen.update(units)
        except Refused as error:
            if error.code not in ("ParentNotFoundException", "InvalidInputException"):
                raise
            raise UsageError(f"the organization has no unit `{parent_id}`", hint="`ou-…` or `r-…`") from error
        return _active(found)

    async def _listed(self, operation: str, name: str, **members: str) -> AsyncIterator[JsonAnswer]:
        """Yield what is on the pages of a list, from the first to the last. A page may be empty and not the last."""
        call = getattr(self._client, METHODS[operation])
        token: str | None = None
        tokens: set[str] = set()
        while True:
            page = members if token is None else {**members, "NextToken": token}

            async def send(page: Mapping[str, str] = page) -> JsonAnswer:
                await self._pace.slot()
                return await answer_to(call(MaxResults=PAGE_MAX, **page), _checked(name))

            answer = await self._retry(operation, send)
            for each in answer[name]:
                yield each
            token = answer.get("NextToken")
            if token is None:
                return
            if token in tokens:
                raise unreadable(answer, f"the pages of `{operation}` have no end: one leads back to another")
            tokens.add(token)


METHODS = {
    "ListAccounts": "list_accounts",
    "ListAccountsForParent": "list_accounts_for_parent",
    "ListOrganizationalUnitsForParent": "list_organizational_units_for_parent",
}
"""The operations, and the methods of botocore's client."""


def _checked(name: str) -> Callable[[JsonAnswer], JsonAnswer]:
    """Return a reader that raises NoAnswer for a page without its list."""

    def read(answer: JsonAnswer) -> JsonAnswer:
        member(answer, name)
        return answer

    return read


def _active(found: list[JsonAnswer]) -> tuple[OrganizationAccount, ...]:
    """Return the active ones of the accounts that were listed, each once, by their ids. Raises NoAnswer.

    `State` replaces `Status`, which AWS retires on 2026-09-09 (the service's model); older endpoints have only that.
    """
    made = {}
    for each in found:
        if (each.get("State") or text_member(each, "Status")) == ACTIVE:
            account_id = text_member(each, "Id")
            made[account_id] = OrganizationAccount(account_id, each.get("Name") or account_id)
    return tuple(made[each] for each in sorted(made))


@asynccontextmanager
async def open_organization(
    access: Access, *, clock: MonotonicClock | None = None, retry: Retry = sent_once
) -> AsyncIterator[Organization]:
    """Open the organization of the credentials, and fetch these. Nothing is sent to it yet.

    A stand-in for the service stands in for Organizations too. Raises as `open_service`.
    """
    if access.endpoint_url is not None:
        check_endpoint(access.endpoint_url, access.allowed_hosts)
    with configured():
        session = await open_session(access, services=(ORGANIZATIONS,))
        region = str(access.region or session.get_config_variable("region") or HOME_REGION)
        check_region_name(region)
        check_ca_bundle(session)
        credentials = FetchedCredentials(session, access, region)
        session._credentials = credentials  # botocore has no public way to set its credentials
        endpoint_url = endpoint_for_others(access)
        bypass_proxies = endpoint_url is not None and bypasses_proxies(access)
        config = client_config(access, session, bypass_proxies=bypass_proxies)
        made = session.create_client(ORGANIZATIONS, region_name=region, endpoint_url=endpoint_url, config=config)
        client = await made.__aenter__()
    try:
        check_endpoint(client.meta.endpoint_url, access.allowed_hosts, services=ORGANIZATIONS)
        if not bypass_proxies:
            check_proxy(client.meta.endpoint_url)
        await credentials.fetch()
        yield Organization(client, clock=clock, retry=retry)
    finally:
        await client.close()
