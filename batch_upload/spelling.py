"""How the values of a manifest are written, so that every YAML reader, 1.1 and 1.2, reads the same.

`path_advice`, `url_advice` and `closest` say what was probably meant by a misspelt value.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from batch_upload.document import EVERY_EXTENSION
from batch_upload.model import KB, KIB
from batch_upload.targets import Target

REGION_PATTERN = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"
"""The form of the name of an AWS Region."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that are not text in YAML 1.1 or 1.2."""


def yaml_text(text: str, *, ascii_only: bool = False) -> str:
    """Return a scalar in double quotes that every YAML reader, 1.1 and 1.2, reads as exactly this text.

    Not JSON's escapes: YAML has no pairs of surrogates, and does not accept DEL, C1 and U+FEFF unescaped.
    """
    escaped = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            escaped.append(f"\\{char}")
        elif char.isprintable() and (char.isascii() or not ascii_only):
            escaped.append(char)
        elif code < 0x100:
            escaped.append(f"\\x{code:02X}")
        else:
            escaped.append(f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
    return f'"{"".join(escaped)}"'


def yaml_scalar(text: str) -> str:
    """Return the same text, without quotes if every reader takes it as text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return yaml_text(text)


def literal(text: str) -> str:
    """Return the template of a manifest that is filled in as exactly this text."""
    return text.replace("{", "{{").replace("}", "}}")


def text_of_literal(text: str) -> str:
    """Return the text of which `literal` made this template."""
    return text.replace("{{", "{").replace("}}", "}")


def size_text(size_bytes: int) -> str:
    """Return a size as a manifest writes it: `500KB`, `64KiB`, or plain bytes."""
    for factor, unit in ((KIB**2, "MiB"), (KB, "KB"), (KIB, "KiB")):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def targets_lines(targets: Iterable[Target], quote: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines of a manifest's `targets` that read back as these lanes. Variables are left out.

    `quote` returns a text as a YAML scalar.
    """
    by_name: dict[str, list[Target]] = {}
    for each in targets:
        by_name.setdefault(each.name or "", []).append(each)
    yield "targets:"
    yield "  list:"
    for name, lanes in by_name.items():
        first = lanes[0]
        yield f"    - name: {quote(name)}"
        yield f"      account: {quote(first.account or '')}"
        yield f"      regions: [{', '.join(quote(each.region or '') for each in lanes)}]"
        for key in ("role_arn", "profile"):
            texts = [(str(getattr(each, key)), each.region or "") for each in lanes if getattr(each, key) is not None]
            if texts:
                yield f"      {key}: {quote(_template_of(texts))}"
        if first.external_id is not None:
            yield f"      external_id: {quote(first.external_id)}"
        if first.groups:
            yield f"      groups: [{', '.join(quote(each) for each in sorted(first.groups))}]"


def _template_of(texts: Sequence[tuple[str, str]]) -> str:
    """Return the template of which these texts were made, each for its Region."""

    text, region = texts[0]
    other, other_region = next(((each, there) for each, there in texts if each != text), (text, region))
    if other == text:
        return literal(text)
    # What differs in two texts is the Region; where both have their own in the same place it is the template's.
    pieces: list[str] = []
    at = there = 0
    while at < len(text):
        if text.startswith(region, at) and other.startswith(other_region, there):
            pieces.append("{region}")
            at, there = at + len(region), there + len(other_region)
        else:
            pieces.append(literal(text[at]))
            at, there = at + 1, there + 1
    return "".join(pieces)


class Alike(NamedTuple):
    """A name that exists and is almost the wanted one. `how` continues "there is `NAME`, …"."""

    name: str
    how: str


def composed(text: str) -> str:
    """Return a text in NFC: the same for names that look the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(name: str) -> str:
    """Return a key that similar names share: NFC, case folded, with ISO-8859-1 for bytes that are not UTF-8."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", _all_decoded(name)).casefold())


def closest(wanted: str, names: Iterable[str]) -> Alike | None:
    """Return the one of `names` that differs from `wanted` only in Unicode form, encoding or case, or None.

    A name in another Unicode form (NFC, NFD) is preferred to one in another case.
    """
    key = folded(wanted)
    found = [Alike(name, _difference(wanted, name)) for name in names if name != wanted and folded(name) == key]
    return min(found, key=lambda each: each.how == _OTHER_CASE, default=None)


