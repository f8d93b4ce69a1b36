"""One lane of AWS End User Messaging SMS through aiobotocore. One call is one request: no retries inside."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiobotocore.session import AioSession
from botocore import exceptions as sdk

from batch_upload.errors import AccessFault, NoAnswer, Refused, ServiceError
from batch_upload.model import (
    Attachment,
    AttachmentPage,
    AttachmentStatus,
    Capacity,
    Receipt,
)
from batch_upload.ports import CreateRequest
from batch_upload.service.access import (
    SERVICE,
    TOKEN_SERVICE,
    Access,
    check_endpoint,
    client_config,
    endpoint_for_sts,
    open_session,
)
from batch_upload.service.body import carry_bodies
from batch_upload.service.credentials import CredentialsUnreached, FetchedCredentials
from batch_upload.service.faults import fault_of
from batch_upload.service.http import is_loopback
from batch_upload.service.network import check_ca_bundle, check_proxy, with_issuer
from batch_upload.service.regions import check_region, check_spelling
from batch_upload.shortage import shortage_of

T = TypeVar("T")
_ARN = re.compile(r"arn:[a-z0-9-]+:sms-voice:([a-z0-9-]+):(\d{12}):registration-attachment/.+")
PAGE_SIZE = 100
LIMIT_NAME = "REGISTRATION_ATTACHMENTS"


class AwsService:
    """Implements `ports.AttachmentService`, and tells who we are. Made by `open_service`."""

    def __init__(self, sms: Any, sts: Any, region: str, *, warnings: Sequence[str] = ()) -> None:  # noqa: ANN401
        self._sms = sms
        self._sts = sts
        self._carries_bodies = carry_bodies(sms)
        self.region = region
        self._account: str | None = None
        self.warnings = tuple(warnings)
        """What the user should know of the lane before anything is sent."""

    @property
    def endpoint(self) -> str:
        """Where documents go, as a URL."""
        return str(self._sms.meta.endpoint_url)

    def on_date(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with the `Date` of every answer from now on, errors too, as it came."""

        def hear(parsed: Mapping[str, Any], **_: object) -> None:
            headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if date := headers.get("date"):
                tell(str(date))

        for client in (self._sms, self._sts):
            client.meta.events.register("after-call", hear)

    async def account(self) -> str:
        """The account, 12 digits, that the credentials belong to. Raises as `ports.AttachmentService`."""
        try:
            self._account = await _asked(self._sts.get_caller_identity(), _account)
            return self._account  # noqa: TRY300
        except CredentialsUnreached:
            raise
        except NoAnswer as error:
            if error.status is not None:
                raise  # somebody did answer, though nothing that helps
            where = str(self._sts.meta.endpoint_url)
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
        asked: dict[str, Any] = {
            "ClientToken": request.client_token,
            "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        }
        if request.url is not None:
            asked["AttachmentUrl"] = request.url
        elif request.body is not None:
            asked["AttachmentBody"] = request.body if self._carries_bodies else b64decode(request.body.base64)
        return await _asked(self._sms.create_registration_attachment(**asked), self._receipt)

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        ids = list(attachment_ids)
        return await _asked(
            self._sms.describe_registration_attachments(RegistrationAttachmentIds=ids), self._attachments
        )

    async def page(self, next_token: str | None) -> AttachmentPage:
        asked: dict[str, Any] = {"MaxResults": PAGE_SIZE}
        if next_token is not None:
            asked["NextToken"] = next_token
        return await _asked(self._sms.describe_registration_attachments(**asked), self._page)

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        return await _asked(self._sms.list_tags_for_resource(ResourceArn=attachment_arn), _tags)

    async def tag(self, attachment_arn: str, tags: Mapping[str, str]) -> None:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        await _asked(self._sms.tag_resource(ResourceArn=attachment_arn, Tags=listed), _nothing)

    async def untag(self, attachment_arn: str, keys: Sequence[str]) -> None:
        await _asked(self._sms.untag_resource(ResourceArn=attachment_arn, TagKeys=list(keys)), _nothing)

    async def delete(self, attachment_id: str) -> None:
        call = self._sms.delete_registration_attachment(RegistrationAttachmentId=attachment_id)
        await _asked(call, lambda answer: _text(answer, "RegistrationAttachmentId"))

    async def capacity(self) -> Capacity | None:
        return await _asked(self._sms.describe_account_limits(), _capacity)

    def _receipt(self, answer: Mapping[str, Any]) -> Receipt:
        made = self._attachment(answer)
        return Receipt(
            attachment_id=made.attachment_id,
            attachment_arn=made.attachment_arn,
            status=made.status,
            created_at=made.created_at,
            request_id=_request_id(answer),
        )

    def _page(self, answer: Mapping[str, Any]) -> AttachmentPage:
        next_token = None if answer.get("NextToken") is None else _text(answer, "NextToken")
        return AttachmentPage(self._attachments(answer), next_token, _served_at(answer))

    def _attachments(self, answer: Mapping[str, Any]) -> tuple[Attachment, ...]:
        return tuple(self._attachment(each) for each in _member(answer, "RegistrationAttachments"))

    def _attachment(self, answer: Mapping[str, Any]) -> Attachment:
        return Attachment(
            attachment_id=_text(answer, "RegistrationAttachmentId"),
            attachment_arn=self._own_arn(answer),
            status=_status(answer),
            created_at=_moment(answer.get("CreatedTimestamp")),
        )

    def _own_arn(self, answer: Mapping[str, Any]) -> str:
        """The ARN of an attachment of this Region and, once it is known, this account. Raises NoAnswer for another."""
        arn = _text(answer, "RegistrationAttachmentArn")
        found = _ARN.fullmatch(arn)
        if found is None:
            raise _unbelievable(answer, "the ARN in the answer is none of an attachment")
        region, account = found.groups()
        if region != self._sms.meta.region_name:
            raise _unbelievable(answer, f"the answer is about an attachment in `{region}`, not `{self.region}`")
        if self._account is not None and account != self._account:
            raise _unbelievable(answer, f"the answer is about an attachment of account {account}, not {self._account}")
        return arn


@asynccontextmanager
async def open_service(access: Access, *, credentials: FetchedCredentials | None = None) -> AsyncIterator[AwsService]:
    """Open a lane and fetch credentials, unless they were fetched before. Nothing is sent to the service yet.

    Raises AccessFault where the AWS configuration, the endpoint or the way to it will not do, and
    OutOfResources where there are no file descriptors, memory or threads for it.
    """
    async with AsyncExitStack() as stack:
        try:
            service = await _open(access, stack, credentials)
        except (sdk.BotoCoreError, ValueError, OSError, MemoryError, RuntimeError) as error:
            if (short := shortage_of(error)) is not None:
                raise short from error
            if isinstance(error, sdk.BotoCoreError | ValueError):
                raise as_access(error) from error
            raise
        yield service


async def _open(access: Access, stack: AsyncExitStack, credentials: FetchedCredentials | None) -> AwsService:
    if access.endpoint_url is not None:
        check_endpoint(access.endpoint_url, access.allowed_hosts)
    session = await open_session(access)
    region = chosen_region(access, session)
    check_ca_bundle(session)  # reads a file only where one is configured, before anything else is under way
    if access.keys is None:
        credentials = credentials or FetchedCredentials(session, access, region)
        session._credentials = credentials  # botocore has no public way to hand over credentials of one's own
    sms = await _client(stack, session, access, SERVICE, region, access.endpoint_url)
    sts = await _client(stack, session, access, TOKEN_SERVICE, region, endpoint_for_sts(access))
    if credentials is None:
        return AwsService(sms, sts, region)
    proxies = [check_proxy(each.meta.endpoint_url) for each in (sms, sts) if not bypasses_proxies(access)]
    warning = await check_region(session, SERVICE, region, sms.meta.endpoint_url, has_proxy=any(proxies))
    await credentials.fetch()
    return AwsService(sms, sts, region, warnings=[warning] if warning else ())


def chosen_region(access: Access, session: AioSession) -> str:
    """The Region by flag, variable, manifest or AWS configuration. Raises AccessFault for none, or no name of one."""
    region = access.region or session.get_config_variable("region")
    if region is None:
        raise AccessFault(
            "no Region is chosen", code="NoRegionError", hint="`--region us-east-1`, or `target: {region: …}`"
        )
    check_spelling(region)
    return str(region)


def bypasses_proxies(access: Access) -> bool:
    """Whether an endpoint on this machine was chosen, to which no proxy leads."""
    return access.endpoint_url is not None and is_loopback(urlsplit(access.endpoint_url).hostname or "")


async def _client(
    stack: AsyncExitStack, session: AioSession, access: Access, name: str, region: str, endpoint_url: str | None
) -> Any:  # noqa: ANN401
    keys = access.keys
    client = await stack.enter_async_context(
        session.create_client(
            name,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=keys.access_key if keys else None,
            aws_secret_access_key=keys.secret_key if keys else None,
            config=client_config(access, session, bypass_proxies=bypasses_proxies(access) and endpoint_url is not None),
        )
    )
    check_endpoint(client.meta.endpoint_url, access.allowed_hosts)
    return client


def as_access(error: Exception) -> AccessFault:
    """What botocore raises while a client is made: whatever it is, the configuration is wrong."""
    fault = fault_of(error)
    return fault if isinstance(fault, AccessFault) else AccessFault(fault.message, code=fault.code)


async def _asked(call: Awaitable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]) -> T:
    """Await one call and read its answer; map whatever either raises, since an answer can hold anything."""
    try:
        answer = await call
    except ServiceError:
        raise
    except Exception as error:
        _let_go_of_request(error)
        raise await with_issuer(fault_of(error), error) from error
    try:
        return read(answer)
    except ServiceError:
        raise
    except Exception as error:
        raise _unbelievable(answer, f"the answer could not be read ({type(error).__name__})") from error


