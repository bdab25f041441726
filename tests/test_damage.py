"""Damaged and forged images: refused with the byte that is wrong, or harmless; under sanitizers too."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import c_programs
import image_edit
import numpy as np
import pytest
from image_edit import ESCAPES, HEADER_BYTES, HEADER_WORDS, Image
from small_networks import Synapses, network

from espike import toolchain
from espike.image import pack
from espike_sim import procedural
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.generator import Generator
from espike_sim.quantized import NUMBER_TYPES, QuantizedConnectome
from espike_sim.random_networks import random_network
from espike_sim.senses import Decoder, Encoder, Senses

try:
    from espike_sim._core import ffi, lib
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

PRECISIONS = ("int8", "fp32")
ROW, LAYOUT, PARAMETER = int(lib.SPK_ERROR_ROW), int(lib.SPK_ERROR_LAYOUT), int(lib.SPK_ERROR_PARAMETER)
NAN, INFINITY, MINUS_INFINITY, MINUS_ZERO = 0x7FC00000, 0x7F800000, 0xFF800000, 0x80000000


class Memory:
    """Aligned bytes that the core reads, changed in place between two openings."""

    def __init__(self, data: bytes) -> None:
        self.words = np.zeros(len(data) // 8 + 1, np.uint64)
        self.bytes = self.words.view(np.uint8)[: len(data)]
        self.bytes[:] = np.frombuffer(data, np.uint8)
        self.view = ffi.new("spk_image_t *")

    def open(self, size: int | None = None) -> tuple[int, int]:
        """(error, offset) of spk_image_open."""
        pointer = ffi.cast("const uint8_t *", self.words.ctypes.data)
        error = lib.spk_image_open(self.view, pointer, len(self.bytes) if size is None else size)
        return int(error), int(self.view.error_offset)


def open_bytes(data: bytes) -> tuple[int, int]:
    """(error, offset) of spk_image_open."""
    return Memory(data).open()


def small(precision: str) -> QuantizedConnectome:
    """A network with every feature, small enough to be flipped bit by bit."""
    return random_network(5, precision, True, areas=4, largest_area=12, wide_area=False, density=0.6)


def kinds(precision: str) -> QuantizedConnectome:
    """A network with a projection of every row codec, escapes included."""
    ids = np.arange(6)
    groups = [
        Synapses(0, 1, np.repeat(ids, 3), np.tile([200, 210, 230], 6), np.arange(18) - 6),
        Synapses(0, 1, np.repeat(ids, 3), np.tile([200, 210, 230], 6), np.repeat(ids, 3)),
        Synapses(0, 1, np.repeat(ids, 4), np.tile([200, 350, 605, 750], 6), np.arange(24) - 6),
        Synapses(0, 1, np.repeat(ids, 4), np.tile([200, 350, 605, 750], 6), np.repeat(ids, 4)),
        Synapses(0, 1, np.repeat(ids, 2), np.tile([3, 800], 6), np.arange(12) - 6),
        Synapses(0, 1, np.repeat(ids, 6), np.tile([3, 800, 800, 801, 801, 802], 6), np.repeat(ids, 6)),
        Synapses(0, 1, [], [], []),
        Synapses(0, 1, np.repeat(ids, 2), np.tile([130, 700], 6), np.arange(12) - 6),
        Synapses(0, 1, np.repeat(ids, 3), np.tile([130, 700, 990], 6), np.repeat(ids, 3)),
    ]
    power = {"power_neuron": np.array([0, 700], np.uint32), "power_value": np.array([1, 2], "i4")}
    q = network(precision, [6, 1000], groups, candidates_only=precision == "int8", stimulus_limit=200)
    return replace(q, power_neuron=power["power_neuron"], power_value=power["power_value"].astype(q.types.input))


EXPLICIT = range(6)
"""The codecs that `kinds` is packed with."""


def coded(precision: str) -> QuantizedConnectome:
    """A network with a projection of every other row codec (fp32 has two), escapes included, shifts here and there."""
    ids, rng = np.arange(6), np.random.default_rng(4)
    everywhere, apart = np.tile(np.arange(3, 10), 6), np.tile([130, 140, 420, 700], 6)
    seven, four = np.repeat(ids, 7), np.repeat(ids, 4)
    groups = [
        Synapses(0, 1, seven, everywhere, 3 * np.arange(42) - 60),  # dense
        Synapses(0, 1, four, np.tile([1, 2, 300, 301], 6) + four, np.full(24, 9)),  # shared, escapes
        Synapses(0, 1, four, np.tile([1, 2, 300, 301], 6) + four, np.tile([5, -9, 9, 40], 6)),  # with weights
    ]
    if precision == "int8":
        drawn = procedural.synapses(5, 6, 3, 1000, RULE.levels)
        groups += [
            Synapses(0, 1, seven, everywhere, np.arange(42) % 16 - 8, 1),  # dense4
            Synapses(0, 1, seven, everywhere, np.arange(42) % 8 - 4),  # dense3
            Synapses(0, 1, seven, everywhere, np.arange(42) % 4 - 2),  # dense2
            Synapses(0, 1, four, apart, np.arange(24) * 7 // 3 % 16 - 8),  # d8w4, escapes
            Synapses(
                0, 1, seven, np.tile(np.cumsum([2, 5, 40, 31, 30, 7, 3]), 6), np.arange(42) % 8 - 4
            ),  # b53, escapes
            Synapses(
                0, 1, seven, np.tile(np.cumsum([50, 63, 5, 62, 130, 4, 1]), 6), np.arange(42) % 3 - 1
            ),  # b62, escapes
            Synapses(0, 1, four, apart, (four + 100) * np.tile([1, -1, 1, -1], 6)[rng.permutation(24)]),  # ternary
            Synapses(
                0, 1, seven, everywhere, TWO[[0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1]].reshape(6, 8)[:, :7].reshape(-1)
            ),
            Synapses(0, 1, *drawn),
        ]
    q = network(precision, [6, 1000], groups, candidates_only=precision == "int8", stimulus_limit=200)
    if precision == "int8":
        q = replace(q, projections=(*q.projections[:-1], replace(q.projections[-1], generator=RULE)))
    return q


TWO = np.array([[20, -30, 40, 9], [-5, 60, 7, -80]])
"""The vectors of `coded`: a row has one of them, and three weights of one."""
RULE = Generator(5, 3, tuple(range(-40, 40, 5)))
SHARED = (14, 17)
CODED = {"int8": (6, 14, 17, 7, 8, 9, 10, 11, 12, 13, 18, 15), "fp16": (6, 14, 17), "fp32": (6, 14, 17)}
"""The codecs of the projections of `coded`."""


def timed(precision: str) -> QuantizedConnectome:
    """Delays, learning, driven weights."""
    return random_network(4, precision, True, areas=4, largest_area=12, wide_area=False, density=0.6, timing=True)


def modelled(precision: str) -> QuantizedConnectome:
    """Neuron models of every kind, values shared and in columns, and senses with an encoder of every kind."""
    groups = [
        Synapses(0, 2, np.arange(16), np.arange(16) % 5, np.arange(16) * 9 - 50),
        Synapses(1, 2, np.arange(6) % 3, np.arange(6) % 5, [1, -2, 3, 2, -1, 2]),
        Synapses(2, 3, np.arange(10) % 5, np.arange(10) % 4, np.arange(10) * 12 - 40),
        Synapses(3, 3, [0, 1], [1, 0], [-30, 20]),
    ]
    q = network(precision, [16, 3, 5, 4], groups, candidates_only=False, retained=30000 if precision == "int8" else 0.9)
    models = (
        Dynamics(reset="subtract", late=True, current="old"), Dynamics(reset="none", graded=True),
        Dynamics(reset="value", current="new"), Dynamics(reset="subtract"),
    )  # fmt: skip
    areas = tuple(
        replace(area, dynamics=model, accumulate=not model.graded) for area, model in zip(q.areas, models, strict=True)
    )
    whole, ids, unit = precision == "int8", np.arange(q.neurons), 1 if precision == "int8" else 32768
    senses = Senses(
        3,
        (
            Encoder("rate", "a0", 0, low=-3, high=9, channels=2, amount=120),
            Encoder("delta", "a0", 2, channel=1, step=2, amount=150),
            Encoder("level", "a0", 4, channels=2, levels=(-70000, 4), amount=110),
            Encoder("latency", "a0", 9, low=0, high=100, amount=200),
            Encoder("population", "a0", 12, channel=2, low=-9, high=200, count=4, amount=130),
            Encoder("value", "a1", 0, channel=0, channels=3, zero=1, gain=0.75),
        ),
        Decoder("first", "a2"), samples=3, bursts_per_sample=2, settle=1, fresh=False,
    )  # fmt: skip
    return replace(
        q,
        areas=areas,
        projections=tuple(replace(p, psp_factor=int(p.source == 1)) for p in q.projections),
        reset=np.where(q.area_of_neuron == 2, ids - 20, 7).astype(q.types.potential),
        bias=np.where(q.area_of_neuron == 3, ids - 24, 0).astype(q.types.input),
        current_retained=(np.where(q.area_of_neuron == 2, 1000 * ids, 29491) / unit).astype(q.types.retained),
        current_shift=np.array([0, 0, 1, 0] if whole else [0] * 4, np.uint8),
        senses=senses,
    )


def images(precision: str) -> list[bytes]:
    """One of each row codec, in two images, one with delays and learning, one with neuron models and senses."""
    q, choices = coded(precision), CODED[precision]
    packed = pack(kinds(precision), only=EXPLICIT), pack(q, only=choices), pack(timed(precision))
    return [*(each.data for each in packed), pack(modelled(precision)).data]


def test_offsets_are_those_of_the_core() -> None:
    text = (toolchain.CORE / "src" / "layout.h").read_text()
    header = {k: int(v) for k, v in re.findall(r"HEADER_(\w+) = (\d+)", text)}
    assert {k: header[k] for k in HEADER_WORDS} == HEADER_WORDS
    for prefix, fields in (("AREA", image_edit.AREA_FIELDS), ("PROJECTION", image_edit.PROJECTION_FIELDS)):
        names = re.findall(rf"^    {prefix}_(\w+)(?:,| |$)", text, re.MULTILINE)
        assert [*fields, "WORDS"] == names
    names = re.findall(r"^    MODEL_(\w+)", text, re.MULTILINE)
    assert [*image_edit.MODEL_FIELDS[: len(names) - 1], "WORDS"] == names
    assert f"MODEL_WORDS = {len(image_edit.MODEL_FIELDS)}" in text


def test_sealing_keeps_an_image() -> None:
    for precision in PRECISIONS:
        data, others, *_ = images(precision)
        assert Image(data).sealed() == data
        assert Image(others).sealed() == others
        words = [Image(others).word(Image(others).projection(i, "CODEC").offset) for i in range(len(CODED[precision]))]
        assert tuple(word & 255 for word in words) == CODED[precision]
        codecs = {Image(data).word(Image(data).projection(i, "CODEC").offset) & (ESCAPES | 255) for i in range(9)}
        assert codecs == {0, 1, 0 | ESCAPES, 1 | ESCAPES, 2, 3, 4, 5}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_truncation_is_refused(precision: str) -> None:
    memory = Memory(pack(small(precision)).data)
    assert memory.open() == (0, 0)
    for size in range(len(memory.bytes)):
        assert memory.open(size) == (int(lib.SPK_ERROR_TRUNCATED), size)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_flipped_bit_is_refused(precision: str) -> None:
    data = pack(small(precision)).data
    memory, blocks = Memory(data), Image(data).header("BLOCKS_OFFSET")
    for at in range(len(data)):
        for bit in range(8):
            memory.bytes[at] ^= 1 << bit
            error, offset = memory.open()
            memory.bytes[at] ^= 1 << bit
            assert error < 0, f"byte {at}, bit {bit}"
            if HEADER_BYTES <= at < blocks:
                begin = at - (at - HEADER_BYTES) % image_edit.BLOCK_BYTES
                assert (error, offset) == (int(lib.SPK_ERROR_CRC), begin)
            else:
                assert offset < HEADER_BYTES or error == int(lib.SPK_ERROR_TRUNCATED)
    assert memory.open() == (0, 0)


def test_bodies_around_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of one block and a few bytes less or more: the number of CRCs follows."""
    monkeypatch.setattr("espike.image.DEFLATED_FROM", 1 << 30)
    q = small("int8")
    blank = Image(pack(replace(q, report={"pad": ""})).data).header("BLOCKS_OFFSET") - HEADER_BYTES
    seen = set()
    for blocks in (1, 2):
        for step in range(-12, 13):
            size = blocks * image_edit.BLOCK_BYTES + step - blank
            data = pack(replace(q, report={"pad": "x" * size})).data
            body = Image(data).header("BLOCKS_OFFSET") - HEADER_BYTES
            assert open_bytes(data) == (0, 0)
            assert len(data) == HEADER_BYTES + body + 4 * -(-body // image_edit.BLOCK_BYTES)
            seen.add(body)
    assert {4092, 4096, 4100, 8188, 8192, 8196} <= seen


def test_bytes_behind_an_image_are_ignored() -> None:
    data = pack(small("int8")).data
    assert open_bytes(data + b"\xff" * 100) == (0, 0)


def test_refusal_says_what_and_where() -> None:
    from espike_sim.host import ImageView

    data = bytearray(pack(small("int8")).data)
    data[200] ^= 4
    with pytest.raises(EspikeError, match=r"^brain\.spk: image refused at byte 136: damaged \(CRC\)"):
        ImageView(data, "brain.spk")


@dataclass(frozen=True)
class Forged:
    """One edit with right CRCs that must be refused with `error` at `offset`; -1: anywhere."""

    about: str
    data: bytes
    error: int
    offset: int


def forged_rows(precision: str) -> Iterator[Forged]:
    """Rows that lie; projections of `kinds`: d8 and uniform, both with escapes, wide two, an empty one, u16 two."""
    data = pack(kinds(precision), only=EXPLICIT).data
    width = 1 if precision == "int8" else 4
    uniform = 2 if precision == "int8" else 4
    at = [Image(data).word(Image(data).projection(p, "DATA").offset) for p in range(9)]
    length = [len(Image(data).rows(p)) for p in range(9)]

    def forged(about: str, p: int, rows: bytes, where: int, row: int = 0, error: int = ROW) -> Forged:
        return Forged(about, Image(data).put_rows(p, rows, where).sealed(), error, at[p] + row)

    row = [count // 6 for count in length]  # every row of a projection is as long
    yield forged("first target out of the area", 0, struct.pack("<H", 1000), 0)
    yield forged("first target out of the area, last row", 0, struct.pack("<H", 65535), 5 * row[0], 5 * row[0])
    yield forged("sum of gaps out of the area", 0, struct.pack("<H", 1000 - 30), 0)
    yield forged("uniform: sum of gaps out of the area", 1, struct.pack("<H", 1000 - 30), uniform)
    yield forged("escapes: sum of gaps out of the area", 2, struct.pack("<H", 1000 - 550), 0)
    yield forged("a row that ends in an escape", 1, b"\xff", row[1] - 1)
    yield forged("escapes up to the end", 1, b"\xff\xff", row[1] - 2)
    yield forged("escapes: a row that ends in an escape", 3, b"\xff", row[3] - 1)
    yield forged("an escape where a weight ends the row", 0, b"\xff", row[0] - width - 1)
    yield forged("a varint without end", 5, b"\x81", row[5] - 1)
    yield forged("varints without end", 5, b"\xff" * (row[5] - uniform), uniform)
    yield forged("a varint beyond 31 bits", 5, b"\xff\xff\xff\xff\x0f", uniform)
    yield forged("a varint of 31 bits", 5, b"\xff\xff\xff\xff\x07", uniform)
    yield forged("a varint whose fifth byte passes 32 bits", 5, b"\x80\x80\x80\x80\x10", uniform)
    yield forged("a varint of six bytes", 5, b"\x80\x80\x80\x80\x80\x01", uniform)
    yield forged("a varint beyond the area", 5, b"\xe8\x07", uniform)
    yield forged("u16: a target out of the area", 7, struct.pack("<H", 1000), 2 + width)
    yield forged("u16: targets descend", 7, struct.pack("<H", 129), 2 + width)
    yield forged("u16 uniform: the last target out of the area", 8, struct.pack("<H", 65535), row[8] - 2)
    yield forged("u16 uniform: the first target past the second", 8, struct.pack("<H", 701), uniform)
    yield forged("a varint that takes the row's last weight", 4, b"\x86", row[4] - width - 1)
    if precision == "fp32":
        for name, bits in (("nan", NAN), ("inf", INFINITY), ("-inf", MINUS_INFINITY), ("-0", MINUS_ZERO)):
            weight = struct.pack("<I", bits)
            yield forged(f"{name} as a weight", 0, weight, 2)
            yield forged(f"{name} as a row's last weight", 2, weight, row[2] - 4)
            yield forged(f"{name} as a row's weight", 1, weight, 0)
            yield forged(f"{name} as a wide weight", 4, weight, 1)
            yield forged(f"{name} as a wide row's weight", 5, weight, row[5], row[5])


def forged_codes(precision: str) -> Iterator[Forged]:
    """Rows, codebooks and records of `coded` that lie."""
    data = pack(coded(precision), only=CODED[precision]).data
    image = Image(data)
    end = image.header("BLOCKS_OFFSET")
    place = {codec: p for p, codec in enumerate(CODED[precision])}

    def field(codec: int, name: str, value: int, error: int, offset: str) -> Forged:
        p = place[codec]
        edited = Image(data).put(image.projection(p, name).offset, value)
        about = f"codec {codec}: {name} {value:#x}"
        return Forged(about, edited.sealed(), error, image.projection(p, offset).offset)

    def word(codec: int, name: str) -> int:
        return image.word(image.projection(place[codec], name).offset)

    def rows(codec: int, changed: bytes, where: int, row: int = 0) -> Forged:
        edited = Image(data).put_rows(place[codec], changed, where).sealed()
        return Forged(f"codec {codec}: {changed.hex()} at {where}", edited, ROW, word(codec, "DATA") + row)

    for codec in CODED[precision]:
        yield field(codec, "CODEC", word(codec, "CODEC") & ~255 | 255, LAYOUT, "CODEC")
        yield field(codec, "DATA", end - word(codec, "DATA_BYTES") + 1, LAYOUT, "BASES")
        yield field(codec, "SYNAPSES", word(codec, "SYNAPSES") + 1, ROW, "CODEC")
        if codec not in (*SHARED, 18):
            yield field(codec, "BODIES", 1, LAYOUT, "BASES")
        if codec in image_edit.UNINDEXED:
            yield field(codec, "DATA_BYTES", word(codec, "DATA_BYTES") + 1, ROW, "CODEC")
            yield field(codec, "ROWS", 5, ROW, "CODEC")
            yield field(codec, "CODEC", word(codec, "CODEC") | 1 << 16, LAYOUT, "BASES")
            yield field(codec, "CODEC", word(codec, "CODEC") | ESCAPES, LAYOUT, "BASES")
        elif codec not in SHARED:
            yield field(codec, "CODEC", word(codec, "CODEC") ^ ESCAPES, ROW, "CODEC")
        if codec in (7, 8, 9, 10, 11, 12, 15):
            levels = 16 if codec == 15 else 1 << 4 - (codec - 7) % 3
            for book in (0, 135, end - levels + 1, 0xFFFFFFFF):
                yield field(codec, "BOOK", book, LAYOUT, "BASES")
    for codec in (6, 7, 8, 9, 18) if precision == "int8" else (6,):
        for columns in (8, 1001, 0xFFFFFFFF):
            yield field(codec, "BASES", columns, ROW, "CODEC")
        for first in (994, 1001, 0xFFFFFFFF):
            yield field(codec, "OFFSETS", first, ROW, "CODEC")
    yield from _forged_shared(image, place[14], 2 if precision == "int8" else 4, end)
    yield from _forged_shared(image, place[17], 0, end)
    body, weight = len(image.rows(place[17])), 1 if precision == "int8" else 4
    yield rows(17, b"\xff", body - weight - 1)  # a gap that is an escape, whose last byte is the weight's first
    yield rows(17, b"\xff", 4 + weight)  # the same earlier: targets past the span
    if precision == "fp32":
        for bits in (NAN, INFINITY, MINUS_INFINITY, MINUS_ZERO):
            yield rows(6, struct.pack("<I", bits), 4 * 9, 4 * 9)
            yield rows(14, struct.pack("<I", bits), 0)
            yield rows(17, struct.pack("<I", bits), 4)
            yield rows(17, struct.pack("<I", bits), body - 4)
        return
    for book in (0, 135, end - 7, 0xFFFFFFFF):
        yield field(18, "BOOK", book, LAYOUT, "BASES")
    for vectors in (0x200, 0x201, 1 << 16, 0xFFFFFFFF):
        yield field(18, "BODIES", vectors, LAYOUT, "BASES")
    yield field(18, "BODIES", 0x101, ROW, "CODEC")  # of 8 weights: rows are a byte shorter
    for at, index in ((0, 2), (5, 255), (11, 2)):
        yield rows(18, bytes([index]), at, at)
    edited = Image(data).put(image.projection(place[18], "BODIES").offset, 0).sealed()
    yield Forged("one vector, and an index of the second", edited, ROW, word(18, "DATA") + 1)
    for fan_out in (0, 2, 4, 65536, 0xFFFFFFFF):
        yield field(15, "BASES", fan_out, ROW, "CODEC")
    yield rows(10, b"\xff\x07", 0)  # a first target past the area
    yield rows(10, b"\xff", len(image.rows(place[10])) // 6 - 2)  # a row that ends in an escape
    yield rows(11, b"\xff" * 8, 2)
    yield rows(12, b"\xff" * 8, 1)
    yield rows(13, b"\xff", 2)  # a first list past the row
    yield rows(13, b"\xff\xff\x7f", 3)


def _forged_shared(image: Image, p: int, weight: int, end: int) -> Iterator[Forged]:
    """Bodies and entries that lie; weight: bytes of a body's own."""

    def word(name: str) -> int:
        return image.word(image.projection(p, name).offset)

    entries, body = word("BOOK"), word("DATA")
    span = struct.unpack_from("<H", image.data, body + weight)[0]
    for entry in (0xFFFF0000, word("BODIES") << 16, 1000 - span, 0xFFFF):
        edited = Image(bytes(image.data)).put(entries + 4 * 3, entry).sealed()
        yield Forged(f"shared: entry {entry:#x}", edited, ROW, entries + 12)
    for about, at, value in (("span", weight, span - 1), ("synapses", weight + 2, 3), ("synapses", weight + 2, 5)):
        edited = Image(bytes(image.data)).put_rows(p, struct.pack("<H", value), at).sealed()
        yield Forged(f"shared: {about} {value}", edited, ROW, body)
    for name, value in (("BOOK", 0), ("BOOK", entries + 2), ("BOOK", end - 20), ("BODIES", 0x10001)):
        edited = Image(bytes(image.data)).put(image.projection(p, name).offset, value).sealed()
        yield Forged(f"shared: {name} {value:#x}", edited, LAYOUT, image.projection(p, "BASES").offset)


def forged_fields(precision: str) -> Iterator[Forged]:
    """Records that lie about what is there."""
    data = pack(kinds(precision), only=EXPLICIT).data
    image = Image(data)
    end = image.header("BLOCKS_OFFSET")

    def field(about: str, name: str, index: int, value: int, error: int, offset: str = "") -> Forged:
        record = image.area if name in image_edit.AREA_FIELDS and about[0] == "A" else image.projection
        edited = Image(data).put(record(index, name).offset, value)
        return Forged(about, edited.sealed(), error, record(index, offset or name).offset)

    for p in range(7):
        word = image.word(image.projection(p, "CODEC").offset)
        if word & 255 < 2 and p != 6:
            yield field("P escapes flag lies", "CODEC", p, word ^ ESCAPES, ROW)
        yield field("P codec unknown", "CODEC", p, word & ~255 | 255, LAYOUT)
        yield field("P codec bits", "CODEC", p, word | 1 << 25, LAYOUT)
        yield field("P block size", "CODEC", p, word & ~0xFF0000 | 6 << 16, LAYOUT)
        yield field("P delay", "DELAY", p, 2, LAYOUT, "CODEC")
        yield field("P book", "BOOK", p, 1, LAYOUT, "BASES")
        yield field("P bodies", "BODIES", p, 1, LAYOUT, "BASES")
        yield field("P target area", "ENDS", p, 2 << 16, LAYOUT, "CODEC")
        yield field("P source area", "ENDS", p, 1 << 16 | 1, LAYOUT, "ENDS")
        yield field("P bases past the end", "BASES", p, end, LAYOUT)
        yield field("P bases unaligned", "BASES", p, image.word(image.projection(p, "BASES").offset) + 2, LAYOUT)
        yield field("P bases in the header", "BASES", p, 0, LAYOUT)
        yield field(
            "P index one row short",
            "OFFSETS",
            p,
            end - 2 * image.word(image.projection(p, "ROWS").offset),
            LAYOUT,
            "BASES",
        )
        count = image.word(image.projection(p, "DATA_BYTES").offset)
        yield field("P data past the end", "DATA", p, end - count + 1, LAYOUT, "BASES")
        yield field("P rows past the source area", "ROWS", p, 7, LAYOUT, "SOURCE_FIRST")
        yield field("P first row past the source area", "SOURCE_FIRST", p, 0xFFFFFFFF, LAYOUT)
        synapses = image.word(image.projection(p, "SYNAPSES").offset)
        yield field("P synapse count", "SYNAPSES", p, synapses + 1, ROW, "CODEC")
    for name, value, error, offset in (
        ("NEURONS", 0, LAYOUT, ""),
        ("NEURONS", 0xFFFFFFFF, LAYOUT, ""),
        ("FLAGS", 1 << 16, LAYOUT, ""),
        ("FLAGS", 5 << 8, LAYOUT, ""),
        ("FLAGS", 3 << 12, LAYOUT, ""),
        ("COLUMNS", 1 << 7, LAYOUT, "FLAGS"),
        ("COLUMNS", 1, LAYOUT, "THRESHOLD"),
        ("REFRACTORY", 1, PARAMETER, "FLAGS"),
        ("REFRACTORY", 1 << 16, PARAMETER, ""),
        ("FIRE_LIMIT", 1, PARAMETER, "FLAGS"),
        ("PROJECTION_FIRST", 1, LAYOUT, ""),
        ("PROJECTION_COUNT", 100, LAYOUT, "PROJECTION_FIRST"),
        ("RESERVED", 1, LAYOUT, "FLAGS"),
        ("STIMULUS_LIMIT", NAN if precision == "fp32" else 1 << 30, PARAMETER, ""),
        ("STIMULUS_LIMIT", MINUS_ZERO, PARAMETER, ""),
        ("THRESHOLD", NAN if precision == "fp32" else 1 << 15, PARAMETER, ""),
        ("THRESHOLD", INFINITY, PARAMETER, ""),
        ("LIMIT", MINUS_INFINITY if precision == "fp32" else 1 << 15, PARAMETER, ""),
        ("RETAINED", INFINITY if precision == "fp32" else 32769, PARAMETER, ""),
    ):
        yield field(f"A {name} {value:#x}", name, 0, value, error, offset)
    edited = Image(data).put(image.area(0, "COLUMNS").offset, 1).put(image.area(0, "THRESHOLD").offset, end - 8)
    yield Forged("column past the end", edited.sealed(), LAYOUT, image.area(0, "THRESHOLD").offset)
    power = image.header("POWER_OFFSET")
    yield Forged("power not ascending", Image(data).put(power + 8, 0).sealed(), PARAMETER, power + 8)
    yield Forged("power beyond the neurons", Image(data).put(power + 8, 1006).sealed(), PARAMETER, power + 8)
    if precision == "fp32":
        yield Forged("power -0", Image(data).put(power + 4, MINUS_ZERO).sealed(), PARAMETER, power)
    for name, value, error in (
        ("VERSION", 2, int(lib.SPK_ERROR_VERSION)),
        ("MAGIC", 0, int(lib.SPK_ERROR_MAGIC)),
        ("PRECISION", 4, LAYOUT),
        ("PRECISION", 1 | 2 << 8, LAYOUT),
        ("PRECISION", 1 | 1025 << 16, LAYOUT),
        ("SYNAPSES", 1, LAYOUT),
        ("TOTAL_BYTES", 0, LAYOUT),
        ("BLOCKS_OFFSET", 132, LAYOUT),
    ):
        where = "BLOCKS_OFFSET" if name == "TOTAL_BYTES" else name  # one check of both
        edited = Image(data).put(HEADER_WORDS[name], value)
        yield Forged(f"header {name}", edited.sealed(), error, HEADER_WORDS[where])
    for name in ("NEURONS", "LEARNING_OFFSET"):
        edited = Image(data).put(HEADER_WORDS[name], 0x80000000)
        yield Forged(f"header {name}", edited.sealed(), LAYOUT, HEADER_WORDS[name])
    tables = {
        "AREAS_OFFSET": 2 * 64,
        "PROJECTIONS_OFFSET": 7 * 48,
        "POWER_OFFSET": 2 * 8,
        "META_OFFSET": image.header("META_BYTES"),
    }
    for name, size in tables.items():
        for value in (0, 135, end + 4, 0xFFFFFFFC, end - size + (1 if name == "META_OFFSET" else 4)):
            edited = Image(data).put(HEADER_WORDS[name], value)
            yield Forged(f"header {name} {value}", edited.sealed(), LAYOUT, HEADER_WORDS["AREAS_OFFSET"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_forged_contents_are_refused_where_they_lie(precision: str) -> None:
    cases = [*forged_rows(precision), *forged_fields(precision), *forged_codes(precision)]
    assert len(cases) > 150
    found = [(case.about, *open_bytes(case.data)) for case in cases]
    assert found == [(case.about, case.error, case.offset) for case in cases]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_arenas_past_32_bits_never_start(precision: str) -> None:
    """Neuron counts whose arena, counted modulo 2^32, is almost nothing: to believe that is to write anywhere."""
    data = pack(network(precision, [1])).data
    flags = 1 | 2 << 12 | 2 << 14 | (2 if precision == "int8" else 0)
    per_neuron = (2 if precision == "int8" else 4) + 4 + 2 + 2 + 0.25
    engine, ram = ffi.new("spk_engine_t *"), ffi.new("uint64_t[]", 1 << 10)
    for wraps in range(1, 7):
        for count in (int(wraps * 2**32 / per_neuron) + extra for extra in (8, 64, 4096)):
            if count > 0x7FFFFFFF:
                continue
            image = Image(data).put(HEADER_WORDS["NEURONS"], count)
            image.put(image.area(0, "NEURONS").offset, count).put(image.area(0, "FLAGS").offset, flags)
            memory = Memory(image.sealed())
            if memory.open()[0] == 0:
                assert lib.spk_engine_ram_bytes(memory.view) >= 1 << 32, f"{count} neurons"
                kernel = lib.spk_batch_kernel(memory.view.precision)
                for room in (8 << 10, 2**32 - 1, 2**64 - 1):
                    assert lib.spk_engine_init(engine, memory.view, kernel, ram, room, 0) == lib.SPK_ERROR_RAM


@pytest.mark.parametrize("retained", [-1.0, -1e-9, 1.0000001, 2.0, 3e38])
def test_fp32_retained_fraction_beyond_one_is_refused(retained: float) -> None:
    """A potential that grows by itself becomes infinite, then NaN, whose bits differ from chip to chip."""
    image = Image(pack(network("fp32", [1])).data)
    field = image.area(0, "RETAINED").offset
    image.put(field, struct.unpack("<I", struct.pack("<f", retained))[0])
    assert open_bytes(image.sealed()) == (PARAMETER, field)


HOSTILE = (
    0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000001,
    0xFFFF8000, 0xFFFFFFFC, 0xFFFFFFFE, 0xFFFFFFFF, NAN, INFINITY, MINUS_INFINITY, MINUS_ZERO, 0x7F7FFFFF, 1 << 28,
)  # fmt: skip


def hostile(precision: str) -> Iterator[bytes]:
    """Images with right CRCs and any word of any record, any row byte, or several words at once, set to anything."""
    for data in images(precision):
        yield from _hostile(data)


def _hostile(data: bytes) -> Iterator[bytes]:
    image = Image(data)
    fields, end, total = image.fields(), image.header("BLOCKS_OFFSET"), len(data)
    for field in fields:
        value = image.word(field.offset)
        near = (value + step for step in (-4, -2, -1, 1, 2, 4))
        bits = (value ^ 1 << bit for bit in range(32))
        for chosen in {*HOSTILE, *near, *bits, end, end - 1, end - 4, total, total + 1}:
            yield Image(data).put(field.offset, chosen).sealed()
    for p in range(image.header("PROJECTIONS")):
        rows = image.rows(p)
        for at in range(len(rows)):
            for byte in (0, 1, 127, 128, 254, 255, rows[at] ^ 128):
                yield Image(data).put_rows(p, bytes([byte]), at).sealed()
    rng = np.random.default_rng(1)
    offsets = [field.offset for field in fields]
    for _ in range(3000):
        edited = Image(data)
        for _ in range(int(rng.integers(2, 5))):
            at = int(rng.choice(offsets))
            edited.put(at, int(rng.choice([int(rng.choice(HOSTILE)), edited.word(at) + int(rng.integers(-8, 9))])))
        yield edited.sealed()


@pytest.fixture(scope="module")
def image_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return c_programs.sanitized("image_fuzz.c", tmp_path_factory.mktemp("image"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_hostile_images_under_sanitizers(precision: str, image_program: Path) -> None:
    """All in one process: refused, with the same verdict as in the host build, or run for 20 bursts."""
    whole = pack(kinds(precision), only=EXPLICIT).data
    cases = [whole, *hostile(precision), *(whole[:size] for size in range(0, len(whole), 7))]
    forged = (*forged_rows(precision), *forged_fields(precision), *forged_codes(precision))
    cases += [case.data for case in forged]
    stream = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    verdicts = c_programs.feed(image_program, stream).splitlines()
    assert len(verdicts) == len(cases)
    assert verdicts[0].startswith("ok")
    for case, verdict in zip(cases, verdicts, strict=True):
        error, offset = open_bytes(case)
        assert verdict == f"{error} {offset}" if error else verdict.split()[0] in ("ok", "large", "models")
    accepted = sum(verdict.startswith("ok") for verdict in verdicts)
    assert len(cases) / 100 < accepted < len(cases) / 2, "cases are neither all absurd nor all harmless"


def _senses_words(precision: str) -> Iterator[bytes]:
    """Words of neuron models and of the senses' record, one or several, set to what may be in range and what is not."""
    data = pack(modelled(precision)).data
    image, rng = Image(data), np.random.default_rng(3)
    offsets = [field.offset for field in (*image.models(), *image.senses())]
    for _ in range(3000):
        edited = Image(data)
        for at in rng.choice(offsets, int(rng.integers(1, 4)), replace=False).tolist():
            near = edited.word(at) + int(rng.integers(-9, 10)) * int(rng.choice([1, 4, 1 << 8, 1 << 16, 1 << 24]))
            drawn = int(rng.integers(0, 1 << 32)) >> int(rng.integers(0, 32))
            edited.put(at, int(rng.choice([near, near, drawn, int(rng.choice(HOSTILE))])))
        yield edited.sealed()


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_hostile_models_and_senses_under_sanitizers(precision: str, image_program: Path) -> None:
    """Refused by engine or senses, or run and presented; each of these often enough."""
    cases = [pack(modelled(precision)).data, *_senses_words(precision)]
    stream = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    verdicts = c_programs.feed(image_program, stream).splitlines()
    assert len(verdicts) == len(cases)
    assert verdicts[0].endswith("presented")
    kinds = [verdict.split()[0] if verdict[:2] != "ok" else verdict.split()[2] for verdict in verdicts]
    assert {kind for kind in kinds if kind[0] != "-"} == {"models", "none", "refused", "presented"}
    assert all(kinds.count(kind) > 100 for kind in ("models", "refused", "presented"))


def forged_models(precision: str) -> Iterator[tuple[str, bytes]]:
    """Neuron models that an engine refuses."""
    data = pack(modelled(precision)).data
    image = Image(data)
    words = {field.name: field.offset for field in image.models()}
    floats = precision != "int8"
    for area, name, value in (
        (0, "FLAGS", 3), (0, "FLAGS", 0x30), (0, "FLAGS", 1 << 6), (0, "FLAGS", 1 << 12), (1, "FLAGS", 8),
        (1, "FLAGS", 8 | 1), (1, "FLAGS", 8 | 2 | 4), (0, "COLUMNS", 8), (0, "RESERVED", 1), (0, "RESERVED_3", 1),
        (0, "RESET", NAN if floats else 0x8000), (0, "RESET", MINUS_ZERO if floats else 0xFFFF8000),
        (0, "BIAS", INFINITY if floats else 1 << 30), (0, "CURRENT_RETAINED", 0x3F800001 if floats else 32769),
        (2, "RESET", image.header("BLOCKS_OFFSET") - 4), (2, "RESET", 0), (2, "CURRENT_RETAINED", 138),
        (2, "RESET", image.header("BLOCKS_OFFSET") + 4),
    ):  # fmt: skip
        yield f"{area} {name} {value:#x}", Image(data).put(words[f"model {area} {name}"], value).sealed()
    flags = words["model 0 FLAGS"]
    if floats:
        yield "a shift of floats", Image(data).put(flags, image.word(flags) | 1 << 8).sealed()
    for value in (0x8000, 0x7C00, 0xFC00, 0x7E01, 0x10000) if precision == "fp16" else ():
        yield f"binary16 {value:#x}", Image(data).put(words["model 0 RESET"], value).sealed()
    for about, offset, value in (
        ("candidates", HEADER_WORDS["PRECISION"], image.word(HEADER_WORDS["PRECISION"]) | 1 << 8),
        ("late with a countdown", image.area(0, "FLAGS").offset, 1 | 1 << 12),
        ("a psp factor without grades", image.area(3, "PSP_FACTOR").offset, 1),
    ):
        yield about, Image(data).put(offset, value).sealed()


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_forged_models_are_refused_by_the_engine(precision: str) -> None:
    engine, ram = ffi.new("spk_engine_t *"), ffi.new("uint64_t[]", 1 << 12)
    cases = [("as it is", pack(modelled(precision)).data), *forged_models(precision)]
    for i, (about, data) in enumerate(cases):
        memory = Memory(data)
        assert memory.open() == (0, 0), about
        kernel = lib.spk_batch_kernel(memory.view.precision)
        error = lib.spk_engine_init(engine, memory.view, kernel, ram, 8 << 12, 0)
        assert error == (PARAMETER if i else 0), about


@pytest.mark.parametrize("model", [1, 2, 133, 0xFFFFFFFC])
def test_model_outside_the_image_is_refused_when_it_is_opened(model: int) -> None:
    image = Image(pack(modelled("int8")).data)
    image.put(image.area(2, "MODEL").offset, model)
    assert open_bytes(image.sealed()) == (LAYOUT, image.area(2, "FLAGS").offset)


def flipped(data: bytes, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(2)
    for at, bit in zip(rng.integers(0, len(data), count), rng.integers(0, 8, count), strict=True):
        copy = bytearray(data)
        copy[at] ^= 1 << int(bit)
        yield bytes(copy)


def test_flipped_bits_under_sanitizers(image_program: Path) -> None:
    cases = [case for precision in PRECISIONS for case in flipped(pack(small(precision)).data, 1500)]
    verdicts = c_programs.feed(image_program, b"".join(struct.pack("<I", len(case)) + case for case in cases))
    assert all(line.startswith("-") for line in verdicts.splitlines())
    assert len(verdicts.splitlines()) == len(cases)


def seeds() -> list[bytes]:
    """Images for a fuzzer to begin with."""
    return [data for precision in NUMBER_TYPES for data in (pack(small(precision)).data, *images(precision))]


def test_fuzzer_finds_nothing(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("image_fuzz.c", tmp_path), seeds(), tmp_path, 4)


@pytest.mark.soak
def test_fuzzer_finds_nothing_for_long(tmp_path: Path) -> None:
    c_programs.fuzz(c_programs.fuzzer("image_fuzz.c", tmp_path), seeds(), tmp_path, 300)