def id_hint(wanted: str, ids: Iterable[str]) -> str:
    """Return what to write for an id that is one of `ids` in another Unicode form, encoding or case, or nothing.

    If the difference is invisible, the id is also shown in ASCII, as bash, zsh and ksh read it.
    """
    found = closest(wanted, ids)
    if found is None:
        return ""
    if found.how == _OTHER_CASE:
        return f"there is `{found.name}`, {found.how}"
    escaped = re.sub(r"['\\]", lambda each: f"\\{each[0]}", found.name)
    ascii_word = re.sub(
        r"[^ -~]",
        lambda each: f"\\u{ord(each[0]):04x}" if each[0] < "\U00010000" else f"\\U{ord(each[0]):08x}",
        escaped,
    )
    return f"there is `{found.name}`, {found.how}; in ASCII: `$'{ascii_word}'`"


_OTHER_CASE = "with other capital letters"


def _difference(wanted: str, name: str) -> str:
    if _all_decoded(name) != name:
        return "whose bytes are not UTF-8"
    if unicodedata.normalize("NFC", wanted) != unicodedata.normalize("NFC", name):
        return _OTHER_CASE
    if unicodedata.is_normalized("NFD", name):
        return "spelt with other code points (NFD, as Macs write them)"
    if not unicodedata.is_normalized("NFC", name):
        return "spelt with other code points (neither NFC nor NFD)"
    return "spelt with other code points (NFC; what was written is not, as on Macs)"


def _all_decoded(name: str) -> str:
    """Decode bytes that Python left undecoded (PEP 383), as ISO-8859-1, which has a character for each byte."""
    if name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name):
        return name
    return name.encode("utf-8", "surrogateescape").decode("latin-1")


def path_advice(path: str, *, key: str) -> str:
    """Return what to do about a path of no file, by its form; empty if it has no special form.

    `key` is where it was written: `file`, `glob`, or `row` for a cell of a table.
    """
    if len(path) > PATH_MAX:
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
    has_brackets = key != "row" and _has_between(path, "[", "]", "")  # in a table they are part of a name
    if key != "glob" and ("*" in path or "?" in path or has_brackets):
        return (
            "a row names one file, not a pattern"
            if key == "row"
            else f"`file` names one file; for a pattern write `glob: {yaml_text(path)}`"
        )
    if key == "glob" and "[" in path:
        return "`[…]` stands for one character: write `[[]` for a bracket in a name"
    if path != path.strip():
        return "the name begins or ends with a space: remove it"
    return ""


def _has_between(text: str, first: str, last: str, middle: str) -> bool:
    begin, end = text.find(first), text.rfind(last)
    return begin >= 0 and end > begin + 1 and middle in text[begin + 1 : end]


PATH_MAX = 4_096
"""PATH_MAX of Linux (limits.h): no longer path is a slip of the pen."""
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
    address = path if path.startswith("s3://") else s3_url(path)
    if address is None:
        how = "`url` takes only `s3://BucketName/FileName`: download the file, and name it here"
        return f"this is an address, and {how}"
    how = f"put `{address}` into the column `url`" if key == "row" else f"write `url: {address}`"
    return f"this is an address: {how}"


_S3_HOSTS = (
    re.compile(
        r"https?://(?P<bucket>[a-z0-9][a-z0-9.-]*)\.s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?/(?P<key>[^?#]+)"
    ),
    re.compile(r"https?://s3[.-](?:[a-z0-9.-]+\.)?amazonaws\.com(?:\.cn)?/(?P<bucket>[a-z0-9.-]+)/(?P<key>[^?#]+)"),
    re.compile(r"arn:aws[a-z-]*:s3:::(?P<bucket>[a-z0-9.-]+)/(?P<key>.+)"),
)
"""Addresses of an object: by virtual host, by path (Amazon S3 User Guide, "Virtual hosting of general purpose
buckets"), and by ARN."""


def s3_url(address: str) -> str | None:
    """Return `s3://BucketName/FileName` for another form of an object's address, or None."""
    if len(address) > PATH_MAX:
        return None
    for pattern in _S3_HOSTS:
        if found := pattern.match(address):
            return f"s3://{found['bucket']}/{found['key']}"
    return None


def url_advice(url: str) -> str:
    """Return what to do about a `url` that is not `s3://BucketName/FileName`; empty if it has no known form."""
    address = s3_url(url)
    if address is not None:
        return f"write `{address}`"
    if re.match(r"https?://", url):
        return (
            "the service reads only objects in S3: download the file and name it under `file`, or copy it to a bucket"
        )
    if url.startswith("s3://") and re.search(r"\s", url):
        return "copy the object to a key without spaces, and name that"
    if "://" not in url and os.path.splitext(url)[1].lower() in EVERY_EXTENSION:
        return f"for a file of this machine write `file: {url}`"
    return ""
