"""Manifests written on the spot."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from batch_upload.errors import ManifestInvalid
from batch_upload.manifest.cursor import FASTEST_LOADER, Loader
from batch_upload.manifest.reader import list_manifest, read_manifest
from batch_upload.manifest.source import SIZE_LIMIT_BYTES
from batch_upload.model import Listed, Manifest, Problem
from batch_upload.targets import LaneChoice

Write = Callable[..., Path]
Found = list[tuple[int, int, str]]


def list_all(
    path: Path,
    *,
    allow_outside: bool = False,
    targets: Sequence[str] = (),
    loader: Loader = FASTEST_LOADER,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> tuple[tuple[Listed, ...], tuple[Problem, ...]]:
    """Every attachment of a manifest, and every problem."""
    return list_manifest(
        path,
        allow_outside=allow_outside,
        take=lambda _, listed: tuple(listed),
        lanes=LaneChoice(tuple(targets)),
        loader=loader,
        size_limit_bytes=size_limit_bytes,
    )[1:]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest into a folder of its own, from text or bytes."""

    def written(content: str | bytes, name: str = "june.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture(params=[yaml.BaseLoader, yaml.CBaseLoader], ids=["python", "c"])
def loader(request: pytest.FixtureRequest) -> Loader:
    """Each of PyYAML's parsers."""
    parser: Loader = request.param
    return parser


@pytest.fixture
def problems_of() -> Callable[..., list[Problem]]:
    """Every problem of a manifest, read and expanded."""

    def found(
        path: Path, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES
    ) -> list[Problem]:
        try:
            return list(list_all(path, loader=loader, size_limit_bytes=size_limit_bytes)[1])
        except ManifestInvalid as error:
            return list(error.problems)

    return found


@pytest.fixture
def places_of(problems_of: Callable[..., list[Problem]]) -> Callable[..., Found]:
    """The same, as line, column and code."""

    def found(path: Path, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> Found:
        problems = problems_of(path, loader=loader, size_limit_bytes=size_limit_bytes)
        return [(problem.at.line, problem.at.column, problem.code) for problem in problems]

    return found


@pytest.fixture
def listed(write: Write) -> Callable[..., tuple[Listed, ...]]:
    """What a good manifest lists."""

    def items(content: str, *, allow_outside: bool = False) -> tuple[Listed, ...]:
        found, problems = list_all(write(content), allow_outside=allow_outside)
        assert problems == ()
        return found

    return items


@pytest.fixture
def read(write: Write) -> Callable[[str], Manifest]:
    """A good manifest, read."""
    return lambda content: read_manifest(write(content))
