"""A stand-in of AWS End User Messaging SMS on loopback, for registrations and their attachments: docs/emulator.md.

It imports nothing else of this package, and can be used from the tests of other projects::

    from batch_upload.emulator import EmulatorSettings, FaultAction, FaultRule, serving_in_thread

    with serving_in_thread(EmulatorSettings(rates={"*": None})) as service:
        service.emulator.set_faults([FaultRule(FaultAction.DROP_AFTER, times=1)])
        client = boto3.client("pinpoint-sms-voice-v2", endpoint_url=service.url)

`serving` is the same for asynchronous code, `python -m batch_upload.emulator` and `batch-upload emulator` for others.
"""

from batch_upload.emulator.core import Emulator
from batch_upload.emulator.errors import ConfigurationError, EmulatorError
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.limits import Rate, RateMode
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.organizations import (
    AccountState,
    EmulatedAccount,
    EmulatedOrganization,
    EmulatedUnit,
)
from batch_upload.emulator.registration_control import RegistrationControl
from batch_upload.emulator.registration_state import FieldDenial, VersionStatus
from batch_upload.emulator.registration_types import PreloadedRegistrations, preloaded_registration_id
from batch_upload.emulator.serve import RunningEmulator, serving, serving_in_thread
from batch_upload.emulator.settings import (
    LOCAL,
    BoundDeletion,
    EmulatorSettings,
    KnownToken,
    LaneOverlay,
    LateTags,
    Paging,
)

__all__ = [
    "LOCAL",
    "AccountState",
    "BoundDeletion",
    "ConfigurationError",
    "EmulatedAccount",
    "EmulatedOrganization",
    "EmulatedUnit",
    "Emulator",
    "EmulatorError",
    "EmulatorSettings",
    "FaultAction",
    "FaultRule",
    "FieldDenial",
    "KnownToken",
    "LaneOverlay",
    "LateTags",
    "Paging",
    "PreloadedRegistrations",
    "Rate",
    "RateMode",
    "RegistrationControl",
    "RunningEmulator",
    "UploadStatus",
    "VersionStatus",
    "preloaded_registration_id",
    "serving",
    "serving_in_thread",
]
