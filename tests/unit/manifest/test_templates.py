"""Templates: five names, and nothing that formatting languages add."""

from hypothesis import given
from hypothesis import strategies as st

from batch_upload.manifest.rules import TEMPLATE_NAMES, render, wrong_with_template

VALUES = {name: name.upper() for name in TEMPLATE_NAMES}
PIECES = st.sampled_from(
    [*(f"{{{name}}}" for name in TEMPLATE_NAMES), "{{", "}}", "a", " ", "{", "}", "{x}", "{stem!r}", "{0}"]
)


def test_doubled_braces_stand_for_single_ones() -> None:
    text = "{{{stem}}}{{}}{{stem}}"

    assert wrong_with_template(text) is None
    assert render(text, VALUES) == "{STEM}{}{stem}"


@given(pieces=st.lists(PIECES, max_size=8))
def test_what_passes_is_what_python_would_format_alike(pieces: list[str]) -> None:
    text = "".join(pieces)

    if wrong_with_template(text) is None:
        assert render(text, VALUES) == text.format(**VALUES)
