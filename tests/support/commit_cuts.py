"""Cuts of the wire around the COMMITs that pass on it, drawn by a seed."""

import random

from tests.support.tcp_proxy import Message, commit_asked, commit_done

BEFORE = "before the COMMIT passes"
"""The transaction is not committed."""
AFTER = "before the answer to the COMMIT passes"
"""It is committed, and its client does not hear of it."""


class CommitCuts:
    """For `TcpProxy.cut_before`: cuts at a `share` of the COMMITs, half of them before, half of them after.

    The first `spared` COMMITs pass. `before` and `after` count.
    """

    def __init__(self, seed: int, *, share: float = 0.5, spared: int = 3, most: int | None = None) -> None:
        self._chance = random.Random(seed)
        self._share = share
        self._spared = spared
        self._most = most
        self._is_answer_next = False
        self.before = 0
        self.after = 0

    def __call__(self, message: Message) -> bool:
        if commit_done(message) and self._is_answer_next:
            self._is_answer_next = False
            self.after += 1
            return True
        if not commit_asked(message) or (self._most is not None and self.before + self.after >= self._most):
            return False
        if self._spared:
            self._spared -= 1
            return False
        if self._chance.random() >= self._share:
            return False
        if self._chance.random() < 0.5:
            self.before += 1
            return True
        self._is_answer_next = True
        return False
