"""Be refused as any user is: root without the capabilities that let it read what it may not."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522  # linux/capability.h
_READS_EVERYTHING = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Within, this thread's file accesses are checked by their modes; for anybody but root they are anyway."""
    if os.geteuid() != 0:
        yield
        return
    before = _effective()
    _set_effective(before & ~_READS_EVERYTHING)
    try:
        yield
    finally:
        _set_effective(before)


def _effective() -> int:
    return int(_capabilities()[0].effective)


def _set_effective(wanted: int) -> None:
    data = _capabilities()
    data[0].effective = wanted
    _call("capset", data)


def _capabilities() -> "ctypes.Array[_Data]":
    data = (_Data * 2)()
    _call("capget", data)
    return data


def _call(name: str, data: "ctypes.Array[_Data]") -> None:
    header = _Header(_VERSION_3, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(ctypes.byref(header), ctypes.byref(data)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
