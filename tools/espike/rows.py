"""synapses of one projection -> the row codec that suits them best, and their rows in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.generator import Generator

from . import row_codecs as codecs
from .row_synapses import CODEC_NAMES, Ids, Rows

__all__ = ["CODEC_NAMES", "OPTIMIZE", "Rows", "encode"]

WIDE_COST = 17 / 16
"""Wide rows take more instructions per synapse: they must save more than a 17th of the bytes."""
INSTRUCTIONS = {
    "dense": 5.0, "d8-uniform": 7.7, "d8": 8.6, "shared": 8.8, "shared-weighted": 8.8, "d8w4": 10.9, "u16": 11.4,
    "b62": 12.7, "u16-uniform": 13.2, "ternary": 13.8, "dense4": 14.2, "b53": 14.2, "procedural": 14.7, "dense2": 14.7,
    "dense3": 15.7, "wide-uniform": 16.3, "wide": 22.7, "dense-vectors": 9.2,
}  # fmt: skip
"""Instructions per synaptic event on rv32imc, -O2, rows of 64 (`espike bench`); what `--optimize speed` goes by."""
ESCAPE_COST = 1.3
"""Factor on them where rows hold escapes; B53 and B62 count theirs already."""
OPTIMIZE = ("size", "speed")

Candidate = tuple[float, bool, Callable[[], Rows]]
"""bytes of rows, index and codebook; are there escapes; what encodes"""


def encode(
    source: Ids,
    target: Ids,
    weight: NDArray[Any],
    target_count: int,
    precision: str,
    *,
    sources: int = 0,
    generator: Generator | None = None,
    learns: bool = False,
    optimize: str = "size",
    only: Collection[int] | None = None,
) -> Rows:
    """Encode synapses sorted by (source, target), ids relative to their areas, with the best of the codecs that can.

    source, target: uint32 or int64 (synapses,); weight: int16 codes (mixed rows within int8) or float32.
    sources: neurons of the source area.
    learns: weights are kept apart from targets.
    generator: a rule that is taken where it yields exactly these synapses. optimize: "size", the fewest bytes (wide
    ones at WIDE_COST), or "speed", the fewest instructions. only: codecs to choose from.
    """
    if not len(source):
        return codecs.NO_ROWS
    if learns:
        if target_count > 1 << 16:
            raise EspikeError(f"weights into an area of {target_count} neurons cannot learn", do="at most 65,536")
        return codecs.plastic(codecs.Synapses(source, target, weight, target_count, precision))
    best: tuple[float, float] | None = None
    made: Callable[[], Rows] | None = None
    candidates = _candidates(codecs.Synapses(source, target, weight, target_count, precision), sources, generator)
    for codec, (size, escapes, make) in candidates.items():
        slower = escapes and codec not in (codecs.B53, codecs.B62)
        instructions = INSTRUCTIONS[CODEC_NAMES[codec]] * (ESCAPE_COST if slower else 1)
        bytes_ = size * (WIDE_COST if codec in codecs.WIDES and optimize == "size" else 1)
        rank = (bytes_, instructions) if optimize == "size" else (instructions, bytes_)
        if (only is None or codec in only) and (best is None or rank < best):
            best, made = rank, make
    if made is None:
        raise ValueError("none of these codecs holds the synapses")
    return made()


def _candidates(s: codecs.Synapses, sources: int, generator: Generator | None) -> dict[int, Candidate]:
    """The codecs that hold the synapses."""
    found: dict[int, Candidate] = {}

    def add(made: Rows | None) -> None:
        if made is not None:
            found[made.codec] = made.size, made.escapes, lambda: made

    codes = [codec for codec, bits in codecs.CODE_BITS.items() if 0 < len(s.levels) <= 1 << bits]
    count = codecs.columns(s)
    if count and s.is_mixed:
        for codec in (codecs.DENSE, *(c for c in codes if c in codecs.DENSES)):
            size = s.rows * codecs.dense_bytes(codec, count, s.precision) + len(s.book(codec))
            found[codec] = size, False, partial(codecs.dense, s, codec, count)
        add(codecs.vectors(s, count))
    chosen = [codecs.D8, codecs.WIDE, codecs.U16] if s.is_mixed else []
    chosen += [codecs.D8_UNIFORM, codecs.WIDE_UNIFORM, codecs.U16_UNIFORM] if s.is_uniform else []
    for codec in (*chosen, *(c for c in codes if c not in codecs.DENSES)):
        if s.target_count <= 1 << 16 or codec not in codecs.SHORT_TARGETS:
            ends = s.row_ends(codecs.row_bytes(s, codec))
            size = int(ends[-1]) + codecs.index_bytes(ends) + len(s.book(codec))
            found[codec] = size, codecs.has_escapes(s, codec), partial(codecs.indexed, s, codec)
    add(codecs.ternary(s))
    add(codecs.shared(s))
    add(codecs.shared_weighted(s))
    add(codecs.generated(s, sources, generator) if generator is not None else None)
    return found
