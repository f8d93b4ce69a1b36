"""When the next request may leave: laws for a rate limiter whose rate is unknown, and a pacer that hands out slots.

Usable by other programs: docs/pacing-library.md. Why the laws are as they are: docs/decisions/pacing.md.
"""

from batch_upload.pacing.law import FixedRate, RateLaw, RateMemory
from batch_upload.pacing.learned import LearnedRate
from batch_upload.pacing.pacer import Pacer, Slot

__all__ = ["FixedRate", "LearnedRate", "Pacer", "RateLaw", "RateMemory", "Slot"]
