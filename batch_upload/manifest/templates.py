"""Templates in tag values: five names in braces, and nothing else that braces can do elsewhere."""

import re
from collections.abc import Mapping

from batch_upload.manifest.problems import quoted

NAMES = ("stem", "name", "parent", "id", "batch")

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z]+)\}|[{}]")


def has_braces(text: str) -> bool:
    """Whether a text is a template at all."""
    return "{" in text or "}" in text


def wrong_with_template(text: str) -> str | None:
    """What is wrong with a template, in words, or None."""
    for piece in _PIECE.finditer(text):
        if piece[0] in ("{", "}") or (piece[1] is not None and piece[1] not in NAMES):
            return f"{quoted(text[piece.start() :])} is not a template: {_KNOWN}, and `{{{{` and `}}}}` for braces"
    return None


_KNOWN = ", ".join(f"`{{{name}}}`" for name in NAMES) + " are"


def render(text: str, values: Mapping[str, str]) -> str:
    """A template without fault, with its names replaced. What was put in is not looked at again."""
    return _PIECE.sub(lambda piece: values[piece[1]] if piece[1] is not None else piece[0][0], text)
