"""A refusal that is the clock's fault is told as the clock, whichever code carries it."""

from datetime import UTC, datetime

import pytest

from batch_upload.service.clock_skew import skew_message

NOW = datetime(2026, 11, 27, 3, 30, tzinfo=UTC)
EXPIRED = "Signature expired: 20261127T033000Z is now earlier than 20261127T034000Z"
EARLY = "Signature not yet current: 20261127T033000Z is still later than 20261127T032700Z"


@pytest.mark.parametrize(
    ("code", "message", "date", "told"),
    [
        ("SignatureDoesNotMatch", EXPIRED, None, "15 min behind"),
        ("InvalidSignatureException", f"{EXPIRED} (20261127T034500Z - 5 min.)", None, "15 min behind"),
        ("InvalidSignatureException", f"{EARLY} (20261127T032200Z + 5 min.)", None, "8 min ahead"),
        ("SignatureDoesNotMatch", EARLY, None, "8 min ahead"),
        ("RequestTimeTooSkewed", "no", None, "clock is wrong"),
        ("RequestExpired", "no", None, "clock is wrong"),
        ("RequestInTheFuture", "no", "Fri, 27 Nov 2026 02:30:00 GMT", "60 min ahead"),
        ("InvalidSignatureException", "no", "Fri, 27 Nov 2026 05:30:00 GMT", "120 min behind"),
        ("AccessDenied", "no", "Fri, 27 Nov 2026 03:20:00 GMT", "10 min ahead"),
    ],
)
def test_the_clock_is_told_with_how_far_it_is_off(code: str, message: str, date: str | None, told: str) -> None:
    headers = {} if date is None else {"date": date}

    assert told in (skew_message(code, message, headers, now=NOW) or "")


@pytest.mark.parametrize("date", [None, "", "soon", "Fri, 27 Nov 2026 03:31:00 GMT", "Fri, 27 Nov 2026 03:30:00"])
def test_any_other_refusal_is_not_the_clocks(date: str | None) -> None:
    headers = {} if date is None else {"date": date}

    assert skew_message("SignatureDoesNotMatch", "The request signature", headers, now=NOW) is None
