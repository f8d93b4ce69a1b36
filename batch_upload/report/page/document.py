"""The page as one file: template, style, script and data, with a policy that lets nothing else in or out."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from batch_upload.escape import encodable

_ASSETS = files("batch_upload.report.page") / "assets"
_SCRIPTS = (
    "text.js",
    "data.js",
    "overview.js",
    "attention.js",
    "chart.js",
    "course.js",
    "filter.js",
    "detail.js",
    "items.js",
    "main.js",
)
"""In the order in which they are read: one script of a module's scope is made of them."""
_SLOT = re.compile(r"<!--slot:(\w+)-->")


def document(data: Iterable[str], *, title: str, live: bool) -> Iterator[str]:
    """The HTML in pieces, ASCII but for our own words. `data` is JSON as `board.json_chunks` writes it.

    `live` lets it listen to where it came from; otherwise it can speak to nobody.
    """
    values = {
        "policy": html.escape(policy(live=live)),
        "title": html.escape(encodable(title, "utf-8")),
        "mode": "live" if live else "still",
        "style": _style(),
        "script": _script(),
    }
    for place, piece in enumerate(_SLOT.split(_text("page.html"))):
        if place % 2 == 0:
            yield piece
        elif piece == "data":
            yield from data
        else:
            yield values[piece]


def policy(*, live: bool) -> str:
    """The Content-Security-Policy: our script and our style by their hashes, and no way for data to become markup."""
    rules = [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{_hash(_style())}'",
        f"script-src '{_hash(_script())}'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join([*rules, "connect-src 'self'"] if live else rules)


@cache
def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    return _text("page.css")


@cache
def _script() -> str:
    return "\n".join(_text(name) for name in _SCRIPTS)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
