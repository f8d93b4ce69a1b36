"""From YAML events to the manifest's own forms: the values of its `forms`."""

from functools import partial

from yaml.events import Event, MappingStartEvent

from batch_upload.form import Form
from batch_upload.manifest import rules
from batch_upload.manifest.forms import BUILT_IN, TYPES_BY_NAME
from batch_upload.manifest.keys import KEYS
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.values import ManifestValues, value_in
from batch_upload.model import ContentType

FORM = "a form"
"""The name of one of `forms` in messages."""


def add_forms(values: ManifestValues) -> None:
    """Let `values` read the `forms` of a manifest."""

    def pixels(event: Event, name: str) -> tuple[int, int] | None:
        demand = f"`{name}` must be WIDTHxHEIGHT, such as `224x224`"
        return values.parsed(event, name, parse=rules.pixels, plain=False, code=Code.PIXELS, demand=demand)

    values.readers["the manifest"]["forms"] = partial(_forms, values)
    values.readers[FORM] = {
        "types": partial(_types, values),
        "max_size": values.readers["`defaults`"]["max_size"],
        "pixels": pixels,
        "min_pixels": pixels,
    }


def _forms(values: ManifestValues, event: Event, _: str) -> dict[str, Form]:
    """Return the forms by name. One with a problem has its other demands, so that entries may name it."""
    found: dict[str, Form] = {}
    if not isinstance(event, MappingStartEvent):
        values.report_kind(event, "`forms`", "a mapping")
        return found
    for name, key, value in values.pairs():
        if name in BUILT_IN:
            message = f"the name `{name}` is taken by a built-in form: choose another, such as `my-{name}`"
            values.is_wrong(key, (Code.FORM, message))
        else:
            values.is_wrong(key, rules.wrong_with_word(Code.FORM, name))
        given = values.mapping(value, FORM)
        if given is not None and not given:
            demands = ", ".join(f"`{each}`" for each in KEYS[FORM])
            values.report(value, Code.FORM, f"{excerpt(name)} demands nothing: give it one of {demands}")
        if name not in BUILT_IN:
            demands_of = {each: value_in(given or {}, each) for each in ("types", "pixels", "min_pixels")}
            found[name] = Form(name, max_size_bytes=value_in(given or {}, "max_size"), **demands_of)
    return found


def _types(values: ManifestValues, event: Event, name: str) -> frozenset[ContentType] | None:
    """Return the types of a list, or of a single name; None if one of them has a problem."""
    found: list[ContentType | None] = []
    for item in values.one_or_more(event, name, due="a list", advice="name `pdf`, `png` or `jpeg`"):
        scalar = values.scalar(item, name)
        type_ = None if scalar is None else TYPES_BY_NAME.get(scalar.value)
        if scalar is not None and type_ is None:
            message = f"`types` names `pdf`, `png` and `jpeg`: {excerpt(scalar.value)}"
            values.report(item, Code.FORM, message)
        found.append(type_)
    types = frozenset(each for each in found if each is not None)
    return types if types and None not in found else None
