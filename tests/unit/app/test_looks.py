"""A look into all files: what vanishes meanwhile, and what is left for a later run."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from batch_upload.app.items import ready
from batch_upload.app.looks import look_into_listed
from batch_upload.manifest.expand import expand
from batch_upload.manifest.reader import read_manifest
from batch_upload.model import Listed
from batch_upload.settings import RunOptions

PDF = b"%PDF-1.7\n%%EOF\n"
HEAD = "version: 1\nbatch: june\nattachments:\n"


def test_a_match_that_vanishes_is_no_problem_and_a_file_that_an_entry_names_is(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf", "named.PDF"):
        (tmp_path / name).write_bytes(PDF)
    path = tmp_path / "june.yaml"
    path.write_text(HEAD + '  - glob: "*.pdf"\n  - file: named.PDF\n')
    manifest = read_manifest(path)
    listed, _ = expand(manifest, allow_outside=False)

    def vanishing() -> Iterator[Listed]:
        yield from listed
        for name in ("a.pdf", "b.pdf", "named.PDF"):
            (tmp_path / name).unlink()
        (tmp_path / "b.pdf").symlink_to("nowhere")

    looked = look_into_listed(
        manifest,
        vanishing(),
        lambda found: [each.item_id for each, _ in found],
        allow_outside=False,
        fresh={},
    )

    assert looked.made == ["c.pdf"]
    assert [(each.item_id, problem.code) for each, problem in looked.refused] == [
        ("b.pdf", "missing"),
        ("named.PDF", "missing"),
    ]


def test_young_files_are_kept_apart_for_each_lane(tmp_path: Path) -> None:
    for name, age_s in (("old.pdf", 3_600), ("young.pdf", 1)):
        (tmp_path / name).write_bytes(PDF)
        os.utime(tmp_path / name, (time.time() - age_s, time.time() - age_s))
    path = tmp_path / "june.yaml"
    path.write_text(HEAD + '  - {glob: "*.pdf", min_age: 5m}\n')

    prepared, _ = ready(path, RunOptions())

    assert [item.item_id for item in prepared.items] == ["old.pdf"]
    assert prepared.young_ids == {"young.pdf"}
