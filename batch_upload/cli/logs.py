"""What libraries may say: at DEBUG botocore prints the session token and the whole document."""

import logging

LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "urllib3", "boto3", "s3transfer", "asyncio", "sqlalchemy")


def quiet_libraries() -> None:
    """Hold the libraries' loggers at WARNING, and keep anybody from lowering them by the root logger."""
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
