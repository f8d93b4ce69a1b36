"""How a run goes on, on a terminal. The only module that draws, and the only one that needs rich for a run."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from batch_upload.escape import encodable
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
from batch_upload.report.tally import Tally

REDRAW_EVERY = timedelta(seconds=0.1)
_NARROWEST_BAR = 10
_SEGMENTS = (("green", "#━"), ("red", "!━"), ("yellow", "~━"), ("cyan", "+╌"))
"""Done, failed, parked or open, processing: style, and the character in ASCII and otherwise."""
_REST = ("dim", ".─")
_SPOKEN = (RunStarted, LaneStopped, Notice, OrphanSeen, Resolving, Looking)


class _Console(Console):
    """A console that raises what its stream raises. rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls it while the BrokenPipeError is handled


def terminal_console(stream: TextIO) -> Console:
    """A console that prints text as it is: nothing in it is taken for markup, an emoji or a number to colour."""
    return _Console(file=stream, markup=False, emoji=False, highlight=False, safe_box=True)


def people_observer(stream: TextIO) -> RunObserver:
    """The observer that suits the stream: one that draws on a terminal, or one that writes lines."""
    console = terminal_console(stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return ProgressObserver(console)
    return PlainObserver(stream)


class ProgressObserver:
    """Draws one bar over all items that the run will end; below it counts, pace, what is in flight, the last failures.

    What is worth a sentence of its own scrolls by above. The drawing is gone after the run: the summary follows.
    Raises OSError as the terminal does.
    """

    def __init__(self, console: Console, *, local_time: LocalTime = datetime.astimezone) -> None:
        self._console = console
        self._local_time = local_time
        self._tally = Tally()
        self._live: Live | None = None
        self._drawn_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Count the event, say what is worth a sentence, and draw again if the last drawing is old enough."""
        self._tally.take(event)
        if isinstance(event, _SPOKEN):
            self._console.print(self._text(event_sentence(event) or ""))
        if isinstance(event, RunStarted):
            self._begin(event.at)
        elif isinstance(event, RunEnded):
            self.close()
        elif self._live is not None:
            at = getattr(event, "at", None)
            if isinstance(at, datetime) and self._is_due(at):
                self._draw(at)

    def tick(self, at: datetime) -> None:
        """Draw again, so that the time left does not stand still."""
        self._draw(at)

    def close(self) -> None:
        """Take the drawing away."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _begin(self, at: datetime) -> None:
        self._live = Live(
            renderable(self._tally, self._console, at=at, local_time=self._local_time),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,  # stdout may carry the lines of --json, which are no business of this drawing
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
        self._console.show_cursor(show=True)  # a process that is killed could not bring it back
        self._drawn_at = at

    def _is_due(self, at: datetime) -> bool:
        return self._drawn_at is None or abs(at - self._drawn_at) >= REDRAW_EVERY

    def _draw(self, at: datetime) -> None:
        if self._live is not None:
            self._drawn_at = at
            drawing = renderable(self._tally, self._console, at=at, local_time=self._local_time)
            self._live.update(drawing, refresh=True)

    def _text(self, text: str) -> Text:
        return Text(encodable(text, self._console.encoding))


def renderable(tally: Tally, console: Console, *, at: datetime, local_time: LocalTime) -> RenderableType:
    """What is drawn of a run: the bar, the counts, the pace, what is in flight, the last failures."""
    pace = pace_words(tally, at=at, local_time=local_time)
    lines = [Text(encodable(text, console.encoding)) for text in (counts_words(tally), pace)]
    flight = flight_words(tally)
    flying = [] if flight is None else [_on_one_line(flight, console, style="dim")]
    failed = [_on_one_line(sentence, console, style="red") for sentence in _failures(tally)]
    return Group(_bar(tally, console), *lines, *flying, *failed)


def _bar(tally: Tally, console: Console) -> RenderableType:
    share = f"{100 * tally.sent // max(1, tally.total)} %"
    text = Text(f"{tally.sent:,}/{tally.total:,} sent  {share}", no_wrap=True)
    if console.width < len(text) + 2 + _NARROWEST_BAR:
        return text
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(_Segments(tally), text)
    return grid


class _Segments:
    """A bar of as many columns as there are: each state has its share of them, in its colour and its character."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tally, width, column = self._tally, options.max_width, 0 if options.ascii_only else 1
        counts = (tally.done, tally.failed, tally.parked + tally.open, tally.processing)
        bar, counted = Text(no_wrap=True), 0
        for count, (style, characters) in zip(counts, _SEGMENTS, strict=True):
            begin = len(bar)
            counted += count
            end = width * counted // max(1, tally.total)
            bar.append(characters[column] * (end - begin), style=style)
        style, characters = _REST
        bar.append(characters[column] * (width - len(bar)), style=style)
        yield bar

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST_BAR, options.max_width)


def _failures(tally: Tally) -> list[str]:
    return [failure_sentence(known) for known in tally.failures]


def _on_one_line(sentence: str, console: Console, *, style: str) -> Text:
    text = Text(encodable(sentence, console.encoding), style=style, no_wrap=True)
    text.overflow = "crop" if console.options.ascii_only else "ellipsis"
    return text


def draw_table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table, the last column to the right. Texts that are too long are folded, none is cut off."""
    table = Table(box=SIMPLE, padding=(0, 1), show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold", justify="right" if title == titles[-1] else "left")
    for row in rows:
        table.add_row(*(Text(encodable(cell, console.encoding)) for cell in row))
    console.print(table)
