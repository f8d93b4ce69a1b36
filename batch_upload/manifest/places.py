"""Where the keys of a mapping stand, in little memory: a manifest may have a million of them."""

from array import array
from collections.abc import Iterator, Mapping, Sequence

from batch_upload.model import Position

_NUMBERS = "I"


class Places(Mapping[str, Position]):
    """Positions by key, in the order they were read. The keys are shared between mappings that have the same."""

    __slots__ = ("_keys", "_numbers")

    def __init__(self, keys: tuple[str, ...], numbers: Sequence[int]) -> None:
        """`numbers`: a line and a column for each key, all in a row."""
        self._keys = keys
        self._numbers = array(_NUMBERS, numbers).tobytes()

    def __getitem__(self, key: str) -> Position:
        if key not in self._keys:
            raise KeyError(key)
        at = 2 * self._keys.index(key)
        line, column = array(_NUMBERS, self._numbers)[at : at + 2]
        return Position(line, column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Places({dict(self)})"
