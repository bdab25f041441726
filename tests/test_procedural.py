"""Procedural wiring: the rule by hand, its way through files, the quantizer and the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_edit import Image
from small_networks import Synapses, network

from espike import quantize
from espike.image import pack
from espike_sim import connectome, procedural, quantized
from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.errors import EspikeError
from espike_sim.generator import Generator, Wiring
from espike_sim.pcg import pcg_one
from espike_sim.quantized import QuantizedConnectome

LEVELS = tuple(range(-80, 80, 10))
WEIGHTS = tuple(0.5 * k - 3.75 for k in range(16))


def by_hand(seed: int, sources: int, fan_out: int, targets: int, levels: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """The rule of docs/image.md, number by number."""
    found = []
    for source in range(sources):
        x = pcg_one(seed + source * 2654435761)
        for _ in range(fan_out):
            x = (x * 747796405 + 2891336453) % 2**32
            found.append((source, x * targets >> 32, levels[x >> 12 & 15]))
    return sorted(found)


@pytest.mark.parametrize(("seed", "shape"), [(0, (5, 7, 30)), (2**32 - 1, (3, 0, 9)), (77, (1, 65, 1 << 28))])
def test_synapses_are_those_of_the_rule(seed: int, shape: tuple[int, int, int]) -> None:
    source, target, weight = procedural.synapses(seed, *shape, LEVELS)
    assert list(zip(source.tolist(), target.tolist(), weight.tolist(), strict=True)) == by_hand(seed, *shape, LEVELS)


def test_arguments_out_of_range_are_refused() -> None:
    for seed, fan_out, levels in ((-1, 1, LEVELS), (2**32, 1, LEVELS), (1, 65536, LEVELS), (1, 1, LEVELS[1:])):
        with pytest.raises(EspikeError):
            procedural.synapses(seed, 1, fan_out, 10, levels)
    with pytest.raises(EspikeError):
        Generator(1, 1, (200, *LEVELS[1:]))


def drawn() -> QuantizedConnectome:
    """40 neurons, wired by a generator."""
    q = network("int8", [40], [Synapses(0, 0, *procedural.synapses(9, 40, 12, 40, LEVELS))])
    return replace(q, projections=(replace(q.projections[0], generator=Generator(9, 12, LEVELS)),))


def test_generator_travels_with_the_quantized_connectome(tmp_path: Path) -> None:
    q = drawn()
    quantized.save(q, tmp_path / "net.npz")
    loaded = quantized.load(tmp_path / "net.npz")
    assert loaded.projections == q.projections
    assert loaded.hash == q.hash
    plain = replace(q, projections=(replace(q.projections[0], generator=None),))
    assert plain.hash != q.hash
    quantized.save(plain, tmp_path / "plain.npz")
    assert quantized.load(tmp_path / "plain.npz").hash == plain.hash


def grown() -> Connectome:
    """The same in floats, weights of WEIGHTS."""
    source, target, level = procedural.synapses(9, 40, 12, 40, tuple(range(16)))
    count = {"threshold": 20.0, "limit": np.inf, "excitability": 1.0}
    values = {name: np.full(40, value, np.float32) for name, value in count.items()}
    return Connectome(
        areas=(Area("a", "a", "custom", (40, 1, 1), 1, 0, True),),
        mappings=(Mapping(0, 0, "procedural", wiring=Wiring(9, 12, WEIGHTS)),),
        leak=np.zeros(40),
        refractory=np.zeros(40, np.uint16),
        fire_limit=np.zeros(40, np.uint16),
        snooze=np.zeros(40, np.uint16),
        mapping_start=np.array([0, len(source)], np.int64),
        source=source.astype(np.uint32),
        target=target.astype(np.uint32),
        weight=np.array(WEIGHTS, np.float32)[level],
        power_neuron=np.zeros(0, np.uint32),
        power_amount=np.zeros(0, np.float32),
        **values,
    )


def test_wiring_travels_with_the_connectome(tmp_path: Path) -> None:
    c = grown()
    connectome.save(c, tmp_path / "net.npz")
    loaded = connectome.load(tmp_path / "net.npz")
    assert loaded.mappings == c.mappings
    assert loaded.hash == c.hash
    assert replace(c, mappings=(Mapping(0, 0, "procedural"),)).hash != c.hash


def test_wiring_becomes_a_rule_in_the_image() -> None:
    q = quantize.quantize(grown(), "int8")
    assert q.projections[0].generator is not None
    image = Image(pack(q).data)
    assert image.word(image.projection(0, "CODEC").offset) & 255 == 15
    assert quantize.quantize(grown(), "fp32").projections[0].generator is None


def test_a_damaged_generator_is_refused() -> None:
    with pytest.raises(EspikeError, match="damaged"):
        quantized.generator_from_meta({"seed": 1}, "here")
    with pytest.raises(EspikeError, match="damaged"):
        connectome.wiring_from_meta({"seed": "x"}, "here")
