"""The page of licences, made from the pins: `python -m tests.support.licences` writes it anew."""

from collections.abc import Iterator, Sequence

from tests.support.dependencies import SITE_LICENCES, Dependency, dependencies, pins
from tests.support.emulator_process import ROOT

PAGE = ROOT / "docs" / "licences.md"
PERMISSIVE = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-CMU", "PSF-2.0"})
"""What may be used, changed and passed on with the notice alone."""
COPYLEFT_TAKEN = frozenset({"psycopg", "psycopg-binary", "psycopg-pool"})
"""Packages under another licence. They were chosen with that in mind: the page says what follows."""

_ABOVE = """\
# Licences

batch-upload is under the [Apache License 2.0](../LICENSE). It contains no code of others. What it depends on is
listed here, with the versions that `requirements/` pins. `python -m tests.support.licences` writes this page, and
a test compares it; a licence that is not expected fails it. `make sbom` writes the same, with hashes and what
needs what, for tools ([the bill of materials](security.md#supply-chain)).

- **What every installation has is permissive**: it may be used, changed and passed on, also inside products that
  are sold, if its notices go along.
- **`batch-upload[fleet]` brings psycopg, under LGPL-3.0.** Using it, alone or in a product, asks nothing of your
  own code, because psycopg is a package of its own that can be replaced. Whoever passes it on, in an image for
  instance, passes on its licence and lets it be replaced; changes to psycopg itself are passed on as source. No
  part of it is in our wheel, and nothing loads it without a ledger in PostgreSQL.
- **Three packages carry libraries** in their wheels. pypdfium2 has PDFium with what it is built of, Pillow has
  libraries for images (BSD, Apache, MIT, zlib, libpng, FreeType and IJG licences). psycopg-binary has libpq,
  OpenSSL, Kerberos, OpenLDAP and SASL (permissive), and of the system libcrypt and libkeyutils (LGPL-2.1). The
  notices are in each package's `dist-info/licenses`, bills of materials in `dist-info/sboms` where it has them.
  Wheels for musl also carry GCC's runtime libraries, under the GPL with the exception for just that use. `psycopg`
  alone, with the libpq of the system, does as well as `psycopg[binary]`.
"""

_SITE = """\
## What builds the documentation site

`make docs` installs these into an environment of their own. No installation has them. The site itself carries
scripts, styles and icons of Material for MkDocs, under the MIT licence. certifi and pathspec (MPL-2.0) only run while
it is built.
"""


def page() -> str:
    """Return the page as it should be."""
    return "\n".join([_ABOVE, *_tables(dependencies())])


def _tables(found: Sequence[Dependency]) -> Iterator[str]:
    titles = {"runtime": "What every installation has", "fleet": "What `[fleet]` adds", "dask": "What `[dask]` adds"}
    for install, title in titles.items():
        rows = [each for each in found if each.install == install]
        yield from (f"## {title}", "", "| package | version | licence | needed by |", "|---|---|---|---|")
        yield from (f"| {each.name} | {each.version} | {each.licence} | {_needed_by(each)} |" for each in rows)
        yield ""
    yield from (_SITE, "| package | version | licence |", "|---|---|---|")
    yield from (f"| {each.name} | {each.version} | {SITE_LICENCES[each.name]} |" for each in pins("docs"))
    yield ""


def _needed_by(dependency: Dependency) -> str:
    names = [*(["batch-upload"] if dependency.is_direct else []), *dependency.needed_by]
    where = f" ({dependency.marker})" if dependency.marker else ""
    return ", ".join(names) + where.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
