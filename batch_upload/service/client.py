"""One lane of AWS End User Messaging SMS through aiobotocore. One call is one request: no retries inside."""

from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import AioSession
from botocore import exceptions as sdk

from batch_upload.errors import AccessFault, NoAnswer, ServiceError
from batch_upload.model import (
    Attachment,
    AttachmentPage,
    AttachmentStatus,
    Capacity,
    Receipt,
)
from batch_upload.ports import CreateRequest
from batch_upload.service.access import (
    Access,
    check_endpoint,
    client_config,
    endpoint_for_sts,
    is_loopback,
    open_session,
)
from batch_upload.service.body import OPERATION, carry_bodies
from batch_upload.service.faults import NEVER_ANSWERED, fault_of
from batch_upload.service.host import say_host
from batch_upload.shortage import shortage_of

SERVICE = "pinpoint-sms-voice-v2"
PAGE_SIZE = 100
LIMIT_NAME = "REGISTRATION_ATTACHMENTS"


class AwsService:
    """Implements `ports.AttachmentService`, and tells who we are. Made by `open_service`."""

    def __init__(self, sms: Any, sts: Any, region: str) -> None:  # noqa: ANN401
        self._sms = sms
        self._sts = sts
        self._carries_bodies = carry_bodies(sms)
        say_host(sms, OPERATION)
        self.region = region

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
        answer = await _asked(self._sts.get_caller_identity())
        return str(_member(answer, "Account"))

    async def create(self, request: CreateRequest) -> Receipt:
        asked: dict[str, Any] = {
            "ClientToken": request.client_token,
            "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        }
        if request.url is not None:
            asked["AttachmentUrl"] = request.url
        elif request.body is not None:
            asked["AttachmentBody"] = request.body if self._carries_bodies else b64decode(request.body.base64)
        answer = await _asked(self._sms.create_registration_attachment(**asked))
        return Receipt(
            attachment_id=str(_member(answer, "RegistrationAttachmentId")),
            attachment_arn=str(_member(answer, "RegistrationAttachmentArn")),
            status=_status(answer),
            created_at=_moment(answer.get("CreatedTimestamp")),
            request_id=_request_id(answer),
        )

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        ids = list(attachment_ids)
        answer = await _asked(self._sms.describe_registration_attachments(RegistrationAttachmentIds=ids))
        return _attachments(answer)

    async def page(self, next_token: str | None) -> AttachmentPage:
        asked: dict[str, Any] = {"MaxResults": PAGE_SIZE}
        if next_token is not None:
            asked["NextToken"] = next_token
        answer = await _asked(self._sms.describe_registration_attachments(**asked))
        return AttachmentPage(_attachments(answer), answer.get("NextToken"))

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        answer = await _asked(self._sms.list_tags_for_resource(ResourceArn=attachment_arn))
        return {str(_member(tag, "Key")): str(_member(tag, "Value")) for tag in _member(answer, "Tags")}

    async def tag(self, attachment_arn: str, tags: Mapping[str, str]) -> None:
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        await _asked(self._sms.tag_resource(ResourceArn=attachment_arn, Tags=listed))

    async def untag(self, attachment_arn: str, keys: Sequence[str]) -> None:
        await _asked(self._sms.untag_resource(ResourceArn=attachment_arn, TagKeys=list(keys)))

    async def delete(self, attachment_id: str) -> None:
        await _asked(self._sms.delete_registration_attachment(RegistrationAttachmentId=attachment_id))

    async def capacity(self) -> Capacity | None:
        answer = await _asked(self._sms.describe_account_limits())
        for limit in _member(answer, "AccountLimits"):
            if limit.get("Name") == LIMIT_NAME:
                return Capacity(used=int(_member(limit, "Used")), maximum=int(_member(limit, "Max")))
        return None


@asynccontextmanager
async def open_service(access: Access) -> AsyncIterator[AwsService]:
    """Open a lane. Nothing is sent yet. Raises AccessFault where the AWS configuration or the endpoint will not do, and
    OutOfResources where there are no file descriptors, memory or threads for it."""
    async with AsyncExitStack() as stack:
        try:
            service = await _open(access, stack)
        except (sdk.BotoCoreError, ValueError, OSError, MemoryError, RuntimeError) as error:
            if (short := shortage_of(error)) is not None:
                raise short from error
            if isinstance(error, sdk.BotoCoreError | ValueError):
                raise _as_access(error) from error
            raise
        yield service


async def _open(access: Access, stack: AsyncExitStack) -> AwsService:
    session = await open_session(access)
    region = access.region or session.get_config_variable("region")
    if region is None:
        raise AccessFault(
            "no Region is chosen", code="NoRegionError", hint="`--region us-east-1`, or `target: {region: …}`"
        )
    sms = await _client(stack, session, access, SERVICE, region, access.endpoint_url)
    sts = await _client(stack, session, access, "sts", region, endpoint_for_sts(access))
    if access.keys is None and await session.get_credentials() is None:
        raise AccessFault(
            "no AWS credentials were found, nothing was sent",
            code="NoCredentialsError",
            hint="`aws configure`, `aws sso login` or `--profile NAME`; `--local` needs none",
        )
    return AwsService(sms, sts, region)


async def _client(
    stack: AsyncExitStack, session: AioSession, access: Access, name: str, region: str, endpoint_url: str | None
) -> Any:  # noqa: ANN401
    keys = access.keys
    loopback = endpoint_url is not None and is_loopback(urlsplit(endpoint_url).hostname or "")
    client = await stack.enter_async_context(
        session.create_client(
            name,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=keys.access_key if keys else None,
            aws_secret_access_key=keys.secret_key if keys else None,
            config=client_config(access, session, bypass_proxies=loopback),
        )
    )
    check_endpoint(client.meta.endpoint_url, access.allowed_hosts)
    return client


def _as_access(error: Exception) -> ServiceError:
    fault = fault_of(error)
    return fault if isinstance(fault, AccessFault) else AccessFault(fault.message, code=fault.code)


async def _asked(call: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Await one call; map what it raises."""
    try:
        return await call
    except (sdk.ClientError, sdk.BotoCoreError, *NEVER_ANSWERED) as error:
        _let_go_of_request(error)
        raise fault_of(error) from error


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
        raise NoAnswer(
            f"the answer has no `{name}`: it could not be read",
            code="UnreadableAnswer",
            request_id=_request_id(answer),
            status=answer.get("ResponseMetadata", {}).get("HTTPStatusCode"),
        )
    return value


def _attachments(answer: Mapping[str, Any]) -> tuple[Attachment, ...]:
    return tuple(
        Attachment(
            attachment_id=str(_member(each, "RegistrationAttachmentId")),
            attachment_arn=str(_member(each, "RegistrationAttachmentArn")),
            status=_status(each),
            created_at=_moment(each.get("CreatedTimestamp")),
        )
        for each in _member(answer, "RegistrationAttachments")
    )


def _status(answer: Mapping[str, Any]) -> AttachmentStatus:
    """A status nobody has heard of is not an end: the service is asked again."""
    try:
        return AttachmentStatus(answer.get("AttachmentStatus", ""))
    except ValueError:
        return AttachmentStatus.IN_PROGRESS


def _moment(value: object) -> datetime:
    """A timestamp of the service, in UTC. Without one, the latest moment: it is never taken for too old to be ours."""
    return value.astimezone(UTC) if isinstance(value, datetime) else datetime.max.replace(tzinfo=UTC)


def _request_id(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
