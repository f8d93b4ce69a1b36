"""`manifest new` with targets: what is written is what `validate` accepts, lane by lane, or problems of the rows."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_upload.app.items import list_items
from batch_upload.app.new_manifest import NewManifest, NewManifestOptions, new_manifest
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.from_table import WantedBind
from batch_upload.manifest.new import manifest_lines
from batch_upload.targets import Target
from tests.support.batches import pdf

COLUMNS = ("file", "id", "Customer", "Account", "Region", "Country")
FILES = ("a.pdf", "b{1}.pdf", "{target}.pdf")
ROLE = "arn:aws:iam::{account}:role/up-{region}"


def made_of(folder: Path, rows: Sequence[Sequence[str]], **options: object) -> NewManifest:
    for name in FILES:
        (folder / name).write_bytes(pdf(name))
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return new_manifest(
        folder / "rows.csv",
        NewManifestOptions(folder=folder.resolve(), target_column="customer", **options),  # type: ignore[arg-type]
    )


def read_back(folder: Path, made: NewManifest) -> list[tuple[str | None, str, str, str | None]]:
    """Return lane, id, source and role of each attachment of the manifest that was written."""
    path = folder / "made.yaml"
    path.write_text("".join(f"{line}\n" for line in manifest_lines(made.manifest, targets_file=made.targets_file)))
    manifest, listed = list_items(path, allow_outside=False)
    roles = {each.label: each.role_arn for each in manifest.targets}
    assert len(listed) == made.attachments
    return [(each.lane_label, each.item_id, each.source, roles[each.lane_label]) for each in listed]


def test_rows_of_several_targets_become_one_manifest(tmp_path: Path) -> None:
    rows = [
        ("a.pdf", "", "acme", "111122223333", "us-east-1", "NO"),
        ("a.pdf", "", "acme", "", "us-west-2", ""),
        ("b{1}.pdf", "{x}", "acme", "", "", ""),
        ("{target}.pdf", "", "beta", "444455556666", "us-east-1", ""),
    ]

    made = made_of(tmp_path, rows, target=Target(role_arn=ROLE))

    role = "arn:aws:iam::111122223333:role/up-"
    assert read_back(tmp_path, made) == [
        ("acme/us-east-1", "a.pdf", "a.pdf", f"{role}us-east-1"),
        ("acme/us-west-2", "a.pdf", "a.pdf", f"{role}us-west-2"),
        ("acme/us-east-1", "{x}", "b{1}.pdf", f"{role}us-east-1"),
        ("acme/us-west-2", "{x}", "b{1}.pdf", f"{role}us-west-2"),
        ("beta/us-east-1", "{target}.pdf", "{target}.pdf", "arn:aws:iam::444455556666:role/up-us-east-1"),
    ]
    assert dict(made.manifest.entries[0].tags) == {"Country": "NO"}


def test_targets_may_be_in_a_file_that_the_manifest_names(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text("- {name: acme, account: '111122223333', regions: [us-east-1, us-west-2], groups: [g]}\n")
    rows = [("a.pdf", "", "group:g", "a tag", "", ""), ("b{1}.pdf", "", "acme/us-west-2", "", "", "")]

    made = made_of(tmp_path, rows, targets_file=accounts)

    assert [each[:2] for each in read_back(tmp_path, made)] == [
        ("acme/us-east-1", "a.pdf"),
        ("acme/us-west-2", "a.pdf"),
        ("acme/us-west-2", "b{1}.pdf"),
    ]
    assert dict(made.manifest.entries[0].tags) == {"Account": "a tag"}
    with pytest.raises(ManifestInvalid) as invalid:
        made_of(tmp_path, [("a.pdf", "", "acm", "", "", "")], targets_file=accounts)
    assert [each.message for each in invalid.value.problems] == [
        "`acm` is none of the manifest's targets: did you mean `acme`?"
    ]


def test_every_row_whose_target_cannot_be_is_named_once(tmp_path: Path) -> None:
    rows = [
        ("a.pdf", "", "", "111122223333", "us-east-1", ""),
        ("a.pdf", "", "ac/me", "111122223333", "us-east-1", ""),
        ("a.pdf", "", "beta", "1111", "us-east-1", ""),
        ("a.pdf", "2", "beta", "", "us-east-1", ""),
        ("a.pdf", "", "gamma", "111122223333", "us-east", ""),
        ("a.pdf", "", "delta", "111122223333", "", ""),
        ("a.pdf", "", "eta", "", "us-east-1", ""),
        ("a.pdf", "", "one", "111122223334", "us-east-1", ""),
        ("a.pdf", "2", "one", "111122223335", "us-east-1", ""),
        ("a.pdf", "", "two", "111122223336", "us-east-1", ""),
        ("a.pdf", "", "three", "111122223336", "us-east-1", ""),
    ]

    with pytest.raises(ManifestInvalid) as invalid:
        made_of(tmp_path, rows)

    assert [(each.at.line, each.code) for each in invalid.value.problems] == [
        (2, "no-target"),
        (3, "target-name"),
        (4, "account"),
        (6, "region"),
        (7, "missing-key"),
        (8, "missing-key"),
        (10, "duplicate-target"),
        (12, "duplicate-target"),
    ]


def test_a_region_that_no_row_gives_is_that_of_the_option(tmp_path: Path) -> None:
    rows = [("a.pdf", "", "acme", "111122223333", "", "")]

    made = made_of(tmp_path, rows, target=Target(region="eu-west-1"))

    assert [each[0] for each in read_back(tmp_path, made)] == ["acme/eu-west-1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target_column": "customr"}, "is not a column of the table"),
        ({"target_column": "x", "target": Target(account="111122223333")}, "`--account` is for one target"),
        ({"target_column": "Customer", "target": Target(region="nowhere")}, "`region` must be a Region"),
        (
            {"target_column": "Customer", "target": Target(role_arn="{stem}")},
            "`{stem}` is not a template",
        ),
        ({"targets_file": Path("x.yaml")}, "`--targets` needs `--target-column`"),
        (
            {"target_column": "x", "targets_file": Path("x"), "target": Target(region="us-east-1")},
            "cannot be used with",
        ),
        ({"target": Target(region="nowhere")}, "`region` must be a Region"),
        ({"target": Target(account="1")}, "`account` must be 12 digits"),
        ({"target": Target(role_arn="x")}, "`role_arn` must be the ARN of a role"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], words: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("file,Customer\na.pdf,acme\n")

    with pytest.raises(UsageError, match=words):
        new_manifest(tmp_path / "rows.csv", NewManifestOptions(folder=tmp_path, **options))  # type: ignore[arg-type]


def test_a_folder_goes_to_the_target_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a"))
    target = Target(region="us-east-1", account="012345678901", role_arn="arn:aws:iam::012345678901:role/x")

    made = new_manifest(tmp_path, NewManifestOptions(folder=tmp_path.resolve(), target=target))

    path = tmp_path / "made.yaml"
    path.write_text("".join(f"{line}\n" for line in manifest_lines(made.manifest)))
    assert list_items(path, allow_outside=False)[0].target == target


CELLS = (
    st.sampled_from(FILES),
    st.sampled_from(["", "x", "{y}", "NO", "1"]),
    st.sampled_from(["acme", "b.c", "NO", "0123", "all", "", "a b", "é"]),
    st.sampled_from(["", "111122223333", "012345678901", "12"]),
    st.sampled_from(["", "us-east-1", "us-west-2", "x"]),
    st.sampled_from(["", "NO", "{stem}"]),
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(*CELLS), min_size=1, max_size=5),
    region=st.sampled_from([None, "eu-west-1"]),
    bind=st.sampled_from([None, WantedBind("a.b", "id"), WantedBind("{col:id}.b", "r-{col:region}")]),
    role=st.sampled_from([None, ROLE, "arn:aws:iam::{account}:role/{name}{{}}", "arn:aws:iam::1:role/x"]),
)
@example(rows=[("a.pdf", "", "0123", "012345678901", "us-east-1", "")], region=None, bind=None, role=ROLE)
def test_any_table_becomes_a_manifest_that_validate_accepts_or_problems_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    region: str | None,
    bind: WantedBind | None,
    role: str | None,
) -> None:
    folder = tmp_path_factory.mktemp("fleet").resolve()
    try:
        made = made_of(folder, rows, target=Target(region=region, role_arn=role), bind=bind)
    except ManifestInvalid as error:
        lines = {problem.at.line for problem in error.problems}
        found = []
    else:
        lines = set()
        found = read_back(folder, made)

    assert lines <= set(range(1, len(rows) + 2))
    if lines:
        return
    for file, item_id, name, _, own_region, _ in rows:
        wanted = own_region or region
        lanes = [lane for lane, found_id, source, _ in found if (found_id, source) == (item_id or file, file)]
        assert any(lane == f"{name}/{wanted}" if wanted else (lane or "").startswith(f"{name}/") for lane in lanes)
