"""A manifest for many accounts and Regions: what `validate` accepts, what it refuses, and what `--target` chooses."""

from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.fleets import make_fleet
from tests.support.preloaded import Preloaded
from tests.support.real_documents import picture, real_pdf

ACCOUNTS = 40
REGIONS = ("us-east-1", "us-west-2")


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """40 accounts with 2 Regions each: a letter of each, a document for all, and screenshots of a group."""
    lines = ["version: 1", "batch: fleet-2026", "targets:"]
    lines += [
        "  defaults:",
        '    role_arn: "arn:aws:iam::{account}:role/uploader-{region}"',
        "    external_id: env:FLEET_EXTERNAL_ID",
        f"    regions: [{', '.join(REGIONS)}]",
        "  list:",
    ]
    (tmp_path / "letters").mkdir()
    for number in range(ACCOUNTS):
        name, account, tier = f"customer-{number:02}", f"{100_000_000_000 + number}", f"tier{number % 4}"
        lines.append(f'    - {{name: {name}, account: "{account}", groups: [{tier}], vars: {{brand: b{number}}}}}')
        (tmp_path / "letters" / f"{name}.pdf").write_bytes(real_pdf(name))
        (tmp_path / "brands" / f"b{number}").mkdir(parents=True)
        (tmp_path / "brands" / f"b{number}" / "screen.png").write_bytes(picture("PNG", (60 + number, 40)))
    (tmp_path / "terms.pdf").write_bytes(real_pdf("terms"))
    lines += [
        "defaults:",
        "  target: all",
        '  tags: {Customer: "{target}", Brand: "{vars.brand}", Region: "{region}"}',
        "attachments:",
        '  - file: "letters/{target}.pdf"',
        "  - file: terms.pdf",
        '  - {glob: "brands/{vars.brand}/*.png", target: "group:tier1"}',
        '  - {url: "s3://bucket-{account}/x.pdf", id: "{target}/x", target: [customer-00, customer-01/us-west-2]}',
    ]
    (tmp_path / "fleet.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "fleet.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(result: Result) -> list[tuple[str, str]]:
    return [(each["code"], each["message"]) for each in result.of("problem")]


def test_a_manifest_of_40_accounts_in_2_regions_is_valid(command: Preloaded, fleet: Path) -> None:
    ended = command.run("validate", "fleet.yaml", "--json", cwd=fleet)

    assert ended.code == 0, ended.stderr
    assert ended.summary["items"] == 80 + 80 + 20 + 3
    assert ended.of("problem") == []
    assert ended.of("warning") == []
    assert [path.name for path in fleet.iterdir() if "ledger" in path.name] == []


@pytest.mark.parametrize(
    ("names", "items"),
    [
        (["customer-05"], 2 + 2 + 2),
        (["customer-00/us-east-1"], 3),
        (["group:tier1"], 20 * 3 + 1),
        (["all"], 183),
        (["customer-05", "group:tier0", "customer-00"], 6 + 20 * 2 + 2),
    ],
)
def test_target_chooses_lanes(command: Preloaded, fleet: Path, names: list[str], items: int) -> None:
    flags = [word for name in names for word in ("--target", name)]

    ended = command.run("validate", "fleet.yaml", *flags, "--json", cwd=fleet)
    by_variable = command.run(
        "validate", "fleet.yaml", "--json", cwd=fleet, env={"BATCH_UPLOAD_TARGET": ",".join(names)}
    )

    assert (ended.code, ended.summary["items"]) == (by_variable.code, by_variable.summary["items"]) == (0, items)


def test_files_of_other_lanes_are_not_asked_for(command: Preloaded, fleet: Path) -> None:
    (fleet / "letters" / "customer-07.pdf").unlink()
    (fleet / "brands" / "b9" / "screen.png").unlink()

    whole = command.run("validate", "fleet.yaml", "--json", cwd=fleet)
    part = command.run("validate", "fleet.yaml", "--target", "customer-05", "--json", cwd=fleet)

    assert (whole.code, part.code) == (21, 0)
    assert [code for code, _ in problems(whole)] == ["missing", "no-match"]
    assert problems(whole)[1][1].endswith("(for `customer-09/us-east-1`)")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"100000000003"', "1000", [("account", "`account` must be 12 digits: `1000`")]),
        ('"100000000003"', '"100000000002"', [("duplicate-target", "`customer-02` is for 100000000002 in us-east-1")]),
        (
            "name: customer-03",
            "name: customer-02",
            [("duplicate-target", "is listed in line 11 already: rename one")],
        ),
        ("vars: {brand: b3}", "vars: {bran: b3}", [("template", "the target `customer-03` has no `brand` in `vars`")]),
        ("  target: all\n", "", [("no-target", "names no target: write `target: customer-00`")] * 2),
        ("  target: all\n", "  target: al\n", [("unknown-target", "`al` is none of the manifest's targets")]),
        ("customer-01/us-west-2", "customer-01/us-west-1", [("unknown-target", "has `customer-01/us-east-1`, `cust")]),
        ("targets:\n", "target: {region: us-east-1}\ntargets:\n", [("targets", "are both given")]),
        (
            f"    regions: [{', '.join(REGIONS)}]\n",
            "",
            [("missing-key", "`regions` is missing: write `regions: [us-east-1]`")] * ACCOUNTS,
        ),
    ],
)
def test_what_is_wrong_is_reported_once_with_what_to_write(
    command: Preloaded, fleet: Path, old: str, new: str, expected: list[tuple[str, str]]
) -> None:
    change(fleet, old, new)

    ended = command.run("validate", "fleet.yaml", "--json", cwd=fleet)

    assert ended.code == 21
    found = problems(ended)
    assert [code for code, _ in found] == [code for code, _ in expected]
    for (_, message), (_, words) in zip(found, expected, strict=True):
        assert words in message


