"""Registrations as tests read and change them without requests.

The service has no operation by which a registration is reviewed: here a test does what a reviewer does.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from batch_upload.emulator.context import ServiceContext
from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.registration_state import (
    FieldDenial,
    RegistrationSaved,
    StoredRegistration,
    VersionStatus,
    draft,
)
from batch_upload.emulator.registration_types import (
    REGISTRATION_TYPES,
    attachment_paths,
    type_that_nearly_takes,
    type_that_takes,
)
from batch_upload.emulator.registrations import add_registration, new_registration_id


class RegistrationControl:
    """The registrations of all accounts and Regions. May be used from any thread.

    Methods that take an id or an ARN raise KeyError if there is no such registration. They raise ConfigurationError for
    an id that is in use in several accounts or Regions: give the ARN then.
    """

    def __init__(self, context: ServiceContext, lock: threading.RLock, run_late_requests: Callable[[], None]) -> None:
        self._context = context
        self._lock = lock
        self._run_late_requests = run_late_requests

    def all(self) -> list[dict[str, Any]]:
        """Return every registration, deleted or not, with its versions and their values, as the control plane does."""
        with self._lock:
            self._run_late_requests()
            return [registration.to_json() for registration in self._context.store.registrations.all()]

    def plant(
        self,
        registration_type: str,
        *,
        region: str,
        account: str | None = None,
        registration_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> StoredRegistration:
        """Make a registration without a request. Its defaults are the default account and a new id.

        No quota applies. Raises ConfigurationError for a type that is not emulated and for an id that the account and
        Region has already.
        """
        with self._lock:
            account = self._context.settings.account if account is None else account
            registration_id = new_registration_id() if registration_id is None else registration_id
            if registration_type not in REGISTRATION_TYPES:
                raise ConfigurationError(f"`{registration_type}` is not a type of registration that is emulated")
            if self._context.store.registrations.find(account, region, registration_id) is not None:
                raise ConfigurationError(f"there is a registration `{registration_id}` already")
            return add_registration(self._context, registration_id, account, region, registration_type, tags=tags)

    def ensure(self, fields: Mapping[str, Iterable[str]], *, account: str, region: str) -> None:
        """Make the registrations that an account and Region does not have yet, each of the first type that fits.

        `fields` has the paths of fields that are to take attachments, by registration id. Where no type has them all,
        it is the one with the most similar field. A registration that is there already gets another type only if its
        own does not have the fields, and the other has them and all that are in use.
        """
        with self._lock:
            for registration_id, paths in fields.items():
                wanted = set(paths)
                present = self._context.store.registrations.find(account, region, registration_id)
                if present is None:
                    registration_type = type_that_takes(wanted) or type_that_nearly_takes(wanted)
                    add_registration(self._context, registration_id, account, region, registration_type)
                elif not wanted <= attachment_paths(present.registration_type):
                    fitting = type_that_takes(wanted | present.paths_in_use())
                    if fitting is not None:
                        self._save(replace(present, registration_type=fitting))

    def review(
        self,
        id_or_arn: str,
        status: VersionStatus,
        *,
        version: int | None = None,
        denials: Mapping[str, FieldDenial] | None = None,
        feedback: str | None = None,
    ) -> StoredRegistration:
        """Give a version a status, whatever status it has. `version` is the current one by default.

        `denials` says which fields are denied and why, `feedback` is about the whole version. Both replace those of an
        earlier review. Raises ConfigurationError for a version or a field that the registration does not have.
        """
        with self._lock:
            registration = self._find(id_or_arn)
            number = registration.current.number if version is None else version
            reviewed = registration.version(number)
            if reviewed is None:
                raise ConfigurationError(f"`{id_or_arn}` has no version {number}")
            unknown = (denials or {}).keys() - REGISTRATION_TYPES[registration.registration_type].keys()
            if unknown:
                raise ConfigurationError(f"{registration.registration_type} has no field `{min(unknown)}`")
            decided = replace(
                reviewed.in_status(status, self._context.clock.now()), denials=dict(denials or {}), feedback=feedback
            )
            return self._save(registration.with_version(decided))

    def open_version(self, id_or_arn: str) -> StoredRegistration:
        """Add an empty draft as the newest version, as CreateRegistrationVersion does, whatever the current one is."""
        with self._lock:
            registration = self._find(id_or_arn)
            number = registration.current.number + 1
            return self._save(registration.with_version(draft(number, self._context.clock.now())))

    def _find(self, id_or_arn: str) -> StoredRegistration:
        named = [
            registration
            for registration in self._context.store.registrations.all()
            if id_or_arn in (registration.registration_id, registration.arn)
        ]
        if not named:
            raise KeyError(id_or_arn)
        if len(named) > 1:
            raise ConfigurationError(f"several accounts or Regions have a registration `{id_or_arn}`: give its ARN")
        return named[0]

    def _save(self, registration: StoredRegistration) -> StoredRegistration:
        self._context.store.record(RegistrationSaved(registration))
        return registration
