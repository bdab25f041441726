"""neuron node, semantics -> the numbers of an area: leak, threshold, reset, gain, rest (docs/nir.md, Neurons)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError

from .file import Node
from .semantics import Semantics, decay, membrane_gain, synapse_gain
from .shapes import Shape, spread

F64 = NDArray[np.float64]

READ_OUT = Dynamics(reset="none", fires=False)
GRADED = Dynamics(reset="none", graded=True)


@dataclass(frozen=True)
class Model:
    """What the neurons of an area compute; potentials count from `rest`. All float64 (neurons,)."""

    dynamics: Dynamics
    accumulate: bool
    gain: F64
    """What an input of 1 adds, to the potential or to the current."""
    leak: F64
    current_leak: F64
    threshold: F64
    reset: F64
    constant: F64
    """Added in every burst besides the gained bias."""
    rest: F64


def model(node: Node, shape: Shape, semantics: Semantics, notes: list[str]) -> Model:
    """The model of a neuron node. Raises: EspikeError naming a time constant that does not go with the burst."""
    n = prod(shape)
    zero = np.zeros(n)
    if node.kind == "Threshold":
        threshold = spread(node, "threshold", shape)
        return _memoryless(Dynamics(reset="none", strict=semantics.strict), n, threshold)
    r = spread(node, "r", shape)
    rest = spread(node, "v_leak", shape, 0.0) if node.kind not in ("I", "IF") else zero
    leak, current_leak, gain, current = zero, zero, membrane_gain(r, None, semantics), ""
    if node.kind in ("LI", "LIF"):
        tau = _tau(node, "tau", shape, semantics, notes)
        leak, gain = decay(tau, semantics), membrane_gain(r, tau, semantics)
    elif node.kind in ("CubaLI", "CubaLIF"):
        tau, tau_syn = (_tau(node, name, shape, semantics, notes) for name in ("tau_mem", "tau_syn"))
        leak, current_leak, current = decay(tau, semantics), decay(tau_syn, semantics), semantics.current
        gain = membrane_gain(r, tau, semantics) * synapse_gain(spread(node, "w_in", shape, 1.0), tau_syn, semantics)
    constant = zero
    if semantics.start == "zero" and np.any(rest):
        if current:
            what = "a v_leak other than 0 and potentials that begin at 0 do not go together with a synaptic current"
            raise EspikeError(what, where=f"{node.where}/v_leak", do="leave --start zero out")
        constant, rest = leak * rest, zero
    if node.kind in ("I", "LI", "CubaLI"):
        dynamics = Dynamics(reset="none", current=current, fires=False)
        return Model(dynamics, True, gain, leak, current_leak, zero, zero, constant, rest)
    threshold = spread(node, "v_threshold", shape)
    if semantics.reset == "subtract":
        reset = threshold
        if np.any(spread(node, "v_reset", shape, 0.0)):
            notes.append(f"{node.where}: the reset subtracts, its v_reset is not looked at")
    else:
        reset = (spread(node, "v_reset", shape, 0.0) if semantics.reset == "value" else zero) - rest
    kind = "subtract" if semantics.reset == "subtract" else "value"
    dynamics = Dynamics(reset=kind, late=semantics.late, strict=semantics.strict, current=current)
    return Model(dynamics, True, gain, leak, current_leak, threshold - rest, reset, constant, rest)


def input_model(count: int, graded: bool) -> Model:
    """An Input: it fires when it is given 1, or sends on what it is given."""
    return _memoryless(GRADED if graded else Dynamics(), count, np.full(count, 0.5))


def output_model(count: int) -> Model:
    """An Output behind linear nodes: its potential is what reaches it in a burst."""
    return _memoryless(READ_OUT, count, np.zeros(count))


def _memoryless(dynamics: Dynamics, n: int, threshold: F64) -> Model:
    zero = np.zeros(n)
    return Model(dynamics, False, np.ones(n), np.ones(n), zero, threshold, zero, zero, zero)


def _tau(node: Node, name: str, shape: Shape, semantics: Semantics, notes: list[str]) -> F64:
    tau, where, dt = spread(node, name, shape), f"{node.where}/{name}", semantics.dt
    if np.any(tau <= 0):
        raise EspikeError(f"is {tau.min():g}, a time constant is above 0", where=where)
    least = float(tau.min())
    if least < dt * (1 - 1e-9):
        raise EspikeError(f"is {least:g}, shorter than a burst of {dt:g}", where=where, do="give a shorter --dt")
    if least < 5 * dt:
        notes.append(
            f"{where}: {least:g} is below five bursts of {dt:g}: Euler's decay and the exponential are far apart"
        )
    return np.maximum(tau, dt)
