"""Where a verb also reports to, if asked: a log file, a metrics file, a monitor."""

import logging
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING

from batch_upload.cli.files import (
    STANDARD_ERROR,
    STANDARD_OUTPUT,
    NamedFile,
    files_before_reading,
    is_no_document,
    refuse_other_content,
    refuse_own_files,
    replace_text,
)
from batch_upload.cli.flags import Flags, text_of, truth_of
from batch_upload.cli.streams import reason_of
from batch_upload.errors import UsageError
from batch_upload.report.observers import RunObserver
from batch_upload.summary import Summary, new_run_id

if TYPE_CHECKING:
    from batch_upload.cli.monitor import Monitor
    from batch_upload.report.metrics import RunMetrics

LOG_FORMATS = ("text", "json")
METRICS_INTERVAL = timedelta(seconds=15)
"""As often as Prometheus usually scrapes."""
METRICS_MODE = 0o644
"""The exporter runs as another user."""


class Sinks:
    """The log file, the metrics file and the monitor of one verb. `open` comes first, `close` last.

    `taken` names the flags that the verb has; variables of other flags are ignored. `run_id` is the verb's own, under
    which the ledger records the run.
    """

    def __init__(self, flags: Flags | None = None, taken: Collection[str] = ()) -> None:
        self.run_id = new_run_id(datetime.now(UTC))
        self._flags = flags or Flags()
        self._taken = frozenset(taken)
        self._log: logging.Handler | None = None
        self._metrics: MetricsFile | None = None
        self._monitor: Monitor | None = None
        self._warn: Callable[[str], None] = lambda message: None

    def open(self, verb: str, manifest: Path | None, *, warn: Callable[[str], None]) -> None:
        """Begin to report. Raises UsageError if one of them cannot be opened; the others are opened all the same."""
        self._warn = warn
        wrong: list[UsageError] = []
        for step in (self.open_log, self.open_monitor, self.open_metrics):
            try:
                step(verb, manifest)
            except UsageError as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]

    def open_log(self, verb: str, manifest: Path | None) -> None:
        """Open the log file, if there is to be one."""
        path, form = self._path("log_file"), self._text("log_format") or "text"
        if form not in LOG_FORMATS:
            raise UsageError(f"`--log-format {form}` is neither `text` nor `json`")
        if path is None:
            return
        streams = (STANDARD_OUTPUT,) if truth_of(self._flags, "json") else ()
        self._refuse_own_files("--log-file", path, manifest, *streams)
        refuse_other_content("--log-file", path, is_right=is_no_document)
        from importlib.metadata import version  # as heavy as all the rest of `--help`

        from batch_upload.report.run_log import log_begin, open_log

        failed = self._on_failure(path)
        try:
            self._log = open_log(path, form=form, run_id=self.run_id, verb=verb, on_failure=failed)
        except OSError as error:
            raise _unwritable("--log-file", path, error) from error
        log_begin(None if manifest is None else str(manifest), version("batch-upload"))

    def open_monitor(self, _verb: str, _manifest: Path | None) -> None:
        """Send the first ping, if there is a monitor."""
        url = self._text("notify")
        if url is not None:
            from batch_upload.cli.monitor import Monitor  # imports an HTTP client

            self._monitor = Monitor(url)
            self._monitor.begin()

    def open_metrics(self, verb: str, manifest: Path | None) -> None:
        """Write the metrics file for the first time, if there is to be one."""
        path, log = self._path("metrics_file"), self._path("log_file")
        if path is None:
            return
        others = () if log is None else (NamedFile("the log file", log),)
        self._refuse_own_files("--metrics-file", path, manifest, STANDARD_OUTPUT, STANDARD_ERROR, *others)
        from importlib.metadata import version

        from batch_upload.report.metrics import METRIC_PREFIX, RunMetrics, carried_metrics

        refuse_other_content("--metrics-file", path, is_right=lambda head: METRIC_PREFIX.encode() in head)
        before, name, now = "", str(manifest or ""), datetime.now(UTC)
        with suppress(OSError, UnicodeDecodeError):
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
        metrics = RunMetrics(
            manifest=name,
            verb=verb,
            run_id=self.run_id,
            version=version("batch-upload"),
            host=gethostname(),
            began_at=now,
            carried=carried_metrics(before, manifest=name, verb=verb),
        )
        file = MetricsFile(path, metrics, on_failure=self._on_failure(path))
        try:
            file.write(now)
        except OSError as error:
            raise _unwritable("--metrics-file", path, error) from error
        self._metrics = file

    def observers(self) -> list[RunObserver]:
        """Return those that take every event."""
        found: list[RunObserver] = [] if self._metrics is None else [self._metrics]
        if self._log is not None:
            from batch_upload.report.run_log import RunLogObserver

            found.append(RunLogObserver())
        return found

    def log(self, level: int, text: str) -> None:
        """Write to the log what was printed for people."""
        if self._log is not None:
            from batch_upload.report.run_log import log_said

            log_said(level, text)

    def close(self, summary: Summary) -> None:
        """Report how the verb ended: metrics, monitor, log, each even if another fails. Takes 10 seconds at most."""

        def end_monitor(monitor: "Monitor") -> None:
            wrong = monitor.end(summary)
            if wrong:
                self._warn_and_log(f"`--notify` {monitor.shown} was not told: {wrong}")

        def end_log(log: logging.Handler) -> None:
            from batch_upload.report.run_log import close_log, log_summary

            log_summary(summary)
            close_log(log)

        with ExitStack() as last_first:
            if self._log is not None:
                last_first.callback(end_log, self._log)
            if self._monitor is not None:
                last_first.callback(end_monitor, self._monitor)
            if self._metrics is not None:
                last_first.callback(self._metrics.end, summary)

    def _text(self, name: str) -> str | None:
        return text_of(self._flags, name) if name in self._taken else None

    def _path(self, name: str) -> Path | None:
        text = self._text(name)
        return None if text is None else Path(text)

    def _refuse_own_files(self, flag: str, path: Path, manifest: Path | None, *others: NamedFile) -> None:
        own = () if manifest is None else files_before_reading(manifest, self._flags)
        refuse_own_files(flag, path, [*own, *others])

    def _warn_and_log(self, message: str) -> None:
        self._warn(message)
        self.log(logging.WARNING, message)

    def _on_failure(self, path: Path) -> Callable[[OSError], None]:
        return lambda error: self._warn_and_log(
            f"`{path}` cannot be written any more: {reason_of(error)}; the run goes on without it"
        )


