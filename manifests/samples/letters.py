"""Letters as PDF: real text in Helvetica, pages of US Letter, nothing compressed."""

LINE_HEIGHT = 15
TOP = 720


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _page(title: str, lines: tuple[str, ...], foot: str) -> bytes:
    parts = ["0.8 w 72 742 m 540 742 l S", f"BT /F2 16 Tf 72 752 Td ({_escaped(title)}) Tj ET"]
    for index, line in enumerate(lines):
        font, shown = ("F2", line[1:]) if line.startswith("#") else ("F1", line)
        parts.append(f"BT /{font} 11 Tf 72 {TOP - index * LINE_HEIGHT} Td ({_escaped(shown)}) Tj ET")
    parts.append(f"0.4 w 72 60 m 540 60 l S BT /F1 8 Tf 72 48 Td ({_escaped(foot)}) Tj ET")
    return "\n".join(parts).encode("latin-1")


def pdf(title: str, pages: tuple[tuple[str, ...], ...]) -> bytes:
    """A PDF 1.4 of these pages. Lines that begin with `#` are set in bold."""
    kids = " ".join(f"{5 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
    ]
    for index, lines in enumerate(pages):
        content = _page(title, lines, f"Sample document, not a real authorization. Page {index + 1} of {len(pages)}")
        fonts = "<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
        page = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {fonts} /Contents {6 + 2 * index} 0 R >>"
        )
        objects.append(page.encode())
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _assembled(objects)


def _assembled(objects: list[bytes]) -> bytes:
    out, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    tail = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(out) + tail % (size, table, size, len(out))


def authorization(company: str, city: str, numbers: tuple[str, ...]) -> bytes:
    """A letter of authorization, with a page of its own for long lists of numbers."""
    letter = (
        f"{company}",
        f"{city}",
        "",
        "#Letter of Authorization",
        "",
        "To whom it may concern,",
        "",
        f"{company} authorizes the holder of this letter to send text messages",
        "on its behalf from the numbers listed below, and to register them with the carriers.",
        "",
        "#Numbers",
        *(f"   {number}" for number in numbers[:12]),
        "",
        "Messages are sent only to people who have agreed to receive them. The authorization",
        "holds until it is withdrawn in writing.",
        "",
        "Signed for the company,",
        "",
        "   A. Sample",
        "   Director of Operations",
    )
    rest = tuple(f"   {number}" for number in numbers[12:])
    more = tuple(("#Numbers, continued", *rest[at : at + 36]) for at in range(0, len(rest), 36))
    return pdf("Letter of Authorization", (letter, *more))


def terms(company: str) -> bytes:
    """Terms and conditions of a messaging programme, on two pages."""
    first = (
        f"#Messaging terms of {company}",
        "",
        "1. By giving your number and ticking the box you agree to receive messages about",
        "   your orders. Consent is not a condition of purchase.",
        "2. Message frequency varies. Message and data rates may apply.",
        "3. Reply STOP to end, HELP for help.",
    )
    second = ("#Privacy", "", "Numbers are not sold, rented or shared with third parties for their marketing.")
    return pdf("Terms and conditions", (first, second))
