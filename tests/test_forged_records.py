"""Records behind right CRCs that lie, of senses, learning, areas and rows: refused where they are looked at."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cffi
import engines
import pytest
from image_edit import HEADER_WORDS, UNINDEXED, WIDE_INPUT, Image
from small_networks import Synapses, network
from test_damage import (
    CODED,
    EXPLICIT,
    INFINITY,
    LAYOUT,
    MINUS_INFINITY,
    NAN,
    PARAMETER,
    ROW,
    Memory,
    coded,
    kinds,
    modelled,
    timed,
)

from espike.image import pack
from espike_sim import _core
from espike_sim.core import ffi, lib
from espike_sim.dynamics import Dynamics
from espike_sim.quantized import NUMBER_TYPES

RAM, PRECISION = int(lib.SPK_ERROR_RAM), int(lib.SPK_ERROR_PRECISION)
RATE, DELTA, LEVEL, LATENCY, POPULATION, VALUE = range(6)
"""Encoders of `modelled`, in their order, and their kinds."""
KIND, CHANNELS, FIRST, LOW, HIGH, AMOUNT, SHIFT, RESERVED = range(8)
"""Words of an encoder."""


def begin_senses(memory: Memory, ram: Any, room: int) -> int:
    return int(lib.spk_senses_init(ffi.new("spk_senses_t *"), memory.view, ram, room))


def forged_senses(precision: str) -> Iterator[tuple[str, bytes]]:
    """One word of the senses' record out of its range; the record lies where it lay."""
    data = pack(modelled(precision)).data
    record = Image(data).senses()[0].offset
    floats = precision != "int8"
    head = (
        (2, 6 << 16), (2, 3), (2, 3 | 60 << 16), (2, 1 | 6 << 16), (3, 0), (3, 0xFFFFFFFF), (4, 1 << 16),
        (5, 1 << 8 | 2), (5, 4 << 8), (5, 1 << 8 | 1 << 16), (6, 0xFFFFFFFF), (6, 15), (7, 0), (7, 6), (7, 0xFFFFFFFF),
    )  # fmt: skip
    for word, value in head:
        yield f"word {word} {value:#x}", Image(data).put(record + 4 * word, value).sealed()
    for encoder, word, value in (
        (RATE, KIND, 6), (RATE, KIND, RATE | 1 << 8), (LEVEL, KIND, LEVEL), (LEVEL, KIND, LEVEL | 65 << 8),
        (POPULATION, KIND, POPULATION), (POPULATION, KIND, POPULATION | 1 << 8), (LEVEL, KIND, LEVEL | 60 << 8),
        (RATE, CHANNELS, 0), (RATE, CHANNELS, 4 | 1 << 16), (RATE, CHANNELS, 4 << 16), (RATE, CHANNELS, 2 | 2 << 16),
        (DELTA, FIRST, 1), (LATENCY, FIRST, 16), (POPULATION, FIRST, 13), (VALUE, FIRST, 17), (VALUE, FIRST, 28),
        (VALUE, FIRST, 0xFFFFFFFF), (DELTA, LOW, 0), (DELTA, LOW, 0xFFFFFFFF), (RATE, LOW, 9), (RATE, LOW, 10),
        (RATE, HIGH, (1 << 24) - 2), (LATENCY, HIGH, 0x80000000), (RATE, SHIFT, 31), (VALUE, SHIFT, 0xFFFFFFFF),
        (LATENCY, RESERVED, 1), (RATE, AMOUNT, INFINITY if floats else 0x80000000), (VALUE, AMOUNT, 0xFFFFFFFF),
        (RATE, AMOUNT, 0x7F7FFFFF if floats else 1001), (VALUE, AMOUNT, NAN if floats else 0x80000000),
    ):  # fmt: skip
        at = record + 4 * (8 + 8 * encoder + word)
        yield f"encoder {encoder} word {word} {value:#x}", Image(data).put(at, value).sealed()
    at = record + 4 * (8 + 8 * LEVEL + HIGH)
    levels, size = Image(data).word(at), Image(data).word(record + 4)
    for value in (levels + 2, size - 4, size + 4, 0xFFFFFFFC):
        yield f"levels at {value:#x}", Image(data).put(at, value).sealed()
    for value in (4, 5):
        yield f"levels {value}, 4", Image(data).put(record + levels, value).sealed()


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_forged_senses_are_refused_when_they_begin(precision: str) -> None:
    """The image opens, and has no senses that could be run."""
    ram = ffi.new("uint32_t[]", 1000)
    whole = Memory(pack(modelled(precision)).data)
    assert whole.open() == (0, 0)
    assert lib.spk_senses_channels(whole.view) == 3
    assert begin_senses(whole, ram, 4000) == 0
    for about, data in forged_senses(precision):
        memory = Memory(data)
        assert memory.open() == (0, 0), about
        assert begin_senses(memory, ram, 4000) == LAYOUT, about
        assert (lib.spk_senses_channels(memory.view), lib.spk_senses_ram_bytes(memory.view)) == (0, 0), about


