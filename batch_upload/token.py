"""The ClientToken, version 1: equal items have equal tokens, on every machine and at any time.

`bu1-` and the lower-case, unpadded base32 (RFC 4648) of the SHA-256 of the canonical JSON (RFC 8785) of batch, id,
content, generation and tags. 56 characters, within the 64 that the service allows. A retry after UPLOAD_FAILED has a
member `retry`, too: 1, then 2.
"""

import hashlib
from collections.abc import Mapping
from json.encoder import encode_basestring as json_text  # escapes what RFC 8785 escapes, and nothing else

TOKEN_PREFIX = "bu1-"  # noqa: S105 - no secret
IDENTITY_TAG = "batch-upload:token"
"""The tag by which an attachment is recognised at the service. Not part of the hash."""
RETRIES_MAX = 2
"""How often an item is sent again after UPLOAD_FAILED, each time by a later run and with another token."""
INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader reads exactly (RFC 8785, by way of RFC 7493)."""


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE32_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_SHIFTS = range(250, -1, -10)
"""base32 of 256 bits, two characters at a time from the 260 bits that four zeros make of them. `base64.b32encode` takes
twice as long, a fifteenth of a rerun (docs/performance.md); a test compares them."""


def canonical_json(
    *, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str], retry: int = 0
) -> bytes:
    """Return the bytes that are hashed. `content` is `sha256:<hex>` or `url:<the URL>`; `tags` are the item's own.

    `retry` is a member unless it is 0. Raises ValueError for a text with a lone surrogate, which UTF-8 cannot encode,
    and for a number that is too large for JSON.
    """
    if not 0 <= generation <= INTEGER_MAX:
        import rfc8785  # hardly ever needed: `--help` starts without it

        numbers = {"generation": generation, "v": 1, **({"retry": retry} if retry else {})}
        return rfc8785.dumps({"batch": batch, "content": content, "id": item_id, "tags": dict(tags), **numbers})
    # Written by hand: a library for any value takes ten times as long, for up to a million items. A test compares them.
    again = f'"retry":{retry:d},' if retry else ""
    return (
        f'{{"batch":{json_text(batch)},"content":{json_text(content)},"generation":{generation:d},'
        f'"id":{json_text(item_id)},{again}"tags":{{{_pairs(tags)}}},"v":1}}'
    ).encode()


def client_token(
    *, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str], retry: int = 0
) -> str:
    """Return the ClientToken of an item. Equal arguments give equal tokens, on every machine and in every version.

    `retry` counts the retries after UPLOAD_FAILED. Raises ValueError as `canonical_json`.
    """
    named = canonical_json(batch=batch, item_id=item_id, content=content, generation=generation, tags=tags, retry=retry)
    bits = int.from_bytes(hashlib.sha256(named).digest(), "big") << 4
    return TOKEN_PREFIX + "".join([_BASE32_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def _pairs(tags: Mapping[str, str]) -> str:
    keys = sorted(tags)
    if not "".join(keys).isascii():
        # by UTF-16 code units: characters beyond the first plane come before some that are within it
        keys.sort(key=lambda key: key.encode("utf-16-be"))
    return ",".join([f"{json_text(key)}:{json_text(tags[key])}" for key in keys])
