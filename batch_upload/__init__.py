"""Upload registration attachments to AWS End User Messaging SMS from a manifest: what the command does, as coroutines.

How to use it: docs/python.md. A name is loaded when it is first used, so that `import batch_upload.pacing` and
`import batch_upload.emulator` load no client of AWS and no database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_upload.app.interruption import Interruption
    from batch_upload.app.plan import plan
    from batch_upload.app.status import status
    from batch_upload.app.upload import RunResult, upload
    from batch_upload.app.validate import validate
    from batch_upload.app.verify import verify
    from batch_upload.errors import BatchUploadError
    from batch_upload.settings import RunOptions
else:
    _MODULES = {
        "BatchUploadError": "errors",
        "Interruption": "app.interruption",
        "RunOptions": "settings",
        "RunResult": "app.upload",
        "plan": "app.plan",
        "status": "app.status",
        "upload": "app.upload",
        "validate": "app.validate",
        "verify": "app.verify",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # the next use does not come here
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "BatchUploadError",
    "Interruption",
    "RunOptions",
    "RunResult",
    "plan",
    "status",
    "upload",
    "validate",
    "verify",
]
