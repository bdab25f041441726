"""image (- installed image) <-> transfer: what goes over the wire. `docs/transfer.md`; the C core codes it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espike_sim.core import error_name, ffi, lib
from espike_sim.errors import EspikeError

from . import row_codecs
from .image import HEADER_BYTES as IMAGE_HEADER_BYTES

SUFFIX = ".spt"
HEADER_BYTES = 40
PIECE_BYTES = 1024
COPY = 4
_LOW, _GAP, _WEIGHT, _CODE = range(4)
"""Kinds of literals: they only choose a context, so any choice is right, and a good one small."""
_SEARCHED_BYTES = 1 << 23
"""Larger images are compared with their base in place only."""
_UNIT = 32

Kinds = NDArray[np.uint8]


@dataclass(frozen=True)
class Header:
    """A transfer's header, field by field."""

    image_bytes: int
    image_crc: int
    first: int
    base_bytes: int
    base_crc: int
    payload_bytes: int
    payload_crc: int


def image_crc(image: bytes) -> int:
    """The CRC in an image's header, which names it on boards."""
    return int(struct.unpack_from("<I", image, 12)[0])


def read_header(data: bytes, where: str = "") -> Header:
    """A transfer's header, checked. Raises: EspikeError."""
    header = ffi.new("spk_transfer_header_t *")
    error = lib.spk_transfer_read_header(header, data) if len(data) >= HEADER_BYTES else lib.SPK_ERROR_TRUNCATED
    if error < 0:
        what = (
            "is no transfer" if error == lib.SPK_ERROR_MAGIC else f"cannot be read as a transfer: {error_name(error)}"
        )
        raise EspikeError(what, where=where, do="make it again: espike export transfer")
    return Header(*(int(getattr(header, name)) for name in Header.__dataclass_fields__))


