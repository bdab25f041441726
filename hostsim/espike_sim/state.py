"""reference -> state -> reference: what a burst leaves to the next, in units that any precision reads.

A builder moves it into the network that an edit made; the comparison of precisions moves it from fp32 into int8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EspikeError
from .pcg import pcg
from .quantized import QuantizedConnectome
from .reference import LANES, Reference


@dataclass(frozen=True)
class State:
    """All that a burst leaves to the next one."""

    burst: int
    potential: NDArray[np.float64]  # (neurons,) potential units
    countdown: NDArray[np.int32]  # (neurons,) blocked bursts that are left
    fire_count: NDArray[np.int32]  # (neurons,) consecutive fires
    history: tuple[NDArray[np.int64], ...]  # (fired,) each, ascending ids; the last burst's first, for delays
    psp: NDArray[np.int32]  # (neurons,) 0..255: what drives synapses, of the last firing
    current: NDArray[np.float64]  # (neurons,) synaptic currents, potential units of input


def potential_unit(q: QuantizedConnectome) -> NDArray[np.float64]:
    """float64 (neurons,): potential per unit of a stored potential (docs/numbers.md, Units); fp32: 1."""
    return _current_unit(q) * (1 << q.current_shift.astype(np.int64))[q.area_of_neuron]


def _current_unit(q: QuantizedConnectome) -> NDArray[np.float64]:
    """float64 (neurons,): potential per unit of a stored current."""
    return q.scale_of_neuron / (1 << q.guard_bits.astype(np.int64))[q.area_of_neuron]


def _stored(q: QuantizedConnectome, values: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[Any]:
    """Potentials or currents as an engine holds them."""
    stored = values / unit
    if q.precision == "int8":
        stored = np.clip(np.floor(stored + 0.5), -32767, 32767)
    return stored.astype(q.types.potential)


def take(engine: Reference) -> State:
    """The state of an engine after its last burst, a copy."""
    return State(
        engine.burst,
        engine.potential.astype(np.float64) * potential_unit(engine.q),
        engine.countdown.copy(),
        engine.fire_count.copy(),
        tuple(engine.history),
        engine.psp.copy(),
        engine.current.astype(np.float64) * _current_unit(engine.q),
    )


def give(engine: Reference, state: State) -> None:
    """Make an engine go on from a state: int8 potentials are rounded to nearest and kept in +-32767.

    Counters and hash chains start anew; learned weights are not part of a state. Raises: EspikeError where the state
    is of another number of neurons.
    """
    if len(state.potential) != engine.q.neurons:
        raise EspikeError(f"a state of {len(state.potential)} neurons does not fit {engine.q.neurons}")
    engine.reset(track_potentials=engine.track_potentials)
    engine.burst = state.burst
    engine.potential = _stored(engine.q, state.potential, potential_unit(engine.q))
    engine.current = _stored(engine.q, state.current, _current_unit(engine.q))
    engine.countdown, engine.fire_count = state.countdown.copy(), state.fire_count.copy()
    silent = [np.zeros(0, np.int64)] * engine.depth
    engine.history = [*state.history, *silent][: engine.depth]
    engine.psp = state.psp.copy()
    if engine.track_potentials:
        bits = engine.numbers.bits(engine.potential)
        engine.voltage_hash = [pcg(engine.id_hash[k] ^ bits) for k in LANES]
        engine.voltage_sum = [int(v.sum(dtype=np.uint64)) for v in engine.voltage_hash]
