"""A plan as people read it."""

import io
import os

import pytest

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.model import Capacity, State
from batch_upload.operations import CREATE, DESCRIBE, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind, BindState
from batch_upload.report.plan_table import (
    LaneTotals,
    Look,
    lane_plan_lines,
    lane_totals_json,
    lane_totals_lines,
    plan_lines,
    totals,
    totals_lines,
    write_lane_plans,
    write_plan,
)
from tests.support.event_schema import shape_of
from tests.unit.report.samples import HOSTILE_NAMES, item, known, plan_of


def sample_plan() -> Plan:
    """One of most kinds."""
    return Plan(
        (
            Action(ActionKind.CREATE, "acme/loa", "t1", "new", item=item()),
            Action(ActionKind.REPLACE, "日本\x1b[2J", "t2", "content changed", item=item("b", size_bytes=1_200)),
            Action(ActionKind.UNCHANGED, "c", "t3", "uploaded", item=item("c"), known=known("c")),
            Action(ActionKind.UNCHANGED, "d", "t4", "at work", item=item("d"), known=known("d", State.PROCESSING)),
            Action(ActionKind.CREATE, "terms", "t5", "new", item=item("terms", url="s3://bucket/terms.pdf")),
            Action(ActionKind.ORPHAN, "old", "t6", "no longer in the manifest"),
        )
    )


def test_a_plan_is_aligned_and_the_unchanged_are_only_counted() -> None:
    assert list(plan_lines(sample_plan(), verbose=False)) == [
        "action   id           reason                       size",
        "create   acme/loa     new                        496 KB",
        r"replace  日本\x1b[2J  content changed            1.2 KB",
        "create   terms        new",
        "orphan   old          no longer in the manifest",
    ]


def test_a_verbose_plan_shows_every_item() -> None:
    assert len(list(plan_lines(sample_plan(), verbose=True))) == 1 + 6


def test_the_totals_say_calls_bytes_time_and_capacity() -> None:
    assert totals_lines(totals(sample_plan(), 0.5, Capacity(20, 25))) == [
        "2 to create, 1 to replace, 1 orphaned, 2 unchanged",
        "calls: at least 3 CreateRegistrationAttachment, 1 DescribeRegistrationAttachments",
        "bytes: 497 KB, and 1 URL of unknown size",
        "time: about 8.0 s at 0.50/s, statuses included",
        "capacity: 20 of 25 used, 5 left",
    ]


def test_how_many_requests_at_once_are_needed_is_said_if_asked_or_where_it_slows_the_run() -> None:
    enough = totals(sample_plan(), 21.5, None, latency_s=0.004, concurrency=8)
    too_few = totals(sample_plan(), 50.0, None, latency_s=0.2, concurrency=2)

    assert not any(line.startswith("workers:") for line in totals_lines(enough))
    assert "workers: 1 request at once is enough for 21.5/s, at 4 ms each" in totals_lines(enough, verbose=True)
    assert [line for line in totals_lines(too_few) if line.startswith("workers:")] == [
        "workers: 10 requests at once are enough for 50.0/s, at 200 ms each; `--concurrency 2` allows 10.0/s"
    ]


def test_what_will_be_cut_short_is_said() -> None:
    full = totals(plan_of(13), 1.0, Capacity(25, 25))
    tight = totals(plan_of(13), 1.0, Capacity(20, 25))

    assert totals_lines(full) == [
        "13 to create",
        "calls: none",
        "bytes: 0 bytes",
        "time: none for uploads",
        "capacity: 25 of 25 used: room for 0 of 13, the other 13 will be parked",
    ]
    assert (tight.creates, tight.cut, tight.time_s, tight.bytes_to_send) == (5, 8, 7.0, 5 * 496_000)


@pytest.mark.parametrize(
    ("creates", "used", "describes"), [(1, 0, 1), (6, 0, 1), (6, 900, 2), (1_000, 0, 10), (1_000, 5_000, 60)]
)
def test_the_describes_are_by_id_or_by_listing_whichever_is_less(creates: int, used: int, describes: int) -> None:
    calls = totals(plan_of(creates), 1.0, Capacity(used, used + creates)).calls

    assert calls["DescribeRegistrationAttachments"] == describes


