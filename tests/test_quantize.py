"""connectome -> quantized connectome: what int8 must not change about a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from genomes import area, genome, patterns, rule

from espike.genome import develop, from_json
from espike.image import pack
from espike.quantize import quantize, warnings
from espike_sim import stimulus, stimulus_spec
from espike_sim.connectome import Connectome
from espike_sim.host import Host, ImageView

ALL = patterns([["*", "*", "*"], ["*", "*", "*"]])


def two_to_one(exc: float, inh: float = 0, sources: int = 1, **target: Any) -> Connectome:
    """Excitatory and inhibitory sources, all to one target; weights are not divided by the fan-out."""
    made = [area("_exc__", (sources, 1, 1), {"_tgt__": [rule("all", exc)]}, pspuni=True)]
    if inh:
        made.append(area("_inh__", (sources, 1, 1), {"_tgt__": [rule("all", inh)]}, pspuni=True))
    made.append(area("_tgt__", (1, 1, 1), **{"fire_t": 1, "mp_acc": True, **target}))
    return develop(from_json(genome(*made, morphologies={"all": ALL})))


def spikes(c: Connectome, precision: str, *specs: str, bursts: int = 100) -> list[int]:
    """Spikes of each area."""
    q = quantize(c, precision)
    ledger = Host(ImageView(pack(q).data)).run(bursts, stimulus.code(stimulus_spec.parse(specs, q, bursts), q))
    return np.bincount(q.area_of_neuron[ledger.ids], minlength=len(q.areas)).tolist()


@pytest.mark.parametrize("k", [2, 3, 5, 7, 9, 11, 13, 15])
def test_shares_of_a_threshold_sum_to_it(k: int) -> None:
    """k inputs of a k-th part each: the way FEAGI divides by the fan-out."""
    made = genome(
        area("_src__", (k, 1, 1), {"_tgt__": [rule("all")]}),
        area("_tgt__", (k, 1, 1), fire_t=1),
        morphologies={"all": ALL},
    )
    c = develop(from_json(made))
    found = spikes(c, "int8", "constant:_src__:amount=1")
    assert found == spikes(c, "fp32", "constant:_src__:amount=1")
    assert found[-1] == 99 * k


@pytest.mark.parametrize("sources", [1, 4, 200])
def test_strong_excitation_outweighs_weaker_inhibition(sources: int) -> None:
    c = two_to_one(10, -5, sources)
    drive = ("constant:_exc__:amount=1", "constant:_inh__:amount=1")
    assert spikes(c, "int8", *drive) == spikes(c, "fp32", *drive)
    assert not warnings(quantize(c, "int8").report)


@pytest.mark.parametrize("limit", [1e2, 1e4, 1e6])
def test_a_far_limit_costs_no_resolution(limit: float) -> None:
    c = two_to_one(0.4, fthlim=limit)
    assert spikes(c, "int8", "constant:_exc__:amount=1") == spikes(c, "fp32", "constant:_exc__:amount=1")
    assert any("limits" in line for line in warnings(quantize(c, "int8").report))


def test_a_small_threshold_stays_above_zero() -> None:
    made = genome(area("_tgt__", (10, 1, 1), fire_t=2, ftincx=10000, mp_acc=True))
    q = quantize(develop(from_json(made)), "int8")
    assert q.threshold.min() >= 1
    assert any("threshold error" in line for line in warnings(q.report))


def test_a_threshold_of_zero_knows_small_weights() -> None:
    c = two_to_one(-0.00005, fire_t=0)
    assert spikes(c, "int8", "constant:_exc__:amount=1") == spikes(c, "fp32", "constant:_exc__:amount=1")


def test_weights_that_no_sum_holds_are_cut_and_said() -> None:
    c = two_to_one(255, -255, 60_000, fire_t=0.001)
    q = quantize(c, "int8")
    assert any("cut" in line for line in warnings(q.report))
    assert ImageView(pack(q).data).synapses == c.synapses
