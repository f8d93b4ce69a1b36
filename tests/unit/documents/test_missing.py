"""A file that is not there: what was probably meant, and how to write it."""

import unicodedata
from pathlib import Path

import pytest

from batch_upload.document import Document
from batch_upload.documents.inspect import examine, read_body
from batch_upload.documents.refusals import Refusal, RefusalCode

NFC = "Société Générale.pdf"
NFD = unicodedata.normalize("NFD", NFC)
MIXED = "Socie\u0301té Générale.pdf"
"""Looks the same, too."""
PDF = b"%PDF-1.7\n%%EOF\n"


def missing(folder: Path, source: str, *, key: str = "file") -> str:
    """The message about a file that is named so in a manifest of this folder."""
    found = examine(folder / source, max_size_bytes=500_000, root=folder, source=source, key=key).found
    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.MISSING
    assert found.message.isprintable()
    return found.message


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PDF)


def test_a_file_is_found_under_its_name_in_another_unicode_form(tmp_path: Path) -> None:
    put(tmp_path, f"mac/{NFD}", f"typed/{NFC}", f"{unicodedata.normalize('NFD', 'Müller')}/deep/{NFD}")

    for source, real in (
        (f"mac/{NFC}", f"mac/{NFD}"),
        (f"typed/{NFD}", f"typed/{NFC}"),
        (f"Müller/deep/{NFC}", f"{unicodedata.normalize('NFD', 'Müller')}/deep/{NFD}"),
        (f"mac/../mac//{NFC}", f"mac/{NFD}"),
    ):
        found = examine(tmp_path / source, max_size_bytes=500_000, root=tmp_path, source=source).found
        assert isinstance(found, Document)
        assert found.path == str(tmp_path.resolve() / real)
        body = read_body(
            tmp_path / source,
            sha256=found.sha256,
            size_bytes=found.size_bytes,
            max_size_bytes=500_000,
            root=tmp_path,
            folders={},
        )
        assert body == PDF


def test_a_file_in_another_unicode_form_must_be_within_the_folder(tmp_path: Path) -> None:
    put(tmp_path, f"outside/{NFC}")
    home = tmp_path / "home"
    home.mkdir()
    (home / unicodedata.normalize("NFD", "Müller")).symlink_to(tmp_path / "outside")

    found = examine(home / "Müller" / NFC, max_size_bytes=500_000, root=home).found

    assert isinstance(found, Refusal)
    assert found.code is RefusalCode.OUTSIDE


def test_of_two_names_that_look_the_same_none_is_taken(tmp_path: Path) -> None:
    put(tmp_path, NFD, MIXED)

    message = missing(tmp_path, NFC)

    assert message in {
        f"`{NFC}` does not exist: there is `{name}`, spelt with other code points ({form}): "
        "write its name in the same way, rename it, or use a `glob`"
        for name, form in ((NFD, "NFD, as Macs write them"), (MIXED, "neither NFC nor NFD"))
    }


def test_a_name_in_another_case_is_found(tmp_path: Path) -> None:
    put(tmp_path, "in/SCAN 001.PDF")

    assert missing(tmp_path, "in/Scan 001.pdf").startswith(
        "`in/Scan 001.pdf` does not exist: there is `SCAN 001.PDF`, with other capital letters: "
    )


def test_the_unicode_form_is_told_before_the_case(tmp_path: Path) -> None:
    put(tmp_path, NFD, MIXED, NFC.upper())

    assert "there is `Société Générale.pdf`, spelt with" in unicodedata.normalize("NFC", missing(tmp_path, NFC))


def test_a_folder_of_another_spelling_is_found(tmp_path: Path) -> None:
    put(tmp_path, f"Letters/{unicodedata.normalize('NFD', 'Müller')}/deep/a.pdf")

    assert "there is the folder `Letters`, with other capital letters" in missing(tmp_path, "letters/Müller/deep/a.pdf")
    assert "does not exist: there is `a.pdf`, with" in missing(tmp_path, "Letters/Mu\u0308ller/deep/A.pdf")


def test_a_name_in_latin_1_is_found(tmp_path: Path) -> None:
    put(tmp_path, "M\udcfcller.pdf")

    assert "there is `M\\udcfcller.pdf`, whose bytes are not UTF-8: " in missing(tmp_path, "Müller.pdf")


def test_a_table_is_told_of_its_own_means(tmp_path: Path) -> None:
    put(tmp_path, NFD, MIXED)

    assert missing(tmp_path, NFC, key="row").endswith("write its name in the same way, or rename it")
    assert missing(tmp_path, "in/*.pdf", key="row").endswith("a row names one file, not a pattern")
    assert missing(tmp_path, "Q1 [2026]/gone.pdf", key="row").endswith("`Q1 [2026]/gone.pdf` does not exist")
    assert missing(tmp_path, "~/a.pdf", key="row").endswith("write the path from the table's folder, with `/`")
    assert missing(tmp_path, "s3://b/a.pdf", key="row").endswith("put `s3://b/a.pdf` into the column `url`")


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (r"in\a.pdf", r"write folders with `/` instead of `\`: `in/a.pdf`"),
        (r"C:\Users\jane\a.pdf", "begins a path of Windows: write the path from the manifest's folder, with `/`"),
        ("d:/letters/a.pdf", "`d:/` begins a path of Windows"),
        (r"\\server\share\a.pdf", "begins a path of Windows"),
        ("~/docs/a.pdf", "`~` is not expanded here"),
        ("$HOME/a.pdf", "variables such as `$HOME` are not expanded here"),
        ("${HOME}/a.pdf", "variables such as `${HOME}` are not expanded here"),
        (r"%USERPROFILE%\a.pdf", "variables such as `%USERPROFILE%` are not expanded here"),
        ("“in/a.pdf”", "the quotation marks `“` are part of the name"),
        ("‘a.pdf’", "are part of the name"),
        ('"a.pdf"', "the quotation marks are part of the name"),
        ("s3://bucket/a.pdf", "this is an address: write `url: s3://bucket/a.pdf`"),
        ("https://bucket.s3.amazonaws.com/x/a.pdf", "write `url: s3://bucket/x/a.pdf`"),
        ("https://example.com/a.pdf", "download the file, and name it here"),
        ("files/*.pdf", '`file` names one file; for a pattern write `glob: "files/*.pdf"`'),
        ("files/[ab].pdf", 'for a pattern write `glob: "files/[ab].pdf"`'),
        (" a.pdf", "the name begins or ends with a space: remove it"),
    ],
)
def test_a_path_as_people_write_it_gets_one_hint(source: str, advice: str, tmp_path: Path) -> None:
    message = missing(tmp_path, source)

    assert message.startswith(f"`{source}` does not exist: ")
    assert advice in message


def test_what_looks_like_any_other_path_is_simply_missing(tmp_path: Path) -> None:
    put(tmp_path, "other.pdf")

    assert missing(tmp_path, "in/O’Neil & Co.pdf") == "`in/O’Neil & Co.pdf` does not exist"


def test_each_of_many_missing_files_is_found_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number:05d}.PDF" for number in range(300)))

    messages = [missing(tmp_path, f"{number:05d}.pdf") for number in range(300)]

    assert all(f"there is `{number:05d}.PDF`" in message for number, message in enumerate(messages))
