"""A document's way past the SDK's serializer, which would go over all of its text three times more.

botocore makes base64 of the bytes, then looks in that text for characters that JSON must escape, where there can be
none, and encodes the whole once more. Here it serializes a request without its document, and the document's base64 is
put in where it would have stood. What leaves is what botocore alone would have sent, byte for byte, and it is what
botocore hashes and signs: a test holds both against the plain client. Extension points: the events
`provide-client-params` (documented) and `before-call` (botocore's own handlers change requests in it).
"""

from collections.abc import Mapping
from typing import Any

from batch_upload.operations import CREATE
from batch_upload.ports import Body

MEMBER = "AttachmentBody"
_KEPT = "batch-upload:body"


def carry_bodies(client: Any) -> bool:  # noqa: ANN401
    """Let a client of the service take a `Body` as AttachmentBody, if its protocol is one that we know to write.

    Tells whether it does: otherwise AttachmentBody is bytes, and the serializer's business.
    """
    if client.meta.service_model.resolved_protocol != "json":
        return False
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"provide-client-params.{service}.{CREATE}", _keep_back)
    client.meta.events.register(f"before-call.{service}.{CREATE}", _put_in)
    return True


def _keep_back(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any] | None:
    """Parameters without the document, which waits in the call's context."""
    if MEMBER not in params:
        return None
    context[_KEPT] = params[MEMBER]
    return {name: value for name, value in params.items() if name != MEMBER}


def _put_in(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    """Make the document the last member of the serialized request."""
    body: Body | None = context.pop(_KEPT, None)
    if body is not None:
        rest: bytes = params["body"]
        params["body"] = b"".join((rest[:-1], b', "', MEMBER.encode(), b'": "', body.base64, b'"}'))
