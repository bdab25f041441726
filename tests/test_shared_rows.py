"""Shared rows with a weight per synapse: found where rows repeat, taken where they save, lossless, run to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import engines
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_edit import Image
from numpy.typing import NDArray
from small_networks import Synapses, network, stimulus

from espike import boards, plan, row_codecs, rows
from espike.image import pack
from espike.network import packed_view
from espike_sim.quantized import QuantizedConnectome

PRECISIONS = ("int8", "fp16", "fp32")


def convolution(
    channels: tuple[int, int], side: int, kernel: int, stride: int, seed: int, largest: int = 90
) -> tuple[tuple[int, int], Synapses]:
    """(neurons of both areas, synapses) of a convolution without padding, weights drawn."""
    rng = np.random.default_rng(seed)
    out = (side - kernel) // stride + 1
    weights = rng.integers(-largest // 2, largest, (channels[1], channels[0], kernel, kernel))
    o, c, y, x, i, j = np.meshgrid(
        *(np.arange(n) for n in (channels[1], channels[0], out, out, kernel, kernel)), indexing="ij"
    )
    source = (c * side + y * stride + i) * side + x * stride + j
    target = (o * out + y) * out + x
    weight = weights[o, c, i, j]
    counts = channels[0] * side * side, channels[1] * out * out
    return counts, Synapses(0, 1, source.ravel(), target.ravel(), weight.ravel())


def codec_of(q: QuantizedConnectome, **how: Any) -> int:
    image = Image(pack(q, **how).data)
    return image.word(image.projection(0, "CODEC").offset) & 255


def assert_lossless(q: QuantizedConnectome, data: bytes) -> None:
    weight = q.weight.astype(np.int64) if q.precision == "int8" else q.weight.astype(np.float32).view(np.int32)
    ids = q.source.astype(np.int64), q.target.astype(np.int64)
    wanted = np.column_stack([np.zeros(q.synapses, np.int64), *ids, weight])
    assert np.array_equal(engines.synapses(data), wanted[np.lexsort(wanted.T[::-1])])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_convolution_shares_its_bodies(precision: str, stride: int) -> None:
    counts, synapses = convolution((2, 4), 19, 3, stride, 1)
    q = network(precision, counts, [synapses])
    image = Image(pack(q).data)
    assert codec_of(q) == row_codecs.SHARED_WEIGHTED
    stored = image.word(image.projection(0, "BODIES").offset)
    assert stored < counts[0] / 3
    others = [codec for codec in range(row_codecs.PLASTIC) if codec != row_codecs.SHARED]
    assert len(pack(q).data) < len(pack(q, only=others).data)
    assert_lossless(q, pack(q).data)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_random_convolutions_agree_with_the_reference(precision: str) -> None:
    @settings(max_examples=25, deadline=None, database=None)
    @given(
        st.tuples(st.integers(1, 3), st.integers(1, 5)), st.integers(5, 14), st.integers(1, 4), st.integers(1, 3),
        st.booleans(), st.integers(0, 2), st.integers(0, 2**32 - 1),
    )  # fmt: skip
    def agrees(
        channels: tuple[int, int], side: int, kernel: int, stride: int, candidates: bool, shift: int, seed: int
    ) -> None:
        counts, synapses = convolution(channels, side, kernel, stride, seed)
        synapses = replace(synapses, shift=shift if precision == "int8" else 0)
        q = network(precision, counts, [synapses], candidates_only=candidates, threshold=60)
        rng = np.random.default_rng(seed)
        entries = [(t, int(n), 61) for t in range(1, 6) for n in np.flatnonzero(rng.random(counts[0]) < 0.3)]
        for only in (None, {row_codecs.SHARED_WEIGHTED, row_codecs.D8_UNIFORM, row_codecs.D8}):
            assert_lossless(q, pack(q, only=only).data)
        engines.agree(q, 6, stimulus(q, entries), "host", "rows")

    agrees()


@pytest.mark.parametrize("name", engines.BOARDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_boards_agree_on_a_convolution(precision: str, name: str) -> None:
    """More than 254 targets a channel: gaps with escapes."""
    counts, synapses = convolution((1, 2), 19, 3, 1, 3)
    q = network(precision, counts, [synapses], candidates_only=precision == "int8", threshold=60)
    image = Image(pack(q).data)
    assert codec_of(q) == row_codecs.SHARED_WEIGHTED
    assert image.word(image.projection(0, "CODEC").offset) >> 24 & 1
    rng = np.random.default_rng(3)
    entries = [(t, int(n), 61) for t in range(1, 9) for n in np.flatnonzero(rng.random(counts[0]) < 0.2)]
    found = engines.agree(q, 10, stimulus(q, entries), name)
    assert found.spikes > 300


def one_by_one(shapes: NDArray[Any], pattern: list[int], target_count: int) -> tuple[NDArray[Any], ...]:
    """Rows of one pattern, a target further each; shapes: (rows, synapses) weights."""
    count = len(shapes)
    source = np.repeat(np.arange(count), len(pattern))
    target = (np.arange(count)[:, None] % (target_count - max(pattern)) + np.array(pattern)).reshape(-1)
    return source, target, shapes.reshape(-1)


def test_rows_that_differ_are_not_shared() -> None:
    weights = np.random.default_rng(0).integers(-90, 91, (400, 5)).astype(np.int16)
    synapses = row_codecs.Synapses(*one_by_one(weights, [0, 3, 9, 11, 40], 500), 500, "int8")  # type: ignore[arg-type]
    assert row_codecs.shared_weighted(synapses) is None
    assert rows.encode(synapses.source, synapses.target, synapses.weight, 500, "int8").codec == row_codecs.D8


def test_rows_in_another_order_are_another_body() -> None:
    """fp32 sums depend on the order of synapses, which a body keeps, of equal targets too."""
    weights = np.tile([[1.5, 2.5, 3.5], [2.5, 1.5, 3.5]], (40, 1)).astype(np.float32)
    source, target, weight = one_by_one(weights, [0, 0, 7], 300)
    made = rows.encode(source, target, weight, 300, "fp32")
    assert (made.codec, made.bodies) == (row_codecs.SHARED_WEIGHTED, 2)


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537])
def test_as_many_bodies_as_an_entry_can_name(count: int) -> None:
    weights = np.arange(count)
    shapes = np.column_stack([weights % 100, weights // 100 % 100, weights // 10_000 + 1, weights % 3]).astype(np.int16)
    twice = np.concatenate([shapes, shapes])
    synapses = row_codecs.Synapses(*one_by_one(twice, [0, 1, 2, 3], 1000), 1000, "int8")  # type: ignore[arg-type]
    made = row_codecs.shared_weighted(synapses)
    assert (made is None) == (count > 65_536)
    assert made is None or made.bodies == count


def test_targets_past_65536_and_weights_of_16_bits_are_not_shared() -> None:
    for target_count, largest in ((65_537, 90), (500, 128)):
        weights = np.tile(np.array([[1, largest, 3]], np.int16), (50, 1))
        source, target, weight = one_by_one(weights, [0, 3, 9], target_count)
        synapses = row_codecs.Synapses(source, target, weight, target_count, "int8")
        assert row_codecs.shared_weighted(synapses) is None


def test_speed_weighs_the_codec_by_its_loop() -> None:
    """D8's loop is the same and needs no entry: without escapes it is as fast, and the smaller one is taken."""
    counts, synapses = convolution((2, 2), 12, 3, 1, 5)
    q = network("int8", counts, [synapses])
    assert codec_of(q, optimize="speed") in (row_codecs.D8, row_codecs.SHARED_WEIGHTED)


def test_plan_prices_shared_bodies() -> None:
    counts, synapses = convolution((2, 4), 19, 3, 1, 1)
    q = network("int8", counts, [synapses])
    assert codec_of(q) == row_codecs.SHARED_WEIGHTED
    made = plan.plan(*packed_view(q), [boards.boards()["esp32c3"]])
    speed = made.fits[0].speed
    assert speed is not None
    assert 0 < speed.instructions < speed.instructions_worst
