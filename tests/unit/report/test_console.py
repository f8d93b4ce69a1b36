"""A run as a terminal shows it."""

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator

import pytest
from rich.console import Console

from batch_upload.actions import ActionKind, Plan
from batch_upload.errors import ExitCode
from batch_upload.events import LanesChosen, LaneStopped, Notice, Resolving, RunEnded
from batch_upload.model import State
from batch_upload.report.console import (
    ProgressObserver,
    draw_table,
    people_observer,
    renderable,
    renderable_of_lanes,
    terminal_console,
)
from batch_upload.report.lane_progress import LanesProgress
from batch_upload.report.plain import PlainObserver
from batch_upload.report.progress import RunProgress
from tests.unit.report.samples import (
    BEGIN,
    HOSTILE_NAMES,
    TOO_LARGE,
    after,
    answered,
    created,
    ended,
    lane_ended,
    moved,
    of_lane,
    plan_of,
    sending,
    started,
    throttled,
    to_bind,
    utc,
)

RUN_ENDED = RunEnded(
    states={}, requests={}, throttled=0, uploaded=0, adopted=0, unchanged=0, bytes_sent=0, elapsed_s=1, at=after(99)
)
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Screen:
    """A terminal of a width and an encoding, and what was written to it."""

    def __init__(self, width: int, encoding: str, *, no_color: bool = False) -> None:
        self._raw = io.BytesIO()
        self._encoding = encoding
        self.stream = io.TextIOWrapper(self._raw, encoding=encoding, newline="")
        self.console = Console(
            file=self.stream,
            width=width,
            height=24,
            force_terminal=True,
            markup=False,
            emoji=False,
            highlight=False,
            color_system="standard",
            no_color=no_color,
            legacy_windows=False,
            _environ={},
        )

    @property
    def text(self) -> str:
        self.stream.flush()
        return self._raw.getvalue().decode(self._encoding)

    @property
    def lines(self) -> list[str]:
        """All that was ever drawn, without colours and movements, line ends trimmed."""
        drawn = ESCAPES.sub("", self.text).replace("\r", "\n")
        return [line.rstrip() for line in drawn.splitlines() if line.strip()]


def sample_progress() -> RunProgress:
    """A run that is half through, with failures."""
    progress = RunProgress()
    progress.notify(started(plan_of(20)))
    for number in range(10):
        progress.notify(created(f"item-{number}", after(number)))
    for number in range(4):
        progress.notify(ended(f"item-{number}", after(number + 4)))
    for number in range(10, 14):
        progress.notify(ended(f"item-{number}", after(9), State.FAILED, fault=TOO_LARGE))
    progress.notify(throttled(after(9)))
    for number in range(14, 19):
        progress.notify(sending(f"item-{number}", after(9)))
    progress.notify(answered("item-14", after(10), rate=1.25))
    return progress


def drawn(width: int, encoding: str) -> list[str]:
    """One drawing of the sample run."""
    screen = Screen(width, encoding)
    screen.console.print(renderable(sample_progress(), screen.console, at=after(10), local_time=utc))
    return screen.lines


def test_a_wide_terminal_shows_bar_counts_pace_and_the_last_failures() -> None:
    assert drawn(100, "utf-8") == [
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌─────────────────────────  14/20 sent  70 %",
        "4 of 20 done, 4 failed, 6 processing",
        "1.0/s now, 1.2/s learned, 1 throttled, 6.8 s left (until 14:00)",
        "in flight: `item-15`, `item-16`, `item-17` and 1 more",
        "failed `item-11`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "failed `item-12`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "failed `item-13`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
    ]


def test_a_narrow_terminal_of_another_encoding_shows_the_same_in_ascii() -> None:
    assert drawn(40, "ascii") == [
        "####!!!!+++++++.......  14/20 sent  70 %",
        "4 of 20 done, 4 failed, 6 processing",
        "1.0/s now, 1.2/s learned, 1 throttled,",
        "6.8 s left (until 14:00)",
        "in flight: `item-15`, `item-16`, `item-1",
        "failed `item-11`: MAXIMUM_SIZE_EXCEEDED:",
        "failed `item-12`: MAXIMUM_SIZE_EXCEEDED:",
        "failed `item-13`: MAXIMUM_SIZE_EXCEEDED:",
    ]


@pytest.mark.parametrize(
    ("encoding", "bar"), [("utf-8", "━━━━━┅┅┅┅┅┅────────────"), ("ascii", "#####======............")]
)
def test_what_is_being_bound_has_a_part_of_the_bar_and_is_not_sent_yet(encoding: str, bar: str) -> None:
    progress, screen = RunProgress(), Screen(40, encoding)
    actions = [to_bind(f"b{number}", ActionKind.CREATE, None) for number in range(20)]
    progress.notify(started(Plan(tuple(actions))))
    for number in range(10):
        progress.notify(created(f"b{number}", after(number)))
        progress.notify(moved(f"b{number}", State.BINDING, after(number)))
    for number in range(5):
        progress.notify(ended(f"b{number}", after(10)))

    screen.console.print(renderable(progress, screen.console, at=after(10), local_time=utc))

    assert screen.lines[0].split("  ") == [bar, "5/20 sent", "25 %"]
    assert screen.lines[1] == "5 of 20 done, 5 binding"


