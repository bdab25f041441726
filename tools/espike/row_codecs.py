"""synapses of one projection + codec -> row bytes and row index. `docs/image.md` specifies the codecs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espike_sim import procedural
from espike_sim.generator import Generator

from .row_synapses import (
    B53,
    B62,
    CODE_BITS,
    CODEC_NAMES,
    D8,
    D8_UNIFORM,
    D8W4,
    DENSE,
    DENSE2,
    DENSE3,
    DENSE4,
    DENSE_VECTORS,
    DENSES,
    ESCAPE,
    I64,
    MOST_BLOCK_LOG2,
    NO_ROWS,
    PLASTIC,
    PROCEDURAL,
    SHARED,
    SHARED_WEIGHTED,
    SHAREDS,
    SHORT_TARGETS,
    STEPWISE,
    TERNARY,
    U8,
    U16,
    U16_UNIFORM,
    U16S,
    U32,
    UNIFORM,
    VECTOR_WIDTHS,
    VECTORS_MOST,
    WIDE,
    WIDE_UNIFORM,
    WIDES,
    Rows,
    Synapses,
)

__all__ = [
    "B53",
    "B62",
    "CODEC_NAMES",
    "CODE_BITS",
    "D8",
    "D8W4",
    "D8_UNIFORM",
    "DENSE",
    "DENSE2",
    "DENSE3",
    "DENSE4",
    "DENSES",
    "DENSE_VECTORS",
    "ESCAPE",
    "I64",
    "MOST_BLOCK_LOG2",
    "NO_ROWS",
    "PLASTIC",
    "PROCEDURAL",
    "SHARED",
    "SHAREDS",
    "SHARED_WEIGHTED",
    "SHORT_TARGETS",
    "STEPWISE",
    "TERNARY",
    "U16",
    "U16S",
    "U16_UNIFORM",
    "UNIFORM",
    "WIDE",
    "WIDES",
    "WIDE_UNIFORM",
    "Rows",
    "Synapses",
    "columns",
    "dense",
    "dense_bytes",
    "generated",
    "has_escapes",
    "index",
    "index_bytes",
    "indexed",
    "plastic",
    "row_bytes",
    "shared",
    "shared_weighted",
    "ternary",
    "varint_bytes",
    "vector_book_bytes",
    "vectors",
]  # fmt: skip

_SHARED_MOST = 1 << 16
_VECTORS_LOOK = 1 << 12
"""Vectors that tell whether a codebook may hold all."""


def varint_bytes(value: I64) -> I64:
    """Bytes of a varint."""
    return np.searchsorted([1 << shift for shift in (7, 14, 21, 28)], value, side="right").astype(np.int64) + 1


def _put_varints(data: U8, at: I64, value: I64) -> None:
    length = varint_bytes(value)
    for byte in range(int(length.max(initial=0))):
        here = length > byte
        more = (length[here] > byte + 1).astype(np.int64) << 7
        data[at[here] + byte] = (value[here] >> (7 * byte) & 127) | more


def index(ends: I64) -> tuple[int, U32, NDArray[np.uint16]]:
    """Byte offsets of row begins (and the last end) -> (block_log2, bases, offsets), blocks as long as they fit."""
    for block_log2 in range(MOST_BLOCK_LOG2, -1, -1):
        bases = ends[:: 1 << block_log2]
        offsets = ends - np.repeat(bases, 1 << block_log2)[: len(ends)]
        if block_log2 == 0 or int(offsets.max()) <= 0xFFFF:
            break
    return block_log2, bases.astype("<u4"), offsets.astype("<u2")


def index_bytes(ends: I64) -> int:
    """What the index takes."""
    _, bases, offsets = index(ends)
    return 4 * len(bases) + 2 * len(offsets)


# Rows of gaps or targets, one weight per synapse or row.


FLOAT_BYTES = {"fp16": 2, "fp32": 4}
"""Of a weight; int8 weights have 1, or 2 where a row has one."""


def _weight_bytes(codec: int, precision: str) -> int:
    return FLOAT_BYTES.get(precision, 2 if codec in UNIFORM else 1)


def _synapse_bytes(s: Synapses, codec: int) -> I64:
    """(synapses,): bytes of each; a row's own weight counts with its first."""
    if codec in WIDES:
        size = varint_bytes(s.gap)
    elif codec in U16S:
        size = np.full(len(s.gap), 2, np.int64)
    else:
        size = np.where(s.begins, 2, s.gap // ESCAPE + 1)
    weight = _weight_bytes(codec, s.precision)
    return size + (weight * s.begins if codec in UNIFORM else weight)


def _gap_rows(s: Synapses, codec: int) -> U8:
    """The bytes of D8, wide and U16 rows."""
    sizes, width = _synapse_bytes(s, codec), _weight_bytes(codec, s.precision)
    data = np.zeros(int(sizes.sum()), np.uint8)
    at = np.cumsum(sizes) - sizes
    kind = "f" if s.precision in FLOAT_BYTES else "i"
    stored = s.weight.astype(f"<{kind}{width}").reshape(-1, 1).view(np.uint8)
    gap_at = at + width * s.begins if codec in UNIFORM else at
    if codec in UNIFORM:
        data[at[s.begins][:, None] + np.arange(width)] = stored[s.begins]
    else:
        data[(at + sizes - width)[:, None] + np.arange(width)] = stored
    if codec in WIDES:
        _put_varints(data, gap_at, s.gap)
        return data
    number = s.target if codec in U16S else s.gap
    whole = np.ones(len(number), np.bool_) if codec in U16S else s.begins
    data[gap_at[whole]] = number[whole] & 255
    data[gap_at[whole] + 1] = number[whole] >> 8
    if codec not in U16S:
        _put_gaps(data, gap_at[~s.begins], s.gap[~s.begins])
    return data


def _put_gaps(data: U8, at: I64, gap: I64) -> None:
    """8-bit gaps with their escapes."""
    escapes = gap // ESCAPE
    for number in range(int(escapes.max(initial=0))):
        data[at[escapes > number] + number] = ESCAPE
    data[at + escapes] = gap % ESCAPE


# Rows of gaps and codes.


def _slots(s: Synapses, codec: int) -> tuple[I64, I64]:
    """(synapses,): slots of each, its escapes among them; and how often its gap holds an escape's.

    An escape of B53 and B62 counts once more than its code says.
    """
    times = np.where(s.begins, 0, s.gap) // _escape(codec)
    most = 1 if codec == D8W4 else 1 << CODE_BITS[codec]
    return (times + most - 1) // most + 1, times


def _escape(codec: int) -> int:
    return ESCAPE if codec == D8W4 else 255 >> CODE_BITS[codec]


def _code_row_bytes(s: Synapses, codec: int) -> I64:
    """(rows with synapses,): a varint, then a byte per slot, of D8W4 three per two."""
    slots = s.row_sums(_slots(s, codec)[0])
    return varint_bytes(s.target[s.starts]) + (slots + (slots + 1) // 2 if codec == D8W4 else slots)


def _code_rows(s: Synapses, codec: int) -> U8:
    """The bytes of D8W4, B53 and B62 rows."""
    (counts, times), most = _slots(s, codec), _escape(codec)
    sizes = _code_row_bytes(s, codec)
    data = np.zeros(int(sizes.sum()), np.uint8)
    begin = np.cumsum(sizes) - sizes
    _put_varints(data, begin, s.target[s.starts])
    ends = np.cumsum(counts)
    full = 1 if codec == D8W4 else 1 << CODE_BITS[codec]
    gap, code = np.full(int(ends[-1]), most, np.int64), np.full(int(ends[-1]), full - 1, np.int64)
    partly = times % full != 0
    code[ends[partly] - 2] = times[partly] % full - 1
    gap[ends - 1], code[ends - 1] = np.where(s.begins, 0, s.gap) % most, s.codes
    slots = s.row_sums(counts)
    place = np.arange(len(gap)) - np.repeat(np.cumsum(slots) - slots, slots)  # within its row
    first = np.repeat(begin + varint_bytes(s.target[s.starts]), slots)
    if codec != D8W4:
        bits = CODE_BITS[codec]
        data[first + place] = gap << bits | code
        return data
    at = first + place // 2 * 3
    data[at + place % 2] = gap
    is_alone = (place % 2 == 0) & (place == np.repeat(slots, slots) - 1)
    even, odd = place % 2 == 0, place % 2 == 1
    data[(at + np.where(is_alone, 1, 2))[even]] = code[even]
    data[(at + 2)[odd]] |= (code[odd] << 4).astype(np.uint8)
    return data


def row_bytes(s: Synapses, codec: int) -> I64:
    """(rows with synapses,): bytes of each in a codec that has an index; not of ternary and shared ones."""
    each = [
        _code_row_bytes(b, codec) if codec in CODE_BITS else b.row_sums(_synapse_bytes(b, codec)) for b in s.blocks()
    ]
    return np.concatenate(each)


def has_escapes(s: Synapses, codec: int) -> bool:
    """Does any row hold one?"""
    if codec in CODE_BITS:
        return any(bool(np.any(_slots(b, codec)[0] > 1)) for b in s.blocks())
    return codec in (D8, D8_UNIFORM) and any(bool(np.any(b.gap[~b.begins] >= ESCAPE)) for b in s.blocks())


def indexed(s: Synapses, codec: int) -> Rows:
    """Rows of a codec that has an index; not ternary and shared ones."""
    data = b"".join((_code_rows(b, codec) if codec in CODE_BITS else _gap_rows(b, codec)).tobytes() for b in s.blocks())
    found = index(s.row_ends(row_bytes(s, codec)))
    return Rows(codec, s.source_first, s.rows, data, has_escapes(s, codec), *found, book=s.book(codec))


def plastic(s: Synapses) -> Rows:
    """16-bit targets of weights that lie elsewhere, because they learn. Pre: at most 65,536 targets."""
    ends = s.row_ends(2 * np.diff(np.append(s.starts, len(s.source))))
    return Rows(PLASTIC, s.source_first, s.rows, s.target.astype("<u2").tobytes(), False, *index(ends))


def ternary(s: Synapses) -> Rows | None:
    """Rows of one magnitude: it, the bytes of the first list, targets that add it, targets that take it off."""
    if s.precision != "int8":
        return None
    size = np.abs(s.weight)
    if not np.all(s.begins[1:] | (size[1:] == size[:-1])):
        return None
    made = [_ternary_rows(block) for block in s.blocks()]
    sizes = np.concatenate([sizes for sizes, _, _ in made])
    data, escapes = b"".join(data for _, data, _ in made), any(escapes for _, _, escapes in made)
    return Rows(TERNARY, s.source_first, s.rows, data, escapes, *index(s.row_ends(sizes)))


def _ternary_rows(s: Synapses) -> tuple[I64, bytes, bool]:
    """Bytes of each row, all of them, and whether there are escapes."""
    size = np.abs(s.weight.astype(np.int64))
    row, minus = np.cumsum(s.begins) - 1, s.weight < 0
    order = np.argsort(row * 2 + minus, kind="stable")
    target, group = s.target[order], (row * 2 + minus)[order]
    begins = np.concatenate(([True], group[1:] != group[:-1]))
    gap = np.where(begins, target, np.diff(target, prepend=0))
    each = np.where(begins, varint_bytes(gap), gap // ESCAPE + 1)
    lists = np.bincount(group, weights=each, minlength=2 * len(s.starts)).astype(np.int64)
    head = 2 + varint_bytes(lists[::2])
    sizes = head + lists[::2] + lists[1::2]
    data = np.zeros(int(sizes.sum()), np.uint8)
    begin = np.cumsum(sizes) - sizes
    weight = size[s.starts]
    data[begin], data[begin + 1] = weight & 255, weight >> 8
    _put_varints(data, begin + 2, lists[::2])
    at = np.cumsum(each) - each + np.cumsum(head)[group // 2]
    _put_varints(data, at[begins], gap[begins])
    _put_gaps(data, at[~begins], gap[~begins])
    return sizes, data.tobytes(), bool(np.any(gap[~begins] >= ESCAPE))


class _Bodies:
    """Bodies that are stored once, in the order in which rows ask for them."""

    def __init__(self, s: Synapses) -> None:
        self.s, self.known, self.done = s, dict[bytes, int](), 0
        if s.rows > len(s.starts):
            self.known[b""] = 0  # of rows without synapses
        self.body = np.zeros(len(s.starts), np.int64)

    def add(self, heads: list[bytes], data: bytes, ends: list[int], lead: int) -> bool:
        """Some more rows with synapses: heads, and what follows, less `lead` bytes. Too many bodies: False."""
        begin = 0
        for row, (head, end) in enumerate(zip(heads, ends, strict=True), self.done):
            self.body[row] = self.known.setdefault(head + data[begin + lead : end], len(self.known))
            begin = end
            if len(self.known) > _SHARED_MOST:
                return False
        self.done += len(heads)
        return True

    def rows(self, codec: int, escapes: bool) -> Rows:
        """Rows of a word each: first target, body."""
        s, entry = self.s, np.zeros(self.s.rows, np.int64)
        entry[s.source[s.starts] - s.source_first] = self.body << 16 | s.target[s.starts].astype(np.int64)
        found = index(np.cumsum([0, *map(len, self.known)]).astype(np.int64))
        book, data = entry.astype("<u4").tobytes(), b"".join(self.known)
        return Rows(codec, s.source_first, s.rows, data, escapes, *found, book=book, bodies=len(self.known))


def _spans(s: Synapses) -> list[bytes]:
    """(rows with synapses,): distance of the last target from the first, synapses."""
    counts = np.diff(np.append(s.starts, len(s.source)))
    last = s.target[np.append(s.starts[1:], len(s.target)) - 1].astype(np.int64)
    spans = np.column_stack([last - s.target[s.starts], counts]).astype("<u2")
    return [span.tobytes() for span in spans]


def _is_shareable(s: Synapses) -> bool:
    return s.target_count <= 1 << 16 and int(np.diff(np.append(s.starts, len(s.source))).max()) <= 0xFFFF


def shared(s: Synapses) -> Rows | None:
    """Rows of one weight whose bodies are stored once."""
    if not s.is_uniform or not _is_shareable(s):
        return None
    inner = np.where(s.begins, 0, s.gap // ESCAPE + 1)
    gaps = np.zeros(int(inner.sum()), np.uint8)
    _put_gaps(gaps, (np.cumsum(inner) - inner)[~s.begins], s.gap[~s.begins])
    weight = s.weight[s.starts].astype(s.weight.dtype.newbyteorder("<"))
    heads = [w.tobytes() + span for w, span in zip(weight, _spans(s), strict=True)]
    bodies = _Bodies(s)
    if not bodies.add(heads, gaps.tobytes(), np.cumsum(s.row_sums(inner)).tolist(), 0):
        return None
    return bodies.rows(SHARED, has_escapes(s, D8))


def shared_weighted(s: Synapses) -> Rows | None:
    """Rows of a weight per synapse whose bodies, D8 rows less their first target, are stored once, where that saves."""
    if s.is_uniform or not s.is_mixed or not _is_shareable(s) or not _repeats(s):
        return None
    bodies = _Bodies(s)
    for block in s.blocks():
        data, ends = _gap_rows(block, D8).tobytes(), np.cumsum(block.row_sums(_synapse_bytes(block, D8)))
        if not bodies.add(_spans(block), data, ends.tolist(), 2):
            return None
    return bodies.rows(SHARED_WEIGHTED, has_escapes(s, D8))


def _repeats(s: Synapses) -> bool:
    """Do fewer than three quarters of the rows differ, by a hash of their gaps and weights?"""
    found = []
    for b in s.blocks():
        stored = b.weight.astype(np.float32).view(np.uint32).astype(np.uint64)
        x = (stored << np.uint64(32) | np.where(b.begins, 0, b.gap).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        place = np.arange(len(x)) - np.repeat(b.starts, np.diff(np.append(b.starts, len(x))))
        x = (x ^ x >> np.uint64(29)) * (2 * place.astype(np.uint64) + np.uint64(1))
        found.append(np.add.reduceat(x ^ x >> np.uint64(32), b.starts))
    return 4 * len(np.unique(np.concatenate(found))) < 3 * len(s.starts)


# Rows without an index.


def columns(s: Synapses) -> int:
    """Targets of every row, where all rows have the same successive ones, each once; else 0."""
    count, rest = divmod(len(s.target), s.rows)
    first = int(s.target[0])
    if rest or len(s.starts) != s.rows or first + count > s.target_count:
        return 0
    return count if bool(np.all(s.target.reshape(s.rows, count) == first + np.arange(count))) else 0


def dense_bytes(codec: int, count: int, precision: str) -> int:
    """Bytes of a dense row."""
    return (count * CODE_BITS[codec] + 7) // 8 if codec in CODE_BITS else count * FLOAT_BYTES.get(precision, 1)


def dense(s: Synapses, codec: int, count: int) -> Rows:
    """A weight or code for each of `count` successive targets."""
    if codec == DENSE:
        data = s.weight.astype(f"<f{FLOAT_BYTES[s.precision]}" if s.precision in FLOAT_BYTES else "<i1").tobytes()
    else:
        data = b"".join(_dense_codes(block, codec) for block in s.blocks())
    words = count, int(s.target[0])
    return Rows(codec, s.source_first, s.rows, data, words=words, book=s.book(codec))


def _dense_codes(s: Synapses, codec: int) -> bytes:
    bits = s.codes.reshape(-1, 1) >> np.arange(CODE_BITS[codec]) & 1
    return np.packbits(bits.reshape(s.rows, -1).astype(np.uint8), axis=1, bitorder="little").tobytes()


def vectors(s: Synapses, count: int) -> Rows | None:
    """Dense rows of vectors, of the width that takes fewer bytes, where a codebook holds all that occur."""
    if s.precision != "int8":
        return None
    made = [rows for width in VECTOR_WIDTHS if (rows := _vector_rows(s, count, width)) is not None]
    return min(made, key=lambda rows: rows.size, default=None)


def vector_book_bytes(word: int) -> int:
    """Bytes of a codebook of vectors, by the word of the projection record that counts them."""
    return ((word & 255) + 1) << (2 + (word >> 8))


def _vector_rows(s: Synapses, count: int, width: int) -> Rows | None:
    """Vectors are compared as numbers of `width` bytes; the last of a row, where it is cut, by the bytes it has."""
    number, left = np.dtype(f"<u{width}"), count % width
    padded = np.zeros((s.rows, -(-count // width) * width), np.int8)
    padded[:, :count] = s.weight.reshape(s.rows, count)
    named = padded.view(number)
    whole, cut = named[:, : count // width], named[:, count // width :]
    if len(np.unique(whole.reshape(-1)[:_VECTORS_LOOK])) > VECTORS_MOST:
        return None
    found, mask = np.unique(whole), number.type((1 << 8 * left) - 1)
    book = np.concatenate([found, np.setdiff1d(cut, found & mask)])
    if len(book) > VECTORS_MOST:
        return None
    begins, first = np.unique(book & mask, return_index=True)
    places = np.searchsorted(found, whole), first[np.searchsorted(begins, cut)]
    data = np.concatenate(places, axis=1).astype(np.uint8).tobytes()
    words, bodies = (count, int(s.target[0])), len(book) - 1 | (width == 8) << 8
    return Rows(DENSE_VECTORS, s.source_first, s.rows, data, words=words, book=book.tobytes(), bodies=bodies)


def generated(s: Synapses, sources: int, rule: Generator) -> Rows | None:
    """The rule, where it yields exactly the synapses of `sources` neurons."""
    if s.precision != "int8" or sources * rule.fan_out != len(s.source):
        return None
    source, target, weight = procedural.synapses(rule.seed, sources, rule.fan_out, s.target_count, rule.levels)
    order = np.lexsort((s.weight, s.target, s.source))
    same = np.array_equal(source, s.source) and np.array_equal(target, s.target)
    if not same or not np.array_equal(weight, s.weight[order]):
        return None
    book = np.array(rule.levels, np.int8).tobytes()
    return Rows(PROCEDURAL, 0, sources, b"", words=(rule.fan_out, rule.seed), book=book)
