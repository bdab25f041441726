"""stimulus -> fire ledger: the one protocol that the reference, the host engine and boards speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import EspikeError
from .ledger import Ledger


@dataclass(frozen=True)
class CodedStimulus:
    """A stimulus in the engine's own numbers, sorted by (burst, neuron), at most one entry per pair."""

    burst: NDArray[np.int64]  # (entries,) 1 = the first burst after a reset
    neuron: NDArray[np.uint32]  # (entries,)
    value: NDArray[Any]  # (entries,) int32 codes or float32
    clamped: int = 0
    """Entries that were cut to the area's stimulus limit when coded."""

    def check_order(self) -> None:
        """Raises: EspikeError naming the first entry that is out of order, or the second of its pair."""
        key = self.burst << 32 | self.neuron.astype(np.int64)
        bad = np.flatnonzero(np.diff(key) <= 0) + 1
        if bad.size:
            where = f"burst {self.burst[bad[0]]}, neuron {self.neuron[bad[0]]}"
            raise EspikeError("stimulus is out of order, or the second of its pair", where=where)

    def between(self, first: int, last: int) -> CodedStimulus:
        """The entries of bursts first..last, both included."""
        lo, hi = np.searchsorted(self.burst, [first, last + 1])
        return CodedStimulus(self.burst[lo:hi], self.neuron[lo:hi], self.value[lo:hi])


@dataclass(frozen=True)
class Counters:
    """What an engine counted since its reset; equal on every engine."""

    bursts: int
    fired: int
    events: int
    """Synaptic events: synapses of the rows that were read."""
    saturations: int
    """Potentials that were clamped."""


class Engine(Protocol):
    """Runs one network. Burst numbers start at 1; a reset goes back to burst 0 and zero state.

    Errors are EspikeError; a run that raises leaves the engine to be reset.
    """

    name: str
    network_hash: str
    """`QuantizedConnectome.hash` of what it runs."""

    @property
    def burst(self) -> int:
        """Number of the last burst, 0 after a reset."""

    def reset(self, *, track_potentials: bool = True) -> None:
        """Back to burst 0. `track_potentials`: keep the hash with potentials too (docs/numbers.md, State hash)."""

    def run(self, bursts: int, stimulus: CodedStimulus | None = None) -> Ledger:
        """Run `bursts` more bursts, taking the stimulus entries that fall into them."""

    def potentials(self) -> NDArray[Any]:
        """int16 or float32 (neurons,): the potential of every neuron after the last burst."""

    def counters(self) -> Counters:
        """Counts since the reset."""

    def close(self) -> None:
        """Give back what the engine holds (memory, a port, a process)."""
