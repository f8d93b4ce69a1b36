"""The entries of a manifest, one at a time."""

from yaml.events import Event

from batch_upload.manifest.codes import Code
from batch_upload.manifest.cursor import position
from batch_upload.manifest.problems import Problems
from batch_upload.manifest.values import NO_TAGS, Values
from batch_upload.model import Entry, Position, SourceKind


class EntryReader:
    """Reads entry after entry; between two calls of `read` it keeps nothing of them."""

    def __init__(self, values: Values, problems: Problems) -> None:
        self._values = values
        self._problems = problems
        self._takers = {
            "id": self._take_id,
            "file": self._take_file,
            "glob": self._take_glob,
            "url": self._take_url,
            "tags": self._take_tags,
            "generation": self._take_generation,
            "max_size": self._take_max_size,
        }
        self._begin()

    def read(self, event: Event) -> Entry | None:
        """The entry that `event` begins; None where it has no source to speak of. Problems are reported."""
        self._begin()
        seen = self._values.fields(event, "an entry", self._takers)
        if seen is None:
            return None
        if not self._sources:
            self._report_no_source(event, seen)
            return None
        self._check_id()
        return self._entry()

    def _begin(self) -> None:
        self._sources: list[tuple[SourceKind, Position]] = []
        self._source: str | None = None
        self._id: str | None = None
        self._id_at: Position | None = None
        self._tags = NO_TAGS
        self._generation: int | None = None
        self._max_size_bytes: int | None = None

    def _entry(self) -> Entry | None:
        kind, at = self._sources[0]
        if self._source is None:
            return None
        return Entry(
            kind=kind,
            source=self._source,
            at=at,
            item_id=self._id,
            id_at=self._id_at,
            tags=self._tags.values,
            tags_at=self._tags.at,
            generation=self._generation,
            max_size_bytes=self._max_size_bytes,
        )

    def _report_no_source(self, event: Event, seen: set[str]) -> None:
        # A key that is not known may be the source, misspelt: that is one problem, not two.
        if seen <= self._takers.keys():
            message = "an entry needs one of `file`, `glob` and `url`"
            self._problems.add(position(event), Code.NO_SOURCE, message)

    def _check_id(self) -> None:
        if self._id_at is not None and self._sources[0][0] is SourceKind.GLOB:
            message = "remove `id`: each match of a `glob` is its own id"
            self._problems.add(self._id_at, Code.ID_ON_GLOB, message)
            self._id = None  # else all matches have the same id, which is not a second problem

    def _take_file(self, event: Event) -> None:
        self._take_source(event, SourceKind.FILE, self._values.text(event, "file"))

    def _take_glob(self, event: Event) -> None:
        self._take_source(event, SourceKind.GLOB, self._values.text(event, "glob"))

    def _take_url(self, event: Event) -> None:
        self._take_source(event, SourceKind.URL, self._values.word(event, "url", Code.URL))

    def _take_source(self, event: Event, kind: SourceKind, source: str | None) -> None:
        at = position(event)
        if self._sources:
            both = f"`{kind}` and `{self._sources[0][0]}` are both given"
            message = f"{both}: an entry has only one of `file`, `glob` and `url`"
            self._problems.add(at, Code.SEVERAL_SOURCES, message)
        else:
            self._source = source
        self._sources.append((kind, at))

    def _take_id(self, event: Event) -> None:
        self._id_at = position(event)
        self._id = self._values.identifier(event)

    def _take_tags(self, event: Event) -> None:
        self._tags = self._values.tags(event)

    def _take_generation(self, event: Event) -> None:
        self._generation = self._values.generation(event)

    def _take_max_size(self, event: Event) -> None:
        self._max_size_bytes = self._values.size_bytes(event)
