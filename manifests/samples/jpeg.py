"""A small baseline JPEG encoder: three components, no subsampling, whole numbers only, so the same bytes everywhere."""

import math
from collections.abc import Sequence

Pixel = tuple[int, int, int]

_ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
_SCALE = 1 << 12
_COS = [
    [round(_SCALE * (math.sqrt(0.125) if u == 0 else 0.5) * math.cos((2 * x + 1) * u * math.pi / 16)) for x in range(8)]
    for u in range(8)
]
_QUANTA = [8 + 3 * (i // 8 + i % 8) for i in range(64)]

# Any prefix code will do: short ones for what comes often, one length for the rest.
_DC_CODES = {symbol: (symbol, 4) for symbol in range(12)}
_OFTEN = (0x00, 0x01, 0x02, 0x11)
_SELDOM = (0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11) if (run << 4 | size) not in _OFTEN))
_AC_CODES = {symbol: (index, 3) for index, symbol in enumerate(_OFTEN)} | {
    symbol: ((len(_OFTEN) << 6) + index, 9) for index, symbol in enumerate(_SELDOM)
}


class _Bits:
    def __init__(self) -> None:
        self.out = bytearray()
        self._held = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        self._held = self._held << count | value
        self._count += count
        while self._count >= 8:
            self._count -= 8
            byte = self._held >> self._count & 255
            self.out += bytes((byte, 0)) if byte == 255 else bytes((byte,))
        self._held &= (1 << self._count) - 1

    def number(self, value: int, size: int) -> None:
        """A number whose size was told before. Negative ones count up from the lowest of their size; 0 has no bits."""
        self.put(value if value >= 0 else value + (1 << size) - 1, size)


def _transformed(block: Sequence[int]) -> list[int]:
    rows = [[sum(map(int.__mul__, cosines, block[y * 8 : y * 8 + 8])) for cosines in _COS] for y in range(8)]
    columns = list(zip(*rows, strict=True))
    total = _SCALE * _SCALE
    values = [sum(map(int.__mul__, cosines, column)) for cosines in _COS for column in columns]
    return [
        (abs(value) + quantum * total // 2) // (quantum * total) * (1 if value > 0 else -1)
        for value, quantum in zip(values, _QUANTA, strict=True)
    ]


def _encode(bits: _Bits, block: Sequence[int], previous: int) -> int:
    values = _transformed(block)
    difference = values[0] - previous
    size = abs(difference).bit_length()
    bits.put(*_DC_CODES[size])
    bits.number(difference, size)
    run = 0
    last = max((at for at in range(64) if values[_ZIGZAG[at]]), default=0)
    for at in range(1, last + 1):
        value = values[_ZIGZAG[at]]
        if not value:
            run += 1
            continue
        for _ in range(run // 16):
            bits.put(*_AC_CODES[0xF0])
        size = abs(value).bit_length()
        bits.put(*_AC_CODES[run % 16 << 4 | size])
        bits.number(value, size)
        run = 0
    if last < 63:
        bits.put(*_AC_CODES[0])
    return values[0]


def _components(pixel: Pixel) -> tuple[int, int, int]:
    r, g, b = pixel
    y = (299 * r + 587 * g + 114 * b) // 1000
    return y - 128, (b - y) * 564 // 1000, (r - y) * 713 // 1000


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _huffman(identifier: int, codes: dict[int, tuple[int, int]]) -> bytes:
    ordered = sorted(codes, key=lambda symbol: (codes[symbol][1], codes[symbol][0]))
    counts = bytes(sum(1 for _, length in codes.values() if length == wanted) for wanted in range(1, 17))
    return _segment(0xC4, bytes((identifier,)) + counts + bytes(ordered))


def encode(pixels: Sequence[Sequence[Pixel]]) -> bytes:
    """A JPEG file of rows of (red, green, blue). Both sides must be multiples of 8."""
    height, width = len(pixels), len(pixels[0])
    planes = [[_components(pixel) for pixel in row] for row in pixels]
    bits, previous = _Bits(), [0, 0, 0]
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            tile = [value for row in planes[top : top + 8] for value in row[left : left + 8]]
            for index in range(3):
                previous[index] = _encode(bits, [value[index] for value in tile], previous[index])
    bits.put(0x7F, 7)
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, b"\0" + bytes(_QUANTA[i] for i in _ZIGZAG)),
            _segment(0xC0, frame + b"\x03" + b"".join(bytes((i, 0x11, 0)) for i in (1, 2, 3))),
            _huffman(0x00, _DC_CODES),
            _huffman(0x10, _AC_CODES),
            _segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0"),
            bytes(bits.out),
            b"\xff\xd9",
        )
    )
