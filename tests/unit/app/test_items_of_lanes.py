"""Items of a manifest for several lanes: each file is looked into once, and only those of the chosen lanes."""

import os
from collections import Counter
from pathlib import Path

import pytest

from batch_upload.app.choice import check_only
from batch_upload.app.items import lane_parts, ready, ready_to_read
from batch_upload.app.looks import FILES_AT_ONCE
from batch_upload.app.validate import check
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.settings import RunOptions
from tests.support.real_documents import real_pdf

TARGETS = """\
version: 1
batch: fleet
targets:
  list:
    - {name: acme, account: "111122223333", regions: [us-east-1, us-west-2]}
    - {name: beta, account: "444455556666", regions: [us-east-1]}
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often each document is opened, by its name."""
    counts: Counter[str] = Counter()
    real = os.open

    def opened(path: str | Path, *rest: int, **more: int) -> int:
        if str(path).endswith(".pdf"):
            counts[Path(path).name] += 1
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    return counts


def write(folder: Path, entries: str, *, files: int = 3) -> Path:
    for number in range(files):
        (folder / f"{number}.pdf").write_bytes(real_pdf(f"document {number}"))
    path = folder / "fleet.yaml"
    path.write_text(f"{TARGETS}attachments:\n{entries}")
    return path


def test_a_file_that_goes_to_several_lanes_is_read_once(tmp_path: Path, reads: Counter[str]) -> None:
    path = write(
        tmp_path,
        "  - {glob: '*.pdf', target: acme}\n  - {file: 0.pdf, target: beta}\n  - {file: 1.pdf, id: x, target: beta}\n",
    )

    prepared, _ = ready(path, RunOptions())

    assert reads == {"0.pdf": 1, "1.pdf": 1, "2.pdf": 1}
    assert len(prepared.items) == 8
    assert len({item.client_token for item in prepared.items if item.item_id == "0.pdf"}) == 1
    reads.clear()
    assert check(path, allow_outside=False).count == 8
    assert set(reads.values()) == {1}


def test_a_file_is_read_once_although_its_lanes_do_not_fit_into_one_batch(tmp_path: Path, reads: Counter[str]) -> None:
    count = FILES_AT_ONCE // 2
    path = write(tmp_path, "  - {glob: '*.pdf', target: all}\n", files=count)

    assert check(path, allow_outside=False).count == count * 3
    assert set(reads.values()) == {1}
    assert len(reads) == count


def test_files_of_lanes_that_are_not_chosen_are_not_read(tmp_path: Path, reads: Counter[str]) -> None:
    path = write(
        tmp_path,
        "  - {file: 0.pdf, target: acme}\n  - {file: gone.pdf, target: acme/us-west-2}\n"
        "  - {file: 1.pdf, target: beta}\n",
    )

    prepared, settings = ready(path, RunOptions(targets=("beta",)))

    assert reads == {"1.pdf": 1}
    assert [item.lane_label for item in prepared.items] == ["beta/us-east-1"]
    assert [part.target.label for part in lane_parts(prepared, settings)] == ["beta/us-east-1"]


def test_an_unknown_target_is_refused_before_a_file_is_read(tmp_path: Path, reads: Counter[str]) -> None:
    path = write(tmp_path, "  - {file: 0.pdf, target: all}\n  - {file: gone.pdf, target: all}\n")

    for use in (ready, ready_to_read):
        with pytest.raises(UsageError, match="`--target acne`"):
            use(path, RunOptions(targets=("acne",)))
    with pytest.raises(UsageError, match="`--region`"):
        ready(path, RunOptions(region="us-east-1"))

    assert not reads


