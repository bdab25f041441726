"""network + room -> the largest network of its shape that fits, and the cheapest change that makes this one fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from espike_sim.core import ffi, lib
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from . import levels, rows, selftest, work
from . import row_codecs as codecs
from .image import Packed

SAMPLE_ROWS = 96
SCALE_MOST = 1 << 16
NEURONS_MOST = 1 << 24
GAPS = frozenset(range(codecs.D8, codecs.PLASTIC)) - {codecs.SHARED, codecs.PROCEDURAL, *codecs.DENSES}
"""Codecs whose rows grow with the gaps between their targets."""

Fits = Callable[[int, int], bool]
"""(bytes of RAM, bytes of the image) -> is there room?"""


@dataclass(frozen=True)
class Size:
    """A network of some shape, and what it needs."""

    neurons: int
    synapses: int
    ram_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class Change:
    """Options that make a network smaller, and what it needs then."""

    options: str
    ram_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class _Part:
    """One projection: rows to scale, or bytes that grow as the neurons do."""

    stored: int
    """Bytes of rows, index and codebook now."""
    is_fixed: bool
    sample: codecs.Synapses | None
    filled: float
    span: float


class Scaler:
    """A network whose areas all grow by one factor, fan-out and projections as they are.

    RAM is what the engine's own layout says. Flash is what the packer's codecs make of a sample of each projection's
    rows, their targets spread over the larger area: an estimate, held to the packed image where the factor is 1.
    """

    def __init__(self, q: QuantizedConnectome, packed: Packed, view: ImageView, optimize: str = "size") -> None:
        self._view, self._optimize, self._precision = view, optimize, q.precision
        self._sizes, self._synapses = packed.sizes, q.synapses
        self._counts = np.array([area.count for area in q.areas], np.int64)
        records = work.words(view.view.projections, int(view.view.projection_count), work.PROJECTION_WORDS)
        order = sorted(range(len(q.projections)), key=lambda p: q.projections[p].source)
        self._parts = [_part(q, p, record) for p, record in zip(order, records, strict=True)]
        vectors = records[records[:, 1] & 255 == codecs.DENSE_VECTORS]
        self._books = sum(codecs.vector_book_bytes(int(word)) for word in vectors[:, 11])
        self._base = [self._rows_bytes(part, 1.0) for part in self._parts]
        self.at = cache(self._at)

    def _at(self, scale: float) -> Size:
        """What the network needs with `scale` times its neurons."""
        counts = np.maximum(np.round(self._counts * scale), 1).astype(np.int64)
        stored = sum(
            part.stored * self._rows_bytes(part, scale) / base if base else part.stored
            for part, base in zip(self._parts, self._base, strict=True)
        )
        sizes = self._sizes
        spare = sizes.get("rows", 0) + sizes.get("index", 0) - self._books - sum(part.stored for part in self._parts)
        grows = sizes.get("parameters", 0) + sizes.get("power", 0) + max(spare, 0)
        fixed = sum(sizes.get(name, 0) for name in ("header", "records", "meta", "test"))
        body = fixed + self._books + scale * grows + stored
        return Size(
            int(counts.sum()), round(self._synapses * scale), self._ram(counts, scale),
            int(np.ceil(body + 4 * np.ceil(body / 4096))),
        )  # fmt: skip

    def _ram(self, counts: NDArray[np.int64], scale: float) -> int:
        raw = ffi.new("spk_image_t *", self._view.view[0])
        areas = work.words(raw.areas, int(raw.area_count), work.AREA_WORDS).astype("<u4")
        projections = work.words(raw.projections, int(raw.projection_count), work.PROJECTION_WORDS)
        projections[:, 8] = np.round(projections[:, 8] * scale)
        kept = projections.astype("<u4")
        areas[:, 0] = counts
        raw.areas = ffi.cast("const uint32_t *", areas.ctypes.data)
        raw.projections = ffi.cast("const uint32_t *", kept.ctypes.data)
        raw.neuron_count = int(counts.sum())
        return int(lib.spk_engine_ram_bytes(raw))

    def _rows_bytes(self, part: _Part, scale: float) -> float:
        """Bytes of a projection's rows; up to a factor that `_base` takes out."""
        if part.is_fixed:
            return 1.0
        s = part.sample
        if s is None:
            return scale
        target = np.floor(s.target * scale).astype(np.int64)
        count = max(int(s.target_count * scale), int(target.max()) + 1)
        made = rows.encode(s.source, target, s.weight, count, self._precision, optimize=self._optimize, only=GAPS)
        filled, index = len(made.data) / SAMPLE_ROWS * part.filled, (2 + 4 / 32) * part.span
        return (filled * SAMPLE_ROWS / max(int(s.source[-1]) + 1, 1) + index) * scale + len(made.book)

    def largest(self, fits: Fits) -> Size | None:
        """The largest network for which there is room, None where not even one of a neuron per area fits."""

        def is_in(scale: float) -> bool:
            found = self.at(scale)
            return fits(found.ram_bytes, found.flash_bytes)

        most = min(float(SCALE_MOST), NEURONS_MOST / max(int(self._counts.sum()), 1))
        low, high = 1.0, 1.0
        while is_in(high) and high < most:
            low, high = high, min(2 * high, most)
        while low == high or not is_in(low):
            if low * self._counts.max(initial=1) < 1:
                return None
            low, high = low / 2, low
        while (high - low) * int(self._counts.sum()) > 1 and high - low > 2e-4 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if is_in(middle) else (low, middle)
        return self.at(low)


