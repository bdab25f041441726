"""Delays, weights that the potential drives, weights that learn: from a genome or a connectome to equal engines."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import engines
import numpy as np
import pytest
from genomes import area, genome, rule, vectors
from small_networks import Synapses, network, stimulus

from espike.genome import develop, from_json
from espike.quantize import quantize
from espike_sim.errors import EspikeError
from espike_sim.learning import Learning
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus
from espike_sim.reference import Reference

PRECISIONS = ("int8", "fp16", "fp32")
OTHERS = ("host", *engines.BOARDS)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("candidates_only", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_engines_agree_on_random_timing(precision: str, candidates_only: bool, name: str) -> None:
    seeds = range(12) if name == "host" else range(2)
    for seed in seeds:
        q = random_network(seed, precision, candidates_only, areas=5, wide_area=seed % 3 == 0, timing=True)
        engines.agree(q, 40, random_stimulus(q, seed, 40), name)


def fired(q: QuantizedConnectome, entries: list[tuple[int, int, int]], bursts: int) -> list[list[int]]:
    """The fired ids of every burst, on the reference, with the host at its side."""
    found = engines.agree(q, bursts, stimulus(q, entries), "host")
    return [found.fired(t).tolist() for t in range(1, bursts + 1)]


def timed(q: QuantizedConnectome, *changes: dict[str, Any]) -> QuantizedConnectome:
    """The network with fields of its projections replaced, one by one."""
    return replace(q, projections=tuple(replace(p, **c) for p, c in zip(q.projections, changes, strict=True)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("delay", [1, 2, 7, 33])
def test_a_spike_arrives_after_its_delay(delay: int, precision: str) -> None:
    q = network(precision, [1, 1], [Synapses(0, 1, [0], [0], [100])])
    late = fired(timed(q, {"delay": delay}), [(1, 0, 100), (3, 0, 100)], delay + 4)
    assert [t for t, ids in enumerate(late, 1) if 1 in ids] == [1 + delay, 3 + delay]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("candidates_only", [True, False])
def test_without_delay_a_chain_of_areas_fires_in_one_burst(candidates_only: bool, precision: str) -> None:
    groups = [Synapses(0, 1, [0], [0], [100]), Synapses(1, 2, [0], [0], [100])]
    q = network(precision, [1, 1, 1], groups, candidates_only=candidates_only)
    assert fired(timed(q, {"delay": 0}, {"delay": 0}), [(2, 0, 100)], 3) == [[], [0, 1, 2], []]


def test_no_delay_back_and_none_too_long() -> None:
    q = network("int8", [1, 1], [Synapses(1, 0, [0], [0], [100])])
    for delay, text in ((0, "leads back"), (1025, "a delay of 1025 bursts"), (-1, "a delay of -1")):
        with pytest.raises(EspikeError, match=text):
            timed(q, {"delay": delay})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_potential_at_or_below_rest_drives_nothing(precision: str) -> None:
    """Neurons 0 to 2 fire at -5, 0 and 1; neuron 3 fires too, and has no row of its own between two others."""
    q = network(precision, [5, 5], [Synapses(0, 1, [0, 1, 2, 4], [0, 1, 2, 4], [9] * 4)], candidates_only=True)
    q.threshold[:5], q.threshold[5:] = -20, 30_000
    q = timed(q, {"psp_factor": 65536 if precision == "int8" else 1})
    entries = stimulus(q, [(1, 0, -5), (1, 1, 0), (1, 2, 1), (1, 3, 7), (1, 4, 2)])
    engines.agree(q, 2, entries, "host")
    reference = Reference(q)
    assert reference.run(1, entries).ids.tolist() == [0, 1, 2, 3, 4]
    reference.run(1, entries)
    assert reference.potentials()[5:].tolist() == [0, 0, 9, 0, 18]


@pytest.mark.parametrize("weight", [3e37, -3e37])
def test_driven_weights_stay_finite(weight: float) -> None:
    """A product past binary32 is its largest number: opposite ones add up to 0, where infinities made NaN."""
    q = network("fp32", [2, 1], [Synapses(0, 1, [0, 1], [0, 0], [weight, -weight])])
    q = timed(replace(q, threshold=np.array([100, 100, 3.3e38], "f4")), {"psp_factor": 1})
    for entries, sign in (([(1, 0, 200)], 1), ([(1, 0, 200), (1, 1, 200)], 0), ([(1, 1, 200)], -1)):
        engines.agree(q, 2, stimulus(q, entries), "host")
        reference = Reference(q)
        reference.run(2, stimulus(q, entries))
        assert np.float32(np.sign(weight) * sign * 3e38) == reference.potentials()[2]


@pytest.mark.parametrize(("amount", "psp"), [(100, 100), (107, 107), (255, 255), (290, 255)])
def test_a_potential_drives_weights(amount: int, psp: int) -> None:
    """The source fires at `amount`; its weight of 2 counts psp times, which the target shows as its potential."""
    for precision, factor in (("int8", 65536), ("fp32", 1)):
        q = network(precision, [1, 1], [Synapses(0, 1, [0], [0], [2])], stimulus_limit=300)
        q.threshold[1] = 30_000
        q = timed(q, {"psp_factor": factor})
        engines.agree(q, 2, stimulus(q, [(1, 0, amount)]), "host")
        reference = Reference(q)
        reference.run(2, stimulus(q, [(1, 0, amount)]))
        assert reference.potentials().tolist() == [0, 2 * psp]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_learn_by_the_window(precision: str) -> None:
    """Source 0 and target 1 by stimulus; window 2, +7 where both fired in both bursts, -3 where any fired in any."""
    q = network(precision, [1, 1], [Synapses(0, 1, [0], [0], [10])])
    q = timed(q, {"learning": Learning(2, 7, -3, 0, 20)})
    entries = [(t, n, 100) for t, ids in {1: [0], 2: [0, 1], 3: [0, 1], 4: [0, 1], 5: [0, 1]}.items() for n in ids]
    wanted = [7, 4, 11, 18, 20, 17, 17, 17]  # burst 1 alone, 2 mixed, 3..5 both, 6 still sees 5, then nothing
    reference = Reference(q)
    seen = [(reference.run(1, stimulus(q, entries)), reference.learned().tolist()[0])[1] for _ in range(8)]
    assert seen == wanted
    fired(q, entries, 12)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_genome_with_everything(precision: str) -> None:
    """A driven, plastic, delayed genome learns and runs alike everywhere; its weights end otherwise than they began."""
    late = {"morphology_id": "v", "delay": 3, "postSynapticCurrent_multiplier": 2}
    plastic = ["v", [1, 1, 1], 4, True, 1, 2, 1, 3]
    made = genome(
        area("a_____", (4, 2, 1), {"b_____": [plastic, late]}, fire_t=1.0, pstcr_=1),
        area("b_____", (4, 2, 1), {"a_____": [rule("v")]}, fire_t=2.0, mp_psp=True, mp_acc=True),
        morphologies={"v": vectors([0, 0, 0], [1, 0, 0])},
    )
    q = quantize(develop(from_json(made)), precision)
    begin = q.areas[3].first
    entries = [
        (t, begin + n, float(q.stimulus_limit[3]) / 2) for t in range(1, 30) for n in range(8) if (t * n) % 3 != 1
    ]
    coded = stimulus(q, [(t, n, int(v) if precision == "int8" else min(v, 50)) for t, n, v in entries])
    found = engines.agree(q, 40, coded, "host")
    assert found.spikes > 100
    reference = Reference(q)
    before = reference.learned()
    reference.run(40, coded)
    assert not np.array_equal(before, reference.learned())


def test_int8_learns_as_fp32_does() -> None:
    """Weights of both precisions, in potential units, stay within a code of each other while both fire alike."""
    made = genome(
        area("a_____", (4, 1, 1), {"b_____": [["v", [1, 1, 1], 40, True, 1, 5, 3, 2]]}, fire_t=10.0),
        area("b_____", (4, 1, 1), fire_t=10.0),
        morphologies={"v": vectors([0, 0, 0])},
    )
    c = develop(from_json(made))
    weights = []
    for precision in ("int8", "fp32"):
        q = quantize(c, precision)
        reference = Reference(q)
        entries = [
            (t, n, 1e9) for t in range(1, 20) for n in range(q.areas[3].first, q.areas[3].first + 4) if t % (n % 3 + 1)
        ]
        limit = float(q.stimulus_limit[3])
        reference.run(
            25, stimulus(q, [(t, n, int(min(v, limit)) if precision == "int8" else 20) for t, n, v in entries])
        )
        code = q.scale[4] * (1 << q.projections[0].shift)
        weights.append(reference.learned() * code)
    assert np.abs(weights[0] - weights[1]).max() <= 20 * q.scale[4] * 0.02 + 1


def test_learning_that_a_file_carries(tmp_path: Any) -> None:
    from espike_sim import connectome, quantized

    q = random_network(4, "int8", areas=4, timing=True)
    quantized.save(q, tmp_path / "q.npz")
    assert quantized.load(tmp_path / "q.npz").hash == q.hash
    made = genome(
        area(
            "a_____",
            (1, 1, 1),
            {"b_____": [["v", [1, 1, 1], 3, True], {"morphology_id": "v", "delay": 0}]},
            mp_psp=True,
        ),
        area("b_____", (1, 1, 1)),
        morphologies={"v": vectors([0, 0, 0])},
    )
    c = develop(from_json(made))
    connectome.save(c, tmp_path / "c.npz")
    assert connectome.load(tmp_path / "c.npz").mappings == c.mappings


@pytest.mark.parametrize("name", engines.NAMES)
def test_a_reset_brings_back_the_weights(name: str) -> None:
    q = random_network(6, "int8", areas=5, timing=True)
    entries = random_stimulus(q, 6, 30)
    with closing(engines.make(name, q)) as engine:
        first = engine.run(30, entries)
        engine.reset()
        again = engine.run(30, entries)
    assert np.array_equal(first.potential_hashes, again.potential_hashes)
