"""A folder or a table becomes a manifest, or every problem is told and nothing is written."""

from pathlib import Path

import pytest

from batch_upload.app.new_manifest import NewManifestOptions, new_manifest
from batch_upload.errors import ManifestInvalid, UsageError

PDF = b"%PDF-1.7\n%%EOF\n"


def test_a_folder_becomes_a_value_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "bad.png").write_bytes(b"no image")
    folder = tmp_path.resolve()

    made = new_manifest(tmp_path, NewManifestOptions(folder=folder, batch="june", tags=["Country=NO"]))

    assert (made.manifest.batch, made.attachments, dict(made.manifest.tags)) == ("june", 1, {"Country": "NO"})
    assert [each.path for each in made.left_out] == ["bad.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "bad.png"]


def test_the_manifest_and_its_schema_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "b.pdf").write_bytes(PDF)
    folder = tmp_path.resolve()

    made = new_manifest(tmp_path, NewManifestOptions(folder=folder, batch="june", passed_over=[folder / "b.pdf"]))

    assert made.attachments == 1


def test_every_problem_of_a_table_is_in_the_error_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    table = tmp_path / "customers.csv"
    table.write_text("file\ngone.pdf\na.pdf\nlost.pdf\n")

    with pytest.raises(ManifestInvalid) as invalid:
        new_manifest(table, NewManifestOptions(folder=tmp_path.resolve(), batch="june"))

    assert [problem.at.line for problem in invalid.value.problems] == [2, 4]
    assert invalid.value.message == f"2 problems in `{table}`, nothing was written"


def test_a_source_that_does_not_exist_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        new_manifest(tmp_path / "gone.csv", NewManifestOptions(folder=tmp_path.resolve()))
