"""The image: its file passes the linter and keeps the rules of `deploy/`; its steps work without Docker, too."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.distributions import complete
from tests.support.emulator_process import ROOT
from tests.support.transcripts import copy_of_manifests

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IGNORED = ROOT / "deploy" / "Dockerfile.dockerignore"
HADOLINT = Path(sys.executable).with_name("hadolint")


def _instructions() -> list[tuple[str, str]]:
    """Each instruction with its text, as they come."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [
        (line.partition(" ")[0], line.partition(" ")[2]) for line in "\n".join(lines).replace("\\\n", " ").splitlines()
    ]


def _last(name: str) -> str:
    """The instruction of this name that holds for the image: the last one."""
    return [text for instruction, text in _instructions() if instruction == name][-1]


def _linted(path: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [HADOLINT, "--no-color", "--failure-threshold", "style", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_linter_has_nothing_to_say() -> None:
    told = _linted(DOCKERFILE)

    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("FROM ${BASE} AS build", "FROM python AS build", "DL3006"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        ('ENTRYPOINT ["batch-upload"]', "ENTRYPOINT batch-upload", "DL3025"),
    ],
)
def test_the_linter_would_say_what_is_wrong(right: str, wrong: str, rule: str, tmp_path: Path) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    changed = tmp_path / "Dockerfile"
    changed.write_text(text.replace(right, wrong), encoding="utf-8")

    told = _linted(changed)

    assert right in text
    assert rule in told.stdout
    assert told.returncode == 1


def test_it_is_no_superuser_has_no_shell_in_between_and_opens_no_port() -> None:
    user, group = _last("USER").split(":")

    assert int(user) == int(group) == 65532
    assert json.loads(_last("ENTRYPOINT")) == ["batch-upload"]
    assert json.loads(_last("CMD")) == ["--help"]
    assert json.loads(_last("VOLUME")) == ["/documents", "/ledger", "/cache"]
    assert _last("HEALTHCHECK") == "NONE"
    names = {name for name, _ in _instructions()}
    assert names <= {
        "ARG",
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "LABEL",
        "ENV",
        "VOLUME",
        "USER",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }


def test_both_stages_have_one_base_of_a_named_version_and_all_that_is_fetched_is_checked_by_hash() -> None:
    bases = [text.split()[0] for name, text in _instructions() if name == "FROM"]
    steps = [step for name, text in _instructions() if name == "RUN" for step in text.split("&&")]
    installs = [step for step in steps if re.search(r"\bpip\b.* install ", step)]

    assert bases == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", _instructions()[0][1])
    assert len(installs) == 3
    for install in installs:
        assert "--no-cache-dir" in install
        assert ("--require-hashes" in install) != ("--no-index --no-deps" in install), install


def test_only_what_is_copied_is_handed_to_the_build() -> None:
    copied = {part for part in _copied() if part}
    lines = [line for line in IGNORED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}

    assert lines[0] == "*"
    assert allowed == copied
    for part in copied:
        assert (ROOT / part).exists(), part


def _copied() -> Iterator[str]:
    for name, text in _instructions():
        if name == "COPY" and "--from" not in text:
            yield from text.split()[:-1]


@pytest.mark.soak
@pytest.mark.parametrize("install", ["runtime", "fleet"])
def test_its_steps_make_an_installation_that_works(install: str, tmp_path: Path) -> None:
    """The first stage in a folder instead of an image, with the dependencies from the package index."""
    root = tmp_path / "image"
    source = root / "src"
    source.mkdir(parents=True)
    environment = {**os.environ, "INSTALL": install, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name, text in _first_stage():
        if name == "COPY":
            *parts, target = text.split()
            for part in parts:
                complete(
                    "cp", "-R", f"{ROOT / part}{'/.' if part.endswith('/') else ''}", _at(source / target), cwd=ROOT
                )
        elif name == "RUN":
            step = re.sub(r"(?<![\w./])/(opt|tools|wheel|volumes)\b", rf"{root}/\1", text)
            complete("sh", "-euc", step, cwd=source, env=environment)

    command = [root / "opt" / "batch-upload" / "bin" / "batch-upload"]
    told = run("--version", cwd=tmp_path, command=command)
    uploaded = run("upload", "demo.yaml", "--local", "--json", cwd=copy_of_manifests(tmp_path), command=command)
    assert told.code == 0
    assert (uploaded.code, uploaded.states) == (0, {"complete": uploaded.summary["items"]})
    assert not list((root / "opt").rglob("pip")), "pip stays in the first stage"
    assert {path.stat().st_uid for path in (root / "volumes").iterdir()} == {65532}


def _first_stage() -> Iterator[tuple[str, str]]:
    for name, text in _instructions():
        if name == "LABEL":
            return
        yield name, text


def _at(target: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    return target
