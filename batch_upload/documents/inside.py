"""A look inside a document: is it whole, can it be opened, is there something to see?

Runs in a process of its own (`python -m batch_upload.documents.inside`, started by `inspectors.py`), since the
libraries are written in C: a document can make them hang, crash or take memory, and a thread cannot be stopped. The
choice of libraries: docs/decisions/look-inside.md.
"""

import io
import json
import os
import resource
import signal
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from batch_upload.document import Flaw, FlawCode, Insight
from batch_upload.model import ContentType

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile
    from pypdfium2 import PdfPage

CPU_S = 1.5
"""Seconds of computing for one document. The kernel ends the process then, whatever library it is in."""
WALL_S = 20.0
"""The same by the clock on the wall, for a process that waits."""
MEMORY_BYTES = 160 * 1024 * 1024
"""Address space of the process, of which Python and the libraries take 45 MB (Linux; macOS does not enforce it)."""
DECODED_BYTES = 48_000_000
"""A picture that is larger in memory is only checked for damage, by its checksums: 12 million pixels in colour, or
48 million (an A4 page at 600 dpi has 35) in grey."""
PIXELS_MAX = 178_956_970
"""A picture with more is not checked: twice the size above which Pillow warns of a decompression bomb."""
PAGE_POINTS_MAX = 14_400
"""The largest side of a page that viewers must show (ISO 32000-1, annex C)."""
PAGES_MEASURED = 1_000
PDF_END_BYTES = 1_024
"""The mark of the end of a PDF is in its last 1,024 bytes (Adobe's PDF Reference 1.7, implementation note 18)."""
REQUEST = struct.Struct(">BI")
"""A document on its way to the process: the number of its type in TYPES_BY_NUMBER, and its length in bytes."""
LENGTH = struct.Struct(">I")
TYPES_BY_NUMBER = tuple(ContentType)

_CUT_OFF = Flaw(FlawCode.CUT_OFF, "is cut off, its end is missing: copy it again once it is complete")
_PRINT_AGAIN = "copy it again, or print it to a new PDF"
_DAMAGED_PDF = Flaw(FlawCode.DAMAGED, f"cannot be opened as PDF: {_PRINT_AGAIN}")
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "LA": 4}
"""In memory, by Pillow's mode; 4 for the others."""
_MISSING_ROWS = Flaw(FlawCode.CUT_OFF, "lacks some of its rows of pixels, perhaps the lower part: export it again")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the colour type of a PNG (its specification, 11.2.1)."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where each pass of an interlaced PNG begins, and its steps: x, y, x, y (the same, 8.2)."""
_PIECE_BYTES = 1024 * 1024
_EXIF_ORIENTATION = 0x0112
_PLEASE_WAIT = ("Please wait", "The document you are trying to load requires")
"""How the one page begins that Adobe's LiveCycle puts before a form drawn by XFA alone."""


def look_inside(content: bytes, content_type: ContentType) -> Insight:
    """Return what is in a document. Whatever a library raises becomes a flaw, except MemoryError."""
    return _look_inside_pdf(content) if content_type is ContentType.PDF else _look_inside_picture(content, content_type)


def _look_inside_pdf(content: bytes) -> Insight:
    import pypdfium2
    import pypdfium2.raw as pdfium

    is_cut_off = b"%%EOF" not in content.rstrip(b"\0\t\n\f\r ")[-PDF_END_BYTES:]
    # pdfium sets no error code when it refuses a PDF without pages, and that of an earlier failure remains. So cause
    # FPDF_ERR_FILE first, which no document in memory causes.
    pdfium.FPDF_LoadDocument(b"/no such file", None)
    try:
        with closing(pypdfium2.PdfDocument(content)) as pdf:
            pages = len(pdf)
            flaws = [_CUT_OFF] if is_cut_off else []
            page = pdf[0]
            form = pdf.get_formtype()
            if form == pdfium.FORMTYPE_XFA_FULL or (form == pdfium.FORMTYPE_XFA_FOREGROUND and _asks_to_wait(page)):
                advice = "open it in Adobe Reader and print it to a PDF"
                flaws.append(Flaw(FlawCode.XFA_ONLY, f"is an XFA form that most viewers cannot show: {advice}"))
            sizes = (pdf.get_page_size(number) for number in range(min(pages, PAGES_MEASURED)))
            width, height = max(sizes, key=max)
            if max(width, height) > PAGE_POINTS_MAX:
                message = f"has a page of {width:,.0f} × {height:,.0f} points, perhaps too large to be shown"
                flaws.append(Flaw(FlawCode.HUGE_PAGE, f"{message}: print it to A4 or Letter"))
            return Insight(pages=pages, flaws=tuple(flaws))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 whatever the library raises, the document is at fault
        code = error.err_code if isinstance(error, pypdfium2.PdfiumError) else None
        if code == pdfium.FPDF_ERR_PASSWORD:
            advice = "open it with its password and print it to a new PDF"
            return Insight(flaws=(Flaw(FlawCode.LOCKED, f"asks for a password when it is opened: {advice}"),))
        if code == pdfium.FPDF_ERR_FILE and not is_cut_off:
            return Insight(pages=0, flaws=(Flaw(FlawCode.NO_PAGE, f"has no page that can be read: {_PRINT_AGAIN}"),))
        return Insight(flaws=(_CUT_OFF if is_cut_off else _DAMAGED_PDF,))


