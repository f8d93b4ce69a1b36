"""The progress of a run on a terminal. The only module that draws, and the only one that needs rich."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from batch_upload.errors import ExitCode
from batch_upload.escape import escaped_for, printable, terminal_width
from batch_upload.events import (
    LaneEnded,
    LanesChosen,
    LaneStopped,
    Looking,
    Notice,
    OrphanSeen,
    Resolving,
    RunEnded,
    RunStarted,
    lane_and_event,
)
from batch_upload.report.lane_progress import LanesProgress, ProgressCounts, Trouble
from batch_upload.report.lane_words import (
    LocalTime,
    in_lane_words,
    lane_ended_sentence,
    lanes_pace_words,
    lanes_words,
    trouble_words,
)
from batch_upload.report.observers import RunObserver
from batch_upload.report.plain import (
    PlainObserver,
    counts_words,
    event_sentence,
    failure_sentence,
    flight_words,
    pace_words,
)
from batch_upload.report.progress import RunProgress
from batch_upload.words import cut_in_middle

REDRAW_EVERY = timedelta(seconds=0.1)
LANES_REDRAW_EVERY = timedelta(seconds=0.5)
"""A drawing of 200 lanes takes some milliseconds, during which no lane goes on."""
TROUBLED_SHOWN = 5
"""Lanes that need attention in the drawing of many, which stays within 10 lines."""
_NARROWEST_BAR = 10
_SEGMENTS = (("green", "#━"), ("red", "!━"), ("yellow", "~━"), ("magenta", "=┅"), ("cyan", "+╌"))
"""Done, failed, parked or open, binding, processing: style, and the character in ASCII and otherwise."""
_REST = ("dim", ".─")
_PRINTED = (RunStarted, LaneStopped, Notice, OrphanSeen, Resolving, Looking)
"""Events whose sentence is printed above the drawing."""
_PRINTED_OF_LANES = (LaneStopped, Notice, OrphanSeen)
"""Of several lanes only these: the others come once for each lane."""


class _RaisingConsole(Console):
    """A console that raises what its stream raises. rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls it while the BrokenPipeError is handled


def terminal_console(stream: TextIO) -> Console:
    """Return a console that prints text as it is: without markup, emoji codes or coloured numbers."""
    console = _RaisingConsole(file=stream, markup=False, emoji=False, highlight=False, safe_box=True)
    if console.is_dumb_terminal and (width := terminal_width(stream)) is not None:
        console.size = ConsoleDimensions(width, console.height)  # rich takes such a terminal to have 80 columns
    return console


