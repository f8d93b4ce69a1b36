"""The sample files: made by their script, byte for byte, and what their names say."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from batch_upload.document import Document
from batch_upload.documents.inspect import examine
from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_manifest

ROOT = Path(__file__).parents[3] / "manifests"
FOLDERS = ("files", "examples/files")
SAMPLES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
LETTERS = [path for path in SAMPLES if path.suffix.lower() == ".pdf"]
SCREENS = [path for path in SAMPLES if path.suffix == ".png"]
MANIFESTS = [ROOT / "demo.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]


def test_the_script_makes_the_samples_again(tmp_path: Path) -> None:
    script = ROOT / "samples" / "make.py"

    subprocess.run([sys.executable, "-B", "-I", str(script), str(tmp_path)], check=True)

    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert made == sorted(path.relative_to(ROOT) for path in SAMPLES)
    assert all((tmp_path / path).read_bytes() == (ROOT / path).read_bytes() for path in made)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_each_sample_is_what_its_name_says(path: Path) -> None:
    assert isinstance(examine(path, max_size_bytes=500_000, root=ROOT).found, Document)


def test_the_samples_are_many_and_small() -> None:
    assert len(SAMPLES) >= 14
    assert sum(path.stat().st_size for path in SAMPLES) < 1_000_000


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_each_example_lists_documents_only(path: Path) -> None:
    manifest = read_manifest(path)

    items, problems = expand(manifest, allow_outside=False)

    assert problems == ()
    for item in items:
        assert item.path is None or isinstance(
            examine(item.path, max_size_bytes=item.max_size_bytes, root=manifest.folder).found, Document
        )


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path.name)
def test_each_picture_unpacks_to_its_size(path: Path) -> None:
    body = path.read_bytes()
    width, height = struct.unpack(">II", body[16:24])
    at = body.index(b"IDAT")
    (length,) = struct.unpack(">I", body[at - 4 : at])

    assert len(zlib.decompress(body[at + 4 : at + 4 + length])) == (width + 1) * height


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.name)
def test_each_letter_finds_its_objects_where_its_table_says(path: Path) -> None:
    body = path.read_bytes()
    table = int(body.split(b"startxref\n")[1].split(b"\n")[0])
    entries = body[table:].split(b"trailer")[0].splitlines()[3:]

    for number, entry in enumerate(entries, start=1):
        assert body[int(entry[:10]) :].startswith(b"%d 0 obj\n" % number)
