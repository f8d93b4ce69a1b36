"""What libraries may say: at DEBUG botocore prints the session token and the whole document."""

import logging

LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "urllib3", "boto3", "s3transfer", "asyncio", "sqlalchemy")


def quiet_libraries() -> None:
    """Hold the libraries' loggers at WARNING, and keep anybody from lowering them by the root logger.

    What they say goes to `--log-file`, where there is one. Without a handler Python would print it to standard error:
    a traceback for each malformed request to `watch`.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if name != "asyncio" and not logger.handlers:  # asyncio tells of tasks that failed unseen: a fault of ours
            logger.addHandler(logging.NullHandler())
