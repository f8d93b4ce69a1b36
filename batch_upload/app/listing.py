"""A manifest as it is handed to other machines: what it lists for each lane, and the digests that prove it the same."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_upload.app.items import list_sendable
from batch_upload.app.lanes import ListedPart, listed_parts
from batch_upload.errors import UsageError
from batch_upload.manifest.problems import Invalid
from batch_upload.manifest.source import open_manifest
from batch_upload.model import Listed, Manifest
from batch_upload.settings import Settings

DIGESTED_BYTES = 1024 * 1024
"""What is read of a manifest at once."""


@dataclass(frozen=True, slots=True)
class ManifestListing:
    """What a manifest lists, without a look into its files. `digests` are those of `manifest_digests`."""

    manifest: Manifest
    listed: Sequence[Listed]
    digests: Mapping[str, str]
    of_entries: Invalid
    """What cannot be sent, by problems of single entries."""

    def part(self, settings: Settings) -> ListedPart:
        """Return what it lists for the one lane that `settings.targets` names. Raises UsageError if it has none."""
        return listed_parts(self.manifest, self.listed, settings)[0]


def manifest_digests(manifest: Manifest) -> dict[str, str]:
    """Return the SHA-256 of a manifest, of the file that its `targets.from` names, and of its tables. Blocking.

    They are by name. Raises UsageError for one that cannot be read.
    """
    digests = {manifest.path.name: _digest(manifest.path)}
    if manifest.targets_file is not None:
        digests[manifest.targets_file] = _digest(manifest.path.parent / manifest.targets_file)
    digests |= {table: _digest(manifest.folder / table) for table in manifest.tables}
    return digests


def read_listing(path: Path, *, allow_outside: bool) -> ManifestListing:
    """Read a manifest without its files. Blocking.

    Raises ManifestInvalid for a problem of the manifest itself; and UsageError if it cannot be read, or was changed
    meanwhile.
    """
    before = _digest(path)
    manifest, listed, of_entries = list_sendable(path, allow_outside=allow_outside)
    digests = manifest_digests(manifest)
    if digests[path.name] != before:
        raise UsageError(f"`{path}` was changed while it was read", hint="run the same command again")
    return ManifestListing(manifest, listed, digests, of_entries)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with open_manifest(path) as file:
        while piece := file.read(DIGESTED_BYTES):
            found.update(piece)
    return found.hexdigest()
