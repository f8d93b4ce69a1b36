"""The page of a ledger: which items are listed where not all can be, and its runs over time."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batch_upload.app.ledger_view import view_lanes
from batch_upload.cli.flags import Flags, options_of
from batch_upload.ledger import find_reader
from batch_upload.model import OutcomeKind, State
from batch_upload.records import Bucket
from batch_upload.report.ndjson import LaneRef
from batch_upload.report.page.board import STATES
from batch_upload.report.summary_text import Invocation
from batch_upload.watch.lanes_page import LanesPage
from batch_upload.watch.page import RUNS_MAX, Page, PageLimits, run_timelines
from tests.support.one_lane import open_one_lane
from tests.support.page_ledgers import Story, ids_of, lane_labels, tell_lanes, tell_story
from tests.unit.ledger.samples import BATCH, RUN, ManualClock, accepted, after, began, item

AT = datetime(2026, 11, 24, tzinfo=UTC)
COUNT = 400


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return tell_story(tmp_path_factory.mktemp("story"), ids_of(COUNT))


def shown(story: Story, *, only: Sequence[str] = (), limits: PageLimits | None = None) -> dict[str, Any]:
    """Everything that the page of a story has."""
    options = options_of(Flags(only=list(only)))
    reader = find_reader(story.ledger)
    assert reader is not None
    with reader:
        page = Page.of(
            view_lanes(story.manifest, options)[0], Invocation(""), reader, at=AT, limits=limits or PageLimits()
        )
    return page.board.since(0)


def states_of(found: dict[str, Any]) -> list[str]:
    return [STATES[row[3]].value for row in found["items"]]


def test_everything_is_there_in_the_manifests_order(story: Story) -> None:
    found = shown(story)

    assert [row[1] for row in found["items"]] == list(story.ids)
    assert sum(found["head"]["states"]) == found["head"]["listed"] == found["head"]["chosen"] == COUNT
    assert {row[0] for row in found["attempts"]} == set(range(COUNT))
    assert sum(sum(run["tally"]) for run in found["head"]["runs"]) == len(found["attempts"])
    assert found["head"]["attempts_left_out"] is False


def test_what_does_not_fit_is_left_out_and_said_but_no_failure(story: Story) -> None:
    whole = shown(story)
    failed = states_of(whole).count("failed")

    found = shown(story, limits=PageLimits(items=failed + 10, attempts=5))

    assert (states_of(found).count("failed"), states_of(found).count("complete")) == (failed, 10)
    assert len(found["attempts"]) == 5
    assert found["head"]["attempts_left_out"] is True
    assert (found["head"]["listed"], found["head"]["chosen"]) == (failed + 10, COUNT)
    assert found["head"]["states"] == whole["head"]["states"]
    assert found["head"]["causes"] == whole["head"]["causes"]


def test_only_chooses_what_is_listed_and_not_what_is_counted(story: Story) -> None:
    found = shown(story, only=["failed"])

    assert set(states_of(found)) == {"failed"}
    assert found["head"]["chosen"] == found["head"]["listed"] == len(found["items"])
    assert sum(found["head"]["states"]) == COUNT
    assert found["head"]["only"] == ["failed"]


async def test_runs_come_latest_first_and_one_more_than_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "june.ledger"
    ledger = await open_one_lane(path, run_id=RUN, clock=ManualClock())
    await began(ledger, item("a"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=after(1))
    await ledger.conclude(attempt, accepted(at=after(2)))
    reader = find_reader(path)
    assert reader is not None
    with reader:
        (alone,) = run_timelines(reader, BATCH)
        for number in range(RUNS_MAX + 3):
            await ledger.begin_run(f"later-{number}", verb="upload", batch=BATCH, at=after(100 + number))
        many = run_timelines(reader, BATCH)
    await ledger.close()

    assert [(tally.kind, tally.count) for tally in alone.tallies] == [(OutcomeKind.ACCEPTED, 1)]
    assert alone.steps == [Bucket(RUN, int(2 / alone.width_s), OutcomeKind.ACCEPTED, 1)]
    assert alone.last_at == after(2)
    assert len(many) == RUNS_MAX + 1
    assert many[0].record.run_id == f"later-{RUNS_MAX + 2}"
    assert (many[0].steps, many[0].last_at) == ([], None)


@contextmanager
def lanes_page(
    stories: Sequence[Story], labels: Sequence[str], limits: PageLimits | None = None
) -> Iterator[LanesPage]:
    """The page of these lanes, whose accounts are two lanes' each."""
    with ExitStack() as closing:
        lanes = []
        for place, (story, label) in enumerate(zip(stories, labels, strict=True)):
            reader = find_reader(story.ledger)
            assert reader is not None
            lane = LaneRef(label, f"{111_122_223_333 + place // 2}", label.rpartition("/")[2])
            (view,) = view_lanes(story.manifest, options_of(Flags()))
            lanes.append((lane, view, closing.enter_context(reader)))
        yield LanesPage.of(lanes, Invocation(""), at=AT, limits=limits or PageLimits())


