"""From an entry and one of its documents to the attachment that is listed: the defaults and the form that apply."""

from collections.abc import Mapping

from batch_upload.form import Form
from batch_upload.manifest.forms import BUILT_IN, FORM_OF_FIELD
from batch_upload.manifest.reporting import ExpandedLane
from batch_upload.model import Entry, Listed, Manifest, SourceKind
from batch_upload.registration import Bind


class ListedMaker:
    """Makes the attachments of a manifest. `forms` are those that its entries may name."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.forms: Mapping[str, Form] = {**manifest.forms, **BUILT_IN}

    def listed(
        self, entry: Entry, source: str, item_id: str, tags: Mapping[str, str], bind: Bind | None, lane: ExpandedLane
    ) -> Listed:
        """Return an attachment of a lane. `tags` and `bind` are filled in.

        Its form is that of the entry, or else that of its field, or else that of `defaults`. The size of `defaults`
        overrides only the last one's.
        """
        manifest = self._manifest
        name = entry.form
        if name is None and bind is not None:
            name = FORM_OF_FIELD.get(bind.field)
        form = manifest.form if name is None else self.forms.get(name)
        max_size_bytes = entry.max_size_bytes
        if max_size_bytes is None and form is not None and (name is not None or not manifest.has_max_size):
            max_size_bytes = form.max_size_bytes
        return Listed(
            batch=manifest.batch,
            item_id=item_id,
            source=source,
            folder=None if entry.kind is SourceKind.URL else manifest.folder,
            tags=tags,
            generation=entry.generation or manifest.generation,
            max_size_bytes=max_size_bytes or manifest.max_size_bytes,
            identity_tag=manifest.identity_tag,
            at=entry.at,
            lane_label=lane.label,
            is_match=entry.kind is SourceKind.GLOB,
            form=form,
            at_file=entry.at_file,
            bind=bind,
            bind_at=None if bind is None or entry.at_file is not None else entry.bind_at,
        )
