"""The log file: a line for everything, with one run id, whatever the disk does."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batch_upload.errors import ExitCode
from batch_upload.events import (
    Event,
    LaneEnded,
    LanesChosen,
    LaneStopped,
    LeaseChanged,
    Looking,
    Notice,
    OfLane,
    OrphanSeen,
    Pruned,
    PruneOutcome,
    Resolving,
    Retrying,
    RunEnded,
    Sending,
)
from batch_upload.model import Fault, State
from batch_upload.report.run_log import RunLogObserver, close_log, log_begin, log_said, log_summary, open_log
from batch_upload.summary import Summary, exit_of
from tests.unit.report.samples import (
    HOSTILE_NAMES,
    TOO_LARGE,
    after,
    created,
    ended,
    known,
    lane_ended,
    of_lane,
    plan_of,
    started,
    throttled,
)

HOSTILE = 'a b="c"\n\x1b]0;t\x07\u202e é'
EVENTS = [
    started(plan_of(1)),
    Sending("item-0", "bu1-x", 1, 9, after(1)),
    throttled(after(1)),
    Retrying("CreateRegistrationAttachment", "item-0", TOO_LARGE, 0.5, after(1)),
    created("item-0", after(2)),
    ended(HOSTILE, after(3), State.FAILED, fault=Fault("x", HOSTILE)),
    LaneStopped(TOO_LARGE, draining=True, resume_after=None, at=after(4)),
    Resolving(2, after(4)),
    Looking(1_900, 0, None, 0, 209.0, after(4)),
    OrphanSeen("a-2", "bu1-x", "a-1", after(4)),
    Pruned(known(), PruneOutcome.DELETED, HOSTILE, after(4)),
    Pruned(known(), PruneOutcome.KEPT, HOSTILE, after(4), TOO_LARGE),
    Notice(HOSTILE, after(5)),
    LeaseChanged(3, is_held=True, at=after(5)),
]
OF_LANES = [
    LanesChosen("june", (HOSTILE, "beta/us-east-1"), total=3, at=after(0)),
    *(of_lane(event, HOSTILE) for event in EVENTS),
    of_lane(lane_ended(ExitCode.DONE, after(6)), "beta/us-east-1"),
    of_lane(lane_ended(ExitCode.TRANSIENT, after(6)), "beta/us-east-1"),
    of_lane(lane_ended(ExitCode.ACCESS, after(6), reason=HOSTILE), HOSTILE, account=None),
]
RUN_ENDED = RunEnded(
    states={}, requests={}, throttled=0, uploaded=0, adopted=0, unchanged=0, bytes_sent=0, elapsed_s=1, at=after(99)
)
Opens = Callable[..., logging.Handler]


@pytest.fixture
def failures() -> list[OSError]:
    return []


@pytest.fixture
def opens(failures: list[OSError]) -> Iterator[Opens]:
    """Opens logs, and closes them after the test."""
    opened: list[logging.Handler] = []

    def make(path: Path, form: str = "json") -> logging.Handler:
        opened.append(open_log(path, form=form, run_id="run-1", verb="upload", on_failure=failures.append))
        return opened[-1]

    yield make
    for each in opened:
        close_log(each)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_is_a_line_of_json_with_the_run_id(opens: Opens, tmp_path: Path) -> None:
    opens(tmp_path / "run.log")
    log_begin("june.yaml", "1")
    for event in EVENTS:
        RunLogObserver().notify(event)
    log_said(logging.ERROR, "error: so it goes")
    log_summary(Summary(verb="upload", exit=exit_of(ExitCode.ITEMS_FAILED)))

    found = lines(tmp_path / "run.log")
    assert [line["event"] for line in found] == [
        *("begin", "run", "sending", "request", "retry", "item", "item", "lane_stopped", "resolving", "looking"),
        *("orphan", "pruned", "pruned", "notice", "lease", "said", "summary"),
    ]
    assert {(line["run_id"], line["verb"]) for line in found} == {("run-1", "upload")}
    assert [line["time"] for line in found[1:3]] == ["2026-11-23T14:00:00.000Z", "2026-11-23T14:00:01.000Z"]
    assert {line["event"]: line["level"] for line in found} == {
        **dict.fromkeys(("begin", "run", "looking", "lease"), "info"),
        "sending": "debug",
        **dict.fromkeys(("request", "retry", "lane_stopped", "resolving", "orphan", "notice"), "warning"),
        **dict.fromkeys(("item", "pruned", "said", "summary"), "error"),
    }
    assert (found[6]["id"], found[6]["error"]["message"]) == (HOSTILE, HOSTILE)
    assert found[-1]["exit"]["code"] == 20


def test_no_event_is_forgotten() -> None:
    assert {type(event) for event in (*EVENTS, *OF_LANES)} | {LaneEnded} == set(Event.__args__) - {RunEnded}


def test_every_event_of_a_lane_names_its_lane(opens: Opens, tmp_path: Path) -> None:
    opens(tmp_path / "run.log")
    for event in (*OF_LANES, of_lane(RUN_ENDED, HOSTILE)):
        RunLogObserver().notify(event)

    first, *found = lines(tmp_path / "run.log")
    assert (first["event"], first["targets"], first["of"]) == ("lanes", [HOSTILE, "beta/us-east-1"], 3)
    assert [line["target"] for line in found] == [event.label for event in OF_LANES if isinstance(event, OfLane)]
    assert {line["account"] for line in found[:-1]} == {"123456789012"}
    assert "schema_version" not in found[0]
    assert [(line["level"], line["code"], line["account"]) for line in found[-3:]] == [
        ("info", 0, "123456789012"),
        ("warning", 10, "123456789012"),
        ("error", 22, None),
    ]
    for event, line in zip(EVENTS, found, strict=False):
        alone = RunLogObserver()
        alone.notify(event)
        bare = lines(tmp_path / "run.log")[-1]
        assert {**bare, "target": HOSTILE, "account": line["account"], "region": line["region"]} == line


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_lanes_name_stays_on_its_line_of_text(opens: Opens, tmp_path: Path, name: str) -> None:
    opens(tmp_path / "run.log", "text")
    RunLogObserver().notify(of_lane(Notice("hm", after(1)), name))

    found = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert found.count("\n") == 1
    assert "\x1b" not in found
    assert " target=" in found


def test_as_text_everything_stays_on_its_line(opens: Opens, tmp_path: Path) -> None:
    opens(tmp_path / "run.log", "text")
    for event in EVENTS:
        RunLogObserver().notify(event)

    found = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert len(found.split("\n")) == len(EVENTS) + 1
    assert found.replace("\n", "").isprintable()
    assert found.split("\n")[1] == (
        "2026-11-23T14:00:01.000Z DEBUG run-1 sending verb=upload id=item-0 client_token=bu1-x attempt=1 size_bytes=9"
    )


def test_it_is_ours_alone_and_is_appended_to(opens: Opens, tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    close_log(opens(path))
    assert path.stat().st_mode & 0o777 == 0o600

    path.write_text("before\n")
    path.chmod(0o640)
    opens(path)
    log_begin(None, "1")

    assert path.read_text().startswith("before\n{")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_moved_is_opened_anew_where_it_was(opens: Opens, tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    opens(path)
    log_said(logging.INFO, "first")
    path.rename(tmp_path / "run.log.1")
    log_said(logging.INFO, "second")

    assert [line["message"] for line in lines(tmp_path / "run.log.1")] == ["first"]
    assert [line["message"] for line in lines(path)] == ["second"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_went_away_is_told_of_once_and_stops_nothing(
    opens: Opens, failures: list[OSError], tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    opens(folder / "run.log")
    (folder / "run.log").unlink()
    folder.rmdir()
    for _ in range(3):
        log_said(logging.INFO, "nobody hears this")

    assert [type(error) for error in failures] == [FileNotFoundError]

    folder.mkdir()
    log_said(logging.INFO, "again")
    assert [line["message"] for line in lines(folder / "run.log")] == ["again"]


def test_a_full_disk_is_told_of_once_and_stops_nothing(opens: Opens, failures: list[OSError]) -> None:
    handler = opens(Path("/dev/full"))
    for _ in range(3):
        log_said(logging.INFO, "x" * 10_000)
    close_log(handler)

    assert [error.strerror for error in failures] == ["No space left on device"]


def test_a_library_is_heard_from_warnings_on_and_on_one_line(opens: Opens, tmp_path: Path) -> None:
    opens(tmp_path / "run.log")
    library = logging.getLogger("some.library")
    library.info("a secret, perhaps")
    library.warning("what of %s", "this", exc_info=ValueError("over\nlines"))

    (line,) = lines(tmp_path / "run.log")
    assert (line["event"], line["logger"], line["message"], line["level"]) == (
        "log",
        "some.library",
        "what of this",
        "warning",
    )
    assert "ValueError: over" in line["exception"]
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["time"])).total_seconds()) < 3600
