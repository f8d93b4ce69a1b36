"""Documents against the forms that they are for, from the manifest to the exit code."""

import struct
import zlib
from pathlib import Path

from batch_upload.manifest.forms import BUILT_IN
from tests.support.batches import pdf
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def picture(width: int, height: int) -> bytes:
    """A whole PNG of one colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + b"\x40\x80\xc0" * width) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def written(folder: Path, entries: str, *, above: str = "", name: str = "june.yaml") -> str:
    """Write a manifest of these entries; return its name."""
    (folder / name).write_text(f"version: 1\nbatch: june\n{above}attachments:\n{entries}", encoding="utf-8")
    return name


def test_a_logo_of_other_pixels_is_warned_of_and_refused_when_strict(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "logo.png").write_bytes(picture(600, 400))
    manifest = written(tmp_path, "  - {file: logo.png, form: rcs-logo}\n")

    warned = command.run("validate", manifest, "--json", cwd=tmp_path)
    strict = command.run("upload", manifest, "--strict", cwd=tmp_path, env=endpoint.env)
    endpoint.assert_untouched()

    (line,) = warned.of("warning")
    assert (warned.code, line["code"], line["line"]) == (0, "form-pixels", 4)
    assert line["message"] == (
        "`logo.png` is 600 x 400 pixels, the form `rcs-logo` takes 224 x 224: crop it to that shape and scale it"
    )
    assert strict.code == 21
    assert "takes 224 x 224" in strict.stderr
    assert strict.stderr.endswith("hint: `batch-upload validate june.yaml --strict` lists all of them\n")


def test_the_commands_that_follow_a_strict_run_are_strict_too(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "logo.png").write_bytes(picture(600, 400))
    (tmp_path / "good.png").write_bytes(picture(224, 224))
    manifest = written(tmp_path, "  - {file: logo.png, form: rcs-logo}\n  - {file: good.png, form: rcs-logo}\n")

    planned = command.run("plan", manifest, "--strict", "--offline", cwd=tmp_path, env=endpoint.env)
    sent = command.run("upload", manifest, "--strict", "--skip-invalid", cwd=tmp_path, env=endpoint.env)
    listed = command.run("validate", manifest, "--strict", cwd=tmp_path)

    whole = "`batch-upload validate june.yaml --strict` lists all of them; `--skip-invalid` goes on without them"
    assert (planned.code, planned.stderr.count(f"hint: {whole}\n")) == (21, 1)
    assert sent.code == 20
    assert "batch-upload validate june.yaml --strict --skip-invalid    # lists every problem" in sent.stderr
    assert "batch-upload upload june.yaml --strict --skip-invalid    # once they are corrected" in sent.stderr
    assert (listed.code, listed.stderr.count("takes 224 x 224")) == (21, 1)


def test_a_logo_of_the_right_pixels_is_uploaded_without_a_word(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "logo.png").write_bytes(picture(224, 224))
    manifest = written(tmp_path, "  - {file: logo.png, form: rcs-logo}\n")

    ended = command.run("upload", manifest, "--strict", "--json", "--rate", "50", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states, ended.of("warning")) == (0, {"complete": 1}, [])


def test_a_letter_in_place_of_a_logo_is_warned_of_and_uploaded(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "logo.pdf").write_bytes(pdf("a letter"))
    manifest = written(tmp_path, "  - file: logo.pdf\n", above="defaults: {form: rcs-logo}\n")

    ended = command.run("upload", manifest, "--json", "--rate", "50", cwd=tmp_path, env=endpoint.env)

    of_form = [each for each in ended.of("warning") if each["code"].startswith("form-")]
    assert (ended.code, ended.states) == (0, {"complete": 1})
    assert [(each["code"], each["message"]) for each in of_form] == [
        ("form-type", "`logo.pdf` is a PDF, the form `rcs-logo` takes PNG or JPEG: save it as PNG")
    ]


def test_a_form_of_ones_own_has_a_size_that_is_kept(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a").ljust(1_001, b"x"))
    manifest = written(tmp_path, "  - {file: a.pdf, form: slip}\n", above="forms: {slip: {max_size: 1KB}}\n")

    found = command.run("validate", manifest, cwd=tmp_path)

    assert found.code == 21
    assert "`a.pdf` has 1,001 bytes (2 KB), the form `slip` takes no more than 1,000 bytes (1 KB)" in found.stderr


def test_an_unknown_form_is_a_problem_with_the_name_that_was_meant(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a"))
    manifest = written(tmp_path, "  - {file: a.pdf, form: sender-id-leter}\n")

    found = command.run("validate", manifest, "--json", cwd=tmp_path)

    assert [(each["code"], each["line"], each["column"]) for each in found.of("problem")] == [("unknown-form", 4, 25)]
    assert "did you mean `sender-id-letter`?" in found.of("problem")[0]["message"]


def test_the_built_in_forms_are_listed_with_their_sources(command: Preloaded, tmp_path: Path) -> None:
    listed = command.run("manifest", "forms", "--json", cwd=tmp_path)
    logo = command.run("manifest", "forms", "rcs-logo", cwd=tmp_path)
    unknown = command.run("manifest", "forms", "rcs-lgo", cwd=tmp_path)

    lines = listed.of("form")
    assert [each["name"] for each in lines] == list(BUILT_IN)
    assert all(each["source"].startswith("https://") and each["date"] for each in lines)
    assert {each["name"]: each["pixels"] for each in lines}["rcs-banner"] == {"width": 1_440, "height": 448}
    assert BUILT_IN["rcs-logo"].source in logo.stdout
    assert (unknown.code, unknown.stdout) == (2, "")
    assert "did you mean `rcs-logo`?" in unknown.stderr


def test_a_new_manifest_has_the_form_of_its_folder(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "logos").mkdir()
    (tmp_path / "logos" / "a.png").write_bytes(picture(224, 224))
    (tmp_path / "logos" / "large.png").write_bytes(picture(224, 224).ljust(50_001, b"x"))

    made = command.run("manifest", "new", "logos", "-o", "june.yaml", "--form", "rcs-logo", cwd=tmp_path)
    text = (tmp_path / "june.yaml").read_text(encoding="utf-8")
    larger = command.run(
        "manifest", "new", "logos", "-o", "b.yaml", "--form", "rcs-logo", "--max-size", "60KB", cwd=tmp_path
    )

    assert made.code == 0, made.stderr
    assert "defaults:\n  form: rcs-logo\nattachments:\n" in text
    assert "the form `rcs-logo` takes no more than 50,000 bytes (50 KB): make it smaller" in made.stderr
    assert command.run("validate", "june.yaml", cwd=tmp_path).code == 0
    assert "2 attachments in `b.yaml`" in larger.stderr
    assert "defaults:\n  form: rcs-logo\n  max_size: 60KB\n" in (tmp_path / "b.yaml").read_text(encoding="utf-8")


def test_a_new_manifest_for_an_unknown_form_is_not_written(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "logos").mkdir()

    made = command.run("manifest", "new", "logos", "-o", "june.yaml", "--form", "logo", cwd=tmp_path)

    assert (made.code, list(tmp_path.iterdir())) == (2, [tmp_path / "logos"])
    assert "there is no form `logo`" in made.stderr
