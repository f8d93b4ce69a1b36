"""Small documents that viewers open, and documents with one thing wrong inside. Made by hand or by Pillow."""

import hashlib
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, cast

from PIL import Image

_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
"""What passwords are filled up with (ISO 32000-1, 7.6.3.3, algorithm 2)."""


def real_pdf(text: str = "", *, pages: int = 1, points: tuple[int, int] = (612, 792), catalog: str = "") -> bytes:
    """Return a PDF with so many empty pages. `text` goes into a comment, `catalog` into the catalog."""
    return pdf_of(_objects(pages, points, catalog), comment=text)


def locked_pdf(user_password: bytes = b"secret", owner_password: bytes = b"owner") -> bytes:
    """Return a PDF that is encrypted (ISO 32000-1, 7.6.3, revision 2). It opens if the user's password is empty."""
    file_id, rights = b"0123456789abcdef", -4
    owner = _rc4(_md5(_padded(owner_password))[:5], _padded(user_password))
    key = _md5(_padded(user_password) + owner + struct.pack("<i", rights) + file_id)[:5]
    encrypt = f"<</Filter/Standard/V 1/R 2/O<{owner.hex()}>/U<{_rc4(key, _PAD).hex()}>/P {rights}>>"
    return pdf_of(
        [*_objects(1, (612, 792), ""), encrypt], trailer=f"/Encrypt 4 0 R/ID[<{file_id.hex()}><{file_id.hex()}>]"
    )


def _objects(pages: int, points: tuple[int, int], catalog: str) -> list[str]:
    kids = " ".join("3 0 R" for _ in range(pages))
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {points[0]} {points[1]}]>>"
    return [f"<</Type/Catalog/Pages 2 0 R{catalog}>>", f"<</Type/Pages/Kids[{kids}]/Count {pages}>>", page]


def pdf_of(objects: Sequence[str | bytes], *, trailer: str = "", comment: str = "") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is its catalog."""
    bodies = [each if isinstance(each, bytes) else each.encode() for each in objects]
    parts = [f"%PDF-1.7\n%{comment}\n".encode()]
    parts += [b"%d 0 obj\n%s\nendobj\n" % (number, body) for number, body in enumerate(bodies, 1)]
    offsets = list(accumulate(len(part) for part in parts))
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets[:-1])
    size = len(bodies) + 1
    end = f"trailer\n<</Size {size}/Root 1 0 R{trailer}>>\nstartxref\n{offsets[-1]}\n%%EOF\n"
    return b"".join(parts) + b"xref\n0 %d\n0000000000 65535 f \n" % size + rows + end.encode()


def stream(content: bytes, entries: str = "") -> bytes:
    """Return an object of a PDF: a stream that is packed."""
    packed = zlib.compress(content, 9)
    return b"<</Filter/FlateDecode/Length %d%s>>stream\n%s\nendstream" % (len(packed), entries.encode(), packed)


def picture(
    kind: str, size: tuple[int, int] = (60, 40), mode: str = "RGB", colour: object = "teal", **save: object
) -> bytes:
    """Return a picture in one colour. `kind`: `PNG` or `JPEG`; `save`: as Pillow's plugin takes it."""
    made = io.BytesIO()
    Image.new(mode, size, cast("Any", colour)).save(made, kind, **cast("Any", save))
    return made.getvalue()


def png_of(width: int, height: int, data: bytes, *, depth: int = 8, colour_type: int = 2, interlace: int = 0) -> bytes:
    """Return a PNG with this header and these packed data, whatever they are."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def real_documents() -> Mapping[str, bytes]:
    """Return one good document of each type, by the extension of its name."""
    return {"pdf": real_pdf(), "png": picture("PNG"), "jpg": picture("JPEG")}


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _padded(password: bytes) -> bytes:
    return (password + _PAD)[:32]


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _rc4(key: bytes, content: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for byte in content:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
