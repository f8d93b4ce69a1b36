"""The Host header of a create, worked out once for an address and not once for a request.

botocore signs the host and leaves it to the transport to send it. To sign it, it takes the whole URL apart each time,
unless the request has the header. Here it has it, as botocore's own signer makes it of the same URL, and the transport
puts it where it would have put its own: what is signed and what is sent are the same, byte for byte, and a test
holds both against the plain client. Extension point: the event `before-call`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

HEADER = "Host"


def say_host(client: Any, operation: str) -> None:  # noqa: ANN401
    """Have a client put the header on every request of an operation."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-call.{service}.{operation}", _put_on)


def _put_on(params: Mapping[str, Any], **_: object) -> None:
    if HEADER not in params["headers"]:
        params["headers"][HEADER] = host_of(params["url"])


@lru_cache(maxsize=8)
def host_of(url: str) -> str:
    """The host of a URL as botocore signs it: with the port, unless it is the scheme's own."""
    signer = SigV4Auth(None, "", "")
    return str(signer.headers_to_sign(AWSRequest("POST", url))["host"])
