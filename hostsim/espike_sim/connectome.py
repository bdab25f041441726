"""rules grown -> connectome: every neuron and synapse, explicit, in floats.

What `grow` writes and `pack` reads. Neuron ids are 0..neurons-1; the neurons of an area are contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import npzfile
from .blocks import blocks
from .dynamics import Dynamics, dynamics_from_meta
from .errors import EspikeError
from .generator import Wiring, wiring_from_meta
from .learning import Learning, check_delay, learning_from_meta
from .senses import Senses, senses_from_meta

FORMAT, VERSION = "connectome", 1
PRECISIONS = ("fp32", "fp16", "int8")

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Area:
    """A cortical area: contiguous neurons in voxels, x outermost, then y, z, then the neurons of a voxel."""

    id: str
    name: str
    group: str
    dimensions: tuple[int, int, int]
    neurons_per_voxel: int
    first: int
    accumulate: bool
    """mp_charge_accumulation: the potential survives to the next burst."""
    dynamics: Dynamics | None = None
    """The neuron model of a trained network; None: FEAGI's."""

    @property
    def count(self) -> int:
        """Neurons of the area."""
        x, y, z = self.dimensions
        return x * y * z * self.neurons_per_voxel

    def coordinates(self, neuron: int) -> tuple[int, int, int, int]:
        """(x, y, z, k) of a neuron id: its voxel, and which of the voxel's neurons it is."""
        index, k = divmod(neuron - self.first, self.neurons_per_voxel)
        index, z = divmod(index, self.dimensions[2])
        x, y = divmod(index, self.dimensions[1])
        return x, y, z, k


@dataclass(frozen=True)
class Mapping:
    """One rule grown between two areas; `source` and `target` are area indices."""

    source: int
    target: int
    rule: str
    plastic: bool = False
    wiring: Wiring | None = None
    """The rule that draws these synapses, where they are procedural (`procedural`)."""
    delay: int = 1
    """Bursts from a spike to its arrival; 0: in the same burst, to a later area only."""
    driven: bool = False
    """mp_driven_psp: weights count p times, p being the potential of the source at firing, 0..255."""
    learning: Learning | None = None
    """The rule by which the weights move, in potential units; None: they are fixed."""


def _mapping_meta(m: Mapping) -> dict[str, Any]:
    """A mapping as JSON values; a wiring only where there is one, so that hashes without stay what they were."""
    meta: dict[str, Any] = {"source": m.source, "target": m.target, "rule": m.rule, "plastic": m.plastic}
    meta |= {} if m.wiring is None else {"wiring": vars(m.wiring)}
    meta |= {} if m.delay == 1 else {"delay": m.delay}
    meta |= {"driven": True} if m.driven else {}
    return meta if m.learning is None else meta | {"learning": vars(m.learning)}


def _mapping_from_meta(meta: Any, where: str) -> Mapping:
    wiring = wiring_from_meta(meta.get("wiring"), where)
    source, target, rule = int(meta["source"]), int(meta["target"]), str(meta["rule"])
    learning = learning_from_meta(meta.get("learning"))
    delay, driven = int(meta.get("delay", 1)), bool(meta.get("driven"))
    return Mapping(source, target, rule, bool(meta["plastic"]), wiring, delay, driven, learning)


def _none() -> F32:
    """Stands for a 0 for every neuron."""
    return np.zeros(0, np.float32)


def _none64() -> F64:
    return np.zeros(0)


RANGES = ("membrane_potential_min", "membrane_potential_max", "threshold_min", "threshold_max")
"""What a genome may bound for the quantizer, potential units."""


