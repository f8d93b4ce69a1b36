"""The README's picture of a terminal, recorded from a run. `python -m tests.support.terminal_picture` makes it anew."""

import io
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from tests.support.command import COMMAND
from tests.support.emulator_process import ROOT
from tests.support.terminal import Frame, recorded
from tests.support.transcripts import copy_of_manifests

PICTURE = ROOT / "docs" / "terminal.svg"
TITLE = "batch-upload"
COMMANDS = ("upload demo.yaml --local", "upload demo.yaml --local")
COLUMNS = 100
STEP_S = 0.1
"""Screens that were shown for less are left out."""
PAUSE_S = 2.0
"""How long the end of a command stays before the next one is typed, and any other screen at most."""
LAST_S = 6.0
"""How long the last screen stays before it begins anew."""
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Rich would have whoever looks at the picture fetch a font from elsewhere."""
_STYLES = re.compile(r"<style>(?P<css>.*?)</style>", re.DOTALL)
_MATRIX = re.compile(r'<g class="[\w-]+-matrix">\s*(?P<inner>.*?)\s*</g>\s*</g>\s*</svg>', re.DOTALL)


def record(folder: Path) -> list[Frame]:
    """The screens of the commands, one after another in one terminal, in a folder with the demo's manifest."""
    before: list[str] = []
    frames: list[Frame] = []
    begins_s = 0.0
    for arguments in COMMANDS:
        typed = [*before, f"\x1b[1;32m$\x1b[0m batch-upload {arguments}"]
        shown = [Frame(begins_s, tuple(typed))]
        for frame in recorded([COMMAND, *arguments.split()], cwd=folder, env=os.environ, columns=COLUMNS):
            shown.append(Frame(begins_s + frame.at_s, (*typed, *frame.lines)))
        frames += shown
        before = [*shown[-1].lines[:-1], ""]
        begins_s = shown[-1].at_s + PAUSE_S
    return _readable(frames)


def _readable(frames: Sequence[Frame]) -> list[Frame]:
    """Without the screens that nobody could have read, the last of all excepted, and without long waits."""
    at_s, kept = 0.0, []
    for each, after in zip(frames, [*frames[1:], None], strict=True):
        stays_s = PAUSE_S if after is None else min(after.at_s - each.at_s, PAUSE_S)
        if after is None or stays_s >= STEP_S:
            kept.append(Frame(at_s, each.lines))
        at_s += stays_s
    return kept


def plain(lines: Sequence[str]) -> str:
    """A screen's text, numbers and all, without its colours."""
    return "\n".join(Text.from_ansi(line).plain.rstrip() for line in lines)


def picture_of(frames: Sequence[Frame]) -> str:
    """An SVG that shows the screens in their own time; without animations, the last one."""
    height = max(len(_folded(frame.lines)) for frame in frames)
    lasts_s = frames[-1].at_s + LAST_S
    whole = _svg(frames[-1], height, "last")
    styles, groups = [_css(whole)], []
    for number, frame in enumerate(frames):
        drawn = _svg(frame, height, f"f{number}")
        ends_s = frames[number + 1].at_s if number + 1 < len(frames) else lasts_s
        styles += [_css(drawn), _shown(number, frame.at_s / lasts_s, ends_s / lasts_s, lasts_s)]
        still = ' class="screen last"' if number + 1 == len(frames) else ' class="screen"'
        groups.append(f'<g id="f{number}"{still}>{_inner(drawn)}</g>')
    styles.append("@media (prefers-reduced-motion) { .screen { animation: none !important } .last { opacity: 1 } }")
    whole = _STYLES.sub(lambda _: f"<style>{''.join(styles)}</style>", whole)
    return whole.replace(_inner(whole), "".join(groups), 1)


def _folded(lines: Sequence[str]) -> list[Text]:
    """The lines as a terminal breaks those that are too long."""
    texts = [Text.from_ansi(line) for line in lines]
    return [part for text in texts for part in text.divide(range(COLUMNS, len(text), COLUMNS))]


def _svg(frame: Frame, height: int, name: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    lines = _folded(frame.lines)
    for line in [*lines, *[Text()] * (height - len(lines))]:
        console.print(line, no_wrap=True)
    return _FONTS.sub("", console.export_svg(title=TITLE, theme=DIMMED_MONOKAI, unique_id=name))


def _css(svg: str) -> str:
    found = _STYLES.search(svg)
    if found is None:
        raise ValueError("an SVG without styles")
    return found["css"]


def _inner(svg: str) -> str:
    found = _MATRIX.search(svg)
    if found is None:
        raise ValueError("an SVG without text")
    return found["inner"]


def _shown(number: int, begins: float, ends: float, lasts_s: float) -> str:
    """CSS that shows one screen from one share of the whole time to another."""
    return (
        f"#f{number} {{ opacity: 0; animation: show{number} {lasts_s:.2f}s step-end infinite }}\n"
        f"@keyframes show{number} {{ 0% {{ opacity: 0 }} {100 * begins:.3f}% {{ opacity: 1 }}"
        f" {100 * ends:.3f}% {{ opacity: 0 }} }}\n"
    )


def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(picture_of(record(copy_of_manifests(Path(folder)))), encoding="utf-8")


if __name__ == "__main__":
    _write()
