"""An entry of a manifest with `targets` is listed for each lane that it names, and what lanes share is told once."""

import os
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.errors import UsageError
from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Listed, Problem
from batch_upload.targets import is_target_named
from tests.unit.manifest.conftest import list_all

Write = Callable[..., Path]
ListedOf = Callable[..., tuple[Listed, ...]]
ProblemsOf = Callable[..., list[Problem]]

TARGETS = """\
version: 1
batch: fleet
targets:
  list:
    - {name: acme, account: "111122223333", regions: [us-east-1, us-west-2], groups: [tier1], vars: {brand: A, dir: a}}
    - {name: beta, account: "444455556666", regions: [us-east-1], groups: [tier1, tier2], vars: {brand: B, dir: b}}
    - {name: gamma, account: "777788889999", regions: [eu-west-1], vars: {dir: c}}
"""
LABELS = ("acme/us-east-1", "acme/us-west-2", "beta/us-east-1", "gamma/eu-west-1")


def lanes_of(listed: tuple[Listed, ...]) -> list[tuple[str | None, str]]:
    return [(each.lane_label, each.item_id) for each in listed]


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        ("acme", LABELS[:2]),
        ("acme/us-west-2", LABELS[1:2]),
        ('"group:tier1"', LABELS[:3]),
        ("all", LABELS),
        ("[gamma, acme/us-east-1]", (LABELS[0], LABELS[3])),
        ("[acme, acme/us-east-1, 'group:tier2', beta]", LABELS[:3]),
    ],
)
def test_an_entry_is_listed_for_the_lanes_that_it_names_in_the_order_of_the_manifest(
    target: str, labels: tuple[str, ...], listed: ListedOf
) -> None:
    of_entry = listed(f"{TARGETS}attachments:\n  - {{file: a.pdf, target: {target}}}\n")
    of_defaults = listed(f"{TARGETS}defaults: {{target: {target}}}\nattachments:\n  - file: a.pdf\n")

    assert lanes_of(of_entry) == lanes_of(of_defaults) == [(label, "a.pdf") for label in labels]


def test_entries_come_in_their_order_and_an_entry_overrides_the_default(listed: ListedOf) -> None:
    found = listed(
        f"{TARGETS}defaults: {{target: acme}}\n"
        "attachments:\n  - {file: b.pdf, target: gamma}\n  - file: a.pdf\n  - {file: a.pdf, target: gamma, id: x}\n"
    )

    assert lanes_of(found) == [(LABELS[3], "b.pdf"), (LABELS[0], "a.pdf"), (LABELS[1], "a.pdf"), (LABELS[3], "x")]


