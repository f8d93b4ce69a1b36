"""A report that is a manifest: the chosen items, ready to be run as they are, on the same ledger."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from batch_upload.errors import UsageError
from batch_upload.escape import stream_encoding
from batch_upload.model import Item, Listed, Manifest, Target
from batch_upload.spelling import size_text, yaml_text

_OUTSIDE_NOTE = "# some files lie outside this folder: run it with --allow-outside"


def write_manifest(
    stream: TextIO, *, manifest: Manifest, items: Sequence[Item | Listed], ledger: Path, folder: Path, is_part: bool
) -> int:
    """Write a manifest of `items`, chosen from `manifest`, that goes to `folder`, and give their number.

    Paths in it are relative to `folder`. Ids, tags and generations are spelled out, so that every ClientToken is what
    it was. `is_part`: it lists only some items of its batch, and says so (`part_of`). The stream must be UTF-8 or a
    subset of it. Raises UsageError without items: a manifest without attachments cannot be run.
    """
    if not items:
        raise UsageError("no item is chosen, so there is nothing to write", hint="check `--only`")
    writer = _Writer(manifest, os.path.realpath(folder), ascii_only=not _is_unicode(stream), is_part=is_part)
    files = [writer.location(item) for item in items]
    if any(_is_outside(where) for key, where in files if key == "file"):
        stream.write(f"{_OUTSIDE_NOTE}\n")
    stream.writelines(f"{line}\n" for line in writer.head(ledger))
    for item, (key, where) in zip(items, files, strict=True):
        stream.writelines(f"{line}\n" for line in writer.entry(item, key, where))
    return len(items)


class _Writer:
    """Lines of one manifest. `folder` is real: no symbolic link in it."""

    def __init__(self, manifest: Manifest, folder: str, *, ascii_only: bool, is_part: bool) -> None:
        self._manifest = manifest
        self._is_part = is_part
        self._folder = folder
        self._ascii_only = ascii_only

    def head(self, ledger: Path) -> Iterator[str]:
        """Everything above the entries."""
        manifest = self._manifest
        yield "version: 1"
        yield f"ledger: {self._quoted(_relative(ledger, self._folder))}"
        if self._is_part:
            yield f"part_of: {self._quoted(self._whole())}"
        yield f"batch: {self._quoted(manifest.batch)}"
        target = [f"  {key}: {self._quoted(value)}" for key, value in _target_members(manifest.target)]
        if target:
            yield "target:"
            yield from target
        yield "defaults:"
        yield f"  identity_tag: {'true' if manifest.identity_tag else 'false'}"
        yield f"  max_size: {size_text(manifest.max_size_bytes)}"
        yield "attachments:"

    def entry(self, item: Item | Listed, key: str, where: str) -> Iterator[str]:
        """The lines of one item, which lies at `where`."""
        yield f"  - id: {self._quoted(item.item_id)}"
        yield f"    {key}: {self._quoted(where)}"
        if item.tags:
            yield "    tags:"
            yield from self._tags(item.tags)
        yield f"    generation: {item.generation}"
        if item.max_size_bytes != self._manifest.max_size_bytes:
            yield f"    max_size: {size_text(item.max_size_bytes)}"

    def location(self, item: Item | Listed) -> tuple[str, str]:
        """The key and the value by which an entry names the item's document."""
        if item.path is None:
            return "url", item.source
        return "file", _relative(self._manifest.folder / item.source, self._folder)

    def _whole(self) -> str:
        """The path of the manifest that lists all of the batch: of a part of a part that of the first."""
        manifest = self._manifest
        whole = manifest.path if manifest.part_of is None else manifest.folder / manifest.part_of
        return _relative(whole, self._folder)

    def _tags(self, tags: Mapping[str, str]) -> Iterator[str]:
        for key, value in tags.items():
            literal = value.replace("{", "{{").replace("}", "}}")
            yield f"      {self._quoted(key)}: {self._quoted(literal)}"

    def _quoted(self, text: str) -> str:
        return yaml_text(text, ascii_only=self._ascii_only)


def _relative(path: Path, folder: str) -> str:
    """The path from `folder`, with `/`. A `..` is taken as the system takes it: after the symbolic link before it."""
    absolute = Path(os.path.realpath(path.parent), path.name) if ".." in path.parts else path.absolute()
    return Path(os.path.relpath(absolute, folder)).as_posix()


def _is_outside(where: str) -> bool:
    return where == ".." or where.startswith("../")


def _target_members(target: Target) -> list[tuple[str, str]]:
    members = (
        ("region", target.region),
        ("account", target.account),
        ("profile", target.profile),
        ("role_arn", target.role_arn),
    )
    return [(key, value) for key, value in members if value is not None]


def _is_unicode(stream: TextIO) -> bool:
    return stream_encoding(stream).lower().replace("_", "-") in {"utf-8", "utf8"}
