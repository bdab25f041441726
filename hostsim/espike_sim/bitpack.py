"""codes of 1 to 8 bits <-> bytes without a gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .core import ffi, lib
from .errors import EspikeError

U8 = NDArray[np.uint8]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take. Raises: EspikeError where bits is not 1..8."""
    _check_bits(bits)
    return (count * bits + 7) // 8


def pack_bits(codes: U8, bits: int) -> U8:
    """uint8 (codes,), each below 2^bits -> uint8 (packed_bytes,): the first code in the lowest bits.

    Raises: EspikeError where bits is not 1..8 or a code does not fit.
    """
    _check_bits(bits)
    flat = np.asarray(codes).reshape(-1).astype(np.uint8)
    if not np.array_equal(flat, np.asarray(codes).reshape(-1)) or (len(flat) and int(flat.max()) >> bits):
        raise EspikeError(f"a code does not fit {bits} bits")
    out = np.zeros(packed_bytes(len(flat), bits), np.uint8)
    lib.spk_pack_bits(ffi.cast("uint8_t *", out.ctypes.data), ffi.cast("uint8_t *", flat.ctypes.data), len(flat), bits)
    return out


def unpack_bits(data: U8 | bytes | bytearray | memoryview, count: int, bits: int) -> U8:
    """The first `count` codes of packed bytes -> uint8 (count,).

    Raises: EspikeError where bits is not 1..8 or there are too few bytes.
    """
    need = packed_bytes(count, bits)
    source = np.frombuffer(np.ascontiguousarray(data), np.uint8) if isinstance(data, np.ndarray) else data
    flat = np.frombuffer(source, np.uint8)
    if len(flat) < need:
        raise EspikeError(f"{count} codes of {bits} bits take {need} bytes, there are {len(flat)}")
    out = np.empty(count, np.uint8)
    lib.spk_unpack_bits(ffi.cast("uint8_t *", out.ctypes.data), ffi.cast("uint8_t *", flat.ctypes.data), count, bits)
    return out


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= 8:
        raise EspikeError(f"codes of {bits} bits cannot be packed", do="use 1 to 8")