def test_templates_of_sources_ids_and_tags_are_filled_in_for_each_lane(listed: ListedOf, tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = listed(
        f"{TARGETS}defaults:\n  tags: {{Brand: '{{vars.brand}}', Where: '{{target}} {{region}} {{account}}'}}\n"
        "attachments:\n"
        "  - {file: 'letters/{target}-{{x}}.pdf', target: [acme/us-east-1, beta]}\n"
        "  - {glob: '{vars.dir}/*.png', target: 'group:tier1'}\n"
        "  - {url: 's3://{vars.dir}-bucket/{account}.pdf', id: '{region}/terms', target: beta}\n"
    )

    assert lanes_of(found) == [
        (LABELS[0], "letters/acme-{x}.pdf"),
        (LABELS[2], "letters/beta-{x}.pdf"),
        (LABELS[0], "a/1.png"),
        (LABELS[1], "a/1.png"),
        (LABELS[0], "a/2.png"),
        (LABELS[1], "a/2.png"),
        (LABELS[2], "b/3.png"),
        (LABELS[2], "us-east-1/terms"),
    ]
    assert found[3].tags == {"Brand": "A", "Where": "acme us-west-2 111122223333"}
    assert found[-1].source == "s3://b-bucket/444455556666.pdf"


def test_templates_of_lanes_mean_nothing_in_a_manifest_without_targets(write: Write, problems_of: ProblemsOf) -> None:
    path = write(
        "version: 1\nbatch: b\ndefaults: {tags: {A: '{target}'}}\n"
        "attachments:\n  - {file: '{target}.pdf', id: '{vars.x}', tags: {B: '{vars.x}'}}\n"
    )

    problems = problems_of(path)

    names = "`{stem}`, `{name}`, `{parent}`, `{id}`, `{batch}` are, and `{{` and `}}` for braces"
    assert [(each.at, each.message) for each in problems] == [
        ((3, 22), f"`{{target}}` is not a template: {names}"),
        ((5, 54), f"`{{vars.x}}` is not a template: {names}"),
    ]
    path = write("version: 1\nbatch: b\nattachments:\n  - {file: '{target}.pdf', id: '{vars.x}'}\n")
    assert [(each.source, each.item_id) for each in list_all(path)[0]] == [("{target}.pdf", "{vars.x}")]


@pytest.mark.parametrize("text", ["{file: '{target}', target: acme}", "{url: 's3://{target}/a', target: acme}"])
def test_a_manifest_whose_targets_come_last_has_the_same_templates(text: str, listed: ListedOf) -> None:
    head, targets = TARGETS.split("targets:\n")
    tags = "tags: {A: '{target} {vars.brand}'}"

    first = listed(f"{TARGETS}defaults: {{{tags}}}\nattachments:\n  - {text}\n")
    last = listed(f"{head}attachments:\n  - {text}\ndefaults: {{{tags}}}\ntargets:\n{targets}")

    assert [each._replace(at=first[0].at) for each in last] == [each._replace(at=first[0].at) for each in first]
    assert first[0].tags == {"A": "acme A"}


def test_a_variable_that_a_target_does_not_have_is_one_problem_of_the_target_at_the_tag(
    write: Write, problems_of: ProblemsOf
) -> None:
    entries = "".join(f"  - {{file: {number}.pdf, target: all}}\n" for number in range(50))
    path = write(f"{TARGETS}defaults: {{tags: {{A: b, Brand: '{{vars.brand}}'}}}}\nattachments:\n{entries}")

    (problem,) = problems_of(path)

    assert (problem.at, problem.code) == ((8, 25), "template")
    assert problem.message == "`{vars.brand}`: the target `gamma` has no `brand` in `vars`"


def test_a_problem_that_lanes_share_is_reported_once_and_one_of_a_lane_names_it(
    write: Write, problems_of: ProblemsOf
) -> None:
    path = write(
        f"{TARGETS}defaults: {{target: all}}\n"
        "attachments:\n"
        "  - glob: '*.png'\n"
        "  - glob: 'none/{target}/*'\n"
        "  - file: ../a.pdf\n"
        "  - file: '../{vars.dir}.pdf'\n"
        "  - file: folder/\n"
        "  - {file: a.pdf, id: '{target}'}\n"
        "  - {file: b.pdf, id: acme, target: [acme, beta]}\n"
    )

    found = [(each.at.line, each.code, each.message.rpartition(" (for ")[2]) for each in problems_of(path)]

    assert [(line, code) for line, code, _ in found] == [
        (10, "no-match"),
        *[(11, "no-match")] * 3,
        (12, "outside"),
        *[(13, "outside")] * 3,
        (14, "folder"),
        (16, "duplicate-id"),
    ]
    assert [lane for line, _, lane in found if line in (11, 13)] == [
        "`acme/us-east-1`)",
        "`beta/us-east-1`)",
        "`gamma/eu-west-1`)",
    ] * 2
    assert found[-1][2] == "`acme/us-east-1`)"


def test_the_same_item_may_go_to_several_lanes_but_twice_to_none(write: Write, problems_of: ProblemsOf) -> None:
    good = write(f"{TARGETS}attachments:\n  - {{file: a.pdf, target: acme}}\n  - {{file: a.pdf, target: beta}}\n")
    assert problems_of(good) == []

    bad = write(
        f"{TARGETS}attachments:\n  - {{file: a.pdf, target: all}}\n  - {{file: a.pdf, target: acme/us-west-2}}\n"
    )
    (problem,) = problems_of(bad)
    assert (problem.at, problem.code) == ((10, 12), "duplicate-id")
    assert problem.message.endswith("is listed in line 9 already: leave one of the two out, or give one an `id` of its "
                                    "own (for `acme/us-west-2`)")  # fmt: skip


def test_only_chosen_lanes_are_listed_and_looked_for(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").touch()
    path = write(
        f"{TARGETS}attachments:\n  - {{glob: '{{vars.dir}}/*.png', target: all}}\n"
        "  - {file: x.pdf, target: acme}\n  - {file: y.pdf, target: nobody}\n"
    )

    listed, problems = list_all(path, targets=("beta", "acme/us-west-2"))

    assert lanes_of(listed) == [("beta/us-east-1", "b/1.png"), ("acme/us-west-2", "x.pdf")]
    assert [(each.at.line, each.code) for each in problems] == [(9, "no-match"), (11, "unknown-target")]
    with pytest.raises(UsageError, match="--target betaa") as refused:
        list_all(path, targets=("acme", "betaa"))
    assert refused.value.hint == "did you mean `beta`?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("acme/us-east-2", "`acme` has `acme/us-east-1`, `acme/us-west-2`"),
        ("group:tier22", "did you mean `group:tier2`?"),
        ("zzzzz", "there are `acme`, `beta`, `gamma`"),
    ],
)
def test_what_was_probably_meant_is_said_of_an_unknown_name(
    name: str, hint: str, write: Write, problems_of: ProblemsOf
) -> None:
    path = write(f"{TARGETS}attachments:\n  - {{file: a.pdf, target: '{name}'}}\n")

    (problem,) = problems_of(path)

    assert problem.message.endswith(hint)


