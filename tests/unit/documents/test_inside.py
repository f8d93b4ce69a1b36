"""What a look inside finds, of small documents with one thing wrong each. In this process."""

import io
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch_upload.document import Flaw, FlawCode, Insight
from batch_upload.documents.inside import PIXELS_MAX, look_inside
from batch_upload.documents.sniff import content_type_of
from tests.support.real_documents import locked_pdf, pdf_of, picture, png_of, real_documents, real_pdf, stream

GOOD = real_documents()
CERTAIN = (FlawCode.DAMAGED, FlawCode.CUT_OFF)


def look(content: bytes) -> Insight:
    content_type = content_type_of(content)
    assert content_type is not None
    return look_inside(content, content_type)


def codes(content: bytes) -> list[FlawCode]:
    return [flaw.code for flaw in look(content).flaws]


def damaged(content: bytes, at: int) -> bytes:
    """The content with one byte changed."""
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def animated() -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    made = io.BytesIO()
    frames[0].save(made, "PNG", save_all=True, append_images=frames[1:])
    return made.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(kind, exif=exif)


def xfa(text: str, catalog: str = "") -> bytes:
    """An XFA form whose page says this."""
    shown = stream(f"BT /F 12 Tf 10 10 Td ({text}) Tj ET".encode())
    font = "/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    return pdf_of(
        [
            f"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[]/XFA 5 0 R>>{catalog}>>",
            "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R{font}>>",
            shown,
            stream(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'></xdp:xdp>"),
        ]
    )


def test_a_good_document_has_no_flaw_and_its_measures_are_known() -> None:
    assert look(real_pdf(pages=3)) == Insight(pages=3)
    assert look(picture("PNG", (60, 40))) == Insight(pixels=(60, 40))
    assert look(picture("JPEG", (61, 41))) == Insight(pixels=(61, 41))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"%PDF-1.7\n", FlawCode.CUT_OFF),
        (b"\x89PNG\r\n\x1a\n", FlawCode.CUT_OFF),
        (b"\xff\xd8\xff", FlawCode.CUT_OFF),
        (real_pdf(pages=40)[:400], FlawCode.CUT_OFF),
        (GOOD["png"][:-12], FlawCode.CUT_OFF),
        (picture("JPEG", (600, 400))[:-500], FlawCode.CUT_OFF),
        (b"%PDF-1.7\n" + b"nothing of a PDF\n" * 9 + b"%%EOF\n", FlawCode.DAMAGED),
        (pdf_of(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[9 0 R]/Count 1>>"]), FlawCode.DAMAGED),
        (damaged(GOOD["png"], 50), FlawCode.DAMAGED),
        (GOOD["jpg"][:20] + GOOD["jpg"][-200:], FlawCode.DAMAGED),
        (locked_pdf(), FlawCode.LOCKED),
        (real_pdf(pages=0), FlawCode.NO_PAGE),
        (xfa("Some words", "/NeedsRendering true"), FlawCode.XFA_ONLY),
        (xfa("Please wait... If this message is not replaced"), FlawCode.XFA_ONLY),
        (picture("PNG", (1, 1)), FlawCode.ONE_PIXEL),
        (picture("JPEG", (1, 1)), FlawCode.ONE_PIXEL),
        (picture("PNG", mode="RGBA", colour=(9, 9, 9, 0)), FlawCode.TRANSPARENT),
        (picture("PNG", mode="LA", colour=(9, 0)), FlawCode.TRANSPARENT),
        (picture("PNG", mode="P", colour=0, transparency=0), FlawCode.TRANSPARENT),
        (picture("JPEG", mode="CMYK", colour=0), FlawCode.CMYK),
        (animated(), FlawCode.ANIMATED),
        (turned("JPEG", 6), FlawCode.ROTATED),
        (turned("PNG", 3), FlawCode.ROTATED),
        (real_pdf(points=(14_401, 100)), FlawCode.HUGE_PAGE),
        (png_of(65_000, 65_000, zlib.compress(bytes(100_000))), FlawCode.NOT_CHECKED),
    ],
)
def test_what_is_wrong_is_found_and_only_that(content: bytes, expected: FlawCode) -> None:
    assert codes(content) == [expected]


@pytest.mark.parametrize(
    "content",
    [
        locked_pdf(user_password=b""),
        real_pdf(points=(14_400, 14_400)),
        real_pdf() + bytes(2_000),
        xfa("A form that has fields of the usual kind, too"),
        picture("PNG", (1, 2)),
        picture("PNG", mode="RGBA", colour=(9, 9, 9, 1)),
        picture("PNG", mode="P", colour=0, transparency=b"\xff"),
        picture("PNG", mode="1", colour=1),
        picture("PNG", mode="I;16", colour=300),
        picture("JPEG", mode="L", colour=9, progressive=True),
        picture("JPEG") + b"appended by a phone",
        turned("JPEG", 1),
    ],
)
def test_what_viewers_show_has_no_flaw(content: bytes) -> None:
    assert codes(content) == []


