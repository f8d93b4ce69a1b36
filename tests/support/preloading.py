"""What a process imports and reads once, so that none of its forks has to: half of the time of a short run."""

import gc
from functools import cache
from importlib import import_module

LATE = (
    "aiobotocore.session",
    "anyio._backends._asyncio",
    "batch_upload.cli.main",
    "batch_upload.manifest.schema",
    "batch_upload.service.client",
    "botocore.auth",
    "botocore.parsers",
    "encodings.idna",
    "rich.console",
    "sqlalchemy.dialects.sqlite",
    "zoneinfo",
)
"""What a run imports when it needs it."""


def share_models() -> None:
    """Have all sessions of this process read the SDK's models and endpoints once, where each would read them anew."""
    from botocore import session

    session.create_loader = cache(session.create_loader)


def import_everything(*others: str) -> None:
    """Import what a run would, these modules too, and read what it would of the libraries' own files."""
    for name in (*LATE, *others):
        import_module(name)
    from botocore.session import get_session

    share_models()
    session = get_session()
    for service in ("pinpoint-sms-voice-v2", "sts"):
        session.get_service_model(service)
    session.get_component("endpoint_resolver")
    gc.freeze()
