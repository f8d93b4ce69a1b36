"""A report that is a manifest: the chosen items, ready to be run as they are, on the same ledger."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TextIO

from batch_upload.errors import UsageError
from batch_upload.escape import stream_encoding
from batch_upload.form import Form
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Item, Listed, Manifest
from batch_upload.spelling import literal, size_text, targets_lines, yaml_text
from batch_upload.targets import Target

_OUTSIDE_NOTE = "# some files lie outside this folder: run it with --allow-outside"


def write_manifest(
    stream: TextIO,
    *,
    manifest: Manifest,
    items: Sequence[Item | Listed],
    ledger: LedgerAddress,
    folder: Path,
    is_part: bool,
) -> int:
    """Write a manifest of `items`, chosen from `manifest`, that goes to `folder`, and return their number.

    Paths in it are relative to `folder`. Ids, tags and generations are spelled out, so that every ClientToken is what
    it was. `is_part`: it lists only some items of its batch, and says so (`part_of`). The stream must be UTF-8 or a
    subset of it. Raises UsageError without items: a manifest without attachments cannot be run.
    """
    if not items:
        raise UsageError("no item is chosen, so there is nothing to write", hint="check `--only`")
    real_folder = os.path.realpath(folder)
    writer = _ManifestWriter(stream, manifest, real_folder)
    paths = [None if item.path is None else _path_from(real_folder, manifest.folder / item.source) for item in items]
    if any(path is not None and (path == ".." or path.startswith("../")) for path in paths):
        stream.write(f"{_OUTSIDE_NOTE}\n")
    labels = {item.lane_label for item in items}
    writer.write_head(ledger, [each for each in manifest.targets if each.label in labels], is_part=is_part)
    for item, path in zip(items, paths, strict=True):
        writer.write_entry(item, path)
    own = {form.name: form for item in items if (form := _form_of(item)) is not None and form.name in manifest.forms}
    writer.write_forms(own.values())
    return len(items)


class _ManifestWriter:
    """Writes one manifest. `folder` is real: no symbolic link in it."""

    def __init__(self, stream: TextIO, manifest: Manifest, folder: str) -> None:
        self._stream = stream
        self._manifest = manifest
        self._folder = folder
        self._ascii_only = stream_encoding(stream).lower().replace("_", "-") not in {"utf-8", "utf8"}

    def write_head(self, ledger: LedgerAddress, targets: Sequence[Target], *, is_part: bool) -> None:
        """Write everything above the entries. `targets`: the lanes of the items, if the manifest has `targets`."""
        manifest, target = self._manifest, self._manifest.target
        self._write("version: 1")
        self._write("ledger: ", _path_from(self._folder, ledger) if isinstance(ledger, Path) else str(ledger))
        if is_part:
            # the manifest that lists all of the batch: of a part of a part that of the first
            whole = manifest.path if manifest.part_of is None else manifest.folder / manifest.part_of
            self._write("part_of: ", _path_from(self._folder, whole))
        self._write("batch: ", manifest.batch)
        members = {
            "region": target.region,
            "account": target.account,
            "profile": target.profile,
            "role_arn": target.role_arn,
        }
        if any(value is not None for value in members.values()):
            self._write("target:")
        for key, value in members.items():
            if value is not None:
                self._write(f"  {key}: ", value)
        if targets:
            self._stream.writelines(f"{line}\n" for line in targets_lines(targets, self._quote))
        self._write("defaults:")
        self._write(f"  identity_tag: {'true' if manifest.identity_tag else 'false'}")
        if not manifest.looks_inside:
            self._write("  check: bytes")
        self._write(f"  max_size: {size_text(manifest.max_size_bytes)}")
        self._write("attachments:")

    def write_entry(self, item: Item | Listed, path: str | None) -> None:
        """Write the lines of one item. `path` is that of its file, None for a URL."""
        # with `targets`, braces of sources and ids are templates
        text = literal if item.lane_label is not None else str
        self._write("  - id: ", text(item.item_id))
        if path is None:
            self._write("    url: ", text(item.source))
        else:
            self._write("    file: ", text(path))
        if item.lane_label is not None:
            self._write("    target: ", item.lane_label)
        if item.tags:
            self._write("    tags:")
        for key, value in item.tags.items():
            self._write(f"      {self._quote(key)}: ", literal(value))
        if item.bind is not None:
            self._write("    bind:")
            self._write("      registration: ", item.bind.registration)
            self._write("      field: ", item.bind.field)
        self._write(f"    generation: {item.generation}")
        form = _form_of(item)
        if form is not None:
            self._write("    form: ", form.name)
        # the size of the form, or of the field's, would apply where none is given
        if item.max_size_bytes != self._manifest.max_size_bytes or item.bind is not None or form is not None:
            self._write(f"    max_size: {size_text(item.max_size_bytes)}")

    def write_forms(self, forms: Collection[Form]) -> None:
        """Write the manifest's own forms, below the entries."""
        if forms:
            self._write("forms:")
        for form in forms:
            self._write(f"  {self._quote(form.name)}:")
            if form.types is not None:
                self._write(f"    types: [{', '.join(sorted(each.name.lower() for each in form.types))}]")
            if form.max_size_bytes is not None:
                self._write(f"    max_size: {size_text(form.max_size_bytes)}")
            for key, pixels in (("pixels", form.pixels), ("min_pixels", form.min_pixels)):
                if pixels is not None:
                    self._write(f"    {key}: {pixels[0]}x{pixels[1]}")

    def _write(self, key: str, value: str | None = None) -> None:
        self._stream.write(f"{key}{'' if value is None else self._quote(value)}\n")

    def _quote(self, text: str) -> str:
        return yaml_text(text, ascii_only=self._ascii_only)


def _form_of(item: Item | Listed) -> Form | None:
    """Return what an attachment is checked against. An item is checked already."""
    return item.form if isinstance(item, Listed) else None


def _path_from(folder: str, path: Path) -> str:
    """Return the path from `folder`, with `/`. A `..` is taken as the system takes it: after the link before it."""
    absolute = Path(os.path.realpath(path.parent), path.name) if ".." in path.parts else path.absolute()
    return Path(os.path.relpath(absolute, folder)).as_posix()
