"""What libraries may say, and where: never on stderr by themselves, but in `--log-file`."""

import logging

LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "urllib3", "boto3", "s3transfer", "asyncio", "sqlalchemy")
"""At DEBUG botocore prints the session token and the whole document."""


def quiet_libraries() -> None:
    """Hold the libraries' loggers at WARNING, whatever the root logger's level, and keep all of them off stderr.

    Without a handler anywhere, `logging` would write warnings to stderr itself. Python's own warnings are logged, too.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, logging.NullHandler) for handler in root.handlers):
        root.addHandler(logging.NullHandler())
    logging.captureWarnings(True)  # noqa: FBT003 - the library's signature
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
