"""Who hears of a verb besides people and pipes, where asked for: a log file, a metrics file, a monitor."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batch_upload.cli.files import NamedFile, refuse_own_files
from batch_upload.cli.flags import Flags, text_of, truth_of
from batch_upload.cli.own_files import (
    STANDARD_ERROR,
    STANDARD_OUTPUT,
    files_before_reading,
    is_metrics,
    is_no_document,
    refuse_other_content,
)
from batch_upload.errors import UsageError
from batch_upload.report.observers import RunObserver
from batch_upload.summary import Summary, new_run_id

if TYPE_CHECKING:
    from batch_upload.cli.metrics_file import MetricsFile
    from batch_upload.cli.pinging import Monitor

LOG_FORMATS = ("text", "json")


class Witnesses:
    """The witnesses of one verb. `open` comes first, `end` last; without flags all of it does nothing.

    `run_id` is the verb's own: the run that the ledger keeps carries the same.
    """

    def __init__(self, flags: Flags | None = None, *, only_log: bool = False) -> None:
        self.run_id = new_run_id(datetime.now(UTC))
        self._flags = flags
        self._only_log = only_log
        self._log: logging.Handler | None = None
        self._metrics: MetricsFile | None = None
        self._monitor: Monitor | None = None
        self._warn: Callable[[str], None] = _nobody

    def open(self, verb: str, manifest: Path | None, *, warn: Callable[[str], None]) -> None:
        """Begin to tell. Raises UsageError where one of them cannot be told; the others are told all the same."""
        if self._flags is None:
            return
        self._warn = warn
        steps = [partial(self._open_log, text_of(self._flags, "log_file"), verb, manifest)]
        if not self._only_log:
            steps.append(partial(self._open_monitor, text_of(self._flags, "notify")))
            steps.append(partial(self._open_metrics, text_of(self._flags, "metrics_file"), verb, manifest))
        wrong = [error for step in steps if (error := _error_of(step)) is not None]
        if wrong:
            raise wrong[0]

    def observers(self) -> list[RunObserver]:
        """Those that want to hear every event."""
        found: list[RunObserver] = [] if self._metrics is None else [self._metrics]
        if self._log is not None:
            from batch_upload.report.run_log import RunLogObserver

            found.append(RunLogObserver())
        return found

    def hear(self, level: int, text: str) -> None:
        """What people were told, for the log."""
        if self._log is not None:
            from batch_upload.report.run_log import log_said

            log_said(level, text)

    def end(self, summary: Summary) -> None:
        """Tell how the verb ended, each of them whatever becomes of the others. Takes 10 seconds at most."""
        with ExitStack() as last_first:
            if self._log is not None:
                last_first.callback(self._end_log, self._log, summary)
            if self._monitor is not None:
                last_first.callback(self._end_monitor, self._monitor, summary)
            if self._metrics is not None:
                last_first.callback(self._metrics.end, summary)

    def _end_monitor(self, monitor: "Monitor", summary: Summary) -> None:
        wrong = monitor.end(summary)
        if wrong:
            self._warn_of(f"`--notify` {monitor.shown} was not told: {wrong}")

    def _end_log(self, log: logging.Handler, summary: Summary) -> None:
        from batch_upload.report.run_log import close_log, log_summary

        log_summary(summary)
        close_log(log)

    def _open_monitor(self, url: str | None) -> None:
        if url is None:
            return
        from batch_upload.cli.pinging import Monitor  # an HTTP client takes its time to import

        self._monitor = Monitor(url)
        self._monitor.begin()

    def _open_log(self, path: str | None, verb: str, manifest: Path | None) -> None:
        form = text_of(self._flags or Flags(), "log_format") or "text"
        if form not in LOG_FORMATS:
            raise UsageError(f"`--log-format {form}` is neither `text` nor `json`")
        if path is None:
            return
        streams = (STANDARD_OUTPUT,) if truth_of(self._flags or Flags(), "json") else ()
        refuse_own_files("--log-file", Path(path), [*self._own_files(manifest), *streams])
        refuse_other_content("--log-file", Path(path), is_right=is_no_document)
        from importlib.metadata import version  # as heavy as all the rest of `--help`

        from batch_upload.report.run_log import log_begin, open_log

        try:
            self._log = open_log(
                Path(path), form=form, run_id=self.run_id, verb=verb, on_failure=_told(path, self._warn_of)
            )
        except OSError as error:
            raise _unwritable("--log-file", path, error) from error
        log_begin(None if manifest is None else str(manifest), version("batch-upload"))

    def _open_metrics(self, path: str | None, verb: str, manifest: Path | None) -> None:
        if path is None:
            return
        log = text_of(self._flags or Flags(), "log_file")
        others = (STANDARD_OUTPUT, STANDARD_ERROR, *(() if log is None else (NamedFile("the log file", Path(log)),)))
        refuse_own_files("--metrics-file", Path(path), [*self._own_files(manifest), *others])
        refuse_other_content("--metrics-file", Path(path), is_right=is_metrics)
        from importlib.metadata import version

        from batch_upload.cli.metrics_file import MetricsFile
        from batch_upload.report.metrics import RunMetrics, carried_metrics

        now, name = datetime.now(UTC), str(manifest or "")
        metrics = RunMetrics(
            manifest=name,
            verb=verb,
            run_id=self.run_id,
            version=version("batch-upload"),
            began_at=now,
            carried=carried_metrics(_text_in(Path(path)), manifest=name, verb=verb),
        )
        made = MetricsFile(Path(path), metrics, on_failure=_told(path, self._warn_of))
        try:
            made.begin(now)
        except OSError as error:
            raise _unwritable("--metrics-file", path, error) from error
        self._metrics = made

    def _own_files(self, manifest: Path | None) -> Iterator[NamedFile]:
        return iter(()) if manifest is None else files_before_reading(manifest, self._flags or Flags())

    def _warn_of(self, message: str) -> None:
        self._warn(message)
        self.hear(logging.WARNING, message)


def _error_of(step: Callable[[], None]) -> UsageError | None:
    try:
        step()
    except UsageError as error:
        return error
    return None


def _nobody(_message: str) -> None:
    """Nobody listens yet."""


def _told(path: str, warn: Callable[[str], None]) -> Callable[[OSError], None]:
    return lambda error: warn(f"`{path}` cannot be written any more: {_reason(error)}; the run goes on without it")


def _unwritable(flag: str, path: str, error: OSError) -> UsageError:
    return UsageError(f"`{flag} {path}` cannot be written: {_reason(error)}; nothing was sent")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _text_in(path: Path) -> str:
    """What is in the file; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
