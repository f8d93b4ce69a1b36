"""A manifest that is made, not read: from its value to the text that the reader reads back as the same."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, SourceKind
from batch_upload.spelling import size_text, yaml_scalar, yaml_text

SCHEMA_NAME = "manifest.schema.json"
"""Named by the first line of what is made: a file beside the manifest, so that editors need no network."""

Judge = Callable[[Path, str], "Refused | None"]
"""Looks into a file, and says why it cannot be uploaded. The text is what messages call it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a file cannot be uploaded. `code` is stable, `message` is for people."""

    code: str
    message: str


def manifest_lines(manifest: Manifest) -> Iterator[str]:
    """The lines of a manifest that has a batch, entries, tags and a size of its own, and nothing else.

    Read back it has equal entries: values are quoted where any YAML reader could take them for something else.
    """
    yield f"# yaml-language-server: $schema={SCHEMA_NAME}"
    yield "version: 1"
    yield f"batch: {yaml_scalar(manifest.batch)}"
    yield from _defaults(manifest)
    yield "attachments:"
    for entry in manifest.entries:
        yield from _entry(entry)


def _defaults(manifest: Manifest) -> Iterator[str]:
    has_size = manifest.max_size_bytes != MAX_SIZE_DEFAULT_BYTES
    if not manifest.tags and not has_size:
        return
    yield "defaults:"
    if has_size:
        yield f"  max_size: {size_text(manifest.max_size_bytes)}"
    yield from _tags(manifest.tags, "  ")


def _entry(entry: Entry) -> Iterator[str]:
    source = f"{entry.kind}: {yaml_scalar(entry.source)}"
    if entry.kind is SourceKind.GLOB or entry.item_id is None:
        yield f"  - {source}"
    else:
        yield f"  - id: {yaml_scalar(entry.item_id)}"
        yield f"    {source}"
    yield from _tags(entry.tags, "    ")


def _tags(tags: Mapping[str, str], indent: str) -> Iterator[str]:
    if tags:
        yield f"{indent}tags:"
    for key, value in tags.items():
        # a short word as a value says more in quotes: `"NO"` is meant as text
        yield f"{indent}  {yaml_scalar(key)}: {yaml_text(value)}"
