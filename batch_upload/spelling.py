"""How the values of a manifest are spelled: as every YAML reader, 1.1 and 1.2, reads them, and as people do.

People also misspell them: `path_advice`, `url_advice` and `closest` say what was probably meant.
"""

import os
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from batch_upload.model import KB, KIB

REGION_PATTERN = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"
"""What the name of an AWS Region looks like."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 or 1.2 takes for something else than text."""


def yaml_text(text: str, *, ascii_only: bool = False) -> str:
    """A scalar in double quotes that every YAML reader, 1.1 and 1.2, reads as exactly this text.

    Not JSON's escapes: YAML knows no pairs of surrogates, and does not take DEL, C1 and U+FEFF unescaped.
    """
    return '"' + "".join(_yaml_char(char, ascii_only=ascii_only) for char in text) + '"'


def yaml_scalar(text: str) -> str:
    """The same text, without quotes where nobody could take it for anything else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return yaml_text(text)


def size_text(size_bytes: int) -> str:
    """A size as a manifest spells it: `500KB`, `64KiB`, or plain bytes."""
    for factor, unit in ((KIB**2, "MiB"), (KB, "KB"), (KIB, "KiB")):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def _yaml_char(char: str, *, ascii_only: bool) -> str:
    code = ord(char)
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable() and (char.isascii() or not ascii_only):
        return char
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


class Alike(NamedTuple):
    """A name that exists and is almost the one that was asked for. `how` continues "there is `NAME`, …"."""

    name: str
    how: str


def folded(name: str) -> str:
    """The key under which names are alike: after NFC, case folding, and ISO-8859-1 for bytes that are not UTF-8."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", _decoded(name)).casefold())


def closest(wanted: str, names: Iterable[str]) -> Alike | None:
    """The one of `names` that differs from `wanted` only in its Unicode form, its encoding or its case, if any.

    A name in another Unicode form (NFC, NFD) is preferred to one in another case.
    """
    key = folded(wanted)
    found = [Alike(name, _difference(wanted, name)) for name in names if name != wanted and folded(name) == key]
    return min(found, key=lambda each: each.how == _OTHER_CASE, default=None)


def id_hint(wanted: str, ids: Iterable[str]) -> str:
    """What to write for an id that is one of `ids` in another Unicode form, encoding or case; empty where none is.

    Where the difference cannot be seen, the id is shown as bash, zsh and ksh take it in ASCII, too.
    """
    found = closest(wanted, ids)
    if found is None:
        return ""
    ascii_word = "".join(char if " " <= char <= "~" and char not in "'\\" else _shell_char(char) for char in found.name)
    as_typed = "" if found.how == _OTHER_CASE else f"; in ASCII: `$'{ascii_word}'`"
    return f"there is `{found.name}`, {found.how}{as_typed}"


def _shell_char(char: str) -> str:
    if char in "'\\":
        return f"\\{char}"
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_OTHER_CASE = "with other capital letters"


def _difference(wanted: str, name: str) -> str:
    if _decoded(name) != name:
        return "whose bytes are not UTF-8"
    if unicodedata.normalize("NFC", wanted) != unicodedata.normalize("NFC", name):
        return _OTHER_CASE
    if unicodedata.is_normalized("NFD", name):
        return "spelt with other code points (NFD, as Macs write them)"
    return "spelt with other code points (NFC; what was written is not, as on Macs)"


def _decoded(name: str) -> str:
    """A name of which no byte is left undecoded (PEP 383): ISO-8859-1 takes each for a character."""
    if name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name):
        return name
    return name.encode("utf-8", "surrogateescape").decode("latin-1")