@dataclass(frozen=True)
class Quantization:
    """What the genome asks of the quantizer besides a precision; nothing by default."""

    ranges: dict[str, float] = field(default_factory=dict)
    """Those of RANGES that are given."""
    strict_bounds: bool = False
    """A value outside its range is an error; False: it is clamped, counted and said."""
    log_quantization_loss: bool = False
    """Packing prints the quantization report."""
    bits: dict[str, int] = field(default_factory=dict)
    """2..8 by area id: int8 weights into that area, which has a neuron model, take at most 2^bits - 1 levels."""

    @property
    def span(self) -> float:
        """The largest potential that the ranges ask for, up or down from rest; 0 = none."""
        return max((abs(self.ranges[name]) for name in RANGES[:2] if name in self.ranges), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """JSON values; empty where nothing is asked."""
        made: dict[str, Any] = {"ranges": dict(self.ranges)} if self.ranges else {}
        made |= {"bits": dict(self.bits)} if self.bits else {}
        flags = ("strict_bounds", "log_quantization_loss")
        return made | {name: True for name in flags if getattr(self, name)}


def _quantization_from_meta(meta: dict[str, Any]) -> Quantization:
    ranges = {name: float(value) for name, value in meta.get("ranges", {}).items() if name in RANGES}
    bits = {str(area): int(value) for area, value in meta.get("bits", {}).items()}
    return Quantization(ranges, bool(meta.get("strict_bounds")), bool(meta.get("log_quantization_loss")), bits)


@dataclass(frozen=True)
class Connectome:
    """All neurons and synapses in floats (units: the genome's potential).

    Synapses are sorted by (mapping, source, target), stable; those of mapping m are
    `mapping_start[m]:mapping_start[m + 1]`.
    """

    areas: tuple[Area, ...]
    mappings: tuple[Mapping, ...]
    threshold: F32  # (neurons,)
    limit: F32  # (neurons,) upper end of the firing window, +inf = none
    leak: F64  # (neurons,) fraction lost per processed burst, 0..1
    refractory: U16  # (neurons,) bursts
    fire_limit: U16  # (neurons,) consecutive fire limit, 0 = off
    snooze: U16  # (neurons,) bursts added to refractory when the fire limit is reached
    excitability: F32  # (neurons,) probability of firing; >= 0.999 always, <= 0 never
    mapping_start: I64  # (mappings + 1,)
    source: U32  # (synapses,)
    target: U32  # (synapses,)
    weight: F32  # (synapses,) potential that one spike adds to the target
    power_neuron: U32  # (powered,) ascending: neurons that receive power every burst
    power_amount: F32  # (powered,)
    candidates_only: bool = True
    """True: a neuron is updated only in bursts in which input reached it (FEAGI's host); False: every burst."""
    precision: str = "fp32"
    """What the genome asks for: one of PRECISIONS."""
    timestep_s: float = 0.0
    """simulation_timestep: the burst period for real-time pacing, 0 = none given."""
    seed: int = 0
    genome_hash: str = ""
    """SHA-256 (hex) of the genome file's bytes; empty where there is none."""
    notes: tuple[str, ...] = ()
    """What was not grown or was changed, one line each."""
    quantization: Quantization = field(default_factory=Quantization)
    reset: F32 = field(
        default_factory=_none
    )  # (neurons,) potential after a spike, or what a spike takes away; areas with dynamics alone
    bias: F32 = field(default_factory=_none)  # (neurons,) added in every burst; areas with dynamics alone
    senses: Senses | None = None
    """Encoders and decoder (docs/senses.md)."""
    current_leak: F64 = field(default_factory=_none64)  # (neurons,) fraction of the current lost per burst, 0..1

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""
        return len(self.threshold)

    @property
    def synapses(self) -> int:
        """Synapses of all mappings."""
        return len(self.source)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the content."""
        return npzfile.content_hash(*_encode(self))

    def __post_init__(self) -> None:
        for name, dtype in _TRAINED_ARRAYS.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(self.neurons, dtype))
        _check(self, "connectome")


_TRAINED_ARRAYS = {"reset": "<f4", "bias": "<f4", "current_leak": "<f8"}
"""Per neuron; left out of files where all are 0."""
_NEURON_ARRAYS = {
    "threshold": "<f4",
    "limit": "<f4",
    "leak": "<f8",
    "refractory": "<u2",
    "fire_limit": "<u2",
    "snooze": "<u2",
    "excitability": "<f4",
}
_SYNAPSE_ARRAYS = {"source": "<u4", "target": "<u4", "weight": "<f4"}
_META = ("candidates_only", "precision", "timestep_s", "seed", "genome_hash")


def area_meta(area: Area) -> dict[str, Any]:
    """An area as JSON values; a neuron model only where there is one, so that hashes without stay what they were."""
    meta = {field.name: getattr(area, field.name) for field in dataclass_fields(area) if field.name != "dynamics"}
    return meta if area.dynamics is None else meta | {"dynamics": area.dynamics.as_json()}


def area_from_meta(meta: Any, where: str) -> Area:
    """The area that `area_meta` described. Raises: EspikeError naming the field."""
    try:
        x, y, z = (int(n) for n in meta["dimensions"])
        return Area(
            id=str(meta["id"]),
            name=str(meta["name"]),
            group=str(meta["group"]),
            dimensions=(x, y, z),
            neurons_per_voxel=int(meta["neurons_per_voxel"]),
            first=int(meta["first"]),
            accumulate=bool(meta["accumulate"]),
            dynamics=dynamics_from_meta(meta.get("dynamics"), where),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EspikeError(f"an area's description is damaged ({error})", where=where) from None


def check_areas(areas: tuple[Area, ...], neurons: int, where: str) -> None:
    """Areas cover neurons 0..neurons-1 in order, each with at least one. Raises: EspikeError naming the area."""
    first = 0
    for area in areas:
        if area.first != first or area.count < 1:
            raise EspikeError(f"area {area.id} holds neurons {area.first}+{area.count}, expected {first}+", where=where)
        first += area.count
    if first != neurons:
        raise EspikeError(f"areas hold {first} neurons, arrays {neurons}", where=where)


def check_dynamics(
    areas: tuple[Area, ...], mappings: list[tuple[int, bool]], candidates_only: bool, where: str
) -> None:
    """Neuron models go with the network; `mappings` are (source area, driven).

    Raises: EspikeError naming the area.
    """
    for area in areas:
        if area.dynamics is not None:
            area.dynamics.check(f"{where}: area {area.id}")
            if candidates_only:
                what = "has a neuron model that is updated in every burst, the network updates candidates only"
                raise EspikeError(f"area {area.id} {what}", where=where)
    for source, driven in mappings:
        dynamics = areas[source].dynamics
        if dynamics is not None and dynamics.graded != driven:
            what = (
                "is graded, so its mappings are driven" if dynamics.graded else "sends spikes, which drive no weights"
            )
            raise EspikeError(f"area {areas[source].id} {what}", where=where)


def check_synapses(
    areas: tuple[Area, ...], ends: list[tuple[int, int]], start: I64, source: U32, target: U32, where: str
) -> None:
    """Synapses lie in their areas, sorted by (group, source, target); `ends` are (source, target) area indices.

    Raises: EspikeError naming the group.
    """
    if len(start) != len(ends) + 1 or start[0] != 0 or start[-1] != len(source) or np.any(np.diff(start) < 0):
        raise EspikeError("synapse group starts do not fit the synapses", where=where)
    for group, (from_area, to_area) in enumerate(ends):
        if not (0 <= from_area < len(areas) and 0 <= to_area < len(areas)):
            raise EspikeError(f"synapse group {group} names an area that does not exist", where=where)
        part = slice(int(start[group]), int(start[group + 1]))
        for ids, area in ((source[part], areas[from_area]), (target[part], areas[to_area])):
            if ids.size and (ids.min() < area.first or ids.max() >= area.first + area.count):
                raise EspikeError(f"synapse group {group} leaves area {area.id}", where=where)
        for some in blocks(part.stop, part.start):
            with_next = slice(some.start, min(some.stop + 1, part.stop))
            key = source[with_next].astype(np.int64) * (np.int64(1) << 32) + target[with_next]
            if np.any(np.diff(key) < 0):
                raise EspikeError(f"synapse group {group} is not sorted by source and target", where=where)


def _check(c: Connectome, where: str) -> None:
    check_areas(c.areas, c.neurons, where)
    for name, dtype in (_NEURON_ARRAYS | _TRAINED_ARRAYS).items():
        npzfile.take({name: getattr(c, name)}, name, dtype, c.neurons, where)
    for name, dtype in _SYNAPSE_ARRAYS.items():
        npzfile.take({name: getattr(c, name)}, name, dtype, c.synapses, where)
    check_synapses(c.areas, [(m.source, m.target) for m in c.mappings], c.mapping_start, c.source, c.target, where)
    for m in c.mappings:
        check_delay(m.delay, m.source, m.target, f"{where}: mapping {c.areas[m.source].id} -> {c.areas[m.target].id}")
        if m.learning is not None:
            m.learning.check(where)
    for name in ("threshold", "leak", "excitability", "weight", "power_amount", *_TRAINED_ARRAYS):
        if not np.all(np.isfinite(getattr(c, name))):
            raise EspikeError(f"array {name} holds a value that is not finite", where=where)
    if np.any(np.isnan(c.limit)):
        raise EspikeError("array limit holds NaN", where=where)
    for name in ("leak", "current_leak"):
        if c.neurons and (getattr(c, name).min() < 0 or getattr(c, name).max() > 1):
            raise EspikeError(f"array {name} leaves 0..1", where=where)
    check_dynamics(c.areas, [(m.source, m.driven) for m in c.mappings], c.candidates_only, where)
    if len(c.power_neuron) != len(c.power_amount) or np.any(np.diff(c.power_neuron.astype(np.int64)) <= 0):
        raise EspikeError("power neurons are not ascending, or lack an amount", where=where)
    if len(c.power_neuron) and c.power_neuron[-1] >= c.neurons:
        raise EspikeError(f"power neuron {c.power_neuron[-1]} does not exist", where=where)
    if c.senses is not None:
        c.senses.check(c.areas, where)
    known = {area.id for area in c.areas if area.dynamics is not None}
    for name, bits in c.quantization.bits.items():
        if name not in known or not 2 <= bits <= 8:
            do = "name an area of a trained network, and 2..8 bits"
            raise EspikeError(f"weights into area {name} are asked for in {bits} bits", where=where, do=do)
    if c.precision not in PRECISIONS:
        raise EspikeError(f"precision {c.precision!r} is unknown", where=where, do="use " + ", ".join(PRECISIONS))


def _encode(c: Connectome) -> tuple[dict[str, Any], npzfile.Arrays]:
    meta: dict[str, Any] = {"format": FORMAT, "version": VERSION, "notes": list(c.notes)}
    meta["areas"] = [area_meta(area) for area in c.areas]
    meta["mappings"] = [_mapping_meta(mapping) for mapping in c.mappings]
    meta |= {name: getattr(c, name) for name in _META}
    if c.senses is not None:
        meta["senses"] = c.senses.as_json()
    if asked := c.quantization.as_json():  # absent where nothing is asked: most files
        meta["quantization"] = asked
    names = [*_NEURON_ARRAYS, *_SYNAPSE_ARRAYS, "mapping_start", "power_neuron", "power_amount"]
    names += [name for name in _TRAINED_ARRAYS if np.any(getattr(c, name))]
    return meta, {name: getattr(c, name) for name in names}


def save(c: Connectome, path: Path) -> None:
    """Write a connectome file, whole or not at all. Raises: EspikeError where it cannot."""
    npzfile.save(path, *_encode(c))


def load(path: Path) -> Connectome:
    """Read a connectome file. Raises: EspikeError saying what is wrong with it."""
    meta, arrays = npzfile.load(path, FORMAT, VERSION)
    where = str(path)
    try:
        mappings = tuple(_mapping_from_meta(m, where) for m in meta["mappings"])
        areas = tuple(area_from_meta(a, where) for a in meta["areas"])
        values: dict[str, Any] = {name: meta[name] for name in _META}
        notes = tuple(str(note) for note in meta["notes"])
        values["quantization"] = _quantization_from_meta(meta.get("quantization", {}))
        values["senses"] = senses_from_meta(meta.get("senses"), where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EspikeError(f"meta is damaged ({error})", where=where) from None
    neurons = sum(area.count for area in areas)
    taken: dict[str, Any] = {
        name: npzfile.take(arrays, name, dtype, neurons, where) for name, dtype in _NEURON_ARRAYS.items()
    }
    taken |= {name: npzfile.take(arrays, name, dtype, None, where) for name, dtype in _SYNAPSE_ARRAYS.items()}
    trained = {name: dtype for name, dtype in _TRAINED_ARRAYS.items() if name in arrays}
    taken |= {name: npzfile.take(arrays, name, dtype, neurons, where) for name, dtype in trained.items()}
    taken["mapping_start"] = npzfile.take(arrays, "mapping_start", "<i8", len(mappings) + 1, where)
    taken["power_neuron"] = npzfile.take(arrays, "power_neuron", "<u4", None, where)
    taken["power_amount"] = npzfile.take(arrays, "power_amount", "<f4", None, where)
    return Connectome(areas=areas, mappings=mappings, notes=notes, **taken, **values)
