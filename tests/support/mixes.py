"""Mixes of everything that can go wrong, drawn from a seed: what is uploaded, by which runs, and what befalls them.

A mix is a value. The same seed gives the same mix; only the machine's own timing differs from one run to the next.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batch_upload.emulator.names import EVERY_OPERATION
from batch_upload.operations import CREATE, DESCRIBE, IDENTITY, LIMITS, LIST_TAGS, TAG, UNTAG

Rule = Mapping[str, Any]
THIEF = "http://thief.invalid/"
"""Stands for the address of the thief, which is not known when a mix is drawn."""

ITEMS_MAX = 10
ROUNDS_MAX = 6
HORIZONS_S = (4, 6, 10, 30)
"""Short enough that what waits for it ends soon; a horizon that nobody waits out may as well be long."""
DEADLINES_S = (3, 6, 12)
SETTLE_S = 4
LAG_MAX_SHARE = 0.4
"""A service lags less than this part of the horizon: rule 4 of docs/design.md builds on it."""
LAG_MAX_S = 2.5
SLEEPS_S = (2.0, 20.0, 600.0, 2 * 3600.0)
WALL_STEPS_S = (60.0, 600.0, 1200.0, 3600.0)


class Deed(StrEnum):
    """What is done to a run while it is under way."""

    KILL = "kill"
    TERMINATE = "terminate"
    SUSPEND = "suspend"
    """The machine sleeps for `value` seconds."""
    STOP = "stop"
    """The process is stopped for `value` seconds, and its clocks go on."""
    STEP = "step"
    """The wall clock is set to `value` seconds ahead of the true time."""
    DELETE_FOREIGN = "delete foreign"
    """Somebody deletes an attachment that is not ours."""
    BACKUP = "backup"
    """The ledger is copied by SQLite's own backup, to be restored later."""


class LedgerDeed(StrEnum):
    """What is done to the ledger between two runs. Each comes after everything that is at work has ended."""

    FORK = "fork"
    """It is copied, and the copy is used from now on."""
    FORK_WITH_LOCK = "fork with lock"
    TURN = "turn"
    """The copy that was used longest ago is used again."""
    SAVE = "save"
    RESTORE = "restore"
    """What was saved or backed up last is put in the place of the one in use, its lock kept."""
    RESTORE_WITHOUT_LOCK = "restore without lock"
    LOSE = "lose"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the manifest: `text` is in its document, `mark` in a tag."""

    name: str
    text: str
    mark: str
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Move:
    """A deed, so many seconds after so many requests of an operation have come, counted from the deed before it."""

    operation: str
    requests: int
    after_s: float
    deed: Deed
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the command, what comes before it, and what is done meanwhile.

    `passes_s`: how much time passes before it. `has_twin`: a copy of the ledger is used at the same moment.
    """

    entries: tuple[Entry, ...]
    passes_s: float
    wrong_s: float
    ledger: LedgerDeed | None
    verb: str
    deadline_s: int
    concurrency: int
    faults: tuple[Rule, ...]
    moves: tuple[Move, ...]
    has_twin: bool


@dataclass(frozen=True, slots=True)
class Mix:
    """All of it. `settings` are the emulator's; `foreign` attachments are planted before the first run."""

    seed: int
    horizon_s: int
    settings: Mapping[str, Any]
    foreign: int
    rounds: tuple[Round, ...]

    @property
    def has_twins(self) -> bool:
        """Whether two copies of a ledger are ever used at the same moment."""
        return any(each.has_twin for each in self.rounds)

    @property
    def lag_s(self) -> float:
        """How long after its create everything of an attachment can be seen."""
        return max(float(self.settings[name]) for name in ("listing_lag_s", "describe_lag_s", "tags_lag_s"))


def draw(seed: int) -> Mix:
    """The mix of this seed."""
    chance = random.Random(seed)
    horizon_s = chance.choice(HORIZONS_S)
    settings = _settings(chance, horizon_s)
    rounds: list[Round] = []
    entries = tuple(
        Entry(f"files/{number}.{_kind(number)}", f"{seed}/{number}", "first")
        for number in range(chance.randint(2, ITEMS_MAX - 2))
    )
    wrong_s = 0.0
    for number in range(chance.randint(3, ROUNDS_MAX)):
        if number and chance.random() < 0.5:
            entries = _edited(chance, entries, number)
        if chance.random() < 0.3:
            wrong_s = _signed(chance, WALL_STEPS_S)
        moves = _moves(chance, horizon_s)
        steps = [move.value for move in moves if move.deed is Deed.STEP]
        ledger = chance.choice(list(LedgerDeed)) if number and chance.random() < 0.4 else None
        rounds.append(
            Round(
                entries=entries,
                passes_s=chance.choice([0.0, 0.0, 1.0, horizon_s * 0.7, horizon_s * 1.5, 3600.0]),
                wrong_s=wrong_s,
                ledger=ledger,
                verb=chance.choice([*(["upload"] * 7), "reconcile", "prune"]),
                deadline_s=chance.choice(DEADLINES_S),
                concurrency=chance.choice([1, 3, 8]),
                faults=_faults(chance),
                moves=moves,
                has_twin=chance.random() < 0.04,
            )
        )
        wrong_s = steps[-1] if steps else wrong_s
    return Mix(seed, horizon_s, settings, chance.choice([0, 0, 3, 6]), tuple(rounds))