@pytest.mark.parametrize("count", [1, 2, 8])
def test_several_lanes_are_one_page_with_the_sums_and_each_item_once_in_its_lane(tmp_path: Path, count: int) -> None:
    labels = lane_labels(count)
    stories = tell_lanes(tmp_path, labels, count=20)

    with lanes_page(stories, labels) as page:
        found = page.board.since(0)

    head = found["head"]
    assert [lane["label"] for lane in head["lanes"]] == labels
    assert [sum(lane["states"]) for lane in head["lanes"]] == [20] * count
    assert head["states"] == [sum(column) for column in zip(*(lane["states"] for lane in head["lanes"]), strict=True)]
    assert sum(head["states"]) == head["listed"] == head["chosen"] == len(found["items"]) == 20 * count
    assert [row[17] for row in found["items"]] == [place for place in range(count) for _ in range(20)]
    assert {row[0] for row in found["attempts"]} == set(range(20 * count))
    assert (head["account"], head["region"]) == (None, None)
    assert [(run["id"], run["exit"]) for run in head["runs"]] == [
        ("20261124T000500Z-90b2c4d7", 20),
        ("20261123T200000Z-5e1f0a3c", 13),
    ]
    assert head["runs"][0]["reason"] == f"{count} of {count} lane{'' if count == 1 else 's'} ended with items_failed"
    assert sum(sum(run["tally"]) for run in head["runs"]) == len(found["attempts"])
    for run in head["runs"]:
        assert sum(step[2] for step in run["steps"]) == sum(run["tally"])
    assert sum(cause["count"] for cause in head["causes"]) == head["states"][STATES.index(State.FAILED)]


def test_a_page_of_several_lanes_keeps_up_with_all_of_them_in_one_revision(tmp_path: Path) -> None:
    labels = lane_labels(2)
    stories = tell_lanes(tmp_path, labels, count=5)

    with lanes_page(stories, labels) as page, ExitStack() as closing:
        readers = [closing.enter_context(reader) for story in stories if (reader := find_reader(story.ledger))]
        page.compare_with([reader.marks(page.pages[0].found.manifest.batch) for reader in readers])
        before = page.board.revision

        assert page.keep_up(readers, AT)

        changes = page.board.since(before)
    assert (page.board.revision, changes["whole"], changes["items"]) == (before + 1, False, [])
    assert page.states.total() == 10
    assert not page.is_held


def test_each_lane_has_its_share_of_what_a_page_holds(tmp_path: Path) -> None:
    labels = lane_labels(3)
    stories = tell_lanes(tmp_path, labels, count=20)

    with lanes_page(stories, labels, PageLimits(items=15, attempts=6)) as page:
        found = page.board.since(0)

    assert [row[17] for row in found["items"]] == [0] * 5 + [1] * 5 + [2] * 5
    assert found["head"]["attempts_left_out"] is True
    assert (found["head"]["listed"], found["head"]["chosen"]) == (15, 60)


def test_the_page_of_one_lane_has_nothing_of_lanes(story: Story) -> None:
    found = shown(story)

    assert "lanes" not in found["head"]
    assert max(len(row) for row in found["items"]) <= 17
