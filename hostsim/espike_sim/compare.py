"""two engines + stimulus -> first difference: the burst, the neuron, and the potential on either side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine import CodedStimulus, Engine
from .errors import EspikeError

U32 = NDArray[np.uint32]
Number = int | float
Progress = Callable[[int, int], None]
"""(bursts compared, bursts to compare)"""

CHUNK_BURSTS = 1000
"""Bursts run on one engine, then the other, before their hashes are compared."""


@dataclass(frozen=True)
class PotentialDifference:
    """The first neuron whose potential differs after the first burst in which any does."""

    burst: int
    neuron: int
    a: Number
    b: Number
    fired_a: bool
    fired_b: bool
    differing: int
    """Neurons that differ in that burst."""


@dataclass(frozen=True)
class SpikeDifference:
    """The first burst in which other neurons fired, and the smallest id among them."""

    burst: int
    neuron: int
    fired_a: bool
    potential_a: Number | None  # after the burst; None where an engine does not tell
    potential_b: Number | None
    only_a: U32
    only_b: U32


@dataclass(frozen=True)
class Difference:
    """Where two engines part. Both parts None: only the hashes differ, so an engine hashes wrongly."""

    burst: int
    """The first burst that differs in anything."""
    name_a: str
    name_b: str
    potential: PotentialDifference | None
    spike: SpikeDifference | None

    def __str__(self) -> str:
        parts = []
        if self.potential is not None:
            p = self.potential
            who = [name for name, fired in ((self.name_a, p.fired_a), (self.name_b, p.fired_b)) if fired]
            parts.append(
                f"potential of neuron {p.neuron} after burst {p.burst}: {self.name_a} {p.a}, {self.name_b} {p.b}"
                f" ({'fired on ' + ' and '.join(who) if who else 'did not fire'}; {p.differing} neurons differ)"
            )
        if self.spike is not None:
            s = self.spike
            fired, silent = (self.name_a, self.name_b) if s.fired_a else (self.name_b, self.name_a)
            known = s.potential_a is not None and s.potential_b is not None
            text = f", potentials {s.potential_a} and {s.potential_b}" if known else ""
            parts.append(f"neuron {s.neuron} fired in burst {s.burst} on {fired}, not on {silent}{text}")
        return "; ".join(parts) or f"the hashes of burst {self.burst} differ, no potential and no spike does"


def first_difference(
    a: Engine,
    b: Engine,
    bursts: int,
    stimulus: CodedStimulus | None = None,
    *,
    chunk_bursts: int = CHUNK_BURSTS,
    progress: Progress | None = None,
) -> Difference | None:
    """Run both engines from a reset and find the first difference in potentials and in spikes, or None.

    Hash chains name the bursts; one reset and re-run per engine then reads the potentials. Where an engine keeps no
    hash with potentials but can be read, potentials are compared after the last burst run, and a difference is
    traced back by bisection: up to log2(bursts) re-runs, on the assumption that a difference persists.
    Raises: EspikeError where the engines run different networks, or where one fails.
    """
    if a.network_hash != b.network_hash:
        raise EspikeError(f"{a.name} and {b.name} run different networks", do="load the same network on both")
    if chunk_bursts < 1:
        raise EspikeError(f"chunks of {chunk_bursts} bursts", do="use at least 1")
    pair = _Pair(a, b, stimulus)
    potential_burst, spike_burst, hashed = pair.scan(bursts, chunk_bursts, progress)
    if not hashed and bursts:
        potential_burst = pair.trace_back(spike_burst or bursts)
    first = min((burst for burst in (potential_burst, spike_burst) if burst is not None), default=None)
    if first is None:
        return None
    potential = pair.potential_difference(potential_burst) if potential_burst is not None else None
    spike = pair.spike_difference(spike_burst) if spike_burst is not None else None
    return Difference(first, a.name, b.name, potential, spike)


@dataclass(frozen=True)
class _State:
    """What an engine says of one burst."""

    fired: U32
    potentials: NDArray[Any] | None


class _Pair:
    """Two engines on one stimulus, and where each of them stands."""

    def __init__(self, a: Engine, b: Engine, stimulus: CodedStimulus | None) -> None:
        self.a, self.b, self.stimulus = a, b, stimulus
        self.burst = 0
        self.states: tuple[_State, _State] | None = None
        """Of `burst`, where it was reached by `after`."""

    def scan(self, bursts: int, chunk_bursts: int, progress: Progress | None) -> tuple[int | None, int | None, bool]:
        """Run until spikes differ or all is run.

        Returns the first differing burst by potentials and by spikes, and whether both engines hashed potentials.
        """
        self.a.reset(track_potentials=True)
        self.b.reset(track_potentials=True)
        by_potential: int | None = None
        hashed = True
        while self.burst < bursts:
            count = min(chunk_bursts, bursts - self.burst)
            x, y = self.a.run(count, self.stimulus), self.b.run(count, self.stimulus)
            if (x.first_burst, x.bursts, y.first_burst, y.bursts) != (self.burst + 1, count, self.burst + 1, count):
                raise EspikeError(f"{self.a.name} and {self.b.name} ran other bursts than they were asked to")
            self.burst += count
            if progress is not None:
                progress(self.burst, bursts)
            if x.potential_hashes is None or y.potential_hashes is None:
                hashed = False
            elif by_potential is None:
                by_potential = _first_row(x.potential_hashes, y.potential_hashes, x.first_burst)
            by_spike = _first_row(x.hashes, y.hashes, x.first_burst)
            if by_spike is not None:
                return by_potential, by_spike, hashed
        return by_potential, None, hashed

    def after(self, burst: int) -> tuple[_State, _State]:
        """Both engines' fired ids and potentials of a burst; goes on from where they are if they have not passed it."""
        if self.states is None or self.burst != burst:
            if self.burst >= burst:
                self.a.reset(track_potentials=False)
                self.b.reset(track_potentials=False)
                self.burst = 0
            self.states = self._state(self.a, burst), self._state(self.b, burst)
            self.burst = burst
        return self.states

    def _state(self, engine: Engine, burst: int) -> _State:
        if burst - 1 > self.burst:
            engine.run(burst - 1 - self.burst, self.stimulus)
        fired = engine.run(1, self.stimulus).fired(burst)
        try:
            return _State(fired, engine.potentials())
        except EspikeError:  # an engine that does not tell
            return _State(fired, None)

    def trace_back(self, last: int) -> int | None:
        """The first burst whose potentials differ, given that they do after burst `last`; None where they do not."""
        if not self._potentials_differ(last):
            return None
        equal, differing = 0, last
        while differing - equal > 1:
            middle = (equal + differing) // 2
            if self._potentials_differ(middle):
                differing = middle
            else:
                equal = middle
        return differing

    def _potentials_differ(self, burst: int) -> bool:
        x, y = self.after(burst)
        return x.potentials is not None and y.potentials is not None and not np.array_equal(x.potentials, y.potentials)

    def potential_difference(self, burst: int) -> PotentialDifference | None:
        """The potentials that differ after a burst; None where an engine does not tell, or none differs."""
        x, y = self.after(burst)
        if x.potentials is None or y.potentials is None:
            return None
        neurons = np.flatnonzero(x.potentials != y.potentials)
        if not neurons.size:
            return None
        neuron = int(neurons[0])
        return PotentialDifference(
            burst=burst,
            neuron=neuron,
            a=x.potentials[neuron].item(),
            b=y.potentials[neuron].item(),
            fired_a=neuron in x.fired,
            fired_b=neuron in y.fired,
            differing=len(neurons),
        )

    def spike_difference(self, burst: int) -> SpikeDifference | None:
        """Who fired in a burst on one engine only; None where the same neurons fired."""
        x, y = self.after(burst)
        only_a, only_b = np.setdiff1d(x.fired, y.fired), np.setdiff1d(y.fired, x.fired)
        either = np.union1d(only_a, only_b)
        if not either.size:
            return None
        neuron = int(either[0])
        return SpikeDifference(
            burst=burst,
            neuron=neuron,
            fired_a=neuron in only_a,
            potential_a=None if x.potentials is None else x.potentials[neuron].item(),
            potential_b=None if y.potentials is None else y.potentials[neuron].item(),
            only_a=only_a,
            only_b=only_b,
        )


def _first_row(x: U32, y: U32, first_burst: int) -> int | None:
    """The first burst whose hashes, uint32 (bursts, 2), differ. Chains that parted stay apart: it is the cause."""
    rows = np.flatnonzero(np.any(x != y, axis=1))
    return first_burst + int(rows[0]) if rows.size else None
