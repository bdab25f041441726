"""The recipes: same seed same bytes, readable, within their ranges, and alive under a Poisson stimulus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espike.genome import RECIPES, check, develop, encode, from_json, new, parse
from espike_sim.connectome import Connectome
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.pcg import fire_draw, pcg
from espike_sim.quantized import Projection, QuantizedConnectome
from espike_sim.reference import Reference

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "genomes"
BURSTS = 200


def in_floats(c: Connectome) -> QuantizedConnectome:
    """The connectome's own numbers as fp32."""
    areas = len(c.areas)
    return QuantizedConnectome(
        precision="fp32",
        candidates_only=c.candidates_only,
        areas=c.areas,
        projections=tuple(Projection(m.source, m.target, m.rule) for m in c.mappings),
        guard_bits=np.zeros(areas, np.uint8),
        scale=np.ones(areas),
        stimulus_limit=np.full(areas, 100, np.float32),
        threshold=c.threshold,
        limit=c.limit,
        retained=(1 - c.leak).astype(np.float32),
        refractory=c.refractory,
        fire_limit=c.fire_limit,
        snooze=c.snooze,
        fire_draw=fire_draw(c.excitability),
        projection_start=c.mapping_start,
        source=c.source,
        target=c.target,
        weight=c.weight,
        power_neuron=c.power_neuron,
        power_value=c.power_amount,
    )


def rates(c: Connectome, input_rate: float, bursts: int = BURSTS) -> dict[str, list[float]]:
    """Share of neurons firing per burst, early and late, by area name; inputs fire by the hash at `input_rate`."""
    cells = [
        (b, a.first + n) for b in range(1, bursts + 1) for a in c.areas if a.group == "IPU" for n in range(a.count)
    ]
    drawn = pcg(np.arange(len(cells), dtype=np.uint32)) < np.uint64(input_rate * 2**32)
    kept = np.array(cells, np.int64)[drawn]
    stimulus = CodedStimulus(kept[:, 0], kept[:, 1].astype(np.uint32), np.ones(len(kept), np.float32))
    ledger = Reference(in_floats(c)).run(bursts, stimulus)
    fired = np.zeros((bursts, c.neurons))
    for burst in range(1, bursts + 1):
        fired[burst - 1, ledger.fired(burst)] = 1
    half = bursts // 2
    found = {}
    for a in c.areas[3:]:
        part = fired[:, a.first : a.first + a.count]
        found[a.name] = [float(part[20:half].mean()), float(part[half:].mean())]
    return found


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_nets_are_alive_and_stay_so(recipe: str, seed: int) -> None:
    c = develop(from_json(new(recipe, seed)))
    for input_rate in (0.05, 0.1, 0.2):
        for name, parts in rates(c, input_rate).items():
            assert all(0.01 < rate < 0.35 for rate in parts), (name, input_rate, parts)


@pytest.mark.parametrize("recipe", RECIPES)
def test_larger_nets_are_alive_too(recipe: str) -> None:
    sizes: dict[str, Any] = {
        "layered": {"inputs": 100, "hidden": 200, "outputs": 50, "hidden_layers": 3},
        "reservoir": {"inputs": 64, "neurons": 600, "outputs": 20},
        "winner_take_all": {"winners": 40, "inputs_per_winner": 4},
    }
    c = develop(from_json(new(recipe, 3, **sizes[recipe])))
    for name, parts in rates(c, 0.1, 120).items():
        assert all(0.01 < rate < 0.35 for rate in parts), (name, parts)


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_seed_same_bytes(recipe: str) -> None:
    made = encode(new(recipe, 7))
    assert made == encode(new(recipe, 7))
    if recipe != "winner_take_all":  # it has nothing to draw
        assert parse(made).morphologies != parse(encode(new(recipe, 8))).morphologies


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_made_is_clean_and_says_its_sizes(recipe: str) -> None:
    made = new(recipe, 0, precision="fp16", timestep_s=0.005)
    g = from_json(made)
    assert (g.quantization.precision, g.timestep_s) == ("fp16", 0.005)
    assert check(g) == []
    c = develop(g)
    assert made["stats"]["innate_neuron_count"] == c.neurons - 3
    assert made["stats"]["innate_synapse_count"] == c.synapses
    assert np.array_equal(c.weight, np.round(c.weight))


def test_winner_take_all_by_hand() -> None:
    c = develop(
        from_json(new("winner_take_all", winners=2, inputs_per_winner=2, gain=1, inhibition=0.5, self_excitation=1))
    )
    found = list(zip(c.source.tolist(), c.target.tolist(), c.weight.tolist(), strict=True))
    assert found == [
        (3, 7, 50), (4, 7, 50), (5, 8, 50), (6, 8, 50),
        (7, 7, 100), (8, 8, 100),
        (7, 8, -50), (8, 7, -50),
    ]  # fmt: skip


def test_parameters_are_checked() -> None:
    for recipe in RECIPES.values():
        for parameter in recipe.parameters:
            assert parameter.accept(parameter.default, recipe.name) == parameter.default
            assert parameter.accept(str(parameter.default), recipe.name) == parameter.default
            for bad in ("strange", parameter.high + 1, -1, float("nan"), None, [], True):
                with pytest.raises(EspikeError, match=parameter.name):
                    parameter.accept(bad, recipe.name)
    with pytest.raises(EspikeError, match="no recipe 'x'; use layered, reservoir, winner_take_all"):
        new("x")
    with pytest.raises(EspikeError, match="no parameter 'neuron'"):
        new("layered", neuron=3)
    with pytest.raises(EspikeError, match="whole number"):
        new("layered", hidden=3.5)
    with pytest.raises(EspikeError, match=r"outside 1\.\.255; raise the threshold"):
        new("layered", hidden=500, outputs=4)
    with pytest.raises(EspikeError, match="seed"):
        new("layered", 2**32)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_examples_are_what_the_recipes_make(recipe: str) -> None:
    assert (EXAMPLES / f"{recipe}.json").read_bytes() == encode(new(recipe, 1))