def _asks_to_wait(page: "PdfPage") -> bool:
    with closing(page.get_textpage()) as text:
        return str(text.get_text_range(0, 80)).lstrip().startswith(_PLEASE_WAIT)


def _look_inside_picture(content: bytes, content_type: ContentType) -> Insight:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # PIXELS_MAX is checked before anything is decoded
    name, pixels = content_type.name, None
    flaws: list[Flaw] = []
    try:
        with Image.open(io.BytesIO(content), formats=[name]) as picture:
            width, height = pixels = picture.size
            if width * height > PIXELS_MAX:
                return Insight(pixels, flaws=(not_checked(f"it has {width:,} × {height:,} pixels"),))
            picture.verify()  # the checksums of a PNG; not all of them are looked at when it is decoded
        with Image.open(io.BytesIO(content), formats=[name]) as picture:
            if content_type is ContentType.JPEG:
                # all of its data is decoded, to an eighth of the size
                picture.draft(None, (max(1, width // 8), max(1, height // 8)))
            if picture.width * picture.height * _BYTES_PER_PIXEL.get(picture.mode, 4) <= DECODED_BYTES:
                picture.load()
                flaws = [*_flaws_of_picture(picture, pixels)]
                if content_type is ContentType.PNG and _lacks_rows(content):
                    flaws.insert(0, _MISSING_ROWS)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 whatever the library raises, the document is at fault
        end = b"IEND" if content_type is ContentType.PNG else b"\xff\xd9"
        damaged = Flaw(FlawCode.DAMAGED, f"cannot be decoded as {name}: export it again, or copy it again")
        return Insight(pixels, flaws=(damaged if end in content[-PDF_END_BYTES:] else _CUT_OFF,))
    return Insight(pixels, flaws=tuple(flaws))


def _flaws_of_picture(picture: "ImageFile", pixels: tuple[int, int]) -> Iterator[Flaw]:
    """Yield the flaws of a decoded picture. `pixels` is its true size."""
    frames = getattr(picture, "n_frames", 1)
    orientation = 1
    with suppress(Exception):  # damage in EXIF data alone keeps no viewer from showing the picture
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    if pixels == (1, 1):
        yield Flaw(FlawCode.ONE_PIXEL, "is a single pixel: export the whole picture")
    if picture.has_transparency_data and _is_transparent(picture):
        yield Flaw(FlawCode.TRANSPARENT, "looks empty, every pixel is transparent: export it again")
    if picture.mode == "CMYK":
        yield Flaw(FlawCode.CMYK, "has colours for print (CMYK) that perhaps look wrong on a screen: export it as RGB")
    if picture.format == "PNG" and frames > 1:
        message = f"is animated ({frames} frames), and perhaps only the first is seen"
        yield Flaw(FlawCode.ANIMATED, f"{message}: export it as a still picture")
    if orientation in range(2, 9):
        message = "is turned by its EXIF data, and perhaps seen on its side or mirrored"
        yield Flaw(FlawCode.ROTATED, f"{message}: turn it in a program for pictures and save it")


def _lacks_rows(content: bytes) -> bool:
    """Tell whether the data of a PNG that was decoded end before its last row. Pillow leaves those pixels black."""
    width, height, depth, colour_type, _, _, interlace = struct.unpack_from(">IIBBBBB", content, 16)
    missing = 0
    for x, y, x_step, y_step in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // x_step), -((y - height) // y_step)
        if columns > 0:
            missing += rows * (1 + (columns * _SAMPLES[colour_type] * depth + 7) // 8)
    stream, at = zlib.decompressobj(), 8
    while missing > 0 and at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        while data and missing > 0:
            missing -= len(stream.decompress(data, _PIECE_BYTES))
            data = stream.unconsumed_tail
        at += 12 + length
    return missing > 0


def _is_transparent(picture: "ImageFile") -> bool:
    """Tell whether every pixel of a decoded picture is fully transparent."""
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return picture.getchannel(picture.getbands()[-1]).getextrema() == (0, 0)
    if picture.width * picture.height * 4 > DECODED_BYTES:
        return False
    return picture.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def not_checked(why: str) -> Flaw:
    """Return the flaw of a document that is beyond the limits. `why` is a clause, such as "it has 5 pixels"."""
    return Flaw(FlawCode.NOT_CHECKED, f"was not checked, {why}: open it and see whether it shows what it should")


def main() -> None:
    """Answer requests on standard input until it ends: a REQUEST and the document, answered by a LENGTH and JSON."""
    with suppress(ValueError, OSError):  # macOS enforces no limit, and a lower one may be set already
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what the libraries print is no answer
        os.dup2(nothing, stream)
    for limit in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(limit, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    warnings.simplefilter("ignore")
    while header := requests.read(REQUEST.size):
        number, length = REQUEST.unpack(header)
        content = requests.read(length)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.setitimer(signal.ITIMER_REAL, WALL_S)
        try:
            insight = look_inside(content, TYPES_BY_NUMBER[number])
        except MemoryError:
            insight = Insight(flaws=(not_checked("it takes too much memory to read"),))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = json.dumps(insight.as_json()).encode()
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    main()
