"""A newcomer with a folder of letters and an export of a spreadsheet, who does what the messages say."""

import csv
import io
import os
import random
import re
import shlex
import time
import unicodedata
from pathlib import Path

import openpyxl
import pytest
import yaml
from PIL import Image

from tests.support.emulator_process import ROOT
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.real_documents import locked_pdf, picture, real_pdf

GOOD = 50
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(3_000)
WORD = b"PK\x03\x04" + bytes(26) + b"word/document.xml" + bytes(200)


def scan_of_2_mb() -> bytes:
    """Return a page of noise, which JPEG cannot make small."""
    made = io.BytesIO()
    Image.frombytes("RGB", (1_000, 1_000), random.Random(1).randbytes(3_000_000)).save(made, "JPEG", quality=95)
    return made.getvalue()


BROKEN = {
    "iPhone/IMG_0001.JPG": (HEIC, "is a HEIC photo"),
    "iPhone/IMG_0002.JPG": (HEIC + b"2", "is a HEIC photo"),
    "scan.jpg": (scan_of_2_mb(), "its limit is 500,000 bytes"),
    "empty.pdf": (b"", "is empty"),
    "contract.pdf": (WORD, "although it is named `.pdf`"),
    "page.pdf": (b"<!DOCTYPE html><title>log in</title>", "is a web page"),
}
WARNED = {
    "locked.pdf": (locked_pdf(), "asks for a password"),
    "cut.pdf": (real_pdf("cut", pages=40)[:-40], "is cut off"),
    "half.png": (picture("PNG", (400, 300))[:-40], "is cut off"),
}
PAGE = ROOT / "docs" / "spreadsheets.md"
COMPANIES = ("Müller & Söhne, GmbH", "AT&T (US)", "Café Ñandú; S.A.", "O'Reilly, Inc.", "Acme #1")


@pytest.fixture
def june(tmp_path: Path) -> Path:
    """60 letters below `Letters`, leftovers beside them, and `customers.csv` as Excel writes it in Europe."""
    files = dict[str, bytes]()
    for number in range(GOOD):
        folder = ("", "Q1 [2026]/", "signed {final}/", "Großkunden/")[number % 4]
        ending = ("pdf", "png", "jpg", "PDF", "JPEG")[number % 5]
        name = unicodedata.normalize("NFD" if number % 2 else "NFC", f"{folder}Zürich {number:02}.{ending}")
        kind = {"pdf": "", "png": "PNG"}.get(ending.lower(), "JPEG")
        files[name] = picture(kind, (60 + number, 40)) if kind else real_pdf(name)
    files |= {name: content for name, (content, _) in (BROKEN | WARNED).items()}
    listed = [*files, "forgotten.pdf"]
    files |= {name: b"x" for name in ("Thumbs.db", "~$Zürich 01.pdf", ".DS_Store", "Q1 [2026]/desktop.ini")}
    for name, content in files.items():
        path = tmp_path / "Letters" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with open(tmp_path / "customers.csv", "w", encoding="utf-8-sig", newline="") as table:
        rows = csv.writer(table, delimiter=";")
        rows.writerow(("File Name", "Company", "Account"))
        for number, name in enumerate(listed):
            composed = unicodedata.normalize("NFC", name)
            rows.writerow((composed, COMPANIES[number % len(COMPANIES)], f"{number:012}"))
    assert len(listed) == 60
    return tmp_path


def test_sixty_letters_of_an_export_are_uploaded_in_five_commands_that_the_messages_name(
    command: Preloaded, june: Path
) -> None:
    new = ("manifest", "new", "customers.csv", "-o", "june.yaml")
    advice = ("--file-column", "Letters/{col:File Name}", "--clean-tags", "_")

    first = command.run(*new, cwd=june)
    second = command.run(*new, *advice, cwd=june)
    third = command.run(*new, *advice, "--skip-invalid", cwd=june)
    fourth = command.run("upload", "june.yaml", "--local", "--skip-invalid", "--json", cwd=june)
    fifth = command.run("report", "june.yaml", "--local", "--only", "invalid", "-o", "bad.csv", cwd=june)

    assert first.code == second.code == 21
    assert "add `--file-column 'Letters/{col:File Name}'`" in first.stderr
    assert "`--clean-tags _` replaces what tags may not have" in first.stderr
    assert "or add `--skip-invalid`: the manifest is written" in second.stderr
    assert third.code == 20, third.stderr
    assert "53 attachments in `june.yaml`" in third.stderr
    assert "7 rows cannot be sent until corrected in the table or the folder" in third.stderr
    assert "batch-upload plan june.yaml --skip-invalid" in third.stderr
    assert len(yaml.safe_load((june / "june.yaml").read_text(encoding="utf-8"))["attachments"]) == 1
    assert (fourth.code, fourth.states) == (20, {"complete": 53, "invalid": 7})
    warned = [each["message"] for each in fourth.of("warning")]
    for name, (_, words) in WARNED.items():
        assert any(text.startswith(f"`Letters/{name}` {words}") for text in warned)
    assert fifth.code == 0
    reasons = {row["id"]: row["error_message"] for row in csv.DictReader((june / "bad.csv").read_text().splitlines())}
    assert {f"Letters/{name}" for name in (*BROKEN, "forgotten.pdf")} == set(reasons)
    for name, (_, words) in BROKEN.items():
        assert words in reasons[f"Letters/{name}"]
    assert "does not exist" in reasons["Letters/forgotten.pdf"]


