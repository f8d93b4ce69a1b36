"""Numbers, times and tables as people read them, and times as programs do."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from batch_upload.escape import printable
from batch_upload.model import KB, Fault
from batch_upload.registration import Denial

_MINUTE_S = 60
_HOUR_S = 3_600
DENIAL_TEXT_MAX = 500
"""Characters of each text of a reviewer on a line for people. Reports have the whole text."""
_SIZE_UNITS = ((KB, "KB"), (KB**2, "MB"), (KB**3, "GB"))


def count_words(count: int, noun: str) -> str:
    """Return `1 item`, `2 items`, `12,000 items`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def holder_words(pid: int | None, host: str | None) -> str:
    """Name the process that holds a ledger."""
    return printable(f"process {pid} on {host}") if pid else "a process without a name"


def size_words(size_bytes: int) -> str:
    """Return `812 bytes`, `496 KB`, `1.2 MB`: decimal units, as the manifest's `KB`."""
    if size_bytes < KB:
        return count_words(size_bytes, "byte")
    factor, unit = next((unit for unit in _SIZE_UNITS if size_bytes < unit[0] * KB * 0.9995), _SIZE_UNITS[-1])
    amount = size_bytes / factor
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"


def duration_words(seconds: float) -> str:
    """Return `0.4 s`, `45 s`, `6 min`, `1 h 20 min`, `2 d 3 h`: never more than two units."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < 10 * _MINUTE_S:
        return _two_units(whole, _MINUTE_S, "min", "s")
    minutes = round(seconds / _MINUTE_S)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two_units(minutes, 60, "h", "min")
    return _two_units(round(seconds / _HOUR_S), 24, "d", "h")


def rate_words(rate_per_s: float) -> str:
    """Return `1.0/s`, `0.25/s`, `120/s`: two or three digits that mean something."""
    if rate_per_s < 1:
        return f"{rate_per_s:.2f}/s"
    return f"{rate_per_s:.1f}/s" if rate_per_s < 99.95 else f"{rate_per_s:.0f}/s"


def fault_words(fault: Fault) -> str:
    """Return a fault on one line: its name and its message."""
    message = fault_message(fault)
    return printable(f"{fault_name(fault)}: {message}" if message else fault_name(fault))


def fault_message(fault: Fault) -> str:
    """Return the message of a fault without the code that it may begin with: its name is shown next to it."""
    for name in (f"{fault.code} ({fault.reason}): ", f"{fault.code}: "):
        if fault.message.startswith(name):
            return fault.message.removeprefix(name)
    return fault.message


def fault_name(fault: Fault) -> str:
    """Return the narrowest name that the fault has: its reason, otherwise its code."""
    return fault.reason or fault.code


def denial_words(denial: Denial) -> str:
    """Return what a reviewer said of the attachment in a field, on one line."""
    texts = [denial.reason, f"feedback: {denial.feedback}" if denial.feedback else ""]
    cut = (text if len(text) <= DENIAL_TEXT_MAX else f"{text[: DENIAL_TEXT_MAX - 1]}…" for text in texts if text)
    return printable(f"version {denial.version} was denied: {'; '.join(cut)}")


def utc_iso(at: datetime) -> str:
    """Return ISO 8601 in UTC, to the millisecond: `2026-11-23T20:32:00.000Z`. `at` is aware."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_iso_or_none(at: datetime | None) -> str | None:
    """Return `utc_iso`, or None where there is no time."""
    return None if at is None else utc_iso(at)


def who_words(principal: str | None, os_user: str | None, host: str | None) -> str:
    """Return who a run was: the ARN of its credentials, the user and the machine, as far as they are known."""
    place = f"user {os_user or '?'} on {host or '?'}"
    return place if principal is None else f"{principal}, {place}"


def clock_words(at: datetime, *, today: datetime) -> str:
    """Return `14:32`, or `2026-11-24 03:10` on another day than `today`; both in the zone that they carry."""
    return f"{at:%H:%M}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M}"


def display_width(text: str) -> int:
    """Return how many columns a terminal gives the text."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def aligned_lines(rows: Sequence[Sequence[str]], *, is_last_right: bool = False) -> Iterator[str]:
    """Yield rows of printable cells in aligned columns, the last of them to the right where that is wanted."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        blanks = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [f"{cell}{blank}" for cell, blank in zip(row, blanks, strict=True)]
        if is_last_right:
            cells[-1] = f"{blanks[-1]}{row[-1]}"
        yield "  ".join(cells).rstrip()


def cut_in_middle(text: str, width: int, *, mark: str = "…") -> str:
    """Return the text in at most `width` columns: a longer one loses its middle, because names differ at their end."""
    if display_width(text) <= width:
        return text
    room = max(0, width - display_width(mark))
    tail = ""
    while tail != text and display_width(text[-len(tail) - 1 :]) <= (room + 1) // 2:
        tail = text[-len(tail) - 1 :]
    head = ""
    while display_width(text[: len(head) + 1]) + display_width(tail) <= room:
        head = text[: len(head) + 1]
    return f"{head}{mark}{tail}"


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` columns, broken at blanks; a longer word is a line of its own."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and display_width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def indented(lines: Iterable[str]) -> list[str]:
    """Return the lines moved in by two columns."""
    return [f"  {line}" for line in lines]


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _two_units(amount: int, unit: int, large: str, small: str) -> str:
    above, below = divmod(amount, unit)
    return f"{above} {large} {below} {small}" if below else f"{above} {large}"