def test_the_look_before_the_first_create_is_part_of_calls_and_time_and_held_against_the_deadline() -> None:
    look = Look(1_900, 19, 1_900, 208.0)
    made = totals(plan_of(60), 1.0, None, deadline_s=238.0, look=look)
    nothing = totals_lines(totals(plan_of(0), 1.0, None, look=look))

    assert made.calls == {
        "CreateRegistrationAttachment": 60,
        "DescribeRegistrationAttachments": 1 + 19,
        "ListTagsForResource": 1_900,
    }
    assert (made.time_s, made.late) == (208.0 + 62.0, 60 - 31)
    assert made.as_json()["look_s"] == 208.0
    of_it = "of which 3 min 28 s to look through 1,900 attachments of the account first"
    assert f"time: about 4 min 30 s at 1.0/s, statuses included, {of_it}" in totals_lines(made)
    assert "time: none for uploads, 3 min 28 s to look through 1,900 attachments of the account first" in nothing


def test_an_unknown_capacity_cuts_nothing() -> None:
    result = totals(plan_of(100), 1.0, None)

    assert (result.creates, result.cut) == (100, 0)
    assert totals_lines(result)[-1] == "capacity: not known"


def test_an_empty_plan_has_no_table() -> None:
    stream = io.StringIO()
    write_plan(Plan(()), totals(Plan(()), 1.0, None), stream, verbose=True)

    assert stream.getvalue().splitlines() == [
        "nothing to do",
        "calls: none",
        "bytes: 0 bytes",
        "time: none for uploads",
        "capacity: not known",
    ]


def test_the_totals_are_a_line_for_programs_too() -> None:
    assert totals(plan_of(3), 2.0, Capacity(23, 25)).as_json() == {
        "event": "totals",
        "schema_version": 1,
        "actions": {
            "create": 3,
            "unchanged": 0,
            "retag": 0,
            "replace": 0,
            "bind": 0,
            "resolve": 0,
            "orphan": 0,
            "parked": 0,
            "failed": 0,
            "invalid": 0,
        },
        "creates": 2,
        "cut_by_capacity": 1,
        "cut_by_deadline": 0,
        "calls": {"CreateRegistrationAttachment": 2, "DescribeRegistrationAttachments": 1},
        "bytes": 992_000,
        "rate": 2.0,
        "time_s": 3.0,
        "look_s": 0.0,
        "useful_workers": None,
        "capacity": {"used": 23, "max": 25},
    }


def test_a_stream_of_another_encoding_gets_escapes() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="") as stream:
        write_plan(sample_plan(), totals(sample_plan(), 1.0, None), stream, verbose=False)
        written = raw.getvalue()

    assert rb"\u65e5\u672c\x1b[2J" in written


def read_to(reader: io.FileIO, end: bytes) -> bytes:
    """What a terminal shows up to these bytes."""
    shown = b""
    while end not in shown:
        shown += reader.read(10_000)
    return shown


def test_a_terminal_gets_a_drawn_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    near, far = os.openpty()
    with os.fdopen(near, "rb", buffering=0) as reader, os.fdopen(far, "w", encoding="utf-8") as stream:
        write_plan(sample_plan(), totals(sample_plan(), 1.0, None), stream, verbose=False)
        stream.write("THE END\n")
        stream.flush()
        shown = read_to(reader, b"THE END").decode()

    assert "─" in shown
    assert "acme/loa" in shown
    assert "capacity: not known" in shown


def test_a_plan_says_what_the_deadline_cuts_off() -> None:
    tight = totals(plan_of(100), 2.0, None, deadline_s=30.0)

    assert tight.as_json()["cut_by_deadline"] == 39
    assert "deadline: in 30 s, about 61 of 100 leave before it, the other 39 with the next run" in totals_lines(tight)
    assert not any(
        line.startswith("deadline") for line in totals_lines(totals(plan_of(10), 2.0, None, deadline_s=30.0))
    )


def lane_totals(
    label: str, plan: Plan, rate: float = 1.0, capacity: Capacity | None = None, *, deadline_s: float | None = None
) -> LaneTotals:
    return LaneTotals(label, totals(plan, rate, capacity, deadline_s=deadline_s))


def test_lanes_against_actions_are_a_table_with_the_sums_last() -> None:
    lanes = [
        lane_totals("acme/us-east-1", sample_plan(), 0.5, Capacity(20, 25)),
        lane_totals("acme/us-west-2", plan_of(1_200)),
        lane_totals("beta/us-east-1", Plan((), complete=7)),
    ]

    assert list(lane_plan_lines(lanes)) == [
        "lane            create  unchanged  replace  orphan  calls    time",
        "acme/us-east-1  2       2          1        1       4       8.0 s",
        "acme/us-west-2  1,200   0          0        0       1,212  20 min",
        "beta/us-east-1  0       7          0        0       0        none",
        "all lanes       1,202   9          1        1       1,216  20 min",
    ]
    assert lane_totals_lines(lanes) == [
        "1,202 to create, 1 to replace, 1 orphaned, 9 unchanged",
        "calls: at least 1,203 CreateRegistrationAttachment, 13 DescribeRegistrationAttachments",
        "bytes: 596 MB, and 1 URL of unknown size",
        "time: about 20 min at 1.0/s, statuses included, in the slowest lane, acme/us-west-2",
    ]


