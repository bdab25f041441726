"""Reference, host and boards agree to the bit on networks of every shape: ledgers, hashes, counters, potentials."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import engines
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_edit import ESCAPES, WIDE_INPUT, Image
from small_networks import Synapses, network, stimulus

from espike.image import pack
from espike.rows import CODEC_NAMES
from espike_sim import procedural
from espike_sim.dynamics import Dynamics
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.generator import Generator
from espike_sim.pcg import pcg_one
from espike_sim.quantized import ALWAYS, NUMBER_TYPES, QuantizedConnectome, accumulator_bound
from espike_sim.random_networks import random_network, random_stimulus
from espike_sim.reference import Reference

PRECISIONS = ("int8", "fp16", "fp32")
OTHERS = engines.NAMES[1:]
"""What is compared with the reference."""


SHAPES = st.fixed_dictionaries(
    {
        "areas": st.integers(1, 8),
        "largest_area": st.sampled_from([4, 20, 60, 140]),
        "wide_area": st.booleans(),
        "fan_out": st.sampled_from([0.0, 0.4, 2.0, 6.0, 25.0]),
        "density": st.sampled_from([0.0, 0.3, 0.6, 1.0]),
        "inhibitory": st.sampled_from([0.0, 0.35, 1.0]),
        "features": st.booleans(),
        "models": st.booleans(),
    }
)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("candidates_only", [True, False])
def test_host_agrees_on_random_networks(precision: str, candidates_only: bool) -> None:
    @settings(max_examples=45, deadline=None, database=None)
    @given(st.integers(0, 2**32 - 1), SHAPES, st.sampled_from([0.0, 0.08, 0.5]))
    def agrees(seed: int, shape: dict[str, Any], rate: float) -> None:
        q = random_network(seed, precision, candidates_only, **shape)
        engines.agree(q, 24, random_stimulus(q, seed ^ 1, 24, rate), "host")

    agrees()


@pytest.mark.parametrize("name", ["host", "native"])
@pytest.mark.parametrize("refractory", [0, 3])
@pytest.mark.parametrize("strength", [300, 9000])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_areas_of_neurons_alike_agree(precision: str, strength: int, refractory: int, name: str) -> None:
    """Hosts update such areas in blocks of 128: whole ones, rests, unaligned bits, blocks that saturate, wide sums."""
    counts = [5, 127, 128, 129, 700]
    for guard_bits, leak, part in ((0, 0.03, 1.0), (4, 0.4, 0.5), (2, 0.0, 0.0)):
        rng = np.random.default_rng(strength + guard_bits)
        whole = precision == "int8"
        groups = [
            Synapses(a, b, np.repeat(np.arange(m), 6), rng.integers(0, n, 6 * m), rng.integers(-60, 90, 6 * m))
            for a, m in enumerate(counts)
            for b, n in enumerate(counts)
            if (a + b) % 2
        ]
        q = network(
            precision, counts, groups, candidates_only=False, threshold=100 << guard_bits if whole else 100,
            retained=round(32768 * (1 - leak)) if whole else 1 - leak, stimulus_limit=strength,
            guard_bits=guard_bits if whole else 0, refractory=np.full(sum(counts), refractory, np.uint16),
        )  # fmt: skip
        powered = np.flatnonzero(rng.random(q.neurons) < part).astype(np.uint32)
        power = rng.integers(-5, 30, len(powered)).astype(q.types.input)
        q = replace(q, power_neuron=powered, power_value=power)
        some = [(t, int(n)) for t in range(1, 25) for n in np.flatnonzero(rng.random(q.neurons) < 0.05)]
        entries = [(t, n, int(rng.integers(-strength, strength + 1))) for t, n in some]
        found = engines.agree(q, 24, stimulus(q, entries), name)
        assert found.spikes > 100


@pytest.mark.parametrize("name", engines.BOARDS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("seed", "candidates_only", "shape"),
    [
        (11, True, {}),
        (12, False, {}),
        (13, True, {"areas": 5, "density": 1.0, "fan_out": 10.0}),
        (14, False, {"features": False, "wide_area": False}),
        (15, False, {"models": True}),
        (16, False, {"models": True, "timing": True, "areas": 5, "density": 0.8}),
    ],
)
def test_boards_agree_on_random_networks(
    seed: int, candidates_only: bool, shape: dict[str, Any], precision: str, name: str
) -> None:
    q = random_network(seed, precision, candidates_only, **shape)
    engines.agree(q, 40, random_stimulus(q, seed, 40), name)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_parts_resets_and_untracked_potentials(precision: str, name: str) -> None:
    q = random_network(21, precision)
    entries = random_stimulus(q, 21, 30)
    with closing(engines.make(name, q)) as engine, closing(Reference(q)) as reference:
        engine.run(7, entries)
        for track in (False, True):
            engine.reset(track_potentials=track)
            assert engine.burst == 0
            reference.reset()
            for bursts in (0, 1, 17, 12):
                found, wanted = engine.run(bursts, entries), reference.run(bursts, entries)
                assert np.array_equal(found.hashes, wanted.hashes)
                assert np.array_equal(found.ids, wanted.ids)
                assert (found.potential_hashes is None) == (not track)
            assert np.array_equal(engine.potentials(), reference.potentials())


def gaps(rows: int, gap: list[int], area: int, seed: int, largest: int = 90) -> tuple[Any, Any, Any]:
    """Rows that begin at target 200, whose gaps repeat the pattern `gap` to the end of the area; mixed weights."""
    rng = np.random.default_rng(seed)
    pattern = np.cumsum([200, *np.resize(gap, area)])
    pattern = pattern[pattern < area]
    target = np.tile(pattern, rows)
    weight = rng.integers(-largest // 3, largest, len(target))
    return np.repeat(np.arange(rows), len(pattern)), target, weight


def uniform(rows: int, gap: list[int], area: int, seed: int) -> tuple[Any, Any, Any]:
    """The same with one weight per row."""
    source, target, _ = gaps(rows, gap, area, seed)
    return source, target, np.random.default_rng(seed).integers(-200, 600, rows)[source]


def coded(rows: int, gap: list[int], area: int, seed: int, levels: int) -> tuple[Any, Any, Any]:
    """The same with `levels` distinct weights, from -levels / 2 on, times 5."""
    source, target, _ = gaps(rows, gap, area, seed)
    return source, target, 5 * (np.random.default_rng(seed).integers(0, levels, len(target)) - levels // 2)


def far(synapses: tuple[Any, Any, Any], first: int) -> tuple[Any, Any, Any]:
    """The same, `first` targets further."""
    return synapses[0], synapses[1] + first, synapses[2]


def signed(rows: int, gap: list[int], area: int, seed: int) -> tuple[Any, Any, Any]:
    """The same with +w and -w in a row, w of its own; one row has one sign."""
    source, target, _ = gaps(rows, gap, area, seed)
    rng = np.random.default_rng(seed)
    sign = np.where(source == 1, -1, rng.choice([-1, 1], len(target)))
    return source, target, sign * (source + 70)


def dense(rows: int, first: int, columns: int, seed: int, levels: int = 180) -> tuple[Any, Any, Any]:
    """All pairs of sources and the targets first .. first + columns - 1."""
    weight = np.random.default_rng(seed).integers(0, levels, rows * columns) - levels // 3
    return np.repeat(np.arange(rows), columns), np.tile(first + np.arange(columns), rows), weight


def vectors(rows: int, first: int, columns: int, seed: int, width: int, count: int) -> tuple[Any, Any, Any]:
    """Dense rows made of `count` vectors of `width` weights, all of them where there is room; the last may be cut."""
    rng = np.random.default_rng(seed)
    source, target, _ = dense(rows, first, columns, seed)
    book = rng.integers(-60, 120, (count, width))
    each = -(-columns // width)
    drawn = np.resize(rng.permutation(count), (rows, each))
    drawn[-1] = rng.integers(0, count, each)
    return source, target, book[drawn].reshape(rows, -1)[:, :columns].reshape(-1)


def topographic(rows: int, pattern: list[int], weight: int, every: int = 1) -> tuple[Any, Any, Any]:
    """Rows of one shape, each a target further than the one before; `every`: others are empty."""
    ids = np.arange(0, rows, every)
    return (
        np.repeat(ids, len(pattern)),
        (ids[:, None] + np.array(pattern)).reshape(-1),
        np.full(len(ids) * len(pattern), weight),
    )


def kernels(rows: int, pattern: list[int], shapes: int, every: int = 1) -> tuple[Any, Any, Any]:
    """The same with a weight per synapse; one shape after the other, as channels of a convolution have them."""
    source, target, _ = topographic(rows, pattern, 0, every)
    of_shape = np.random.default_rng(shapes).integers(-40, 127, (shapes, len(pattern)))
    ids = np.arange(0, rows, every)
    return source, target, of_shape[ids * shapes // rows].reshape(-1)


BIG = 70_000
ROW_CASES: dict[str, tuple[list[int], list[Synapses], set[str], int]] = {
    # name: neurons of the areas, synapses, codecs that must be hit, smallest log2 of rows per block
    "d8": ([40, 500], [Synapses(0, 1, *gaps(40, [0, 3, 200, 17], 500, 1))], {"d8"}, 5),
    "d8 longest gap": ([9, 900], [Synapses(0, 1, *gaps(9, [2, 254, 254, 1], 900, 2))], {"d8"}, 5),
    "d8 escapes": ([40, 2000], [Synapses(0, 1, *gaps(40, [7, 130, 255, 200, 130, 140], 2000, 3))], {"d8 escapes"}, 5),
    "d8 two escapes": ([9, 3000], [Synapses(0, 1, *gaps(9, [5, *[150] * 9, 510], 3000, 4))], {"d8 escapes"}, 5),
    "d8 uniform": ([40, 500], [Synapses(0, 1, *uniform(40, [0, 3, 200, 17], 500, 5))], {"d8-uniform"}, 5),
    "d8 uniform escapes": (
        [9, 3000],
        [Synapses(0, 1, *uniform(9, [5, *[150] * 9, 509, 510], 3000, 6))],
        {"d8-uniform escapes"},
        5,
    ),
    "wide": ([40, 5000], [Synapses(0, 1, *gaps(40, [1, 900, 20, 700], 5000, 7))], {"wide"}, 5),
    "wide uniform": ([40, 5000], [Synapses(0, 1, *uniform(40, [1, 900, 20, 700], 5000, 8))], {"wide-uniform"}, 5),
    "u16": ([40, 5000], [Synapses(0, 1, *gaps(40, [300, 900, 700, 600, 0, 800], 5000, 16))], {"u16"}, 5),
    "u16 uniform": ([40, 5000], [Synapses(0, 1, *uniform(40, [300, 900, 700, 600], 5000, 17))], {"u16-uniform"}, 5),
    "one per row": ([50, 300], [Synapses(0, 1, range(50), range(200, 250), 2 * np.arange(50) - 49)], {"d8"}, 5),
    "long rows": ([12, 4000], [Synapses(0, 1, *gaps(12, [1] * 30 + [2], 4000, 9))], {"d8"}, 3),
    "rows past 64 KiB": ([2, 60_000], [Synapses(0, 1, *gaps(2, [1, 2], 60_000, 10, 20))], {"d8"}, 0),
    "last of 65,536": ([2, 65_536], [Synapses(0, 1, [0, 1, 1], [65_535, 65_534, 65_535], [70, 8, 9])], {"d8"}, 5),
    "area past 65,536": (
        [20, BIG],
        [Synapses(0, 1, *gaps(20, [30, 9000, 100, 40], BIG, 11)), Synapses(0, 1, *uniform(20, [69_000, 999], BIG, 12))],
        {"wide", "wide-uniform"},
        5,
    ),
    "from an area past 65,536": (
        [BIG, 300],
        [
            Synapses(0, 1, [0, 65_535, 65_536, BIG - 1], [201, 202, 203, 299], [9, 8, 7, 6]),
            Synapses(0, 0, [0, 0], [5, BIG - 1], [99, 98]),
        ],
        {"d8", "wide"},
        5,
    ),
    "dense": ([33, 80], [Synapses(0, 1, *dense(33, 5, 71, 20), 0)], {"dense"}, 0),
    "dense from a later source": (
        [40, 17],
        [Synapses(0, 1, np.repeat([38, 39], 17), [*range(17)] * 2, 7 * np.arange(34) - 119)],
        {"dense"},
        0,
    ),
    "dense, one column": ([40, 9], [Synapses(0, 1, *dense(40, 8, 1, 21))], {"dense"}, 0),
    "dense, last of 65,536": ([9, 65_536], [Synapses(0, 1, *dense(9, 65_513, 23, 22))], {"dense"}, 0),
    "dense past 65,536": ([9, BIG], [Synapses(0, 1, *dense(9, BIG - 40, 40, 23))], {"dense"}, 0),
    "dense4": ([20, 90], [Synapses(0, 1, *dense(20, 3, 71, 24, 16))], {"dense4"}, 0),
    "dense3": ([20, 90], [Synapses(0, 1, *dense(20, 3, 71, 25, 8))], {"dense3"}, 0),
    "dense2": ([20, 90], [Synapses(0, 1, *dense(20, 3, 71, 26, 3))], {"dense2"}, 0),
    "vectors of 4": ([20, 90], [Synapses(0, 1, *vectors(20, 3, 72, 37, 4, 100))], {"dense-vectors"}, 0),
    "vectors of 4, cut": ([20, 90], [Synapses(0, 1, *vectors(20, 3, 71, 38, 4, 90))], {"dense-vectors"}, 0),
    "vectors of 4, one left": ([20, 90], [Synapses(0, 1, *vectors(20, 25, 65, 39, 4, 60))], {"dense-vectors"}, 0),
    "vectors of 8": ([20, 90], [Synapses(0, 1, *vectors(20, 3, 72, 40, 8, 50))], {"dense-vectors"}, 0),
    "vectors of 8, cut": ([20, 90], [Synapses(0, 1, *vectors(20, 3, 71, 41, 8, 50))], {"dense-vectors"}, 0),
    "vectors of 8, one left": ([20, 90], [Synapses(0, 1, *vectors(20, 25, 65, 42, 8, 40))], {"dense-vectors"}, 0),
    "one vector": ([33, 30], [Synapses(0, 1, *vectors(33, 4, 24, 43, 8, 1))], {"dense-vectors"}, 0),
    "two vectors": ([33, 30], [Synapses(0, 1, *vectors(33, 4, 21, 44, 4, 2))], {"dense-vectors"}, 0),
    "256 vectors of 4": ([60, 120], [Synapses(0, 1, *vectors(60, 20, 100, 45, 4, 256))], {"dense-vectors"}, 0),
    "256 vectors of 8": ([60, 140], [Synapses(0, 1, *vectors(60, 5, 131, 46, 8, 256))], {"dense-vectors"}, 0),
    "less than a vector": ([300, 9], [Synapses(0, 1, *vectors(300, 6, 3, 47, 4, 9))], {"dense-vectors"}, 0),
    "vectors past 65,536": ([29, BIG], [Synapses(0, 1, *vectors(29, BIG - 43, 43, 48, 8, 20))], {"dense-vectors"}, 0),
    "d8w4": ([40, 900], [Synapses(0, 1, *coded(40, [0, 3, 200, 17, 254], 900, 27, 16))], {"d8w4"}, 5),
    "d8w4, short rows": ([40, 250], [Synapses(0, 1, *coded(40, [10], 250, 28, 16))], {"d8w4"}, 5),
    "d8w4 escapes": (
        [40, 2000],
        [Synapses(0, 1, *coded(40, [7, 130, 255, 200, 30, 510, 9], 2000, 29, 16))],
        {"d8w4 escapes"},
        5,
    ),
    "b53": ([40, 500], [Synapses(0, 1, *coded(40, [0, 3, 30, 17, 5], 500, 30, 8))], {"b53"}, 5),
    "b53 escapes": (
        [40, 3000],
        [Synapses(0, 1, *coded(40, [1, 31, 30, 2, 62, 5, 1, 9, 300, 7, 4, 1, 8], 3000, 31, 7))],
        {"b53 escapes"},
        5,
    ),
    "b62": ([40, 900], [Synapses(0, 1, *coded(40, [0, 3, 62, 17, 5], 900, 32, 4))], {"b62"}, 5),
    "b62 escapes": (
        [40, 3000],
        [Synapses(0, 1, *coded(40, [1, 63, 62, 2, 126, 5, 1, 9, 300, 7], 3000, 33, 3))],
        {"b62 escapes"},
        5,
    ),
    "codes past 65,536": (
        [9, BIG],
        [
            Synapses(0, 1, *far(coded(9, [1, 9], 3000, 34, 8), 66_000)),
            Synapses(0, 1, *far(coded(9, [100, 9], 3000, 34, 16), 66_000)),
        ],
        {"b53", "d8w4"},
        5,
    ),
    "ternary": ([40, 400], [Synapses(0, 1, *signed(40, [4, 9, 7], 400, 35))], {"ternary"}, 5),
    "ternary escapes": ([40, 6000], [Synapses(0, 1, *signed(40, [140, 255, 90], 6000, 36))], {"ternary escapes"}, 5),
    "shared": ([300, 400], [Synapses(0, 1, *topographic(300, [0, 1, 20, 21, 60], 300))], {"shared"}, 5),
    "shared escapes": ([300, 900], [Synapses(0, 1, *topographic(300, [0, 255, 256, 511], -20))], {"shared escapes"}, 5),
    "shared, every other row empty": (
        [301, 400],
        [Synapses(0, 1, *topographic(301, [0, 3, 3, 4, 9], 70, 2))],
        {"shared"},
        5,
    ),
    "shared to the last of 65,536": (
        [90, 65_536],
        [Synapses(0, 1, *topographic(90, [65_440, 65_446], 80))],
        {"shared"},
        5,
    ),
    "shared weighted": ([300, 400], [Synapses(0, 1, *kernels(300, [0, 1, 20, 21, 60], 3))], {"shared-weighted"}, 5),
    "shared weighted escapes": (
        [300, 2000],
        [Synapses(0, 1, *kernels(300, [0, 254, 509, 510, 1200], 2))],
        {"shared-weighted escapes"},
        5,
    ),
    "shared weighted, every third row empty": (
        [301, 400],
        [Synapses(0, 1, *kernels(301, [0, 3, 3, 4, 9], 1, 3))],
        {"shared-weighted"},
        5,
    ),
    "shared weighted to the last of 65,536": (
        [90, 65_536],
        [Synapses(0, 1, *kernels(90, [65_440, 65_443, 65_446], 1))],
        {"shared-weighted"},
        5,
    ),
    "shared weighted, one and many synapses": (
        [200, 1500],
        [Synapses(0, 1, *kernels(200, [0], 2)), Synapses(0, 1, *kernels(200, [*range(0, 1300, 3)], 2))],
        {"shared-weighted"},
        5,
    ),
    "many kinds": (
        [1, 1, 40, 700],
        [
            Synapses(0, 1, [], [], []),
            Synapses(0, 1, [0, 0], [0, 0], [50, -20]),
            Synapses(1, 0, [0], [0], [70]),
            Synapses(0, 3, *gaps(1, [0, 100, 30], 700, 13)),
            Synapses(2, 3, *gaps(40, [2, 140, 300, 130], 700, 14)),
            Synapses(2, 3, *uniform(40, [0, 1], 300, 15)),
            Synapses(3, 2, [699], [39], [127]),
            Synapses(2, 2, [], [], []),
        ],
        {"d8", "d8 escapes", "d8-uniform", "wide", "dense"},
        0,
    ),
}


def codecs(q: QuantizedConnectome) -> tuple[set[str], int]:
    """The row codecs that the image of a network uses for rows that exist, and the smallest log2 of rows per block."""
    image = Image(pack(q).data)
    count = image.header("PROJECTIONS")
    held = [i for i in range(count) if image.word(image.projection(i, "SYNAPSES").offset)]
    words = [image.word(image.projection(i, "CODEC").offset) for i in held]
    names = {CODEC_NAMES[word & 255] + (" escapes" if word & ESCAPES else "") for word in words}
    return names, min(word >> 16 & 255 for word in words)


def row_case(
    name: str, precision: str, candidates_only: bool, shift: int = 0, limit: int = 1000
) -> tuple[QuantizedConnectome, CodedStimulus]:
    counts, synapses, _, _ = ROW_CASES[name]
    shift = shift if precision == "int8" else 0
    synapses = [replace(group, shift=shift) for group in synapses]
    q = network(
        precision, counts, synapses, candidates_only=candidates_only, retained=None, threshold=60, stimulus_limit=limit
    )
    rng = np.random.default_rng(1)
    sources = np.unique(q.source)
    some = rng.permutation(sources)[: max(1, len(sources) // 2)]
    entries = [(burst, int(n), 61) for burst in (1, 4) for n in (sources if burst == 1 else some)]
    return q, stimulus(q, entries)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", ROW_CASES)
def test_every_row_codec(case: str, precision: str, name: str) -> None:
    """Every-neuron mode and candidates, with shifts and without, sums of 16 and 32 bits."""
    ways = [(True, 0, 1000), (False, 0, 1000), (False, 1, 1000), (True, 2, 40_000), (False, 0, 40_000)]
    for candidates_only, shift, limit in ways if name == "host" else [ways[(len(case) + len(precision)) % 5]]:
        q, entries = row_case(case, precision, candidates_only, shift, limit)
        bursts = 5 if q.neurons < 10_000 else 3 if name == "host" else 2
        found = engines.agree(q, bursts, entries, name, *(["rows"] if name == "host" else []))
        assert found.spikes >= 2


@pytest.mark.parametrize("name", OTHERS)
def test_procedural_rows(name: str) -> None:
    rule = Generator(0x80000001, 20, tuple(range(-60, 100, 10)))
    shapes = (([30, 50], True, 0), ([30, 50], False, 0), ([30, 65_537], False, 1), ([1, 1], False, 0))
    for counts, candidates_only, shift in shapes:
        drawn = procedural.synapses(rule.seed, counts[0], rule.fan_out, counts[1], rule.levels)
        q = network("int8", counts, [Synapses(0, 1, *drawn, shift)], candidates_only=candidates_only, threshold=60)
        q = replace(q, projections=(replace(q.projections[0], generator=rule),))
        assert codecs(q) == ({"procedural"}, 0)
        ids = range(counts[0])
        entries = stimulus(q, [(t, n, 61) for t in (1, 2) for n in ids if (t + n) % 3])
        found = engines.agree(q, 3, entries, name, *(["rows"] if name == "host" else []))
        assert found.spikes > 0


@pytest.mark.parametrize("thresholds", ["alike", "apart"])
@pytest.mark.parametrize("reset", ["value", "subtract", "none"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_power_reaches_areas_with_neuron_models(precision: str, reset: str, thresholds: str) -> None:
    """Whole blocks of neurons with and without power, alike or with thresholds of their own."""
    types, powered = NUMBER_TYPES[precision], np.arange(3, 600, 7, dtype=np.uint32)
    q = network(
        precision, [600, 300], [Synapses(0, 1, np.arange(300), np.arange(300), [40] * 300)], candidates_only=False,
        power_neuron=powered, power_value=np.full(len(powered), 30, types.input), threshold=60,
    )  # fmt: skip
    if thresholds == "apart":
        q = replace(q, threshold=(60 + np.arange(q.neurons) % 5).astype(types.potential))
    q = replace(q, areas=tuple(replace(area, dynamics=Dynamics(reset=reset)) for area in q.areas))
    entries = stimulus(q, [(4, n, 100) for n in range(200)])
    assert engines.agree(q, 12, entries, "host", "rows").spikes > 400


def test_a_rule_that_yields_other_synapses_is_not_stored() -> None:
    rule = Generator(7, 5, tuple(range(1, 17)))
    source, target, weight = procedural.synapses(rule.seed, 8, rule.fan_out, 60, rule.levels)
    weight[-1] += 1
    q = network("int8", [8, 60], [Synapses(0, 1, source, target, weight)])
    other = replace(q, projections=(replace(q.projections[0], generator=rule),))
    assert pack(other).data[136:] != b""
    assert "procedural" not in codecs(other)[0]
    assert other.hash != q.hash


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", ROW_CASES)
def test_rows_hold_the_synapses_in_every_codec(case: str, precision: str) -> None:
    """What `spk_row_each` finds in the image, of whatever codec can be made of the network, is the network."""
    q, _ = row_case(case, precision, True)
    for codec in (None, *range(15), 17, 18):
        try:
            data = pack(q, only=None if codec is None else {codec, 0, 2} if len(q.projections) > 1 else {codec}).data
        except ValueError:
            continue
        decoded = engines.synapses(data)
        weight = q.weight if precision == "int8" else q.weight.astype(np.float32).view(np.int32)
        wanted = np.column_stack([q.source, q.target, weight])
        stored = np.argsort(np.argsort([p.source for p in q.projections], kind="stable"))  # by source area
        group = np.repeat(stored, np.diff(q.projection_start))
        wanted = np.column_stack([group, wanted.astype(np.int64)])
        assert np.array_equal(decoded, wanted[np.lexsort(wanted.T[::-1])])


@pytest.mark.parametrize("case", ROW_CASES)
def test_row_cases_hit_their_codecs(case: str) -> None:
    _, _, wanted, block_log2 = ROW_CASES[case]
    hit, smallest = codecs(row_case(case, "int8", True)[0])
    assert wanted <= hit
    assert smallest == block_log2


def preimage(hashed: int) -> int:
    """The number whose pcg hash is `hashed`: the permutation, backwards."""
    word = hashed ^ hashed >> 22  # the upper 10 bits stand as they are
    word = word * pow(277803737, -1, 1 << 32) & 0xFFFFFFFF
    shift, state = (word >> 28) + 4, word
    for _ in range(32 // shift + 1):
        state = word ^ state >> shift
    return (state - 2891336453) * pow(747796405, -1, 1 << 32) & 0xFFFFFFFF


def test_always_fires_at_the_highest_draw() -> None:
    """The one draw that no lower bound passes. Neuron 0 meets it in one burst of 2^32: the engines are put there."""
    highest = preimage(0xFFFFFFFF)
    assert pcg_one(highest) == 0xFFFFFFFF
    burst = highest * pow(1597334677, -1, 1 << 32) & 0xFFFFFFFF
    for bound, fires in ((ALWAYS, True), (ALWAYS - 1, False)):
        q = network("int8", [1], fire_draw=np.full(1, bound, np.uint32))
        reference, host = Reference(q), engines.host(q)
        reference.burst = burst - 1
        host._engine.burst = burst - 1  # type: ignore[attr-defined]
        entry = stimulus(q, [(burst, 0, 100)])
        assert engines.assert_agree(reference, host, 1, entry).ids.tolist() == [0] * fires


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("candidates_only", "bound", "wide"),
    [(False, 32767, False), (False, 32768, True), (True, 16383, False), (True, 16384, True)],
)
def test_sums_at_the_accumulators_end(candidates_only: bool, bound: int, wide: bool, sign: int, name: str) -> None:
    weight = bound - 1  # and 1 from the stimulus
    group = Synapses(0, 1, [0, 0], [0, 1], [sign * weight] * 2)
    q = network("int8", [1, 2], [group], candidates_only=candidates_only, stimulus_limit=1, threshold=1, guard_bits=1)
    q.threshold[1:] = 32767
    assert accumulator_bound(q).max() == bound
    image = Image(pack(q).data)
    assert bool(image.word(image.area(1, "FLAGS").offset) & WIDE_INPUT) == wide
    entries = stimulus(q, [(t, n, sign if n else 1) for t in (1, 2, 3) for n in (0, 1)])
    engines.agree(q, 4, entries, name)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("candidates_only", [True, False])
def test_sums_of_zero_make_candidates(precision: str, candidates_only: bool, name: str) -> None:
    """Neuron 2 gets +5 and -5, 3 a weight of 0, 4 a stimulus of 0, 5 a power of 0: all leak. 6 gets nothing."""
    group = Synapses(0, 1, [0, 1, 0], [0, 0, 1], [5, -5, 0])
    half = 16384 if precision == "int8" else 0.5
    power = {
        "power_neuron": np.array([5], np.uint32),
        "power_value": np.zeros(1, "i4" if precision == "int8" else "f4"),
    }
    q = network(precision, [2, 5], [group], candidates_only=candidates_only, retained=half, **power)
    charge = [(1, n, 64) for n in range(2, 7)]
    entries = stimulus(q, [*charge, (1, 0, 100), (1, 1, 100), (2, 4, 0)])
    engines.agree(q, 2, entries, name)
    reference = Reference(q)
    reference.run(2, entries)
    kept = 32 if candidates_only else 16
    assert reference.potentials()[2:].tolist() == [16, 16, 16, 16, kept]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("candidates_only", [True, False])
def test_fp32_sums_that_leave_binary32(candidates_only: bool, name: str) -> None:
    """Sums of 3e38 pass the largest float: the accumulator is infinite, the potential is clamped and counted."""
    big = 3e38
    group = Synapses(
        0, 1, [0, 1, 2, 0, 1, 2, 0, 1], [0, 0, 0, 1, 1, 1, 2, 2], [big, big, -big, -big, -big, big, big, -big]
    )
    q = network("fp32", [3, 3], [group], candidates_only=candidates_only, stimulus_limit=3.4e38, threshold=3e38)
    q.threshold[:3] = 1
    entries = stimulus(q, [(1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 4, -3.4e38), (2, 5, 3.4e38), (3, 5, -3.4e38)])
    engines.agree(q, 4, entries, name)
    with closing(engines.make(name, q)) as engine:
        engine.run(2, entries)
        assert engine.counters().saturations == 3
        assert np.all(np.isfinite(engine.potentials()))


def agree_long(precision: str, bursts: int) -> None:
    """Reference and host agree on a 1,000-neuron network with every feature, 5,000 bursts at a time."""
    q = random_network(31, precision, True, areas=20, largest_area=50, density=0.12)
    assert 900 < q.neurons < 1500
    reference, host = Reference(q), engines.host(q)
    for begin in range(0, bursts, 5000):
        part = random_stimulus(q, begin, 5000, 0.02)
        found = engines.assert_agree(reference, host, 5000, CodedStimulus(part.burst + begin, part.neuron, part.value))
        assert found.spikes > 5000


@pytest.mark.parametrize("precision", PRECISIONS)
def test_long_run(precision: str) -> None:
    agree_long(precision, 5000)


@pytest.mark.soak
@pytest.mark.parametrize("precision", PRECISIONS)
def test_soak(precision: str) -> None:
    agree_long(precision, 100_000)


BAD_STIMULI: dict[str, tuple[str, list[tuple[int, int, float]]]] = {
    "beyond the limit": ("int8", [(1, 0, 100), (2, 1, 101)]),
    "below the limit": ("int8", [(2, 1, -101)]),
    "no such neuron": ("int8", [(2, 2, 1)]),
    "a pair twice": ("int8", [(2, 1, 1), (2, 1, 2)]),
    "neurons descend": ("int8", [(2, 1, 1), (2, 0, 2)]),
    "bursts descend": ("int8", [(2, 1, 1), (1, 0, 2)]),
    "float beyond the limit": ("fp32", [(2, 1, 100.00001)]),
    "not a number": ("fp32", [(2, 1, np.nan)]),
    "infinite": ("fp32", [(2, 1, -np.inf)]),
    "minus zero": ("fp32", [(2, 1, -0.0)]),
}


@pytest.mark.parametrize("name", engines.NAMES)
@pytest.mark.parametrize("case", BAD_STIMULI)
def test_every_engine_refuses_a_stimulus_at_fault(case: str, name: str) -> None:
    precision, entries = BAD_STIMULI[case]
    q = network(precision, [2], stimulus_limit=100)
    burst, neuron, value = (np.array(column) for column in zip(*entries, strict=True))
    bad = CodedStimulus(burst.astype(np.int64), neuron.astype(np.uint32), value.astype(q.types.input))
    with closing(engines.make(name, q)) as engine:
        with pytest.raises(EspikeError):
            engine.run(3, bad)
        engine.reset()
        good = stimulus(q, [(1, 0, 100), (2, 1, -100)])
        engines.assert_agree(engine, Reference(q), 3, good)
