"""What a process imports and reads once, so that none of its forks has to: two thirds of the time of a short run."""

import asyncio
import gc
import pkgutil
from functools import cache
from importlib import import_module

import batch_upload

LATE = (
    "aiobotocore.session",
    "anyio._backends._asyncio",
    "botocore.auth",
    "botocore.parsers",
    "encodings.idna",
    "rich.console",
    "sqlalchemy.dialects.sqlite",
    "zoneinfo",
)
"""What the libraries and we import when a run needs it."""
SELDOM = ("batch_upload.fleet", "batch_upload.ledger.postgres")
"""Rooms that most runs do not use, and that import large libraries which a user need not have."""
SERVICES = ("pinpoint-sms-voice-v2", "sts")


def share_models() -> None:
    """Have all sessions of this process read the SDK's models and endpoints once, where each would read them anew."""
    from botocore import session

    session.create_loader = cache(session.create_loader)


def import_everything(*others: str) -> None:
    """Import what a run would, these modules too, and do once what each run would do alike before its first request."""
    ours = (each.name for each in pkgutil.walk_packages(batch_upload.__path__, "batch_upload."))
    for name in (*LATE, *(each for each in ours if not each.startswith(SELDOM) and "__main__" not in each), *others):
        import_module(name)
    _share_command()
    share_models()
    asyncio.run(_open_clients())
    gc.collect()
    gc.freeze()


def _share_command() -> None:
    """Read the signatures of all verbs once, where each run would read them anew."""
    import typer.main

    from batch_upload.cli.main import app

    typer.main.get_command = cache(typer.main.get_command)
    commands = [typer.main.get_command(app)]
    for command in commands:
        for parameter in command.params:
            read_type = getattr(parameter, "get_runtime_param", None)  # typer 0.26 read it with the signature
            if read_type is not None:
                read_type()
        commands += getattr(command, "commands", {}).values()


async def _open_clients() -> None:
    """Fill the caches of the SDK: its models, endpoint rules and patterns."""
    from aiobotocore.session import get_session

    session = get_session()
    for service in SERVICES:
        made = session.create_client(
            service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
        async with made:
            pass
