"""What the emulator keeps of one account and Region besides its attachments: settings, rates and faults."""

from batch_upload.emulator.faults import FaultScript
from batch_upload.emulator.limits import FixedWindows, TokenBucket, limiter
from batch_upload.emulator.request_log import LaneKey
from batch_upload.emulator.settings import LaneSettings


class LaneRules:
    """One account and Region at work. Nothing that happens in it changes another."""

    def __init__(self, key: LaneKey, settings: LaneSettings) -> None:
        self._key = key
        self.settings = settings
        self._limiters: dict[str, TokenBucket | FixedWindows | None] = {}
        self.restart_faults()

    def admits(self, operation: str, *, at_s: float) -> bool:
        """Return whether the rate lets a request pass. `at_s`: seconds since the start of the emulator."""
        if operation not in self._limiters:
            rate = self.settings.rate_of(operation)
            self._limiters[operation] = None if rate is None else limiter(rate, at_s=at_s)
        bucket = self._limiters[operation]
        return bucket is None or bucket.take(at_s)

    def change_settings(self, after: LaneSettings) -> None:
        """A rate that changes begins with a full bucket. Faults count again from zero if they or the seed change."""
        before, self.settings = self.settings, after
        self._limiters = {
            operation: bucket
            for operation, bucket in self._limiters.items()
            if before.rate_of(operation) == after.rate_of(operation)
        }
        if (before.faults, before.seed) != (after.faults, after.seed):
            self.restart_faults()

    def restart_faults(self) -> None:
        rules = [rule for rule in self.settings.faults if rule.is_for_lane(*self._key)]
        self.faults = FaultScript(rules, seed=self.settings.seed)
