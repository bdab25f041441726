"""weights and stimulus -> spikes -> gradients: a network of leak-first neurons in numpy, a batch at a time.

The forward pass is docs/numbers.md, Trained models, in floats; sums of input run in another order. The backward pass
is backpropagation through time with a surrogate for the derivative of a spike: fast sigmoid, 1 / (1 + SLOPE |x|)^2
(Zenke and Ganguli, SuperSpike, 2018), x the distance to the threshold in thresholds. The reset is a constant to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Weights = Sequence[Floats]
"""One (source neurons, target neurons) per link."""

SLOPE = 10.0


@dataclass(frozen=True)
class Layer:
    """The neurons of an area."""

    retained: Floats  # (neurons,) what the leak leaves of a potential; 0 where charge does not accumulate
    threshold: Floats  # (neurons,)
    reset: Floats  # (neurons,) the potential after a spike, or what a spike takes away
    subtracts: bool = False
    strict: bool = False
    """Fires where potential > threshold, not >=."""
    graded: bool = False
    """Sends its potential and neither fires nor resets."""

    @property
    def unit(self) -> Floats:
        """(neurons,): the distance from the threshold that the surrogate takes for one."""
        return np.where(self.threshold == 0, np.ones_like(self.threshold), np.abs(self.threshold))

    def distance(self, potential: Floats) -> Floats:
        """How far above its threshold a neuron is, in thresholds."""
        return (potential - self.threshold) / self.unit


@dataclass(frozen=True)
class Link:
    """A mapping; `source` and `target` are layer indices, delay is 0 (to a later layer) or 1."""

    source: int
    target: int
    delay: int


@dataclass(frozen=True)
class Net:
    """Layers in the order in which a burst updates them, and the links between them."""

    layers: tuple[Layer, ...]
    links: tuple[Link, ...]

    def fed(self, layer: int) -> bool:
        """Whether links lead to a layer."""
        return any(link.target == layer for link in self.links)


@dataclass(frozen=True)
class Trace:
    """What a batch did, per layer; arrays are (bursts, batch, neurons)."""

    spikes: tuple[Floats, ...]  # 0 or 1; potentials of graded layers
    potentials: tuple[Floats, ...]  # before the reset


Fire = Callable[[Layer, Floats], Floats]
"""(layer, potentials) -> spikes."""


def fire(layer: Layer, potential: Floats) -> Floats:
    """1 where a neuron's potential meets its threshold, 0 elsewhere."""
    met = potential > layer.threshold if layer.strict else potential >= layer.threshold
    return met.astype(potential.dtype)


def surrogate(layer: Layer, potential: Floats) -> Floats:
    """What stands for the derivative of a spike by the potential."""
    return 1 / ((1 + SLOPE * np.abs(layer.distance(potential))) ** 2 * layer.unit)


def forward(
    net: Net, weights: Weights, biases: Sequence[Floats], stimulus: Sequence[Floats | None], fires: Fire = fire
) -> Trace:
    """A presentation to a network at its reset.

    Per layer: `biases` (neurons,) and `stimulus` (bursts, batch, neurons) or None.
    """
    bursts, batch = next(s.shape[:2] for s in stimulus if s is not None)
    dtype = weights[0].dtype
    shapes = [(bursts, batch, len(layer.threshold)) for layer in net.layers]
    spikes, potentials = ([np.zeros(shape, dtype) for shape in shapes] for _ in range(2))
    kept = [np.zeros(shape[1:], dtype) for shape in shapes]
    for t in range(bursts):
        for index, layer in enumerate(net.layers):
            given = stimulus[index]
            acc = np.zeros(shapes[index][1:], dtype) if given is None else given[t].astype(dtype)
            for link, weight in zip(net.links, weights, strict=True):
                if link.target == index and t >= link.delay:
                    acc += spikes[link.source][t - link.delay] @ weight
            v = layer.retained * kept[index] + acc + biases[index]
            z = v if layer.graded else fires(layer, v)
            potentials[index][t], spikes[index][t] = v, z
            kept[index] = _reset(layer, v, z)
    return Trace(tuple(spikes), tuple(potentials))


def _reset(layer: Layer, v: Floats, z: Floats) -> Floats:
    """The potential after a burst."""
    if layer.graded:
        return v
    return v - z * layer.reset if layer.subtracts else v + z * (layer.reset - v)


def backward(
    net: Net, weights: Weights, trace: Trace, output: int, by_spike: Floats
) -> tuple[list[Floats], list[Floats]]:
    """Gradients of a loss by the weights and by the biases.

    `by_spike` (bursts, batch, neurons): its gradient by each spike of layer `output`.
    """
    bursts = len(trace.spikes[0])
    needed = [net.fed(index) for index in range(len(net.layers))]
    by_input = [np.zeros_like(p) for p in trace.potentials]
    later = [np.zeros_like(p[0]) for p in trace.potentials]
    for t in reversed(range(bursts)):
        for index in reversed(range(len(net.layers))):
            if not needed[index]:
                continue
            layer, z = net.layers[index], trace.spikes[index][t]
            dz = np.zeros_like(z)
            if index == output:
                dz += by_spike[t]
            for link, weight in zip(net.links, weights, strict=True):
                if link.source == index and t + link.delay < bursts:
                    dz += by_input[link.target][t + link.delay] @ weight.T
            slope = np.ones_like(z) if layer.graded else surrogate(layer, trace.potentials[index][t])
            kept = 1 if layer.graded or layer.subtracts else 1 - z
            by_input[index][t] = dz * slope + later[index] * kept
            later[index] = layer.retained * by_input[index][t]
    return [_by_weight(link, trace, by_input) for link in net.links], [d.sum(axis=(0, 1)) for d in by_input]


def _by_weight(link: Link, trace: Trace, by_input: Sequence[Floats]) -> Floats:
    """(source neurons, target neurons): what was sent times what came of it."""
    sent, came = trace.spikes[link.source], by_input[link.target]
    made = np.zeros((sent.shape[2], came.shape[2]), came.dtype)
    for t in range(link.delay, len(came)):
        made += sent[t - link.delay].T @ came[t]
    return made
