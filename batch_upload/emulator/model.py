"""The service's own model, as botocore ships it: what fits an operation's shapes and what does not.

Requests are held to everything the model says, unknown members included: a client that a lenient service would
forgive is told. Answers are held to it too, so that the emulator cannot drift from the service.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.loaders
import botocore.model

from batch_upload.errors import BatchUploadError

SERVICE = "pinpoint-sms-voice-v2"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that does not fit. `name` is its path from the top: `Tags.0.Key`."""

    name: str
    message: str


class ServiceModel:
    """The shapes of one service. Building it reads about a megabyte of JSON: see `service_model`."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._model = botocore.model.ServiceModel(description, SERVICE)
        self._shapes: Mapping[str, Any] = description["shapes"]
        self._errors = {shape.name: shape for shape in self._model.error_shapes}
        self.target_prefix: str = description["metadata"]["targetPrefix"]

    def decoded(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """The members with each blob as bytes; one that is not base64 stays as it came and will not fit."""
        blobs = (name for name, shape in self._input(operation).members.items() if shape.type_name == "blob")
        return {**members, **{name: _decoded(members[name]) for name in blobs if name in members}}

    def request_misfits(self, operation: str, members: Mapping[str, Any]) -> tuple[Misfit, ...]:
        """What of a decoded request does not fit, in the order of its members."""
        return tuple(_misfits(self._input(operation), members, ""))

    def check_answer(self, operation: str, members: Mapping[str, Any]) -> None:
        """Raise BatchUploadError, our fault, unless `members` fits the operation's output."""
        _check(f"answer of {operation}", self._model.operation_model(operation).output_shape, members)

    def check_error(self, code: str, members: Mapping[str, Any]) -> None:
        """The same for the members of an error. A code that the model does not hold may have any."""
        if code in self._errors:
            _check(code, self._errors[code], members)

    def status_of(self, code: str) -> int:
        """The HTTP status of a modeled error: 500 where the service blames itself, else 400."""
        return 500 if self._shapes.get(code, {}).get("fault") else 400

    def enum(self, shape_name: str) -> tuple[str, ...]:
        """The values of an enumeration, in the model's order."""
        return tuple(self._shapes[shape_name]["enum"])

    def _input(self, operation: str) -> Any:  # noqa: ANN401 - botocore ships no types
        return self._model.operation_model(operation).input_shape


@cache
def service_model() -> ServiceModel:
    """The model, read once in a process and only when it is needed."""
    return ServiceModel(botocore.loaders.Loader().load_service_model(SERVICE, "service-2"))


def _check(what: str, shape: Any, members: Mapping[str, Any]) -> None:  # noqa: ANN401 - botocore ships no types
    misfits = tuple(_misfits(shape, members, ""))
    if misfits:
        raise BatchUploadError(f"{what} does not fit the service's model: {misfits}")


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value


def _misfits(shape: Any, value: Any, name: str) -> Iterator[Misfit]:  # noqa: ANN401 - any JSON value may come
    kinds, check = _TYPES[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield Misfit(name, f"must be of type {shape.type_name}")
        return
    yield from check(shape, value, name)


def _structure(shape: Any, value: Mapping[str, Any], name: str) -> Iterator[Misfit]:  # noqa: ANN401
    given = {key: member for key, member in value.items() if member is not None}
    for key in shape.required_members:
        if key not in given:
            yield Misfit(_below(name, key), "is required")
    for key, member in given.items():
        if key not in shape.members:
            yield Misfit(_below(name, key), "is not a member of this request")
        else:
            yield from _misfits(shape.members[key], member, _below(name, key))


def _list(shape: Any, value: list[Any], name: str) -> Iterator[Misfit]:  # noqa: ANN401
    yield from _out_of_bounds(shape, len(value), name, "number of elements")
    for index, member in enumerate(value):
        yield from _misfits(shape.member, member, _below(name, str(index)))


def _string(shape: Any, value: str, name: str) -> Iterator[Misfit]:  # noqa: ANN401
    rules = shape.metadata
    yield from _out_of_bounds(shape, len(value), name, "length")
    if "pattern" in rules and not _compiled(rules["pattern"]).fullmatch(value):
        yield Misfit(name, f"must satisfy the pattern {rules['pattern']}")
    if "enum" in rules and value not in rules["enum"]:
        yield Misfit(name, f"must be one of {', '.join(rules['enum'])}")


def _number(shape: Any, value: float, name: str) -> Iterator[Misfit]:  # noqa: ANN401
    yield from _out_of_bounds(shape, value, name, "value")


def _blob(shape: Any, value: bytes, name: str) -> Iterator[Misfit]:  # noqa: ANN401
    # The model's maximum counts base64; the size in bytes is a rule of its own, with a Reason of its own.
    if len(value) < shape.metadata.get("min", 0):
        yield Misfit(name, "must not be empty")


def _anything(_shape: object, _value: object, _name: str) -> Iterator[Misfit]:
    return iter(())


def _out_of_bounds(shape: Any, measure: float, name: str, what: str) -> Iterator[Misfit]:  # noqa: ANN401
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and measure < least:
        yield Misfit(name, f"{what} must be at least {least}")
    if most is not None and measure > most:
        yield Misfit(name, f"{what} must be at most {most}")


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


_TYPES: Mapping[str, tuple[tuple[type, ...], Callable[[Any, Any, str], Iterator[Misfit]]]] = {
    "structure": ((Mapping,), _structure),
    "list": ((list,), _list),
    "string": ((str,), _string),
    "blob": ((bytes,), _blob),
    "integer": ((int,), _number),
    "long": ((int,), _number),
    "timestamp": ((int, float), _anything),
    "boolean": ((bool,), _anything),
}
