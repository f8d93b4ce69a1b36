"""The lanes that a manifest names, and which of them a name means."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from batch_upload.errors import UsageError

GROUP_PREFIX = "group:"
"""Begins the name of a group of targets."""
NAMES_SHOWN = 10
"""Names of targets in a message."""


@dataclass(frozen=True, slots=True)
class Target:
    """A lane as the manifest names it. A value that the manifest does not give is None.

    `name`, `region` and `account` are given where the manifest has `targets`; one of its targets with several Regions
    is a `Target` for each of them.
    """

    region: str | None = None
    account: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    """As the manifest has it: `env:NAME` names a variable that has the value; any other text is the value."""
    name: str | None = None
    """None for the only lane of a manifest without `targets`."""
    groups: frozenset[str] = frozenset()
    vars: Mapping[str, str] = field(default_factory=dict)
    """Values for `{vars.NAME}` in templates."""

    @property
    def label(self) -> str | None:
        """`acme/us-east-1`: unique in a manifest with `targets`. None for the only lane of a manifest without."""
        return None if self.name is None else f"{self.name}/{self.region}"


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count` parts of all lanes, `index` from 0 to `count - 1`.

    A lane belongs to the shard whose index is the SHA-256 of `ACCOUNT/REGION`, read as one big-endian number, modulo
    `count`. That never changes from version to version: docs/fleet-schedulers.md has vectors.
    """

    index: int
    count: int

    def has(self, target: Target) -> bool:
        """Return whether the lane of a target, whose account and Region are known, belongs to the shard."""
        digest = hashlib.sha256(f"{target.account}/{target.region}".encode()).digest()
        return int.from_bytes(digest, "big") % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class LaneChoice:
    """The lanes that `--target` and `--shard` choose: those that both mean, where both are given."""

    names: tuple[str, ...] = ()
    """Each is a target's name (all its Regions), `NAME/REGION`, `group:NAME` or `all`; empty for all lanes."""
    shard: Shard | None = None

    @property
    def is_all(self) -> bool:
        """Whether neither was given."""
        return not self.names and self.shard is None

    def of(self, targets: Sequence[Target], *, what: str = "manifest") -> tuple[Target, ...]:
        """Return the chosen targets in their order; none if the shard has none of them.

        `what` has the targets, a manifest or a ledger. Raises UsageError for a name that means no target, and for any
        choice where there are no targets.
        """
        if not targets and not self.is_all:
            flag = f"--target {self.names[0]}" if self.names else f"--shard {self.shard}"
            raise UsageError(
                f"`{flag}` needs a {what} with `targets`",
                hint=f"this {what} has one lane: leave `{flag.split()[0]}` out",
            )
        named = _named_targets(targets, self.names, what=what)
        return named if self.shard is None else tuple(each for each in named if self.shard.has(each))


ALL_LANES = LaneChoice()


def _named_targets(targets: Sequence[Target], names: Sequence[str], *, what: str) -> tuple[Target, ...]:
    if not names:
        return tuple(targets)
    chosen: set[str | None] = set()
    for name in names:
        found = [each for each in targets if is_target_named(each, name)]
        if not found:
            raise UsageError(f"`--target {name}` is none of the {what}'s targets", hint=target_advice(name, targets))
        chosen.update(each.label for each in found)
    return tuple(each for each in targets if each.label in chosen)


def target_advice(name: str, targets: Sequence[Target]) -> str:
    """Return what was probably meant by a name that means none of the targets, or which names there are."""
    known = [*dict.fromkeys(each.name or "" for each in targets)]
    bare, slash, _ = name.partition("/")
    if slash and bare in known:
        labels = [each.label or "" for each in targets if each.name == bare]
        return f"`{bare}` has {_some(labels)}"
    if name.startswith(GROUP_PREFIX):
        known = sorted({f"{GROUP_PREFIX}{group}" for each in targets for group in each.groups})
        if not known:
            return "no target has `groups`"
        bare = name
    close = get_close_matches(bare, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"there are {_some(known)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{each}`" for each in names[:NAMES_SHOWN])
    return f"{shown}, …" if len(names) > NAMES_SHOWN else shown


def is_target_named(target: Target, name: str) -> bool:
    """Return whether `acme`, `acme/us-east-1`, `group:tier1` or `all` means a target, alone or with others."""
    if name.startswith(GROUP_PREFIX):
        return name.removeprefix(GROUP_PREFIX) in target.groups
    return name in ("all", target.name, target.label)


def ids_in_lane(names: frozenset[str], target: Target) -> frozenset[str]:
    """Return the names, and of each `acme/us-east-1:ID` also the id that it has in its own lane (`id_in_lane`)."""
    return names | {id_in_lane(name, target) for name in names}


def id_in_lane(name: str, target: Target) -> str:
    """Return the id that `acme/us-east-1:ID` has in its own lane; in every other lane the name is an id as it is."""
    return name if target.label is None else name.removeprefix(f"{target.label}:")


def id_with_lane(label: str | None, item_id: str) -> str:
    """Return an id as `--only` takes it: `acme/us-east-1:ID`; without a label the id as it is."""
    return item_id if label is None else f"{label}:{item_id}"
