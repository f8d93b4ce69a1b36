"""Items for people: what failed and why, what cannot be sent, and what a reviewer denied."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from batch_upload.escape import printable, quoted
from batch_upload.model import Fault, Known, State
from batch_upload.registration import BindState
from batch_upload.report.advice import AFTER_DENIAL, advice
from batch_upload.targets import id_with_lane
from batch_upload.words import denial_words, fault_message, fault_name, indented

IDS_SHOWN = 3
DENIALS_SHOWN = 20
"""Items that are listed with what a reviewer said of their attachments."""
INVALID_SHOWN = 20
"""Items that the end of a run lists with the reasons why they cannot be sent. Cron mails this text."""
OF_REGISTRATIONS = frozenset({"bind-registration", "bind-field"})
"""Codes of problems that only the service tells."""
_NO_FAULT = Fault(code="no reason given", message="")


KnownItems = Sequence[Known] | Mapping[str, Sequence[Known]]
"""Items of a manifest as the ledger has them; of one with `targets`, by the label of their lane."""


class ShownItem(NamedTuple):
    """An item, with the label of its lane where there are several."""

    label: str | None
    known: Known

    @property
    def name(self) -> str:
        """The item as `--only` takes it."""
        return id_with_lane(self.label, self.known.item_id)


def shown_items(known: KnownItems) -> list[ShownItem]:
    if isinstance(known, Mapping):
        return [ShownItem(label, one) for label, rows in known.items() for one in rows]
    return [ShownItem(None, one) for one in known]


def ids_words(ids: Sequence[str]) -> str:
    """Return the first few ids, and how many more there are."""
    shown = ", ".join(map(quoted, ids[:IDS_SHOWN]))
    return f"{shown} and {len(ids) - IDS_SHOWN:,} more" if len(ids) > IDS_SHOWN else shown


def failure_lines(known: KnownItems) -> list[str]:
    """Return what failed, grouped by reason and by what to do, the most frequent first, with the first few ids.

    Attachments that were refused for the fields of their registrations come last, with these fields.
    """
    groups: defaultdict[tuple[bool, str, str], list[ShownItem]] = defaultdict(list)
    for row in shown_items(known):
        if row.known.state is State.FAILED:
            fault, is_bind = row.known.fault, row.known.bind_state is BindState.REFUSED
            to_do = advice(State.FAILED, fault, is_bind=is_bind)
            groups[is_bind, fault_name(fault or _NO_FAULT), to_do].append(row)
    lines = []
    for (is_bind, name, to_do), failed in sorted(groups.items(), key=_by_frequency):
        message = fault_message(failed[0].known.fault or _NO_FAULT)
        why = f"{name}: {message}" if message else name
        if is_bind and len({fault_message(each.known.fault or _NO_FAULT) for each in failed}) > 1:
            why = f"{name}, the first: {message}"  # which names its registration and version
        how = "uploaded, but refused for the field" if is_bind else "failed"
        names = _places_words(failed) if is_bind else ids_words([row.name for row in failed])
        lines.append(printable(f"{len(failed):,} {how}, {why}"))
        lines += indented([names, f"to do: {to_do}"])
    return lines


def _by_frequency(group: tuple[tuple[bool, str, str], Sequence[ShownItem]]) -> tuple[bool, int, tuple[bool, str, str]]:
    return group[0][0], -len(group[1]), group[0]


def _places_words(rows: Sequence[ShownItem]) -> str:
    """Return the first few items with their fields, and how many more there are."""
    shown = [f"{quoted(row.name)} → {row.known.bind.words if row.known.bind else '?'}" for row in rows[:IDS_SHOWN]]
    more = f" and {len(rows) - IDS_SHOWN:,} more" if len(rows) > IDS_SHOWN else ""
    return f"{', '.join(shown)}{more}"


def denial_lines(known: KnownItems) -> list[str]:
    """Return what reviewers said of attachments, of DENIALS_SHOWN items at most, and what to do."""
    told = [(row, denial) for row in shown_items(known) if (denial := row.known.standing_denial) is not None]
    if not told:
        return []
    lines = [f"{len(told):,} denied by a reviewer:"]
    for row, denial in told[:DENIALS_SHOWN]:
        lines += indented([_places_words([row]), f"  {denial_words(denial)}"])
    more = len(told) - DENIALS_SHOWN
    if more > 0:
        lines.append(f"  and {more:,} more; `report` has all of them")
    return [*lines, f"  to do: {AFTER_DENIAL}"]


def invalid_lines(known: KnownItems) -> list[str]:
    """Return the items that cannot be sent, with the reasons, in the manifest's order: INVALID_SHOWN at most."""
    rows = [row for row in shown_items(known) if row.known.state is State.INVALID]
    if not rows:
        return []
    reasons = dict.fromkeys(_invalid_reason(row) for row in rows)  # an id that is used twice has one for both
    shown = [*reasons][:INVALID_SHOWN]
    more = len(reasons) - len(shown)
    rest = [f"and {more:,} more; `{listing_verb(known)}` lists all of them"] if more else []
    return [f"{len(rows):,} invalid, not sent:", *indented([*map(printable, shown), *rest])]


def listing_verb(known: KnownItems) -> str:
    """Return the verb that lists all that is invalid: `validate`, unless the service was asked for some of it."""
    codes = {row.known.fault.code for row in shown_items(known) if row.known.fault and row.known.state is State.INVALID}
    return "plan" if codes & OF_REGISTRATIONS else "validate"


def _invalid_reason(row: ShownItem) -> str:
    message = (row.known.fault or _NO_FAULT).message
    return message if row.label is None and quoted(row.known.item_id) in message else f"{row.name}: {message}"