def test_senses_need_their_memory_aligned() -> None:
    memory = Memory(pack(modelled("int8")).data)
    assert memory.open() == (0, 0)
    needed, ram = int(lib.spk_senses_ram_bytes(memory.view)), ffi.new("uint32_t[]", 1000)
    assert begin_senses(memory, ram, needed) == 0
    for at, room in ((0, needed - 1), (0, 0), (1, 4000), (2, 4000)):
        assert begin_senses(memory, ffi.cast("char *", ram) + at, room) == RAM


def test_senses_that_leave_the_image_are_refused_when_it_is_opened() -> None:
    data = pack(modelled("int8")).data
    image = Image(data)
    record, end = image.senses()[0].offset, image.header("BLOCKS_OFFSET")
    meta_end = image.header("META_OFFSET") + image.header("META_BYTES")
    for size in (0, 28, end - record + 4, 0xFFFFFFFC):
        assert Memory(Image(data).put(record + 4, size).sealed()).open() == (LAYOUT, meta_end)


def forged_learning(precision: str) -> Iterator[tuple[str, bytes]]:
    """One word of a learning record, or a weight that it leads to, out of its range."""
    data = pack(timed(precision)).data
    image = Image(data)
    at, end = image.header("LEARNING_OFFSET"), image.header("BLOCKS_OFFSET")
    assert at != 0
    records = [[image.word(at + 32 * i + 4 * k) for k in range(8)] for i in range(2)]
    (plastic, _, _, _, low, high, _, weights), other = records
    history = image.word(HEADER_WORDS["PRECISION"]) >> 16
    plain = next(
        p for p in range(image.header("PROJECTIONS")) if image.word(image.projection(p, "CODEC").offset) & 255 != 16
    )
    wrong = (0x8000, 0xFFFF8000) if precision == "int8" else (NAN, INFINITY, MINUS_INFINITY, 0x80000000)
    words = [(0, image.header("PROJECTIONS")), (0, 0xFFFFFFFF), (0, plain), (0, other[0]), (1, 0), (1, history + 1)]
    words += [(k, value) for k in (2, 3, 4, 5) for value in wrong]
    words += [(7, value) for value in (0, 132, weights + 2, end - 4, end, end + 4, 0xFFFFFFFC)]
    for word, value in words:
        yield f"record {at:#x} word {word} {value:#x}", Image(data).put(at + 4 * word, value).sealed()
    swapped = Image(data).put(at + 16, high).put(at + 20, low)
    yield "low above high", swapped.sealed()
    stored = {"int8": struct.pack("<h", -32768), "fp16": b"\x00\x7c", "fp32": struct.pack("<I", NAN)}[precision]
    beyond = {"int8": struct.pack("<h", 32767), "fp16": b"\xff\x7b", "fp32": struct.pack("<f", 3e38)}[precision]
    below = {"int8": struct.pack("<h", -32767), "fp16": b"\xff\xfb", "fp32": struct.pack("<f", -3e38)}[precision]
    for weight in (stored, beyond, below):
        edited = Image(data)
        edited.data[weights : weights + len(weight)] = weight
        yield f"weight {weight.hex()} of projection {plastic}", edited.sealed()


def start(memory: Memory, ram: Any, room: int, kernel: Any = None) -> int:
    """What spk_engine_init says; by the kernel that learns unless told otherwise."""
    kernel = kernel or lib.spk_batch_kernel(memory.view.precision)
    return int(lib.spk_engine_init(ffi.new("spk_engine_t *"), memory.view, kernel, ram, room, 0))


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_forged_learning_is_refused_by_the_engine(precision: str) -> None:
    ram = ffi.new("uint64_t[]", 1 << 12)
    cases = [("as it is", pack(timed(precision)).data), *forged_learning(precision)]
    for i, (about, data) in enumerate(cases):
        memory = Memory(data)
        assert memory.open() == (0, 0), about
        assert start(memory, ram, 8 << 12) == (LAYOUT if i else 0), about


