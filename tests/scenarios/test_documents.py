"""A corpus of documents as they are found in the wild: exactly the bad ones are refused, the others arrive whole."""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.support.batches import assert_each_once, jpeg, pdf, png, write_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

KB = 1_000
LIMIT = 500 * KB


def _noise(chance: random.Random, size: int) -> bytes:
    return chance.randbytes(size)


def _good(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in range(40):
        junk = _noise(chance, chance.choice((0, 1, 17, 512, 1_024))).replace(b"%PDF-", b"")
        yield f"letters/{number}.pdf", junk + pdf(f"letter {number}") + _noise(chance, chance.randrange(5_000))
        yield f"letters/{number} truncated.PDF", pdf(f"cut {number}")[: 9 + number]
        yield f"shots/{number}.png", png(str(number)) + _noise(chance, chance.randrange(5_000))
        yield f"photos/{number}.jpg", jpeg(str(number)) + _noise(chance, chance.randrange(5_000))
        yield f"photos/{number}.JpEg", b"\xff\xd8\xff\xdb" + _noise(chance, chance.randrange(1, 5_000))
    yield "exactly the limit.pdf", pdf("").ljust(LIMIT, b"x")
    yield "größe-ü-日本.png", png("in another script")


def _bad(chance: random.Random) -> Iterator[tuple[str, bytes, str]]:
    for number in range(5):
        yield f"bad/{number} large.pdf", pdf("").ljust(LIMIT + 1 + number, b"x"), "too-large"
        yield f"bad/{number}-late.pdf", b" " * (1_025 + number) + pdf("too far in"), "unsupported-type"
        yield f"bad/{number}.gif.png", b"GIF89a" + _noise(chance, 100), "unsupported-type"
        yield f"bad/{number}.jpg", png("not a JPEG"), "wrong-extension"
        yield f"bad/{number}.png", pdf("not a PNG"), "wrong-extension"
        yield f"bad/{number}.html.pdf", b"<!doctype html>\n<p>404</p>", "unsupported-type"
        yield f"bad/{number}-empty.pdf", b"", "empty"
        yield f"bad/{number}.tiff", pdf("an extension that is not taken"), "wrong-extension"
    yield "bad/half a signature.png", png("")[:5], "unsupported-type"


def test_exactly_the_documents_that_cannot_be_sent_are_refused_and_all_others_arrive_byte_for_byte(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    chance = random.Random(20_260_601)
    good = dict(_good(chance))
    bad = {name: (content, code) for name, content, code in _bad(chance)}
    mixed = write_batch(tmp_path, {**good, **{name: content for name, (content, _) in bad.items()}})

    refused = command.run("upload", mixed.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    endpoint.assert_untouched()
    batch = write_batch(tmp_path, good)
    ended = command.run("upload", batch.manifest, "--rate", "200", "--json", cwd=tmp_path, env=endpoint.env)

    assert refused.code == 21
    first_line = mixed.path.read_text(encoding="utf-8").split("\n").index("attachments:") + 2
    found = {list(mixed.documents)[each["line"] - first_line]: each["code"] for each in refused.of("problem")}
    assert found == {name: code for name, (_, code) in bad.items()}
    assert (ended.code, ended.states) == (0, {"complete": len(good)}), ended.stderr
    assert_each_once(endpoint, batch)
