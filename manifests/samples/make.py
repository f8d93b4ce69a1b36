"""Writes the sample files that the example manifests use. Standard library only; the same bytes on every machine.

    python manifests/samples/make.py [FOLDER]

FOLDER is `manifests` by default: each file lies beside the manifest that names it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import jpeg
import letters
import pictures

CONSENT = (
    "Yes, send me text",
    "messages about orders",
    "Message and data rates may apply.",
    "Message frequency varies.",
    "Reply STOP to end, HELP for help.",
)


def _numbers(area: int, count: int) -> tuple[str, ...]:
    return tuple(f"+1 {area} 555 01{index:02d}" for index in range(count))


def samples() -> Iterator[tuple[str, bytes]]:
    """Each sample's path and bytes."""
    yield "files/loa/acme.pdf", letters.authorization("Acme Trading Inc.", "Springfield, IL", _numbers(217, 3))
    yield "files/loa/birch.pdf", letters.authorization("Birch & Sons (Retail) Ltd.", "Portland, OR", _numbers(503, 30))
    yield "files/loa/cedar.pdf", letters.authorization("Cedar Clinics", "Austin, TX", _numbers(512, 1))
    yield "files/loa/delta.pdf", letters.authorization("Delta Couriers", "Reno, NV", _numbers(775, 90))
    yield "files/loa/elm.PDF", letters.authorization("Elm Street Books", "Salem, MA", _numbers(978, 6))
    yield "files/terms.pdf", letters.terms("Acme Trading Inc.")
    yield "files/opt-in/web/checkout.png", pictures.opt_in("Checkout", "ACME SHOP", CONSENT, "Place order")
    yield "files/opt-in/web/account.png", pictures.opt_in("Your account", "ACME SHOP", CONSENT, "Save changes")
    yield "files/opt-in/web/newsletter.png", pictures.opt_in("Stay in touch", "ACME SHOP", CONSENT, "Sign up")
    yield "files/opt-in/app/welcome.png", pictures.opt_in("Welcome!", "Birch", CONSENT, "Continue")
    yield "files/opt-in/app/settings.png", pictures.opt_in("Messages", "Birch", CONSENT, "Done")
    yield "examples/files/loa.pdf", letters.authorization("Acme Trading Inc.", "Springfield, IL", _numbers(217, 2))
    yield "examples/files/terms.pdf", letters.terms("Birch & Sons (Retail) Ltd.")
    yield "examples/files/screens/web/join.png", pictures.opt_in("Join", "ACME SHOP", CONSENT, "Join now")
    yield "examples/files/screens/app/join.png", pictures.opt_in("Join", "Birch", CONSENT, "Join now")
    for name, company in (
        ("acme", "Acme Trading Inc."),
        ("birch", "Birch & Sons (Retail) Ltd."),
        ("cedar", "Cedar Clinics"),
    ):
        yield f"examples/files/letters/{name}.pdf", letters.authorization(company, "Jakarta", ("+62 21 555 0100",))
    yield "examples/files/letters/cedar-license.pdf", letters.terms("Cedar Clinics")
    for seed, (name, words, wall, paper) in enumerate(PHOTOGRAPHS):
        yield name, jpeg.encode(pictures.photograph(seed, words, wall=wall, paper=paper))


PHOTOGRAPHS = (
    (
        "files/photos/sign-up-card.jpg",
        ("JOIN OUR LIST", "", "Name  A. Sample", "Tel   555 0100", "", "[x] Text me"),
        (150, 110, 70),
        (250, 248, 236),
    ),
    (
        "files/photos/counter.jpg",
        ("Text DEALS to", "55501", "", "STOP to end", "HELP for help"),
        (96, 130, 150),
        (255, 250, 210),
    ),
    (
        "files/photos/storefront.jpeg",
        ("CEDAR CLINICS", "", "Reminders by", "text message:", "ask at the", "desk"),
        (170, 160, 150),
        (255, 255, 255),
    ),
)


def write(folder: Path) -> None:
    """Write all samples below `folder`."""
    for name, body in samples():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent)
