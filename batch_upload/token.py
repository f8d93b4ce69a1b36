"""The ClientToken, version 1: one name for one thing, whoever computes it and whenever.

`bu1-` and the lower-case, unpadded base32 (RFC 4648) of the SHA-256 of the canonical JSON (RFC 8785) of what makes an
attachment what it is: batch, id, content, generation and tags. 56 characters, within the 64 that the service allows.
What is sent again after UPLOAD_FAILED has a member `retry`, too: 1, then 2.
"""

import hashlib
from base64 import b32encode
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring as quoted  # escapes what RFC 8785 escapes, and nothing else

PREFIX = "bu1-"
IDENTITY_TAG = "batch-upload:token"
"""The tag by which an attachment is recognised at the service. Not part of the hash."""
RETRIES_MAX = 2
"""How often an item is sent again after UPLOAD_FAILED, each time by a later run and under a token of its own."""
INTEGER_MAX = 2**53 - 1
"""The largest whole number that is itself in JSON everywhere (RFC 8785, by way of RFC 7493)."""


def canonical_json(
    *, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str], retry: int = 0
) -> bytes:
    """The bytes that are hashed. `content` is `sha256:<hex>` or `url:<the URL>`; `tags` are the item's own.

    `retry` is a member only where it is not 0. Raises ValueError where a text cannot be encoded as UTF-8 (a lone
    surrogate), or a number is too large for JSON.
    """
    if not 0 <= generation <= INTEGER_MAX:
        import rfc8785  # what only tells of itself does without it

        numbers = {"generation": generation, "v": 1, **({"retry": retry} if retry else {})}
        return rfc8785.dumps({"batch": batch, "content": content, "id": item_id, "tags": dict(tags), **numbers})
    # Written by hand: a library that takes any value costs ten times as much, a million times over. Tests hold the
    # two against each other.
    again = f'"retry":{retry:d},' if retry else ""
    return (
        f'{{"batch":{quoted(batch)},"content":{quoted(content)},"generation":{generation:d},'
        f'"id":{quoted(item_id)},{again}"tags":{{{_pairs(tags)}}},"v":1}}'
    ).encode()


def client_token(
    *, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str], retry: int = 0
) -> str:
    """The ClientToken of an item. Equal arguments give equal tokens, on every machine and in every version.

    `retry` counts the times that it is sent again after UPLOAD_FAILED. Raises ValueError as `canonical_json`.
    """
    named = canonical_json(batch=batch, item_id=item_id, content=content, generation=generation, tags=tags, retry=retry)
    digest = hashlib.sha256(named).digest()
    return PREFIX + b32encode(digest).decode("ascii").rstrip("=").lower()


def _pairs(tags: Mapping[str, str]) -> str:
    return ",".join([f"{quoted(key)}:{quoted(tags[key])}" for key in _in_order(tags)])


def _in_order(keys: Iterable[str]) -> list[str]:
    """By their UTF-16 code units: characters beyond the first plane come before some that are within it."""
    ordered = sorted(keys)
    if "".join(ordered).isascii():
        return ordered
    return sorted(ordered, key=lambda key: key.encode("utf-16-be"))
