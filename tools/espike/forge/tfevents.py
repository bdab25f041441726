"""scalars -> TensorBoard's event file: TFRecords of the few protobuf fields that a scalar needs, written by hand.

A record is: length (uint64), its masked CRC-32C, the event, the event's masked CRC-32C; little-endian throughout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from espike_sim.errors import EspikeError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK = 0xA282EAD8


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """CRC-32C as a TFRecord keeps it: rotated right by 15, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@dataclass(frozen=True)
class Scalar:
    """A value (float32 in the file) of a name at a step."""

    tag: str
    step: int
    value: float


def write(scalars: list[Scalar], time_s: float) -> bytes:
    """An event file, all events at the one time."""
    version = _event(time_s, 0, _field(3, _BYTES, b"brain.Event:2"))
    return _record(version) + b"".join(_record(_event(time_s, s.step, _summary(s))) for s in scalars)


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked(length)) + event + struct.pack("<I", masked(event))


def _event(time_s: float, step: int, what: bytes) -> bytes:
    """Event: wall_time = 1, step = 2, then file_version = 3 or summary = 5."""
    return _field(1, _FIXED64, struct.pack("<d", time_s)) + _field(2, _VARINT, _varint(step)) + what


def _summary(scalar: Scalar) -> bytes:
    """Summary in an Event: value = 1 { tag = 1, simple_value = 2 }."""
    value = _field(1, _BYTES, scalar.tag.encode()) + _field(2, _FIXED32, struct.pack("<f", scalar.value))
    return _field(5, _BYTES, _field(1, _BYTES, value))


def _field(number: int, kind: int, data: bytes) -> bytes:
    return _varint(number << 3 | kind) + (_varint(len(data)) if kind == _BYTES else b"") + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def read(data: bytes, where: str = "events") -> list[Scalar]:
    """The scalars of an event file. Raises: EspikeError where a record is cut off or damaged."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 12]
        length = int.from_bytes(head[:8], "little")
        event, crc = data[at + 12 : at + 12 + length], data[at + 12 + length : at + 16 + length]
        whole = len(head) == 12 and len(crc) == 4
        if not whole or struct.pack("<2I", masked(head[:8]), masked(event)) != head[8:] + crc:
            raise EspikeError(f"record at byte {at} is damaged", where=where)
        found += list(_scalars(event))
        at += 16 + length
    return found


def _scalars(event: bytes) -> Iterator[Scalar]:
    fields = dict(_fields(event))
    for number, summary in _fields(event):
        if number == 5 and isinstance(summary, bytes):
            for _, value in _fields(summary):
                assert isinstance(value, bytes)
                own = dict(_fields(value))
                tag, number32, step = own[1], own[2], fields.get(2, 0)
                assert isinstance(tag, bytes)
                assert isinstance(number32, bytes)
                assert isinstance(step, int)
                yield Scalar(tag.decode(), step, struct.unpack("<f", number32)[0])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a message: integers of varints, bytes of all others."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind, 0)
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        yield key >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
