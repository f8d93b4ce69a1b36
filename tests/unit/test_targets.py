"""The lanes of a manifest by the names of `--target`, and the settings of a run and of its lanes."""

from pathlib import Path

import pytest

from batch_upload.errors import UsageError
from batch_upload.settings import RunOptions, settings_of, settings_of_lane
from batch_upload.targets import Target, chosen_targets

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
        return [each.label for each in chosen_targets(TARGETS, names)]

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
        chosen_targets(TARGETS, ["acme", name])

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
