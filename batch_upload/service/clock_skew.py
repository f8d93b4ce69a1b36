"""A refusal that is the clock's fault: AWS takes signatures that are at most 5 minutes off (SigV4)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SKEW_LIMIT_S = 300.0
HINT = "let this machine keep time by NTP (`timedatectl set-ntp true`), then run the same command"
CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_MESSAGE = re.compile(r"Signature (?:expired|not yet current)\b")
_TIMES = re.compile(r"\d{8}T\d{6}Z")


def skew_message(code: str, message: str, headers: Mapping[str, str], *, now: datetime) -> str | None:
    """Why a refusal with this code and text is the clock's fault, in words; None where it is not.

    Judged by the code, by the text that AWS puts into SignatureDoesNotMatch and InvalidSignatureException, or by the
    answer's `Date`.
    """
    ahead_s = ahead_of(headers.get("date"), now)
    is_far_off = ahead_s is not None and abs(ahead_s) > SKEW_LIMIT_S
    if not (is_far_off or code in CODES or _MESSAGE.search(message)):
        return None
    if not is_far_off:
        ahead_s = _by_text(message)
    if ahead_s is None:
        return "this machine's clock is wrong, and AWS refuses what it signs"
    minutes = max(1, round(abs(ahead_s) / 60))
    return (
        f"this machine's clock is {minutes:,} min {'ahead' if ahead_s > 0 else 'behind'}, and AWS refuses what it signs"
    )


def ahead_of(date: str | None, now: datetime) -> float | None:
    """By how many seconds `now` is ahead of an HTTP date; None where there is none that can be read."""
    try:
        said = parsedate_to_datetime(date or "")
    except (ValueError, TypeError):
        return None
    return (now - said).total_seconds() if said.tzinfo is not None else None


def _by_text(message: str) -> float | None:
    """From "Signature expired: SIGNED is now earlier than LIMIT (SERVER - 5 min.)": the parenthesis may be missing."""
    times = [datetime.strptime(each, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for each in _TIMES.findall(message)]
    if len(times) < 2:
        return None
    ahead_s = (times[0] - times[1]).total_seconds()
    if len(times) > 2:
        return (times[0] - times[2]).total_seconds()
    return ahead_s + (SKEW_LIMIT_S if ahead_s > 0 else -SKEW_LIMIT_S)
