"""Forms: what they take, which one an attachment is for, and the size that it takes from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_upload.form import Form
from batch_upload.manifest.forms import BUILT_IN
from batch_upload.model import KB, KIB, MAX_SIZE_DEFAULT_BYTES, ContentType, Listed, Manifest, Problem
from batch_upload.spelling import size_text

Write = Callable[..., Path]
Read = Callable[[str], Manifest]
ListedOf = Callable[..., tuple[Listed, ...]]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: june\n"
OWN = "forms:\n  my-logo: {types: [png, jpg], max_size: 64KiB, pixels: 640x480}\n  any: {min_pixels: 100x50}\n"


def test_a_built_in_form_names_where_and_when_its_numbers_were_read() -> None:
    for name, form in BUILT_IN.items():
        assert form.name == name
        assert form.source.startswith("https://docs.aws.amazon.com/")
        assert form.date == "2026-11-28"
        assert form.types
        assert form.max_size_bytes
        assert len(form.about) <= 70


def test_the_forms_of_an_rcs_agent_and_of_singapore_have_the_documented_numbers() -> None:
    logo, banner, letter = (BUILT_IN[each] for each in ("rcs-logo", "rcs-banner", "singapore-sender-id-letter"))

    assert (logo.pixels, logo.max_size_bytes) == ((224, 224), 50 * KB)
    assert (banner.pixels, banner.max_size_bytes) == ((1_440, 448), 200 * KB)
    assert (letter.types, letter.max_size_bytes) == (frozenset({ContentType.PNG}), 400 * KB)


def test_a_form_is_that_of_the_entry_or_else_that_of_defaults(listed: ListedOf) -> None:
    entries = (
        "attachments:\n  - file: a.png\n  - {file: b.png, form: my-logo}\n  - {file: c.png, form: us-10dlc-opt-in}\n"
    )

    found = listed(HEAD + OWN + "defaults: {form: rcs-logo}\n" + entries)

    assert [each.form and each.form.name for each in found] == ["rcs-logo", "my-logo", "us-10dlc-opt-in"]


def test_a_form_of_ones_own_may_be_written_behind_the_entries(listed: ListedOf) -> None:
    found = listed(HEAD + "attachments:\n  - {file: a.png, form: my-logo}\n" + OWN)

    types = frozenset({ContentType.PNG, ContentType.JPEG})
    assert found[0].form == Form("my-logo", types=types, max_size_bytes=64 * KIB, pixels=(640, 480))


def test_every_match_of_a_glob_has_the_form_of_its_entry(listed: ListedOf, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()

    found = listed(HEAD + 'attachments:\n  - {glob: "*.png", form: rcs-logo}\n')

    assert [each.form for each in found] == [BUILT_IN["rcs-logo"]] * 2


@pytest.mark.parametrize(
    ("defaults", "entry", "limit_bytes"),
    [
        pytest.param("", "", MAX_SIZE_DEFAULT_BYTES, id="neither"),
        pytest.param("", ", form: rcs-logo", 50 * KB, id="the-entry's-form"),
        pytest.param("form: rcs-logo", "", 50 * KB, id="the-form-of-defaults"),
        pytest.param("form: rcs-logo, max_size: 500KB", "", 500 * KB, id="defaults-have-both"),
        pytest.param("max_size: 1MiB", ", form: rcs-logo", 50 * KB, id="an-entry's-form-before-defaults"),
        pytest.param("form: rcs-logo", ", max_size: 1MiB", KIB * KIB, id="an-entry's-size-before-all"),
        pytest.param("form: rcs-logo", ", form: any", MAX_SIZE_DEFAULT_BYTES, id="a-form-without-a-size"),
        pytest.param("form: rcs-logo, max_size: 1MiB", ", form: any", KIB * KIB, id="without-a-size-and-defaults"),
    ],
)
def test_the_size_is_that_of_what_is_nearest(listed: ListedOf, defaults: str, entry: str, limit_bytes: int) -> None:
    found = listed(f"{HEAD}{OWN}defaults: {{{defaults}}}\nattachments:\n  - {{file: a.png{entry}}}\n")

    assert found[0].max_size_bytes == limit_bytes


def test_an_unknown_form_is_a_problem_that_names_the_one_that_was_meant(write: Write, problems_of: ProblemsOf) -> None:
    entries = (
        "attachments:\n  - {file: a.png, form: rcs-lgo}\n  - {file: b.png, form: my_logo}\n  - {file: c, form: x}\n"
    )

    found = problems_of(write(HEAD + OWN + entries))

    assert [(each.at.line, each.code, each.message) for each in found] == [
        (7, "unknown-form", "there is no form `rcs-lgo`: did you mean `rcs-logo`?"),
        (8, "unknown-form", "there is no form `my_logo`: did you mean `my-logo`?"),
        (9, "unknown-form", "there is no form `x`: `batch-upload manifest forms` lists the built-in ones"),
    ]


def test_the_name_of_a_built_in_form_is_taken(write: Write, problems_of: ProblemsOf) -> None:
    manifest = HEAD + "forms: {rcs-logo: {pixels: 10x10}}\nattachments:\n  - {file: a.png, form: rcs-logo}\n"

    (found,) = problems_of(write(manifest))

    assert (found.code, found.at.line) == ("form", 3)
    assert "choose another, such as `my-rcs-logo`" in found.message


def test_an_entry_in_several_lanes_has_an_unknown_form_once(write: Write, problems_of: ProblemsOf) -> None:
    targets = 'targets: {list: [{name: acme, account: "111122223333", regions: [us-east-1, us-west-2]}]}\n'
    manifest = f"{HEAD}{targets}attachments:\n  - {{file: a.png, form: nothing-like-it, target: acme}}\n"

    assert [each.code for each in problems_of(write(manifest))] == ["unknown-form"]


def test_the_page_has_a_row_for_each_built_in_form() -> None:
    page = (Path(__file__).parents[3] / "docs" / "manifest.md").read_text(encoding="utf-8")
    _, table = page.split("<!-- made of batch_upload/manifest/forms.py -->\n")

    assert table.split("\n\n")[0].splitlines()[2:] == [
        f"| `{each.name}` | {each.about} | {each.types_text} | {size_text(each.max_size_bytes or 0)} "
        f"| {each.pixels_text} | [AWS]({each.source}), {each.date} |"
        for each in BUILT_IN.values()
    ]
