"""Dense rows of vectors: what the packer makes of weights, when it refuses, what engines read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
from command import run
from hypothesis import given, settings
from hypothesis import strategies as st
from image_edit import Image
from numpy.typing import NDArray
from small_networks import Synapses, network, stimulus

from espike import boards, capacity, levels, plan, row_codecs, rows, transfer, vectors
from espike.image import pack
from espike.network import packed_view
from espike_sim import quantized
from espike_sim.learning import Learning
from espike_sim.quantized import QuantizedConnectome

WIDTHS = {"vq4": 4, "vq8": 8}


def layer(sources: int, targets: int, seed: int = 0, spread: float = 30) -> NDArray[np.int64]:
    """int64 (sources, targets): normal weights."""
    drawn = np.random.default_rng(seed).normal(0, spread, (sources, targets))
    return np.clip(np.round(drawn), -127, 127).astype(np.int64)


def dense(weight: NDArray[np.int64], **how: Any) -> QuantizedConnectome:
    """Two areas, all pairs."""
    sources, targets = weight.shape
    ids = np.repeat(np.arange(sources), targets), np.tile(np.arange(targets), sources)
    return network("int8", [sources, targets], [Synapses(0, 1, *ids, weight.reshape(-1))], threshold=400, **how)


def codec_of(q: QuantizedConnectome) -> str:
    image = Image(pack(q).data)
    return rows.CODEC_NAMES[image.word(image.projection(0, "CODEC").offset) & 255]


def stored_bytes(q: QuantizedConnectome) -> int:
    """Bytes of rows and codebook in the image, padding included."""
    return pack(q).sizes["rows"]


def assert_lossless(q: QuantizedConnectome) -> None:
    found = engines.synapses(pack(q).data)[:, 1:]
    wanted = np.column_stack([q.source, q.target, q.weight]).astype(np.int64)
    assert np.array_equal(found, wanted[np.lexsort(wanted.T[::-1])])


@pytest.fixture(scope="module")
def large() -> NDArray[np.int64]:
    return layer(256, 1024)


@pytest.mark.parametrize("weights", WIDTHS)
def test_a_large_layer_is_never_larger_than_levels_of_as_good_a_ratio(weights: str, large: NDArray[np.int64]) -> None:
    q = dense(large)
    made = levels.reduce(q, weights)
    (entry,) = made.report["levels"]["vectors"]
    assert codec_of(made) == "dense-vectors"
    assert stored_bytes(made) == entry["bytes"] < entry["scalar_bytes"]
    assert entry["scalar_sqnr_db"] >= entry["sqnr_db"]
    as_levels = levels.reduce(q, entry["scalar"])
    assert stored_bytes(as_levels) == entry["scalar_bytes"]
    assert entry["bytes"] == 256 * 1024 // WIDTHS[weights] + 256 * WIDTHS[weights]
    assert_lossless(made)


def test_the_ratio_that_is_told_is_that_of_the_nearest_vectors(large: NDArray[np.int64]) -> None:
    book = vectors.codebooks(large, 4)[256]
    made = vectors.rounded(large, book)
    (entry,) = levels.reduce(dense(large), "vq4").report["levels"]["vectors"]
    ratio = 10 * np.log10((large**2).sum() / ((large - made) ** 2).sum())
    assert entry["sqnr_db"] == pytest.approx(ratio, abs=0.01)
    assert 10 < ratio < 10.8  # 2 levels of bits have 9.3
    some = large[:4].reshape(-1, 4)
    by_hand = ((some[:, None] - book) ** 2).sum(axis=2)
    assert np.array_equal(made[:4].reshape(-1, 4), book[by_hand.argmin(axis=1)])


@pytest.mark.parametrize("weights", WIDTHS)
def test_a_small_layer_takes_levels_and_says_so(weights: str) -> None:
    q = dense(layer(24, 32))
    made = levels.reduce(q, weights)
    (entry,) = made.report["levels"]["vectors"]
    assert (entry["vectors"], entry["bytes"] >= entry["scalar_bytes"]) == (0, True)
    assert np.array_equal(made.weight, levels.reduce(q, entry["scalar"]).weight)
    assert codec_of(made) in ("dense", "dense4", "dense3", "dense2")


def test_rows_that_are_not_dense_take_four_bits() -> None:
    rng = np.random.default_rng(3)
    source, target = np.repeat(np.arange(200), 40), np.sort(rng.integers(0, 200, (200, 40)), axis=1).reshape(-1)
    weight = np.clip(rng.normal(10, 40, 8000), -120, 120).astype(int)
    q = network("int8", [200], [Synapses(0, 0, source, target, weight)], threshold=400)
    made = levels.reduce(q, "vq4")
    assert made.report["levels"]["vectors"] == [{"source": "a0", "target": "a0", "vectors": 0, "scalar": "4"}]
    assert np.array_equal(made.weight, levels.reduce(q, "4").weight)


def test_weights_that_learn_or_are_driven_have_no_vectors(large: NDArray[np.int64]) -> None:
    q = dense(large[:64, :64])
    rule = Learning(1, 1, -1, -127, 127)
    for changed in (replace(q.projections[0], learning=rule), replace(q.projections[0], psp_factor=9)):
        (entry,) = levels.reduce(replace(q, projections=(changed,)), "vq8").report["levels"]["vectors"]
        assert entry["vectors"] == 0


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_few_vectors_are_kept_as_they_are(count: int) -> None:
    """Where a codebook holds all, nothing changes; 300 are too many."""
    rng = np.random.default_rng(count)
    book = rng.integers(-100, 101, (count, 8))
    weight = book[np.resize(np.arange(count), (60, 24))].reshape(60, -1)
    made = levels.reduce(dense(weight), "vq8")
    assert np.array_equal(made.weight.reshape(60, -1), weight) == (count <= 256)


@pytest.mark.parametrize("width", [4, 8])
def test_codebooks_are_made_of_whole_numbers_the_same_every_time(width: int) -> None:
    weight = layer(40, 83, 5)
    first, second = vectors.codebooks(weight, width), vectors.codebooks(weight.copy(), width)
    assert first.keys() == second.keys() <= set(vectors.COUNTS)
    for size, book in first.items():
        assert np.array_equal(book, second[size])
        assert book.shape[1] == width
        assert len(book) <= size
        assert np.abs(book).max() <= 127
    assert max(first) == 256
    ratios = [vectors.sqnr_db(weight, vectors.rounded(weight, first[size])) for size in sorted(first)]
    assert ratios == sorted(ratios)


def test_the_image_is_the_same_every_time() -> None:
    q = dense(layer(64, 256, 2))
    made = [pack(levels.reduce(q, "vq8")).data for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize("columns", [1, 3, 4, 5, 8, 9, 27, 64])
def test_rows_of_any_length_are_read_as_they_were(columns: int) -> None:
    rng = np.random.default_rng(columns)
    for width, count in ((4, 3), (4, 256), (8, 1), (8, 255)):
        book = rng.integers(-127, 128, (count, width))
        weight = book[rng.integers(0, count, (30, -(-columns // width)))].reshape(30, -1)[:, :columns]
        q = dense(weight)
        ids = q.source.astype(np.int64), q.target.astype(np.int64) - 30
        made = row_codecs.vectors(row_codecs.Synapses(*ids, q.weight, columns, "int8"), columns)
        assert made is not None
        data = pack(q, only={row_codecs.DENSE_VECTORS}).data
        wanted = np.column_stack([q.source, q.target, q.weight]).astype(np.int64)
        assert np.array_equal(engines.synapses(data)[:, 1:], wanted)


def test_as_many_vectors_as_a_byte_can_name() -> None:
    for count in (255, 256, 257):
        book = np.stack([np.arange(count) // 16, np.arange(count) % 16, -np.arange(count) % 7, np.arange(count) % 3], 1)
        rng = np.random.default_rng(count)
        synapses = dense(np.stack([book[rng.permutation(count)].reshape(-1) for _ in range(3)]))
        ids = synapses.source.astype(np.int64), synapses.target.astype(np.int64) - 3
        made = row_codecs.vectors(row_codecs.Synapses(*ids, synapses.weight, 4 * count, "int8"), 4 * count)
        assert (made is None) == (count > 256)
        assert made is None or made.bodies == count - 1


@pytest.mark.parametrize("name", engines.NAMES[1:])
@pytest.mark.parametrize("weights", WIDTHS)
def test_engines_agree_on_vectors(weights: str, name: str) -> None:
    """Made by the packer, in both modes, with shifts, 16 and 32 bits of sums."""
    weight = layer(60, 395, 9)
    ways = [(True, 0, 1000), (False, 1, 1000), (True, 2, 40_000), (False, 0, 40_000)]
    for candidates_only, shift, limit in ways if name == "host" else ways[:2]:
        sources, targets = weight.shape
        ids = np.repeat(np.arange(sources), targets), np.tile(np.arange(targets), sources)
        group = Synapses(0, 1, *ids, weight.reshape(-1), shift)
        q = network(
            "int8", [sources, targets], [group], threshold=60, candidates_only=candidates_only, stimulus_limit=limit
        )
        q = levels.reduce(q, weights)
        assert codec_of(q) == "dense-vectors"
        entries = stimulus(q, [(t, n, 61) for t in (1, 3) for n in range(0, 60, t + 1)])
        found = engines.agree(q, 5, entries, name, *(["rows"] if name == "host" else []))
        assert found.spikes > 100


def test_random_vectors_agree_with_the_reference() -> None:
    @settings(max_examples=40, deadline=None, database=None)
    @given(
        st.sampled_from([4, 8]), st.integers(1, 256), st.integers(1, 60), st.integers(1, 90), st.booleans(),
        st.integers(0, 2**32 - 1),
    )  # fmt: skip
    def agrees(width: int, count: int, sources: int, columns: int, candidates: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        book = rng.integers(-40, 90, (count, width))
        weight = book[rng.integers(0, count, (sources, -(-columns // width)))].reshape(sources, -1)[:, :columns]
        q = dense(weight, candidates_only=candidates)
        q = replace(q, threshold=np.full(q.neurons, 60, q.threshold.dtype))
        entries = [(t, int(n), 61) for t in range(1, 6) for n in np.flatnonzero(rng.random(sources) < 0.4)]
        assert_lossless(q)
        engines.agree(q, 6, stimulus(q, entries), "host", "rows")

    agrees()


def test_plan_prices_vectors() -> None:
    q = levels.reduce(dense(layer(64, 512, 4)), "vq4")
    assert codec_of(q) == "dense-vectors"
    packed, view = packed_view(q)
    speed = plan.plan(packed, view, [boards.boards()["esp32c3"]]).fits[0].speed
    assert speed is not None
    assert 0 < speed.instructions < speed.instructions_worst


def test_a_codebook_does_not_grow_with_the_network() -> None:
    q = levels.reduce(dense(layer(64, 512, 4)), "vq8")
    packed, view = packed_view(q)
    (entry,) = q.report["levels"]["vectors"]
    book = 8 * entry["vectors"]
    scaler = capacity.Scaler(q, packed, view)
    one, two = (scaler.at(scale).flash_bytes for scale in (1.0, 2.0))
    assert one == pytest.approx(len(packed.data), rel=0.01)
    assert two - one < entry["bytes"] - book + 64


def test_transfers_hold_vectors() -> None:
    data = pack(levels.reduce(dense(layer(64, 512, 4)), "vq8")).data
    made = transfer.encode(data)
    assert transfer.expand(made) == data
    assert len(made) < len(data)


def test_pack_makes_vectors_and_tells(tmp_path: Path) -> None:
    q = replace(dense(layer(64, 512, 4)), report={"precision": "int8", "areas": []})
    quantized.save(q, tmp_path / "net.quantized.npz")
    told = run("pack", "net.quantized.npz", "-o", "a.spk", "--weights", "vq4", cwd=tmp_path)
    assert told.code == 0
    assert "vectors of 4" in told.out
    assert "bits instead" in told.out
    asked = run("pack", "net.quantized.npz", "-o", "b.spk", "--weights", "vq8", "--json", cwd=tmp_path)
    (entry,) = json.loads(asked.out)["report"]["levels"]["vectors"]
    assert entry["vectors"] > 0
    again = run("pack", "b.quantized.npz", "-o", "c.spk", cwd=tmp_path)
    assert again.code == 0
    assert (tmp_path / "b.spk").read_bytes() == (tmp_path / "c.spk").read_bytes()
