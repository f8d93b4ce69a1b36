"""The clients that a user would write instead, as they are usually written.

Each uploads every file of a folder once, 16 at a time, and leaves retries to its SDK: 10 attempts, as its documentation
advises for throttled services. Prints how many files were lost.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SERVICE = "pinpoint-sms-voice-v2"
AT_ONCE = 16
ATTEMPTS = 10


async def with_aiobotocore(folder: Path, url: str, mode: str) -> int:
    """Upload with aiobotocore, a semaphore around each call."""
    config = AioConfig(retries={"mode": mode, "total_max_attempts": ATTEMPTS}, max_pool_connections=AT_ONCE)
    limit = asyncio.Semaphore(AT_ONCE)
    async with get_session().create_client(SERVICE, region_name="us-east-1", endpoint_url=url, config=config) as client:

        async def one(path: Path) -> bool:
            async with limit:
                try:
                    await client.create_registration_attachment(AttachmentBody=path.read_bytes())
                except (ClientError, BotoCoreError):
                    return False
                return True

        done = await asyncio.gather(*(one(path) for path in sorted(folder.iterdir())))
    return done.count(False)


def with_boto3(folder: Path, url: str, mode: str) -> int:
    """Upload with boto3, a thread for each call."""
    config = Config(retries={"mode": mode, "total_max_attempts": ATTEMPTS}, max_pool_connections=AT_ONCE)
    client = boto3.client(SERVICE, region_name="us-east-1", endpoint_url=url, config=config)

    def one(path: Path) -> bool:
        try:
            client.create_registration_attachment(AttachmentBody=path.read_bytes())
        except (ClientError, BotoCoreError):
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, sorted(folder.iterdir()))).count(False)


CLIENTS: dict[str, Callable[[Path, str], int]] = {
    "aiobotocore, standard": lambda folder, url: asyncio.run(with_aiobotocore(folder, url, "standard")),
    "aiobotocore, adaptive": lambda folder, url: asyncio.run(with_aiobotocore(folder, url, "adaptive")),
    "boto3, adaptive": lambda folder, url: with_boto3(folder, url, "adaptive"),
}


def main() -> int:
    """Run one client over one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    arguments = parser.parse_args()
    sys.stdout.write(f"{CLIENTS[arguments.client](arguments.folder, arguments.url)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
