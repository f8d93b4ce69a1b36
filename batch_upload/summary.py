"""How a verb ended: the last line of `--json`, and the values of the text for people."""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batch_upload.errors import ExitCode
from batch_upload.events import RunEnded
from batch_upload.model import Lane, State
from batch_upload.words import utc_iso_or_none

EVENT_SCHEMA_VERSION = 1

EXIT_REASONS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done, or nothing to do",
    ExitCode.OUR_FAULT: "a fault of this program",
    ExitCode.USAGE: "a flag or argument is invalid",
    ExitCode.THERE_IS_WORK: "there is work",
    ExitCode.TRANSIENT: "transient errors are left",
    ExitCode.LOCKED: "another run holds the ledger",
    ExitCode.DEADLINE: "the deadline passed",
    ExitCode.NO_CAPACITY: "the day's quota is used up",
    ExitCode.STILL_PROCESSING: "the service is still processing",
    ExitCode.ITEMS_FAILED: "some items failed",
    ExitCode.INVALID: "the manifest or a file is invalid, nothing was sent",
    ExitCode.ACCESS: "credentials, permission, wrong account, or the way to AWS is barred",
    ExitCode.TOO_MANY_FAILURES: "too many failures, stopped",
    ExitCode.LEDGER: "the ledger is unusable, newer, or of another account or Region",
    ExitCode.DISAGREEMENT: "the service and the ledger disagree",
    ExitCode.OUTCOMES_UNKNOWN: "outcomes are unknown",
    ExitCode.ACCOUNT_FULL: "the account is full: raise the quota or prune",
    ExitCode.INTERRUPTED: "drained after SIGINT",
    ExitCode.TERMINATED: "drained after SIGTERM",
}


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit code and its reason. `resume_after`: before that a rerun is useless; None if that is not known."""

    code: ExitCode
    reason: str
    resume_after: datetime | None = None

    @property
    def name(self) -> str:
        """The code's name, stable for scripts: `items_failed`."""
        return self.code.name.lower()

    @property
    def retryable(self) -> bool:
        """Whether the same command again suffices: 10 to 19, no other."""
        return 10 <= self.code <= 19

    @property
    def wants_a_person(self) -> bool:
        """Whether a person must act: 1, 2, and 20 to 29."""
        return self.code in (ExitCode.OUR_FAULT, ExitCode.USAGE) or 20 <= self.code <= 29

    @property
    def urgency(self) -> tuple[bool, int]:
        """The key by which ends are shown: those that want a person first, then by code."""
        return not self.wants_a_person, int(self.code)

    def as_json(self) -> dict[str, Any]:
        """Return the member `exit` of the summary."""
        return {
            "code": int(self.code),
            "name": self.name,
            "retryable": self.retryable,
            "reason": self.reason,
            "resume_after": utc_iso_or_none(self.resume_after),
        }


NOT_BEGUN = Exit(ExitCode.DONE, "not begun, as you wished")
"""A person was asked, and said no."""


def exit_of(code: ExitCode, *, resume_after: datetime | None = None) -> Exit:
    """Return the exit of a code, with the reason that the code has by itself."""
    return Exit(code=code, reason=EXIT_REASONS[code], resume_after=resume_after)


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """How one lane ended. `label` is `Target.label`, None for the only lane of a manifest without `targets`."""

    label: str | None
    account: str | None
    region: str | None
    exit: Exit
    items: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    throttled: int = 0
    registrations_ready: tuple[str, ...] = ()
    """As of `Summary`."""

    def as_json(self) -> dict[str, Any]:
        """Return a member of `lanes`."""
        return {
            "target": self.label,
            "account": self.account,
            "region": self.region,
            "items": self.items,
            "states": in_order_of_states(self.states),
            "requests": dict(sorted(self.requests.items())),
            "throttled": self.throttled,
            "registrations_ready": list(self.registrations_ready),
            "exit": self.exit.as_json(),
        }


