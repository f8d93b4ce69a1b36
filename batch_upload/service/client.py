"""One lane of AWS End User Messaging SMS through aiobotocore. One call is one request: no retries inside."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiobotocore.session import AioSession
from botocore import exceptions as sdk
from botocore.awsrequest import AWSPreparedRequest

from batch_upload.errors import AccessFault, LedgerFault, NoAnswer, Refused, ServiceError, with_causes
from batch_upload.model import Attachment, AttachmentPage, Capacity, Receipt
from batch_upload.ports import CreateRequest
from batch_upload.registration import Bind, FieldContent, FieldPage, PutReceipt, RegistrationPage
from batch_upload.service.access import (
    SERVICE,
    TOKEN_SERVICE,
    Access,
    bypasses_proxies,
    check_endpoint,
    check_region,
    chosen_region,
    open_client,
    open_session,
)
from batch_upload.service.accounts import Accounts, RoleCredentials, SharedAccount
from batch_upload.service.answers import (
    caller_of,
    capacity_of,
    created_at_of,
    member,
    next_token_of,
    request_id_of,
    served_at_of,
    status_of,
    tag_values,
    text_member,
    unreadable,
)
from batch_upload.service.credentials import CredentialsUnreached, FetchedCredentials
from batch_upload.service.faults import sdk_fault
from batch_upload.service.http import CheckedBody, carry_bodies
from batch_upload.service.network import check_ca_bundle, check_proxy, with_issuer
from batch_upload.service.registration_answers import (
    field_contents_of,
    field_page_of,
    put_receipt_of,
    registration_page_of,
)
from batch_upload.shortage import shortage_of

Read = TypeVar("Read")
_ARN = re.compile(r"arn:[a-z0-9-]+:sms-voice:([a-z0-9-]+):(\d{12}):(registration|registration-attachment)/.+")
RESULTS_MAX = 100
"""What a page holds, the most that the service gives (its model, `MaxResults`)."""


class AwsService:
    """Implements `ports.AttachmentService`, and gives the account of the credentials. Made by `open_service`.

    `sts` is None if the lane shares its account with others: then a client of STS is made where it is needed.
    """

    def __init__(
        self,
        sms: Any,  # noqa: ANN401
        sts: Any,  # noqa: ANN401
        region: str,
        *,
        warnings: Sequence[str] = (),
        shared: SharedAccount | None = None,
    ) -> None:
        self._sms = sms
        self._sts = sts
        self._shared = shared
        self._carries_bodies = carry_bodies(sms)
        self.region = region
        self._account: str | None = None
        self._principal: str | None = None
        self.warnings = tuple(warnings)
        """What the user should know of the lane before anything is sent."""

    @property
    def endpoint(self) -> str:
        """The URL that documents go to."""
        return str(self._sms.meta.endpoint_url)

    def on_date(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the `Date` header of every answer from now on, errors too."""

        def after_call(parsed: Mapping[str, Any], **_: object) -> None:
            headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if date := headers.get("date"):
                tell(str(date))

        for client in (self._sms, self._sts) if self._sts is not None else (self._sms,):
            client.meta.events.register("after-call", after_call)

    def before_send(self, check: Callable[[], None]) -> None:
        """Call `check` once for each request to the lane, right before its first byte leaves.

        What it raises is the call's end. An earlier check would not do: until then the process may be stopped, or its
        event loop stand still. Requests to STS are not checked: they change nothing.
        """

        def before_send(request: AWSPreparedRequest, **_: object) -> None:
            request.body = CheckedBody(request.body, check)

        self._sms.meta.events.register("before-send", before_send)

    async def account_for_all(self, ask: Callable[[], Awaitable[str]]) -> str:
        """Return the account, 12 digits, which one call of `ask` finds out for all lanes that share it.

        There is no call if it is a role's: AssumeRole named it. Raises what `ask` raises.
        """
        if self._shared is None:
            return await ask()
        self._account = await self._shared.account(ask)
        return self._account

    @property
    def is_account_of_role(self) -> bool:
        """Whether `account` asks AssumeRole instead of GetCallerIdentity: a role that lanes share names its account."""
        return self._shared is not None and isinstance(self._shared.credentials, RoleCredentials)

    @property
    def principal(self) -> str | None:
        """The ARN of the credentials, once the account is known; None where STS did not name it.

        Of a role that is assumed for lanes that share it, this is the session's. A role that a profile assumes has
        none for such lanes: the SDK keeps only the account of the answer.
        """
        return self._principal if self._shared is None else self._shared.principal

    async def account(self) -> str:
        """Return the account of the credentials, 12 digits. Raises as `ports.AttachmentService`."""
        sts = self._sts
        if self._shared is not None:
            await self._shared.credentials.get_frozen_credentials()  # they may not have been reached before
            if (account := self._shared.credentials.role_account) is not None:
                return account
            sts = await self._shared.sts(self.region)
        try:
            found, principal = await answer_to(sts.get_caller_identity(), caller_of)
            self._account, self._principal = found, principal
            if self._shared is not None:
                self._shared.caller = principal
            return found  # noqa: TRY300
        except CredentialsUnreached:
            raise
        except NoAnswer as error:
            if error.status is not None:
                raise  # there was an answer, only not one that helps
            where = str(sts.meta.endpoint_url)
            raise NoAnswer(
                f"STS, which says whose the credentials are, does not answer at `{where}`: {error.message}",
                code=error.code,
                request_id=error.request_id,
                status=error.status,
                hint=error.hint or "in a closed network STS needs an endpoint too (`com.amazonaws.REGION.sts`)",
            ) from error
        except Refused as error:
            raise AccessFault(
                f"STS refuses to say whose the credentials are: {error.message}",
                code=error.code,
                reason=error.reason,
                request_id=error.request_id,
                status=error.status,
                hint=error.hint or "other credentials or another endpoint are needed: `--profile`, `--endpoint-url`",
            ) from error

    async def create(self, request: CreateRequest) -> Receipt:
        members: dict[str, Any] = {"ClientToken": request.client_token, "Tags": _tag_list(request.tags)}
        if request.url is not None:
            members["AttachmentUrl"] = request.url
        elif request.body is not None:
            members["AttachmentBody"] = request.body if self._carries_bodies else b64decode(request.body.base64)
        call = self._sms.create_registration_attachment(**members)
        made, request_id = await answer_to(call, lambda answer: (self._attachment(answer), request_id_of(answer)))
        return Receipt(
            attachment_id=made.attachment_id,
            attachment_arn=made.attachment_arn,
            status=made.status,
            created_at=made.created_at,
            request_id=request_id,
        )

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        call = self._sms.describe_registration_attachments(RegistrationAttachmentIds=list(attachment_ids))
        return await answer_to(call, self._attachments)

    async def page(self, next_token: str | None) -> AttachmentPage:
        def read(answer: Mapping[str, Any]) -> AttachmentPage:
            return AttachmentPage(self._attachments(answer), next_token_of(answer), served_at_of(answer))

        return await answer_to(self._sms.describe_registration_attachments(**_page_of(next_token)), read)

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        return await answer_to(self._sms.list_tags_for_resource(ResourceArn=attachment_arn), tag_values)

    async def tag(self, attachment_arn: str, tags: Mapping[str, str]) -> None:
        call = self._sms.tag_resource(ResourceArn=attachment_arn, Tags=_tag_list(tags))
        await answer_to(call, lambda _: None)

    async def untag(self, attachment_arn: str, keys: Sequence[str]) -> None:
        call = self._sms.untag_resource(ResourceArn=attachment_arn, TagKeys=list(keys))
        await answer_to(call, lambda _: None)

    async def delete(self, attachment_id: str) -> None:
        call = self._sms.delete_registration_attachment(RegistrationAttachmentId=attachment_id)
        await answer_to(call, lambda answer: text_member(answer, "RegistrationAttachmentId"))

    async def registrations(self, next_token: str | None, *, ids: Sequence[str] = ()) -> RegistrationPage:
        members = {"RegistrationIds": list(ids)} if ids else _page_of(next_token)

        def read(answer: Mapping[str, Any]) -> RegistrationPage:
            for each in member(answer, "Registrations"):
                self._check_lane(each, text_member(each, "RegistrationArn"), "registration")
            return registration_page_of(answer)

        return await answer_to(self._sms.describe_registrations(**members), read)

    async def field_definitions(self, registration_type: str, next_token: str | None) -> FieldPage:
        call = self._sms.describe_registration_field_definitions(
            RegistrationType=registration_type, **_page_of(next_token)
        )
        return await answer_to(call, lambda answer: field_page_of(answer, registration_type))

    async def field_contents(
        self, registration_id: str, fields: Sequence[str], *, version: int | None = None
    ) -> tuple[FieldContent, ...]:
        members: dict[str, Any] = {"RegistrationId": registration_id, "FieldPaths": list(fields)}
        if version is not None:
            members["VersionNumber"] = version
        call = self._sms.describe_registration_field_values(**members)
        return await answer_to(call, lambda answer: field_contents_of(answer, registration_id, fields, version))

    async def put_field(self, bind: Bind, attachment_id: str) -> PutReceipt:
        call = self._sms.put_registration_field_value(
            RegistrationId=bind.registration, FieldPath=bind.field, RegistrationAttachmentId=attachment_id
        )
        return await answer_to(
            call, lambda answer: put_receipt_of(answer, bind.registration, bind.field, attachment_id)
        )

    async def capacity(self) -> Capacity | None:
        return await answer_to(self._sms.describe_account_limits(), capacity_of)

    def _attachments(self, answer: Mapping[str, Any]) -> tuple[Attachment, ...]:
        return tuple(self._attachment(each) for each in member(answer, "RegistrationAttachments"))

    def _attachment(self, answer: Mapping[str, Any]) -> Attachment:
        attachment_id = text_member(answer, "RegistrationAttachmentId")
        arn = text_member(answer, "RegistrationAttachmentArn")
        self._check_lane(answer, arn, "registration-attachment")
        return Attachment(
            attachment_id=attachment_id,
            attachment_arn=arn,
            status=status_of(answer),
            created_at=created_at_of(answer),
        )

    def _check_lane(self, answer: Mapping[str, Any], arn: str, resource: str) -> None:
        """Raise NoAnswer for the ARN of another kind of resource, of another Region, or of another account once the
        account is known."""
        found, what = (
            _ARN.fullmatch(arn),
            "an attachment" if resource == "registration-attachment" else "a registration",
        )
        if found is None or found[3] != resource:
            raise unreadable(answer, f"the ARN in the answer is none of {what}")
        region, account, _ = found.groups()
        if region != self._sms.meta.region_name:
            raise unreadable(answer, f"the answer is about {what} in `{region}`, not `{self.region}`")
        if self._account is not None and account != self._account:
            raise unreadable(answer, f"the answer is about {what} of account {account}, not {self._account}")


