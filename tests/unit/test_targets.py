"""The lanes of a manifest by the names of `--target`, and the settings of a run and of its lanes."""

import re
from pathlib import Path

import pytest

from batch_upload.errors import UsageError
from batch_upload.settings import RunOptions, settings_of, settings_of_lane
from batch_upload.targets import LaneChoice, Shard, Target

TARGETS = tuple(
    Target(
        region=region, account=account, name=name, groups=frozenset(groups), profile=profile, role_arn=f"{name}-role"
    )
    for name, account, region, groups, profile in (
        ("acme", "111122223333", "us-east-1", ["tier1"], None),
        ("acme", "111122223333", "us-west-2", ["tier1"], None),
        ("beta", "444455556666", "us-east-1", [], "of-beta"),
    )
)
PATH = Path("fleet.yaml")


def test_names_choose_lanes_in_the_order_of_the_manifest() -> None:
    def labels(*names: str) -> list[str | None]:
        return [each.label for each in LaneChoice(names).of(TARGETS)]

    assert labels() == labels("all") == labels("beta", "acme") == ["acme/us-east-1", "acme/us-west-2", "beta/us-east-1"]
    assert labels("beta", "acme/us-west-2") == ["acme/us-west-2", "beta/us-east-1"]
    assert labels("group:tier1", "acme/us-east-1") == ["acme/us-east-1", "acme/us-west-2"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("acne", "did you mean `acme`?"),
        ("beta/us-west-2", "`beta` has `beta/us-east-1`"),
        ("group:tier", "did you mean `group:tier1`?"),
        ("zzzzz", "there are `acme`, `beta`"),
    ],
)
def test_a_name_that_stands_for_no_target_is_refused_with_what_was_probably_meant(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        LaneChoice(("acme", name)).of(TARGETS)

    assert (refused.value.message, refused.value.hint) == (f"`--target {name}` is none of the manifest's targets", hint)


def test_a_run_of_several_lanes_takes_no_region_and_each_lane_has_its_own() -> None:
    environ = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}

    settings = settings_of(RunOptions(profile="mine"), manifest=PATH, targets=TARGETS, environ=environ)
    first, _, third = (settings_of_lane(settings, each) for each in TARGETS)

    assert settings.region is None
    assert (first.region, first.account, first.role_arn, first.profile) == (
        "us-east-1",
        "111122223333",
        "acme-role",
        "mine",
    )
    assert (third.profile, third.lane_label) == ("of-beta", "beta/us-east-1")
    with pytest.raises(UsageError, match="--region") as refused:
        settings_of(RunOptions(region="us-east-1"), manifest=PATH, targets=TARGETS)
    assert refused.value.hint == "`--target NAME/us-east-1` chooses one"


def test_targets_are_checked_where_the_manifest_is_known() -> None:
    options = RunOptions(targets=("acme",))

    assert settings_of(options, manifest=PATH, targets=TARGETS).targets == ("acme",)
    assert settings_of(options, manifest=PATH).targets == ("acme",)
    with pytest.raises(UsageError, match="needs a manifest with `targets`"):
        settings_of(options, manifest=PATH, targets=())
    assert settings_of(RunOptions(region="us-east-1"), manifest=PATH, targets=()).region == "us-east-1"


VECTORS = {
    "111122223333/us-east-1": (0, 6, 78),
    "111122223333/us-west-2": (1, 5, 917),
    "444455556666/us-east-1": (1, 1, 281),
    "123456789012/eu-central-1": (0, 6, 534),
}
"""The shards of lanes for N of 2, 8 and 1000, as `sha256sum` and `bc` compute them."""


@pytest.mark.parametrize(("lane", "indexes"), VECTORS.items())
def test_a_lane_is_in_the_shard_that_its_sha256_says(lane: str, indexes: tuple[int, int, int]) -> None:
    account, _, region = lane.partition("/")
    target = Target(region=region, account=account, name="any")

    found = [[index for index in range(count) if Shard(index, count).has(target)] for count in (2, 8, 1000)]

    assert found == [[index] for index in indexes]


def test_shards_share_out_all_lanes_and_no_lane_twice() -> None:
    lanes = [Target(region=region, account=f"{10**11 + n}", name=f"t{n}") for n in range(100) for region in ("a", "b")]

    parts = [LaneChoice(shard=Shard(index, 7)).of(lanes) for index in range(7)]

    assert sorted(each.label or "" for part in parts for each in part) == sorted(each.label or "" for each in lanes)
    assert all(10 <= len(part) <= 50 for part in parts)


def test_a_shard_of_named_targets_is_what_both_mean() -> None:
    parts = [LaneChoice(("acme",), Shard(index, 2)).of(TARGETS) for index in range(2)]

    assert sorted(each.label or "" for part in parts for each in part) == ["acme/us-east-1", "acme/us-west-2"]


def test_one_lane_without_a_name_cannot_be_shared_out() -> None:
    with pytest.raises(UsageError) as refused:
        LaneChoice(shard=Shard(0, 2)).of(())

    assert refused.value.message == "`--shard 0/2` needs a manifest with `targets`"
    assert refused.value.hint == "this manifest has one lane: leave `--shard` out"


def test_the_document_has_these_vectors() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet-schedulers.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([0-9]{12}/[a-z0-9-]+)` \| `[0-9a-f]{16}` \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE
    )

    assert {lane: tuple(map(int, indexes)) for lane, *indexes in rows} == VECTORS
