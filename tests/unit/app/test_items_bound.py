"""Items that go into fields of registrations: what is sent, what is left out, and the form of the field."""

from pathlib import Path

import pytest

from batch_upload.app.items import read_whole, ready
from batch_upload.app.sendable import Choice, listed_of_item
from batch_upload.errors import ManifestInvalid
from batch_upload.model import KB, Position
from batch_upload.registration import Bind
from batch_upload.settings import RunOptions
from tests.support.real_documents import picture

OPT_IN = "messagingUseCase.optInImage"
ONE = f"bind: {{registration: registration-1, field: {OPT_IN}}}"
TWO = f"bind: {{registration: registration-2, field: {OPT_IN}}}"


def written(folder: Path, entries: str) -> Path:
    """A manifest of pictures that all exist."""
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        (folder / name).write_bytes(picture("PNG", (20 + number, 20)))
    (folder / "d.jpg").write_bytes(picture("JPEG", (20, 20)))
    path = folder / "june.yaml"
    path.write_text(f"version: 1\nbatch: june\nattachments:\n{entries}")
    return path


def test_an_item_says_where_its_attachment_goes(tmp_path: Path) -> None:
    path = written(tmp_path, f"  - {{file: a.png, {ONE}}}\n  - {{url: s3://bucket/b.png, {TWO}}}\n  - file: c.png\n")

    items = ready(path, RunOptions())[0].items

    assert [item.bind for item in items] == [Bind("registration-1", OPT_IN), Bind("registration-2", OPT_IN), None]
    assert listed_of_item(items[0], Position()).bind == items[0].bind


def test_without_what_is_invalid_nothing_of_a_field_that_is_used_twice_is_sent(tmp_path: Path) -> None:
    path = written(tmp_path, f"  - {{file: a.png, {ONE}}}\n  - {{file: b.png, {TWO}}}\n  - {{file: c.png, {ONE}}}\n")

    with pytest.raises(ManifestInvalid) as refused:
        ready(path, RunOptions())
    prepared, _ = read_whole(path, RunOptions(skip_invalid=True), skips_invalid=True)

    assert [each.code for each in refused.value.problems] == ["bind-twice"]
    assert [item.item_id for item in prepared.items] == ["b.png"]
    assert sorted(listed.item_id for listed, _ in prepared.unread) == ["a.png", "c.png"]
    assert {problem.code for _, problem in prepared.unread} == {"bind-twice"}


def test_only_one_of_two_for_a_field_is_not_sent_either(tmp_path: Path) -> None:
    path = written(tmp_path, f"  - {{file: a.png, {ONE}}}\n  - {{file: b.png, {TWO}}}\n  - {{file: c.png, {ONE}}}\n")

    def prepared(only: str) -> tuple[list[str], list[str], list[str]]:
        found, _ = read_whole(path, RunOptions(), choose=lambda *_: Choice(ids={only}, states=set()))
        return (
            [item.item_id for item in found.items],
            [listed.item_id for listed, _ in found.unread],
            [problem.code for problem in found.problems],
        )

    assert prepared("a.png") == ([], ["a.png"], ["bind-twice"])
    assert prepared("c.png") == ([], ["c.png"], ["bind-twice"])
    assert prepared("b.png") == (["b.png"], [], [])


def test_a_file_that_its_field_does_not_take_is_a_warning_and_a_problem_if_that_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, f"  - {{file: d.jpg, {ONE}}}\n  - {{file: a.png, {TWO}}}\n")

    prepared, _ = ready(path, RunOptions())
    with pytest.raises(ManifestInvalid) as refused:
        ready(path, RunOptions(strict=True))

    assert [str(each).removeprefix(f"{tmp_path}/") for each in prepared.warnings] == [
        "june.yaml:4:12: `d.jpg` is a JPEG, the form `us-toll-free-opt-in` takes PNG: save it as PNG"
    ]
    assert [each.code for each in refused.value.problems] == [prepared.warnings[0].code]


def test_a_file_that_is_larger_than_its_field_takes_is_a_problem(tmp_path: Path) -> None:
    path = written(tmp_path, f"  - {{file: a.png, {ONE}}}\n  - {{file: b.png, max_size: 500KB, {TWO}}}\n")
    for name in ("a.png", "b.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content + bytes(450 * KB - len(content)))

    with pytest.raises(ManifestInvalid) as refused:
        ready(path, RunOptions())

    (problem,) = refused.value.problems
    assert (problem.code, problem.at.line) == ("too-large", 4)
    assert "`us-toll-free-opt-in`" in problem.message
