"""When the next request may leave: laws for a rate limiter whose rate is unknown, and a pacer that hands out slots.

And when to ask whether a service has finished with what was sent: `SettlingSchedule`.

Usable by other programs: docs/pacing-library.md. Why the laws are as they are: docs/decisions/pacing.md.
"""

from batch_upload.pacing.law import FixedRate, RateLaw, RateMemory
from batch_upload.pacing.learned import LearnedRate
from batch_upload.pacing.pacer import Pacer, Slot
from batch_upload.pacing.settling import SettlingSchedule

__all__ = ["FixedRate", "LearnedRate", "Pacer", "RateLaw", "RateMemory", "SettlingSchedule", "Slot"]
