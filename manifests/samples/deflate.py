"""A small zlib: the same bytes on every machine, which the real one does not promise between its versions."""

import zlib

# The shortest length, the symbol and the extra bits of each row of RFC 1951's table of lengths.
_LENGTHS = [(3 + i, 257 + i, 0) for i in range(8)]
_LENGTHS += [(3 + ((4 + i % 4) << i // 4 + 1), 265 + i, i // 4 + 1) for i in range(20)]
_LONGEST = 257


class _Bits:
    def __init__(self) -> None:
        self.out = bytearray()
        self._held = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        self._held |= value << self._count
        self._count += count
        while self._count >= 8:
            self.out.append(self._held & 255)
            self._held >>= 8
            self._count -= 8

    def code(self, value: int, count: int) -> None:
        """Huffman codes go in with their highest bit first."""
        self.put(int(f"{value:0{count}b}"[::-1], 2), count)

    def finish(self) -> bytes:
        self.put(0, -self._count % 8)
        return bytes(self.out)


def _symbol(bits: _Bits, symbol: int) -> None:
    if symbol < 144:
        bits.code(0x30 + symbol, 8)
    elif symbol < 256:
        bits.code(0x190 + symbol - 144, 9)
    elif symbol < 280:
        bits.code(symbol - 256, 7)
    else:
        bits.code(0xC0 + symbol - 280, 8)


def _match(bits: _Bits, length: int, distance: int) -> None:
    base, symbol, extra = next(row for row in reversed(_LENGTHS) if row[0] <= length)
    _symbol(bits, symbol)
    bits.put(length - base, extra)
    base, code, extra = 1, 0, 0
    while distance >= base + (1 << extra):
        base += 1 << extra
        code += 1
        extra = max(0, code // 2 - 1)
    bits.code(code, 5)
    bits.put(distance - base, extra)


def _run(data: bytes, at: int, distance: int) -> int:
    if distance > at:
        return 0
    length = 0
    while length < _LONGEST and at + length < len(data) and data[at + length] == data[at + length - distance]:
        length += 1
    return length


def compress(data: bytes, stride: int) -> bytes:
    """A zlib stream in one block of fixed codes, with repeats of the last byte and of the last row (`stride`)."""
    bits = _Bits()
    bits.put(0b011, 3)
    at = 0
    while at < len(data):
        length, distance = max((_run(data, at, stride), stride), (_run(data, at, 1), 1))
        if length >= 4:
            _match(bits, length, distance)
            at += length
        else:
            _symbol(bits, data[at])
            at += 1
    _symbol(bits, 256)
    return b"\x78\x01" + bits.finish() + zlib.adler32(data).to_bytes(4, "big")