def plain_kernel(precision: str) -> Any:
    """The kernel of the extension that knows neither learning nor models."""
    own = cffi.FFI()
    own.cdef(f"extern char spk_kernel_{precision}[];")
    library = own.dlopen(_core.__file__)
    return ffi.cast("const spk_kernel_t *", int(own.cast("uintptr_t", getattr(library, f"spk_kernel_{precision}"))))


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_an_engine_needs_its_kernel_and_its_memory(precision: str) -> None:
    """Kernels of another number type, or without learning or models, refuse by name; so does too little memory."""
    ram = ffi.new("uint64_t[]", 1 << 12)
    trained = network(precision, [3], candidates_only=False)
    trained = replace(trained, areas=(replace(trained.areas[0], dynamics=Dynamics(reset="subtract")),))
    for q, error in ((timed(precision), lib.SPK_ERROR_LEARNING), (trained, lib.SPK_ERROR_MODEL)):
        memory = Memory(pack(q).data)
        assert memory.open() == (0, 0)
        kernels = [lib.spk_batch_kernel(code) for code in (1, 2, 3)]
        own = lib.spk_batch_kernel(memory.view.precision)
        assert own in kernels
        assert [start(memory, ram, 8 << 12, k) for k in kernels] == [0 if k == own else PRECISION for k in kernels]
        assert start(memory, ram, 8 << 12, plain_kernel(precision)) == error
        needed = int(lib.spk_engine_ram_bytes(memory.view))
        assert start(memory, ram, needed) == 0
        assert start(memory, ram, needed - 1) == RAM
        assert start(memory, ffi.cast("char *", ram) + 4, needed) == RAM
    memory = Memory(pack(network(precision, [3])).data)
    assert memory.open() == (0, 0)
    assert start(memory, ram, 8 << 12, plain_kernel(precision)) == 0


def forged_words(precision: str) -> Iterator[tuple[str, bytes, int, int]]:
    """(about, image, error, offset) of words of header, areas and projections that the other forgeries leave alone."""
    floats, half = precision != "int8", precision == "fp16"
    data = pack(kinds(precision), only=EXPLICIT).data
    image = Image(data)
    areas, neurons = HEADER_WORDS["AREAS_OFFSET"], HEADER_WORDS["NEURONS"]
    word = image.word(HEADER_WORDS["PRECISION"])
    yield "no precision", Image(data).put(16, word & ~255).sealed(), LAYOUT, 16
    yield "areas past 16 bits", Image(data).put(HEADER_WORDS["AREAS"], 0x10000).sealed(), LAYOUT, neurons
    kept = Image(data).put(16, word & 0xFFFF | 1024 << 16).put(neurons, 2 << 20)
    yield "more fire queues than can be kept", kept.sealed(), LAYOUT, neurons
    yield "a neuron in no area", Image(data).put(neurons, 1007).sealed(), LAYOUT, neurons
    fewer = Image(data).put(image.area(0, "PROJECTION_COUNT").offset, 8)
    fewer.put(image.area(1, "PROJECTION_FIRST").offset, 8)
    yield "a projection of no area", fewer.sealed(), LAYOUT, neurons
    yield "power in the header", Image(data).put(HEADER_WORDS["POWER_OFFSET"], 64).sealed(), LAYOUT, areas
    longer = Image(data + bytes(4)).put(HEADER_WORDS["TOTAL_BYTES"], len(data) + 1)
    yield "a byte more", longer.sealed(), LAYOUT, HEADER_WORDS["BLOCKS_OFFSET"]
    for value in (NAN, INFINITY, MINUS_INFINITY) if floats else ():
        power = image.header("POWER_OFFSET")
        yield f"power {value:#x}", Image(data).put(power + 12, value).sealed(), PARAMETER, power + 8
    flags = image.word(image.area(0, "FLAGS").offset)
    fields = [("FLAGS", flags | 3 << 14, LAYOUT, "FLAGS")]
    fields += [("FLAGS", flags | bit, LAYOUT, "FLAGS") for bit in (WIDE_INPUT, 1 << 8, 4 << 8) if floats]
    fields += [("PSP_FACTOR", 2, LAYOUT, "FLAGS"), ("THRESHOLD", NAN, PARAMETER, "THRESHOLD")] if floats else []
    fields += [("THRESHOLD", value, PARAMETER, "THRESHOLD") for value in (0x7C00, 0xFC01, 0x10000) if half]
    fields += [("LIMIT", value, PARAMETER, "LIMIT") for value in (0xFC00, 0x7C01, 0x10000) if half]
    for name, value, error, where in fields:
        at = image.area(0, name).offset
        yield f"{name} {value:#x}", Image(data).put(at, value).sealed(), error, image.area(0, where).offset
    codec = image.word(image.projection(0, "CODEC").offset)
    shift, kind = codec & ~0xFF00 | (1 if floats else 8) << 8, codec & ~255
    for value in (shift, codec | 1 << 26, codec | 1 << 31, *(kind | k for k in (7, 10, 13, 15, 18) if floats)):
        at = image.projection(0, "CODEC").offset
        yield f"codec {value:#x}", Image(data).put(at, value).sealed(), LAYOUT, at
    size = image.word(image.projection(0, "DATA_BYTES").offset)
    more = Image(data).put(image.projection(0, "DATA_BYTES").offset, size + 1).sealed()
    yield "a byte that no row has", more, ROW, image.projection(0, "CODEC").offset
    offsets, begin = (image.word(image.projection(0, name).offset) for name in ("OFFSETS", "DATA"))
    last = bytes(image.data[offsets + 12 : offsets + 14])
    for row, changed, error in ((0, b"\1\0", begin), (2, b"\0\0", offsets + 4), (6, b"\xff\xff", offsets + 12)):
        edited = Image(data)
        edited.data[offsets + 2 * row : offsets + 2 * row + 2] = changed
        yield f"row {row} at {changed.hex()}, not {last.hex()}", edited.sealed(), ROW, error