def _let_go_of_request(error: BaseException) -> None:
    """Free the document that an error of the SDK holds: in the request it names, and in the frames it went through,
    which hold the error in turn. Somebody may keep it until a retry, and the collector of garbage may come late."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        if isinstance(each, sdk.HTTPClientError):
            each.request = None
        each = each.__context__


def _member(answer: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    """A member without which an answer is none: botocore hands a 200 that is not JSON over without any."""
    value = answer.get(name)
    if value is None:
        raise _unbelievable(answer, f"the answer has no `{name}`: it could not be read")
    return value


def _text(answer: Mapping[str, Any], name: str) -> str:
    """A member that is text, not empty, and can be kept: UTF-8 has no lone surrogates."""
    value = _member(answer, name)
    if not isinstance(value, str) or not value or not _is_utf8(value):
        raise _unbelievable(answer, f"`{name}` of the answer is not text: it could not be read")
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unbelievable(answer: Mapping[str, Any], message: str) -> NoAnswer:
    metadata = answer.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    return NoAnswer(message, code="UnreadableAnswer", request_id=_request_id(answer), status=status)


def _account(answer: Mapping[str, Any]) -> str:
    account = _text(answer, "Account")
    if not re.fullmatch(r"[0-9]{12}", account):
        raise _unbelievable(answer, "`Account` of the answer has not 12 digits: it could not be read")
    return account


def _tags(answer: Mapping[str, Any]) -> Mapping[str, str]:
    found = {}
    for tag in _member(answer, "Tags"):
        value = _member(tag, "Value")
        found[_text(tag, "Key")] = value if value == "" else _text(tag, "Value")
    return found


def _capacity(answer: Mapping[str, Any]) -> Capacity | None:
    for limit in _member(answer, "AccountLimits"):
        if limit.get("Name") == LIMIT_NAME:
            return Capacity(used=int(_member(limit, "Used")), maximum=int(_member(limit, "Max")))
    return None


def _nothing(_: Mapping[str, Any]) -> None:
    """Some operations answer an empty object."""


def _status(answer: Mapping[str, Any]) -> AttachmentStatus:
    """A status nobody has heard of is not an end: the service is asked again."""
    try:
        return AttachmentStatus(answer.get("AttachmentStatus", ""))
    except ValueError:
        return AttachmentStatus.IN_PROGRESS


def _moment(value: object) -> datetime:
    """A timestamp of the service, in UTC. Without one, the latest moment: it is never taken for too old to be ours."""
    return value.astimezone(UTC) if isinstance(value, datetime) else datetime.max.replace(tzinfo=UTC)


def _served_at(answer: Mapping[str, Any]) -> datetime | None:
    """The `Date` of an answer, in whole seconds (RFC 9110, 5.6.7), or None where there is none to be read."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        said = parsedate_to_datetime(str(headers.get("date", "")))
    except (ValueError, OverflowError):
        return None
    return said.astimezone(UTC) if said.tzinfo is not None else None


def _request_id(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
