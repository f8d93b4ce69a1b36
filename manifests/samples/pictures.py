"""Pictures: opt-in screens as PNG, photographs as rows of pixels for the JPEG encoder."""

import zlib
from collections.abc import Iterator

import deflate
import font

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (255, 255, 255),
    (33, 37, 41),
    (108, 117, 125),
    (222, 226, 230),
    (13, 110, 253),
    (25, 135, 84),
    (248, 249, 250),
    (220, 53, 69),
)
WHITE, INK, GREY, LINE, BLUE, GREEN, PAPER, RED = range(8)


class Screen:
    """A canvas of palette indices."""

    def __init__(self, width: int, height: int, background: int = WHITE) -> None:
        self.width = width
        self.height = height
        self.rows = [bytearray([background]) * width for _ in range(height)]

    def box(self, left: int, top: int, width: int, height: int, colour: int) -> None:
        for y in range(max(top, 0), min(top + height, self.height)):
            right = min(left + width, self.width)
            self.rows[y][left:right] = bytes([colour]) * (right - left)

    def frame(self, left: int, top: int, width: int, height: int, colour: int) -> None:
        self.box(left, top, width, 2, colour)
        self.box(left, top + height - 2, width, 2, colour)
        self.box(left, top, 2, height, colour)
        self.box(left + width - 2, top, 2, height, colour)

    def text(self, left: int, top: int, words: str, colour: int = INK, size: int = 2) -> None:
        for index, char in enumerate(words):
            self._glyph(left + index * font.WIDTH * size, top, font.GLYPHS[char], colour, size)

    def _glyph(self, left: int, top: int, columns: bytes, colour: int, size: int) -> None:
        for x, column in enumerate(columns):
            for y in range(8):
                if column >> y & 1:
                    self.box(left + x * size, top + y * size, size, size, colour)

    def png(self) -> bytes:
        """A PNG of 8 bits and a palette."""
        raw = b"".join(b"\0" + bytes(row) for row in self.rows)
        header = self.width.to_bytes(4, "big") + self.height.to_bytes(4, "big") + b"\x08\x03\0\0\0"
        colours = b"".join(bytes(colour) for colour in PALETTE)
        body = deflate.compress(raw, self.width + 1)
        chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", body), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def opt_in(title: str, brand: str, lines: tuple[str, ...], button: str) -> bytes:
    """The screenshot of a form on which somebody agrees to receive messages."""
    screen = Screen(480, 640, PAPER)
    screen.box(0, 0, 480, 56, BLUE)
    screen.text(20, 20, brand, WHITE)
    screen.box(24, 80, 432, 520, WHITE)
    screen.frame(24, 80, 432, 520, LINE)
    screen.text(44, 104, title, INK, 3)
    screen.text(44, 152, "Mobile number", GREY)
    screen.frame(44, 176, 392, 44, GREY)
    screen.text(58, 190, "+1 555 0100")
    screen.frame(44, 248, 24, 24, GREEN)
    screen.box(50, 254, 12, 12, GREEN)
    for index, line in enumerate(lines):
        screen.text(80 if index < 2 else 44, 246 + index * 24, line, INK if index < 3 else GREY)
    screen.box(44, 532, 392, 44, GREEN)
    screen.text(60, 546, button, WHITE)
    return screen.png()


def photograph(seed: int, words: tuple[str, ...], *, wall: Colour, paper: Colour) -> list[list[Colour]]:
    """A sheet of paper on a desk, unevenly lit and a little grainy, as a telephone takes it."""
    grain = _grain(seed)
    sheet = Screen(320, 240, WHITE)
    sheet.box(60, 28, 200, 184, LINE)
    for index, line in enumerate(words):
        sheet.text(72, 44 + index * 22, line, INK)
    picture: list[list[Colour]] = []
    for y, row in enumerate(sheet.rows):
        picture.append([_lit(value, x, y, grain, wall, paper) for x, value in enumerate(row)])
    return picture


def _grain(state: int) -> Iterator[int]:
    """0, 1 or 2, without end: spelt out, so that no version of Python draws other numbers."""
    while True:
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        yield (state >> 16) % 3


def _lit(value: int, x: int, y: int, grain: Iterator[int], wall: Colour, paper: Colour) -> Colour:
    base = {WHITE: wall, LINE: paper, INK: (40, 40, 52)}[value]
    light = 70 + (320 - x) * 20 // 320 + (240 - y) * 10 // 240 + next(grain)
    red, green, blue = (min(255, channel * light // 100) for channel in base)
    return red, green, blue
