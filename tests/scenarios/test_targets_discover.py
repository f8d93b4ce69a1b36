"""`targets discover`: the active accounts of an organization become a file of targets to review."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import pdf
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

CUSTOMERS, SMALL = "ou-emul-customers", "ou-emul-smallones"
ORGANIZATION: dict[str, Any] = {
    "units": [{"id": CUSTOMERS, "name": "Customers"}, {"id": SMALL, "name": "Small", "parent": CUSTOMERS}],
    "accounts": [
        {"id": "999988887777", "name": "Management"},
        {"id": "444455556666", "name": "Beta / EU", "parent": CUSTOMERS},
        {"id": "111122223333", "name": "acme", "parent": SMALL},
        {"id": "222233334444", "name": "gone", "parent": SMALL, "state": "SUSPENDED"},
    ],
}
HEAD = """\
# Review this list, then name the file in a manifest: `targets: {from: FILE}`.
defaults:
  role_arn: "arn:aws:iam::{account}:role/uploader"
list:
"""
DISCOVER = ("targets", "discover", "--role", "uploader")


@pytest.fixture
def organization(endpoint: Endpoint) -> Endpoint:
    endpoint.change(organization=ORGANIZATION)
    return endpoint


def ran(command: Preloaded, endpoint: Endpoint, folder: Path, *arguments: str) -> Result:
    return command.run(*DISCOVER, *arguments, cwd=folder, env=endpoint.env)


def test_the_active_accounts_are_written_with_names_that_a_manifest_takes(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    ended = ran(
        command,
        organization,
        tmp_path,
        "--region",
        "us-east-1",
        "--region",
        "us-west-2",
        "-o",
        "accounts.yaml",
        "--json",
    )

    regions = "regions: [us-east-1, us-west-2]"
    assert (tmp_path / "accounts.yaml").read_text() == HEAD + (
        f'  - {{name: acme, account: "111122223333", {regions}}}\n'
        f'  - {{name: Beta-EU, account: "444455556666", {regions}}}  # Beta / EU\n'
        f'  - {{name: Management, account: "999988887777", {regions}}}\n'
    )
    assert (ended.code, ended.summary["verb"]) == (0, "targets discover")
    assert ended.summary["requests"] == {"ListAccounts": 1}
    assert [(line["target"], line["account"], line["account_name"]) for line in ended.events[:-1]] == [
        ("acme", "111122223333", "acme"),
        ("Beta-EU", "444455556666", "Beta / EU"),
        ("Management", "999988887777", "Management"),
    ]


def test_a_unit_stands_for_all_units_below_it(command: Preloaded, organization: Endpoint, tmp_path: Path) -> None:
    below = ran(command, organization, tmp_path, "--ou", CUSTOMERS)
    inside = ran(command, organization, tmp_path, "--ou", SMALL)

    assert (below.code, inside.code) == (0, 0)
    assert below.stdout == HEAD + (
        '  - {name: acme, account: "111122223333"}\n  - {name: Beta-EU, account: "444455556666"}  # Beta / EU\n'
    )
    assert inside.stdout == HEAD + '  - {name: acme, account: "111122223333"}\n'


def test_what_is_written_is_told_and_what_comes_next(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    ended = ran(command, organization, tmp_path, "-o", "accounts.yaml")

    assert "3 accounts in `accounts.yaml`" in ended.stderr + ended.stdout
    assert "`targets: {from: accounts.yaml}`, and `targets.defaults.regions` there" in ended.stderr + ended.stdout


def test_a_file_that_exists_is_replaced_by_force_only(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.yaml"
    path.write_text("mine\n")

    refused = ran(command, organization, tmp_path, "-o", "accounts.yaml")
    kept = path.read_text()
    organization.assert_untouched()
    forced = ran(command, organization, tmp_path, "-o", "accounts.yaml", "--force")

    assert (refused.code, kept) == (2, "mine\n")
    assert "`accounts.yaml` exists already, nothing was written" in refused.stderr
    assert (forced.code, path.read_text().startswith(HEAD)) == (0, True)


def test_accounts_of_several_pages_are_all_listed_and_a_throttled_page_is_asked_for_again(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    accounts = [{"id": f"{number:012d}", "name": f"account {number}"} for number in range(25)]
    endpoint.change(organization={"accounts": accounts})
    endpoint.faults({"action": "throttle", "operation": "ListAccounts", "times": 1})

    ended = ran(command, endpoint, tmp_path, "-o", "accounts.yaml", "--json")

    assert (ended.code, len(ended.events) - 1) == (0, 25)
    assert (ended.summary["requests"], ended.summary["throttled"]) == ({"ListAccounts": 3}, 1)


def test_a_missing_permission_is_named_and_nothing_is_written(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    organization.change(deny=["ListAccounts"])

    ended = ran(command, organization, tmp_path, "-o", "accounts.yaml", "--json")

    assert (ended.code, ended.summary["exit"]["name"]) == (22, "access")
    assert "ListAccounts" in ended.stderr
    assert not (tmp_path / "accounts.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ou", "ou-emul-unknownone"], "the organization has no unit `ou-emul-unknownone`"),
        (["--ou", "Customers"], "`--ou Customers` is not the id of a unit or a root"),
        (["--ou", SMALL, "--ou", SMALL], f"`--ou {SMALL}` is given twice"),
        (["--region", "us_east_1"], "`--region us_east_1` is not a Region"),
        (["--role", "a role"], "`--role a role` is not the name of a role"),
        (["--role", "arn:aws:iam::111122223333:role/x"], "is not the ARN of a role in each account"),
        (["--json"], "`targets discover --json` needs `-o FILE`"),
    ],
)
def test_arguments_that_cannot_be_are_the_callers_fault(
    command: Preloaded, organization: Endpoint, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = ran(command, organization, tmp_path, *arguments)

    assert ended.code == 2
    assert message in ended.stderr


def test_an_organization_without_active_accounts_gives_no_file(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.change(organization={"accounts": [{"id": "111122223333", "name": "a", "state": "CLOSED"}]})

    ended = ran(command, endpoint, tmp_path, "-o", "accounts.yaml")

    assert ended.code == 2
    assert "there is no active account in the organization, nothing was written" in ended.stderr
    assert not (tmp_path / "accounts.yaml").exists()


def test_a_role_may_have_a_path_or_be_an_arn_of_another_partition(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    with_path = ran(command, organization, tmp_path, "--role", "ops/uploader")
    china = ran(command, organization, tmp_path, "--role", "arn:aws-cn:iam::{account}:role/uploader")

    assert 'role_arn: "arn:aws:iam::{account}:role/ops/uploader"' in with_path.stdout
    assert 'role_arn: "arn:aws-cn:iam::{account}:role/uploader"' in china.stdout


def test_a_manifest_takes_the_file_as_it_was_written(
    command: Preloaded, organization: Endpoint, tmp_path: Path
) -> None:
    ran(command, organization, tmp_path, "--region", "us-east-1", "--region", "us-west-2", "-o", "accounts.yaml")
    (tmp_path / "letter.pdf").write_bytes(pdf("letter"))
    (tmp_path / "june.yaml").write_text(
        "version: 1\nbatch: june\ntargets: {from: accounts.yaml}\ndefaults: {target: all}\n"
        "attachments:\n  - file: letter.pdf\n"
    )

    ended = command.run("upload", "june.yaml", "--rate", "100", "--json", cwd=tmp_path, env=organization.env)

    assert (ended.code, ended.summary["states"]) == (0, {"complete": 6})
    assert sorted((lane["target"], lane["account"], lane["region"]) for lane in ended.summary["lanes"]) == [
        (f"{name}/{region}", account, region)
        for name, account in (("Beta-EU", "444455556666"), ("Management", "999988887777"), ("acme", "111122223333"))
        for region in ("us-east-1", "us-west-2")
    ]