def path_advice(path: str, *, key: str) -> str:
    """What to do about a path that leads nowhere, by the look of it; empty where it looks like any other.

    `key` names where it was written: `file`, `glob`, or `row` for a cell of a table.
    """
    if len(path) > PATH_LENGTH:
        return ""
    here = "the table's folder" if key == "row" else "the manifest's folder"
    for pattern, advice in _PATH_ADVICE:
        if found := pattern.search(path):
            return advice.format(found=found[0], path=f"write the path from {here}, with `/`")
    if "\\" in path:
        slashed = path.replace("\\", "/")
        return f"write folders with `/` instead of `\\`: `{slashed}`"
    if "://" in path:
        return _address_advice(path, key=key)
    if key != "glob" and ("*" in path or "?" in path or _has_between(path, "[", "]", "")):
        return (
            "a row names one file, not a pattern"
            if key == "row"
            else f"`file` names one file; for a pattern write `glob: {yaml_text(path)}`"
        )
    if key == "glob" and _has_between(path, "{", "}", ","):
        return "braces have no meaning here: write a `glob` for each"
    if key == "glob" and "[" in path:
        return "`[…]` stands for one character: write `[[]` for a bracket in a name"
    if path != path.strip():
        return "the name begins or ends with a space: remove it"
    return ""


def _has_between(text: str, first: str, last: str, middle: str) -> bool:
    begin, end = text.find(first), text.rfind(last)
    return begin >= 0 and end > begin + 1 and middle in text[begin + 1 : end]


PATH_LENGTH = 4_096
"""PATH_MAX of Linux (limits.h): a longer path is no slip of somebody's pen."""
_PATH_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (r"^(?:[A-Za-z]:[\\/]|\\\\)", "`{found}` begins a path of Windows: {path}"),
        (r"^~[^/]*(?=/|$)", "`{found}` is not expanded here: {path}"),
        (r"\$\{?[A-Za-z_]\w*\}?|%[A-Za-z_]\w*%", "variables such as `{found}` are not expanded here: {path}"),
        (r"[“”„‟«»]|^[‘‚].*[’‘]$", "the quotation marks `{found}` are part of the name: use straight quotes, or none"),
        (r"^[\"'].*[\"']$", "the quotation marks are part of the name: write them once"),
    )
)


def _address_advice(path: str, *, key: str) -> str:
    """For an address where the path of a file should be."""
    address = path if path.startswith("s3://") else s3_url(path)
    if address is not None:
        how = f"put `{address}` into the column `url`" if key == "row" else f"write `url: {address}`"
        return f"this is an address: {how}"
    return "this is an address, and `url` takes only `s3://BucketName/FileName`: download the file, and name it here"


_S3_HOSTS = (
    re.compile(
        r"https?://(?P<bucket>[a-z0-9][a-z0-9.-]*)\.s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?/(?P<key>[^?#]+)"
    ),
    re.compile(r"https?://s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?/(?P<bucket>[a-z0-9.-]+)/(?P<key>[^?#]+)"),
    re.compile(r"arn:aws[a-z-]*:s3:::(?P<bucket>[a-z0-9.-]+)/(?P<key>.+)"),
)
"""Addresses of an object: by virtual host, by path (Amazon S3 User Guide, "Virtual hosting of general purpose
buckets"), and its ARN."""


def s3_url(address: str) -> str | None:
    """`s3://BucketName/FileName` for another spelling of an object's address; None for anything else."""
    if len(address) > PATH_LENGTH:
        return None
    for pattern in _S3_HOSTS:
        if found := pattern.match(address):
            return f"s3://{found['bucket']}/{found['key']}"
    return None


def url_advice(url: str) -> str:
    """What to do about a `url` that is not `s3://BucketName/FileName`; empty where it looks like nothing else."""
    address = s3_url(url)
    if address is not None:
        return f"write `{address}`"
    if re.match(r"https?://", url):
        return (
            "the service reads only objects in S3: download the file and name it under `file`, or copy it to a bucket"
        )
    if url.startswith("s3://") and re.search(r"\s", url):
        return "copy the object to a key without spaces, and name that"
    if "://" not in url and os.path.splitext(url)[1].lower() in (".pdf", ".png", ".jpg", ".jpeg"):
        return f"for a file of this machine write `file: {url}`"
    return ""