class MetricsFile:
    """The file of `--metrics-file`, written at the begin, every 15 s and at the end of a verb. Observes a run.

    The first write that fails after the first one is reported to `on_failure`.
    """

    def __init__(self, path: Path, metrics: "RunMetrics", *, on_failure: Callable[[OSError], None]) -> None:
        self._path = path
        self._metrics = metrics
        self._on_failure = on_failure
        self._has_failed = False
        self._written_at: datetime | None = None

    def write(self, at: datetime, summary: Summary | None = None) -> None:
        """Write the file. Raises OSError."""
        self._written_at = at
        replace_text(self._path, self._metrics.text(at, summary), new_mode=METRICS_MODE)

    def notify(self, event: object) -> None:
        """Count it."""
        self._metrics.notify(event)

    def tick(self, at: datetime) -> None:
        """Write the file if the last write was METRICS_INTERVAL ago."""
        if self._written_at is None or abs(at - self._written_at) >= METRICS_INTERVAL:
            self._try_to_write(at, None)

    def close(self) -> None:
        """Do nothing: the last write needs the summary."""

    def end(self, summary: Summary) -> None:
        """Write the file for the last time."""
        self._try_to_write(datetime.now(UTC), summary)

    def _try_to_write(self, at: datetime, summary: Summary | None) -> None:
        try:
            self.write(at, summary)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._on_failure(error)


def _unwritable(flag: str, path: Path, error: OSError) -> UsageError:
    return UsageError(f"`{flag} {path}` cannot be written: {reason_of(error)}; nothing was sent")