def _page_of(next_token: str | None) -> dict[str, Any]:
    """Return the members that ask for a page; None asks for the first."""
    return {"MaxResults": RESULTS_MAX} | ({} if next_token is None else {"NextToken": next_token})


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


async def answer_to(call: Awaitable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Read]) -> Read:
    """Await one call and read its answer. Map whatever either raises: an answer can hold anything."""
    try:
        answer = await call
    except (ServiceError, LedgerFault):  # of the credentials, and of `AwsService.before_send`
        raise
    except Exception as error:
        # Free the document that the error holds: in its request, and in the frames it went through, which hold the
        # error in turn. The caller may keep it until a retry, and the garbage collector may run late.
        for each in with_causes(error):
            each.__traceback__ = None
            if isinstance(each, sdk.HTTPClientError):
                each.request = None
        raise await with_issuer(sdk_fault(error), error) from error
    try:
        return read(answer)
    except ServiceError:
        raise
    except Exception as error:
        raise unreadable(answer, f"the answer could not be read ({type(error).__name__})") from error


@asynccontextmanager
async def open_service(
    access: Access, *, credentials: FetchedCredentials | None = None, accounts: Accounts | None = None
) -> AsyncIterator[AwsService]:
    """Open a lane, and fetch credentials unless they are given. Nothing is sent to the service yet.

    With `accounts` the lane uses what the lanes of this process share, its account's credentials too.

    Raises AccessFault if the AWS configuration, the endpoint or the way to it is unusable, and OutOfResources if this
    process lacks file descriptors, memory or threads.
    """
    async with AsyncExitStack() as stack:
        with configured():
            if accounts is None:
                service = await _open_lane(access, stack, credentials)
            else:
                service = await _open_shared_lane(access, stack, accounts)
        yield service


