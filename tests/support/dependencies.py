"""What the program depends on: pins and hashes from `requirements/`, licences as the packages declare them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

from tests.support.emulator_process import ROOT

REQUIREMENTS = ROOT / "requirements"
INSTALLS = ("runtime", "fleet", "dask")
"""Each file of pins has all pins of the one before it."""

SPDX: Mapping[str, str] = {
    "Apache 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "BSD-2-Clause": "BSD-2-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT": "MIT",
    "PSF-2.0": "PSF-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
}
"""What packages without a licence expression write in its place, in SPDX's words."""

READ: Mapping[str, str] = {
    "colorama": "BSD-3-Clause",  # for Windows alone, so never installed where tests run
    "importlib-metadata": "Apache-2.0",  # for Python 3.11 alone, as the two below that say so
    "jinja2": "BSD-3-Clause",
    "lazy-importer": "Apache-2.0",  # for Python 3.11 alone
    "partd": "BSD-3-Clause",
    "pypdfium2": "Apache-2.0 OR BSD-3-Clause",  # its own code; docs/licences.md says what its library carries
    "python-dateutil": "Apache-2.0 AND BSD-3-Clause",  # old parts under the second alone
    "tzdata": "Apache-2.0",  # as colorama
    "zict": "BSD-3-Clause",
    "zipp": "MIT",  # for Python 3.11 alone
}
"""Packages that say it in no word that is plain; read in the licence that each carries."""


SITE_LICENCES: Mapping[str, str] = {
    "babel": "BSD-3-Clause",
    "backrefs": "MIT",
    "certifi": "MPL-2.0",
    "charset-normalizer": "MIT",
    "click": "BSD-3-Clause",
    "colorama": "BSD-3-Clause",
    "ghp-import": "Apache-2.0",
    "griffelib": "ISC",
    "idna": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "markdown": "BSD-3-Clause",
    "markupsafe": "BSD-3-Clause",
    "mergedeep": "MIT",
    "mkdocs": "BSD-2-Clause",
    "mkdocs-autorefs": "ISC",
    "mkdocs-get-deps": "MIT",
    "mkdocs-material": "MIT",
    "mkdocs-material-extensions": "MIT",
    "mkdocstrings": "ISC",
    "mkdocstrings-python": "ISC",
    "packaging": "Apache-2.0 OR BSD-2-Clause",
    "paginate": "MIT",
    "pathspec": "MPL-2.0",
    "platformdirs": "MIT",
    "pygments": "BSD-2-Clause",
    "pymdown-extensions": "MIT",
    "python-dateutil": "BSD-3-Clause",
    "pyyaml": "MIT",
    "pyyaml-env-tag": "MIT",
    "requests": "Apache-2.0",
    "tzdata": "Apache-2.0",
    "urllib3": "MIT",
    "watchdog": "Apache-2.0",
}
"""What builds the documentation site, in an environment of its own, and is not where the program and its tests are."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A pin. `needed_by`: names of packages; `is_direct`: the program itself needs it, too."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]
    is_direct: bool
    install: str
    """The first of `INSTALLS` that has it."""

    @property
    def purl(self) -> str:
        """The package URL, by which tools know it."""
        return f"pkg:pypi/{self.name}@{self.version}"

    @property
    def licence(self) -> str:
        """The licence as an SPDX expression. Raises LookupError if neither the package nor `READ` says it."""
        if self.name in READ:
            return READ[self.name]
        told = declared(self.name)
        for words in told:
            if words in SPDX:
                return SPDX[words]
        if told and told[0] and " :: " not in told[0]:
            return told[0]  # an expression
        raise LookupError(f"{self.name} says no licence in plain words: {told}")


def declared(name: str) -> Sequence[str]:
    """Return what an installed package says of its licence: its expression alone if it has one, else all its words."""
    try:
        return words_of(metadata(name))
    except PackageNotFoundError:
        return ()


def words_of(about: PackageMetadata) -> Sequence[str]:
    """Return what a package's metadata says of its licence, as `declared` does."""
    expression = about["License-Expression"]
    if expression:
        return (expression,)
    classifiers = [each for each in about.get_all("Classifier", []) if each.startswith("License ::")]
    return [*([about["License"].strip()] if about["License"] else []), *classifiers]


_PIN = re.compile(r"^(?P<name>[a-z0-9][\w.-]*)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)( ; (?P<marker>[^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def dependencies() -> Sequence[Dependency]:
    """Return every pin of the program and its extras, by name."""
    first: dict[str, str] = {}
    for install in INSTALLS:
        for pin in pins(install):
            first.setdefault(pin.name, install)
    return [replace(pin, install=first[pin.name]) for pin in pins(INSTALLS[-1])]


def pins(install: str) -> Sequence[Dependency]:
    """Return the pins of one file of `requirements/`, as `uv pip compile` writes it."""
    found: list[Dependency] = []
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + (REQUIREMENTS / f"{install}.txt").read_text(encoding="utf-8"))
    for block in (block for block in blocks if block.strip()):
        first = _PIN.match(block.splitlines()[0])
        assert first is not None, block
        comments = block.partition("# via")[2].replace("#", " ").split("\n")
        via = sorted(line.strip() for line in comments if line.strip())
        needed_by = tuple(name for name in via if not name.startswith("-"))
        is_direct = any(name.startswith("-r ") for name in via)
        marker, hashes = (first["marker"] or "").strip(), tuple(_HASH.findall(block))
        found.append(Dependency(first["name"], first["version"], marker, hashes, needed_by, is_direct, install))
    return found
