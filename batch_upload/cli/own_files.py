"""The files that a run reads and owns, which none of its outputs may replace or append to."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from batch_upload.cli.files import NamedFile
from batch_upload.cli.flags import Flags, text_of, truth_of
from batch_upload.errors import BatchUploadError, UsageError
from batch_upload.model import Listed
from batch_upload.settings import default_ledger, local_state_path

_HEAD_BYTES = 4_096
_SQLITE = b"SQLite format 3\0"
"""How a database begins (https://www.sqlite.org/fileformat.html)."""
STANDARD_OUTPUT = NamedFile("standard output", Path("/dev/fd/1"))
STANDARD_ERROR = NamedFile("standard error", Path("/dev/fd/2"))


def run_files(manifest: Path, ledger: Path) -> Iterator[NamedFile]:
    """The manifest, the ledger with what lies beside it, and the state of the embedded service."""
    from batch_upload.ledger import files_of_ledger  # heavy, and only needed where an output is a file

    yield NamedFile("the manifest", manifest)
    yield from (NamedFile("a file of the ledger", path) for path in files_of_ledger(ledger))
    yield NamedFile("the state of the local service", local_state_path(manifest))


def documents(listed: Iterable[Listed]) -> Iterator[NamedFile]:
    """The documents that a manifest lists."""
    return (NamedFile("a document of the manifest", each.path) for each in listed if each.path is not None)


def files_before_reading(manifest: Path, flags: Flags) -> Iterator[NamedFile]:
    """As `run_files`, before the verb reads the manifest: only its `ledger` is looked for."""
    from batch_upload.manifest.reader import ledger_named_in

    try:
        named = ledger_named_in(manifest)
        chosen = text_of(flags, "ledger")
        ledger = default_ledger(manifest, named, local=truth_of(flags, "local")) if chosen is None else Path(chosen)
    except BatchUploadError:  # the verb itself says what is wrong with the manifest or the flag
        return iter([NamedFile("the manifest", manifest)])
    return run_files(manifest, ledger)


def refuse_other_content(flag: str, path: Path, *, is_right: Callable[[bytes], bool]) -> None:
    """Raise UsageError where the output is a file that holds something, and `is_right` says no to its first bytes.

    So also a document or a ledger that this run does not know of is neither replaced nor appended to.
    """
    try:
        head = _head_of(path) if path.is_file() else b""
    except OSError:
        return  # whoever opens it for writing says what is wrong
    if head and not is_right(head):
        raise UsageError(f"`{flag} {path}` holds something else, nothing was done", hint="name another file")


def is_no_document(head: bytes) -> bool:
    """Whether a file that begins so is neither a PDF, a PNG, a JPEG nor a database: a log can be appended to it."""
    from batch_upload.documents.sniff import content_type_of

    return content_type_of(head) is None and not head.startswith(_SQLITE)


def is_metrics(head: bytes) -> bool:
    """Whether a file that begins so was written by `--metrics-file`."""
    from batch_upload.report.metrics import METRIC_PREFIX

    return METRIC_PREFIX.encode() in head


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
