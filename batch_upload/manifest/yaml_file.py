"""One YAML file from its bytes to a cursor over its events: a manifest, or a file that it names."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import yaml

from batch_upload.errors import UsageError
from batch_upload.manifest.cursor import CannotGoOnError, Loader, YamlCursor
from batch_upload.manifest.problems import Code, Problems
from batch_upload.manifest.source import (
    THE_MANIFEST,
    Screened,
    cannot_be_read,
    open_manifest,
    refuse_database,
    refuse_table,
    screen,
)
from batch_upload.manifest.syntax import position_of_fault, syntax_message
from batch_upload.model import Position


@contextmanager
def open_yaml(
    path: Path, problems: Problems, *, loader: Loader, size_limit_bytes: int, what: str = THE_MANIFEST
) -> Iterator["YamlFile | None"]:
    """Open a YAML file, or yield None if its bytes have a problem. `what` names the file in messages.

    Raises UsageError if the path is no regular file or cannot be read.
    """
    with open_manifest(path, what=what) as file:
        try:
            if what == THE_MANIFEST:
                refuse_table(path)
                refuse_database(path, file)
            screened = screen(file, problems, size_limit_bytes=size_limit_bytes, what=what)
        except OSError as error:
            raise cannot_be_read(path, error, what=what) from error
        if not screened.readable:
            yield None
            return
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        cursor = YamlCursor(text, problems, loader=loader, watch_blocks=bool(screened.tabs))
        try:
            yield YamlFile(path, file, cursor, problems, screened, what)
        finally:
            cursor.close()
            text.detach()


class YamlFile:
    """A YAML file that is being read through `cursor`. `is_broken`: its grammar ended the reading."""

    def __init__(
        self, path: Path, file: BinaryIO, cursor: YamlCursor, problems: Problems, screened: Screened, what: str
    ) -> None:
        self.path = path
        self.cursor = cursor
        self.screened = screened
        self.is_broken = False
        self._file = file
        self._problems = problems
        self._what = what

    def end(self, ends_at: Position | None = None) -> None:
        """Report a second document and tabs: to the end, or up to where YAML cannot be read on."""
        if ends_at is None:
            self.cursor.end()
        # A quoted or block text may have tabs of its own at the beginning of its lines.
        in_texts = {line for block in self.cursor.blocks for line in block}
        for tab in self.screened.tabs:
            if tab.line not in in_texts and (ends_at is None or tab.line <= ends_at.line):
                self._problems.add(tab, Code.TAB, "a tab in the indentation: use spaces")

    @contextmanager
    def until_fault(self) -> Iterator[None]:
        """Read as far as YAML's grammar goes, and report where it ends. Raises UsageError if reading fails."""
        try:
            yield
        except CannotGoOnError:
            self.is_broken = True
        except yaml.YAMLError as error:
            self.is_broken = True
            ends_at = position_of_fault(error)
            if not any(tab.line == ends_at.line for tab in self.screened.tabs):
                # Nothing else is read from the file after this.
                self._file.seek(0)
                text = io.TextIOWrapper(self._file, encoding="utf-8-sig")
                line = next(islice(text, ends_at.line - 1, None), "").rstrip("\n")
                text.detach()
                message = syntax_message(error, line, ends_at.column)
                self._problems.add(ends_at, Code.SYNTAX, f"this is not YAML: {message}")
            self.end(ends_at)
        except UnicodeDecodeError as error:
            raise UsageError(f"{self._what} was changed while it was read", hint="try again") from error
        except OSError as error:
            raise cannot_be_read(self.path, error, what=self._what) from error
