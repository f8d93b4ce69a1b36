"""What a ledger holds for the items of a manifest."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch_upload.app.ledger_view import holder, refusal_of, summary_of_views, view_lanes
from batch_upload.app.upload import upload
from batch_upload.clock import counting_s
from batch_upload.errors import OLD_COPY, ManifestInvalid
from batch_upload.model import State
from batch_upload.records import RunRecord
from batch_upload.settings import RunOptions
from tests.support.batches import Batch, make_batch, pdf

GLOBS = "version: 1\nbatch: june\nattachments:\n  - glob: '*.pdf'\n  - glob: '*.png'\n"
AT = datetime(2026, 11, 27, tzinfo=UTC)


def ended(exit_code: int, reason: str) -> RunRecord:
    return RunRecord("run-1", "upload", "june", AT, AT, exit_code, {"exit": {"reason": reason}})


def test_without_a_ledger_no_item_has_a_row(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    (found,) = view_lanes(batch.path, RunOptions())

    assert [(listed.item_id, known) for listed, known in found.rows] == [(each, None) for each in batch.ids]
    assert (found.lane, found.last_run, found.create_rate, found.refusal) == (None, None, 1.0, "")
    assert summary_of_views([found], "report", started=counting_s()).states == {"pending": 2}
    assert holder(found.settings.ledger) is None


async def test_each_item_has_its_current_row(uploaded: Batch, options: RunOptions) -> None:
    (found,) = view_lanes(uploaded.path, options)

    assert [known.state for _, known in found.rows if known] == [State.COMPLETE] * 2
    assert [known.state for _, known in found.rows.shown() if known] == [State.COMPLETE] * 2
    assert found.last_run is not None
    assert summary_of_views([found], "report", started=counting_s()).adds_up


async def test_what_a_glob_no_longer_matches_comes_last_and_is_not_listed(tmp_path: Path, options: RunOptions) -> None:
    path = tmp_path / "june.yaml"
    path.write_text(GLOBS)
    for name in ("a.pdf", "b.png"):
        (tmp_path / name).write_bytes(pdf(name) if name == "a.pdf" else b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    await upload(path, options)
    (tmp_path / "a.pdf").unlink()

    (found,) = view_lanes(path, options)

    assert [listed.item_id for listed, _ in found.rows] == ["b.png", "a.pdf"]
    assert [found.is_listed(place) for place in range(2)] == [True, False]
    assert (found.gone, len(found.unmatched)) == (1, 1)
    with pytest.raises(ManifestInvalid):
        view_lanes(path, replace(options, ledger=tmp_path / "none.ledger"))


@pytest.mark.parametrize(
    ("runs", "refusal"),
    [
        ([], ""),
        ([ended(25, f"found: {OLD_COPY}")], f"found: {OLD_COPY}"),
        ([ended(25, "there twice")], ""),
        ([ended(21, "1 problem"), ended(25, OLD_COPY)], OLD_COPY),
        ([ended(0, "done"), ended(25, OLD_COPY)], ""),
    ],
)
def test_a_ledger_is_refused_as_its_last_run_that_reached_the_service_ended(
    runs: list[RunRecord], refusal: str
) -> None:
    assert refusal_of(runs) == refusal


def test_globs_without_a_match_are_named_in_the_order_of_their_lanes(tmp_path: Path) -> None:
    regions = [f"eu-west-{number}" for number in range(1, 9)]
    path = tmp_path / "june.yaml"
    targets = f"targets:\n  list:\n    - {{name: acme, account: '111111111111', regions: [{', '.join(regions)}]}}\n"
    path.write_text(f"version: 1\nbatch: june\n{targets}attachments:\n  - {{glob: '{{region}}/*.pdf', target: acme}}\n")

    with pytest.raises(ManifestInvalid) as invalid:
        view_lanes(path, RunOptions())

    assert [problem.message.split("`")[1] for problem in invalid.value.problems] == [
        f"{each}/*.pdf" for each in regions
    ]
