"""The page as data and as a file: what travels, what it costs, and that it stays text."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest

from batch_upload.model import Fault, OutcomeKind, State
from batch_upload.records import AttemptRecord, Bucket, RateRecord, RunRecord, RunTally
from batch_upload.report.advice import ROOM_IN_ACCOUNT
from batch_upload.report.completion import report_row
from batch_upload.report.ndjson import LaneRef
from batch_upload.report.page.board import BIND_STATES, KINDS, NONE, STATES, Board, json_chunks
from batch_upload.report.page.causes import ATTENTION, causes_of
from batch_upload.report.page.document import document, policy
from batch_upload.report.page.head import (
    STEPS_MAX,
    LaneHead,
    PageHead,
    RunTimeline,
    joint_timelines,
    step_width_s,
)
from batch_upload.report.summary_text import Invocation
from tests.unit.report.samples import BEGIN, LANE, TOO_LARGE, after, item, known

EVIL = "</script><!--<script>\u2028\u2029&\ud800"


def put(board: Board, item_id: str, state: State = State.COMPLETE, *, fault: Fault | None = None) -> None:
    board.put(report_row(item(item_id), known(item_id, state, fault=fault)), fault)


def put_attempt(
    board: Board, item_id: str, number: int = 1, *, kind: OutcomeKind | None = OutcomeKind.ACCEPTED
) -> None:
    ended = None if kind is None else after(number + 0.25)
    found = AttemptRecord(number, "run-1", after(number), ended, kind, None, None, None, f"req-{number}", 200)
    board.put_attempt(item_id, found)


def text_of(changes: dict[str, Any]) -> str:
    return "".join(json_chunks(changes))


def test_everything_is_there_for_whoever_knows_nothing() -> None:
    board = Board()
    board.begin_revision()
    put(board, "a")
    put(board, "b", State.FAILED, fault=TOO_LARGE)
    put_attempt(board, "a")
    put_attempt(board, "stranger")

    found = json.loads(text_of(board.since(0)))

    assert found["whole"] is True
    assert [row[:4] for row in found["items"]] == [
        [0, "a", "files/a.pdf", STATES.index(State.COMPLETE)],
        [1, "b", "files/b.pdf", STATES.index(State.FAILED)],
    ]
    assert found["faults"] == [
        [
            "ValidationException",
            "MAXIMUM_SIZE_EXCEEDED",
            "the attachment is too large",
            [["AttachmentBody", "too long"]],
        ]
    ]
    begin_ms = round(BEGIN.timestamp() * 1000)
    assert found["attempts"] == [
        [
            0,
            1,
            found["words"].index("run-1"),
            begin_ms + 1000,
            250,
            KINDS.index(OutcomeKind.ACCEPTED),
            NONE,
            "req-1",
            200,
        ]
    ]


def test_changes_are_what_is_new_since_a_revision() -> None:
    board = Board()
    board.begin_revision()
    put(board, "a")
    put(board, "b", State.PENDING)
    first = board.revision
    board.begin_revision()
    put(board, "b", State.FAILED, fault=TOO_LARGE)
    put_attempt(board, "b", kind=None)
    second = board.revision
    board.begin_revision()
    put_attempt(board, "b", kind=OutcomeKind.REFUSED)

    since_first, since_second, now = board.since(first), board.since(second), board.since(board.revision)

    assert (since_first["whole"], since_second["whole"], now["whole"]) == (False, False, False)
    assert [row[1] for row in since_first["items"]] == ["b"]
    assert (len(since_first["faults"]), since_second["faults"]) == (1, [])
    assert since_second["items"] == []
    assert [row[5] for row in since_second["attempts"]] == [KINDS.index(OutcomeKind.REFUSED)]
    assert (now["items"], now["attempts"], now["words"]) == ([], [], [])


def test_a_board_in_the_place_of_another_is_told_whole() -> None:
    old = Board()
    old.begin_revision()
    put(old, "a")
    new = Board(old.revision)
    new.begin_revision()
    put(new, "z")

    for revision in (0, old.revision, old.revision - 1):
        assert new.since(revision)["whole"] is True
        assert [row[1] for row in new.since(revision)["items"]] == ["z"]
    assert new.since(new.revision)["whole"] is False


def test_data_is_ascii_that_ends_no_script_and_comes_back_as_it_was() -> None:
    board = Board()
    board.begin_revision()
    put(board, EVIL, State.FAILED, fault=Fault(EVIL, EVIL, EVIL, ((EVIL, EVIL),)))
    board.head = {EVIL: EVIL}

    text = text_of(board.since(0))

    assert text.isascii()
    assert not set("<>&\n\r") & set(text)
    assert json.loads(text)["head"] == {EVIL: EVIL}
    assert json.loads(text)["items"][0][1] == EVIL


def test_a_row_costs_little_more_than_what_is_its_own() -> None:
    board = Board()
    board.begin_revision()
    for number in range(1000):
        put(board, f"files/{number:05d}.pdf")
        put_attempt(board, f"files/{number:05d}.pdf")
    own = len("files/00000.pdf" * 2 + "bu1-files/00000.pdf" + "ab" * 32 + "registration-attachment-1")

    assert len(text_of(board.since(0))) / 1000 < own + 180


def _page(*, live: bool = False) -> str:
    return "".join(document(['{"a":1}'], title="<june> \ud800", live=live))


def test_the_policy_lets_in_our_script_and_style_and_nothing_else() -> None:
    page = _page()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (told,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)

    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in html.unescape(told)
    assert html.unescape(told) == policy(live=False)
    assert "default-src 'none'" in policy(live=False)
    assert "connect-src" not in policy(live=False)
    assert "connect-src 'self'" in policy(live=True)


def test_the_page_names_nothing_to_fetch_and_never_makes_markup_of_data() -> None:
    page = _page()

    assert "&lt;june&gt; \\ud800" in page
    assert re.findall(r"(?:src|href)=\"?(?!#|data:)[^\"'> ]+", page) == []
    assert set(re.findall(r"https?://[^\s\"'<>)]+", page)) == {"http://www.w3.org/2000/svg"}
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "url(http"):
        assert way not in page


def test_only_a_live_page_listens() -> None:
    assert 'data-mode="still"' in _page()
    assert 'data-mode="live"' in _page(live=True)


@pytest.mark.parametrize("span_s", [0, 0.05, 7, 95, 96, 3_600, 86_400, 86_400 * 400])
def test_a_timeline_has_as_many_steps_as_a_chart_can_show(span_s: float) -> None:
    width = step_width_s(span_s)

    assert int(span_s / width) < STEPS_MAX
    assert width > 0


def test_what_needs_a_person_comes_failures_first_then_by_how_many() -> None:
    found = causes_of(
        [
            known("day", State.PARKED, fault=Fault("Quota", "full", "DAY"))._replace(resume_after=after(60)),
            known("p", State.PARKED, fault=Fault("Quota", "full", "ACCOUNT")),
            *(known(state.value, state) for state in (State.SENDING, State.PROCESSING, State.PENDING)),
            known("u", State.UNKNOWN),
            known("c", State.FAILED, fault=Fault("ConflictException", "no")),
            *(known(item_id, State.FAILED, fault=TOO_LARGE) for item_id in "abde"),
            known("done", State.COMPLETE),
        ]
    )

    assert [(cause.state, cause.name, cause.count) for cause in found] == [
        (State.FAILED, "MAXIMUM_SIZE_EXCEEDED", 4),
        (State.FAILED, "ConflictException", 1),
        (State.UNKNOWN, "", 1),
        (State.PARKED, "ACCOUNT", 1),
    ]
    assert found[0].ids == ["a", "b", "d"]
    assert found[-1].advice == ROOM_IN_ACCOUNT
    assert State.COMPLETE not in ATTENTION


@pytest.mark.parametrize(
    ("exit_code", "commands"),
    [
        (22, ["batch-upload doctor june.yaml", "batch-upload upload june.yaml"]),
        (25, ["batch-upload verify june.yaml", "batch-upload reconcile june.yaml"]),
        (20, None),
        (27, None),
        (13, None),
        (0, None),
        (None, None),
        (99, None),
    ],
)
def test_an_end_that_is_in_the_way_of_every_run_is_shown_with_its_commands(
    exit_code: int | None, commands: list[str] | None
) -> None:
    """That of items is not: they are shown themselves."""
    record = RunRecord("run-1", "upload", "june", BEGIN, None, exit_code, None)

    block = head_of(runs=[RunTimeline(record, [], 5, [])])["block"]

    assert (block and [command for command, _ in block["commands"]]) == commands


def test_of_an_item_that_cannot_be_sent_the_page_names_the_command_that_lists_every_problem() -> None:
    problem = Fault("missing", "`a.pdf` does not exist")

    (cause,) = head_of(causes=causes_of([known("a.pdf", State.INVALID, fault=problem)]))["causes"]

    assert [command for command, _ in cause["commands"]] == [
        "batch-upload why june.yaml a.pdf",
        "batch-upload validate june.yaml",
        "batch-upload upload june.yaml",
    ]


def asset(name: str) -> str:
    """The text of a file that the page is made of."""
    return (files("batch_upload.report.page") / "assets" / name).read_text(encoding="utf-8")


def names_in(script: str, constant: str) -> list[str]:
    """The strings of a constant in a script of the page."""
    found = re.search(rf"^const {constant} = [\[{{](.*?)[\]}}];$", asset(script), re.MULTILINE | re.DOTALL)
    assert found is not None, constant
    return re.findall(r'"([a-z_]+)"(?=,|$)', found[1]) or re.findall(r"^  (\w+):", found[1], re.MULTILINE)


@pytest.mark.parametrize(
    ("script", "constant", "names", "is_ordered"),
    [
        ("data.js", "STATES", STATES, True),
        ("data.js", "STATE_WORDS", STATES, False),
        ("data.js", "KINDS", KINDS, True),
        ("data.js", "BIND_STATES", BIND_STATES, True),
        ("data.js", "ATTENTION", STATES, False),
        ("overview.js", "READING_ORDER", STATES, False),
    ],
)
def test_the_scripts_of_the_page_know_every_state_and_outcome(
    script: str, constant: str, names: Sequence[str], *, is_ordered: bool
) -> None:
    """States and outcomes travel as places in these lists."""
    found = names_in(script, constant)

    assert (found if is_ordered else sorted(found)) == [str(each) for each in (names if is_ordered else sorted(names))]


def test_every_state_has_an_icon_and_a_colour_on_the_page() -> None:
    html, css = (asset(name) for name in ("page.html", "page.css"))

    assert re.findall(r'<symbol id="i-(\w+)"', html) == [*(str(each) for each in STATES), "denied"]
    assert {*re.findall(r"\.s-(\w+)(?=[^{}]*\{ --tone:)", css)} == {*(str(each) for each in STATES), "denied"}


def test_the_page_lists_first_what_the_terminal_lists_first() -> None:
    assert tuple(names_in("data.js", "ATTENTION"))[: len(ATTENTION)] == ATTENTION


def test_a_page_of_a_ledger_alone_names_no_command_that_needs_the_manifest() -> None:
    record = RunRecord("run-1", "upload", "june", BEGIN, None, 22, None)
    causes = causes_of([known("a", State.UNKNOWN)])

    head = head_of(runs=[RunTimeline(record, [], 5, [])], causes=causes, is_ledger_alone=True)

    assert head["block"]["commands"] == []
    assert [command for command, _ in head["causes"][0]["commands"]] == ["batch-upload why june.yaml a"]


def run_of(principal: str | None, host: str | None = "batch-1") -> RunTimeline:
    record = RunRecord("run-1", "upload", "june", BEGIN, None, None, None, principal, "deploy" if host else None, host)
    return RunTimeline(record, [], 5, [])


@pytest.mark.parametrize(
    ("of_lanes", "who"),
    [
        ([run_of("arn:a")], "arn:a, user deploy on batch-1"),
        ([run_of("arn:a"), run_of("arn:a")], "arn:a, user deploy on batch-1"),
        ([run_of("arn:a"), run_of("arn:b")], "arn:a, user deploy on batch-1; arn:b, user deploy on batch-1"),
        ([run_of(None), run_of(None, "batch-2")], "user deploy on batch-1; user deploy on batch-2"),
        (
            [run_of(f"arn:{each}") for each in "abcd"],
            "arn:a, user deploy on batch-1; arn:b, user deploy on batch-1; 2 more",
        ),
        ([run_of(None, None)], None),
    ],
)
def test_a_run_in_several_lanes_names_everyone_who_uploaded(of_lanes: list[RunTimeline], who: str | None) -> None:
    (joint,) = joint_timelines([each] for each in of_lanes)

    assert joint.as_json()["who"] == who


def test_a_lane_names_who_uploaded_there_in_its_last_run() -> None:
    lane = LaneHead(LaneRef("acme/us-east-1", "111122223333", "us-east-1"), {}, last_run=run_of("arn:a"))

    shown = lane.as_json()

    assert (shown["run"], shown["who"]) == ("run-1", "arn:a, user deploy on batch-1")


def head_of(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of PageHead
    head = PageHead(
        *("june", "june.yaml", "june.ledger", LANE, None, "batch-upload 0"),
        at=BEGIN,
        states={State.COMPLETE: 1},
        chosen=1,
        listed=1,
        **given,
    )
    return head.as_json(Invocation("june.yaml"))


def test_attachments_that_aws_could_not_process_are_grouped_by_their_retries() -> None:
    """What is to be done differs."""
    found = causes_of(
        known(item_id, State.FAILED, fault=Fault("UPLOAD_FAILED", "no", fields=(("retries", retries),)))
        for item_id, retries in (("a", "0"), ("b", "2"), ("c", "0"))
    )

    assert [(cause.name, cause.ids) for cause in found] == [("UPLOAD_FAILED", ["a", "c"]), ("UPLOAD_FAILED", ["b"])]
    assert "(1 of 2)" in found[0].advice
    assert "after 2 retries" in found[1].advice


def test_the_head_tells_whose_it_is_how_it_stands_and_what_to_type() -> None:
    run = RunTimeline(
        RunRecord("run-1", "upload", "june", BEGIN, None, 20, None),
        [RunTally("run-1", OutcomeKind.ACCEPTED, 2, after(9)), RunTally("run-1", None, 1, after(1))],
        width_s=5,
        steps=[Bucket("run-1", 1, OutcomeKind.ACCEPTED, 2)],
    )

    head = PageHead(
        *("june", "june.yaml", "june.ledger", LANE, "https://x", "batch-upload 0"),
        at=BEGIN + timedelta(seconds=1),
        states={State.FAILED: 1, State.COMPLETE: 2},
        chosen=3,
        listed=3,
        causes=causes_of([known("a b", State.FAILED, fault=TOO_LARGE)]),
        runs=[run],
        pace=RateRecord("CreateRegistrationAttachment", {"rate": 2.5}, BEGIN),
    ).as_json(Invocation("june.yaml", ("--local",)))

    assert (head["account"], head["region"], head["total"]) == (LANE.account, LANE.region, 3)
    assert head["states"][STATES.index(State.COMPLETE)] == 2
    assert head["causes"][0]["commands"] == [
        ("batch-upload why june.yaml 'a b' --local", "its whole history"),
        ("batch-upload upload june.yaml --local", "once that is done"),
    ]
    assert (head["people"], head["block"]) == (1, None)
    assert head["causes"][0]["advice"].startswith("make the file smaller")
    assert head["runs"][0]["steps"] == [[1, KINDS.index(OutcomeKind.ACCEPTED), 2]]
    assert (head["runs"][0]["reason"], head["runs"][0]["open"]) == ("some items failed", 1)
    assert head["pace"]["rate"] == 2.5
    assert json.loads(text_of({"head": head}))
