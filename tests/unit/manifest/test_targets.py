"""The lanes of `targets`: from the manifest, from a file of targets, and from one of c7n-org."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.cursor import Loader
from batch_upload.manifest.reader import ledger_named_in, read_manifest, targets_named_in
from batch_upload.manifest.source import open_manifest
from batch_upload.manifest.targets import FILE_LIMIT_BYTES
from batch_upload.model import Manifest, Problem
from batch_upload.spelling import targets_lines, yaml_text
from batch_upload.targets import Target
from tests.unit.manifest.conftest import list_all

Write = Callable[..., Path]
Read = Callable[[str], Manifest]
ProblemsOf = Callable[..., list[Problem]]

END = "attachments:\n  - {file: a.pdf, target: all}\n"
HEAD = "version: 1\nbatch: fleet\n"
ACME = '{name: acme, account: "111122223333", regions: [us-east-1]}'


def places(problems: list[Problem]) -> list[tuple[str, int, int, str]]:
    return [(Path(each.file).name, each.at.line, each.at.column, each.code) for each in problems]


def test_each_region_of_a_target_is_a_lane_in_the_order_of_the_manifest(read: Read) -> None:
    manifest = read(
        f"{HEAD}targets:\n"
        '  defaults: {role_arn: "arn:aws:iam::{account}:role/up-{region}", profile: "{name}-{vars.env}",'
        " external_id: env:X, regions: [eu-west-1], groups: [all-of-them], vars: {env: prod, brand: none}}\n"
        "  list:\n"
        '    - {name: beta, account: 444455556666, regions: [us-west-2, us-east-1], groups: ["env:prod"],'
        " vars: {env: dev}}\n"
        '    - {name: acme, account: "111122223333", profile: own, role_arn: "arn:aws:iam::111122223333:role/x",'
        " external_id: abc}\n" + END
    )

    beta = Target(
        region="us-west-2",
        account="444455556666",
        profile="beta-dev",
        role_arn="arn:aws:iam::444455556666:role/up-us-west-2",
        external_id="env:X",
        name="beta",
        groups=frozenset({"env:prod"}),
        vars={"env": "dev", "brand": "none"},
    )
    assert [each.label for each in manifest.targets] == ["beta/us-west-2", "beta/us-east-1", "acme/eu-west-1"]
    assert manifest.targets[0] == beta
    assert manifest.targets[1].role_arn == "arn:aws:iam::444455556666:role/up-us-east-1"
    assert manifest.targets[2] == Target(
        region="eu-west-1",
        account="111122223333",
        profile="own",
        role_arn="arn:aws:iam::111122223333:role/x",
        external_id="abc",
        name="acme",
        groups=frozenset({"all-of-them"}),
        vars={"env": "prod", "brand": "none"},
    )
    assert manifest.are_targets_whole


def test_targets_may_follow_the_attachments(read: Read) -> None:
    manifest = read(f"{HEAD}{END}targets:\n  list:\n    - {ACME}\n")

    assert [each.label for each in manifest.targets] == ["acme/us-east-1"]


@pytest.mark.parametrize(
    "text",
    [
        '- {name: acme, account: "111122223333"}\n- {name: beta, account: "444455556666", regions: [us-west-2]}\n',
        'list:\n  - {name: acme, account: "111122223333"}\n'
        '  - {name: beta, account: "444455556666", regions: [us-west-2]}\n',
        'defaults: {regions: [us-west-2], profile: of-file}\nlist:\n  - {name: acme, account: "111122223333",'
        ' regions: [us-east-1]}\n  - {name: beta, account: "444455556666"}\n',
    ],
    ids=["list", "mapping", "defaults"],
)
def test_targets_of_a_file_come_before_those_of_the_list(text: str, write: Write, read: Read, loader: Loader) -> None:
    write(text, "accounts.yaml")

    manifest = read_manifest(
        write(
            f"{HEAD}targets:\n  defaults: {{regions: [us-east-1], profile: of-manifest}}\n  from: accounts.yaml\n"
            f'  list:\n    - {{name: gamma, account: "777788889999"}}\n{END}'
        ),
        loader=loader,
    )

    assert [each.label for each in manifest.targets] == ["acme/us-east-1", "beta/us-west-2", "gamma/us-east-1"]
    in_file = "of-file" if "of-file" in text else "of-manifest"
    assert [each.profile for each in manifest.targets] == [in_file, in_file, "of-manifest"]


def test_a_file_of_c7n_org_is_read_as_it_is(write: Write, read: Read) -> None:
    write(
        "vars: {owner: us, sizes: [1, 2]}\n"
        "accounts:\n"
        "- account_id: '123123123123'\n"
        "  name: account-1\n"
        "  display_name: Account One\n"
        "  email: a@example.com\n"
        "  regions:\n  - us-east-1\n  - us-west-2\n"
        "  role: arn:aws:iam::{account_id}:role/CloudCustodian\n"
        "  vars:\n    charge_code: xyz\n    owners: [a, b]\n    limits: {max: 1}\n    the empty:\n"
        "  tags: [type:prod, division:some, path:/Root/Prod]\n"
        "- account_id: 321321321321\n"
        "  role: [arn:aws:iam::321321321321:role/x]\n"
        "  external_id: abc\n"
        "subscriptions:\n- subscription_id: x\n",
        "accounts.yaml",
    )

    first, _, third = read(f"{HEAD}targets: {{from: accounts.yaml, defaults: {{regions: [eu-west-1]}}}}\n{END}").targets

    assert first == Target(
        region="us-east-1",
        account="123123123123",
        role_arn="arn:aws:iam::123123123123:role/CloudCustodian",
        name="account-1",
        groups=frozenset({"type:prod", "division:some", "path:/Root/Prod"}),
        vars={"owner": "us", "charge_code": "xyz"},
    )
    assert (third.name, third.region, third.role_arn) == (
        "321321321321",
        "eu-west-1",
        "arn:aws:iam::321321321321:role/x",
    )
    assert third.vars == {"owner": "us"}


def test_problems_of_the_file_are_reported_at_their_places_in_it_after_those_of_the_manifest(
    write: Write, problems_of: ProblemsOf
) -> None:
    write(
        "defaults: {regions: [us-east-1]}\n"
        "list:\n"
        '  - {name: acme, account: "111122223333"}\n'
        '  - {name: beta, account: "1234"}\n'
        "  - [gamma]\n"
        "more: 1\n",
        "accounts.yml",
    )
    path = write(
        f"{HEAD}targets:\n  from: accounts.yml\n  list:\n    - {ACME}\n"
        "attachments:\n  - {file: a.pdf, target: acm}\n  - {file: b.pdf, target: beta}\n"
    )

    problems = problems_of(path)

    assert places(problems) == [
        ("june.yaml", 6, 14, "duplicate-target"),
        ("june.yaml", 8, 27, "unknown-target"),
        ("accounts.yml", 4, 27, "account"),
        ("accounts.yml", 5, 5, "wrong-type"),
        ("accounts.yml", 6, 1, "unknown-key"),
    ]
    assert problems[0].message == "the target `acme` is listed in line 3 of `accounts.yml` already: rename one"
    assert problems[1].message == "`acm` is none of the manifest's targets: did you mean `acme`?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("accounts.yaml", 1, 1, "targets-file")]),
        ("text\n", [("accounts.yaml", 1, 1, "wrong-type")]),
        ("list: []\n", [("accounts.yaml", 1, 7, "empty-list")]),
        ("defaults: {regions: [us-east-1]}\n", [("accounts.yaml", 1, 1, "missing-key")]),
        ("- &a {name: acme}\n- *a\n", [("accounts.yaml", 1, 3, "anchor")]),
        ("- {name: acme, <<: x}\n", [("accounts.yaml", 1, 16, "merge-key")]),
        ("- !!python/object:os.system {name: acme}\n", [("accounts.yaml", 1, 3, "yaml-tag")]),
        ("- {name: [acme\n", [("accounts.yaml", 2, 1, "syntax")]),
        ("[" * 30, [("accounts.yaml", 1, 21, "too-deep")]),
        ("-\tname: acme\n", [("accounts.yaml", 1, 2, "syntax")]),
        ("list: [x]\n---\nlist: []\n", [("accounts.yaml", 2, 1, "second-document")]),
        ("accounts:\n- account_id: '123123123123'\n  role: [a, b]\n", [("accounts.yaml", 3, 9, "role-arn")]),
    ],
)
def test_a_file_of_targets_is_as_safe_as_a_manifest(
    text: str, expected: list[tuple[str, int, int, str]], write: Write, problems_of: ProblemsOf
) -> None:
    write(text, "accounts.yaml")

    found = places(problems_of(write(f"{HEAD}targets: {{from: accounts.yaml}}\n{END}")))

    assert set(expected) <= set(found)
    assert not [each for each in found if each[3] == "unknown-target"]


def test_a_file_of_targets_has_bounds(write: Write, problems_of: ProblemsOf, tmp_path: Path) -> None:
    large = write("# " + "x" * FILE_LIMIT_BYTES, "large.yaml")
    write(b"- \xff\n", "latin.yaml")
    (tmp_path / "folder").mkdir()
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "accounts.yaml").write_text(f"- {ACME}\n")
    (tmp_path / "link.yaml").symlink_to(elsewhere / "accounts.yaml")

    def of(name: str) -> list[tuple[str, int, int, str]]:
        return places(problems_of(write(f"{HEAD}targets: {{from: {name}}}\n{END}")))

    assert of("large.yaml") == [("large.yaml", 1, 1, "manifest-too-large")]
    assert of("latin.yaml") == [("latin.yaml", 1, 3, "not-utf-8")]
    assert of("folder") == of("gone.yaml") == [("june.yaml", 3, 17, "targets-file")]
    assert of("link.yaml") == of(f"../{elsewhere.name}/accounts.yaml") == [("june.yaml", 3, 17, "outside")]
    assert list_all(write(f"{HEAD}targets: {{from: link.yaml}}\n{END}"), allow_outside=True)[1] == ()
    with open_manifest(large) as file:
        assert file.read(1) == b"#"


def test_an_account_without_quotes_is_text_as_everywhere(read: Read, problems_of: ProblemsOf, write: Write) -> None:
    good = read(f"{HEAD}targets:\n  list:\n    - {{name: a, account: 012345678901, regions: [us-east-1]}}\n{END}")
    bad = problems_of(write(f"{HEAD}targets:\n  list:\n    - {{name: a, account: 1234, regions: [us-east-1]}}\n{END}"))

    assert good.targets[0].account == "012345678901"
    assert [each.message for each in bad] == ["`account` must be 12 digits: `1234`"]


def test_names_of_targets_are_read_without_their_entries(write: Write) -> None:
    path = write(f"{HEAD}ledger: x.ledger\ntargets:\n  from: gone.yaml\n  list:\n    - {ACME}\n{END}")

    assert [each.label for each in targets_named_in(path)] == ["acme/us-east-1"]
    assert ledger_named_in(path) == "x.ledger"
    assert targets_named_in(write("[")) == ()


def test_targets_of_a_manifest_without_any_cannot_be_chosen(write: Write) -> None:
    path = write(f"{HEAD}attachments:\n  - file: a.pdf\n")

    with pytest.raises(UsageError, match="needs a manifest with `targets`"):
        list_all(path, targets=("acme",))


def test_a_broken_target_hides_no_unknown_name_and_raises_no_usage_error(write: Write, problems_of: ProblemsOf) -> None:
    path = write(
        f"{HEAD}targets:\n  list:\n    - {ACME}\n    - {{name: beta, account: 1, regions: [us-east-1], groups: [g]}}\n"
        "attachments:\n  - {file: a.pdf, target: [beta, beta/us-east-1, 'group:g', all]}\n"
        "  - {file: b.pdf, target: x}\n"
    )

    assert [(each.at.line, each.code) for each in problems_of(path)] == [(6, "account"), (9, "unknown-target")]
    assert [(each.at.line, each.code) for each in list_all(path, targets=("beta",))[1]] == [
        (6, "account"),
        (9, "unknown-target"),
    ]


NAMES = st.sampled_from(["a", "b-1", "c.d", "NO", "0123", "123456789012"])
REGIONS = st.lists(st.sampled_from(["us-east-1", "us-west-2", "eu-west-1"]), min_size=1, max_size=3, unique=True)
ROLES = st.sampled_from(
    [None, "x", "up-{region}", "{region}-us-east-1-{region}", "us-east-1", "a{{b}}", "{region}{region}"]
)
GROUPS = st.lists(st.sampled_from(["g", "env:prod", "path:/a/b", "{x}", "NO", "'"]), max_size=2, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    targets=st.lists(
        st.tuples(NAMES, REGIONS, ROLES, ROLES, GROUPS), min_size=1, max_size=4, unique_by=lambda each: each[0]
    )
)
def test_targets_that_are_written_are_read_back_as_the_same_lanes(
    targets: list[tuple[str, list[str], str | None, str | None, list[str]]], write: Write
) -> None:
    lines = [f"{HEAD}targets:\n  list:\n"]
    for number, (name, regions, role, profile, groups) in enumerate(targets):
        account = f"{100_000_000_000 + number}"
        lines.append(f'    - name: "{name}"\n      account: "{account}"\n      regions: [{", ".join(regions)}]\n')
        if role is not None:
            lines.append(f'      role_arn: "arn:aws:iam::{{account}}:role/{role}"\n')
        if profile is not None:
            lines.append(f'      profile: "{profile}"\n')
        lines.append(f"      groups: [{', '.join(yaml_text(each) for each in groups)}]\n")
    try:
        first = read_manifest(write("".join(lines) + END)).targets
    except ManifestInvalid as error:
        raise AssertionError(error.problems) from error

    again = read_manifest(write(HEAD + "\n".join(targets_lines(first, yaml_text)) + "\n" + END)).targets

    assert again == first