def _part(q: QuantizedConnectome, p: int, record: NDArray[np.int64]) -> _Part:
    codec, span, data = int(record[1]) & 255, int(record[3]), int(record[7])
    stored = float(data)
    if codec not in codecs.DENSES and codec != codecs.PROCEDURAL:
        entries = int(record[11]) if codec in codecs.SHAREDS else span
        stored += 4 * ((entries >> (int(record[1]) >> 16 & 255)) + 1) + 2 * (entries + 1)
        stored += 4 * span if codec in codecs.SHAREDS else 0
    part = slice(int(q.projection_start[p]), int(q.projection_start[p + 1]))
    projection = q.projections[p]
    if codec == codecs.PROCEDURAL or codec not in GAPS or part.stop == part.start:
        return _Part(int(stored), codec == codecs.PROCEDURAL, None, 0, 0)
    source = q.source[part].astype(np.int64)
    begins = np.flatnonzero(np.diff(source, prepend=-1))
    ends = np.append(begins[1:], len(source))
    chosen = np.unique(np.linspace(0, len(begins) - 1, min(SAMPLE_ROWS, len(begins))).astype(np.int64))
    take = np.concatenate([np.arange(begins[i], ends[i]) for i in chosen])
    row = np.repeat(np.arange(len(chosen)), ends[chosen] - begins[chosen])
    area = q.areas[projection.target]
    sample = codecs.Synapses(
        row, q.target[part][take].astype(np.int64) - area.first, q.weight[part][take], area.count, q.precision
    )
    return _Part(int(stored), False, sample, len(begins), span)


def changes(
    q: QuantizedConnectome, image_bytes: int, as_int8: Callable[[], QuantizedConnectome] | None
) -> Iterator[Change]:
    """What makes a network smaller, in the order of what is lost: nothing, precision, then bits of weights.

    as_int8: quantizes what an fp32 network was made of, None where that is not known.
    """
    packed = selftest.pack(q)
    if len(packed.data) < image_bytes:
        yield _change("--optimize size", packed)
    prefix = ""
    if q.precision != "int8":
        if as_int8 is None:
            return
        q, prefix = as_int8(), "--precision int8"
        yield _change(prefix, selftest.pack(q))
    for bits in ("4", "3", "2"):
        fewer = levels.reduce(q, bits)
        if fewer is not q:
            yield _change(f"{prefix} --weights {bits}".strip(), selftest.pack(fewer))


def _change(options: str, packed: Packed) -> Change:
    return Change(options, ImageView(packed.data).ram_bytes, len(packed.data))
