"""Manifests for many lanes with generated files beside them, and what each lane must hold once they are uploaded."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.batches import pdf
from tests.support.bound_fields import FieldPlace, Fields, bind_line, bind_of

ROLE = "uploader"
BATCH = "fleet-2026"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A manifest `fleet.yaml` with `targets` in `folder`. `digests`: the SHA-256 of each lane's items, by its label."""

    folder: Path
    accounts: Mapping[str, str]
    """By the target's name."""
    regions: Sequence[str]
    digests: Mapping[str, Sequence[str]]
    fields: Fields = field(default_factory=dict)
    """Of a manifest that binds: what goes into which field."""

    @property
    def path(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def ledger(self) -> Path:
        return self.folder / "fleet.ledger"

    @property
    def labels(self) -> list[str]:
        return list(self.digests)

    @property
    def items(self) -> dict[str, int]:
        """How many items each lane has, by its label."""
        return {label: len(digests) for label, digests in self.digests.items()}

    def lane(self, label: str) -> str:
        """Return a lane as the emulator names it: `111122223333/us-east-1`."""
        name, _, region = label.partition("/")
        return f"{self.accounts[name]}/{region}"


def make_fleet(
    folder: Path,
    *,
    accounts: int,
    regions: Sequence[str] = ("us-east-1", "us-west-2"),
    items: int = 3,
    without_role: Collection[str] = (),
    in_one_region: Collection[str] = (),
    first_account: int = 100_000_000_000,
    is_bound: bool = False,
) -> Fleet:
    """Write a manifest of so many accounts, and the same number of items for each of their lanes.

    Half of the items go to all Regions of an account by one entry, the others are one lane's own. `without_role`: the
    names of targets whose account no role leads to, so that they get the caller's own. `in_one_region`: the names of
    targets that are in the first Region only. `is_bound`: every item has a `bind`, two of them for each registration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"t{number:03}": f"{first_account + number}" for number in range(accounts)}
    digests: defaultdict[str, list[str]] = defaultdict(list)
    listed: list[str] = []
    entries: list[str] = []
    fields: dict[FieldPlace, str] = {}
    for name, account in named.items():
        role = "" if name in without_role else f', role_arn: "arn:aws:iam::{account}:role/{ROLE}"'
        own_regions = regions[:1] if name in in_one_region else regions
        own = f", regions: [{', '.join(own_regions)}]" if name in in_one_region else ""
        listed.append(f'    - {{name: {name}, account: "{account}"{role}{own}}}')
        (folder / name).mkdir(exist_ok=True)
        for number in range(items):
            labels = [f"{name}/{region}" for region in own_regions]
            targets = [name] if number % 2 == 0 else labels
            for target in targets:
                source = f"{name}/{target.partition('/')[2] or 'all'}-{number}.pdf"
                content = pdf(f"{target} {number}")
                (folder / source).write_bytes(content)
                digest = hashlib.sha256(content).hexdigest()
                for label in labels if target == name else [target]:
                    digests[label].append(digest)
                    if is_bound:
                        region = label.partition("/")[2]
                        fields[FieldPlace(f"{account}/{region}", *bind_of(number, f"{name}-{region}-"))] = digest
                bind = f", {bind_line(*bind_of(number, '{target}-{region}-'))}" if is_bound else ""
                entries.append(f"  - {{file: {source}, target: {target}{bind}}}")
    text = [
        "version: 1",
        f"batch: {BATCH}",
        "targets:",
        f"  defaults: {{regions: [{', '.join(regions)}]}}",
        "  list:",
        *listed,
        "defaults:",
        '  tags: {Customer: "{target}"}',
        "  check: bytes",  # these documents are no more than their first bytes
        "attachments:",
        *entries,
    ]
    fleet = Fleet(folder, named, regions, digests, fields)
    fleet.path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return fleet


def assert_each_once_in_each_lane(
    attachments: Sequence[Mapping[str, Any]], fleet: Fleet, labels: Sequence[str]
) -> None:
    """Assert that these lanes hold each of their items once, byte for byte, and nothing else."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    for each in attachments:
        held[f"{each['account']}/{each['region']}"].append(each["sha256"])
    tokens = Counter((each["account"], each["region"], each["client_token"]) for each in attachments)
    assert max(tokens.values(), default=0) <= 1
    wanted = {label: sorted(fleet.digests[label]) for label in labels}
    assert {label: sorted(held[fleet.lane(label)]) for label in labels} == wanted
