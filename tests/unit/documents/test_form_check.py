"""A document against the form that it is for."""

from pathlib import Path

import pytest

from batch_upload.document import Document, Insight
from batch_upload.documents.form_check import mismatches
from batch_upload.documents.inspect import examine
from batch_upload.documents.refusals import Refusal
from batch_upload.form import Form
from batch_upload.model import KB, ContentType, Listed, Position

PDF, PNG, JPEG = ContentType.PDF, ContentType.PNG, ContentType.JPEG
LOGO = Form("rcs-logo", types=frozenset({PNG, JPEG}), max_size_bytes=50 * KB, pixels=(224, 224))


def warned(
    form: Form | None,
    content_type: ContentType = PNG,
    *,
    pixels: tuple[int, int] | None = None,
    size_bytes: int = KB,
    is_looked_into: bool = True,
) -> list[tuple[str, str]]:
    """What is said of a document, without its name."""
    insight = Insight(pixels=pixels) if is_looked_into else None
    document = Document("/in/logo.x", "0" * 64, size_bytes, content_type, insight)
    listed = Listed("june", "x", "logo.x", Path("/in"), {}, 1, 500 * KB, True, Position(5, 11), form=form)  # noqa: FBT003
    found = list(mismatches(listed, document, manifest="m.yaml"))

    assert all((each.file, each.at) == ("m.yaml", Position(5, 11)) for each in found)
    return [(each.code, each.message.removeprefix("`logo.x` ")) for each in found]


def test_an_attachment_without_a_form_is_worth_no_warning() -> None:
    assert warned(None, PDF, pixels=(1, 1)) == []


def test_a_picture_that_the_form_takes_is_worth_no_warning() -> None:
    assert warned(LOGO, pixels=(224, 224), size_bytes=50 * KB) == []


@pytest.mark.parametrize(
    ("pixels", "advice"),
    [((600, 400), "crop it to that shape and scale it"), ((448, 448), "scale it"), ((100, 100), "scale it")],
)
def test_other_pixels_are_told_with_what_to_do(pixels: tuple[int, int], advice: str) -> None:
    shown = f"{pixels[0]} x {pixels[1]}"

    assert warned(LOGO, pixels=pixels) == [
        ("form-pixels", f"is {shown} pixels, the form `rcs-logo` takes 224 x 224: {advice}")
    ]


@pytest.mark.parametrize("pixels", [(639, 480), (640, 479), (1, 1)])
def test_fewer_pixels_than_the_form_takes_at_least(pixels: tuple[int, int]) -> None:
    form = Form("scan", min_pixels=(640, 480))

    assert [code for code, _ in warned(form, pixels=pixels)] == ["form-pixels"]
    assert "takes at least 640 x 480: use a larger one" in warned(form, pixels=pixels)[0][1]
    assert warned(form, pixels=(640, 480)) == warned(form, pixels=(2_000, 2_000)) == []


@pytest.mark.parametrize("is_looked_into", [True, False])
def test_pixels_that_are_not_known_are_not_compared(*, is_looked_into: bool) -> None:
    assert warned(LOGO, pixels=None, is_looked_into=is_looked_into) == []


@pytest.mark.parametrize(
    ("types", "content_type", "said"),
    [
        ({PNG}, JPEG, "is a JPEG, the form `f` takes PNG: save it as PNG"),
        ({PNG, JPEG}, PDF, "is a PDF, the form `f` takes PNG or JPEG: save it as PNG"),
        ({PDF}, PNG, "is a PNG, the form `f` takes PDF: save it as PDF"),
    ],
)
def test_another_type_is_told_with_what_to_do(types: set[ContentType], content_type: ContentType, said: str) -> None:
    assert warned(Form("f", types=frozenset(types)), content_type) == [("form-type", said)]


def test_a_file_within_its_own_limit_may_be_too_large_for_the_form() -> None:
    assert warned(LOGO, size_bytes=50_001) == [
        (
            "form-size",
            "has 50,001 bytes (51 KB), the form `rcs-logo` takes no more than 50,000 bytes (50 KB): make it smaller",
        )
    ]


def test_everything_that_a_document_does_not_meet_is_told() -> None:
    found = warned(LOGO, PDF, pixels=(9, 9), size_bytes=60 * KB)

    assert [code for code, _ in found] == ["form-type", "form-size", "form-pixels"]


def test_a_file_above_the_size_of_its_form_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n".ljust(50_001, b"x"))

    found = examine(path, max_size_bytes=50 * KB, root=tmp_path, form="rcs-logo").found

    assert isinstance(found, Refusal)
    assert found.message == (
        "`logo.png` has 50,001 bytes (51 KB), the form `rcs-logo` takes no more than 50,000 bytes (50 KB):"
        " make it smaller"
    )