def test_a_file_with_a_problem_is_one_problem_for_all_its_lanes(tmp_path: Path) -> None:
    path = write(tmp_path, "  - {file: gone.pdf, target: all}\n  - {file: 0.pdf, target: all}\n")

    with pytest.raises(ManifestInvalid) as invalid:
        ready(path, RunOptions())
    with pytest.raises(ManifestInvalid) as checked:
        check(path, allow_outside=False)
    prepared, settings = ready_to_read(path, RunOptions())

    assert [problem.code for problem in invalid.value.problems] == ["missing"]
    assert checked.value.problems == invalid.value.problems
    assert [len(part.prepared.unread) for part in lane_parts(prepared, settings)] == [1, 1, 1]


def test_copies_are_found_within_a_lane_and_reported_once(tmp_path: Path) -> None:
    (tmp_path / "copy.pdf").write_bytes(real_pdf("document 0"))
    path = write(tmp_path, "  - {file: 0.pdf, target: all}\n  - {file: copy.pdf, target: acme}\n")
    apart = write(tmp_path, "  - {file: 0.pdf, target: beta}\n  - {file: copy.pdf, target: acme}\n")

    assert check(apart, allow_outside=False).warnings == ()
    path.write_text(f"{TARGETS}attachments:\n  - {{file: 0.pdf, target: all}}\n  - {{file: copy.pdf, target: acme}}\n")
    assert [(each.code, each.at.line) for each in check(path, allow_outside=False).warnings] == [("same-bytes", 9)]


def test_a_file_that_does_not_fit_its_form_is_one_warning_for_all_its_lanes(tmp_path: Path) -> None:
    path = write(tmp_path, "  - {file: 0.pdf, target: all, form: rcs-logo}\n")

    prepared, _ = ready(path, RunOptions())

    of_form = [each for each in prepared.warnings if each.code.startswith("form-")]
    assert (len(prepared.items), [each.at.line for each in of_form]) == (3, [8])


def test_a_file_for_two_forms_is_refused_by_the_name_of_each(tmp_path: Path) -> None:
    forms = "forms:\n  one: {max_size: 5B}\n  two: {max_size: 5B}\n"
    entries = "  - {file: 0.pdf, target: acme, form: one}\n  - {file: 0.pdf, id: again, target: acme, form: two}\n"
    path = write(tmp_path, entries)
    path.write_text(path.read_text() + forms)

    with pytest.raises(ManifestInvalid) as found:
        ready(path, RunOptions())

    assert [("one" in each.message, "two" in each.message) for each in found.value.problems] == [
        (True, False),
        (False, True),
    ]


def test_an_id_is_chosen_in_all_lanes_or_in_one(tmp_path: Path) -> None:
    path = write(tmp_path, "  - {file: 0.pdf, target: all}\n  - {file: 1.pdf, id: 'a:b/c', target: beta}\n")

    def chosen(*ids: str) -> dict[str | None, frozenset[str]]:
        options = RunOptions(only_ids=frozenset(ids))
        prepared, settings = ready(path, options)
        check_only(settings, prepared)
        return {part.target.label: part.settings.only_ids for part in lane_parts(prepared, settings)}

    assert set(chosen("0.pdf")) == {"acme/us-east-1", "acme/us-west-2", "beta/us-east-1"}
    assert chosen("acme/us-west-2:0.pdf") == {"acme/us-west-2": frozenset({"0.pdf"})}
    assert chosen("a:b/c") == chosen("beta/us-east-1:a:b/c") == {"beta/us-east-1": frozenset({"a:b/c"})}
    with pytest.raises(UsageError, match="the manifest lists no `a:b/c` for `acme/us-east-1`"):
        chosen("acme/us-east-1:a:b/c")
    with pytest.raises(UsageError, match="neither a state nor an id"):
        chosen("gamma/us-east-1:0.pdf")


def test_the_settings_of_a_run_know_nothing_of_targets_that_have_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "  - {file: 0.pdf, target: acme}\n")
    path.write_text(path.read_text().replace('"111122223333"', "1"))

    with pytest.raises(ManifestInvalid) as invalid:
        ready(path, RunOptions(targets=("acme",), region="us-east-1"))

    assert [problem.code for problem in invalid.value.problems] == ["account"]