def forged_timing(precision: str) -> Iterator[tuple[str, bytes, int, int]]:
    """The same of driven and plastic projections."""
    q = network(precision, [2, 2], [Synapses(0, 1, [0, 1], [1, 0], [2, 3])])
    q = replace(q, projections=(replace(q.projections[0], psp_factor=65536 if precision == "int8" else 1),))
    data = pack(q).data
    image = Image(data)
    codec = image.projection(0, "CODEC").offset
    word = image.word(codec)
    assert word >> 25 == 1
    for name, value in (("DELAY", 2), ("CODEC", word & ~255 | 6), ("CODEC", word & ~255 | 14)):
        edited = Image(data).put(image.projection(0, name).offset, value)
        yield f"driven: {name} {value:#x}", edited.sealed(), LAYOUT, codec
    kept = Image(data).put(16, image.word(16) | 4 << 16).put(image.projection(0, "DELAY").offset, 2)
    yield "driven and late, with history", kept.sealed(), LAYOUT, codec
    undriven = Image(data).put(image.area(0, "PSP_FACTOR").offset, 0).sealed()
    yield "driven by an area that keeps nothing", undriven, LAYOUT, codec
    back = Image(data).put(image.projection(0, "ENDS").offset, 0).put(image.projection(0, "DELAY").offset, 0)
    yield "no delay back", back.sealed(), LAYOUT, codec
    data = pack(timed(precision)).data
    image = Image(data)
    words = [image.word(image.projection(p, "CODEC").offset) for p in range(image.header("PROJECTIONS"))]
    plastic = next(p for p, word in enumerate(words) if word & 255 == 16)
    book = image.projection(plastic, "BOOK").offset
    for value in (1, 2, 0xFFFFFFFF):
        yield f"learning record {value}", Image(data).put(book, value).sealed(), LAYOUT, book
    bodies = Image(data).put(image.projection(plastic, "BODIES").offset, 1).sealed()
    yield "plastic bodies", bodies, LAYOUT, image.projection(plastic, "BASES").offset


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_forged_words_are_refused_where_they_lie(precision: str) -> None:
    cases = [*forged_words(precision), *forged_timing(precision)]
    found = [(about, *Memory(data).open()) for about, data, _, _ in cases]
    assert found == [(about, error, offset) for about, _, error, offset in cases]


def first_rows(data: bytes, p: int) -> tuple[int, int]:
    """Where the ends of a projection's rows stand, and the end of its first."""
    image = Image(data)
    offsets = image.word(image.projection(p, "OFFSETS").offset) + 2
    return offsets, struct.unpack_from("<H", data, offsets)[0]


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_rows_that_end_elsewhere_are_refused_or_have_as_many_synapses(precision: str) -> None:
    """The first row of every codec, cut at each of its bytes; what is cut off begins the second."""
    refused = 0
    for data, codecs in (
        (pack(kinds(precision), only=EXPLICIT).data, [0, 1, 0, 1, 2, 3]),
        (pack(coded(precision), only=CODED[precision]).data, CODED[precision]),
    ):
        whole = engines.synapses(data)
        for p, codec in enumerate(codecs):
            if codec in UNINDEXED:
                continue
            at, end = first_rows(data, p)
            for cut in range(1, end):
                edited = Image(data)
                edited.data[at : at + 2] = struct.pack("<H", cut)
                error, _ = Memory(edited.sealed()).open()
                assert error in (0, ROW), (codec, cut)
                refused += error == ROW
                if error == 0:
                    assert len(engines.synapses(edited.sealed())) == len(whole)
    assert refused > (60 if precision == "int8" else 30)
