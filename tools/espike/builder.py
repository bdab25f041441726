"""neurons and synapses, one by one or in bulk -> a network that runs and is edited between bursts.

The verbs of FEAGI's neural processing unit, for notebooks. Edits take effect at `rebuild_indexes`, which the next burst
does by itself; potentials, countdowns, fire counts and the fire queue survive it. Runs on the numpy reference, whose
state can be carried over and which every other engine is proven equal to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espike_sim import connectome as c
from espike_sim import state, stimulus
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.quantized import NUMBER_TYPES
from espike_sim.reference import Reference

from .quantize import quantize

TYPES: dict[Any, int] = {0: 0, 1: 1, "excitatory": 0, "inhibitory": 1}
"""Synapse types by number and name."""
U16_MOST, U8_MOST = 65535, 255
_RANGES = {
    "threshold": (-3e38, 3e38), "leak": (0, 1), "refractory": (0, U16_MOST), "excitability": (0, 100),
    "fire_limit": (0, U16_MOST - 1), "snooze": (0, U16_MOST), "limit": (-3e38, 3e38),
}  # fmt: skip
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class BurstResult:
    """What one burst did."""

    burst: int
    neuron_count: int
    """Neurons that fired."""
    fired_neurons: tuple[int, ...]
    """Their ids, ascending."""
    clamped: int = 0
    """int8: power entries that were cut to their area's stimulus limit."""