async def _open_lane(access: Access, stack: AsyncExitStack, credentials: FetchedCredentials | None) -> AwsService:
    if access.endpoint_url is not None:
        check_endpoint(access.endpoint_url, access.allowed_hosts)
    session = await open_session(access)
    region = chosen_region(access, session)
    check_ca_bundle(session)  # reads a file only if one is configured, before anything else is under way
    if access.keys is not None:
        session.set_credentials(access.keys.access_key, access.keys.secret_key)
    else:
        credentials = credentials or FetchedCredentials(session, access, region)
        session._credentials = credentials  # botocore has no public way to set its credentials
    sms = await open_client(SERVICE, access, session, region, stack)
    sts = await open_client(TOKEN_SERVICE, access, session, region, stack)
    if credentials is None:
        return AwsService(sms, sts, region)
    warning = await _check_way(access, session, region, [sms, sts])
    await credentials.fetch()
    return AwsService(sms, sts, region, warnings=[warning] if warning else ())


async def _open_shared_lane(access: Access, stack: AsyncExitStack, accounts: Accounts) -> AwsService:
    if access.endpoint_url is not None:
        check_endpoint(access.endpoint_url, access.allowed_hosts)
    lane = await accounts.lane(access)
    sms = await accounts.client(lane, stack)
    warning = None if access.keys else await _check_way(lane.access, lane.session, lane.region, [sms])
    await lane.account.credentials.fetch()
    return AwsService(sms, None, lane.region, warnings=[warning] if warning else (), shared=lane.account)


async def _check_way(access: Access, session: AioSession, region: str, clients: Sequence[Any]) -> str | None:
    """Return a warning for a Region that is not known. Raises AccessFault for an unusable proxy or Region."""
    proxies = [check_proxy(each.meta.endpoint_url) for each in clients if not bypasses_proxies(access)]
    return await check_region(session, SERVICE, region, clients[0].meta.endpoint_url, has_proxy=any(proxies))


@contextmanager
def configured() -> Iterator[None]:
    """Raise AccessFault for what the AWS configuration makes botocore raise, and OutOfResources for a shortage."""
    try:
        yield
    except (sdk.BotoCoreError, ValueError, OSError, MemoryError, RuntimeError) as error:
        if (short := shortage_of(error)) is not None:
            raise short from error
        if isinstance(error, sdk.BotoCoreError | ValueError):
            raise configuration_fault(error) from error
        raise


def configuration_fault(error: Exception) -> AccessFault:
    """Return the error for what botocore raises while a client is made: the configuration is wrong, whatever it is."""
    fault = sdk_fault(error)
    return fault if isinstance(fault, AccessFault) else AccessFault(fault.message, code=fault.code)
