"""The ClientToken, version 1: one name for one thing, whoever computes it and whenever.

`bu1-` and the lower-case, unpadded base32 (RFC 4648) of the SHA-256 of the canonical JSON (RFC 8785) of what makes an
attachment what it is: batch, id, content, generation and tags. 56 characters, within the 64 that the service allows.
"""

import base64
import hashlib
from collections.abc import Mapping

import rfc8785

PREFIX = "bu1-"
IDENTITY_TAG = "batch-upload:token"
"""The tag by which an attachment is recognised at the service. Not part of the hash."""


def canonical_json(*, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str]) -> bytes:
    """The bytes that are hashed. `content` is `sha256:<hex>` or `url:<the URL>`; `tags` are the item's own."""
    return rfc8785.dumps(
        {"batch": batch, "content": content, "generation": generation, "id": item_id, "tags": dict(tags), "v": 1}
    )


def client_token(*, batch: str, item_id: str, content: str, generation: int, tags: Mapping[str, str]) -> str:
    """The ClientToken of an item. Equal arguments give equal tokens, on every machine and in every version.

    Raises ValueError where a text cannot be encoded as UTF-8 (a lone surrogate).
    """
    named = canonical_json(batch=batch, item_id=item_id, content=content, generation=generation, tags=tags)
    digest = hashlib.sha256(named).digest()
    return PREFIX + base64.b32encode(digest).decode("ascii").rstrip("=").lower()
