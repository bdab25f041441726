"""recipe -> genome: small networks in FEAGI's flat 2.x form, alive under a Poisson stimulus on their input areas.

Weights follow from sizes: `gain` is what a neuron receives when every neuron before it fires, in thresholds. All
random wiring is drawn by the hash, so a seed gives the same bytes everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

from espike_sim.errors import EspikeError

from .develop import develop
from .model import core_kind
from .read import from_json
from .recipe_parts import JSON, PRECISIONS, Draft

Value = int | float | str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a recipe: its default, and its range or its choices."""

    name: str
    line: str
    default: Value
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The values that are accepted, as text."""
        return " | ".join(self.choices) if self.choices else f"{self.low:g}..{self.high:g}"

    def accept(self, value: Any, recipe: str) -> Value:
        """`value`, or the text of one, checked. Raises: EspikeError naming parameter and range."""
        kind = type(self.default)
        try:
            found: Value = kind(value)
            fits = found in self.choices if self.choices else self.low <= float(found) <= self.high
            if not fits or (kind is int and float(value) != found) or isinstance(value, bool):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            do = f"use {self.range}" + (", a whole number" if kind is int else "")
            what = f"parameter {self.name} cannot be {value!r:.40}"
            raise EspikeError(what, where=f"recipe {recipe}", do=do) from None
        return found


@dataclass(frozen=True)
class Recipe:
    """A kind of network that `new` makes."""

    name: str
    line: str
    parameters: tuple[Parameter, ...]
    build: Callable[[Draft, Mapping[str, Any]], None]


def new(recipe: str, seed: int = 0, **parameters: Any) -> JSON:
    """A genome in flat 2.x form. The same recipe, seed and parameters give the same genome.

    Raises: EspikeError where the recipe or a parameter is unknown, or a value out of its range.
    """
    if recipe not in RECIPES:
        raise EspikeError(f"there is no recipe {recipe!r:.40}", do="use " + ", ".join(RECIPES))
    if not 0 <= seed < 2**32:
        raise EspikeError(f"seed {seed} is out of range", do="use 0..4294967295")
    chosen = RECIPES[recipe]
    known = {parameter.name: parameter for parameter in chosen.parameters}
    unknown = [name for name in parameters if name not in known]
    if unknown:
        what = f"there is no parameter {unknown[0]!r:.40}"
        raise EspikeError(what, where=f"recipe {recipe}", do="use " + ", ".join(known))
    values = {name: p.accept(parameters.get(name, p.default), recipe) for name, p in known.items()}
    draft = Draft(seed, values)
    chosen.build(draft, values)
    genome = draft.genome(f"{recipe}-{seed}", chosen.line)
    grown = develop(from_json(genome))
    areas = [area for area in grown.areas if not core_kind(area.id)]
    genome["stats"] = {
        "innate_cortical_area_count": len(areas),
        "innate_neuron_count": sum(area.count for area in areas),
        "innate_synapse_count": grown.synapses,
    }
    return genome


def encode(genome: Mapping[str, Any]) -> bytes:
    """A genome as JSON text: one line per gene and per morphology."""
    parts = []
    for key, value in genome.items():
        if isinstance(value, dict) and value:
            lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"  {json.dumps(key)}: {{\n{lines}\n  }}")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _layered(draft: Draft, p: Mapping[str, Any]) -> None:
    """Inputs, hidden layers and outputs; each neuron meets `fan_out` random neurons of the next layer."""
    sizes = [p["inputs"], *[p["hidden"]] * p["hidden_layers"], p["outputs"]]
    names = ["inputs", *(f"hidden_{i + 1}" for i in range(p["hidden_layers"])), "outputs"]
    ids = [draft.area(names[i], (size, 1, 1), i, len(sizes)) for i, size in enumerate(sizes)]
    for i, (source, target) in enumerate(pairwise(ids)):
        fan_out = min(p["fan_out"], sizes[i + 1])
        excite, inhibit = draft.split(draft.random_pairs(sizes[i], sizes[i + 1], fan_out), p["inhibition"])
        fan_in = sizes[i] * fan_out / sizes[i + 1]
        draft.set_weight(source, p["gain"] / (fan_in * (1 - 2 * p["inhibition"])))
        draft.connect(source, target, "excite", excite, 1)
        draft.connect(source, target, "inhibit", inhibit, -1)


def _reservoir(draft: Draft, p: Mapping[str, Any]) -> None:
    """A random recurrent net: excitatory and inhibitory neurons, driven by inputs, read by outputs."""
    inhibitory = max(1, round(p["neurons"] * p["inhibitory"]))
    sizes = {"excite": p["neurons"] - inhibitory, "inhibit": inhibitory}
    inputs = draft.area("inputs", (p["inputs"], 1, 1), 0, 3)
    ids = {name: draft.area(name, (size, 1, 1), 1, 3) for name, size in sizes.items()}
    outputs = draft.area("outputs", (p["outputs"], 1, 1), 2, 3)
    fan_in = max(1.0, p["inputs"] * p["input_fan_out"] / sizes["excite"])
    draft.set_weight(inputs, p["gain"] / fan_in)
    pairs = draft.random_pairs(p["inputs"], sizes["excite"], min(p["input_fan_out"], sizes["excite"]))
    draft.connect(inputs, ids["excite"], "drive", pairs, 1)
    per_target = {name: p["fan_out"] * size / p["neurons"] for name, size in sizes.items()}
    strength = p["recurrent_gain"] / per_target["excite"]
    draft.set_weight(ids["excite"], strength)
    draft.set_weight(ids["inhibit"], strength)
    for source, size in sizes.items():
        for target, pairs in draft.random_split(size, list(sizes.items()), p["fan_out"]):
            sign = 1 if source == "excite" else -p["inhibition"]
            draft.connect(ids[source], ids[target], f"{source}_{target}", pairs, sign)
    enough = min(sizes["excite"], ceil(p["gain"] / strength))
    read = draft.random_pairs(p["outputs"], sizes["excite"], enough)
    draft.connect(ids["excite"], outputs, "read", [[source, output] for output, source in read], 1)


def _winner_take_all(draft: Draft, p: Mapping[str, Any]) -> None:
    """Columns of inputs, one winner each; a winner excites itself and inhibits all others."""
    winners, height = p["winners"], p["inputs_per_winner"]
    inputs = draft.area("inputs", (winners, height, 1), 0, 2)
    outputs = draft.area("winners", (winners, 1, 1), 1, 2)
    draft.set_weight(inputs, p["gain"] / height)
    draft.connect(inputs, outputs, "column", [[["*", "*", "*"], ["?", 0, 0]]], 1)
    psp = draft.set_weight(outputs, p["inhibition"] / (winners - 1))
    itself = min(round(p["self_excitation"] * p["threshold"] / psp), 255)
    draft.connect(outputs, outputs, "itself", [[["*", "*", "*"], ["?", "?", "?"]]], itself)
    draft.connect(outputs, outputs, "others", [[["*", "*", "*"], ["!", "?", "?"]]], -1)


_COMMON = (
    Parameter("threshold", "potential at which a neuron behind the inputs fires", 100.0, 10, 10000),
    Parameter("leak", "fraction of the potential lost per processed burst", 0.05, 0, 1),
    Parameter("refractory", "bursts without input after firing", 1, 0, 1000),
    Parameter("precision", "numbers on the board", "int8", choices=PRECISIONS),
    Parameter("timestep_s", "burst period, seconds", 0.01, 0.0001, 10),
)
_INPUTS = Parameter("inputs", "neurons of the input area", 32, 1, 65536)
_OUTPUTS = Parameter("outputs", "neurons of the output area", 10, 1, 65536)
_FAN_OUT = Parameter("fan_out", "random targets of a neuron, at most the next layer", 12, 1, 1024)
_GAIN = Parameter("gain", "excitation in thresholds when all inputs of a neuron fire", 1.5, 0.01, 100)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "layered",
            "feed-forward layers with random wiring, part of it inhibitory",
            (
                _INPUTS,
                Parameter("hidden", "neurons of a hidden layer", 48, 1, 65536),
                Parameter("hidden_layers", "hidden layers", 2, 0, 64),
                _OUTPUTS,
                _FAN_OUT,
                Parameter("inhibition", "share of synapses that inhibit", 0.2, 0, 0.45),
                _GAIN,
                *_COMMON,
            ),
            _layered,
        ),
        Recipe(
            "reservoir",
            "a random recurrent net of excitatory and inhibitory neurons, with a random read-out",
            (
                _INPUTS,
                Parameter("neurons", "neurons of the reservoir", 128, 4, 65536),
                _OUTPUTS,
                _FAN_OUT,
                Parameter("input_fan_out", "random targets of an input", 10, 1, 1024),
                Parameter("inhibitory", "share of the reservoir that inhibits", 0.2, 0.01, 0.8),
                Parameter("inhibition", "strength of an inhibitory synapse in excitatory ones", 3, 1, 50),
                Parameter("recurrent_gain", "excitation in thresholds when the whole reservoir fires", 0.9, 0.01, 10),
                _GAIN,
                *_COMMON,
            ),
            _reservoir,
        ),
        Recipe(
            "winner_take_all",
            "winners that excite themselves and inhibit each other, each driven by a column of inputs",
            (
                Parameter("winners", "competing neurons", 8, 2, 4096),
                Parameter("inputs_per_winner", "input neurons of a column", 8, 1, 4096),
                Parameter("self_excitation", "what a winner gives itself, in thresholds", 0.2, 0, 5),
                Parameter("inhibition", "what a spike takes from all others together, in thresholds", 1.5, 0.01, 50),
                _GAIN,
                *_COMMON,
            ),
            _winner_take_all,
        ),
    )
}
"""Every recipe by name."""