def _kind(number: int) -> str:
    return ("pdf", "png", "jpg")[number % 3]


def _signed(chance: random.Random, values: Sequence[float]) -> float:
    return chance.choice(values) * chance.choice([-1, 1])


def _settings(chance: random.Random, horizon_s: int) -> dict[str, Any]:
    lag_s = min(LAG_MAX_S, LAG_MAX_SHARE * horizon_s)

    def lag() -> float:
        return round(chance.uniform(0, lag_s), 2) if chance.random() < 0.4 else 0.0

    return {
        "seed": chance.randrange(1 << 30),
        "processing_s": chance.choice([0.0, 0.0, 0.3, 1.5]),
        "latency_s": chance.choice([0.0, 0.0, 0.02, 0.1]),
        "page_size": chance.choice([4, 100, 100]),
        "keeps_deleted": chance.random() < 0.5,
        "token_memory_s": horizon_s * chance.choice([1.25, 1.5, 3.0]) + 1,
        "known_token": chance.choice(["replay", "replay", "replay", "conflict", "validation"]),
        "is_mismatch_conflict": chance.random() < 0.5,
        "listing_lag_s": lag(),
        "describe_lag_s": lag(),
        "tags_lag_s": lag(),
        "tags_lag_answer": chance.choice(["empty", "not_found"]),
        "limits_lag_s": chance.choice([0.0, 0.0, 2.0, 3600.0]),
        "limits_used": chance.choice([None, None, None, 0, 3, 8]),
        "paging": chance.choice(["place", "offset"]),
        "next_token_life_s": chance.choice([None, None, None, 0.05, 5.0]),
    }


def _edited(chance: random.Random, entries: tuple[Entry, ...], number: int) -> tuple[Entry, ...]:
    """The manifest after somebody has changed it: each entry may change once, one may go, one may come."""
    edited: list[Entry] = []
    for entry in entries:
        match chance.choice(["content", "tags", "generation", *(["nothing"] * 5)]):
            case "content":
                edited.append(Entry(entry.name, f"{entry.text}.{number}", entry.mark, entry.generation))
            case "tags":
                edited.append(Entry(entry.name, entry.text, f"round {number}", entry.generation))
            case "generation":
                edited.append(Entry(entry.name, entry.text, entry.mark, entry.generation + 1))
            case _:
                edited.append(entry)
    if len(edited) > 1 and chance.random() < 0.3:
        edited.pop(chance.randrange(len(edited)))
    if len(edited) < ITEMS_MAX and chance.random() < 0.4:
        edited.append(Entry(f"files/new-{number}.{_kind(number)}", f"new {number}", "first"))
    return tuple(edited)


def _moves(chance: random.Random, horizon_s: int) -> tuple[Move, ...]:
    """What befalls a run. A kill or a signal comes last; most runs have one."""
    deeds = [Deed.SUSPEND, Deed.SUSPEND, Deed.STOP, Deed.STEP, Deed.DELETE_FOREIGN, Deed.BACKUP]
    chosen = chance.choices(deeds, k=chance.choice([0, 0, 1, 1, 2]))
    if chance.random() < 0.6:
        chosen.append(chance.choice([Deed.KILL, Deed.KILL, Deed.KILL, Deed.TERMINATE]))
    return tuple(_move(chance, deed, horizon_s) for deed in chosen)


def _move(chance: random.Random, deed: Deed, horizon_s: int) -> Move:
    match deed:
        case Deed.SUSPEND | Deed.STOP:
            value = chance.choice([*SLEEPS_S, horizon_s * 0.8, horizon_s * 2.0])
        case Deed.STEP:
            value = _signed(chance, WALL_STEPS_S)
        case _:
            value = round(chance.random(), 2)
    operation, requests = chance.choice([(CREATE, 4), (CREATE, 4), (CREATE, 4), (DESCRIBE, 3), (LIST_TAGS, 3)])
    return Move(operation, chance.randint(0, requests), round(chance.expovariate(8), 3), deed, value)


