"""Names of targets from the names of accounts, and the file that they are written to."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.manifest.account_targets import AccountTarget, targets_file_lines, targets_of_accounts
from batch_upload.manifest.rules import TARGET_NAME_PATTERN

ROLE = "arn:aws:iam::{account}:role/uploader"
ACCOUNT_NAMES = st.dictionaries(
    st.integers(0, 10**12 - 1).map("{:012d}".format),
    st.one_of(
        st.text(min_size=1, max_size=140), st.sampled_from(["all", "ALL", "prod", "Prod", "prod!", "111122223333"])
    ),
    min_size=1,
)


def names(account_names: dict[str, str]) -> list[str]:
    return [each.name for each in targets_of_accounts(account_names)]


@pytest.mark.parametrize(
    ("account_name", "name"),
    [
        ("Acme", "Acme"),
        ("acme-prod.eu_1", "acme-prod.eu_1"),
        ("Acme Corp / EU: production", "Acme-Corp-EU-production"),
        ("Söhne & Co", "Sohne-Co"),
        ("--x--", "x"),
        ("日本", "111122223333"),
        ("all", "all-111122223333"),
        ("x" * 128, "x" * 128),
    ],
)
def test_a_name_keeps_what_a_target_may_have(account_name: str, name: str) -> None:
    assert names({"111122223333": account_name}) == [name]


def test_accounts_with_names_alike_all_get_their_id_whatever_the_order() -> None:
    alike = {"444455556666": "Prod", "111122223333": "prod", "777788889999": "other"}

    assert names(alike) == ["prod-111122223333", "Prod-444455556666", "other"]
    assert names(dict(reversed(alike.items()))) == names(alike)


@given(ACCOUNT_NAMES)
def test_every_account_has_one_valid_name_that_no_other_has_in_any_case(account_names: dict[str, str]) -> None:
    made = targets_of_accounts(account_names)

    assert [each.account for each in made] == sorted(account_names)
    assert [each.name for each in made if not re.fullmatch(TARGET_NAME_PATTERN, each.name)] == []
    assert len({each.name.casefold() for each in made}) == len(made)


@given(ACCOUNT_NAMES)
def test_the_file_reads_back_as_it_was_meant(account_names: dict[str, str]) -> None:
    made = targets_of_accounts(account_names)

    text = "\n".join(targets_file_lines(made, role_arn=ROLE, regions=["us-east-1", "eu-west-1"]))

    assert yaml.load(text, Loader=yaml.BaseLoader) == {  # noqa: S506 - texts only
        "defaults": {"role_arn": ROLE},
        "list": [{"name": each.name, "account": each.account, "regions": ["us-east-1", "eu-west-1"]} for each in made],
    }


def test_an_account_whose_name_was_changed_is_named_in_a_comment() -> None:
    made = [AccountTarget("acme", "111122223333", "acme"), AccountTarget("Beta-Co", "444455556666", "Beta & Co\n")]

    lines = list(targets_file_lines(made, role_arn=ROLE, regions=[]))

    assert lines[-2] == '  - {name: acme, account: "111122223333"}'
    assert lines[-1].startswith('  - {name: Beta-Co, account: "444455556666"}  # Beta & Co')
    assert "\n" not in lines[-1]
