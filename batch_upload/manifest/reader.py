"""From a YAML file to a manifest and its attachments, or to all its problems at once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from yaml.events import Event, MappingStartEvent, ScalarEvent

from batch_upload.errors import ManifestInvalid
from batch_upload.form import Form
from batch_upload.manifest.bind_values import add_binds
from batch_upload.manifest.cursor import FASTEST_LOADER, Loader, Pair, is_null, line_of, position
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.form_values import add_forms
from batch_upload.manifest.forms import BUILT_IN, unknown_form
from batch_upload.manifest.globs import GlobFindings
from batch_upload.manifest.keys import KEYS
from batch_upload.manifest.problems import GRAMMAR, Code, Invalid, Problems, excerpt
from batch_upload.manifest.rows import EntryChunk, rows_of_table
from batch_upload.manifest.source import SIZE_LIMIT_BYTES
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.target_values import TargetValues
from batch_upload.manifest.targets import Targets, resolve_targets
from batch_upload.manifest.values import NO_TAGS, Given, value_in
from batch_upload.manifest.yaml_file import YamlFile, open_yaml
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Listed, Manifest, Position, Problem, SourceKind
from batch_upload.targets import ALL_LANES, LaneChoice, Target
from batch_upload.words import count_words

Taken = TypeVar("Taken")


def list_manifest(
    path: Path,
    *,
    allow_outside: bool,
    take: Callable[[Manifest, Iterator[Listed]], Taken],
    lanes: LaneChoice = ALL_LANES,
    findings: GlobFindings | None = None,
    loader: Loader = FASTEST_LOADER,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
    invalid: Invalid | None = None,
    warn: Callable[[Problem], None] = lambda _: None,
) -> tuple[Manifest, Taken, tuple[Problem, ...]]:
    """Hand the attachments of a manifest to `take`; return the manifest, what `take` returned, and every problem.

    `take` is called once and must consume all attachments. They arrive while the manifest is read, so none is kept in
    memory (of a manifest with globs the entries are), and the returned manifest has no entries. Attachments with a
    problem are left out. Reading ends at the first error of YAML's grammar. `loader` is one of PyYAML's. The Python one
    is slower than the C one, refuses tabs between words, and words errors of grammar differently. `lanes` chooses those
    whose attachments are handed out. `findings` gets what globs find besides attachments, `invalid` what cannot be
    sent, and which problems are of single entries: complete once this returns. `warn` gets each warning.

    Raises ManifestInvalid if the keys before the attachments cannot be read, and UsageError if the path is no regular
    file or cannot be read, or if `lanes` names none of the manifest's.
    """
    problems = Problems(str(path))
    with _reading(
        path,
        problems,
        allow_outside=allow_outside,
        loader=loader,
        size_limit_bytes=size_limit_bytes,
        invalid=invalid,
    ) as reader:
        manifest = reader.head()
        chosen = lanes.of(manifest.targets) if manifest.are_targets_whole else manifest.targets
        labels = None if lanes.is_all else {each.label for each in chosen}
        expansion = Expansion(
            manifest,
            problems,
            allow_outside=allow_outside,
            targets=reader.targets,
            chosen=labels,
            findings=findings,
            has_globs=reader.may_have_globs,
            invalid=invalid,
        )
        taken = take(manifest, expansion.of_all(reader.chunks()))
        manifest = replace(manifest, tables=tuple(dict.fromkeys(reader.tables)))
    for warning in problems.warnings():
        warn(warning)
    return manifest, taken, problems.in_order()


def read_manifest(path: Path, *, allow_outside: bool = False, loader: Loader = FASTEST_LOADER) -> Manifest:
    """Return a manifest with all its entries, without looking for the documents that it names.

    Raises ManifestInvalid with every problem of the text in order of position, and UsageError as `list_manifest`.
    """
    problems = Problems(str(path))
    with _reading(path, problems, allow_outside=allow_outside, loader=loader) as reader:
        manifest = reader.head()
        entries = tuple(chain.from_iterable(reader.chunks()))
    if problems:
        raise _manifest_invalid(path, problems)
    return replace(manifest, entries=entries)


def ledger_named_in(path: Path) -> str | None:
    """Return the `ledger` of a manifest. Return None also if the manifest cannot be understood.

    Raises UsageError as `list_manifest`.
    """
    with suppress(ManifestInvalid), _reading(path, Problems(str(path)), allow_outside=True) as reader:
        return reader.head().ledger
    return None


def targets_named_in(path: Path) -> tuple[Target, ...]:
    """Return the lanes of a manifest's `targets` that have no problem, without reading its entries if they come last.

    Raises UsageError as `list_manifest`.
    """
    with suppress(ManifestInvalid), _reading(path, Problems(str(path)), allow_outside=True) as reader:
        return reader.head().targets
    return ()


@contextmanager
def _reading(
    path: Path,
    problems: Problems,
    *,
    allow_outside: bool,
    loader: Loader = FASTEST_LOADER,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
    invalid: Invalid | None = None,
) -> Iterator["_Reader"]:
    with open_yaml(path, problems, loader=loader, size_limit_bytes=size_limit_bytes) as file:
        if file is None:
            raise _manifest_invalid(path, problems)
        yield _Reader(file, problems, allow_outside=allow_outside, loader=loader, invalid=invalid)


def _manifest_invalid(path: Path, problems: Problems) -> ManifestInvalid:
    found = problems.in_order()
    return ManifestInvalid(f"{count_words(len(found), 'problem')} in {excerpt(str(path))}", problems=found)


class _Reader:
    """Reads a manifest: its `head`, then its `entries`, each once.

    Entries are handed out as they are read. Only if other keys may follow `attachments`, `head` reads them all.
    """

    def __init__(
        self,
        file: YamlFile,
        problems: Problems,
        *,
        allow_outside: bool,
        loader: Loader,
        invalid: Invalid | None = None,
    ) -> None:
        self._invalid = invalid or Invalid()
        self._file = file
        self._problems = problems
        self._allow_outside = allow_outside
        self._loader = loader
        self._values = TargetValues(file.cursor, problems)
        add_forms(self._values)
        add_binds(self._values)
        self._pairs: Iterator[Pair] = iter(())
        self._entries: Iterator[Entry | TableEntry] = iter(())
        self._given: Given = {}
        """The keys of the manifest that were read."""
        self.tables: list[str] = []
        """The tables that were read so far, as the manifest names them."""
        self.targets: Targets | None = None
        """The manifest's `targets`, once `head` has been read; None if it has none."""
        self.may_have_globs = file.screened.may_have_globs

    def head(self) -> Manifest:
        """Return the manifest without its entries. Raises ManifestInvalid if its grammar is broken."""
        with self._file.until_fault():
            self._read_head()
        self._values.decide_templates(has_targets="targets" in self._given)
        if self._file.is_broken:
            raise _manifest_invalid(self._file.path, self._problems)
        folder = self._file.path.resolve().parent
        if "targets" in self._given:
            given, event = self._given["targets"]
            self.targets = resolve_targets(
                given or {},
                self._problems,
                path=self._file.path,
                folder=folder,
                allow_outside=self._allow_outside,
                loader=self._loader,
            )
            if given is not None and not given.keys() & {"from", "list"}:
                message = "`targets` needs a `list`, or `from` with the name of a file"
                self._problems.add(position(event), Code.MISSING_KEY, message)
            if "target" in self._given:
                message = "`target` and `targets` are both given: `target` is for one lane, `targets` for several"
                self._problems.add(position(event), Code.TARGETS, message)
        target: Given = value_in(self._given, "target") or {}
        defaults: Given = value_in(self._given, "defaults") or {}
        tags = value_in(defaults, "tags") or NO_TAGS
        forms: Mapping[str, Form] = value_in(self._given, "forms") or {}
        form_name: str | None = value_in(defaults, "form")
        form = BUILT_IN.get(form_name or "") or forms.get(form_name or "")
        if form_name is not None and form is None:
            message = unknown_form(form_name, {**BUILT_IN, **forms})
            self._problems.add(position(defaults["form"][1]), Code.UNKNOWN_FORM, message)
        return Manifest(
            path=self._file.path,
            folder=folder,
            batch=value_in(self._given, "batch") or "",
            entries=(),
            ledger=value_in(self._given, "ledger"),
            part_of=value_in(self._given, "part_of"),
            target=Target(**{key: value_in(target, key) for key in KEYS["`target`"]}),
            targets=() if self.targets is None else self.targets.lanes,
            are_targets_whole=self.targets is None or (self.targets.is_whole and not self.targets.broken),
            targets_file=value_in(value_in(self._given, "targets") or {}, "from"),
            default_targets=value_in(defaults, "target"),
            tags=tags.values,
            tags_at=tags.at,
            max_size_bytes=value_in(defaults, "max_size") or MAX_SIZE_DEFAULT_BYTES,
            has_max_size="max_size" in defaults,
            form=form,
            forms=forms,
            generation=value_in(defaults, "generation") or 1,
            identity_tag=value_in(defaults, "identity_tag") is not False,
            looks_inside=value_in(defaults, "check") is not False,
            exclude=value_in(defaults, "exclude") or (),
            min_age_s=value_in(defaults, "min_age") or 0.0,
        )

    def chunks(self) -> Iterator[EntryChunk]:
        """Yield the entries, those of a table's rows together, up to an error of grammar.

        Those with a problem of their own name it.
        """
        folder = self._file.path.resolve().parent
        with self._file.until_fault():
            for entry in self._entries:
                if isinstance(entry, Entry):
                    yield (entry,)
                    continue
                self.tables.append(entry.path)
                yield from rows_of_table(
                    entry,
                    self._problems,
                    manifest=self._file.path,
                    folder=folder,
                    allow_outside=self._allow_outside,
                    has_targets="targets" in self._given,
                    invalid=self._invalid,
                )

    def _read_head(self) -> None:
        root = self._file.cursor.root()
        if root is None or (isinstance(root, ScalarEvent) and is_null(root)):
            self._problems.add(Position(), Code.EMPTY_MANIFEST, "the manifest is empty: begin with `version: 1`")
            return
        if not isinstance(root, MappingStartEvent):
            self._values.report_kind(root, "the manifest", "a mapping")
            self._file.end()
            return
        self._pairs = self._file.cursor.pairs()
        found = self._read_keys(root)
        if found is None:
            return
        line, attachments = found
        if root.flow_style or position(root).column > 1 or line < self._file.screened.last_line_at_margin:
            # `defaults` or `batch` may follow, without which an entry means nothing
            self._entries = iter(list(self._read_entries(root, attachments, are_last=False)))
        else:
            self._entries = self._read_entries(root, attachments, are_last=True)

    def _read_keys(self, root: Event) -> tuple[int, Event] | None:
        """Read up to the entries. Return the line of their key and the event that begins them, or None at the end."""
        for name, key, event in self._pairs:
            if name == "attachments":
                self._given[name] = None, event
                return line_of(key.start_mark), event
            self._given[name] = self._values.value(name, key, event, "the manifest")
        for name in ("version", "batch", "attachments"):
            if name not in self._given:
                self._problems.add(position(root), Code.MISSING_KEY, f"`{name}` is missing: every manifest has one")
        self._file.end()
        return None

    def _read_entries(self, root: Event, attachments: Event, *, are_last: bool) -> Iterator[Entry | TableEntry]:
        for item in self._values.items(attachments, "`attachments`"):
            before = len(self._problems)
            entry = self._values.entry(item)
            found = self._problems.after(before)
            if found and not any(each.code in GRAMMAR for each in found):
                self._invalid.problems.update(found)
                unknown = Entry(SourceKind.FILE, "", position(item))
                yield (entry if isinstance(entry, Entry) else unknown)._replace(problem=found[0])
            elif entry is not None:
                yield entry
        keys = len(self._given)
        self._read_keys(root)
        if are_last and len(self._given) > keys:
            raise RuntimeError("a key follows the entries that were handed out without it")
