"""A manifest as it is handed to other machines: what it lists for each lane, and the digests that prove it the same."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from anyio import to_thread

from batch_upload.app.choice import choice_of
from batch_upload.app.items import LanePart, list_sendable, ready_part
from batch_upload.app.lanes import ListedPart, listed_parts
from batch_upload.clock import counting_s
from batch_upload.errors import ManifestInvalid, Transient, UsageError
from batch_upload.manifest.problems import Invalid
from batch_upload.manifest.source import open_manifest
from batch_upload.model import Listed, Manifest
from batch_upload.settings import Settings, default_ledger
from batch_upload.targets import Target

DIGESTED_BYTES = 1024 * 1024
"""What is read of a manifest at once."""
LISTINGS_KEPT = 4
"""Manifests whose lists a process keeps in memory, 600 bytes an attachment. Its lanes come from one, or a few."""


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

    def read_files(self, part: ListedPart) -> LanePart:
        """Look into the files of one lane of this list, of what `--only` chooses. Blocking. Raises as `ready_part`."""
        choice = choice_of(self.manifest, part.settings, [part.target])
        return ready_part(self.manifest, part.target, part.listed, part.settings, self.of_entries, choice)


class Listings:
    """What manifests list, read one at a time and kept for lanes that need the same list."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, bool], tuple[float, ManifestListing]] = OrderedDict()
        self._reading = anyio.Lock()

    async def of(
        self,
        path: Path,
        *,
        allow_outside: bool,
        since_s: float = -math.inf,
        digests: Mapping[str, str] | None = None,
    ) -> ManifestListing:
        """Return what a manifest lists. Raises as `read_listing`.

        A list that was kept is read again if its reading began before `since_s`, a moment of `counting_s()`, or if it
        has other digests than these.
        """
        async with self._reading:  # it is CPU time for the most part, and the next lane needs the same list
            key = path, allow_outside
            began_s, listing = self._kept.pop(key, (-math.inf, None))
            if listing is None or began_s < since_s or (digests is not None and listing.digests != digests):
                began_s = counting_s()
                listing = await to_thread.run_sync(
                    lambda: read_listing(path, allow_outside=allow_outside), abandon_on_cancel=True
                )
            self._kept[key] = began_s, listing
            while len(self._kept) > LISTINGS_KEPT:
                self._kept.popitem(last=False)
            return listing

    async def part_again(self, part: LanePart) -> LanePart:
        """Return what a lane gets of its manifest from now on, with its files read. The settings stay as they are.

        Raises ManifestInvalid with the problems of the manifest, or of the lane's files; without problems if the
        manifest cannot be read. Raises Transient if the manifest no longer has the lane, or names another account,
        role or ledger for it than the run has reached: the same command again goes by the new ones.
        """
        before, settings, since_s = part.prepared.manifest, part.settings, counting_s()
        path, own = before.path, part.target.label
        try:
            listing = await self.of(path, allow_outside=settings.allow_outside, since_s=since_s)
            manifest = listing.manifest
            ledgers = [default_ledger(path, each.ledger, local=settings.local) for each in (before, manifest)]
        except UsageError as error:
            raise ManifestInvalid(error.message, problems=(), hint=error.hint) from error
        targets = manifest.targets or (manifest.target,)
        target = next((each for each in targets if each.label == own), None)
        is_other_ledger = settings.ledger == ledgers[0] != ledgers[1]
        if target is None or _reached_by(target) != _reached_by(part.target) or is_other_ledger:
            lane = "its lane" if own is None else f"`{own}`"
            raise Transient(
                f"`{path}` was changed while this run waited for {lane}: the account, Region, role or ledger is"
                " another one now",
                hint="run the same command again",
            )
        listed = tuple(each for each in listing.listed if each.lane_label == own)
        of_lane = ListedPart(target, settings, listed)
        return await to_thread.run_sync(listing.read_files, of_lane, abandon_on_cancel=True)


def _reached_by(target: Target) -> Target:
    """Return a target with only what says which lane it is, and how to reach it."""
    return replace(target, groups=frozenset(), vars={})


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
    manifest, listed, _, of_entries = list_sendable(path, allow_outside=allow_outside)
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