def test_a_terminal_too_narrow_for_a_bar_shows_the_numbers() -> None:
    assert drawn(16, "utf-8")[0] == "14/20 sent  70 %"


@pytest.mark.parametrize(("width", "encoding"), [(40, "ascii"), (100, "ascii"), (100, "latin-1"), (40, "utf-8")])
def test_a_whole_run_stays_within_the_screen_and_its_encoding(width: int, encoding: str) -> None:
    screen = Screen(width, encoding)
    observer = ProgressObserver(screen.console, local_time=utc)

    observer.notify(started(plan_of(3)))
    observer.notify(created("item-0", after(1)))
    observer.notify(Notice("ø 日 \x1b]0;title\x07 notice", after(1)))
    observer.notify(ended("item-1", after(2), State.FAILED, fault=TOO_LARGE))
    observer.notify(Resolving(2, after(2)))
    observer.tick(after(3))
    observer.notify(LaneStopped(TOO_LARGE, draining=False, resume_after=None, at=after(4)))
    observer.notify(RUN_ENDED)

    assert max(len(line) for line in screen.lines) <= width
    assert "\x1b]" not in screen.text
    assert "title" in "".join(screen.lines)


def test_what_is_worth_a_sentence_stays_above_the_drawing() -> None:
    screen = Screen(100, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    observer.notify(started(plan_of(3)))
    observer.notify(Resolving(2, after(2)))
    observer.notify(RUN_ENDED)

    sentence = "looking up what became of 2 requests without an answer"
    assert screen.lines.count(sentence) == 1


def test_the_drawing_is_taken_away_and_the_cursor_left_visible() -> None:
    screen = Screen(100, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    observer.notify(started(plan_of(3)))
    assert screen.text.rfind("\x1b[?25h") > screen.text.rfind("\x1b[?25l")

    observer.close()
    observer.close()
    observer.tick(after(3))
    observer.notify(created("item-0", after(4)))

    assert screen.text.endswith("\x1b[2K")


def test_many_events_at_once_are_one_drawing() -> None:
    screen = Screen(100, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    observer.notify(started(plan_of(1000)))
    for number in range(1000):
        observer.notify(created(f"item-{number}", after(1 + number / 10_000)))
    observer.close()

    assert sum("of 1,000 done" in line for line in screen.lines) <= 4


def test_without_colour_nothing_is_coloured() -> None:
    screen = Screen(60, "utf-8", no_color=True)
    screen.console.print(renderable(sample_progress(), screen.console, at=after(10), local_time=utc))

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """The far end of a real terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    near, far = os.openpty()
    with os.fdopen(far, "w", encoding="utf-8") as stream:
        yield stream
    os.close(near)


def test_the_observer_suits_the_stream(terminal: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(people_observer(terminal), ProgressObserver)
    assert isinstance(people_observer(io.StringIO()), PlainObserver)

    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(people_observer(terminal), PlainObserver)


def test_a_table_is_as_wide_as_a_dumb_terminal(terminal: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 52, 0, 0))

    assert terminal_console(terminal).width == 52


def test_a_table_folds_what_is_too_long_and_cuts_nothing_off() -> None:
    screen = Screen(40, "ascii")
    draw_table(screen.console, ("action", "id", "size"), [("create", "abcdefghij" * 4, "496 KB"), ("create", "ø", "")])

    assert screen.lines == [
        " action | id                   |   size",
        "--------+----------------------+--------",
        " create | abcdefghijabcdefghij | 496 KB",
        "        | abcdefghijabcdefghij |",
        " create | \\xf8                 |",
    ]


def lanes_of(*labels: str) -> LanesProgress:
    """A run over these lanes, each half through, but the last, which has not begun."""
    progress = LanesProgress()
    progress.notify(LanesChosen("june", labels, total=len(labels), at=BEGIN))
    for label in labels[:-1]:
        progress.notify(of_lane(started(plan_of(20)), label))
        for number in range(10):
            progress.notify(of_lane(created(f"item-{number}", after(number)), label))
            progress.notify(of_lane(ended(f"item-{number}", after(number)), label))
    return progress


def drawn_lanes(progress: LanesProgress, width: int, encoding: str) -> list[str]:
    screen = Screen(width, encoding)
    screen.console.print(renderable_of_lanes(progress, screen.console, at=after(10), local_time=utc))
    return screen.lines


def test_many_lanes_are_one_bar_and_those_that_need_attention() -> None:
    progress = lanes_of("acme/us-east-1", "acme/us-west-2", "beta/us-east-1", "gamma/us-east-1", "late/us-east-1")
    progress.notify(of_lane(lane_ended(ExitCode.ACCESS, reason="not allowed"), "beta/us-east-1"))
    progress.notify(of_lane(ended("item-19", after(9), State.FAILED, fault=TOO_LARGE), "acme/us-west-2"))
    progress.notify(of_lane(LaneStopped(TOO_LARGE, draining=True, resume_after=None, at=BEGIN), "gamma/us-east-1"))

    assert drawn_lanes(progress, 100, "utf-8") == [
        f"{'━' * 42}{'─' * 40}  41/80 sent  51 %",
        "40 of 80 done, 1 failed",
        "5 lanes: 1 waiting, 3 running, 1 failed",
        "3.0/s now, 12 s left (until 14:00) for the slowest, acme/us-east-1",
        "beta/us-east-1   10/20  exit 22: not allowed",
        "gamma/us-east-1  10/20  nothing more is sent: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "acme/us-west-2   11/20  1 failed, the last: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "acme/us-east-1   10/20  12 s left",
    ]


@pytest.mark.parametrize(("width", "encoding"), [(40, "ascii"), (60, "utf-8")])
def test_the_regions_of_a_target_with_a_long_name_can_be_told_apart(width: int, encoding: str) -> None:
    name = "a-customer-with-a-rather-long-name-of-its-own"
    progress = lanes_of(f"{name}/us-east-1", f"{name}/us-west-2", "late/us-east-1")

    lines = drawn_lanes(progress, width, encoding)

    assert [line.split()[0][-9:] for line in lines[-2:]] == ["us-east-1", "us-west-2"]
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("count", [1, 2, 80, 200])
@pytest.mark.parametrize(("width", "encoding"), [(30, "ascii"), (80, "utf-8"), (200, "latin-1")])
def test_the_drawing_of_lanes_stays_within_ten_lines_and_the_width(count: int, width: int, encoding: str) -> None:
    progress = lanes_of(*(f"t{number}-{'x' * 40}/us-east-1" for number in range(count)))
    for label in [*progress.lanes][: count // 2]:
        progress.notify(of_lane(lane_ended(ExitCode.ACCESS, reason="not allowed " * 20), label))

    lines = drawn_lanes(progress, width, encoding)

    assert len(lines) <= 10
    assert max(len(line) for line in lines) <= width
    if count == 200:
        assert lines[-1] == "and 95 more lanes need attention"[:width]


def test_the_lanes_of_a_run_scroll_by_only_where_one_ends_otherwise_than_well() -> None:
    screen = Screen(120, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    labels = tuple(f"t{number}/r" for number in range(200))
    observer.notify(LanesChosen("june", labels, total=200, at=BEGIN))
    for label in labels:
        observer.notify(of_lane(started(plan_of(2)), label))
        observer.notify(of_lane(Resolving(2, after(2)), label))
    observer.notify(of_lane(lane_ended(ExitCode.DONE, after(3)), "t0/r"))
    observer.notify(of_lane(lane_ended(ExitCode.ACCESS, after(3), reason="not allowed", hint="`doctor` looks"), "t1/r"))
    observer.notify(RUN_ENDED)

    assert "batch `june` to 200 lanes" in screen.lines
    assert [line for line in screen.lines if ": ended" in line] == [
        "t1/r: ended, 0 of 2 done, exit 22 (access): not allowed; `doctor` looks"
    ]
    assert not any("looking up" in line or line.startswith("t0/r: ended") for line in screen.lines)
    assert screen.text.endswith("\x1b[2K")


def test_two_hundred_lanes_are_not_drawn_at_every_event() -> None:
    screen = Screen(100, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    labels = tuple(f"t{number}/r" for number in range(200))
    observer.notify(LanesChosen("june", labels, total=200, at=BEGIN))
    for number in range(2_000):
        observer.notify(of_lane(created("item-0", after(number / 1_000)), labels[number % 200]))
    observer.close()

    assert sum("200 lanes:" in line for line in screen.lines) <= 6


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_moves_nothing_on_the_terminal(name: str) -> None:
    screen = Screen(100, "utf-8")
    observer = ProgressObserver(screen.console, local_time=utc)
    observer.notify(LanesChosen(name, (f"{name}/r", "b/r"), total=2, at=BEGIN))
    observer.notify(of_lane(started(plan_of(2)), f"{name}/r"))
    observer.tick(after(1))
    observer.notify(of_lane(lane_ended(ExitCode.ACCESS, reason=name, hint=name), f"{name}/r"))
    observer.tick(after(2))
    observer.notify(RUN_ENDED)

    assert all(line.isprintable() for line in screen.lines)
    assert "\x1b]" not in screen.text
    assert max(len(line) for line in screen.lines) <= 100
