"""segment -> frames: a slow reader of docs/segment.md, written from that page alone and to be read beside it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTIZED, INTEGERS, SETS = 0, 1, 2
SHIFTS = [1, 2, 2, 3, 3, 3] + 6 * [4] + 16 * [5] + [6]
WORD = 0xFFFFFFFF


class RefusedError(Exception):
    """The bytes are no segment that the page describes."""


def need(holds: bool, what: str) -> None:
    """Refuse, and say which rule is broken, where it does not hold."""
    if not holds:
        raise RefusedError(what)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def signed(word: int) -> int:
    """A number modulo 2^32 as int32."""
    return (word & WORD ^ 1 << 31) - (1 << 31)


@dataclass(frozen=True)
class Segment:
    """What the bytes say. size: bytes of the segment, behind which others may lie."""

    version: int
    bits: int
    group_len: int
    tensor_len: int
    frame_count: int
    kind: int
    flags: int
    block_frames: int
    scales: NDArray[np.float32]
    data: bytes
    block_ends: tuple[int, ...]
    size: int

    @property
    def qmax(self) -> int:
        return (1 << self.bits - 1) - 1

    def rows(self, start: int = 0, stop: int | None = None) -> list[list[int]]:
        """Frames start .. stop - 1: codes - qmax, integers, or ascending indices."""
        stop = self.frame_count if stop is None else stop
        if self.version == 1:
            return [self._packed(frame) for frame in range(start, stop)]
        out: list[list[int]] = []
        for block in range(start // self.block_frames, ceil_div(stop, self.block_frames)):
            first = block * self.block_frames
            frames = self._block(block)
            for i in range(first, min(first + self.block_frames, stop)):
                row = next(frames)
                if i >= start:
                    out.append(row)
        return out

    def values(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """float32 (frames, tensor_len): integers as they are, quantized times their scale."""
        rows = np.array(self.rows(start, stop), np.int64).reshape(-1, self.tensor_len)
        if self.kind == INTEGERS:
            return rows.astype(np.float32)
        group = np.arange(self.tensor_len) // self.group_len
        with np.errstate(over="ignore"):
            return rows.astype(np.float32) * self.scales[group]

    def _packed(self, frame: int) -> list[int]:
        size = ceil_div(self.tensor_len * self.bits, 8)
        number = int.from_bytes(self.data[frame * size : (frame + 1) * size], "little")
        mask = (1 << self.bits) - 1
        return [(number >> i * self.bits & mask) - self.qmax for i in range(self.tensor_len)]

    def _block(self, block: int) -> Iterator[list[int]]:
        begin = self.block_ends[block - 1] if block else 0
        coder = Coder(self.data[begin : self.block_ends[block]])
        return sets(coder, self.tensor_len) if self.kind == SETS else numbers(coder, self)


def read(data: bytes) -> Segment:
    """The segment at the front of `data`. Raises: RefusedError."""
    need(len(data) >= 5, "the head is cut")
    need(data[:4] == b"TQTC", "magic")
    need(data[4] in (1, 2), f"version {data[4]}")
    need(len(data) >= 22, "the head is cut")
    version, bits, group_len, tensor_len, frame_count, scale_count = struct.unpack_from("<BBIIII", data, 4)
    kind = flags = 0
    block_frames = 1
    at = 22
    if version == 2:
        need(len(data) >= 30, "the head is cut")
        kind, flags, block_frames, data_len = struct.unpack_from("<BBHI", data, 22)
        need(kind <= SETS, "kind")
        need(flags <= 3 and not (flags & 1 and kind), "flags")
        need(block_frames >= 1, "block_frames")
        at = 30
    need(tensor_len >= 1 and (version == 1 or tensor_len <= 1 << 28), "tensor_len")
    if kind == QUANTIZED:
        need(2 <= bits <= 8, "bits")
        need(group_len >= 1, "group_len")
        need(scale_count == ceil_div(tensor_len, group_len), "scale_count")
    else:
        need(bits == group_len == scale_count == 0, "this kind has no scales")

    scale_bytes = scale_count * (4 if flags & 1 else 2)
    need(len(data) >= at + scale_bytes, "the scales are cut")
    scales = np.frombuffer(data, "<f4" if flags & 1 else "<f2", scale_count, at).astype(np.float32)
    need(bool(np.all(np.isfinite(scales)) and not np.any(np.signbit(scales))), "a scale is negative or not finite")
    at += scale_bytes

    ends: tuple[int, ...] = ()
    if version == 1:
        need(len(data) >= at + 4, "data_len is cut")
        (data_len,) = struct.unpack_from("<I", data, at)
        at += 4
        need(data_len == frame_count * ceil_div(tensor_len * bits, 8), "data_len")
        need(len(data) >= at + data_len, "the data is cut")
        size = at + data_len
    else:
        blocks = ceil_div(frame_count, block_frames)
        size = at + data_len + 4 * blocks + 4
        need(len(data) >= size, "the data, index or crc is cut")
        coded = frame_count * (1 if kind == SETS else tensor_len)
        need(coded <= 8192 * (data_len + 16 * blocks), "more frames than the data can hold")
        ends = struct.unpack_from(f"<{blocks}I", data, at + data_len)
        need(list(ends) == sorted(ends) and (ends[-1] if ends else 0) == data_len, "index")
        need(struct.unpack_from("<I", data, size - 4)[0] == zlib.crc32(data[: size - 4]), "crc")
    body = data[at : at + data_len]
    return Segment(
        version, bits, group_len, tensor_len, frame_count, kind, flags, block_frames, scales, body, ends, size
    )


@dataclass
class Context:
    """A probability that learns."""

    one: int = 0x8000
    uses: int = 0

    def learn(self, bit: int) -> None:
        shift = SHIFTS[min(self.uses, len(SHIFTS) - 1)]
        self.one += (65535 - self.one) >> shift if bit else -(self.one >> shift)
        self.uses += 1


Contexts = dict[Any, Context]


class Coder:
    """The decoder of one block. Contexts are found by name and made when first used."""

    def __init__(self, data: bytes) -> None:
        self.rest = iter(data)
        self.range = WORD
        self.code = 0
        for _ in range(4):
            self._byte()

    def _byte(self) -> None:
        self.code = (self.code << 8 | next(self.rest, 0)) & WORD

    def _settle(self) -> None:
        while self.range < 1 << 24:
            self.range = self.range << 8
            self._byte()

    def bit(self, contexts: Contexts, name: Any) -> int:
        context = contexts.setdefault(name, Context())
        bound = (self.range >> 16) * context.one
        if self.code < bound:
            bit, self.range = 1, bound
        else:
            bit, self.range = 0, self.range - bound
            self.code -= bound
        context.learn(bit)
        self._settle()
        return bit

    def direct(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        number = 0
        for _ in range(count):
            self.range >>= 1
            bit = self.code < self.range
            if not bit:
                self.code -= self.range
            number = number << 1 | bit
            self._settle()
        return number

    def number(self, contexts: Contexts, classes: Any, last: int, mantissas: Any) -> int:
        """n >= 1, of at most 32 bits."""
        length = 1
        while length < 32 and self.bit(contexts, (classes, min(length, last))):
            length += 1
        c, n, below = min(length, 15), 1, length - 1
        if below >= 1:
            first = self.bit(contexts, (mantissas, 3 * c))
            n = 2 | first
        if below >= 2:
            n = n << 1 | self.bit(contexts, (mantissas, 3 * c + 1 + first))
            n = n << below - 2 | self.direct(below - 2)
        return n


@dataclass
class Learned:
    """What a plain frame makes fresh."""

    activity: list[int]
    contexts: Contexts = field(default_factory=dict)
    errors: list[int] = field(default_factory=lambda: [0, 0, 0])


def numbers(coder: Coder, segment: Segment) -> Iterator[list[int]]:
    """The frames of a block of quantized values or integers."""
    quantized = segment.kind == QUANTIZED
    begin = 16 * (segment.qmax // 3).bit_length() if quantized else 128
    frame = [0] * segment.tensor_len
    block: Contexts = {}
    learned = Learned([begin] * segment.tensor_len)
    while True:
        if coder.bit(block, "plain"):
            learned = Learned([begin] * segment.tensor_len)
            if quantized:
                frame = [coder.direct(segment.bits) - segment.qmax for _ in frame]
            else:
                frame = [signed(coder.direct(32)) for _ in frame]
        else:
            frame = predicted(coder, learned, frame, 17 if quantized else 31)
        need(not quantized or max(map(abs, frame)) <= segment.qmax, "a code is out of range")
        yield frame


def predicted(coder: Coder, learned: Learned, before: list[int], levels: int) -> list[int]:
    """A frame whose values are coded as residuals."""
    contexts, activity, errors = learned.contexts, learned.activity, learned.errors
    frame: list[int] = []
    left = 0
    for i in range(len(before)):
        predictions = [before[i], 0, frame[i - 1] if i else 0]
        best = 1 if errors[1] < errors[0] else 0
        best = 2 if errors[2] < errors[best] else best
        prediction = predictions[best]
        level = min((activity[i] + 4) // 8, levels - 1)

        size = 0
        residual = 0
        if coder.bit(contexts, ("zero", 3 * level + left)):
            size = coder.number(contexts, ("classes", level // 2), 15, "mantissas")
            sign = 1 if prediction > 0 else 2 if prediction < 0 else 0
            residual = -size if coder.bit(contexts, ("sign", sign)) else size
        value = signed(prediction + residual)
        left = min(size, 2)
        goal = 16 * min(size.bit_length(), 15)
        away = ceil_div(abs(goal - activity[i]), 4)
        activity[i] += away if goal > activity[i] else -away
        for k in range(3):
            missed = min(abs(signed(value - predictions[k])), 65535)
            errors[k] += (missed << 8) - (errors[k] >> 7)
        frame.append(value)
    return frame


def sets(coder: Coder, tensor_len: int) -> Iterator[list[int]]:
    """The sets of a block."""
    block: Contexts = {}
    contexts: Contexts = {}
    frame: list[int] = []
    while True:
        if coder.bit(block, "plain"):
            contexts = {}
            frame = [i for i in range(tensor_len) if coder.direct(1)]
        else:
            frame = coded_set(coder, contexts, frame, tensor_len)
        yield frame


def coded_set(coder: Coder, contexts: Contexts, before: list[int], tensor_len: int) -> list[int]:
    """A set by its count, then its bitmap or its gaps."""
    count = len(before)
    if coder.bit(contexts, "same"):
        lower = coder.bit(contexts, "lower")
        difference = coder.number(contexts, "count classes", 32, "gap mantissas")
        count = (count - difference if lower else count + difference) & WORD
        need(count <= tensor_len, "a count is out of range")
    frame: list[int] = []
    if count and coder.bit(contexts, "dense"):
        was = set(before)
        inside = 0
        for i in range(tensor_len):
            inside = coder.bit(contexts, ("cell", 2 * (i in was) + inside))
            if inside:
                frame.append(i)
        need(len(frame) == count, "a bitmap has another count")
    elif count:
        may_come = 0
        for _ in range(count):
            index = may_come + coder.number(contexts, "gap classes", 32, "gap mantissas") - 1
            need(index < tensor_len, "an index is out of range")
            frame.append(index)
            may_come = index + 1
    return frame
