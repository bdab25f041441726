"""Builder: FEAGI's verbs, and edits between bursts that keep the state and give what was built that way."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from espike import Builder
from espike.image import pack
from espike.quantize import quantize
from espike_sim import stimulus
from espike_sim.engine import Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.reference import Reference
from espike_sim.stimulus import Stimulus


def random_builder(seed: int, precision: str, neurons: int = 60, synapses: int = 600, **more: Any) -> Builder:
    """A builder whose areas take turns, so that its ids are not the connectome's."""
    rng = np.random.default_rng(seed)
    made = Builder(precision=precision, **more)
    for i in range(neurons):
        made.add_neuron(
            threshold=float(rng.integers(200, 400)), leak=0.05, refractory=int(rng.integers(0, 3)), area=f"area {i % 3}"
        )
    kind = (rng.random(synapses) < 0.2).astype(int)
    made.add_synapses(
        rng.integers(0, neurons, synapses), rng.integers(0, neurons, synapses), rng.integers(0, 20, synapses), 10, kind
    )
    return made


def play(made: Builder, bursts: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [
        made.process_burst(np.flatnonzero(rng.random(made.get_neuron_count()) < 0.1), 500).fired_neurons
        for _ in range(bursts)
    ]


def test_the_usage_example() -> None:
    npu = Builder(neuron_count=4, synapse_capacity=3, fire_ledger_window=20)
    ids = [npu.add_neuron(threshold=1.0, leak=0.1, refractory=0) for _ in range(4)]
    for source, target, weight, conductance, kind in [(2, 0, 1, 1, 0), (2, 1, 2, 1, "excitatory"), (0, 3, 1, 1, 1)]:
        npu.add_synapse(source, target, weight, conductance, kind)
    npu.rebuild_indexes()
    npu.set_neuron_mapping({0: 7, 1: 7, 2: 1, 3: 9})
    assert (ids, npu.get_neuron_count(), npu.get_synapse_count()) == ([0, 1, 2, 3], 4, 3)
    result = npu.process_burst(power_neurons=[2])
    assert (result.burst, result.neuron_count, result.fired_neurons) == (1, 1, (2,))
    assert npu.process_burst(power_neurons=[2]).fired_neurons == (0, 1, 2)
    assert npu.process_burst(power_neurons=[2], power_amount=0.5).fired_neurons == (0, 1)
    assert [frame.fired_neurons for frame in npu.get_fire_history(window=2)] == [(0, 1, 2), (0, 1)]
    assert [area.id for area in npu.connectome().areas] == ["7", "1", "9"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_built_network_runs_as_its_connectome(precision: str) -> None:
    made = random_builder(1, precision)
    fired = play(made, 60)
    q = quantize(made.connectome(), precision)
    order = np.argsort(np.arange(60) % 3, kind="stable")
    place = np.argsort(order)
    rng = np.random.default_rng(0)
    burst, neuron = np.nonzero(rng.random((60, 60)) < 0.1)
    neuron = place[neuron]
    sort = np.lexsort((neuron, burst))
    given = Stimulus(burst[sort] + 1, neuron[sort].astype(np.uint32), np.full(len(burst), 500.0))
    engines: list[Engine] = [Reference(q), Host(ImageView(pack(q).data))]
    for engine in engines:
        ledger = engine.run(60, stimulus.code(given, q))
        assert [tuple(sorted(order[ledger.fired(t)].tolist())) for t in range(1, 61)] == fired
    assert sum(map(len, fired)) > 100


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_edits_and_rebuild_equal_a_network_built_that_way(precision: str) -> None:
    rng = np.random.default_rng(5)
    edited, fresh = (Builder(precision=precision) for _ in range(2))
    for made in (edited, fresh):
        made.add_neurons(40, threshold=300, leak=0.02)
    pairs = sorted({(int(a), int(b)) for a, b in rng.integers(0, 40, (300, 2))})
    for number, (a, b) in enumerate(pairs):
        edited.add_synapse(a, b, 5 if number % 3 else 9, 20, number % 5 == 0)
    for number, (a, b) in enumerate(pairs):
        if number % 4 == 0:
            assert edited.remove_synapse(a, b) == 1
        else:
            assert number % 3 or edited.update_weight(a, b, 7) == 1
            fresh.add_synapse(a, b, 5 if number % 3 else 7, 20, number % 5 == 0)
    edited.rebuild_indexes()
    assert edited.connectome().hash == fresh.connectome().hash
    assert edited.get_synapse_count() == fresh.get_synapse_count()
    assert play(edited, 40) == play(fresh, 40)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("more", [{}, {"candidates_only": False}, {"accumulate": False}])
def test_a_rebuild_keeps_the_state(precision: str, more: dict[str, Any]) -> None:
    """An edit that changes nothing in the network changes nothing in what it does."""
    plain, rebuilt = random_builder(3, precision, **more), random_builder(3, precision, **more)
    expected = play(plain, 30)
    rng = np.random.default_rng(0)
    found = []
    for t in range(30):
        found.append(rebuilt.process_burst(np.flatnonzero(rng.random(60) < 0.1), 500).fired_neurons)
        if t % 3 == 0:
            a, b = int(rebuilt._synapses.source[t]), int(rebuilt._synapses.target[t])
            weights = rebuilt._synapses.weight[rebuilt._synapses.of_pair(a, b)]
            if len(weights) == 1:
                rebuilt.update_weight(a, b, float(weights[0]))
            rebuilt.rebuild_indexes()
    assert found == expected


def test_state_follows_neurons_to_other_areas_and_past_new_ones() -> None:
    made = Builder()
    made.add_neurons(3, threshold=2.0)
    made.process_burst([1], 1.5)
    made.set_neuron_mapping({1: "other", 0: "last"})
    new = made.add_neuron(threshold=2.0, area="other")
    assert made.process_burst([0, 1, 2, new], 0.5).fired_neurons == (1,)
    assert made.get_fire_history()[-1].burst == 2


def test_a_removed_synapse_never_propagates() -> None:
    made = Builder()
    made.add_neurons(2)
    first = made.add_synapse(0, 1, 2, 1, 0)
    assert made.add_synapse(0, 1, 3, 1, 0) == first + 1
    made.process_burst([0])
    assert made.remove_synapse(0, 1) == 2
    assert made.process_burst([0]).fired_neurons == (0,)
    assert made.remove_synapse(0, 1) == 0 == made.get_synapse_count()
    assert made.add_synapse(0, 1, 2, 1, 0) == first + 2
    assert made.process_burst().fired_neurons == (1,)


def test_half_a_million_synapses_take_seconds() -> None:
    rng = np.random.default_rng(2)
    begin = time.monotonic()
    made = Builder(neuron_count=22_590, synapse_capacity=500_000)
    made.add_neurons(22_590, threshold=600, leak=0.1)
    made.add_synapses(
        rng.integers(0, 22_590, 500_000), rng.integers(0, 22_590, 500_000), rng.integers(1, 60, 500_000), 10
    )
    for _ in range(5):
        made.process_burst(range(0, 22_590, 20), 1000)
    assert made.get_fire_history()[-1].neuron_count > 1_000
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda b: b.add_neuron(leak=1.5), "leak 1.5 leaves 0..1"),
        (lambda b: b.add_neuron(threshold=float("nan")), "threshold nan"),
        (lambda b: b.add_neuron(refractory=70000), "refractory"),
        (lambda b: b.add_neurons(3), "raise neuron_count"),
        (lambda b: b.add_synapse(0, 9, 1, 1, 0), "target 9 is no neuron"),
        (lambda b: b.add_synapse(-1, 0, 1, 1, 0), "source -1"),
        (lambda b: b.add_synapse(0, 1, 256, 1, 0), "weight 256 leaves 0..255"),
        (lambda b: b.add_synapse(0, 1, 1, -1, 0), "conductance -1"),
        (lambda b: b.add_synapse(0, 1, 1, 1, 2), "type is unknown"),
        (lambda b: b.add_synapses([0, 1], [1, 0, 1], 1, 1), "one length"),
        (lambda b: b.add_synapses([0] * 9, 1, 1, 1), "raise synapse_capacity"),
        (lambda b: b.update_weight(0, 1, 300), "weight 300"),
        (lambda b: b.set_neuron_mapping({5: 1}), "neuron 5 does not exist"),
        (lambda b: b.process_burst([7]), "power neuron 7 does not exist"),
        (lambda b: b.get_fire_history(1), "0 are"),
        (lambda b: Builder(precision="fp9"), "precision 'fp9' is not run"),
        (lambda b: Builder(fire_ledger_window=0), "fire_ledger_window"),
        (lambda b: Builder().process_burst(), "there is no neuron"),
    ],
)
def test_refusals_name_the_field(call: Any, says: str) -> None:
    made = Builder(neuron_count=4, synapse_capacity=8)
    made.add_neurons(2)
    with pytest.raises(EspikeError, match=says):
        call(made)
