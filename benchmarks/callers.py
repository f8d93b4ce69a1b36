"""Two other ways to make the same calls: what a user would write, and the least that Python can do.

`python -m benchmarks.callers bare|floor FOLDER URL COUNT` uploads the first COUNT files of a folder, 8 at a time.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pybase64
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

SERVICE = "pinpoint-sms-voice-v2"
AT_ONCE = 8
TAGS = [{"Key": "Customer", "Value": "acme"}, {"Key": "Country", "Value": "NO"}]


async def bare(paths: Sequence[Path], url: str) -> None:
    """aiobotocore with a semaphore around each call."""
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=AT_ONCE)
    limit = asyncio.Semaphore(AT_ONCE)
    async with get_session().create_client(SERVICE, region_name="us-east-1", endpoint_url=url, config=config) as client:

        async def one(path: Path) -> None:
            async with limit:
                await client.create_registration_attachment(
                    AttachmentBody=path.read_bytes(), ClientToken=path.name, Tags=TAGS
                )

        await asyncio.gather(*(one(path) for path in paths))


async def floor(paths: Sequence[Path], url: str) -> None:
    """aiohttp alone: read, base64, the SHA-256 that a signature needs, one POST. Signs nothing, checks nothing."""
    rest = json.dumps({"Tags": TAGS})[1:].encode()
    limit = asyncio.Semaphore(AT_ONCE)
    target = "PinpointSMSVoiceV2.CreateRegistrationAttachment"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def one(path: Path) -> None:
            async with limit:
                body = b"".join((b'{"AttachmentBody": "', pybase64.b64encode(path.read_bytes()), b'", ', rest))
                headers = {"X-Amz-Target": target, "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
                async with session.post(url, data=body, headers=headers) as answered:
                    await answered.read()

        await asyncio.gather(*(one(path) for path in paths))


CALLERS: Mapping[str, Callable[[Sequence[Path], str], Coroutine[Any, Any, None]]] = {"bare": bare, "floor": floor}


def main() -> int:
    """Run one of them."""
    name, folder, url, count = sys.argv[1:]
    asyncio.run(CALLERS[name](sorted(Path(folder).iterdir())[: int(count)], url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
