"""`manifest new`: what it writes is valid as it is written, and nothing is replaced or left out in silence."""

from pathlib import Path

import pytest
import yaml

from tests.support.batches import pdf, png
from tests.support.preloaded import Preloaded


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A folder with documents of two customers, and a file that is none."""
    for name, content in (
        ("acme/loa.pdf", pdf("acme")),
        ("acme/optin.png", png("acme")),
        ("Bäckerei #1/loa.pdf", pdf("bakery")),
        ("Bäckerei #1/notes.pdf", b"just text"),
    ):
        path = tmp_path / "customers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_a_folder_becomes_a_manifest_that_uploads(command: Preloaded, customers: Path) -> None:
    made = command.run("manifest", "new", "customers", "-o", "june.yaml", "--tag", "Name={stem}", cwd=customers)
    uploaded = command.run("upload", "june.yaml", "--local", "--json", cwd=customers)

    assert made.code == 0, made.stderr
    assert "left out: `customers/Bäckerei #1/notes.pdf` is plain text" in made.stderr
    assert "3 attachments in `june.yaml`, batch `customers`" in made.stderr
    assert "batch-upload plan june.yaml" in made.stderr
    assert (uploaded.code, uploaded.states) == (0, {"complete": 3})


def test_the_first_line_names_a_schema_that_lies_beside(command: Preloaded, customers: Path) -> None:
    command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    schema = command.run("manifest", "schema", cwd=customers)

    first = (customers / "june.yaml").read_text(encoding="utf-8").split("\n")[0]
    assert first == "# yaml-language-server: $schema=manifest.schema.json"
    assert (customers / "manifest.schema.json").read_text(encoding="utf-8") == schema.stdout


def test_nothing_is_replaced_without_force(command: Preloaded, customers: Path) -> None:
    command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    (customers / "june.yaml").write_text("mine", encoding="utf-8")

    refused = command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    kept = (customers / "june.yaml").read_text(encoding="utf-8")
    forced = command.run("manifest", "new", "customers", "-o", "june.yaml", "--force", cwd=customers)

    assert (refused.code, kept, forced.code) == (2, "mine", 0)
    assert "`june.yaml` exists already" in refused.stderr
    assert command.run("validate", "june.yaml", cwd=customers).code == 0
    assert sorted(path.name for path in customers.iterdir()) == ["customers", "june.yaml", "manifest.schema.json"]


def test_tags_that_a_name_cannot_fill_are_told_before_anything_is_written(command: Preloaded, customers: Path) -> None:
    refused = command.run("manifest", "new", "customers", "-o", "june.yaml", "--tag", "Name={parent}", cwd=customers)

    assert refused.code == 21
    assert "`#` is not allowed in the tag `Name`" in refused.stderr
    assert not (customers / "june.yaml").exists()


def test_paths_are_named_from_where_the_manifest_is_written(command: Preloaded, customers: Path) -> None:
    inside = command.run("manifest", "new", "customers/acme", "-o", "customers/acme/a.yaml", cwd=customers)
    elsewhere = customers / "elsewhere"
    elsewhere.mkdir()
    outside = command.run("manifest", "new", "../customers", "-o", "a.yaml", cwd=elsewhere)
    allowed = command.run("manifest", "new", "../customers", "-o", "a.yaml", "--allow-outside", cwd=elsewhere)

    assert (inside.code, outside.code, allowed.code) == (0, 2, 0)
    assert 'glob: "*.pdf"' in (customers / "customers/acme/a.yaml").read_text(encoding="utf-8")
    assert "--allow-outside" in outside.stderr
    assert command.run("validate", "a.yaml", "--allow-outside", cwd=elsewhere).code == 0


def test_rows_become_entries_with_a_tag_for_each_column(command: Preloaded, customers: Path) -> None:
    lines = ("File;ID;Country;Company", "customers/acme/loa.pdf;acme/loa;NO;0123", "customers/acme/optin.png;;;-x")
    (customers / "sheets").mkdir()
    (customers / "list.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))

    made = command.run("manifest", "new", "list.csv", cwd=customers)
    written = command.run("manifest", "new", "list.csv", "--json", "-o", "list.yaml", cwd=customers)

    assert made.code == written.code == 0
    assert made.stdout == (customers / "list.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(made.stdout)["attachments"] == [
        {"id": "acme/loa", "file": "customers/acme/loa.pdf", "tags": {"Country": "NO", "Company": "0123"}},
        {"id": "customers/acme/optin.png", "file": "customers/acme/optin.png", "tags": {"Company": "-x"}},
    ]
    assert (written.summary["items"], written.summary["batch"]) == (2, "list")
    assert command.run("validate", "list.yaml", cwd=customers).code == 0


def test_every_row_that_cannot_be_an_entry_is_named_and_nothing_is_written(command: Preloaded, customers: Path) -> None:
    rows = ("file,id,Note", "customers/acme/loa.pdf,a,x", "gone.pdf,b,", "customers/acme/optin.png,a,y", ",,{z}")
    (customers / "list.csv").write_text("\n".join(rows), encoding="utf-8")

    refused = command.run("manifest", "new", "list.csv", "--json", "-o", "list.yaml", cwd=customers)

    assert refused.code == 21
    assert [(line["line"], line["code"]) for line in refused.of("problem")] == [
        (3, "missing"),
        (4, "duplicate-id"),
        (5, "no-source"),
        (5, "tag-value"),
    ]
    assert not (customers / "list.yaml").exists()