def encode(image: bytes, base: bytes | None = None, *, first: int = 0) -> bytes:
    """The transfer of an image's bytes from `first` (a multiple of 4) on, as the difference to `base` where given."""
    kinds, deltas = _kinds(image), np.zeros(len(image), np.int32)
    if base:
        _copies(np.frombuffer(image, np.uint8), np.frombuffer(base, np.uint8), kinds, deltas)
    header = ffi.new("spk_transfer_header_t *")
    header.image_bytes, header.image_crc, header.first = len(image), image_crc(image), first
    header.base_bytes, header.base_crc = (len(base), image_crc(base)) if base else (0, 0)
    out = ffi.new("uint8_t[]", HEADER_BYTES + len(image) + len(image) // 4 + 64)
    memory = ffi.new("uint64_t[]", lib.spk_transfer_memory_bytes() // 8)
    count = lib.spk_transfer_encode(
        header, image, base or ffi.NULL, ffi.from_buffer("uint8_t[]", kinds), ffi.from_buffer("int32_t[]", deltas),
        memory, out, len(out),
    )  # fmt: skip
    if count < 0:
        raise EspikeError(f"cannot be coded: {error_name(count)}")
    return bytes(ffi.buffer(out, count))


def expand(data: bytes, base: bytes | None = None, *, where: str = "") -> bytes:
    """What a transfer makes: image bytes from its `first` on. Raises: EspikeError: damaged, or of another base."""
    header = read_header(data, where)
    if header.base_bytes and (base is None or (len(base), image_crc(base)) != (header.base_bytes, header.base_crc)):
        raise EspikeError("is the difference to another image", where=where, do="give the image it was made from")
    out = bytearray()

    def write(_: object, offset: int, piece: object, count: int) -> int:
        out.extend(ffi.buffer(piece, count))
        return 0

    def read_base(_: object, offset: int, piece: object, count: int) -> None:
        ffi.buffer(piece, count)[:] = (base or b"")[offset : offset + count]

    put = ffi.callback("int(void *, uint32_t, const uint8_t *, uint32_t)", write)
    get = ffi.callback("void(void *, uint32_t, uint8_t *, uint32_t)", read_base)
    ends = ffi.new("spk_transfer_ends_t *", {"write": put, "read_base": get})
    checked = ffi.new("spk_transfer_header_t *")
    lib.spk_transfer_read_header(checked, data)
    memory = ffi.new("uint64_t[]", lib.spk_transfer_memory_bytes() // 8)
    transfer = lib.spk_transfer_begin(memory, checked, ends)
    payload, result = data[HEADER_BYTES:], 0
    for at in range(0, max(len(payload), 1), PIECE_BYTES):
        piece = payload[at : at + PIECE_BYTES]
        result = lib.spk_transfer_push(transfer, piece, len(piece), 0xFFFFFFFF)
        if result < 0:
            break
    if result < 0 or not lib.spk_transfer_is_done(transfer):
        raise EspikeError("is damaged or cut short", where=where, do="make it again: espike export transfer")
    return bytes(out)


def _words(image: bytes, offset: int, count: int) -> NDArray[np.uint32]:
    return np.frombuffer(image, "<u4", count, offset).astype(np.uint32)


def _kinds(image: bytes) -> Kinds:
    """uint8 (image_bytes,): what each byte is, as far as its place tells."""
    kinds = np.zeros(len(image), np.uint8)
    projections, at = (int(x) for x in (_words(image, 32, 1)[0], _words(image, 44, 1)[0]))
    size = {1: 1, 2: 2, 3: 4}.get(image[16], 1)
    if at + projections * 48 <= len(image) and at >= IMAGE_HEADER_BYTES:
        for record in _words(image, at, projections * 12).reshape(-1, 12).astype(np.int64):
            _mark_rows(image, kinds, record, size)
    return kinds


def _mark_rows(image: bytes, kinds: Kinds, record: NDArray[np.int64], size: int) -> None:
    codec, log2 = int(record[1]) & 0xFF, int(record[1]) >> 16 & 0xFF
    data, count = int(record[6]), int(record[7])
    lead, period = _pattern(codec, size)
    if codec in (row_codecs.PROCEDURAL, row_codecs.PLASTIC) or data + count > len(image):
        return
    if codec in row_codecs.DENSES:
        kinds[data : data + count] = np.resize(np.array(period, np.uint8), count)
        if codec == row_codecs.DENSE_VECTORS:
            kinds[int(record[10]) : int(record[10]) + row_codecs.vector_book_bytes(int(record[11]))] = _WEIGHT
        return
    rows = int(record[11] if codec in row_codecs.SHAREDS else record[3])
    offsets = np.frombuffer(image, "<u2", rows + 1, int(record[5])).astype(np.int64)
    bases = _words(image, int(record[4]), (rows >> log2) + 1).astype(np.int64)
    kinds[int(record[5]) : int(record[5]) + 2 * (rows + 1)] = np.resize(
        np.array([_LOW, _CODE], np.uint8), 2 * (rows + 1)
    )
    starts = bases[np.arange(rows + 1) >> log2] + offsets
    block = max(1, (1 << 20) * rows // max(count, 1))
    for first in range(0, rows, block):
        _mark(image, kinds, data, starts[first : min(first + block, rows) + 1], lead, period, _varint_led(codec))


def _varint_led(codec: int) -> bool:
    return codec in (row_codecs.D8W4, row_codecs.B53, row_codecs.B62)


def _mark(
    image: bytes, kinds: Kinds, data: int, starts: NDArray[np.int64], lead: list[int], period: list[int], varint: bool
) -> None:
    """Some rows: what leads them, then a pattern over and over; a varint in front is one byte longer per bit 7."""
    begin, end = data + int(starts[0]), data + int(starts[-1])
    if not 0 <= begin <= end <= len(kinds) or (np.diff(starts) < 0).any():
        return
    lengths = np.diff(starts)
    place = np.arange(end - begin) - np.repeat(starts[:-1] - starts[0], lengths)
    leads = np.full(len(lengths), len(lead), np.int64)
    if varint:
        heads = np.frombuffer(image, np.uint8)[np.minimum(data + starts[:-1], len(image) - 1)]
        leads += heads >> 7
    led = np.repeat(leads, lengths)
    repeated = np.array(period, np.uint8)[(place - led) % len(period)]
    leading = np.array([*lead, _LOW], np.uint8)[np.minimum(place, len(lead))]
    kinds[begin:end] = np.where(place < led, leading, repeated)


def _pattern(codec: int, size: int) -> tuple[list[int], list[int]]:
    """Kinds of the bytes that lead a row, and of those that repeat (docs/image.md, rows); size: bytes of a weight."""
    weight = {1: [_WEIGHT], 2: [_LOW, _WEIGHT], 4: [_LOW, _LOW, _CODE, _WEIGHT]}[size]
    one = weight if size > 1 else [_LOW, _WEIGHT]
    target = [_LOW, _CODE]
    return {
        row_codecs.D8: ([*target, *weight], [_GAP, *weight]),
        row_codecs.D8_UNIFORM: ([*one, *target], [_GAP]),
        row_codecs.WIDE_UNIFORM: (one, [_GAP]),
        row_codecs.U16: ([], [*target, *weight]),
        row_codecs.U16_UNIFORM: (one, target),
        row_codecs.DENSE: ([], weight),
        row_codecs.D8W4: ([_LOW], [_GAP, _GAP, _CODE]),
        row_codecs.B53: ([_LOW], [_CODE]),
        row_codecs.B62: ([_LOW], [_CODE]),
        row_codecs.TERNARY: (one, [_GAP]),
        row_codecs.SHARED: ([*one, *target], [_GAP]),
        row_codecs.SHARED_WEIGHTED: ([*target, *target, *weight], [_GAP, *weight]),
        row_codecs.WIDE: ([], [_GAP]),
    }.get(codec, ([], [_CODE]))


def _copies(image: Kinds, base: Kinds, kinds: Kinds, deltas: NDArray[np.int32]) -> None:
    """Mark what is as in the base, in units: while half a unit agrees it stays in step, else it is searched."""
    windows, order = _windows(base) if max(len(image), len(base)) <= _SEARCHED_BYTES else (None, None)
    delta = 0
    for at in range(0, len(image), _UNIT):
        unit = image[at : at + _UNIT]
        equal = _equal(unit, base, at + delta)
        if 2 * equal.sum() < len(unit) and windows is not None and order is not None and len(unit) == _UNIT:
            found = _search(unit, windows, order, at + delta)
            if found is not None and 2 * _equal(unit, base, found).sum() >= len(unit):
                delta = found - at
                equal = _equal(unit, base, found)
        if 2 * equal.sum() >= len(unit):
            kinds[at : at + _UNIT][equal] = COPY
            deltas[at : at + _UNIT] = delta


def _equal(unit: Kinds, base: Kinds, begin: int) -> NDArray[np.bool_]:
    """bool (unit,): bytes that are as in the base from `begin` on."""
    equal = np.zeros(len(unit), np.bool_)
    low, high = max(begin, 0), min(begin + len(unit), len(base))
    if low < high:
        equal[low - begin : high - begin] = unit[low - begin : high - begin] == base[low:high]
    return equal


def _windows(base: Kinds) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Every 8 bytes of the base as a number, ascending, and where they begin."""
    if len(base) < 8:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    values = np.lib.stride_tricks.sliding_window_view(base, 8)
    numbers = np.ascontiguousarray(values).view("<u8").ravel()
    order = np.argsort(numbers, kind="stable")
    return numbers[order], order


def _search(unit: Kinds, windows: NDArray[np.uint64], order: NDArray[np.int64], near: int) -> int | None:
    """Where the base has the unit's first, middle or last 8 bytes, nearest to `near`; as the unit's begin."""
    for inside in (0, 12, _UNIT - 8):
        number = unit[inside : inside + 8].copy().view("<u8")[0]
        low, high = np.searchsorted(windows, number, "left"), np.searchsorted(windows, number, "right")
        if low < high:
            places = order[low : min(high, low + 64)] - inside
            return int(places[np.abs(places - near).argmin()])
    return None
