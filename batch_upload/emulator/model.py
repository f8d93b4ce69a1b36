"""The service's own model, as botocore ships it: what fits an operation's shapes and what does not.

Requests are held to everything the model says, unknown members included: a client that a lenient service would
forgive gets an error. Answers are held to it too, so that the emulator cannot drift from the service.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.loaders
import botocore.model

from batch_upload.emulator.errors import EmulatorError, FieldError
from batch_upload.emulator.names import ORGANIZATIONS_OPERATIONS, STS_OPERATIONS

_UNMODELED_STATUSES: Mapping[str, int] = {
    "UnknownOperationException": 404,
    "MissingAuthenticationTokenException": 403,
}


class EmulatedServiceModel:
    """The shapes of one service. Building it reads up to a megabyte of JSON: see `service_model`."""

    def __init__(self, name: str) -> None:
        description = botocore.loaders.Loader().load_service_model(name, "service-2")
        self._model = botocore.model.ServiceModel(description, name)
        self._shapes: Mapping[str, Any] = description["shapes"]
        self._errors = {shape.name: shape for shape in self._model.error_shapes}
        self.target_prefix: str = description["metadata"]["targetPrefix"]

    def decode_blobs(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members with each blob as bytes; one that is not base64 stays as it came and will not fit."""
        decoded = dict(members)
        for name, shape in self._model.operation_model(operation).input_shape.members.items():
            if shape.type_name == "blob" and isinstance(members.get(name), str):
                try:
                    decoded[name] = base64.b64decode(members[name], validate=True)
                except (binascii.Error, ValueError):
                    continue
        return decoded

    def request_errors(self, operation: str, members: Mapping[str, Any]) -> tuple[FieldError, ...]:
        """Return what of a request with decoded blobs does not fit, in the order of its members."""
        return tuple(_field_errors(self._model.operation_model(operation).input_shape, members, ""))

    def check_answer(self, operation: str, members: Mapping[str, Any]) -> None:
        """Raise EmulatorError unless `members` fits the operation's output."""
        errors = tuple(_field_errors(self._model.operation_model(operation).output_shape, members, ""))
        if errors:
            raise EmulatorError(f"the answer of {operation} does not fit the service's model: {errors}")

    def check_error(self, code: str, members: Mapping[str, Any]) -> None:
        """Raise EmulatorError unless `members` fits the error; a code that is not modeled may have any members."""
        errors = tuple(_field_errors(self._errors[code], members, "")) if code in self._errors else ()
        if errors:
            raise EmulatorError(f"{code} does not fit the service's model: {errors}")

    def status_of(self, code: str) -> int:
        """Return the HTTP status of an error: of a modeled one 500 where the service blames itself, else 400."""
        blames_itself = self._shapes.get(code, {}).get("fault")
        return _UNMODELED_STATUSES.get(code, 500 if blames_itself else 400)

    def account_limits(self) -> tuple[str, ...]:
        """Return the names of an account's limits, in the model's order."""
        return tuple(self._shapes["AccountLimitName"]["enum"])


@cache
def service_model(name: str = "pinpoint-sms-voice-v2") -> EmulatedServiceModel:
    """Return the model of a service, read once in a process and only when it is needed."""
    return EmulatedServiceModel(name)


def model_of(operation: str) -> EmulatedServiceModel | None:
    """Return the model of the service that an operation belongs to; None for STS, whose requests are not checked."""
    if operation in STS_OPERATIONS:
        return None
    return service_model("organizations") if operation in ORGANIZATIONS_OPERATIONS else service_model()


_TYPES: Mapping[str, Any] = {
    "structure": Mapping,
    "list": list,
    "string": str,
    "blob": bytes,
    "integer": int,
    "long": int,
    "timestamp": (int, float),
    "boolean": bool,
}
_MEASURES: Mapping[str, str] = {
    "list": "number of elements",
    "string": "length",
    "integer": "value",
    "long": "value",
}
"""What the bounds of a shape are about, by its type. The maximum of a blob counts base64, so it is not checked here."""


def _field_errors(shape: Any, value: Any, name: str) -> Iterator[FieldError]:  # noqa: ANN401 - any JSON value may come
    kind, rules = shape.type_name, shape.metadata
    # Python's booleans are integers, JSON's are not.
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield FieldError(name, f"must be of type {kind}")
        return
    if kind in _MEASURES:
        measured = len(value) if isinstance(value, str | list) else value
        if measured < rules.get("min", -math.inf):
            yield FieldError(name, f"{_MEASURES[kind]} must be at least {rules['min']}")
        if measured > rules.get("max", math.inf):
            yield FieldError(name, f"{_MEASURES[kind]} must be at most {rules['max']}")
    if kind in ("structure", "list"):
        yield from _member_errors(shape, value, f"{name}." if name else "")
    elif kind == "blob" and not value and "min" in rules:
        yield FieldError(name, "must not be empty")
    elif "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield FieldError(name, f"must satisfy the pattern {rules['pattern']}")
    elif value not in rules.get("enum", (value,)):
        yield FieldError(name, f"must be one of {', '.join(rules['enum'])}")


def _member_errors(shape: Any, value: Any, prefix: str) -> Iterator[FieldError]:  # noqa: ANN401 - any JSON value
    if shape.type_name == "list":
        for index, element in enumerate(value):
            yield from _field_errors(shape.member, element, f"{prefix}{index}")
        return
    given = {key: member for key, member in value.items() if member is not None}
    for key in shape.required_members:
        if key not in given:
            yield FieldError(prefix + key, "is required")
    for key, member in given.items():
        if key not in shape.members:
            yield FieldError(prefix + key, "is not a member of this request")
        else:
            yield from _field_errors(shape.members[key], member, prefix + key)
