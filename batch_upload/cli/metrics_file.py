"""The file of `--metrics-file`: there whole or not at all, readable for the exporter, written now and then."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from batch_upload.cli.files import replace_text
from batch_upload.report.metrics import RunMetrics
from batch_upload.summary import Summary

EVERY = timedelta(seconds=15)
"""As often as Prometheus usually asks."""
_MODE = 0o644
"""The exporter runs as another user."""


class MetricsFile:
    """Observes a run and keeps its file up to date. A write that fails is told once to `on_failure`."""

    def __init__(self, path: Path, metrics: RunMetrics, *, on_failure: Callable[[OSError], None]) -> None:
        self._path = path
        self._metrics = metrics
        self._on_failure = on_failure
        self._has_failed = False
        self._written_at: datetime | None = None

    def notify(self, event: object) -> None:
        """Count it."""
        self._metrics.notify(event)

    def tick(self, at: datetime) -> None:
        """Write what is known, if the file is old enough."""
        if self._written_at is None or abs(at - self._written_at) >= EVERY:
            self._try_to_write(at, None)

    def close(self) -> None:
        """The end is written once the summary is known."""

    def begin(self, at: datetime) -> None:
        """Write the file for the first time. Raises OSError."""
        self._write(at, None)

    def end(self, summary: Summary) -> None:
        """Write it for the last time."""
        self._try_to_write(datetime.now(UTC), summary)

    def _try_to_write(self, at: datetime, summary: Summary | None) -> None:
        try:
            self._write(at, summary)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._on_failure(error)

    def _write(self, at: datetime, summary: Summary | None) -> None:
        self._written_at = at
        replace_text(self._path, self._metrics.text(at, summary), new_mode=_MODE)
