"""How far each lane is, as a table."""

import pytest

from batch_upload.model import State
from batch_upload.report.lane_status import LANES_LISTED, LaneStatus, lane_status_lines
from batch_upload.report.ndjson import LaneRef
from tests.unit.report.samples import HOSTILE_NAMES

LANE = LaneRef("a/r", "111122223333", "us-east-1")


def status(label: str, note: str = "", **states: int) -> LaneStatus:
    counts = {State(name): count for name, count in states.items()}
    return LaneStatus(LaneRef(label, "111122223333", "us-east-1"), counts, note)


def test_lanes_that_are_not_done_are_listed_the_most_urgent_first() -> None:
    lanes = [
        status("done/r", complete=25),
        status("waiting/r", complete=1, processing=2),
        status("refused/r", "another account", complete=3),
        status("failing/r", complete=1, failed=2),
    ]

    assert lane_status_lines(lanes) == [
        "lanes: 4, of which 1 complete",
        "  lane       account/Region          items",
        "  refused/r  111122223333/us-east-1  3 complete, another account",
        "  failing/r  111122223333/us-east-1  1 complete, 2 failed",
        "  waiting/r  111122223333/us-east-1  2 processing, 1 complete",
    ]
    assert [line.split()[0] for line in lane_status_lines(lanes, verbose=True)[2:]] == [
        *("done/r", "waiting/r", "refused/r", "failing/r")
    ]


@pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
def test_a_lane_with_an_item_in_any_other_state_is_not_complete(state: State) -> None:
    lines = lane_status_lines([LaneStatus(LANE, {State.COMPLETE: 1, state: 1})])

    assert lines[0] == "lanes: 1, of which 0 complete"
    assert f"1 {state.value}" in lines[2]


@pytest.mark.parametrize("count", [1, 2, 80, 200])
def test_the_table_is_bounded_unless_all_is_wanted(count: int) -> None:
    lanes = [status(f"t{number}/r", pending=1) for number in range(count)]

    assert len(lane_status_lines(lanes)) == 2 + min(count, LANES_LISTED) + (count > LANES_LISTED)
    assert len(lane_status_lines(lanes, verbose=True)) == 2 + count
    assert lane_status_lines([status("a/r", complete=1)]) == ["lanes: 1, of which 1 complete"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_stays_in_its_cell(name: str) -> None:
    lines = lane_status_lines([status(f"{name}/r", name, failed=1)])

    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