def test_all_problems_are_reported_together_each_at_its_place(command: Preloaded, fleet: Path) -> None:
    change(fleet, '"100000000003"', '"1"')
    change(fleet, "group:tier1", "group:tire1")
    (fleet / "terms.pdf").unlink()

    ended = command.run("validate", "fleet.yaml", cwd=fleet)

    assert ended.code == 21
    lines = [line for line in ended.stderr.splitlines() if line.startswith("fleet.yaml:")]
    assert [line.split(": ")[0] for line in lines] == ["fleet.yaml:12:36", "fleet.yaml:54:11", "fleet.yaml:55:49"]
    assert "3 problems in `fleet.yaml`" in ended.stderr


def test_the_accounts_of_c7n_org_are_targets(command: Preloaded, fleet: Path) -> None:
    (fleet / "accounts.yml").write_text(
        "accounts:\n"
        "- {account_id: '200000000001', name: other-1, regions: [eu-west-1],"
        " role: 'arn:aws:iam::{account_id}:role/c7n', tags: ['env:prod'], vars: {brand: o1, owners: [x]},"
        " email: a@example.com}\n"
        "- {account_id: '200000000002', name: other-2, tags: ['env:dev'], vars: {brand: o2}}\n",
        encoding="utf-8",
    )
    change(fleet, "  list:\n", "  from: accounts.yml\n  list:\n")
    for name in ("other-1", "other-2"):
        (fleet / "letters" / f"{name}.pdf").write_bytes(real_pdf(name))

    prod = command.run("validate", "fleet.yaml", "--target", "group:env:prod", "--json", cwd=fleet)
    whole = command.run("validate", "fleet.yaml", "--json", cwd=fleet)
    text = (fleet / "accounts.yml").read_text(encoding="utf-8")
    (fleet / "accounts.yml").write_text(text.replace("'200000000002'", "'2'"), encoding="utf-8")
    broken = command.run("validate", "fleet.yaml", "--json", cwd=fleet)

    assert (prod.code, prod.summary["items"]) == (0, 2)
    assert (whole.code, whole.summary["items"]) == (0, 183 + 2 + 4)
    assert broken.code == 21
    assert [(each["file"], each["line"], each["code"]) for each in broken.of("problem")] == [
        ("accounts.yml", 3, "account")
    ]


@pytest.mark.parametrize(
    "verb", ["upload", "plan", "validate", "status", "report", "verify", "reconcile", "prune", "watch", "doctor"]
)
def test_a_target_that_there_is_not_is_refused_by_every_verb(command: Preloaded, fleet: Path, verb: str) -> None:
    (fleet / "june.yaml").write_text("version: 1\nbatch: june\nattachments:\n  - file: terms.pdf\n", encoding="utf-8")

    unknown = command.run(verb, "fleet.yaml", "--target", "customer-5", cwd=fleet)
    without = command.run(verb, "june.yaml", "--target", "acme", cwd=fleet)

    assert (unknown.code, without.code) == (2, 2)
    assert "`--target customer-5` is none of the manifest's targets" in unknown.stderr
    assert "did you mean `customer-" in unknown.stderr
    assert "`--target acme` needs a manifest with `targets`" in without.stderr


def test_a_region_is_refused_where_targets_have_theirs(command: Preloaded, fleet: Path) -> None:
    ended = command.run("upload", "fleet.yaml", "--region", "us-east-1", cwd=fleet)

    assert ended.code == 2
    assert "`--target NAME/us-east-1` chooses one" in ended.stderr


def test_a_table_of_several_targets_becomes_a_manifest_that_is_valid(command: Preloaded, fleet: Path) -> None:
    (fleet / "rows.csv").write_text(
        "file,Customer,Account,Region,Country\n"
        "terms.pdf,acme,111122223333,us-east-1,NO\n"
        "terms.pdf,acme,,us-west-2,NO\n"
        "letters/customer-00.pdf,beta,444455556666,us-east-1,\n",
        encoding="utf-8",
    )
    role = "arn:aws:iam::{account}:role/uploader"

    made = command.run(
        "manifest", "new", "rows.csv", "-o", "rows.yaml", "--target-column", "customer", "--role-arn", role, cwd=fleet
    )
    valid = command.run("validate", "rows.yaml", "--target", "acme", "--json", cwd=fleet)
    folder = command.run(
        "manifest", "new", "letters", "-o", "l.yaml", "--region", "us-east-1", "--account", "111122223333", cwd=fleet
    )

    assert made.code == 0, made.stderr
    assert "3 attachments in `rows.yaml`" in made.stderr
    assert (valid.code, valid.summary["items"]) == (0, 2)
    assert folder.code == 0
    text = (fleet / "l.yaml").read_text(encoding="utf-8")
    assert 'target:\n  region: "us-east-1"\n  account: "111122223333"\n' in text


def test_only_a_verb_that_reaches_aws_needs_the_variable_of_an_external_id(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2)
    text = fleet.path.read_text(encoding="utf-8").replace("  defaults: {", "  defaults: {external_id: env:MISSING, ", 1)
    fleet.path.write_text(text, encoding="utf-8")

    codes = {
        verb: command.run(verb, fleet.path, *flags, cwd=tmp_path).code
        for verb, *flags in (["upload", "--local"], ["status", "--local"], ["report"], ["plan", "--offline"])
    }
    refused = command.run("upload", fleet.path, cwd=tmp_path)

    assert codes == {"upload": 0, "status": 0, "report": 0, "plan": 0}
    assert refused.code == 2
    assert "the variable `MISSING`, which `external_id` of the manifest names, is not set" in refused.stderr
