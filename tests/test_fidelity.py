"""What int8 keeps of fp32 on random networks: the bench's, and shapes and seeds that nothing was tuned on."""

from __future__ import annotations

import pytest

from espike.bench import KEYS
from espike.bench.fidelity import NETWORKS, Recipe, connectome, measure, of_network
from espike.quantize import quantize, warnings


@pytest.mark.parametrize("name", ["100", "1000", "10000"])
def test_the_goals_hold_on_recurrent_networks(name: str) -> None:
    found = of_network(name)
    assert 0.02 <= found.firing <= 0.1
    assert found.ahead.decisions_equal >= 0.9995
    assert found.ahead.f1 >= 0.995
    assert found.rate_correlation >= 0.99


def test_the_goals_hold_on_the_layered_network() -> None:
    found = of_network("layered")
    assert found.free.decisions_equal >= 0.99
    assert found.free.f1 >= 0.97


SHAPES = [
    Recipe((150,), 30, sigma=0.3, refractory=0, spread=0.2, seed=11),
    Recipe((300,), 60, sigma=0.6, inhibition=6.0, one_area=True, seed=12),
    Recipe((300,), 150, sigma=1.0, leak=0.02, amount=0.4, spread=0.3, seed=13),
    Recipe((500,), 50, sigma=1.2, leak=0.3, amount=0.8, one_area=True, seed=14),
    Recipe((700,), 20, sigma=1.0, inhibition=3.0, rate=0.05, amount=0.4, seed=15),
    Recipe((1500,), 300, sigma=0.8, gain=1.5, seed=16),
    Recipe((60, 90, 40), 30, sigma=1.0, gain=0.55, inhibition=2.0, refractory=0, amount=1.0, rate=0.1, seed=17),
]


@pytest.mark.parametrize("recipe", SHAPES, ids=lambda r: f"{r.layers}-{r.fan_out}-{r.sigma}-{r.seed}")
def test_single_decisions_hold_on_other_networks(recipe: Recipe) -> None:
    found = measure(recipe, rate_bursts=200)
    assert 0.01 < found.firing < 0.11
    assert found.ahead.decisions_equal >= 0.9995
    assert found.ahead.f1 >= 0.995


def test_a_heavy_tail_is_neither_cut_nor_lost() -> None:
    q = quantize(connectome(NETWORKS["1000"]), "int8")
    assert len(q.projections) > 4
    assert all(row["weights_clamped"] == 0 for row in q.report["areas"])
    assert all(row["weight_error_rms"] < 0.01 for row in q.report["areas"])
    assert not warnings(q.report)


def test_every_figure_has_its_key() -> None:
    names = {key.name for key in KEYS}
    for name in ("100", "1000", "10000"):
        for figure in ("ahead_agreement", "ahead_f1", "free_f1", "rate_correlation"):
            assert f"int8_{figure}_{name}" in names
    assert {"int8_decision_agreement_layered", "int8_spike_f1_layered"} <= names