def reason_of_lanes(lanes: Sequence[LaneSummary]) -> str:
    """Return how many lanes ended how, faults for a person first: `1 of 80 lanes ended with access, 79 are done`."""
    counts = Counter(lane.exit.code for lane in lanes)
    done = counts.pop(ExitCode.DONE, 0)
    ends = sorted(map(exit_of, counts), key=lambda each: each.urgency)
    words = [f"{counts[end.code]:,} ended with {end.name}" for end in ends]
    if done:
        words.append(f"{done:,} {'is' if done == 1 else 'are'} done")
    if not words:
        return "no lane"
    first, _, rest = words[0].partition(" ")
    of = f"{first} of {len(lanes):,} lane{'' if len(lanes) == 1 else 's'} {rest}"
    return ", ".join([of, *words[1:]])


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a verb. `account` and `region` are None where they were not looked up, `run_id` where no run began.

    `states` counts every item of the manifest. `requests` counts attempts on the wire by operation.
    """

    verb: str
    exit: Exit
    run_id: str | None = None
    batch: str | None = None
    account: str | None = None
    region: str | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    items: int = 0
    uploaded: int = 0
    adopted: int = 0
    unchanged: int = 0
    bound: int = 0
    """How many requests of the run put an attachment into the field of its registration."""
    requests: Mapping[str, int] = field(default_factory=dict)
    throttled: int = 0
    bytes_sent: int = 0
    elapsed_s: float = 0.0
    unreached_for_s: float | None = None
    """Seconds without an answer of the service to any run, where the exit is 22 instead of 10 for that reason."""
    warnings: int = 0
    """Number of warnings about the manifest's files."""
    notes: tuple[str, ...] = ()
    registrations_ready: tuple[str, ...] = ()
    """Ids of the registrations in whose fields this run put the last of the attachments that the manifest binds to
    them. Sorted."""
    lanes: tuple[LaneSummary, ...] = ()
    """Of a manifest with `targets`, each lane that the verb was for. `account` and `region` are None if they differ."""
    shard: str | None = None
    """`I/N` if the verb was for a part of the lanes."""

    @property
    def adds_up(self) -> bool:
        """Whether every item is in exactly one state. Where not, the exit code is 1."""
        return sum(self.states.values()) == self.items

    def count(self, state: State) -> int:
        """Return the number of items in a state."""
        return self.states.get(state.value, 0)

    def as_json(self) -> dict[str, Any]:
        """Return the line `{"event": "summary", …}`."""
        return {
            "event": "summary",
            "schema_version": EVENT_SCHEMA_VERSION,
            "verb": self.verb,
            "run_id": self.run_id,
            "batch": self.batch,
            "account": self.account,
            "region": self.region,
            "items": self.items,
            "states": in_order_of_states(self.states),
            "uploaded": self.uploaded,
            "adopted": self.adopted,
            "unchanged": self.unchanged,
            "bound": self.bound,
            "requests": dict(sorted(self.requests.items())),
            "throttled": self.throttled,
            "bytes": self.bytes_sent,
            "elapsed_s": round(self.elapsed_s, 3),
            "unreached_for": None if self.unreached_for_s is None else round(self.unreached_for_s),
            "warnings": self.warnings,
            "registrations_ready": list(self.registrations_ready),
            "notes": list(self.notes),
            "lanes": [lane.as_json() for lane in self.lanes or self._only_lane()],
            **({} if self.shard is None else {"shard": self.shard}),
            "exit": self.exit.as_json(),
        }

    def _only_lane(self) -> tuple[LaneSummary, ...]:
        """Return the lane of a manifest without `targets`, if the verb found out which it is."""
        if self.account is None:
            return ()
        return (
            LaneSummary(
                None,
                self.account,
                self.region,
                self.exit,
                self.items,
                self.states,
                self.requests,
                self.throttled,
                self.registrations_ready,
            ),
        )


def run_ended(summary: Summary, at: datetime) -> RunEnded:
    """Return the last event of a run over several lanes, which has this summary."""
    return RunEnded(
        states=summary.states,
        requests=summary.requests,
        throttled=summary.throttled,
        uploaded=summary.uploaded,
        adopted=summary.adopted,
        unchanged=summary.unchanged,
        bytes_sent=summary.bytes_sent,
        elapsed_s=summary.elapsed_s,
        at=at,
        notes=summary.notes,
    )


def summary_of_run(
    ended: RunEnded, *, verb: str, run_id: str, batch: str, lane: Lane, items: int, ending: Exit
) -> Summary:
    """Return the summary of a run that reached its end.

    `items` is counted by the caller from the manifest, so that `adds_up` compares two independent counts.
    """
    return Summary(
        verb=verb,
        exit=ending,
        run_id=run_id,
        batch=batch,
        account=lane.account,
        region=lane.region,
        states=dict(ended.states),
        items=items,
        uploaded=ended.uploaded,
        adopted=ended.adopted,
        unchanged=ended.unchanged,
        requests=dict(ended.requests),
        throttled=ended.throttled,
        bytes_sent=ended.bytes_sent,
        elapsed_s=ended.elapsed_s,
        notes=ended.notes,
    )


def in_order_of_states(states: Mapping[str, int]) -> dict[str, int]:
    """Return the counts in the order of `State`. Unknown names, of a newer version, come last."""
    known = [state.value for state in State if state.value in states]
    unknown = sorted(name for name in states if name not in known)
    return {str(name): states[name] for name in (*known, *unknown)}


def new_run_id(now: datetime) -> str:
    """Return a unique id that sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
