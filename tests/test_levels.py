"""Few levels of weights: what is chosen, what is carried, what the report says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import engines
import numpy as np
import pytest
from command import run
from image_edit import Image
from small_networks import Synapses, network, stimulus

from espike import levels, rows
from espike.image import pack
from espike_sim import quantized
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome


def random_weights(shift: int = 0) -> QuantizedConnectome:
    """200 neurons with 40 random synapses each, weights spread over +-120."""
    rng = np.random.default_rng(3)
    source, target = np.repeat(np.arange(200), 40), rng.integers(0, 200, 8000)
    weight = np.clip(rng.normal(10, 40, 8000), -120, 120).astype(int)
    return network("int8", [200], [Synapses(0, 0, source, target, weight, shift)], threshold=400)


def codec(q: QuantizedConnectome) -> str:
    image = Image(pack(q).data)
    return rows.CODEC_NAMES[image.word(image.projection(0, "CODEC").offset) & 255]


@pytest.mark.parametrize(("weights", "count", "name"), [("4", 16, "d8w4"), ("3", 8, "b53"), ("2", 4, "b62")])
def test_few_levels_take_few_bits(weights: str, count: int, name: str) -> None:
    q = random_weights()
    made = levels.reduce(q, weights)
    assert len(np.unique(made.weight)) == count
    assert codec(made) == name
    assert len(pack(made).data) < len(pack(q).data)
    assert np.array_equal(made.source, q.source)
    assert np.array_equal(made.target, q.target)
    assert made.hash != q.hash


def test_ternary_rows_have_one_magnitude_and_keep_every_synapse() -> None:
    q = random_weights()
    made = levels.reduce(q, "ternary")
    size = np.abs(made.weight.astype(int)).reshape(200, 40)
    assert np.all(size == size[:, :1])
    assert np.all(size > 0)
    assert made.synapses == q.synapses
    row = Image(pack(made, only={rows.CODEC_NAMES.index("ternary")}).data)
    assert row.word(row.projection(0, "CODEC").offset) & 255 == 13


@pytest.mark.parametrize("weights", ["4", "3", "2", "ternary"])
def test_errors_are_carried_to_the_next_synapse_of_a_target(weights: str) -> None:
    q = random_weights()
    (entry,) = levels.reduce(q, weights).report["levels"]["areas"]
    assert entry["sum_error"] < entry["sum_error_rounded"] / 2
    assert 0 < entry["weight_error_mean"] < entry["weight_error_max"] < 2
    made = levels.reduce(q, weights)
    sums = [np.bincount(n.target, weights=n.weight, minlength=n.neurons) for n in (q, made)]
    largest = np.abs(q.weight).max()
    assert np.abs(sums[1] - sums[0]).max() / largest == pytest.approx(entry["sum_error"], abs=1e-5)


def test_a_target_is_processed_in_order() -> None:
    """Levels 0 and 10: 6, 6, 6 become 10 (4 too much), 0 (6 - 4 = 2), 10 (6 + 2 = 8)."""
    weight = np.array([6, 6, 6], np.int64)
    made = levels._diffuse(weight, np.zeros(3, np.int64), levels._to_levels(np.array([0, 10])))
    assert made.tolist() == [10, 0, 10]


def test_levels_are_where_the_weights_are() -> None:
    weight = np.array([-50] * 9 + [0] * 5 + [1] * 5 + [100] * 3 + [103], np.int64)
    assert levels.nearest_levels(weight, 4).tolist() == [-50, 0, 1, 101]
    assert levels.nearest_levels(weight, 8).tolist() == [-50, 0, 1, 100, 103]
    rng = np.random.default_rng(1)
    normal = np.clip(rng.normal(0, 30, 20_000), -127, 127).astype(np.int64)
    found = levels.nearest_levels(normal, 16)
    error = np.abs(normal[:, None] - found).min(axis=1)
    spaced = np.linspace(-120, 120, 16)
    assert (error**2).mean() < (np.abs(normal[:, None] - spaced).min(axis=1) ** 2).mean()


def test_rows_that_are_small_already_are_left() -> None:
    few = Synapses(0, 1, np.repeat(np.arange(20), 5), np.tile(np.arange(0, 50, 10), 20), np.arange(100) % 4)
    uniform = Synapses(0, 1, np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20), np.repeat(np.arange(20) * 60, 5))
    q = network("int8", [20, 60], [few, uniform])
    assert levels.reduce(q, "8") is q
    assert np.array_equal(levels.reduce(q, "2").weight, q.weight)
    assert levels.reduce(q, "2").report["levels"]["areas"] == []


def test_only_int8_has_levels() -> None:
    q = network("fp32", [2], [Synapses(0, 0, [0], [1], [0.5])])
    with pytest.raises(EspikeError, match="only int8"):
        levels.reduce(q, "4")
    with pytest.raises(EspikeError, match="unknown"):
        levels.reduce(random_weights(), "5")


@pytest.mark.parametrize("weights", ["4", "3", "2", "ternary"])
@pytest.mark.parametrize("shift", [0, 2])
def test_reduced_networks_run_alike(weights: str, shift: int) -> None:
    q = levels.reduce(random_weights(shift), weights)
    entries = stimulus(q, [(t, n, 1000) for t in (1, 3) for n in range(0, 200, 7)])
    assert engines.agree(q, 6, entries, "host", "rows").spikes > 50


def test_pack_reduces_and_says_so(tmp_path: Path) -> None:
    q = replace(random_weights(), report={"precision": "int8", "areas": []})
    quantized.save(q, tmp_path / "net.quantized.npz")
    plain = run("pack", "net.quantized.npz", "-o", "a.spk", cwd=tmp_path)
    told = run("pack", "net.quantized.npz", "-o", "b.spk", "--weights", "3", cwd=tmp_path)
    assert (plain.code, told.code) == (0, 0)
    assert "weights of 3 bits" in told.out
    assert (tmp_path / "b.spk").stat().st_size < (tmp_path / "a.spk").stat().st_size
    fast = run("pack", "b.quantized.npz", "-o", "c.spk", "--optimize", "speed", cwd=tmp_path)
    assert fast.code == 0
    assert (tmp_path / "c.spk").stat().st_size > (tmp_path / "b.spk").stat().st_size
    assert run("pack", "net.quantized.npz", "--weights", "5", cwd=tmp_path).code == 2
