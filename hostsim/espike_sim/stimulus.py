"""generators -> stimulus -> coded stimulus: potential injected into neurons, burst by burst.

`docs/stimulus.md` defines it, and the random numbers behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .connectome import Area
from .engine import CodedStimulus
from .errors import EspikeError
from .pcg import pcg, pcg_one
from .quantized import NUMBER_TYPES

INPUT_GROUPS = ("input", "ipu")
"""Groups (compared in lower case) whose areas the word `input` means."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]

_BLOCK = 1 << 20
"""Draws made at once: bounds the memory, never changes a result."""


class Network(Protocol):
    """What a stimulus needs to know of a network: a connectome or a quantized one."""

    @property
    def areas(self) -> tuple[Area, ...]:
        """The areas, in id order."""

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""


@dataclass(frozen=True)
class Stimulus:
    """Potential injected, sorted by (burst, neuron), each pair once.

    Raises: EspikeError naming the first pair that is out of order or repeated, or an amount that is not finite.
    """

    burst: I64  # (entries,) 1 = the first burst after a reset
    neuron: U32  # (entries,)
    amount: F64  # (entries,) potential units

    def __post_init__(self) -> None:
        if not len(self.burst) == len(self.neuron) == len(self.amount):
            raise EspikeError("stimulus arrays differ in length")
        step, same, ids = np.diff(self.burst), np.diff(self.burst) == 0, self.neuron.astype(np.int64)
        for bad, what in (
            ((step < 0) | (same & (np.diff(ids) < 0)), "is out of order"),
            (same & (np.diff(ids) == 0), "is given twice"),
        ):
            if np.any(bad):
                raise EspikeError(f"burst {self.burst[1:][bad][0]}, neuron {self.neuron[1:][bad][0]} {what}")
        if len(self.burst) and self.burst[0] < 1:
            raise EspikeError(f"burst {self.burst[0]} does not exist, the first is 1")
        if not np.all(np.isfinite(self.amount)):
            i = int(np.flatnonzero(~np.isfinite(self.amount))[0])
            raise EspikeError(f"burst {self.burst[i]}, neuron {self.neuron[i]}: amount {self.amount[i]} is not finite")

    def __len__(self) -> int:
        return len(self.burst)


def empty() -> Stimulus:
    """A stimulus without entries."""
    return Stimulus(np.zeros(0, np.int64), np.zeros(0, np.uint32), np.zeros(0))


def merge(stimuli: Sequence[Stimulus]) -> Stimulus:
    """One stimulus of several; amounts of the same pair are summed in the order given."""
    burst = np.concatenate([np.zeros(0, np.int64), *(s.burst for s in stimuli)])
    neuron = np.concatenate([np.zeros(0, np.uint32), *(s.neuron for s in stimuli)])
    amount = np.concatenate([np.zeros(0), *(s.amount for s in stimuli)])
    order = np.lexsort((neuron, burst))  # stable
    burst, neuron, amount = burst[order], neuron[order], amount[order]
    new = np.ones(len(burst), np.bool_)
    new[1:] = (np.diff(burst) != 0) | (np.diff(neuron.astype(np.int64)) != 0)
    sums = np.zeros(int(new.sum()))
    np.add.at(sums, np.cumsum(new) - 1, amount)
    return Stimulus(burst[new], neuron[new], sums)


def find_areas(word: str, network: Network) -> list[Area]:
    """The areas a word means: an id, else a name, `*` for all, `input` for all of the input group.

    Raises: EspikeError where there is none, or where several areas share the name.
    """
    for found in ([a for a in network.areas if a.id == word], [a for a in network.areas if a.name == word]):
        if len(found) == 1:
            return found
        if found:
            raise EspikeError(f"{len(found)} areas are named {word!r}", do="give the id of one")
    if word == "*":
        return list(network.areas)
    if word == "input":
        found = [a for a in network.areas if a.group.lower() in INPUT_GROUPS]
        if found:
            return found
        raise EspikeError("the network has no input area", do="name an area")
    ids = [area.id for area in network.areas]
    shown = ", ".join(ids[:12]) + (", ..." if len(ids) > 12 else "")
    raise EspikeError(f"there is no area {word!r}", do=f"use one of {shown}")