class Builder:
    """A network under construction that runs at any time. Ids count from 0 in the order of `add_*`.

    `neuron_count`, `synapse_capacity`: hints; where given, adding more is refused. `fire_ledger_window`: bursts that
    `get_fire_history` keeps. `accumulate`: potentials survive to the next burst. `candidates_only`: a neuron is updated
    only in bursts in which input reached it, as by FEAGI. Every refusal is an EspikeError that names the field.
    """

    def __init__(
        self,
        neuron_count: int | None = None,
        synapse_capacity: int | None = None,
        fire_ledger_window: int = 20,
        precision: str = "fp32",
        *,
        accumulate: bool = True,
        candidates_only: bool = True,
    ) -> None:
        if precision not in NUMBER_TYPES:
            raise EspikeError(
                f"precision {precision!r} is not run", where="Builder", do="use " + ", ".join(NUMBER_TYPES)
            )
        if fire_ledger_window < 1:
            raise EspikeError(f"fire_ledger_window {fire_ledger_window} is below 1", where="Builder")
        self.neuron_capacity, self.synapse_capacity = neuron_count, synapse_capacity
        self.precision, self.accumulate, self.candidates_only = precision, accumulate, candidates_only
        self._neurons: dict[str, list[float]] = {name: [] for name in _RANGES}
        self._area: list[str] = []
        self._synapses = _Synapses()
        self._history: deque[BurstResult] = deque(maxlen=fire_ledger_window)
        self._engine: Reference | None = None
        self._id_of: I64 = np.zeros(0, np.int64)
        """Of each connectome neuron, the builder's id: the connectome sorts neurons by area."""
        self._edited = True

    def add_neuron(
        self, threshold: float = 1.0, leak: float = 0.0, refractory: int = 0, excitability: float = 1.0,
        fire_limit: int = 0, snooze: int = 0, limit: float = 0.0, area: str = "net",
    ) -> int:  # fmt: skip
        """Add a neuron -> its id.

        leak: fraction lost per processed burst, 0..1. refractory, snooze: bursts. excitability: probability of firing,
        from 0.999 on always. fire_limit: consecutive fires, 0 = off. limit: upper end of the firing window, 0 = none.
        """
        return self.add_neurons(1, threshold, leak, refractory, excitability, fire_limit, snooze, limit, area)

    def add_neurons(
        self, count: int, threshold: float = 1.0, leak: float = 0.0, refractory: int = 0, excitability: float = 1.0,
        fire_limit: int = 0, snooze: int = 0, limit: float = 0.0, area: str = "net",
    ) -> int:  # fmt: skip
        """Add `count` equal neurons -> the id of the first; parameters as `add_neuron`."""
        first = len(self._area)
        if count < 1 or (self.neuron_capacity is not None and first + count > self.neuron_capacity):
            room = "any" if self.neuron_capacity is None else self.neuron_capacity - first
            raise EspikeError(f"cannot add {count} neurons, room is {room}", where="Builder", do="raise neuron_count")
        given = {
            "threshold": threshold, "leak": leak, "refractory": refractory, "excitability": excitability,
            "fire_limit": fire_limit, "snooze": snooze, "limit": limit,
        }  # fmt: skip
        for name, value in given.items():
            low, high = _RANGES[name]
            whole = name in ("refractory", "fire_limit", "snooze")
            if not low <= value <= high or (whole and value != int(value)):
                raise EspikeError(
                    f"{name} {value} leaves {low:g}..{high:g}" + (", whole" if whole else ""), where="neuron"
                )
        for name, value in given.items():
            self._neurons[name] += [value] * count
        self._area += [str(area)] * count
        self._edited = True
        return first

    def add_synapse(self, source: int, target: int, weight: float, conductance: float, type: Any = 0) -> int:
        """Add a synapse that contributes weight * conductance, excitatory (0) or inhibitory (1) -> its id.

        weight and conductance: 0..255. A pair may have several synapses.
        """
        return self.add_synapses([source], [target], [weight], [conductance], [TYPES.get(type, -1)])

    def add_synapses(
        self, source: ArrayLike, target: ArrayLike, weight: ArrayLike, conductance: ArrayLike, type: ArrayLike = 0
    ) -> int:
        """Add many synapses -> the id of the first. (synapses,) each, or one number for all; as `add_synapse`."""
        try:
            columns = np.broadcast_arrays(
                *(np.asarray(x, np.float64) for x in (source, target, weight, conductance, type))
            )
            s, t, w, g, kind = (np.atleast_1d(column).ravel() for column in columns)
        except (ValueError, TypeError) as error:
            raise EspikeError(f"synapses are not numbers of one length ({error})", where="Builder") from None
        for name, ids in (("source", s), ("target", t)):
            bad = np.flatnonzero(~((ids >= 0) & (ids < len(self._area)) & (ids == np.floor(ids))))
            if bad.size:
                do = f"there are {len(self._area)} neurons"
                raise EspikeError(f"{name} {ids[bad[0]]:g} is no neuron", where=f"synapse {bad[0]}", do=do)
        for name, values in (("weight", w), ("conductance", g)):
            bad = np.flatnonzero(~((values >= 0) & (values <= U8_MOST)))
            if bad.size:
                raise EspikeError(f"{name} {values[bad[0]]:g} leaves 0..{U8_MOST}", where=f"synapse {bad[0]}")
        bad = np.flatnonzero(~np.isin(kind, (0, 1)))
        if bad.size:
            raise EspikeError("type is unknown", where=f"synapse {bad[0]}", do="use 0, 1, excitatory or inhibitory")
        room = None if self.synapse_capacity is None else self.synapse_capacity - self.get_synapse_count()
        if room is not None and len(s) > room:
            raise EspikeError(
                f"cannot add {len(s)} synapses, room is {room}", where="Builder", do="raise synapse_capacity"
            )
        self._edited = True
        return self._synapses.add(s.astype(np.int64), t.astype(np.int64), w, np.where(kind == 1, -g, g))

    def remove_synapse(self, source: int, target: int) -> int:
        """Remove every synapse from source to target -> how many there were. They never propagate again."""
        found = self._synapses.of_pair(source, target)
        self._synapses.alive[found] = False
        self._edited |= bool(found.size)
        return int(found.size)

    def update_weight(self, source: int, target: int, weight: float) -> int:
        """Give every synapse from source to target another weight, 0..255 -> how many there were."""
        if not 0 <= weight <= U8_MOST:
            raise EspikeError(f"weight {weight} leaves 0..{U8_MOST}", where=f"synapse {source} -> {target}")
        found = self._synapses.of_pair(source, target)
        self._synapses.weight[found] = weight
        self._edited |= bool(found.size)
        return int(found.size)

    def set_neuron_mapping(self, area_of: Mapping[int, Any]) -> None:
        """Put neurons into areas: {neuron: area}; neurons that are not named stay where they are."""
        for neuron in area_of:
            if not 0 <= neuron < len(self._area):
                raise EspikeError(
                    f"neuron {neuron} does not exist, there are {len(self._area)}", where="neuron mapping"
                )
        for neuron, area in area_of.items():
            self._area[neuron] = str(area)
        self._edited = True

    def connectome(self) -> Connectome:
        """All neurons and synapses as they stand: neurons sorted by area, areas in order of appearance, else by id."""
        return self._assemble()[0]

    def rebuild_indexes(self) -> None:
        """Let edits take effect. State is kept: potentials, countdowns, fire counts, fire queue, burst number."""
        kept = state.take(self._engine) if self._engine is not None else None
        made, order = self._assemble()
        engine = Reference(quantize(made, self.precision))
        engine.reset(track_potentials=False)
        if kept is not None:
            state.give(engine, _moved(kept, self._id_of, order))
        self._engine, self._id_of, self._edited = engine, order, False

    def process_burst(self, power_neurons: Iterable[int] = (), power_amount: float = 1.0) -> BurstResult:
        """Run one burst in which `power_neurons` (each once) receive `power_amount`, potential units."""
        engine = self._engine
        if self._edited or engine is None:
            self.rebuild_indexes()
            engine = self._engine
        assert engine is not None
        chosen = np.unique(np.fromiter(power_neurons, np.int64))
        if chosen.size and not (chosen[0] >= 0 and chosen[-1] < len(self._area)):
            bad = chosen[0] if chosen[0] < 0 else chosen[-1]
            raise EspikeError(f"power neuron {bad} does not exist, there are {len(self._area)}", where="process_burst")
        place = np.empty(len(self._id_of), np.int64)
        place[self._id_of] = np.arange(len(place))
        neuron = np.sort(place[chosen]).astype(np.uint32)
        burst = np.full(len(neuron), engine.burst + 1, np.int64)
        power = stimulus.Stimulus(burst, neuron, np.full(len(neuron), power_amount, np.float64))
        coded = stimulus.code(power, engine.q)
        ids = np.sort(self._id_of[engine.run(1, coded).ids])
        result = BurstResult(engine.burst, len(ids), tuple(ids.tolist()), coded.clamped)
        self._history.append(result)
        return result

    def get_neuron_count(self) -> int:
        """Neurons added."""
        return len(self._area)

    def get_synapse_count(self) -> int:
        """Synapses that are not removed."""
        return int(np.count_nonzero(self._synapses.alive))

    def get_fire_history(self, window: int | None = None) -> list[BurstResult]:
        """The last `window` bursts, oldest first: exactly as many, or an error; None: all that are held."""
        if window is None:
            return list(self._history)
        if not 1 <= window <= len(self._history):
            what = f"a history of {window} bursts is not held, {len(self._history)} are"
            raise EspikeError(what, where="Builder", do=f"fire_ledger_window is {self._history.maxlen}")
        return list(self._history)[-window:]

    def _assemble(self) -> tuple[Connectome, I64]:
        """The connectome, and int64 (neurons,) the builder's id of each of its neurons."""
        if not self._area:
            raise EspikeError("there is no neuron", where="Builder", do="add one with add_neuron")
        names = list(dict.fromkeys(self._area))
        number = {name: i for i, name in enumerate(names)}
        area_of = np.array([number[name] for name in self._area], np.int64)
        order = np.argsort(area_of, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        counts = np.bincount(area_of, minlength=len(names))
        first = np.cumsum(counts) - counts
        areas = tuple(
            c.Area(name, name, "CUSTOM", (int(n), 1, 1), 1, int(begin), self.accumulate)
            for name, n, begin in zip(names, counts, first, strict=True)
        )
        columns: dict[str, Any] = {
            name: np.array(values, np.float64)[order].astype(_DTYPES[name]) for name, values in self._neurons.items()
        }
        columns["limit"][columns["limit"] == 0] = np.inf
        synapses = self._synapses
        alive = synapses.alive
        source, target = place[synapses.source[alive]], place[synapses.target[alive]]
        pair = area_of[synapses.source[alive]] * len(names) + area_of[synapses.target[alive]]
        sort = np.lexsort((target, source, pair))
        pairs, starts = np.unique(pair[sort], return_index=True)
        weight = (synapses.weight[alive] * synapses.conductance[alive])[sort]
        made = Connectome(
            areas=areas,
            mappings=tuple(c.Mapping(int(p) // len(names), int(p) % len(names), "builder") for p in pairs),
            **columns,
            mapping_start=np.append(starts, len(source)).astype(np.int64),
            source=source[sort].astype(np.uint32),
            target=target[sort].astype(np.uint32),
            weight=weight.astype(np.float32) + np.float32(0),
            power_neuron=np.zeros(0, np.uint32),
            power_amount=np.zeros(0, np.float32),
            candidates_only=self.candidates_only,
            precision=self.precision,
        )
        return made, order


_DTYPES: dict[str, Any] = {
    "threshold": np.float32, "limit": np.float32, "leak": np.float64, "refractory": np.uint16,
    "fire_limit": np.uint16, "snooze": np.uint16, "excitability": np.float32,
}  # fmt: skip


def _moved(kept: state.State, before: I64, after: I64) -> state.State:
    """A state by connectome ids of one order -> by those of another; neurons that are new start at rest."""

    def each(values: NDArray[Any]) -> NDArray[Any]:
        by_id = np.zeros(len(after), values.dtype)
        by_id[before] = values
        return by_id[after]

    place = np.empty(len(after), np.int64)
    place[after] = np.arange(len(after))
    history = tuple(np.sort(place[before[fired]]) for fired in kept.history)
    return state.State(
        kept.burst, each(kept.potential), each(kept.countdown), each(kept.fire_count), history, each(kept.psp),
        each(kept.current),
    )  # fmt: skip


class _Synapses:
    """Columns that grow by doubling: an added synapse costs the same however many there are. Ids are places."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[str, NDArray[Any]] = {
            "source": np.zeros(64, np.int64), "target": np.zeros(64, np.int64), "weight": np.zeros(64),
            "conductance": np.zeros(64), "alive": np.zeros(64, np.bool_),
        }  # fmt: skip
        self._order: I64 = np.zeros(0, np.int64)
        self._keys: I64 = np.zeros(0, np.int64)

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(name)
        return self._columns[name][: self.count]

    def add(self, source: I64, target: I64, weight: F64, conductance: F64) -> int:
        """Append synapses; conductance carries the sign -> the id of the first."""
        first, end = self.count, self.count + len(source)
        room = len(self._columns["source"])
        if end > room:
            grown = max(end, 2 * room)
            self._columns = {name: np.resize(column, grown) for name, column in self._columns.items()}
        given = {"source": source, "target": target, "weight": weight, "conductance": conductance, "alive": True}
        for name, values in given.items():
            self._columns[name][first:end] = values
        self.count = end
        return first

    def of_pair(self, source: int, target: int) -> I64:
        """int64: ids of the synapses of a pair that are not removed. Sorts them first where some were added."""
        if len(self._keys) != self.count:
            keys = self.source << 32 | self.target
            self._order = np.argsort(keys, kind="stable")
            self._keys = keys[self._order]
        low, high = np.searchsorted(self._keys, [source << 32 | target, (source << 32 | target) + 1])
        found = self._order[low:high]
        kept: I64 = found[self.alive[found]]
        return kept
