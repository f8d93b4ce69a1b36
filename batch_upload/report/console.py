"""The progress of a run on a terminal. The only module that draws, and the only one that needs rich."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from batch_upload.escape import escaped_for
from batch_upload.events import LaneStopped, Looking, Notice, OrphanSeen, Resolving, RunEnded, RunStarted
from batch_upload.report.observers import RunObserver
from batch_upload.report.plain import (
    LocalTime,
    PlainObserver,
    counts_words,
    event_sentence,
    failure_sentence,
    flight_words,
    pace_words,
)
from batch_upload.report.progress import RunProgress

REDRAW_EVERY = timedelta(seconds=0.1)
_NARROWEST_BAR = 10
_SEGMENTS = (("green", "#━"), ("red", "!━"), ("yellow", "~━"), ("cyan", "+╌"))
"""Done, failed, parked or open, processing: style, and the character in ASCII and otherwise."""
_REST = ("dim", ".─")
_PRINTED = (RunStarted, LaneStopped, Notice, OrphanSeen, Resolving, Looking)
"""Events whose sentence is printed above the drawing."""


class _RaisingConsole(Console):
    """A console that raises what its stream raises. rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls it while the BrokenPipeError is handled


def terminal_console(stream: TextIO) -> Console:
    """Return a console that prints text as it is: without markup, emoji codes or coloured numbers."""
    return _RaisingConsole(file=stream, markup=False, emoji=False, highlight=False, safe_box=True)


def people_observer(stream: TextIO) -> RunObserver:
    """Return the observer that suits the stream: one that draws on a terminal, or one that writes lines."""
    console = terminal_console(stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return ProgressObserver(console)
    return PlainObserver(stream)


class ProgressObserver:
    """Draws one bar over all items of the run; below it counts, pace, what is in flight, the last failures.

    Sentences scroll by above. The drawing is removed at the end: the summary follows. Raises OSError as the terminal
    does.
    """

    def __init__(self, console: Console, *, local_time: LocalTime = datetime.astimezone) -> None:
        self._console = console
        self._local_time = local_time
        self._progress = RunProgress()
        self._live: Live | None = None
        self._drawn_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Count the event, print its sentence, and draw again if the last drawing is old enough."""
        self._progress.notify(event)
        if isinstance(event, _PRINTED):
            self._console.print(Text(escaped_for(event_sentence(event) or "", self._console.encoding)))
        if isinstance(event, RunStarted):
            self._begin(event.at)
        elif isinstance(event, RunEnded):
            self.close()
        else:
            at = getattr(event, "at", None)
            # `abs`: the wall clock may have been set back
            if isinstance(at, datetime) and (self._drawn_at is None or abs(at - self._drawn_at) >= REDRAW_EVERY):
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
        return renderable(self._progress, self._console, at=at, local_time=self._local_time)


def renderable(progress: RunProgress, console: Console, *, at: datetime, local_time: LocalTime) -> RenderableType:
    """Return the drawing of a run: the bar, the counts, the pace, what is in flight, the last failures."""
    numbers = f"{progress.sent:,}/{progress.total:,} sent  {100 * progress.sent // max(1, progress.total)} %"
    top: RenderableType = Text(numbers, no_wrap=True)
    if console.width >= len(numbers) + 2 + _NARROWEST_BAR:
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(_Bar(progress), numbers)
        top = grid
    pace = pace_words(progress, at=at, local_time=local_time)
    lines = [Text(escaped_for(text, console.encoding)) for text in (counts_words(progress), pace)]
    flight = flight_words(progress)
    clipped = [] if flight is None else [(flight, "dim")]
    clipped += [(failure_sentence(known), "red") for known in progress.failures]
    for sentence, style in clipped:
        line = Text(escaped_for(sentence, console.encoding), style=style, no_wrap=True)
        line.overflow = "crop" if console.options.ascii_only else "ellipsis"
        lines.append(line)
    return Group(top, *lines)


class _Bar:
    """A bar of as many columns as there are: each state has its share of them, in its colour and its character."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress, width, column = self._progress, options.max_width, 0 if options.ascii_only else 1
        counts = (progress.done, progress.failed, progress.parked + progress.open, progress.processing)
        bar, counted = Text(no_wrap=True), 0
        for count, (style, characters) in zip(counts, _SEGMENTS, strict=True):
            counted += count
            end = width * counted // max(1, progress.total)
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
