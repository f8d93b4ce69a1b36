"""Many files, and which of them are read: what is remembered is not, as long as it looks the same."""

import hashlib
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch_upload.document import Document, Fingerprint, FlawCode, Insight, RememberedDigest
from batch_upload.documents.look import FILES_PER_HOP, LOOK_THREADS, RECENT_MAX, Looker, Recent
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.model import ContentType, Listed, Position
from tests.support.real_documents import real_pdf

PDF = b"%PDF-1.7\nfirst\n%%EOF\n"
OTHER = b"%PDF-1.7\nother\n%%EOF\n"
LONG_AGO_NS = 1_000_000_000 * 10**9
NOW_NS = LONG_AGO_NS + 10**12
Found = Document | Refusal | None


def put(path: Path, body: bytes, *, mtime_ns: int = LONG_AGO_NS) -> Path:
    """Write a file in place, and turn its clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def listed(folder: Path, source: str, *, max_size_bytes: int = 500_000) -> Listed:
    home = None if source.startswith("s3://") else folder
    return Listed("june", source, source, home, {}, 1, max_size_bytes, identity_tag=True, at=Position())


class Memory:
    """What is remembered, and what was asked for."""

    def __init__(self, known: Mapping[str, RememberedDigest]) -> None:
        self.known = known
        self.asked: list[str] = []

    def __call__(self, paths: Sequence[str]) -> Mapping[str, RememberedDigest]:
        self.asked += paths
        return {path: self.known[path] for path in paths if path in self.known}


@contextmanager
def looker(root: Path | None, known: Mapping[str, RememberedDigest] | None = None) -> Iterator[Looker]:
    with Looker(root, recall=Memory(known or {}), now_ns=lambda: NOW_NS) as looking:
        yield looking


@pytest.fixture
def remember(tmp_path: Path) -> Callable[..., Mapping[str, RememberedDigest]]:
    """Read files once, and give what is remembered of them."""

    def read(*sources: str) -> Mapping[str, RememberedDigest]:
        with looker(None) as looking:
            looking.look([listed(tmp_path, source) for source in sources])
        return looking.fresh

    return read


Remember = Callable[..., Mapping[str, RememberedDigest]]


def look_again(folder: Path, known: Mapping[str, RememberedDigest], each: Listed, *, outside: bool = False) -> Found:
    with looker(None if outside else folder, known) as looking:
        (found,) = looking.look([each])
    return found


def digest(found: Found) -> str:
    assert isinstance(found, Document)
    return found.sha256


def test_what_is_read_is_remembered_by_its_resolved_path_and_its_look(tmp_path: Path, remember: Remember) -> None:
    path = put(tmp_path / "files" / "a.pdf", PDF)

    ((where, known),) = remember("files/../files/a.pdf").items()

    look = path.stat()
    assert where == str(path.resolve())
    assert known.fingerprint == (look.st_dev, look.st_ino, len(PDF), LONG_AGO_NS)
    assert (known.sha256, known.content_type) == (hashlib.sha256(PDF).hexdigest(), ContentType.PDF)


def test_a_file_that_looks_the_same_is_not_read(tmp_path: Path, remember: Remember) -> None:
    path = put(tmp_path / "a.pdf", PDF)
    known = remember("a.pdf")
    put(path, OTHER)

    found = look_again(tmp_path, known, listed(tmp_path, "a.pdf"))

    assert found == Document(str(path.resolve()), hashlib.sha256(PDF).hexdigest(), len(PDF), ContentType.PDF)


@pytest.mark.parametrize("how", ["mtime", "size", "inode"])
def test_a_file_that_looks_different_is_read(how: str, tmp_path: Path, remember: Remember) -> None:
    path = put(tmp_path / "a.pdf", PDF)
    known = remember("a.pdf")
    body = OTHER + b"\n" if how == "size" else OTHER
    if how == "inode":
        path.rename(tmp_path / "kept.pdf")
    put(path, body, mtime_ns=LONG_AGO_NS + (how == "mtime"))

    assert digest(look_again(tmp_path, known, listed(tmp_path, "a.pdf"))) == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(("age_ns", "is_remembered"), [(2 * 10**9, True), (2 * 10**9 - 1, False), (-(10**9), False)])
def test_what_was_written_within_two_seconds_is_read_again_the_next_time(
    age_ns: int,
    is_remembered: bool,  # noqa: FBT001
    tmp_path: Path,
    remember: Remember,
) -> None:
    put(tmp_path / "a.pdf", PDF, mtime_ns=NOW_NS - age_ns)

    assert bool(remember("a.pdf")) is is_remembered


def test_what_cannot_be_sent_is_not_remembered(tmp_path: Path, remember: Remember) -> None:
    put(tmp_path / "a.png", PDF)
    put(tmp_path / "empty.pdf", b"")

    assert remember("a.png", "empty.pdf", "missing.pdf", "s3://bucket/a.pdf") == {}


def test_what_is_remembered_must_still_fit_its_entry(tmp_path: Path, remember: Remember) -> None:
    put(tmp_path / "a.pdf", PDF)
    known = remember("a.pdf")

    found = look_again(tmp_path, known, listed(tmp_path, "a.pdf", max_size_bytes=len(PDF) - 1))

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.TOO_LARGE


@pytest.mark.parametrize("name", ["link.png", "link", ".pdf"])
def test_a_name_that_does_not_go_with_what_is_remembered_is_refused(
    name: str, tmp_path: Path, remember: Remember
) -> None:
    known = remember(put(tmp_path / "a.pdf", PDF).name)
    (tmp_path / name).symlink_to("a.pdf")

    found = look_again(tmp_path, known, listed(tmp_path, name))

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.WRONG_EXTENSION


def test_links_are_followed_to_what_is_remembered(tmp_path: Path, remember: Remember) -> None:
    path = put(tmp_path / "real" / "a.pdf", PDF)
    known = remember("real/a.pdf")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "b.PDF").symlink_to("folder/a.pdf")
    put(path, OTHER)

    for source in ("folder/a.pdf", "b.PDF", str(path), "folder/./a.pdf"):
        assert digest(look_again(tmp_path, known, listed(tmp_path, source))) == hashlib.sha256(PDF).hexdigest()


@pytest.mark.parametrize("link", ["folder", "file"])
def test_a_link_that_leads_out_is_found_however_well_the_file_is_remembered(
    link: str, tmp_path: Path, remember: Remember
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    known = remember(str(put(tmp_path / "away" / "a.pdf", PDF)))
    (home / "files").symlink_to("../away" if link == "folder" else "../home")
    if link == "file":
        (home / "a.pdf").symlink_to("../away/a.pdf")

    found = look_again(home, known, listed(home, "files/a.pdf"))
    allowed = look_again(home, known, listed(home, "files/a.pdf"), outside=True)

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.OUTSIDE
    assert digest(allowed) == hashlib.sha256(PDF).hexdigest()


def test_what_is_gone_or_no_file_any_more_is_refused_however_well_it_is_remembered(
    tmp_path: Path, remember: Remember
) -> None:
    path = put(tmp_path / "a.pdf", PDF)
    known = remember("a.pdf")

    path.unlink()
    gone = look_again(tmp_path, known, listed(tmp_path, "a.pdf"))
    os.mkfifo(path)
    fifo = look_again(tmp_path, known, listed(tmp_path, "a.pdf"))

    assert isinstance(gone, Refusal)
    assert isinstance(fifo, Refusal)
    assert (gone.code, fifo.code) == (RefusalCode.MISSING, RefusalCode.NOT_REGULAR)


@pytest.mark.parametrize(
    "count", [0, 1, LOOK_THREADS, FILES_PER_HOP * LOOK_THREADS + 1, 3 * FILES_PER_HOP * LOOK_THREADS]
)
def test_each_is_asked_for_once_and_answers_come_in_order(tmp_path: Path, count: int) -> None:
    sources = [f"files/{number}.pdf" for number in range(count)]
    for number, source in enumerate(sources):
        put(tmp_path / source, PDF + bytes([number]))
    memory = Memory({})
    with Looker(tmp_path, recall=memory, now_ns=lambda: NOW_NS) as looking:
        found = looking.look([listed(tmp_path, source) for source in (*sources, "s3://bucket/a.pdf")])

    assert memory.asked == [str(tmp_path.resolve() / source) for source in sources]
    assert [None if each is None else digest(each) for each in found] == [
        *(hashlib.sha256(PDF + bytes([number])).hexdigest() for number in range(count)),
        None,
    ]


def test_a_file_that_is_listed_again_is_read_once(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pdf", PDF)
    with looker(tmp_path) as looking:
        looking.look([listed(tmp_path, "a.pdf")])
        put(path, OTHER)
        (again,) = looking.look([listed(tmp_path, "a.pdf")])

    assert digest(again) == hashlib.sha256(PDF).hexdigest()


def test_what_was_read_last_is_of_so_many_files_at_most() -> None:
    recent = Recent()
    found = RememberedDigest(Fingerprint(1, 1, 1, 1), "00" * 32, ContentType.PDF)

    for number in range(RECENT_MAX):
        recent[f"/{number}.pdf"] = found
    assert len(recent) == RECENT_MAX
    recent["/next.pdf"] = found

    assert set(recent) == {"/next.pdf"}


def test_a_file_in_another_unicode_form_is_remembered_and_must_be_within_the_root(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Müller/é.pdf") for form in ("NFC", "NFD"))
    root = tmp_path.resolve() / "home"
    path = put(root / decomposed, PDF)
    put(tmp_path / "outside" / "é.pdf", PDF)
    (root / unicodedata.normalize("NFD", "Ä")).symlink_to(tmp_path / "outside")
    status = path.stat()
    known = RememberedDigest(
        Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), "ab" * 32, ContentType.PDF
    )

    with looker(root, {str(path): known}) as looking:
        remembered, outside = looking.look([listed(root, composed), listed(root, "Ä/é.pdf")])

    assert remembered == Document(str(path), "ab" * 32, len(PDF), ContentType.PDF)
    assert isinstance(outside, Refusal)
    assert outside.code is RefusalCode.OUTSIDE


@contextmanager
def looker_inside(root: Path, known: Mapping[str, RememberedDigest] | None = None) -> Iterator[Looker]:
    with Looker(root, recall=Memory(known or {}), now_ns=lambda: NOW_NS, looks_inside=True) as looking:
        yield looking


def insights(found: Sequence[Found]) -> list[Insight | None]:
    assert all(isinstance(each, Document) for each in found)
    return [each.insight for each in found if isinstance(each, Document)]


def test_a_file_is_looked_into_and_what_was_found_is_remembered_with_its_digest(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf", real_pdf(pages=2))
    put(tmp_path / "b.png", b"\x89PNG\r\n\x1a\n")

    with looker_inside(tmp_path) as looking:
        good, cut = insights(looking.look([listed(tmp_path, "a.pdf"), listed(tmp_path, "b.png")]))

    assert good == Insight(pages=2)
    assert cut is not None
    assert [flaw.code for flaw in cut.flaws] == [FlawCode.CUT_OFF]
    assert [found.insight for found in looking.fresh.values()] == [good, cut]


def test_a_look_inside_that_could_not_be_started_is_told_and_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.pdf", real_pdf())

    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-program"))
    with looker_inside(tmp_path) as looking:
        (told,) = insights(looking.look([listed(tmp_path, "a.pdf")]))

    assert told is not None
    assert [flaw.code for flaw in told.flaws] == [FlawCode.NOT_CHECKED]
    assert "could not be started" in told.flaws[0].message
    assert [found.insight for found in looking.fresh.values()] == [None]


def test_a_file_whose_insight_is_remembered_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf", real_pdf())
    with looker_inside(tmp_path) as looking:
        looking.look([listed(tmp_path, "a.pdf")])
    known = {path: found._replace(insight=Insight(pages=99)) for path, found in looking.fresh.items()}

    with looker_inside(tmp_path, known) as looking:
        assert insights(looking.look([listed(tmp_path, "a.pdf")])) == [Insight(pages=99)]
    assert looking.fresh == {}


def test_a_file_that_was_remembered_without_a_look_inside_is_read_again(tmp_path: Path, remember: Remember) -> None:
    put(tmp_path / "a.pdf", real_pdf(pages=2))
    known = remember("a.pdf")
    assert [found.insight for found in known.values()] == [None]

    with looker_inside(tmp_path, known) as looking:
        assert insights(looking.look([listed(tmp_path, "a.pdf")])) == [Insight(pages=2)]


def test_what_was_found_inside_is_not_told_where_no_look_inside_is_wanted(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf", b"%PDF-1.7\n")
    with looker_inside(tmp_path) as looking:
        looking.look([listed(tmp_path, "a.pdf")])

    with looker(tmp_path, looking.fresh) as plain:
        assert insights(plain.look([listed(tmp_path, "a.pdf")])) == [None]
    assert plain.fresh == {}


def test_a_file_that_is_refused_is_not_looked_into(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf", b"\x89PNG\r\n\x1a\n")

    with looker_inside(tmp_path) as looking:
        (found,) = looking.look([listed(tmp_path, "a.pdf")])

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.WRONG_EXTENSION
