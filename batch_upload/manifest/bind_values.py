"""From YAML events to the `bind` of an entry: the field of a registration that its attachments are put into."""

from functools import partial

from yaml.events import Event

from batch_upload.manifest.binds import wrong_with_written
from batch_upload.manifest.keys import KEYS
from batch_upload.manifest.problems import Code
from batch_upload.manifest.values import ManifestValues, value_in
from batch_upload.registration import Bind

BIND = "`bind`"
"""The name of the mapping in messages."""


def add_binds(values: ManifestValues) -> None:
    """Let `values` read the `bind` of an entry."""
    values.readers["an entry"]["bind"] = partial(_bind, values)
    values.readers[BIND] = {key: partial(_member, values) for key in KEYS[BIND]}


def _bind(values: ManifestValues, event: Event, _: str) -> Bind | None:
    """Return a `bind` as written, perhaps with templates; None if it has a problem."""
    given = values.mapping(event, BIND)
    if given is None:
        return None
    missing = [f"`{key}`" for key in KEYS[BIND] if key not in given]
    # An unknown key may be the misspelt one: that is one problem, not two.
    if missing and given.keys() <= set(KEYS[BIND]):
        verb = "is" if len(missing) == 1 else "are"
        message = f"{' and '.join(missing)} {verb} missing: `bind` names a registration and one of its fields"
        values.report(event, Code.MISSING_KEY, message)
    registration, field = value_in(given, "registration"), value_in(given, "field")
    return None if registration is None or field is None else Bind(registration, field)


def _member(values: ManifestValues, event: Event, name: str) -> str | None:
    text = values.text(event, name)
    return None if text is None or values.is_wrong(event, wrong_with_written(name, text)) else text
