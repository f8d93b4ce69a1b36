"""Documents that the service takes and a reviewer cannot read: warned of, and refused with `--strict`."""

import os
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.real_documents import locked_pdf, picture, real_pdf

LONG_AGO_S = 1_700_000_000
BAD = {
    "a.jpg": (b"\xff\xd8\xff", "cut-off", "is cut off, its end is missing: copy it again once it is complete"),
    "b.pdf": (b"%PDF-1.7\n", "cut-off", "is cut off, its end is missing: copy it again once it is complete"),
    "c.pdf": (
        locked_pdf(),
        "locked",
        "asks for a password when it is opened: open it with its password and print it to a new PDF",
    ),
}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path, {name: content for name, (content, _, _) in BAD.items()} | {"good.pdf": real_pdf()})


def write(folder: Path, documents: dict[str, bytes], *, defaults: str = "{}") -> Path:
    for name, content in documents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (LONG_AGO_S, LONG_AGO_S))
    lines = ["version: 1", "batch: acme", f"defaults: {defaults}", "attachments:"]
    path = folder / "june.yaml"
    path.write_text("\n".join([*lines, *(f"  - file: {name}" for name in documents)]) + "\n")
    return path


def warnings_of(manifest: Path) -> list[str]:
    return [
        f"{manifest.name}:{line}:11: warning: `{name}` {text}"
        for line, (name, (_, _, text)) in enumerate(BAD.items(), 5)
    ]


def test_validate_warns_of_what_a_reviewer_cannot_read(command: Preloaded, manifest: Path) -> None:
    result = command.run("validate", manifest.name, "--json", cwd=manifest.parent)

    warnings = [event for event in result.events if event["event"] == "warning"]
    assert result.code == 0
    assert [(event["code"], event["line"]) for event in warnings] == [("cut-off", 5), ("cut-off", 6), ("locked", 7)]
    assert result.summary["warnings"] == 3
    assert result.stderr.splitlines() == [
        *warnings_of(manifest),
        f"`{manifest.name}` is valid: 4 items, 3 warnings",
    ]


@pytest.mark.parametrize("words", [["validate"], ["plan", "--offline"], ["upload"]])
def test_strict_makes_problems_of_warnings_and_nothing_is_sent(
    command: Preloaded, endpoint: Endpoint, manifest: Path, words: list[str]
) -> None:
    result = command.run(*words, manifest.name, "--strict", cwd=manifest.parent, env=endpoint.env)

    assert result.code == 21
    for line, (name, (_, _, text)) in enumerate(BAD.items(), 5):
        assert f"{manifest.name}:{line}:11: `{name}` {text}" in result.stderr
    assert endpoint.stats().requests == {}


def test_strict_can_be_a_variable_and_is_turned_off_by_its_flag(command: Preloaded, manifest: Path) -> None:
    strict = {"BATCH_UPLOAD_STRICT": "1"}

    assert command.run("validate", manifest.name, env=strict, cwd=manifest.parent).code == 21
    assert command.run("validate", manifest.name, "--no-strict", env=strict, cwd=manifest.parent).code == 0


def test_upload_warns_each_time_and_looks_once(command: Preloaded, endpoint: Endpoint, manifest: Path) -> None:
    first = command.run("upload", manifest.name, "--json", cwd=manifest.parent, env=endpoint.env)
    for name in ("a.jpg", "b.pdf", "c.pdf", "good.pdf"):
        path = manifest.parent / name
        path.write_bytes(b"x" * path.stat().st_size)  # the same look: whoever reads it finds a problem
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))

    again = command.run("upload", manifest.name, "--json", cwd=manifest.parent, env=endpoint.env)

    assert (first.code, again.code) == (0, 0)
    assert first.summary["warnings"] == again.summary["warnings"] == 3
    assert endpoint.stats().creates == 4
    assert [line for line in again.stderr.splitlines() if "warning" in line] == warnings_of(manifest)


def test_check_bytes_turns_the_look_inside_off(command: Preloaded, tmp_path: Path) -> None:
    manifest = write(tmp_path, {"a.jpg": b"\xff\xd8\xff"}, defaults="{check: bytes}")

    result = command.run("validate", manifest.name, "--strict", cwd=manifest.parent)

    assert result.code == 0
    assert result.stderr == f"`{manifest.name}` is valid: 1 item\n"


def test_a_warning_of_another_kind_is_a_problem_with_strict_too(command: Preloaded, tmp_path: Path) -> None:
    manifest = write(tmp_path, {"a.png": picture("PNG"), "b.png": picture("PNG")})

    assert command.run("validate", manifest.name, cwd=manifest.parent).code == 0
    result = command.run("validate", manifest.name, "--strict", cwd=manifest.parent)

    assert result.code == 21
    assert "has the same bytes" in result.stderr


def test_a_file_with_another_problem_is_told_beside_what_strict_refuses(command: Preloaded, tmp_path: Path) -> None:
    manifest = write(tmp_path, {"a.pdf": locked_pdf(), "b.png": b"plain text"})

    result = command.run("validate", manifest.name, "--strict", "--json", cwd=manifest.parent)

    problems = [(event["code"], event["line"]) for event in result.events if event["event"] == "problem"]
    assert problems == [("locked", 5), ("unsupported-type", 6)]
