"""two ledgers -> how alike they are: decisions, spikes, rates, the first difference; in total and per area.

For networks that are meant to do the same in other numbers (fp32 and int8). Engines that must agree to the bit are
compared by `compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import state
from .connectome import Area
from .errors import EspikeError
from .ledger import Ledger, from_queues
from .quantized import QuantizedConnectome
from .reference import Reference
from .stimulus import Stimulus, code

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Similarity:
    """How alike two runs are over some neurons. A *decision* is one neuron in one burst: it fires or does not."""

    name: str
    neurons: int
    bursts: int
    both: int
    """Spikes that both runs have."""
    only_a: int
    only_b: int
    rate_error: float
    """Mean over neurons of |rate b - rate a|, spikes per burst."""
    rate_correlation: float | None
    """Pearson's, of the rates of neurons; None where a run's are all equal."""

    @property
    def decisions_equal(self) -> float:
        """Share of equal decisions, 0..1."""
        decisions = self.neurons * self.bursts
        return 1 - (self.only_a + self.only_b) / decisions if decisions else 1.0

    @property
    def precision(self) -> float:
        """Share of b's spikes that a has too; 1 where b has none."""
        return _share(self.both, self.both + self.only_b)

    @property
    def recall(self) -> float:
        """Share of a's spikes that b has too; 1 where a has none."""
        return _share(self.both, self.both + self.only_a)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing fires in either."""
        return _share(2 * self.both, 2 * self.both + self.only_a + self.only_b)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name, "neurons": self.neurons, "spikes_a": self.both + self.only_a,
            "spikes_b": self.both + self.only_b, "decisions_equal": self.decisions_equal, "f1": self.f1,
            "precision": self.precision, "recall": self.recall, "rate_error": self.rate_error,
            "rate_correlation": self.rate_correlation,
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    total: Similarity
    areas: tuple[Similarity, ...]
    """Of areas in which a neuron fired."""
    first_burst: int | None
    """The first burst in which other neurons fired; None where all are equal."""
    first_neuron: int | None
    """The smallest id among them."""
    agreement: F64 = field(repr=False)
    """float64 (bursts,): share of equal decisions."""

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        first = None if self.first_burst is None else {"burst": self.first_burst, "neuron": self.first_neuron}
        return {
            "bursts": self.total.bursts,
            "total": self.total.as_json(),
            "areas": [area.as_json() for area in self.areas],
            "first_difference": first,
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def similarity(a: Ledger, b: Ledger, areas: Sequence[Area] = ()) -> Comparison:
    """How alike two ledgers of the same neurons and bursts are.

    Raises: EspikeError where they hold different bursts or numbers of neurons.
    """
    if (a.first_burst, a.bursts) != (b.first_burst, b.bursts):
        ranges = f"{a.first_burst}..{a.last_burst} and {b.first_burst}..{b.last_burst}"
        raise EspikeError(f"ledgers hold different bursts ({ranges})", do="compare runs of equal length")
    if a.neurons != b.neurons:
        raise EspikeError(f"ledgers hold different networks ({a.neurons} and {b.neurons} neurons)")
    key_a, key_b = (ledger.burst_of_spike() * max(a.neurons, 1) + ledger.ids for ledger in (a, b))
    both = np.intersect1d(key_a, key_b, assume_unique=True)
    only = np.setxor1d(key_a, key_b, assume_unique=True)
    counts = [np.bincount(k % max(a.neurons, 1), minlength=a.neurons) for k in (key_a, key_b, both)]
    whole = Area("all", "all", "", (max(a.neurons, 1), 1, 1), 1, 0, True)
    made = [_of_area(area, counts, a.bursts) for area in (whole, *areas)]
    differing = np.bincount(only // max(a.neurons, 1) - a.first_burst, minlength=a.bursts)
    return Comparison(
        total=made[0],
        areas=tuple(s for s in made[1:] if s.both + s.only_a + s.only_b),
        first_burst=int(only[0] // a.neurons) if only.size else None,
        first_neuron=int(only[0] % a.neurons) if only.size else None,
        agreement=1 - differing / max(a.neurons, 1),
    )


def _of_area(area: Area, counts: list[I64], bursts: int) -> Similarity:
    of_a, of_b, both = (values[area.first : area.first + area.count] for values in counts)
    rate_a, rate_b = of_a / max(bursts, 1), of_b / max(bursts, 1)
    varies = len(rate_a) > 1 and np.ptp(rate_a) > 0 and np.ptp(rate_b) > 0
    return Similarity(
        area.id,
        len(of_a),
        bursts,
        int(both.sum()),
        int(of_a.sum() - both.sum()),
        int(of_b.sum() - both.sum()),
        float(np.abs(rate_b - rate_a).mean()) if len(rate_a) else 0.0,
        float(np.corrcoef(rate_a, rate_b)[0, 1]) if varies else None,
    )


def one_burst_ahead(
    a: QuantizedConnectome, b: QuantizedConnectome, bursts: int, stimulus: Stimulus
) -> tuple[Ledger, Ledger, int]:
    """Run `a` freely, and in each burst `b` for that one burst from a's state: two ledgers, and b's saturations.

    Tells what rounding does to single decisions, also in networks that let every difference grow. Potentials are
    rounded to b's units; countdowns, fire counts, the fire queue and the burst number are a's.
    """
    if a.neurons != b.neurons:
        raise EspikeError(f"networks of {a.neurons} and {b.neurons} neurons", do="give the same network twice")
    leader, follower = Reference(a), Reference(b)
    for engine in (leader, follower):
        engine.reset(track_potentials=False)
    coded_a, coded_b = code(stimulus, a), code(stimulus, b)
    saturations = 0
    queues: list[list[NDArray[np.uint32]]] = [[], []]
    for _ in range(bursts):
        state.give(follower, state.take(leader))
        for engine, coded, fired in zip((leader, follower), (coded_a, coded_b), queues, strict=True):
            fired.append(engine.run(1, coded).ids)
        saturations += follower.counters().saturations
    no_hash = np.zeros((bursts, 2), np.uint32)
    made = [from_queues(fired, first_burst=1, neurons=a.neurons, hashes=no_hash) for fired in queues]
    return made[0], made[1], saturations
