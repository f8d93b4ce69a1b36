"""A law for tests of its callers: it records what is reported to it."""

from batch_upload.pacing import FixedRate


class RecordingLaw(FixedRate):
    """A fixed rate that records each report, keeps its pace, and may be set to any next slot (`moved_to`, seconds)."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.reports: list[tuple[int, str]] = []
        self.expected: list[int] = []
        self.moved_to: float | None = None

    def expect(self, calls: int) -> None:
        self.expected.append(calls)

    def ready_at(self, now: float) -> float:
        return super().ready_at(now) if self.moved_to is None else self.moved_to

    def accepted(self, ticket: int, now: float) -> None:
        self.reports.append((ticket, "accepted"))

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        self.reports.append((ticket, f"throttled {retry_after_s}"))

    def unanswered(self, ticket: int, now: float) -> None:
        self.reports.append((ticket, "unanswered"))
