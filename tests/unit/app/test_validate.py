"""`validate` as a program calls it."""

from pathlib import Path

import anyio
import pytest

from batch_upload.app.validate import Validation, validate
from batch_upload.errors import UsageError
from batch_upload.settings import RunOptions
from tests.support.process_state import process_state
from tests.support.real_documents import real_pdf

PDF = real_pdf()


def written(folder: Path, entries: str) -> Path:
    path = folder / "june.yaml"
    path.write_text(f"version: 1\nbatch: june\nattachments:\n{entries}")
    return path


async def test_a_manifest_in_order_has_a_batch_and_a_number_of_items(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    path = written(tmp_path, "  - file: a.pdf\n  - url: s3://bucket/terms.pdf\n")

    found = await validate(path)

    assert found == Validation("june", 2)


async def test_problems_of_manifest_and_files_are_a_result_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "text.pdf").write_text("hello")
    path = written(tmp_path, "  - file: text.pdf\n  - fil: a.pdf\n  - file: gone.pdf\n")

    found = await validate(str(path))

    lines = [problem.at.line for problem in found.problems]
    assert (found.batch, found.items) == (None, 0)
    assert lines == sorted(lines)
    assert set(lines) >= {4, 5, 6}


async def test_a_manifest_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.yaml` cannot be read"):
        await validate(tmp_path / "gone.yaml")


async def test_the_same_bytes_under_two_ids_are_a_warning(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(PDF)

    found = await validate(written(tmp_path, "  - file: a.pdf\n  - file: b.pdf\n"))

    assert (found.items, found.problems, len(found.warnings)) == (2, (), 1)


async def test_files_outside_the_folder_are_a_problem_unless_they_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "below").mkdir()
    path = written(tmp_path / "below", "  - file: ../a.pdf\n")

    refused, allowed = await validate(path), await validate(path, RunOptions(allow_outside=True))

    assert (len(refused.problems), allowed.items) == (1, 1)


async def test_two_validations_at_once_leave_the_process_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    path, before, found = written(tmp_path, "  - file: a.pdf\n"), process_state(), list[Validation]()

    async def check() -> None:
        found.append(await validate(path))

    async with anyio.create_task_group() as group:
        group.start_soon(check)
        group.start_soon(check)

    assert found == [Validation("june", 1)] * 2
    assert process_state() == before