def test_rows_that_were_left_out_are_uploaded_once_they_are_corrected(command: Preloaded, june: Path) -> None:
    new = ("manifest", "new", "customers.csv", "-o", "june.yaml", "--skip-invalid", "--json")
    made = command.run(*new, "--file-column", "Letters/{col:File Name}", "--clean-tags", "_", cwd=june)
    command.run("upload", "june.yaml", "--local", "--skip-invalid", "--json", cwd=june)
    for name in (*BROKEN, "forgotten.pdf"):
        content = picture("JPEG", (90, len(name))) if name.lower().endswith("jpg") else real_pdf(name)
        (june / "Letters" / name).write_bytes(content)
    again = command.run("upload", "june.yaml", "--local", "--json", cwd=june)

    assert (made.code, made.states, made.summary["items"]) == (20, {"pending": 53, "invalid": 7}, 60)
    assert len(made.of("problem")) == 7
    assert (again.code, again.states, again.summary["uploaded"]) == (0, {"complete": 60}, 7)


def test_rows_that_are_written_one_by_one_leave_out_what_is_invalid(command: Preloaded, june: Path) -> None:
    advice = ("--file-column", "Letters/{col:File Name}", "--clean-tags", "_", "--rows", "--skip-invalid")

    made = command.run("manifest", "new", "customers.csv", "-o", "june.yaml", *advice, cwd=june)
    checked = command.run("validate", "june.yaml", cwd=june)

    assert made.code == 20
    assert "7 rows cannot be sent, and are not in it" in made.stderr
    assert (checked.code, "is valid: 53 items" in checked.stderr) == (0, True)


def test_a_table_without_a_good_row_is_refused_also_with_the_flag(command: Preloaded, june: Path) -> None:
    refused = command.run("manifest", "new", "customers.csv", "-o", "june.yaml", "--skip-invalid", cwd=june)

    assert refused.code == 21
    assert "--file-column" in refused.stderr
    assert not (june / "june.yaml").exists()


@pytest.mark.skipif(not PAGE.exists(), reason="a wheel has no documents")
def test_the_page_for_people_with_spreadsheets_can_be_followed_from_top_to_bottom(
    command: Preloaded, tmp_path: Path
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    written_book(text.partition("**2.")[0], tmp_path / "customers.xlsx")
    (tmp_path / "letters").mkdir()
    for name in ("acme.pdf", "müller.pdf"):
        (tmp_path / "letters" / name).write_bytes(real_pdf(name))

    refused, made, planned, uploaded = (command.run(*words, cwd=tmp_path) for words in commands[:4])
    (tmp_path / "letters" / "acme.pdf").unlink()
    (tmp_path / "june.yaml").unlink()
    anew, skipped, listed = (command.run(*words, cwd=tmp_path) for words in commands[4:7])
    for name in ("acme.png", "müller.png"):
        (tmp_path / name).write_bytes(picture("PNG", (len(name), 10)))
    written_book(text.partition("## Into the registrations")[2].partition("##")[0], tmp_path / "customers.xlsx")
    (bound,) = (command.run(*words, cwd=tmp_path) for words in commands[7:])
    checked = command.run("validate", "fields.yaml", cwd=tmp_path)

    assert refused.code == 21
    for quoted in re.findall(r"^    ((?:customers|hint).*: .*)$", text, re.MULTILINE):
        assert quoted.removesuffix(" …") in refused.stderr
    assert (made.code, planned.code, uploaded.code) == (0, 0, 0)
    assert (anew.code, skipped.code, listed.code) == (20, 20, 0)
    assert "customers.xlsx:2: `letters/acme.pdf` does not exist" in anew.stderr
    assert (bound.code, checked.code) == (0, 0), bound.stderr
    assert 'bind: {registration: "{col:Registration}"' in (tmp_path / "fields.yaml").read_text(encoding="utf-8")


def written_book(text: str, path: Path) -> None:
    """Write a workbook of the rows of a table in Markdown."""
    book = openpyxl.Workbook()
    for line in re.findall(r"^\| (.*) \|$", text, re.MULTILINE):
        if not line.startswith("-"):
            book.active.append(line.split(" | "))
    book.save(path)


def test_a_drop_folder_under_cron_is_silent_until_a_person_must_act(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "drop.yaml").write_text(
        'version: 1\nbatch: drop\nattachments:\n  - glob: "in/**/*.{pdf,jpg}"\n    optional: true\n    min_age: 60s\n'
    )
    cron = ("upload", "drop.yaml", "--quiet", "--skip-invalid", "--rate", "200")

    def dropped(name: str, content: bytes, *, age_s: float = 3_600) -> None:
        (tmp_path / "in" / name).write_bytes(content)
        changed_s = time.time() - age_s
        os.utime(tmp_path / "in" / name, (changed_s, changed_s))

    nothing = command.run(*cron, cwd=tmp_path, env=endpoint.env)
    for number in range(20):
        dropped(f"{number:02}.pdf", real_pdf(str(number)))
    dropped("IMG_0001.JPG", HEIC)
    dropped("half.pdf", real_pdf("half")[:60], age_s=1)
    mailed = command.run(*cron, cwd=tmp_path, env=endpoint.env)
    uploaded = len(endpoint.attachments())
    dropped("IMG_0001.JPG", picture("JPEG"))
    dropped("half.pdf", real_pdf("half"))
    silent = command.run(*cron, cwd=tmp_path, env=endpoint.env)

    assert (nothing.code, nothing.stdout, nothing.stderr) == (0, "", "")
    assert (mailed.code, mailed.stdout, uploaded) == (20, "", 20)
    assert mailed.stderr.count("`in/IMG_0001.JPG` is a HEIC photo") == 1
    assert "half.pdf" not in mailed.stderr
    assert (silent.code, silent.stdout, silent.stderr) == (0, "", "")
    assert len(endpoint.attachments()) == 22
