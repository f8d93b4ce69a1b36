"""The manifest's documentation names everything there is."""

import re
from collections.abc import Callable
from pathlib import Path

from batch_upload.document import FlawCode
from batch_upload.documents.copies import WarningCode
from batch_upload.documents.refusals import RefusalCode
from batch_upload.manifest.expand import expand
from batch_upload.manifest.keys import KEYS
from batch_upload.manifest.problems import Code, ManifestWarning
from batch_upload.manifest.reader import read_manifest

Write = Callable[..., Path]

PAGE = (Path(__file__).parents[3] / "docs" / "manifest.md").read_text(encoding="utf-8")


def test_every_code_stands_in_the_table_with_its_meaning() -> None:
    for code in (*Code, *ManifestWarning, *RefusalCode, *WarningCode, *FlawCode):
        assert f"| `{code}` | {code.meaning} |" in PAGE


def test_the_table_has_no_other_codes() -> None:
    section = PAGE.split("## Problems", 1)[1]

    assert set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == {
        *Code,
        *ManifestWarning,
        *RefusalCode,
        *WarningCode,
        *FlawCode,
    }


def test_every_key_is_explained() -> None:
    for keys in KEYS.values():
        for key in keys:
            assert re.search(rf"^\| `(\w+\.)?{key}` \|", PAGE, re.MULTILINE), key


def test_the_examples_of_the_page_are_manifests(write: Write, tmp_path: Path) -> None:
    for name in ("files/acme-loa.pdf", "screenshots/a.png", "screenshots/web/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "customers.csv").write_text("File Name,Number,Company\nacme.pdf,7,AT&T (US)\n")
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert examples
    for example in examples:
        assert expand(read_manifest(write(example)), allow_outside=False)[1] == ()
