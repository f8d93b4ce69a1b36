"""The field of a registration that each attachment goes into: its templates filled in, checked, and given once."""

import re
from collections.abc import Mapping, Sequence

from batch_upload.manifest import rules
from batch_upload.manifest.item_tags import missing_message, values_of_item
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.reporting import ExpandedLane, ExpansionReport
from batch_upload.manifest.rules import COLUMN_NAME, LANE_NAMES, TEMPLATE_NAMES, Wrong, has_braces, wrong_with_template
from batch_upload.model import Entry, Manifest, Position, SourceKind
from batch_upload.registration import Bind

REGISTRATION_PATTERN = r"[A-Za-z0-9_-]{1,256}"
"""The id of a registration: `RegistrationIdOrArn` (botocore 1.43.117) without `:` and `/`, which only ARNs have."""
ARN_PATTERN = r"arn:aws[a-z-]*:sms-voice:([a-z0-9-]+):([0-9]{12}):registration/([A-Za-z0-9_-]{1,256})"
"""Its ARN: Region, account, id."""
FIELD_PATTERN = r"[A-Za-z0-9_.]{1,100}"
"""The path of a field: `FieldPath` (botocore 1.43.117)."""

_DEMANDS: Mapping[str, tuple[str, str]] = {
    "registration": (
        f"{REGISTRATION_PATTERN}|{ARN_PATTERN}",
        "`registration` must be the id of a registration, such as `registration-0123abcd`, or its ARN",
    ),
    "field": (FIELD_PATTERN, "`field` must be the path of a field, such as `messagingUseCase.optInImage`"),
}
_ATTACHMENT_PREFIX = "registration-attachment-"
"""How ids of attachments begin, which are easily taken for those of registrations."""
_NO_ATTACHMENT = rf"(?!{_ATTACHMENT_PREFIX}){REGISTRATION_PATTERN}"
_PLAIN = tuple(re.compile(rf"{pattern}(?:\n{pattern})*") for pattern in (_NO_ATTACHMENT, FIELD_PATTERN))
"""Many ids of registrations, and many paths of fields, one a line."""


def wrong_with_written(key: str, text: str) -> Wrong | None:
    """Check `registration` or `field` as written, as far as that can be without the values of its templates."""
    if not has_braces(text):
        return wrong_with_member(key, text)
    message = wrong_with_template(text, (*TEMPLATE_NAMES, *LANE_NAMES, COLUMN_NAME))
    return (Code.TEMPLATE, message) if message else None


def wrong_with_member(key: str, text: str) -> Wrong | None:
    """Check `registration` or `field` with its templates filled in."""
    pattern, demand = _DEMANDS[key]
    if key == "registration" and text.startswith(_ATTACHMENT_PREFIX):
        return Code.BIND, f"{demand}; this is the id of an attachment: {excerpt(text)}"
    if re.fullmatch(pattern, text) is not None:
        return None
    return Code.BIND, f"{demand}: {excerpt(text) if text else 'it is empty'}"


def plain_binds(registrations: Sequence[str], fields: Sequence[str]) -> list[Bind] | None:
    """Return the fields of many attachments, at least one; None if a text is not right, or is an ARN."""
    for pattern, texts in zip(_PLAIN, (registrations, fields), strict=True):
        if pattern.fullmatch("\n".join(texts)) is None:
            return None
    return [*map(Bind._make, zip(registrations, fields, strict=True))]


class ItemBinds:
    """Finds the field of one attachment after another. `names` are those that templates may have."""

    def __init__(self, manifest: Manifest, report: ExpansionReport, *, names: Sequence[str]) -> None:
        self._manifest = manifest
        self._report = report
        self._names = names

    def of(self, entry: Entry, source: str, item_id: str, lane: ExpandedLane) -> Bind | None:
        """Return the field of an attachment whose entry has a `bind`; None after its problem was reported."""
        written = entry.bind or ("", "")
        values: Mapping[str, str] = {}
        if any(map(has_braces, written)):
            values = {**lane.values, **values_of_item(self._manifest, entry, source, item_id)}
        texts: list[str] = []
        wrong: list[Wrong] = []
        for key, text in zip(Bind._fields, written, strict=True):
            message = wrong_with_template(text, self._names)
            if message is None and (missing := rules.missing_variable(text, values)):
                message = missing_message(missing, lane.name)
            if message is not None:
                wrong.append((Code.TEMPLATE, message))
                continue
            filled = rules.render(text, values)
            found = wrong_with_member(key, filled)
            if found is None and (arn := re.fullmatch(ARN_PATTERN, filled)):
                found, filled = self._wrong_with_arn(arn, lane), arn[3]
            wrong += [] if found is None else [found]
            texts.append(filled)
        for each in wrong:
            self._report.add_of_lane(lane.label, _place(entry), *each)
        return None if wrong else Bind(*texts)

    def take(self, entry: Entry, item_id: str, bind: Bind, lane: ExpandedLane) -> bool:
        """Give a field to an attachment, and return whether it was free. If it was not, that is reported."""
        first = lane.fields.setdefault(bind, item_id)
        if first == item_id:
            return True
        field = f"{excerpt(bind.field)} of {excerpt(bind.registration)}"
        if entry.kind is SourceKind.GLOB and lane.ids.is_of_current_glob(first):
            message = (
                f"{excerpt(first)} and other files of the glob {excerpt(entry.source)} would go into {field}, "
                "and a field holds one attachment: use a template such as `{stem}`, or an entry for each file"
            )
        else:
            one = f"the glob {excerpt(entry.source)}" if entry.kind is SourceKind.GLOB else excerpt(item_id)
            other = f"{excerpt(first)} {lane.ids.place_of(first, entry.at_file)}"
            message = f"{one} and {other} would both go into {field}, and a field holds one attachment"
        self._report.add_of_lane(lane.label, _place(entry), Code.BIND_TWICE, message)
        return False

    def _wrong_with_arn(self, arn: re.Match[str], lane: ExpandedLane) -> Wrong | None:
        """Check that a registration is in the lane's account and Region, as far as these are known."""
        target = self._manifest.target
        account = lane.values.get("account") or target.account
        region = lane.values.get("region") or target.region
        for what, named, own in (("account", arn[2], account), ("Region", arn[1], region)):
            if own and own != named:
                message = f"`registration` is of the {what} {named}, and the attachment goes to {own}"
                return Code.BIND, f"{message}: {excerpt(arn[0])}"
        return None


def _place(entry: Entry) -> Position:
    """Return the place of an entry's `bind`: of a row its line."""
    return entry.at if entry.at_file is not None or entry.bind_at is None else entry.bind_at
