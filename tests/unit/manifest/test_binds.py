"""`bind`: the field of a registration that each attachment goes into, for entries, matches, rows and lanes."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.app.items import item_of
from batch_upload.manifest.forms import BUILT_IN, FORM_OF_FIELD
from batch_upload.manifest.problems import Invalid
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import KB, KIB, Listed, Position, Problem
from batch_upload.registration import Bind
from tests.unit.manifest.conftest import list_all

Write = Callable[..., Path]
ListedOf = Callable[..., tuple[Listed, ...]]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: june\n"
OPT_IN = "messagingUseCase.optInImage"
TARGETS = (
    "targets:\n  defaults: {regions: [us-east-1]}\n  list:\n"
    '    - {name: acme, account: "111122223333", vars: {reg: registration-a}}\n'
    '    - {name: beta, account: "444455556666", vars: {reg: registration-b}}\n'
)


def words(problems: list[Problem] | tuple[Problem, ...], folder: Path) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in problems]


def test_a_bind_is_read_as_written_and_its_position_is_that_of_its_value(listed: ListedOf) -> None:
    found = listed(
        HEAD + "attachments:\n  - file: a.png\n    bind: {registration: registration-1, field: a.b}\n"
        "  - url: s3://bucket/b.png\n    bind:\n      field: a.c\n      registration: 12\n  - file: c.png\n"
    )

    assert [(each.bind, each.bind_at) for each in found] == [
        (Bind("registration-1", "a.b"), Position(5, 11)),
        (Bind("12", "a.c"), Position(8, 7)),
        (None, None),
    ]


def test_templates_are_filled_in_for_each_match(listed: ListedOf, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "opt.png").touch()

    found = listed(
        HEAD
        + 'attachments:\n  - glob: "*/*.png"\n    bind: {registration: "{parent}-{batch|upper}", field: "{stem}.In"}\n'
    )

    assert [each.bind for each in found] == [Bind("one-JUNE", "opt.In"), Bind("two-JUNE", "opt.In")]


def test_templates_are_filled_in_for_each_lane(listed: ListedOf) -> None:
    entry = 'bind: {registration: "{vars.reg}-{region}", field: "{target}.{account}"}'
    found = listed(f"{HEAD}{TARGETS}defaults: {{target: all}}\nattachments:\n  - file: a.png\n    {entry}\n")

    assert [(each.lane_label, each.bind) for each in found] == [
        ("acme/us-east-1", Bind("registration-a-us-east-1", "acme.111122223333")),
        ("beta/us-east-1", Bind("registration-b-us-east-1", "beta.444455556666")),
    ]


def test_a_variable_that_a_target_does_not_have_is_a_problem_of_that_lane(write: Write, tmp_path: Path) -> None:
    path = write(
        f"{HEAD}{TARGETS}defaults: {{target: all}}\nattachments:\n"
        '  - file: a.png\n    bind: {registration: "{vars.other}", field: a.b}\n'
    )

    listed, problems = list_all(path)

    assert listed == ()
    assert words(problems, tmp_path)[0] == (
        "june.yaml:11:11: `{vars.other}`: the target `acme` has no `other` in `vars` (for `acme/us-east-1`)"
    )
    assert [each.code for each in problems] == ["template", "template"]


def test_an_arn_is_taken_as_its_id_where_account_and_region_are_those_of_the_lane(write: Write, tmp_path: Path) -> None:
    arn = "arn:aws:sms-voice:us-east-1:111122223333:registration/registration-0123"
    path = write(
        f"{HEAD}{TARGETS}defaults: {{target: all}}\nattachments:\n"
        f"  - file: a.png\n    bind: {{registration: '{arn}', field: a.b}}\n"
    )

    listed, problems = list_all(path)

    assert [(each.lane_label, each.bind) for each in listed] == [("acme/us-east-1", Bind("registration-0123", "a.b"))]
    assert words(problems, tmp_path) == [
        "june.yaml:11:11: `registration` is of the account 111122223333, and the attachment goes to 444455556666: "
        f"`{arn}` (for `beta/us-east-1`)"
    ]


def test_an_arn_is_taken_where_the_manifest_names_neither_account_nor_region(listed: ListedOf) -> None:
    arn = "arn:aws-us-gov:sms-voice:us-gov-west-1:111122223333:registration/registration-0123"

    (found,) = listed(f"{HEAD}attachments:\n  - file: a.png\n    bind: {{registration: '{arn}', field: a.b}}\n")

    assert found.bind == Bind("registration-0123", "a.b")


def test_rows_have_the_fields_of_their_columns(write: Write) -> None:
    write("File;Registration;Field\na.png;registration-1;x.one\nb.png;registration-1;x.two\n", "c.csv")
    path = write(
        HEAD + 'attachments:\n  - table: c.csv\n    file: "{col:File}"\n'
        '    bind: {registration: "{col:registration}", field: "{col:Field}"}\n'
    )

    listed, problems = list_all(path)

    assert problems == ()
    assert [(each.source, each.bind, each.at.line, each.bind_at) for each in listed] == [
        ("a.png", Bind("registration-1", "x.one"), 2, None),
        ("b.png", Bind("registration-1", "x.two"), 3, None),
    ]


def test_rows_without_a_field_are_problems_at_their_lines(write: Write, tmp_path: Path) -> None:
    arn = "arn:aws:sms-voice:us-east-1:111122223333:registration/registration-4"
    write(
        "File,Registration\na.png,registration-1\nb.png,\nc.png,registration 3\n"
        f"d.png,{arn}\ne.png,registration-1\nf.png,{{x}}\ng.png,registration-attachment-7\n",
        "c.csv",
    )
    path = write(
        HEAD + 'attachments:\n  - table: c.csv\n    file: "{col:File}"\n'
        f'    bind: {{registration: "{{col:Registration}}", field: {OPT_IN}}}\n'
    )
    invalid = Invalid()

    _, listed, problems = list_manifest(path, allow_outside=False, take=lambda _, each: list(each), invalid=invalid)

    sendable = [each for each in listed if (None, each.item_id) not in invalid.withdrawn]
    assert [(each.source, each.bind) for each in sendable] == [("d.png", Bind("registration-4", OPT_IN))]
    assert words(problems, tmp_path) == [
        "c.csv:3: the column `Registration` is empty, and `bind` needs it",
        "c.csv:4: column `Registration`: `registration` must be the id of a registration, such as "
        "`registration-0123abcd`, or its ARN: `registration 3`",
        f"c.csv:6: `e.png` and `a.png` in line 2 would both go into `{OPT_IN}` of `registration-1`, "
        "and a field holds one attachment",
        "c.csv:7: column `Registration`: `registration` must be the id of a registration, such as "
        "`registration-0123abcd`, or its ARN: `{x}`",
        "c.csv:8: column `Registration`: `registration` must be the id of a registration, such as "
        "`registration-0123abcd`, or its ARN; this is the id of an attachment: `registration-attachment-7`",
    ]
    assert invalid.of_manifest(problems) == ()


def test_rows_may_take_from_columns_lanes_and_files_at_once(write: Write) -> None:
    write("File,Number\na.png,1\nb.png,2\n", "c.csv")
    path = write(
        f"{HEAD}{TARGETS}defaults: {{target: all}}\nattachments:\n"
        '  - table: c.csv\n    file: "{col:File}"\n'
        '    bind: {registration: "{vars.reg}-{col:Number}", field: "x.{stem}"}\n'
    )

    listed, problems = list_all(path)

    assert problems == ()
    assert [each.bind for each in listed] == [
        Bind("registration-a-1", "x.a"),
        Bind("registration-b-1", "x.a"),
        Bind("registration-a-2", "x.b"),
        Bind("registration-b-2", "x.b"),
    ]


def test_of_a_field_that_is_used_twice_nothing_is_sent(write: Write, tmp_path: Path) -> None:
    write("File\nb.png\n", "c.csv")
    bind = f"bind: {{registration: registration-1, field: {OPT_IN}}}"
    path = write(
        HEAD + f"attachments:\n  - {{file: a.png, {bind}}}\n  - {{file: c.png}}\n"
        f'  - {{table: c.csv, file: "{{col:File}}", {bind}}}\n  - {{file: d.png, {bind}}}\n'
    )
    invalid = Invalid()

    _, listed, problems = list_manifest(path, allow_outside=False, take=lambda _, each: list(each), invalid=invalid)

    assert words(problems, tmp_path) == [
        f"june.yaml:7:25: `d.png` and `a.png` in line 4 would both go into `{OPT_IN}` of `registration-1`, "
        "and a field holds one attachment",
        f"c.csv:2: `b.png` and `a.png` in line 4 of the manifest would both go into `{OPT_IN}` of `registration-1`, "
        "and a field holds one attachment",
    ]
    assert [each.source for each in listed if (None, each.item_id) not in invalid.withdrawn] == ["c.png"]
    assert [each.source for each, _ in invalid.refused] == ["b.png", "d.png"]
    assert invalid.of_manifest(problems) == ()


def test_a_glob_that_comes_second_is_one_problem(write: Write, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    bind = "bind: {registration: registration-1, field: a.b}"
    path = write(f'{HEAD}attachments:\n  - {{file: x.pdf, {bind}}}\n  - glob: "*.png"\n    {bind}\n')
    invalid = Invalid()

    problems = list_manifest(path, allow_outside=False, take=lambda _, each: list(each), invalid=invalid)[2]

    assert words(problems, tmp_path) == [
        "june.yaml:6:11: the glob `*.png` and `x.pdf` in line 4 would both go into `a.b` of `registration-1`, "
        "and a field holds one attachment"
    ]
    left_out = {each.item_id for each, _ in invalid.refused} | {name for _, name in invalid.withdrawn}
    assert left_out == {"a.png", "b.png", "x.pdf"}


def test_lanes_have_fields_of_their_own(listed: ListedOf) -> None:
    entry = "{file: a.png, target: all, bind: {registration: registration-1, field: a.b}}"

    assert len(listed(f"{HEAD}{TARGETS}attachments:\n  - {entry}\n")) == 2


def test_a_glob_whose_matches_would_share_a_field_is_one_problem(write: Write, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    bind = "bind: {registration: registration-1, field: a.b}"
    path = write(f'{HEAD}attachments:\n  - glob: "*.png"\n    {bind}\n  - {{file: x.pdf, {bind}}}\n')

    listed, problems = list_all(path)

    assert [each.source for each in listed] == ["a.png"]  # which is withdrawn
    assert words(problems, tmp_path) == [
        "june.yaml:5:11: `a.png` and other files of the glob `*.png` would go into `a.b` of `registration-1`, "
        "and a field holds one attachment: use a template such as `{stem}`, or an entry for each file",
        "june.yaml:6:25: `x.pdf` and `a.png` of the glob `*.png` in line 4 would both go into `a.b` of "
        "`registration-1`, and a field holds one attachment",
    ]


@pytest.mark.parametrize(
    ("defaults", "entry", "form", "limit_bytes"),
    [
        pytest.param("", "", "us-toll-free-opt-in", 400 * KB, id="the-field's"),
        pytest.param("form: rcs-logo", "", "us-toll-free-opt-in", 400 * KB, id="before-that-of-defaults"),
        pytest.param("max_size: 1MiB", "", "us-toll-free-opt-in", 400 * KB, id="before-the-size-of-defaults"),
        pytest.param("", ", form: rcs-logo", "rcs-logo", 50 * KB, id="the-entry's-goes-first"),
        pytest.param("", ", max_size: 1MiB", "us-toll-free-opt-in", KIB * KIB, id="the-entry's-size-goes-first"),
    ],
)
def test_the_form_is_that_of_the_field_unless_the_entry_names_one(
    listed: ListedOf, defaults: str, entry: str, form: str, limit_bytes: int
) -> None:
    bind = f"bind: {{registration: registration-1, field: {OPT_IN}}}"

    (found,) = listed(f"{HEAD}defaults: {{{defaults}}}\nattachments:\n  - {{file: a.png, {bind}{entry}}}\n")

    assert (found.form, found.max_size_bytes) == (BUILT_IN[form], limit_bytes)


def test_the_form_of_a_row_is_that_of_its_own_field(write: Write) -> None:
    fields = [OPT_IN, "campaignInfo.optInScreenshot", "unknown.field"]
    with (write("", "c.csv")).open("w", newline="") as file:
        csv.writer(file).writerows([("F", "B"), *((f"{n}.png", field) for n, field in enumerate(fields))])
    path = write(
        HEAD + 'attachments:\n  - {table: c.csv, file: "{col:F}", bind: {registration: r, field: "{col:B}"}}\n'
    )

    listed, problems = list_all(path)

    assert problems == ()
    assert [each.form and each.form.name for each in listed] == ["us-toll-free-opt-in", "us-10dlc-opt-in", None]
    assert [each.max_size_bytes for each in listed] == [400 * KB, 500 * KB, 500 * KB]


def test_forms_of_fields_are_built_in_ones_and_in_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "manifest.md").read_text(encoding="utf-8")
    _, table = page.split("<!-- fields made of batch_upload/manifest/forms.py -->\n")

    assert set(FORM_OF_FIELD.values()) <= BUILT_IN.keys()
    assert table.split("\n\n")[0].splitlines()[2:] == [
        f"| `{field}` | `{form}` |" for field, form in FORM_OF_FIELD.items()
    ]


def test_a_bind_changes_no_token(listed: ListedOf) -> None:
    entries = ["url: s3://bucket/a.png", "url: s3://bucket/a.png, bind: {registration: registration-1, field: a.b}"]

    items = [item_of(listed(f"{HEAD}attachments:\n  - {{{entry}}}\n")[0], None) for entry in entries]

    assert [item.bind for item in items] == [None, Bind("registration-1", "a.b")]
    assert items[0].client_token == items[1].client_token


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["acme", "beta", "all"]),
        st.sampled_from(["", "r-1", "r-2", "{target}-1", "{vars.reg}", "r-{id}"]),
        st.sampled_from(["a.b", "a.{account}", "a.c"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(entries=ENTRIES)
def test_of_each_lane_just_what_has_a_field_of_its_own_is_sent(
    entries: list[tuple[str, str, str]], write: Write
) -> None:
    lines = "".join(
        f"  - {{file: {n}.png, id: {n}, target: {target}"
        + (f", bind: {{registration: '{registration}', field: '{field}'}}}}\n" if registration else "}\n")
        for n, (target, registration, field) in enumerate(entries)
    )
    invalid = Invalid()
    path = write(f"{HEAD}{TARGETS}attachments:\n{lines}")

    _, listed, problems = list_manifest(path, allow_outside=False, take=lambda _, each: list(each), invalid=invalid)

    expected: dict[tuple[str, str], Bind | None] = {}
    for lane, account, reg in (("acme", "111122223333", "registration-a"), ("beta", "444455556666", "registration-b")):
        for n, (target, registration, field) in enumerate(entries):
            if target in (lane, "all"):
                filled = registration.replace("{vars.reg}", reg).format(target=lane, id=n)
                bind = Bind(filled, field.format(account=account)) if registration else None
                expected[f"{lane}/us-east-1", str(n)] = bind
    uses = Counter((lane, bind) for (lane, _), bind in expected.items())
    twice = {key for key, bind in expected.items() if bind is not None and uses[key[0], bind] > 1}
    sent = {
        (each.lane_label, each.item_id): each.bind
        for each in listed
        if (each.lane_label, each.item_id) not in invalid.withdrawn
    }
    assert sent == {key: bind for key, bind in expected.items() if key not in twice}
    assert {(each.lane_label, each.item_id) for each, _ in invalid.refused} | invalid.withdrawn.keys() == twice
    assert {each.code for each in problems} == ({"bind-twice"} if twice else set())
    assert invalid.of_manifest(problems) == ()
