"""The page as one file: template, style, script and data, with a policy that allows nothing else."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from batch_upload.escape import escaped_for

_ASSETS = files("batch_upload.report.page") / "assets"
_SCRIPTS = (
    "text.js",
    "data.js",
    "overview.js",
    "lanes.js",
    "attention.js",
    "chart.js",
    "runs.js",
    "filter.js",
    "detail.js",
    "sheet.js",
    "items.js",
    "main.js",
)
"""In the order in which they are joined to one script, of one module's scope."""
_SLOT = re.compile(r"<!--slot:(\w+)-->")


def document(data: Iterable[str], *, title: str, live: bool) -> Iterator[str]:
    """Yield the HTML in pieces, ASCII but for our own words. `data` is JSON as `board.json_chunks` writes it.

    A `live` page may connect to the server that it came from, any other page to none.
    """
    values = {
        "policy": html.escape(policy(live=live)),
        "title": html.escape(escaped_for(title, "utf-8")),
        "mode": "live" if live else "still",
        "style": _asset("page.css"),
        "script": _script(),
    }
    for place, piece in enumerate(_SLOT.split(_asset("page.html"))):
        if place % 2 == 0:
            yield piece
        elif piece == "data":
            yield from data
        else:
            yield values[piece]


def policy(*, live: bool) -> str:
    """Return the Content-Security-Policy: our script and style by their hashes; data cannot become markup."""
    rules = [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{_hash(_asset('page.css'))}'",
        f"script-src '{_hash(_script())}'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join([*rules, "connect-src 'self'"] if live else rules)


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    return "\n".join(_asset(name) for name in _SCRIPTS)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
