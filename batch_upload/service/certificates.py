"""Who issued a certificate that did not verify: read from its DER, which Python's `ssl` does not take apart then."""

from collections.abc import Iterator

COMMON_NAME, ORGANIZATION = bytes.fromhex("550403"), bytes.fromhex("55040a")
_SEQUENCE, _VERSION, _OBJECT_ID = 0x30, 0xA0, 0x06


def issuer_of(der: bytes) -> str | None:
    """The issuer's common name, or its organization; None where it has neither. Raises ValueError for what is no DER.

    Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version?, serial, algorithm, issuer Name, … } … } (RFC 5280, 4.1)
    """
    _, certificate = next(_elements(der))
    _, body = next(_elements(certificate))
    fields = [content for tag, content in _elements(body) if tag != _VERSION]
    if len(fields) < 3:
        raise ValueError("no certificate")
    names = dict(_names(fields[2]))
    return names.get(COMMON_NAME) or names.get(ORGANIZATION)


def _names(name: bytes) -> Iterator[tuple[bytes, str]]:
    for _, relative in _elements(name):
        for _, pair in _elements(relative):
            (tag, kind), (_, value) = list(_elements(pair))[:2]
            if tag == _OBJECT_ID:
                yield kind, value.decode("utf-8", "replace")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element that stands in these bytes, one after another."""
    at = 0
    while at + 2 <= len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("no DER")
        yield tag, data[at : at + length]
        at += length
