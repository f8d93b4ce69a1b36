"""Manifests with generated files beside them, and what must be at the service once they are uploaded."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.bound_fields import FieldPlace, Fields, bind_line, bind_of
from tests.support.command import Event, Result
from tests.support.endpoint import Endpoint

BATCH = "acme-2026"
TAGS: Mapping[str, str] = {"Customer": "acme", "Country": "NO"}
IDENTITY_TAG = "batch-upload:token"


def pdf(text: str) -> bytes:
    """A small PDF that says this."""
    return b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n% " + text.encode() + b"\n%%EOF\n"


def png(text: str) -> bytes:
    """The beginning of a PNG, with a comment."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00" + text.encode()


def jpeg(text: str) -> bytes:
    """The beginning of a JPEG, with a comment."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + text.encode() + b"\xff\xd9"


MAKERS = {"pdf": pdf, "png": png, "jpg": jpeg}


@dataclass(frozen=True, slots=True)
class Batch:
    """A manifest `june.yaml` in `folder`, and its documents by id, which is their path."""

    folder: Path
    documents: Mapping[str, bytes]
    manifest: str = "june.yaml"
    is_bound: bool = False
    """Whether every document has a `bind`, two of them for each registration."""

    @property
    def path(self) -> Path:
        return self.folder / self.manifest

    @property
    def ledger(self) -> Path:
        return self.folder / "june.ledger"

    @property
    def ids(self) -> list[str]:
        return list(self.documents)

    def fields(self, lane: str) -> Fields:
        """Return what goes into which field of a lane's registrations."""
        contents = self.documents.values() if self.is_bound else ()
        return {
            FieldPlace(lane, *bind_of(number)): hashlib.sha256(content).hexdigest()
            for number, content in enumerate(contents)
        }


def make_batch(folder: Path, count: int, *, extra: str = "", is_bound: bool = False) -> Batch:
    """So many documents of all types, each with other bytes. `extra` goes before `attachments`."""
    makers = [(kind, MAKERS[kind]) for kind in ("pdf", "png", "jpg")]
    kinds = [makers[number % len(makers)] for number in range(count)]
    documents = {f"files/{number:03d}.{kind}": make(f"document {number}") for number, (kind, make) in enumerate(kinds)}
    return write_batch(folder, documents, extra=extra, is_bound=is_bound)


def write_batch(folder: Path, documents: Mapping[str, bytes], *, extra: str = "", is_bound: bool = False) -> Batch:
    """Write the documents and a manifest that lists them."""
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    batch = Batch(folder, dict(documents), is_bound=is_bound)
    lines = ["version: 1", f"batch: {BATCH}", *extra.splitlines(), "defaults:", f"  tags: {json.dumps(dict(TAGS))}"]
    lines.append("  check: bytes")  # these documents are no more than their first bytes
    lines.append("attachments:")
    for number, name in enumerate(documents):
        lines.append(f"  - file: {json.dumps(name)}")
        if is_bound:
            lines.append(f"    {bind_line(*bind_of(number))}")
    batch.path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return batch


def token_of(
    item_id: str, content: bytes, *, tags: Mapping[str, str] = TAGS, generation: int = 1, batch: str = BATCH
) -> str:
    """The ClientToken by the recipe of the test vectors, without a line of the package."""
    named = {
        "batch": batch,
        "content": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "generation": generation,
        "id": item_id,
        "tags": dict(tags),
        "v": 1,
    }
    canonical = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return "bu1-" + base64.b32encode(hashlib.sha256(canonical).digest()).decode().rstrip("=").lower()


def assert_each_once(endpoint: Endpoint, batch: Batch) -> None:
    """The service holds every document of the batch exactly once, byte for byte, with its tags and token."""
    held = endpoint.attachments()
    wanted = {token_of(name, content): content for name, content in batch.documents.items()}
    assert sorted(each["tags"][IDENTITY_TAG] for each in held) == sorted(wanted)
    for each in held:
        token = each["tags"][IDENTITY_TAG]
        assert each["client_token"] == token
        assert each["tags"] == {**TAGS, IDENTITY_TAG: token}
        assert each["sha256"] == hashlib.sha256(wanted[token]).hexdigest()
        assert each["size"] == len(wanted[token])
    assert endpoint.stats().token_mismatches == 0


def assert_adds_up(result: Result) -> Event:
    """The summary is whole, and every item is in one state; gives it."""
    summary = result.summary
    assert summary["event"] == "summary"
    assert sum(summary["states"].values()) == summary["items"]
    assert summary["exit"]["code"] == result.code
    return summary
