"""synapses of one projection -> what every row codec asks of them, and the rows that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

D8, D8_UNIFORM, WIDE, WIDE_UNIFORM, U16, U16_UNIFORM = range(6)
DENSE, DENSE4, DENSE3, DENSE2, D8W4, B53, B62, TERNARY, SHARED, PROCEDURAL, PLASTIC, SHARED_WEIGHTED = range(6, 18)
DENSE_VECTORS = 18
CODEC_NAMES = (
    "d8", "d8-uniform", "wide", "wide-uniform", "u16", "u16-uniform", "dense", "dense4", "dense3", "dense2", "d8w4",
    "b53", "b62", "ternary", "shared", "procedural", "plastic", "shared-weighted", "dense-vectors",
)  # fmt: skip
UNIFORM = (D8_UNIFORM, WIDE_UNIFORM, U16_UNIFORM)
WIDES = (WIDE, WIDE_UNIFORM)
U16S = (U16, U16_UNIFORM)
DENSES = (DENSE, DENSE4, DENSE3, DENSE2, DENSE_VECTORS)
VECTOR_WIDTHS = (4, 8)
"""Weights of a vector."""
VECTORS_MOST = 256
"""Vectors of a codebook."""
CODE_BITS = {DENSE4: 4, DENSE3: 3, DENSE2: 2, D8W4: 4, B53: 3, B62: 2}
"""Codecs of codes into a codebook."""
SHAREDS = (SHARED, SHARED_WEIGHTED)
"""Codecs whose rows share bodies."""
SHORT_TARGETS = (D8, D8_UNIFORM, U16, U16_UNIFORM, *SHAREDS)
"""Codecs with 16-bit targets."""
STEPWISE = (D8, D8_UNIFORM, WIDE, WIDE_UNIFORM, U16, U16_UNIFORM)
"""Codecs that engines also go through synapse by synapse, where the source's potential drives the weights."""
ESCAPE = 255
MOST_BLOCK_LOG2 = 5
_BLOCK = 1 << 18
"""Synapses that are encoded at a time: bounds the temporary memory."""

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
Bools = NDArray[np.bool_]
Ids = NDArray[Any]
"""uint32 or int64."""


def _no_bases() -> U32:
    return np.zeros(0, np.uint32)


def _no_offsets() -> NDArray[np.uint16]:
    return np.zeros(0, np.uint16)


@dataclass(frozen=True)
class Rows:
    """The encoded rows of the source neurons source_first .. source_first + rows - 1 of an area."""

    codec: int
    source_first: int
    rows: int
    data: bytes
    escapes: bool = False
    block_log2: int = 0
    bases: U32 = field(default_factory=_no_bases)
    """(entries >> block_log2) + 1, of rows or of shared rows' bodies; empty where rows have no index"""
    offsets: NDArray[np.uint16] = field(default_factory=_no_offsets)
    """entries + 1: where each row begins, from its block's base; the last: where rows end"""
    words: tuple[int, int] = (0, 0)
    """Without an index: columns and first column, or fan-out and seed."""
    book: bytes = b""
    """The codebook; of shared rows a word per row: first target, body."""
    bodies: int = 0
    """Bodies of shared rows; of dense vectors how many less 1, and 256 more where they have 8 weights."""

    @property
    def size(self) -> int:
        """Bytes of rows, index and codebook."""
        return len(self.data) + 4 * len(self.bases) + 2 * len(self.offsets) + len(self.book)


NO_ROWS = Rows(D8, 0, 0, b"", False, MOST_BLOCK_LOG2, np.zeros(1, np.uint32), np.zeros(1, np.uint16))


@dataclass(frozen=True)
class Synapses:
    """Synapses sorted by (source, target), ids relative to their areas, and what every codec asks of them."""

    source: Ids
    target: Ids
    weight: NDArray[Any]
    """int16 codes (mixed rows within int8) or float32"""
    target_count: int
    precision: str

    def blocks(self) -> Iterator[Synapses]:
        """Whole rows, _BLOCK synapses or few more at a time, ids in 64 bits."""
        cuts = [0]
        for row in np.searchsorted(self.starts, np.arange(_BLOCK, len(self.source), _BLOCK)).tolist():
            cut = int(self.starts[row]) if row < len(self.starts) else len(self.source)
            cuts += [cut] if cut > cuts[-1] else []
        cuts += [len(self.source)] if cuts[-1] < len(self.source) else []
        for begin, end in pairwise(cuts):
            part = slice(begin, end)
            ids = self.source[part].astype(np.int64), self.target[part].astype(np.int64)
            block = Synapses(*ids, self.weight[part], self.target_count, self.precision)
            block.__dict__["levels"] = self.levels  # one codebook for all
            yield block

    @cached_property
    def begins(self) -> Bools:
        """The first synapses of rows."""
        return np.concatenate(([True], self.source[1:] != self.source[:-1]))

    @cached_property
    def starts(self) -> I64:
        """(rows with synapses,): their first synapses."""
        return np.flatnonzero(self.begins)

    @cached_property
    def gap(self) -> I64:
        """(synapses,): distance from the target before; of a row's first synapse its target."""
        target = self.target.astype(np.int64, copy=False)
        return np.where(self.begins, target, np.diff(target, prepend=0))

    @cached_property
    def is_uniform(self) -> bool:
        """Does each row have one weight?"""
        return bool(np.all(self.begins[1:] | (self.weight[1:] == self.weight[:-1])))

    @cached_property
    def is_mixed(self) -> bool:
        """Do all weights fit the codecs of one weight per synapse?"""
        return self.precision != "int8" or -127 <= int(self.weight.min()) <= int(self.weight.max()) <= 127

    @cached_property
    def levels(self) -> I64:
        """The distinct weights of an int8 projection, ascending; none where a codebook does not hold them."""
        if self.precision != "int8":
            return np.zeros(0, np.int64)
        parts = (self.weight[i : i + _BLOCK].astype(np.int64) for i in range(0, len(self.weight), _BLOCK))
        found = np.flatnonzero(sum(np.bincount(part + 32768, minlength=65536) for part in parts)) - 32768
        return found if len(found) <= 16 and self.is_mixed else np.zeros(0, np.int64)

    @cached_property
    def codes(self) -> I64:
        """(synapses,): place of each weight in levels."""
        return np.searchsorted(self.levels, self.weight.astype(np.int64))

    def book(self, codec: int) -> bytes:
        """The levels, padded with zeros to what the codec can name; nothing where it has no codes."""
        return self.levels.astype(np.int8).tobytes().ljust(1 << CODE_BITS[codec], b"\0") if codec in CODE_BITS else b""

    @property
    def source_first(self) -> int:
        """The first source with synapses."""
        return int(self.source[0])

    @property
    def rows(self) -> int:
        """From the first to the last source with synapses, empty ones among them."""
        return int(self.source[-1]) - self.source_first + 1

    def row_sums(self, values: I64) -> I64:
        """Sum of a value of each synapse over each row with synapses."""
        return np.add.reduceat(values, self.starts)

    def row_ends(self, sizes: I64) -> I64:
        """Bytes of each row with synapses -> where every row begins, and where the last ends."""
        each = np.zeros(self.rows, np.int64)
        each[self.source[self.starts] - self.source_first] = sizes
        return np.concatenate(([0], np.cumsum(each)))