def people_observer(stream: TextIO) -> RunObserver:
    """Return the observer that suits the stream: one that draws on a terminal, or one that writes lines."""
    console = terminal_console(stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return ProgressObserver(console)
    return PlainObserver(stream)


class ProgressObserver:
    """Draws one bar over all items of the run; below it counts, pace, what is in flight, the last failures.

    Of a run over several lanes the bar is of all, and below the counts are the lanes that need attention. Sentences
    scroll by above. The drawing is removed at the end: the summary follows. Raises OSError as the terminal does.
    """

    def __init__(self, console: Console, *, local_time: LocalTime = datetime.astimezone) -> None:
        self._console = console
        self._local_time = local_time
        self._progress = LanesProgress()
        self._live: Live | None = None
        self._drawn_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Count the event, print its sentence, and draw again if the last drawing is old enough."""
        self._progress.notify(event)
        sentence = self._sentence(event)
        if sentence is not None:
            self._console.print(Text(escaped_for(sentence, self._console.encoding)))
        _, inner = lane_and_event(event)
        if isinstance(inner, RunStarted | LanesChosen) and self._live is None:
            self._begin(inner.at)
        elif isinstance(event, RunEnded):
            self.close()
        else:
            at, pause = getattr(inner, "at", None), LANES_REDRAW_EVERY if self._progress.lanes else REDRAW_EVERY
            # `abs`: the wall clock may have been set back
            if isinstance(at, datetime) and (self._drawn_at is None or abs(at - self._drawn_at) >= pause):
                self.tick(at)

    def tick(self, at: datetime) -> None:
        """Draw again, so that the time left goes down."""
        if self._live is not None:
            self._drawn_at = at
            self._live.update(self._drawing(at), refresh=True)

    def close(self) -> None:
        """Remove the drawing."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _sentence(self, event: object) -> str | None:
        wrapped, inner = lane_and_event(event)
        if wrapped is None:
            return (event_sentence(inner) or "") if isinstance(inner, (*_PRINTED, LanesChosen)) else None
        sentence = event_sentence(inner) if isinstance(inner, _PRINTED_OF_LANES) else None
        if isinstance(inner, LaneEnded) and inner.code != ExitCode.DONE:
            sentence = lane_ended_sentence(inner, self._progress.lanes[wrapped.label])
        return None if sentence is None else in_lane_words(wrapped.label, sentence)

    def _begin(self, at: datetime) -> None:
        self._live = Live(
            self._drawing(at),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # stdout may carry the lines of --json
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
        self._console.show_cursor(show=True)  # a process that is killed could not bring it back
        self._drawn_at = at

    def _drawing(self, at: datetime) -> RenderableType:
        if self._progress.lanes:
            return renderable_of_lanes(self._progress, self._console, at=at, local_time=self._local_time)
        return renderable(self._progress.whole, self._console, at=at, local_time=self._local_time)


def renderable(progress: RunProgress, console: Console, *, at: datetime, local_time: LocalTime) -> RenderableType:
    """Return the drawing of a run: the bar, the counts, the pace, what is in flight, the last failures."""
    pace = pace_words(progress, at=at, local_time=local_time)
    lines = [Text(escaped_for(text, console.encoding)) for text in (counts_words(progress), pace)]
    flight = flight_words(progress)
    clipped = [] if flight is None else [(flight, "dim")]
    clipped += [(failure_sentence(known), "red") for known in progress.failures]
    lines += [_clipped(sentence, console, style) for sentence, style in clipped]
    return Group(_bar_and_numbers(progress, console), *lines)


def renderable_of_lanes(
    progress: LanesProgress, console: Console, *, at: datetime, local_time: LocalTime
) -> RenderableType:
    """Return the drawing of a run over several lanes: one bar, the sums, and the lanes that need attention."""
    pace = lanes_pace_words(progress, at=at, local_time=local_time)
    lines = [_clipped(text, console, "") for text in (counts_words(progress), lanes_words(progress), pace)]
    troubled = progress.troubled(at)
    grid = Table.grid(padding=(0, 2))
    for _ in ("lane", "sent", "why"):
        grid.add_column(no_wrap=True, overflow="crop" if console.options.ascii_only else "ellipsis")
    for lane, trouble in troubled[:TROUBLED_SHOWN]:
        done, why = f"{lane.sent:,}/{lane.total:,}", trouble_words(lane, trouble, at=at)
        style = _TROUBLE_STYLES.get(trouble, "dim")
        mark = "..." if console.options.ascii_only else "…"
        label = cut_in_middle(escaped_for(printable(lane.label), console.encoding), console.width // 2, mark=mark)
        grid.add_row(*(Text(escaped_for(cell, console.encoding), style) for cell in (label, done, why)))
    more = sum(trouble is not Trouble.SLOW for _, trouble in troubled[TROUBLED_SHOWN:])
    rest = [_clipped(f"and {more:,} more lanes need attention", console, "dim")] if more else []
    return Group(_bar_and_numbers(progress, console), *lines, grid, *rest)


_TROUBLE_STYLES = {Trouble.ENDED: "red", Trouble.STOPPED: "red", Trouble.FAILING: "red", Trouble.THROTTLED: "yellow"}


def _clipped(sentence: str, console: Console, style: str) -> Text:
    """Return a text that stays on one line of the terminal."""
    line = Text(escaped_for(sentence, console.encoding), style=style, no_wrap=True)
    line.overflow = "crop" if console.options.ascii_only else "ellipsis"
    return line


def _bar_and_numbers(progress: ProgressCounts, console: Console) -> RenderableType:
    sent, total = progress.sent, progress.total
    numbers = f"{sent:,}/{total:,} sent  {100 * sent // max(1, total)} %"
    if console.width < len(numbers) + 2 + _NARROWEST_BAR:
        return Text(numbers, no_wrap=True)
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(_Bar(progress), numbers)
    return grid


class _Bar:
    """A bar of as many columns as there are: each state has its share of them, in its colour and its character."""

    def __init__(self, progress: ProgressCounts) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress, width, column = self._progress, options.max_width, 0 if options.ascii_only else 1
        total = max(1, progress.total)
        unfinished = (progress.parked + progress.open, progress.binding, progress.processing)
        counts = (progress.done, progress.failed, *unfinished)
        bar, counted = Text(no_wrap=True), 0
        for count, (style, characters) in zip(counts, _SEGMENTS, strict=True):
            counted += count
            end = width * counted // total
            bar.append(characters[column] * (end - len(bar)), style=style)
        style, characters = _REST
        bar.append(characters[column] * (width - len(bar)), style=style)
        yield bar

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST_BAR, options.max_width)


def draw_table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table, the last column to the right. Texts that are too long are folded, none is cut off."""
    table = Table(box=SIMPLE, padding=(0, 1), show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold", justify="right" if title == titles[-1] else "left")
    for row in rows:
        table.add_row(*(Text(escaped_for(cell, console.encoding)) for cell in row))
    console.print(table)
