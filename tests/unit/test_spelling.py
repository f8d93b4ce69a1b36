"""How values are misspelt, and what is said of it."""

import unicodedata

import pytest

from batch_upload.spelling import closest, folded, id_hint, path_advice, s3_url, url_advice

NFD = unicodedata.normalize("NFD", "Müller.pdf")


def test_a_name_in_another_unicode_form_is_closer_than_one_in_another_case() -> None:
    found = closest("Müller.pdf", ["MÜLLER.PDF", "Müller.pdf", NFD, "other.pdf"])

    assert found is not None
    assert found.name == NFD


@pytest.mark.parametrize(
    ("wanted", "name", "form"),
    [
        ("Société.pdf", unicodedata.normalize("NFD", "Société.pdf"), "NFD, as Macs write them"),
        (unicodedata.normalize("NFD", "Société.pdf"), "Société.pdf", "NFC; what was written is not, as on Macs"),
        ("Société.pdf", "Socie\u0301té.pdf", "neither NFC nor NFD"),
    ],
)
def test_the_unicode_form_of_a_name_is_named(wanted: str, name: str, form: str) -> None:
    assert closest(wanted, [name]) == (name, f"spelt with other code points ({form})")


def test_names_that_differ_in_more_are_not_alike() -> None:
    assert closest("a.pdf", ["a.pdf", "b.pdf", "a.png"]) is None


def test_names_fold_alike_whatever_their_form_encoding_and_case() -> None:
    assert {folded(each) for each in ("Müller.PDF", NFD, NFD.upper(), "m\udcfcller.pdf")} == {"müller.pdf"}


def test_an_id_that_cannot_be_seen_to_differ_is_shown_in_ascii() -> None:
    assert id_hint("Müller.pdf", [NFD]).endswith(r"; in ASCII: `$'Mu\u0308ller.pdf'`")
    assert id_hint("it's \\ é", [unicodedata.normalize("NFD", "it's \\ é")]).endswith(r"`$'it\'s \\ e\u0301'`")
    assert id_hint("a.pdf", ["A.pdf"]) == "there is `A.pdf`, with other capital letters"
    assert id_hint("a.pdf", ["b.pdf"]) == ""


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("https://bucket.s3.amazonaws.com/x/a.pdf", "s3://bucket/x/a.pdf"),
        ("https://my.bucket.s3.eu-west-1.amazonaws.com/a.pdf?versionId=1", "s3://my.bucket/a.pdf"),
        ("https://bucket.s3-us-west-2.amazonaws.com/a.pdf", "s3://bucket/a.pdf"),
        ("https://bucket.s3.dualstack.us-west-2.amazonaws.com/a.pdf", "s3://bucket/a.pdf"),
        ("https://s3.us-west-2.amazonaws.com/bucket/x/a.pdf", "s3://bucket/x/a.pdf"),
        ("arn:aws:s3:::bucket/x/a.pdf", "s3://bucket/x/a.pdf"),
        ("https://example.com/a.pdf", None),
        ("https://bucket.s3.amazonaws.com/", None),
    ],
)
def test_an_object_is_known_by_each_of_its_addresses(address: str, url: str | None) -> None:
    assert s3_url(address) == url


@pytest.mark.parametrize("piece", ["[", "{,", "a.s3.", "https://a.s3.", "-a", "$", "%a", "“"])
def test_what_is_made_to_be_slow_is_looked_at_as_quickly(piece: str) -> None:
    text = (piece * 4_096)[:4_096]

    for key in ("file", "glob", "row"):
        assert path_advice(text, key=key) is not None
    assert url_advice(f"https://{text}") is not None
