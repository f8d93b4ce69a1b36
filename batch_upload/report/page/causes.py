"""What needs a person: the items of the page that do, grouped by cause, each with what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from batch_upload.errors import ExitCode
from batch_upload.model import Known, State
from batch_upload.report.advice import AFTER_DENIAL, RETRIES_FIELD, ROOM_IN_ACCOUNT, advice
from batch_upload.report.item_text import IDS_SHOWN
from batch_upload.report.page.board import STATES, Json, denial_of
from batch_upload.report.summary_text import Invocation, commands_after
from batch_upload.targets import id_with_lane
from batch_upload.words import fault_name

ATTENTION = (State.FAILED, State.INVALID, State.UNKNOWN, State.PARKED, State.SENDING)
"""States whose items are listed before all others, the most urgent first."""


class CauseKind(StrEnum):
    """In which step items came to need a person. assets/attention.js and assets/filter.js read the values."""

    UPLOAD = ""
    BINDING = "binding"
    """The attachment exists, and could not be put into the field of its registration."""
    DENIED = "denied"
    """A reviewer denied the registration for the attachment. The items count as what they are: complete, or binding."""


@dataclass(slots=True)
class Cause:
    """Items that need a person, in one state for one reason, with one thing to do. `ids` are the first few.

    The state of what was denied is `complete`, whatever its items are.
    """

    kind: CauseKind
    state: State
    name: str
    """Of the fault, or what the reviewer gave as the reason; empty where the state says all."""
    advice: str
    message: str = ""
    retries: str | None = None
    count: int = 0
    ids: list[str] = field(default_factory=list)
    first: tuple[str | None, str] = (None, "")
    """The target of the first item's lane, None without `targets`, and its id."""

    @property
    def key(self) -> tuple[CauseKind, State, str, str]:
        """What items of one cause have in common."""
        return self.kind, self.state, self.name, self.advice

    def as_json(self, invocation: Invocation, *, has_manifest: bool = True) -> Json:
        """Return the cause as assets/attention.js reads it. Without `has_manifest` no verb that needs one is named."""
        commands = [(invocation.why(self.first[1], target=self.first[0]), "its whole history")]
        if has_manifest:
            commands += _next_commands(self.state, invocation)
        return {
            "kind": self.kind.value,
            "state": STATES.index(self.state),
            "name": self.name,
            "message": self.message,
            "count": self.count,
            "ids": list(self.ids),
            "advice": self.advice,
            "retries": self.retries,
            "commands": commands,
        }


def _next_commands(state: State, invocation: Invocation) -> list[tuple[str, str]]:
    if state is State.PARKED:
        return commands_after(ExitCode.ACCOUNT_FULL, invocation)
    if state is State.UNKNOWN:
        return commands_after(ExitCode.OUTCOMES_UNKNOWN, invocation)
    if state is State.INVALID:
        again = (invocation.command("upload"), "once they are corrected")
        return [*commands_after(ExitCode.INVALID, invocation), again]
    return [(invocation.command("upload"), "once that is done")]


def needs_person(item: Known) -> bool:
    """Return whether a person must act before another run can complete the item, or because a reviewer denied it.

    A parked item needs one if the account is full. The day's quota needs none: it ends at midnight (`resume_after`).
    """
    if item.state is State.PARKED:
        return item.resume_after is None
    return item.state in (State.FAILED, State.UNKNOWN, State.INVALID) or denial_of(item) is not None


def causes_of(known: Iterable[Known], *, target: str | None = None) -> list[Cause]:
    """Group the items that need a person: by state, then the most frequent cause first; what was denied comes last.

    `target` is that of their lane; then ids are shown as `--only` takes them.
    """
    causes: dict[tuple[CauseKind, State, str, str], Cause] = {}
    for item in known:
        if not needs_person(item):
            continue
        found = _cause_of(item)
        cause = causes.setdefault(found.key, replace(found, first=(target, item.item_id)))
        cause.count += 1
        if len(cause.ids) < IDS_SHOWN:
            cause.ids.append(id_with_lane(target, item.item_id))
    return _in_order(causes.values())


def _cause_of(item: Known) -> Cause:
    """Return the cause of one item, which counts none yet. `causeOf` in assets/data.js groups by the same name."""
    state, fault, denial = item.state, item.fault, denial_of(item)
    if denial is not None:
        return Cause(CauseKind.DENIED, State.COMPLETE, denial.reason, AFTER_DENIAL, denial.reason or denial.feedback)
    is_bind = state is State.FAILED and item.is_live
    kind = CauseKind.BINDING if is_bind else CauseKind.UPLOAD
    if state not in (State.FAILED, State.PARKED) or fault is None:
        return Cause(kind, state, "", advice(state, None))
    to_do = ROOM_IN_ACCOUNT if state is State.PARKED else advice(state, fault, is_bind=is_bind)
    return Cause(kind, state, fault_name(fault), to_do, fault.message, dict(fault.fields).get(RETRIES_FIELD))


def joint_causes(of_lanes: Iterable[Sequence[Cause]]) -> list[Cause]:
    """Return the causes of several lanes, each once, with the sum of its items."""
    joint: dict[tuple[CauseKind, State, str, str], Cause] = {}
    for cause in (each for causes in of_lanes for each in causes):
        found = joint.get(cause.key)
        if found is None:
            joint[cause.key] = replace(cause, ids=list(cause.ids))
        else:
            found.count += cause.count
            found.ids += cause.ids[: IDS_SHOWN - len(found.ids)]
    return _in_order(joint.values())


def _in_order(causes: Iterable[Cause]) -> list[Cause]:
    order = (*ATTENTION, State.COMPLETE)
    return sorted(causes, key=lambda each: (order.index(each.state), -each.count, each.name, each.kind, each.advice))
