"""Warnings about the same file under several ids, files with the same bytes, and names in another Unicode form.

Each id is uploaded, whatever is in its file. The same bytes under two ids take two places of the account's quota.
"""

import os
from array import array
from collections import defaultdict
from itertools import pairwise

from batch_upload.document import Document
from batch_upload.errors import ProblemCode
from batch_upload.escape import quoted
from batch_upload.model import Listed, Position, Problem
from batch_upload.spelling import composed

_UINT64_MAX = (1 << 64) - 1


class WarningCode(ProblemCode):
    """What is worth a warning in a manifest's files. Codes are only ever added."""

    SAME_FILE = "same-file", "the same file under several ids, such as `a.pdf` and `./a.pdf`; each is uploaded"
    SAME_BYTES = "same-bytes", "several files with the same bytes; each is uploaded"
    FORM_TYPE = "form-type", "the form of the entry does not take files of this type"
    FORM_SIZE = "form-size", "the file is within its own `max_size`, but larger than its form takes"
    FORM_PIXELS = "form-pixels", "the picture has other pixels than its form takes"
    OTHER_FORM = (
        "other-form",
        "a `file` that was found under a name in another Unicode form (NFC, NFD), as from a Mac",
    )


class Copies:
    """Takes the attachments of a manifest one by one, and finds those that are worth a warning of this module.

    Keeps 40 bytes of each: 64 bits of its digest, 64 bits of its path, its position, its id and table.
    """

    def __init__(self) -> None:
        self._contents = array("Q")
        self._paths = array("Q")
        self._positions = array("I")
        self._ids: list[str] = []
        self._other_forms: list[tuple[str, Position, str | None]] = []
        self._tables: list[str | None] = []

    def add(self, listed: Listed, document: Document | None) -> None:
        """Add an attachment. `document` is what its file holds, None for a URL, which is known only by its address."""
        path = hash(listed.source if document is None else document.path) & _UINT64_MAX
        self._paths.append(path)
        self._contents.append(path if document is None else int(document.sha256[:16], 16))
        self._positions.extend(listed.at)
        if document is not None and not listed.source.isascii() and _is_in_other_form(listed.source, document.path):
            self._other_forms.append((listed.source, listed.at, listed.at_file))
        self._tables.append(listed.at_file)
        self._ids.append(listed.item_id)

    def warnings(self, manifest: str) -> tuple[Problem, ...]:
        """Return a warning for each file with several ids, for each content of several files, and for each file with a
        name in another Unicode form.

        They are in the order of the manifest, each at the second id. `manifest`: as the user named it.
        """
        repeated = {first for first, second in pairwise(sorted(self._contents)) if first == second}
        contents: defaultdict[int, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for index, content in enumerate(self._contents):
            if content in repeated:
                contents[content][self._paths[index]].append(index)
        found = [
            Problem(
                table or manifest,
                at,
                WarningCode.OTHER_FORM,
                f"the file of {quoted(source)} has a name in another Unicode form (on Macs, NFD); it is used",
            )
            for source, at, table in self._other_forms
        ]
        for files in contents.values():
            found.extend(self._warning(manifest, ids, is_file=True) for ids in files.values() if len(ids) > 1)
            if len(files) > 1:
                found.append(self._warning(manifest, [ids[0] for ids in files.values()], is_file=False))
        return tuple(sorted(found, key=lambda warning: warning.at))

    def _warning(self, manifest: str, same: list[int], *, is_file: bool) -> Problem:
        first, second, *others = same
        line, at = self._positions[2 * first], Position(*self._positions[2 * second : 2 * second + 2])
        table, other = self._tables[second], self._tables[first]
        where = "" if (other, line) == (table, at.line) else f" in line {line}"
        where += "" if other == table else f" of {quoted(other or manifest)}"
        more = f", and so {'is' if is_file else 'has'} 1 more" if len(others) == 1 else ""
        if len(others) > 1:
            more = f", and so {'are' if is_file else 'have'} {len(others):,} more"
        return Problem(
            table or manifest,
            at,
            WarningCode.SAME_FILE if is_file else WarningCode.SAME_BYTES,
            f"{quoted(self._ids[second])} {'is the same file' if is_file else 'has the same bytes'} as "
            f"{quoted(self._ids[first])}{where}{more}: each is uploaded; leave out what is not needed",
        )


def _is_in_other_form(source: str, path: str) -> bool:
    """Tell whether a resolved path ends with a source in another Unicode form only."""
    written = os.path.normpath(source)
    return composed(path).endswith(composed(written)) and not path.endswith(written)