def poisson(area: Area, rate: float, amount: float, bursts: int, seed: int = 0, first_burst: int = 1) -> Stimulus:
    """Each neuron of the area receives `amount` in a burst with probability `rate`, drawn from (seed, burst, neuron).

    It does where pcg(pcg(neuron) ^ pcg(burst + pcg(seed))) < floor(rate * 2^32), so a part of a run draws what
    the whole run draws there. Raises: EspikeError where rate leaves 0..1 or seed leaves 32 bits.
    """
    if not 0 <= rate <= 1:
        raise EspikeError(f"rate {rate} leaves 0..1", do="give the probability of one neuron in one burst")
    if not 0 <= seed < 1 << 32:
        raise EspikeError(f"seed {seed} leaves 0..2^32-1")
    below = np.uint64(rate * 2**32)
    ids = _ids(area)
    id_hash, seed_hash = pcg(ids), pcg_one(seed)
    step = max(1, _BLOCK // area.count)
    parts_burst, parts_neuron = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    for begin in range(first_burst, first_burst + bursts, step):
        block = np.arange(begin, min(begin + step, first_burst + bursts), dtype=np.int64)
        burst_hash = pcg(block.astype(np.uint32) + np.uint32(seed_hash))
        row, column = np.nonzero(pcg(burst_hash[:, None] ^ id_hash[None, :]) < below)
        parts_burst.append(block[row])
        parts_neuron.append(ids[column])
    burst = np.concatenate(parts_burst)
    return Stimulus(burst, np.concatenate(parts_neuron), np.full(len(burst), amount, np.float64))


def periodic(area: Area, every: int, amount: float, bursts: int, phase: int = 0, first_burst: int = 1) -> Stimulus:
    """Each neuron of the area receives `amount` in bursts 1 + phase, 1 + phase + every, and so on.

    Raises: EspikeError where `every` is below 1 or `phase` is negative.
    """
    if every < 1 or phase < 0:
        raise EspikeError(f"every {every}, phase {phase}: every is at least 1, phase at least 0")
    missing = max(0, first_burst - 1 - phase)
    begin = 1 + phase + -(-missing // every) * every
    return _all_neurons(area, np.arange(begin, first_burst + bursts, every, dtype=np.int64), amount)


def constant(area: Area, amount: float, bursts: int, first_burst: int = 1) -> Stimulus:
    """Each neuron of the area receives `amount` in every burst; a power area is this."""
    return periodic(area, 1, amount, bursts, 0, first_burst)


def _ids(area: Area) -> U32:
    return np.arange(area.first, area.first + area.count, dtype=np.uint32)


def _all_neurons(area: Area, bursts: I64, amount: float) -> Stimulus:
    neuron = np.tile(_ids(area), len(bursts))
    return Stimulus(np.repeat(bursts, area.count), neuron, np.full(len(neuron), amount, np.float64))


class CodedNetwork(Network, Protocol):
    """What coding needs besides: a quantized connectome, or what an image says of itself."""

    @property
    def precision(self) -> str:
        """int8 or fp32."""

    @property
    def scale_of_neuron(self) -> NDArray[np.float64]:
        """float64 (neurons,): potential units per code of each neuron's input."""

    @property
    def stimulus_limit(self) -> NDArray[Any]:
        """(areas,): largest |entry|, in codes (fp32: potential units)."""


def code(stimulus: Stimulus, q: CodedNetwork) -> CodedStimulus:
    """The stimulus in the numbers of a network, clamped to each area's limit; entries clamped are counted.

    int8: floor(amount / scale + 0.5) as int32 codes; fp32: float32, -0 as +0. Source: docs/numbers.md.
    Raises: EspikeError where a neuron does not exist.
    """
    missing = np.flatnonzero(stimulus.neuron >= q.neurons)
    if missing.size:
        i = int(missing[0])
        raise EspikeError(
            f"neuron {stimulus.neuron[i]} does not exist, there are {q.neurons}", where=f"burst {stimulus.burst[i]}"
        )
    area = np.searchsorted([a.first for a in q.areas], stimulus.neuron, side="right") - 1
    limit = q.stimulus_limit[area]
    value: NDArray[Any]
    with np.errstate(over="ignore"):
        if q.precision == "int8":
            value = np.floor(stimulus.amount / q.scale_of_neuron[stimulus.neuron] + 0.5)
        else:
            value = stimulus.amount.astype(np.float32) + np.float32(0)  # -0 + 0 = +0
    kept = np.clip(value, -limit, limit) + value.dtype.type(0)  # a limit of 0 gives no -0
    clamped = int(np.count_nonzero(kept != value))
    return CodedStimulus(stimulus.burst, stimulus.neuron, kept.astype(NUMBER_TYPES[q.precision].input), clamped)