ENDLESS_BYTES = 400 << 20
"""More than the memory that a run may take."""
NO_OBJECTS = ('"Bad Gateway"', "null", "[]", "5", "true", "[{}]", "<html><body>Sign in</body></html>", "", "{")
WRONG_RECEIPTS = (
    '{"RegistrationAttachmentArn": 5, "RegistrationAttachmentId": "", "AttachmentStatus": []}',
    '{"RegistrationAttachmentArn": "arn:aws:sms-voice:eu-west-1:666666666666:registration-attachment/foreign",'
    ' "RegistrationAttachmentId": "foreign", "AttachmentStatus": "UPLOAD_COMPLETE", "CreatedTimestamp": 1800000000}',
    '{"RegistrationAttachmentArn": "a", "RegistrationAttachmentId": "\\ud800", "AttachmentStatus": "UPLOAD_COMPLETE"}',
    '{"RegistrationAttachmentId": "one", "CreatedTimestamp": 1e300, "AttachmentStatus": "UPLOAD_COMPLETE"}',
)
WRONG_PAGES = (
    '{"RegistrationAttachments": "none"}',
    '{"RegistrationAttachments": [5]}',
    '{"RegistrationAttachments": [{"CreatedTimestamp": -1e18}]}',
    '{"RegistrationAttachments": [], "NextToken": 5}',
)


def _faults(chance: random.Random) -> tuple[Rule, ...]:
    """A handful of faults, each with a share of the requests, in any order."""
    done_or_not = chance.random() < 0.5
    creates: list[dict[str, Any]] = [
        {"action": "throttle"},
        {"action": "internal_error"},
        {"action": "error_after"},
        {"action": "drop_before"},
        {"action": "drop_after"},
        {"action": "drop_after"},
        {"action": "drop_late", "seconds": chance.choice([0.05, 0.5])},
        {"action": "garbage"},
        {"action": "truncated"},
        {"action": "cut_short"},
        {"action": "hang", "seconds": chance.choice([0.2, 1.5]), "done": done_or_not},
        {"action": "slow", "seconds": chance.choice([0.2, 1.5])},
        {"action": "stall", "seconds": chance.choice([0.3, 2.0])},
        {"action": "trickle", "seconds": chance.choice([0.002, 0.1])},
        {"action": "endless", "size_bytes": ENDLESS_BYTES, "times": 1, "share": 0.5},
        _redirect(chance),
        _raw(chance, NO_OBJECTS),
        _raw(chance, WRONG_RECEIPTS, statuses=(200,)),
    ]
    reads: list[dict[str, Any]] = [
        {
            "action": chance.choice(
                ["throttle", "internal_error", "unavailable", "drop_before", "drop_after", "garbage"]
            )
        },
        {"action": "hang", "seconds": chance.choice([0.2, 1.5])},
        {"action": "trickle", "seconds": chance.choice([0.002, 0.1])},
        {"action": "endless", "size_bytes": ENDLESS_BYTES, "times": 1, "share": 0.5},
        _redirect(chance),
        _raw(chance, NO_OBJECTS),
    ]
    rules = [{"operation": CREATE, **rule} for rule in chance.sample(creates, chance.randint(1, 5))]
    rules += [
        {"operation": chance.choice([DESCRIBE, DESCRIBE, LIST_TAGS, LIMITS, TAG, UNTAG, IDENTITY]), **rule}
        for rule in chance.sample(reads, chance.randint(0, 2))
    ]
    if chance.random() < 0.2:
        rules.append({"operation": DESCRIBE, "action": "repeat_page"})
    if chance.random() < 0.2:
        rules.append({"operation": DESCRIBE, **_raw(chance, WRONG_PAGES, statuses=(200,))})
    if chance.random() < 0.1:
        rules.append({"operation": EVERY_OPERATION, "action": chance.choice(["drop_after", "drop_before"])})
    chance.shuffle(rules)
    return tuple({"share": chance.choice([0.05, 0.1, 0.2, 0.4]), **rule} for rule in rules)


def _redirect(chance: random.Random) -> dict[str, Any]:
    return {"action": "redirect", "status": chance.choice([301, 302, 303, 307, 308]), "location": THIEF}


def _raw(
    chance: random.Random, bodies: Sequence[str], *, statuses: Sequence[int] = (200, 200, 500, 502, 503)
) -> dict[str, Any]:
    return {"action": "raw", "status": chance.choice(statuses), "body": chance.choice(bodies)}
