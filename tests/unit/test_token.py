"""The ClientToken: the published vectors, and what it must and must not depend on."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from batch_upload.token import canonical_json, client_token

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "support" / "token-vectors.json").read_text(encoding="utf-8")
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TAGS = st.dictionaries(TEXT, TEXT, max_size=4)
ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from('"\\/\b\f\n\r\t\x00\x1f\x7f\x80\u2028\u2029\ud800\udfff\ue000\uffff\U00010000\U0010ffff'),
    ),
    max_size=6,
)
ANY_TAGS = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=5)


def arguments(vector: dict[str, Any]) -> dict[str, Any]:
    names = {"batch": "batch", "id": "item_id", "content": "content", "generation": "generation", "tags": "tags"}
    return {argument: vector[name] for name, argument in names.items()} | {"retry": vector.get("retry", 0)}


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{vector['id']}-{vector.get('retry', 0)}" for vector in VECTORS])
def test_the_published_vectors_hold(vector: dict[str, Any]) -> None:
    assert canonical_json(**arguments(vector)) == vector["canonical_json"].encode()
    assert client_token(**arguments(vector)) == vector["client_token"]


@given(batch=TEXT, item_id=TEXT, content=TEXT, generation=st.integers(1, 10**15), tags=TAGS)
def test_a_token_is_what_the_service_accepts(
    batch: str, item_id: str, content: str, generation: int, tags: dict[str, str]
) -> None:
    token = client_token(batch=batch, item_id=item_id, content=content, generation=generation, tags=tags)

    assert re.fullmatch(r"bu1-[a-z2-7]{52}", token)


@given(tags=TAGS)
def test_the_order_of_tags_changes_nothing(tags: dict[str, str]) -> None:
    backwards = dict(reversed(tags.items()))

    one, other = (
        client_token(batch="b", item_id="i", content="url:u", generation=1, tags=t) for t in (tags, backwards)
    )

    assert one == other


@pytest.mark.parametrize(
    "change",
    [{"batch": "c"}, {"item_id": "j"}, {"content": "url:v"}, {"generation": 2}, {"tags": {"a": "c"}}, {"retry": 1}],
)
def test_whatever_makes_an_attachment_changes_its_token(change: dict[str, Any]) -> None:
    same: dict[str, Any] = {"batch": "b", "item_id": "i", "content": "url:u", "generation": 1, "tags": {"a": "b"}}

    assert client_token(**{**same, **change}) != client_token(**same)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError):
        client_token(batch="b", item_id="\ud800", content="url:u", generation=1, tags={})


def canonical_or_none(arguments: dict[str, Any]) -> bytes | None:
    try:
        return canonical_json(**arguments)
    except ValueError:
        return None


def canonical_by_the_library(arguments: dict[str, Any]) -> bytes | None:
    named = {"id" if name == "item_id" else name: value for name, value in arguments.items()}
    try:
        return rfc8785.dumps({**named, "v": 1})
    except ValueError:
        return None


@given(
    batch=ANY_TEXT,
    item_id=ANY_TEXT,
    content=ANY_TEXT,
    generation=st.one_of(st.integers(), st.sampled_from([0, 1, 2**53 - 1, 2**53, -(2**53)])),
    tags=ANY_TAGS,
    retry=st.integers(0, 2),
)
@example(
    batch="b",
    item_id="i",
    content="c",
    generation=1,
    tags={"\uffff": "", "\U00010000": "", "\ue000": "", "a": ""},
    retry=1,
)
@example(batch="b", item_id="i", content="c", generation=1, tags={"\udc00": "x"}, retry=0)
@example(batch="b", item_id="i", content="c", generation=1, tags={"x": "\ud83d"}, retry=0)
def test_the_canonical_json_is_the_librarys_or_refused_as_there(
    batch: str, item_id: str, content: str, generation: int, tags: dict[str, str], retry: int
) -> None:
    given = {"batch": batch, "item_id": item_id, "content": content, "generation": generation, "tags": tags}
    again = {"retry": retry} if retry else {}

    assert canonical_or_none({**given, "retry": retry}) == canonical_by_the_library({**given, **again})


@given(batch=TEXT, item_id=TEXT, tags=TAGS)
def test_a_token_is_the_base32_of_the_digest(batch: str, item_id: str, tags: dict[str, str]) -> None:
    named: dict[str, Any] = {"batch": batch, "item_id": item_id, "content": "url:u", "generation": 1, "tags": tags}
    digest = hashlib.sha256(canonical_json(**named)).digest()

    assert client_token(**named) == "bu1-" + base64.b32encode(digest).decode().rstrip("=").lower()
