"""Manifests for many lanes with generated files beside them, and what each lane must hold once they are uploaded."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.batches import pdf

ROLE = "uploader"
BATCH = "fleet-2026"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A manifest `fleet.yaml` with `targets` in `folder`. `items`: how many each lane has, by its label."""

    folder: Path
    accounts: Mapping[str, str]
    """By the target's name."""
    regions: Sequence[str]
    items: Mapping[str, int]

    @property
    def path(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def labels(self) -> list[str]:
        return [f"{name}/{region}" for name in self.accounts for region in self.regions]

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
) -> Fleet:
    """Write a manifest of so many accounts, and the same number of items for each of their lanes.

    Half of the items go to all Regions of an account by one entry, the others are one lane's own. `without_role`: the
    names of targets whose account no role leads to, so that they get the caller's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"t{number:03}": f"{100_000_000_000 + number}" for number in range(accounts)}
    listed: list[str] = []
    entries: list[str] = []
    for name, account in named.items():
        role = "" if name in without_role else f', role_arn: "arn:aws:iam::{account}:role/{ROLE}"'
        listed.append(f'    - {{name: {name}, account: "{account}"{role}}}')
        (folder / name).mkdir(exist_ok=True)
        for number in range(items):
            targets = [name] if number % 2 == 0 else [f"{name}/{region}" for region in regions]
            for target in targets:
                source = f"{name}/{target.partition('/')[2] or 'all'}-{number}.pdf"
                (folder / source).write_bytes(pdf(f"{target} {number}"))
                entries.append(f"  - {{file: {source}, target: {target}}}")
    text = [
        "version: 1",
        f"batch: {BATCH}",
        "targets:",
        f"  defaults: {{regions: [{', '.join(regions)}]}}",
        "  list:",
        *listed,
        "defaults:",
        '  tags: {Customer: "{target}"}',
        "attachments:",
        *entries,
    ]
    fleet = Fleet(folder, named, regions, {f"{name}/{region}": items for name in named for region in regions})
    fleet.path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return fleet


def assert_each_once_in_each_lane(
    attachments: Sequence[Mapping[str, Any]], fleet: Fleet, labels: Sequence[str]
) -> None:
    """Assert that these lanes hold each of their items once, and nothing else."""
    held = Counter(f"{each['account']}/{each['region']}" for each in attachments)
    tokens = Counter((each["account"], each["region"], each["client_token"]) for each in attachments)
    assert max(tokens.values(), default=0) <= 1
    assert {label: held[fleet.lane(label)] for label in labels} == {label: fleet.items[label] for label in labels}