def test_a_glob_is_read_once_for_all_lanes_that_share_its_pattern(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    scans: Counter[str] = Counter()
    real = os.scandir

    def scandir(path: str | Path) -> object:
        scans[str(path)] += 1
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    listed, problems = list_all(write(f"{TARGETS}attachments:\n  - {{glob: '*.png', target: all}}\n"))

    assert (len(listed), problems) == (4, ())
    assert list(scans.values()) == [1]


def test_tags_are_shared_between_lanes_and_items(listed: ListedOf) -> None:
    entries = "".join(f"  - {{file: {number}.pdf, target: all}}\n" for number in range(20))

    plain = listed(f"{TARGETS}defaults: {{tags: {{A: b}}}}\nattachments:\n{entries}")
    of_lanes = listed(f"{TARGETS}defaults: {{tags: {{A: '{{target}}'}}}}\nattachments:\n{entries}")
    of_items = listed(f"{TARGETS}defaults: {{tags: {{A: '{{stem}}'}}}}\nattachments:\n{entries}")

    assert len({id(each.tags) for each in plain}) == 1
    assert len({id(each.tags) for each in of_lanes}) == 3
    assert len({id(each.tags) for each in of_items}) == 20


CHOICES = st.lists(
    st.sampled_from(["acme", "beta", "gamma", "acme/us-east-1", "acme/us-west-2", "group:tier1", "group:tier2", "all"]),
    min_size=1,
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(entries=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), CHOICES), min_size=1, max_size=6))
def test_an_item_is_listed_in_a_lane_if_an_entry_names_both_and_twice_is_a_problem(
    entries: list[tuple[str, list[str]]], write: Write
) -> None:
    lines = "".join(f"  - {{file: {name}.pdf, target: [{', '.join(map(repr, names))}]}}\n" for name, names in entries)
    path = write(f"{TARGETS}attachments:\n{lines}")
    lanes = read_manifest(path).targets

    listed, problems = list_all(path)

    wanted = Counter(
        (lane.label, f"{name}.pdf")
        for (name, names), lane in product(entries, lanes)
        if any(is_target_named(lane, each) for each in names)
    )
    assert Counter(lanes_of(listed)) == Counter(dict.fromkeys(wanted, 1))
    assert bool(problems) == any(count > 1 for count in wanted.values())
    assert {each.code for each in problems} <= {"duplicate-id"}
    assert len({(each.at, each.message.rpartition(" (for ")[0]) for each in problems}) == len(problems)
    assert expand(read_manifest(path), allow_outside=False) == (listed, problems)
