"""Parts from which the tests of the modes of the learned rate are made."""

from math import inf

from batch_upload.pacing.follow import Follow
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall


def state_at(rate: float, *, burst: float = 1.0, ceiling: float = inf) -> RateState:
    """A state whose calls come back at once, so that one is in flight at most."""
    return RateState(rate, ceiling, burst, evidence=0.0)


def following(state: RateState, *, stage: int = 6) -> Follow:
    return Follow(state, stage=stage, backoff=1.0)


def call_at(at: float, rate: float) -> SentCall:
    return SentCall(at, rate, is_full_pace=True, is_after_pause=False)


def cut(mode: Mode, state: RateState, call: SentCall) -> Mode:
    """Throttle a call that left after the last cut."""
    state.episode.begin(call.at, 1, call.at, 1)
    return mode.throttled(call, call.at)
