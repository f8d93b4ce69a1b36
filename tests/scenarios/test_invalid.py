"""Everything is checked before anything is sent: bad manifests and bad files cost not one request."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.batches import pdf, png
from tests.support.command import Result, run
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

FOLDER = Path(__file__).parents[2] / "manifests" / "invalid"
SAMPLES = sorted(FOLDER.glob("*.yaml"))
EXPECTED = re.compile(r"# expect: (\d+):(\d+) ([a-z0-9-]+)")
HEAD = b"version: 1\nbatch: b\nattachments:\n"
Place = tuple[int, int, str]


def _entry(text: str) -> bytes:
    return HEAD + f"  - {text}\n".encode()


GENERATED: Mapping[str, tuple[bytes, Place]] = {
    "nul": (_entry("file: a\0.pdf"), (4, 12, "character")),
    "quoted-nul": (_entry('file: "a\\0.pdf"'), (4, 11, "control-character")),
    "not-utf-8": (HEAD + b"  - file: \xe9.pdf\n", (4, 11, "not-utf-8")),
    "utf-16": (HEAD.decode().encode("utf-16"), (1, 1, "not-utf-8")),
    "alias-bomb": (
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 120)),
        (1, 4, "anchor"),
    ),
    "nested-lists": (HEAD + b"- " * 5_000, (4, 39, "too-deep")),
    "nested-brackets": (b"[" * 200_000, (1, 21, "too-deep")),
    "nested-braces": (b"{a: " * 50_000, (1, 81, "too-deep")),
    "python-tag": (b"!!python/object/apply:os.mkdir [pwned]\n", (1, 1, "yaml-tag")),
    "python-tag-within": (_entry("file: !!python/object/apply:os.mkdir [pwned]"), (4, 11, "yaml-tag")),
    "template-attribute": (_entry("file: a.pdf\n    tags: {A: '{stem.__class__}'}"), (5, 15, "template")),
    "template-conversion": (_entry("file: a.pdf\n    tags: {A: '{stem!r}'}"), (5, 15, "template")),
    "template-index": (_entry("file: a.pdf\n    tags: {A: '{stem[0]}'}"), (5, 15, "template")),
    "template-width": (_entry("file: a.pdf\n    tags: {A: '{stem:>999999999}'}"), (5, 15, "template")),
    "huge-generation": (_entry("file: a.pdf\n    generation: " + "9" * 5_000), (5, 17, "generation")),
    "huge-size": (_entry("file: a.pdf\n    max_size: " + "9" * 5_000 + "MiB"), (5, 15, "max-size")),
    "size-without-end": (_entry("file: a.pdf\n    max_size: 1e999"), (5, 15, "max-size")),
    "huge-version": (b"version: 99999999999999999999\n", (1, 10, "version")),
    "second-document": (_entry("file: a.pdf") + b"---\nversion: 1\n", (5, 1, "second-document")),
    "duplicate-by-glob": (_entry("glob: a.pd*\n  - glob: a.pd?"), (5, 11, "duplicate-id")),
    "a-pdf": (b"%PDF-1.7\n1 0 obj", (1, 7, "syntax")),
    "lone-surrogate": (_entry('file: "\\ud800.pdf"'), (4, 14, "syntax")),
    "bidi-override": (_entry('file: a.pdf\n    tags: {A: "\\u202E"}'), (5, 15, "tag-value")),
    "windows-lines": (_entry("file: a.pdf\n    tgas: {}").replace(b"\n", b"\r\n"), (5, 5, "unknown-key")),
    "300-tags": (
        _entry("file: a.pdf\n    tags: {" + ", ".join(f"k{each}: v" for each in range(300)) + "}"),
        (5, 394, "too-many-tags"),
    ),
    "fifo": (_entry("file: fifo.pdf"), (4, 11, "not-regular")),
    "folder": (_entry("file: folder.pdf"), (4, 11, "folder")),
    "device": (_entry("file: /dev/zero"), (4, 11, "outside")),
    "empty": (_entry("file: empty.pdf"), (4, 11, "empty")),
    "too-large": (_entry("file: big.pdf"), (4, 11, "too-large")),
    "another-type": (_entry("file: text.pdf"), (4, 11, "unsupported-type")),
    "extension-of-another-type": (_entry("file: png.pdf"), (4, 11, "wrong-extension")),
    "another-extension": (_entry("file: a.txt"), (4, 11, "wrong-extension")),
    "link-out": (_entry("file: out.pdf"), (4, 11, "outside")),
    "through-a-linked-folder": (_entry("file: outside/x.pdf"), (4, 11, "outside")),
    "glob-through-a-linked-folder": (_entry("glob: outside/*.pdf"), (4, 11, "outside")),
    "link-in-a-circle": (_entry("file: circle.pdf"), (4, 11, "unreadable")),
    "parent": (_entry("file: ../x.pdf"), (4, 11, "outside")),
    "absolute": (_entry("file: /etc/passwd"), (4, 11, "outside")),
    "glob-of-everything": (_entry("glob: /**/*"), (4, 11, "outside")),
    "name-too-long": (_entry("id: a\n    file: " + "x" * 5_000 + ".pdf"), (5, 11, "unreadable")),
}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a file of every kind that cannot be sent, and one that could be."""
    folder, elsewhere = tmp_path / "manifests", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "x.pdf").write_bytes(pdf("of somebody else"))
    (folder / "a.pdf").write_bytes(pdf("good"))
    (folder / "a.txt").write_bytes(pdf("good"))
    (folder / "empty.pdf").touch()
    (folder / "big.pdf").write_bytes(pdf("x" * 500_000))
    (folder / "png.pdf").write_bytes(png("x"))
    (folder / "text.pdf").write_bytes(b"hello")
    (folder / "folder.pdf").mkdir()
    (folder / "out.pdf").symlink_to(elsewhere / "x.pdf")
    (folder / "outside").symlink_to(elsewhere)
    (folder / "circle.pdf").symlink_to("circle.pdf")
    os.mkfifo(folder / "fifo.pdf")
    return folder


