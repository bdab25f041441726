"""The random networks hold what the agreement tests rely on, and stay alive."""

from __future__ import annotations

import numpy as np
import pytest
from random_networks import random_network, random_stimulus

from espike_sim.quantized import ALWAYS
from espike_sim.reference import Reference


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_activity_neither_dies_nor_floods(precision: str) -> None:
    rates = []
    for seed in range(6):
        q = random_network(seed, precision)
        engine = Reference(q)
        rates.append(engine.run(60, random_stimulus(q, seed, 60)).counts()[30:].mean() / q.neurons)
        if precision == "int8":
            assert np.mean(np.abs(engine.potentials().astype(np.int32)) == 32767) < 0.1
    assert min(rates) > 0
    assert 0.005 < np.median(rates) < 0.2


def test_every_feature_occurs() -> None:
    networks = [random_network(seed) for seed in range(8)]
    assert any(np.any((q.fire_draw > 0) & (q.fire_draw < ALWAYS)) for q in networks)
    assert any(np.any(np.abs(q.weight.astype(int)) > 127) for q in networks)
    assert {p.shift for q in networks for p in q.projections} >= {0, 1, 2, 3, 7}
    assert {int(bits) for q in networks for bits in q.guard_bits} == {0, 1, 2, 3, 4}
    assert any(0 in np.diff(q.projection_start) for q in networks)
    assert any(np.any(q.source == q.target) for q in networks)
    assert any(q.snooze.max() == 65534 for q in networks)
    assert any(q.fire_limit.max() == 65534 for q in networks)
    gaps, pairs = [], []
    for q in networks:
        same_row = np.diff(q.source) == 0
        gap = np.diff(q.target.astype(int))[same_row]
        gaps.append(gap.max())
        pairs.append(np.any(gap == 0))
    assert max(gaps) > 255
    assert any(pairs)


def test_a_seed_gives_the_same_network() -> None:
    assert random_network(5).hash == random_network(5).hash
    assert random_network(5).hash != random_network(6).hash
