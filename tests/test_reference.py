"""The reference agrees with the scalar model on random networks, runs in parts, and refuses bad stimuli."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scalar_model
from random_networks import random_network, random_stimulus

from espike_sim import ledger
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

PRECISIONS = ("int8", "fp16", "fp32")


@pytest.mark.parametrize("candidates_only", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", range(8))
def test_scalar_model_agrees(seed: int, precision: str, candidates_only: bool) -> None:
    q = random_network(seed, precision, candidates_only, areas=5, wide_area=seed == 0, timing=seed > 3)
    scalar_model_agrees(q, seed)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", range(12))
def test_scalar_model_agrees_on_neuron_models(seed: int, precision: str) -> None:
    scalar_model_agrees(random_network(seed, precision, areas=5, wide_area=False, timing=seed > 5, models=True), seed)


def scalar_model_agrees(q: QuantizedConnectome, seed: int) -> None:
    """Every burst of a network is that of the scalar model."""
    stimulus = random_stimulus(q, seed + 100, 30)
    engine = Reference(q)
    events = saturations = 0
    for t, burst in enumerate(scalar_model.run(q, stimulus, 30), 1):
        assert engine.run(1, stimulus).fired(t).tolist() == burst.fired, f"fired in burst {t}"
        wanted = np.array(burst.potentials).astype(q.types.potential)
        assert np.array_equal(engine.potentials(), wanted), f"potentials after burst {t}"
        assert engine.learned().tolist() == burst.weights, f"weights after burst {t}"
        events, saturations = events + burst.events, saturations + burst.saturations
    assert (engine.counters().events, engine.counters().saturations) == (events, saturations)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_parts_and_resets_yield_the_same_ledger(precision: str) -> None:
    q = random_network(7, precision)
    stimulus = random_stimulus(q, 7, 40)
    engine = Reference(q)
    whole = engine.run(40, stimulus)
    engine.reset(track_potentials=False)
    parts = ledger.concatenate([engine.run(n, stimulus) for n in (1, 0, 16, 23)])
    assert ledger.compare(whole, parts) is None
    assert np.array_equal(whole.hashes, parts.hashes)
    assert parts.potential_hashes is None


def test_storage_order_does_not_change_int8() -> None:
    q = random_network(3, "int8")
    starts = q.projection_start
    order = np.arange(len(q.projections))[::-1]
    parts = [np.arange(starts[p], starts[p + 1]) for p in order]
    synapse = np.concatenate(parts)
    turned = replace(
        q,
        projections=tuple(q.projections[p] for p in order),
        projection_start=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        source=q.source[synapse],
        target=q.target[synapse],
        weight=q.weight[synapse],
    )
    stimulus = random_stimulus(q, 3, 30)
    assert np.array_equal(Reference(q).run(30, stimulus).hashes, Reference(turned).run(30, stimulus).hashes)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([(1, 0, 1), (1, 0, 2)], "burst 1, neuron 0: stimulus 2 is the second of its pair"),
        ([(1, 3, 1), (1, 2, 1)], "is not sorted"),
        ([(2, 0, 1), (1, 0, 1)], "not sorted by burst"),
        ([(1, 9999, 1)], "does not exist"),
        ([(2, 0, 301)], "exceeds the limit"),
        ([(2, 0, -301)], "exceeds the limit"),
    ],
)
def test_bad_stimulus_is_refused(entries: list[tuple[int, int, int]], text: str) -> None:
    q = random_network(1, "int8")
    burst, neuron, value = zip(*entries, strict=True)
    stimulus = CodedStimulus(np.array(burst, np.int64), np.array(neuron, np.uint32), np.array(value, np.int32))
    with pytest.raises(EspikeError, match=text):
        Reference(q).run(3, stimulus)


def test_stimulus_of_another_precision_or_not_finite_is_refused() -> None:
    q = random_network(1, "fp32")
    one = np.array([1], np.int64), np.array([0], np.uint32)
    with pytest.raises(EspikeError, match="the network takes float32"):
        Reference(q).run(1, CodedStimulus(*one, np.array([1], np.int32)))
    with pytest.raises(EspikeError, match="exceeds the limit"):
        Reference(q).run(1, CodedStimulus(*one, np.array([np.nan], np.float32)))