def _places(result: Result) -> list[Place]:
    return [(each["line"], each["column"], each["code"]) for each in result.of("problem")]


def _assert_refused(result: Result, folder: Path) -> None:
    assert result.code == 21, result.stderr
    assert "Traceback" not in result.stderr
    assert result.summary["exit"] == {**result.summary["exit"], "code": 21, "retryable": False}
    assert result.summary["requests"] == {}
    assert not [path.name for path in folder.iterdir() if "ledger" in path.name or path.name == "pwned"]


def test_every_sample_is_refused_at_its_place_without_a_request(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    assert len(SAMPLES) >= 40
    for sample in SAMPLES:
        (tmp_path / sample.name).write_bytes(sample.read_bytes())
    for sample in SAMPLES:
        found = EXPECTED.findall(sample.read_text(encoding="utf-8"))
        ended = command.run("upload", sample.name, "--endpoint-url", endpoint.url, "--json", cwd=tmp_path)

        _assert_refused(ended, tmp_path)
        assert {(int(line), int(column), code) for line, column, code in found} <= set(_places(ended)), sample.name
    endpoint.assert_untouched()


def test_what_a_hostile_mind_makes_up_is_refused_at_its_place_without_a_request(
    endpoint: Endpoint, command: Preloaded, hostile: Path
) -> None:
    for name, (content, place) in GENERATED.items():
        (hostile / "it.yaml").write_bytes(content)
        ended = command.run("upload", "it.yaml", "--endpoint-url", endpoint.url, "--json", cwd=hostile)

        _assert_refused(ended, hostile)
        assert place in _places(ended), name
    endpoint.assert_untouched()


def test_files_outside_are_looked_into_where_they_are_allowed(command: Preloaded, hostile: Path) -> None:
    (hostile / "it.yaml").write_bytes(_entry("file: /dev/zero\n  - file: outside/x.pdf\n  - file: fifo.pdf"))

    ended = command.run("validate", "it.yaml", "--allow-outside", "--json", cwd=hostile)

    assert _places(ended) == [(4, 11, "not-regular"), (6, 11, "not-regular")]


def test_forty_missing_files_are_forty_problems(endpoint: Endpoint, tmp_path: Path) -> None:
    entries = "".join(f"  - file: missing-{number}.pdf\n" for number in range(40))
    (tmp_path / "june.yaml").write_bytes(HEAD + entries.encode())

    ended = run("upload", "june.yaml", "--endpoint-url", endpoint.url, "--json", cwd=tmp_path)
    people = run("validate", "june.yaml", cwd=tmp_path)

    _assert_refused(ended, tmp_path)
    assert _places(ended) == [(4 + number, 11, "missing") for number in range(40)]
    assert people.code == 21
    assert (people.stdout + people.stderr).count("does not exist") == 40
    endpoint.assert_untouched()


def test_one_bad_file_holds_back_all_the_good_ones(endpoint: Endpoint, hostile: Path) -> None:
    (hostile / "it.yaml").write_bytes(_entry("file: a.pdf\n  - file: text.pdf"))

    ended = run("upload", "it.yaml", "--json", cwd=hostile, env=endpoint.env)

    _assert_refused(ended, hostile)
    endpoint.assert_untouched()


@pytest.mark.parametrize("manifest", ["none.yaml", "folder.pdf", "fifo.pdf", "/dev/zero"])
def test_what_is_no_manifest_at_all_is_a_fault_of_the_argument(
    command: Preloaded, hostile: Path, manifest: str
) -> None:
    ended = command.run("upload", manifest, "--json", cwd=hostile)

    assert ended.code == 2
    assert manifest in ended.stderr
    assert "Traceback" not in ended.stderr
