"""Judges the look inside on a folder of documents: `python -m benchmarks.corpora FOLDER` (CONTRIBUTING.md).

The judges are pdfium (the first page must load) and Pillow (all pixels must decode), each file in a process of its own,
without limits. Prints the table that docs/documents.md quotes, and each document on which judge and look differ.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import resource
import statistics
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pypdfium2
from PIL import Image

from batch_upload.document import EVERY_EXTENSION, FlawCode
from batch_upload.documents.inspectors import InspectorPool
from batch_upload.documents.sniff import content_type_of
from batch_upload.model import ContentType

CANNOT_BE_OPENED = {FlawCode.LOCKED, FlawCode.DAMAGED, FlawCode.CUT_OFF, FlawCode.NO_PAGE, FlawCode.NOT_CHECKED}


def opens(path: Path) -> bool:
    """Tell whether pdfium or Pillow can open a document."""
    content = path.read_bytes()
    Image.MAX_IMAGE_PIXELS = None
    try:
        if content_type_of(content) is ContentType.PDF:
            with closing(pypdfium2.PdfDocument(content)) as pdf:
                return pdf[0] is not None
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except Exception:  # noqa: BLE001 that is the answer
        return False
    return True


def main() -> None:
    """Print the table, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in EVERY_EXTENSION]
    paths = [path for path in paths if content_type_of(path.read_bytes()[:2_000])]
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=50) as judges:
        verdicts = judges.map(opens, paths, chunksize=10)
    pool, took_ms, codes = InspectorPool(), [], Counter[str]()
    warned_of: list[bool] = []
    for path in paths:
        content = path.read_bytes()
        content_type = content_type_of(content)
        if content_type is None:
            raise AssertionError(path)
        began = time.perf_counter()
        insight = pool.look_inside(content, hashlib.sha256(path.name.encode() + content).hexdigest(), content_type)
        took_ms.append(1_000 * (time.perf_counter() - began))
        found = {flaw.code for flaw in insight.flaws} if insight else set()
        codes.update(found)
        warned_of.append(bool(found & CANNOT_BE_OPENED))
    pool.close()
    missed = [path for path, good, warned in zip(paths, verdicts, warned_of, strict=True) if not good and not warned]
    alarms = [path for path, good, warned in zip(paths, verdicts, warned_of, strict=True) if good and warned]
    good, bad = sum(verdicts), len(paths) - sum(verdicts)
    p99 = statistics.quantiles(took_ms, n=100)[98]
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_000
    print("| documents | cannot be opened | warned of | can be opened | warned of | median | p99 | memory |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    caught = f"{bad - len(missed)} ({1 - len(missed) / max(1, bad):.1%})"
    wrong = f"{len(alarms)} ({len(alarms) / max(1, good):.2%})"
    cost = f"{statistics.median(took_ms):.1f} ms | {p99:.0f} ms | {peak_mb:.0f} MB"
    print(f"| {len(paths):,} | {bad} | {caught} | {good:,} | {wrong} | {cost} |")
    print(json.dumps(codes))
    for title, differing in (("missed", missed), ("warned of", alarms)):
        for path in differing:
            print(title, path.relative_to(folder))


if __name__ == "__main__":
    main()
