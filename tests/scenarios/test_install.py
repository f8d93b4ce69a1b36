"""What users do to install it: pip, uv and pipx, into an empty environment, on each Python that is there.

Pinned dependencies are fetched from the package index, so these are long tests (`make soak`). Without the index:
`test_wheel.py`.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import run
from tests.support.distributions import REQUIREMENTS, Distributions, build, complete, constraints, interpreters
from tests.support.emulator_process import ROOT
from tests.support.postgres import PostgresServer
from tests.support.stories import STORIES, blocks_of, disagreements, told
from tests.support.strace import needed
from tests.support.transcripts import copy_of_manifests

pytestmark = pytest.mark.soak

EXTRAS = {"": "runtime", "[fleet]": "fleet", "[dask]": "dask", "[fleet,dask]": "dask"}
"""Each choice of extras, and the file of `requirements/` that has the pins of all it installs."""
_IMPORTS = {"": "batch_upload", "[fleet]": "procrastinate, psycopg_pool", "[dask]": "distributed"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(tmp_path_factory.mktemp("dist"))


_PYTHONS = interpreters()
_CASES = [(_PYTHONS[0], extras) for extras in EXTRAS] + [(python, "[fleet,dask]") for python in _PYTHONS[1:]]


@pytest.mark.parametrize(("python", "extras"), _CASES, ids=lambda part: str(part).rpartition(".pyenv/versions/")[2])
def test_pip_installs_it_with_its_extras(python: Path, extras: str, built: Distributions, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    complete(python, "-m", "venv", environment, cwd=tmp_path)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")

    pins = constraints(EXTRAS[extras], tmp_path)
    complete(*pip, "install", "-c", pins, f"{built.wheel}{extras}", cwd=tmp_path)

    complete(*pip, "check", cwd=tmp_path)
    _works(environment / "bin", _imports(extras), tmp_path)


def test_pip_installs_what_is_pinned_by_hash_as_operations_says(built: Distributions, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    complete(_PYTHONS[0], "-m", "venv", environment, cwd=tmp_path)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")

    complete(*pip, "install", "--require-hashes", "-r", REQUIREMENTS / "runtime.txt", cwd=tmp_path)
    complete(*pip, "install", "--no-index", "--no-deps", built.wheel, cwd=tmp_path)

    complete(*pip, "check", cwd=tmp_path)
    _works(environment / "bin", ["batch_upload"], tmp_path)


def test_pip_builds_the_sdist_with_what_is_pinned_for_builds(built: Distributions, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    complete(_PYTHONS[0], "-m", "venv", environment, cwd=tmp_path)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")

    pinned = ("-r", REQUIREMENTS / "build.txt", "-r", REQUIREMENTS / "runtime.txt")
    complete(*pip, "install", "--require-hashes", *pinned, cwd=tmp_path)
    complete(*pip, "install", "--no-index", "--no-deps", "--no-build-isolation", built.sdist, cwd=tmp_path)

    _works(environment / "bin", ["batch_upload"], tmp_path)


@pytest.mark.parametrize("extras", ["", "[fleet,dask]"])
def test_uv_installs_it_as_a_tool(extras: str, built: Distributions, tmp_path: Path) -> None:
    uv = _program("uv")
    folders = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    pins = constraints(EXTRAS[extras], tmp_path)

    command = (uv, "tool", "install", "--quiet", "-c", pins, "--python", _PYTHONS[-1])
    complete(*command, f"batch-upload{extras} @ {built.wheel.as_uri()}", cwd=tmp_path, env={**os.environ, **folders})

    _works(tmp_path / "tools" / "batch-upload" / "bin", _imports(extras), tmp_path)
    assert (tmp_path / "bin" / "batch-upload").exists()


@pytest.mark.parametrize("extras", ["", "[fleet,dask]"])
def test_pipx_installs_it_with_its_manual_page(extras: str, built: Distributions, tmp_path: Path) -> None:
    pipx = _program("pipx")
    folders = {name: str(tmp_path / name.lower()) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    pins = constraints(EXTRAS[extras], tmp_path)

    command = (pipx, "install", "--quiet", f"--pip-args=-c {pins}", "--python", _PYTHONS[-1])
    complete(*command, f"{built.wheel}{extras}", cwd=tmp_path, env={**os.environ, **folders})

    _works(tmp_path / "pipx_home" / "venvs" / "batch-upload" / "bin", _imports(extras), tmp_path)
    assert (tmp_path / "pipx_bin_dir" / "batch-upload").exists()
    assert (tmp_path / "pipx_man_dir" / "man1" / "batch-upload.1").exists()


@pytest.mark.parametrize("python", _PYTHONS, ids=lambda python: str(python).rpartition(".pyenv/versions/")[2])
def test_the_stories_can_be_followed_with_the_wheel_alone(
    python: Path, built: Distributions, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Nothing of the checkout can be imported there: the environment is empty but for the wheel and what it needs."""
    environment = tmp_path / "venv"
    complete(python, "-m", "venv", environment, cwd=tmp_path)
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    complete(*pip, "install", "-c", constraints("fleet", tmp_path), f"{built.wheel}[fleet]", cwd=tmp_path)
    wrong = list[str]()

    for page in STORIES:
        folder, blocks = tmp_path / page.stem, blocks_of(page.read_text(encoding="utf-8"))
        folder.mkdir()
        wrong += disagreements(blocks, told(blocks, folder, environment / "bin", env={"PGPORT": str(postgres.port)}))
        postgres.drop_database("batch_upload")

    where = "import batch_upload, sys; print(batch_upload.__file__, *sys.path, sep='\\n')"
    paths = [Path(line) for line in complete(environment / "bin" / "python", "-c", where, cwd=tmp_path).splitlines()]
    assert [path for path in paths if path.is_relative_to(ROOT)] == []
    assert paths[0].is_relative_to(environment)
    assert not wrong, "\n".join(wrong)


def _program(name: str) -> str:
    return shutil.which(name) or needed(f"{name} is not installed")


def _imports(extras: str) -> Sequence[str]:
    return [_IMPORTS[f"[{name}]" if name else ""] for name in extras.strip("[]").split(",")]


def _works(folder: Path, imports: Sequence[str], tmp_path: Path) -> None:
    """From an empty folder: help, version, an upload of the demo to the emulator, a rerun, and what extras bring."""
    manifests = copy_of_manifests(tmp_path)
    command = [folder / "batch-upload"]
    for modules in imports:
        complete(folder / "python", "-c", f"import {modules}", cwd=tmp_path)

    told = [run(flag, cwd=tmp_path, command=command) for flag in ("--help", "--version")]
    first = run("upload", "demo.yaml", "--local", "--json", cwd=manifests, command=command)
    again = run("upload", "demo.yaml", "--local", "--json", cwd=manifests, command=command)

    assert [each.code for each in told] == [0, 0]
    assert (first.code, first.states) == (0, {"complete": first.summary["items"]}), first.stderr
    assert (again.code, again.summary["unchanged"]) == (0, first.summary["items"])