@pytest.mark.parametrize(
    ("colour_type", "depth", "row"), [(0, 1, 3), (0, 16, 35), (2, 8, 52), (4, 8, 35), (6, 16, 137)]
)
def test_a_png_whose_data_end_before_its_last_row_is_cut_off(colour_type: int, depth: int, row: int) -> None:
    """Pillow shows what is missing as black. `row`: the bytes of a row of 17 pixels, with that of its filter."""

    def of_rows(rows: int) -> bytes:
        return png_of(17, 9, zlib.compress(bytes(rows * row)), depth=depth, colour_type=colour_type)

    assert FlawCode.CUT_OFF not in codes(of_rows(9))
    assert codes(of_rows(8))[:1] == [FlawCode.CUT_OFF]
    assert look(of_rows(1)).pixels == (17, 9)


def test_an_interlaced_png_whose_last_pass_is_missing_is_cut_off() -> None:
    """The passes of 9 by 9 pixels in grey, as the PNG specification counts them: 2×2, 1×2, 3×1, 2×3, 5×2, 4×5, 9×4."""
    passes = [(2, 2), (1, 2), (3, 1), (2, 3), (5, 2), (4, 5), (9, 4)]

    def of_passes(count: int) -> bytes:
        data = bytes(sum(rows * (1 + width) for width, rows in passes[:count]))
        return png_of(9, 9, zlib.compress(data), colour_type=0, interlace=1)

    assert codes(of_passes(7)) == []
    assert codes(of_passes(6)) == [FlawCode.CUT_OFF]
    assert codes(png_of(1, 2, zlib.compress(bytes(4)), colour_type=0, interlace=1)) == []


def test_a_message_continues_the_name_and_says_what_to_do() -> None:
    flaw = Flaw(
        FlawCode.LOCKED,
        "asks for a password when it is opened: open it with its password and print it to a new PDF",
    )

    assert look(locked_pdf()).flaws == (flaw,)
    assert look(real_pdf(points=(20_000, 300))).flaws[0].message == (
        "has a page of 20,000 × 300 points, perhaps too large to be shown: print it to A4 or Letter"
    )


def test_several_flaws_are_all_told() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8

    assert codes(picture("JPEG", (1, 1), mode="CMYK", colour=0, exif=exif)) == [
        FlawCode.ONE_PIXEL,
        FlawCode.CMYK,
        FlawCode.ROTATED,
    ]


def test_a_picture_that_is_large_when_decoded_is_checked_by_its_checksums() -> None:
    data = zlib.compress(bytes(5_000 * (1 + 5_000 * 3)), 9)
    large = png_of(5_000, 5_000, data)

    assert look(large) == Insight(pixels=(5_000, 5_000))
    assert codes(damaged(large, len(large) // 2)) == [FlawCode.DAMAGED]


def test_a_picture_of_more_pixels_than_the_limit_is_not_decoded() -> None:
    side = int(PIXELS_MAX**0.5) + 1

    insight = look(png_of(side, side, zlib.compress(bytes(10))))

    assert insight.pixels == (side, side)
    assert [flaw.code for flaw in insight.flaws] == [FlawCode.NOT_CHECKED]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["pdf", "png", "jpg"]),
    cut=st.floats(0, 1, exclude_max=True),
    flips=st.lists(st.floats(0, 1, exclude_max=True), max_size=5),
)
def test_whatever_happens_to_a_good_document_the_look_ends_with_an_insight(
    kind: str, cut: float, flips: list[float]
) -> None:
    whole = GOOD[kind]
    content = bytearray(whole[: 8 + int(cut * (len(whole) - 8))])
    for flip in flips:
        content[int(flip * len(content))] ^= 0x55

    insight: Any = look_inside(bytes(content), content_type_of(whole) or pytest.fail("no type"))

    assert isinstance(insight, Insight)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["png", "jpg"]), cut=st.floats(0, 0.98))
def test_a_picture_without_its_end_is_always_warned_of(kind: str, cut: float) -> None:
    whole = picture({"png": "PNG", "jpg": "JPEG"}[kind], (300, 200))

    insight = look(whole[: 8 + int(cut * (len(whole) - 8))])

    assert insight.flaws
    assert insight.flaws[0].code in CERTAIN