def test_lanes_without_room_or_time_are_named_and_the_others_are_not() -> None:
    full = [lane_totals(f"t{number}/r", plan_of(20), capacity=Capacity(10, 25), deadline_s=5.0) for number in range(7)]

    lines = lane_totals_lines([*full, lane_totals("well/r", plan_of(1), deadline_s=5.0)])

    assert lines[4] == "deadline: in 5.0 s, 63 creates in 7 lanes leave after it, with the next run"
    assert lines[5:] == [
        *(f"capacity of t{number}/r: room for 15 of 20, the other 5 will be parked" for number in range(5)),
        "and 2 more lanes without room for all",
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 80, 200])
def test_the_totals_of_all_lanes_are_the_sums_and_the_time_of_the_slowest(count: int) -> None:
    lanes = [lane_totals(f"t{number}/r", plan_of(number)) for number in range(count)]

    line = lane_totals_json(lanes)

    assert shape_of(line) == "totals"
    assert line["creates"] == line["actions"]["create"] == sum(range(count))
    assert line["time_s"] == max((round(lane.totals.time_s, 3) for lane in lanes), default=0.0)
    rows = list(lane_plan_lines(lanes))
    assert len(rows) == (0 if not count else 2 if count == 1 else count + 2)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_stays_in_its_row_of_the_plan(name: str) -> None:
    stream = io.StringIO()
    write_lane_plans([lane_totals(f"{name}/r", plan_of(2), capacity=Capacity(24, 25))], stream)

    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 2 + 4 + 1
    assert all(line.isprintable() for line in lines)


OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")


def bound_plan() -> Plan:
    """One of each kind of item with `bind`, and one without."""
    wanted, there = item()._replace(bind=OPT_IN), known()._replace(bind=OPT_IN, bind_state=BindState.BOUND)
    processing, waiting = (there._replace(state=state, bind_state=BindState.WANTED) for state in
                           (State.PROCESSING, State.BINDING))  # fmt: skip
    return Plan(
        (
            Action(ActionKind.CREATE, "new", "t1", "new", item=wanted),
            Action(ActionKind.CREATE, "loa", "t2", "new", item=item()),
            Action(ActionKind.BIND, "waiting", "t3", "uploaded", item=wanted, known=waiting),
            Action(ActionKind.UNCHANGED, "processing", "t4", "at work", item=wanted, known=processing),
            Action(ActionKind.UNCHANGED, "there", "t5", "uploaded", item=wanted, known=there),
            Action(ActionKind.RETAG, "tags", "t6", "only tags changed", item=wanted, known=there),
            Action(ActionKind.RETAG, "both", "t7", "only tags changed", item=wanted, known=processing),
        )
    )


def test_fields_that_are_filled_are_calls_and_take_time() -> None:
    found = totals(bound_plan(), 1.0, None, registration_reads={REGISTRATIONS: 2})
    slow = totals(bound_plan(), 1.0, None, puts_per_s=0.1)

    assert found.calls == {CREATE: 2, "TagResource": 2, DESCRIBE: 1, PUT_FIELD: 4, REGISTRATIONS: 2}
    assert slow.time_s > 40
    lines = totals_lines(found)
    assert lines[0] == "2 to create, 2 to tag anew, 1 to put into a field, 2 unchanged"
    assert lines[3].endswith("statuses and fields included")


def test_what_does_not_fit_into_the_account_is_not_put_into_a_field_either() -> None:
    assert totals(bound_plan(), 1.0, Capacity(25, 25)).calls[PUT_FIELD] == 3


@pytest.mark.parametrize(
    ("count", "words"), [(1, "to put 1 attachment into its field"), (3, "to put 3 attachments into their fields")]
)
def test_a_plan_that_only_fills_fields_says_how_long_that_takes(count: int, words: str) -> None:
    action = bound_plan().of(ActionKind.BIND)[0]
    found = totals(Plan((action,) * count), 1.0, None)

    assert totals_lines(found)[3] == f"time: none for uploads, about {count:.1f} s {words}"
    lanes = [LaneTotals("acme/us-east-1", found), LaneTotals("beta/us-east-1", totals(Plan(()), 1.0, None))]
    assert f"{words}, in the slowest lane, acme/us-east-1" in lane_totals_lines(lanes)[3]
