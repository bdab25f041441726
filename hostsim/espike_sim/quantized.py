"""connectome -> quantized connectome: every number that the engines will use, explicit.

The reference runs on this; the packer encodes it into an image. `docs/numbers.md` defines the arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import npzfile
from .blocks import blocks
from .connectome import Area, area_from_meta, area_meta, check_areas, check_dynamics, check_synapses
from .errors import EspikeError
from .generator import Generator, generator_from_meta
from .learning import Learning, check_delay, learning_from_meta
from .senses import Senses, senses_from_meta

FORMAT, VERSION = "quantized-connectome", 1
ALWAYS = 0xFFFFFFFF
"""fire_draw of a neuron that fires whenever its threshold is met, without a draw."""
NO_LIMIT = 32767
"""int8: limit of a neuron without an upper end of the firing window (fp32: +inf)."""


@dataclass(frozen=True)
class Projection:
    """The synapses from one area to another that share a shift; `source` and `target` are area indices."""

    source: int
    target: int
    rule: str
    shift: int = 0
    """int8: every weight counts as weight << shift, 0..7; fp32: 0."""
    generator: Generator | None = None
    """int8: the rule that draws these synapses, where they are procedural; `pack` checks it before it stores it."""
    delay: int = 1
    """Bursts from a spike to its arrival; 0: in the same burst, to a later area only."""
    psp_factor: int = 0
    """Not 0: the weight counts p times, p being the source's potential at firing (docs/numbers.md, Driven weights).
    int8: p of a potential v is (v * psp_factor + 2^15) >> 16, cut to 0..255; fp32: 1."""
    learning: Learning | None = None
    """The rule by which the weights move, in codes; None: they are fixed."""


def _projection_meta(p: Projection) -> dict[str, Any]:
    """A projection as JSON values; a generator only where there is one, so that hashes without stay what they were."""
    meta: dict[str, Any] = {"source": p.source, "target": p.target, "rule": p.rule, "shift": p.shift}
    meta |= {} if p.delay == 1 else {"delay": p.delay}
    meta |= {} if p.psp_factor == 0 else {"psp_factor": p.psp_factor}
    meta |= {} if p.learning is None else {"learning": vars(p.learning)}
    return meta if p.generator is None else meta | {"generator": vars(p.generator)}


def _projection_from_meta(meta: Any, where: str) -> Projection:
    rule = generator_from_meta(meta.get("generator"), where)
    delay, factor = int(meta.get("delay", 1)), int(meta.get("psp_factor", 0))
    learning = learning_from_meta(meta.get("learning"))
    ends = int(meta["source"]), int(meta["target"])
    return Projection(*ends, str(meta["rule"]), int(meta["shift"]), rule, delay, factor, learning)


@dataclass(frozen=True)
class NumberTypes:
    """The dtypes of one precision."""

    potential: str
    retained: str
    weight: str
    input: str
    """Stimulus and power."""


NUMBER_TYPES = {
    "int8": NumberTypes(potential="<i2", retained="<u2", weight="<i2", input="<i4"),
    "fp16": NumberTypes(potential="<f2", retained="<f4", weight="<f2", input="<f4"),
    "fp32": NumberTypes(potential="<f4", retained="<f4", weight="<f4", input="<f4"),
}


def _zeros(dtype: str) -> Callable[[], NDArray[Any]]:
    """Makes what stands for a 0 for each, of the dtype that the precision gives."""
    return lambda: np.zeros(0, dtype)


@dataclass(frozen=True)
class QuantizedConnectome:
    """Every number of a network at one precision.

    int8: weights, stimulus and power in codes; threshold, limit and potential in 2^-guard_bits of a code of their
    area; retained in Q0.15 (0..32768). fp32: all in potential units, retained a factor.
    Synapses are sorted by (projection, source, target), stable; a row is the synapses of one (projection, source).
    int8 weights lie in -127..127, or in int16 where all weights of the row are equal or the projection learns.
    """

    precision: str
    candidates_only: bool
    areas: tuple[Area, ...]
    projections: tuple[Projection, ...]
    guard_bits: NDArray[np.uint8]  # (areas,) 0..4; fp32: 0
    scale: NDArray[np.float64]  # (areas,) potential units per weight code; fp32: 1
    stimulus_limit: NDArray[Any]  # (areas,) int32 codes or float32: largest |stimulus entry| accepted
    threshold: NDArray[Any]  # (neurons,) int16 or float32
    limit: NDArray[Any]  # (neurons,) int16 or float32; NO_LIMIT or +inf = none
    retained: NDArray[Any]  # (neurons,) uint16 or float32
    refractory: NDArray[np.uint16]  # (neurons,) bursts
    fire_limit: NDArray[np.uint16]  # (neurons,) 0 = off
    snooze: NDArray[np.uint16]  # (neurons,) bursts
    fire_draw: NDArray[np.uint32]  # (neurons,) fires when its draw < this; ALWAYS = no draw
    projection_start: NDArray[np.int64]  # (projections + 1,)
    source: NDArray[np.uint32]  # (synapses,)
    target: NDArray[np.uint32]  # (synapses,)
    weight: NDArray[Any]  # (synapses,) int16 or float32
    power_neuron: NDArray[np.uint32]  # (powered,) ascending
    power_value: NDArray[Any]  # (powered,) int32 codes or float32
    timestep_s: float = 0.0
    genome_hash: str = ""
    connectome_hash: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    """The quantization report (JSON values); not part of the hash."""
    senses: Senses | None = None
    current_shift: NDArray[np.uint8] = field(
        default_factory=_zeros("|u1")
    )  # (areas,) a current counts 2^-shift; 0..15, fp32: 0
    reset: NDArray[Any] = field(default_factory=_zeros("<f4"))  # (neurons,) potential; areas with dynamics alone
    bias: NDArray[Any] = field(
        default_factory=_zeros("<f4")
    )  # (neurons,) input, in potential units (int8 before the current shift)
    current_retained: NDArray[Any] = field(default_factory=_zeros("<f4"))  # (neurons,) as retained, of the current
    neuron_scale: NDArray[np.float64] = field(
        default_factory=_zeros("<f8")
    )  # (neurons,) per neuron where they differ, else empty

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""
        return len(self.threshold)

    @property
    def synapses(self) -> int:
        """Synapses of all projections."""
        return len(self.source)

    @property
    def types(self) -> NumberTypes:
        """The dtypes of this precision."""
        return NUMBER_TYPES[self.precision]

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of all that an engine uses; an image carries it."""
        meta, arrays = _encode(self)
        return npzfile.content_hash({k: v for k, v in meta.items() if k != "report"}, arrays)

    @cached_property
    def area_of_neuron(self) -> NDArray[np.int32]:
        """int32 (neurons,): area index of each neuron."""
        return np.repeat(np.arange(len(self.areas), dtype=np.int32), [area.count for area in self.areas])

    @cached_property
    def scale_of_neuron(self) -> NDArray[np.float64]:
        """float64 (neurons,): potential units per code of each neuron's input."""
        return self.neuron_scale if len(self.neuron_scale) else self.scale[self.area_of_neuron]

    def drive_most(self, area: int) -> int:
        """int8: the largest potential that a graded area sends, in units (docs/numbers.md, Graded)."""
        fed = any(p.target == area for p in self.projections)
        part = slice(self.areas[area].first, self.areas[area].first + self.areas[area].count)
        powered = np.any(self.area_of_neuron[self.power_neuron] == area) or np.any(self.bias[part])
        if fed or powered or self.areas[area].accumulate:
            return NO_LIMIT
        return min(NO_LIMIT, int(self.stimulus_limit[area]) << int(self.guard_bits[area]))

    def __post_init__(self) -> None:
        counts = {"neurons": self.neurons, "areas": len(self.areas)}
        for name, (dtype, shape) in _trained_layout(self.precision).items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(counts[shape], dtype))
        _check(self, "quantized connectome")


def _layout(precision: str) -> dict[str, tuple[str, str]]:
    t = NUMBER_TYPES[precision]
    per_neuron = {"threshold": t.potential, "limit": t.potential, "retained": t.retained}
    per_neuron |= {"refractory": "<u2", "fire_limit": "<u2", "snooze": "<u2", "fire_draw": "<u4"}
    layout = {name: (dtype, "neurons") for name, dtype in per_neuron.items()}
    layout |= {"guard_bits": ("|u1", "areas"), "scale": ("<f8", "areas"), "stimulus_limit": (t.input, "areas")}
    layout |= {"source": ("<u4", "synapses"), "target": ("<u4", "synapses"), "weight": (t.weight, "synapses")}
    layout |= {"power_neuron": ("<u4", "powered"), "power_value": (t.input, "powered")}
    return layout | {"projection_start": ("<i8", "starts")}


def _trained_layout(precision: str) -> dict[str, tuple[str, str]]:
    """Arrays that areas with dynamics use; left out of files where all are 0."""
    t = NUMBER_TYPES.get(precision, NUMBER_TYPES["fp32"])
    layout = {"reset": (t.potential, "neurons"), "bias": (t.input, "neurons")}
    return layout | {"current_retained": (t.retained, "neurons"), "current_shift": ("|u1", "areas")}


def _check(q: QuantizedConnectome, where: str) -> None:
    if q.precision not in NUMBER_TYPES:
        raise EspikeError(
            f"precision {q.precision!r} is not run", where=where, do="use --precision " + " or ".join(NUMBER_TYPES)
        )
    check_areas(q.areas, q.neurons, where)
    counts = {"neurons": q.neurons, "areas": len(q.areas), "synapses": q.synapses}
    counts |= {"powered": len(q.power_neuron), "starts": len(q.projections) + 1}
    for name, (dtype, shape) in (_layout(q.precision) | _trained_layout(q.precision)).items():
        npzfile.take({name: getattr(q, name)}, name, dtype, counts[shape], where)
    _check_trained(q, where)
    if q.senses is not None:
        q.senses.check(q.areas, where)
    ends = [(p.source, p.target) for p in q.projections]
    check_synapses(q.areas, ends, q.projection_start, q.source, q.target, where)
    for index, p in enumerate(q.projections):
        _check_projection(q, index, p, where)
    if any(not 0 <= p.shift <= (7 if q.precision == "int8" else 0) for p in q.projections):
        raise EspikeError("a projection's shift leaves 0..7", where=where)
    if len(q.guard_bits) and q.guard_bits.max() > 4:
        raise EspikeError("guard bits leave 0..4", where=where)
    if np.any(np.diff(q.power_neuron.astype(np.int64)) <= 0) or np.any(q.power_neuron >= q.neurons):
        raise EspikeError("power neurons are not ascending or do not exist", where=where)
    pause = q.refractory.astype(np.int64) + np.where(q.fire_limit > 0, q.snooze, 0)
    if np.any(pause > 0xFFFF):
        neuron = int(np.argmax(pause))
        raise EspikeError(
            f"refractory period plus snooze of neuron {neuron} is {pause[neuron]} bursts",
            where=where,
            do="65535 at most",
        )
    if q.precision == "int8":
        _check_int8(q, where)
    else:
        for name in ("threshold", "retained", "weight", "power_value", "stimulus_limit"):
            if not np.all(np.isfinite(getattr(q, name))):
                raise EspikeError(f"array {name} holds a value that is not finite", where=where)
        if q.neurons and (q.retained.min() < 0 or q.retained.max() > 1):
            raise EspikeError("array retained leaves 0..1", where=where)
        if np.any(np.isnan(q.limit)):
            raise EspikeError("array limit holds NaN", where=where)
        for name in ("weight", "power_value"):
            values = getattr(q, name)
            if np.any(np.signbit(values) & (values == 0)):
                raise EspikeError(f"array {name} holds a negative zero", where=where)
    if len(q.stimulus_limit) and q.stimulus_limit.min() < 0:
        raise EspikeError("array stimulus_limit holds a negative value", where=where)


def _check_trained(q: QuantizedConnectome, where: str) -> None:
    drives = [(p.source, p.psp_factor > 0) for p in q.projections]
    check_dynamics(q.areas, drives, q.candidates_only, where)
    if len(q.neuron_scale) not in (0, q.neurons) or not np.all(q.neuron_scale > 0):
        raise EspikeError("array neuron_scale has another length than the neurons, or no scale", where=where)
    if np.any(q.neuron_scale.astype(np.float32) != q.neuron_scale):
        raise EspikeError("array neuron_scale holds what is no binary32", where=where)
    if len(q.current_shift) and q.current_shift.max() > (15 if q.precision == "int8" else 0):
        raise EspikeError("current shifts leave 0..15", where=where)
    for index, area in enumerate(q.areas):
        part, dynamics = slice(area.first, area.first + area.count), area.dynamics
        pauses = np.any(q.refractory[part]) or np.any(q.fire_limit[part])
        if dynamics is not None and (dynamics.late or dynamics.graded) and pauses:
            raise EspikeError(
                f"area {area.id} resets late or is graded, and has a refractory period or fire limit", where=where
            )
        named = [name for name in ("reset", "bias", "current_retained") if np.any(getattr(q, name)[part])]
        if dynamics is None and (named or q.current_shift[index]):
            raise EspikeError(f"area {area.id} has {', '.join(named)} but no neuron model", where=where)
    for name in ("reset", "bias", "current_retained") if q.precision != "int8" else ():
        values = getattr(q, name)
        if not np.all(np.isfinite(values)) or np.any(np.signbit(values) & (values == 0)):
            raise EspikeError(f"array {name} holds a negative zero, or a value that is not finite", where=where)
    most = 32768 if q.precision == "int8" else 1
    if q.neurons and (q.current_retained.min() < 0 or q.current_retained.max() > most):
        raise EspikeError(f"array current_retained leaves 0..{most}", where=where)


def _check_projection(q: QuantizedConnectome, index: int, p: Projection, where: str) -> None:
    check_delay(p.delay, p.source, p.target, f"{where}: projection {index}")
    if p.psp_factor and p.delay > 1:
        raise EspikeError(f"projection {index} is driven by the potential and has delay {p.delay}", where=where)
    if not 0 <= p.psp_factor < 1 << 32 or (q.precision != "int8" and p.psp_factor > 1):
        raise EspikeError(f"projection {index} has the psp factor {p.psp_factor}", where=where)
    if len({o.psp_factor for o in q.projections if o.source == p.source and o.psp_factor}) > 1:
        raise EspikeError(f"projections of area {q.areas[p.source].id} have several psp factors", where=where)
    if p.learning is None:
        return
    p.learning.check(where)
    part = q.weight[q.projection_start[index] : q.projection_start[index + 1]]
    if part.size and (part.min() < p.learning.low or part.max() > p.learning.high):
        raise EspikeError(f"projection {index} begins outside the range that it learns in", where=where)
    if p.generator is not None:
        raise EspikeError(f"projection {index} is procedural and cannot learn", where=where)
    steps = p.learning.ltp, p.learning.ltd, p.learning.low, p.learning.high
    if q.precision == "int8" and any(step != int(step) or abs(step) > NO_LIMIT for step in steps):
        raise EspikeError(f"projection {index} learns in steps that are no codes", where=where)


def _check_int8(q: QuantizedConnectome, where: str) -> None:
    if q.neurons and q.retained.max() > 32768:
        raise EspikeError("array retained leaves 0..32768", where=where)
    for index, p in enumerate(q.projections):
        part = slice(int(q.projection_start[index]), int(q.projection_start[index + 1]))
        if p.learning is None:
            _check_wide_rows(q.source[part], q.weight[part], part.start, where)
    bound = accumulator_bound(q)
    bound = (bound << q.guard_bits[q.area_of_neuron].astype(np.int64)) + np.abs(q.bias.astype(np.int64))
    wide_sum = bound >= 1 << 30
    if np.any(wide_sum):
        neuron = int(np.flatnonzero(wide_sum)[0])
        raise EspikeError(f"input of neuron {neuron} can pass 2^30", where=where, do="use fewer guard bits or shifts")


def _check_wide_rows(source: NDArray[np.uint32], weight: NDArray[np.int16], first: int, where: str) -> None:
    """Weights beyond int8 lie in rows of equal weights."""
    is_wide = (weight > 127) | (weight < -127)
    if not np.any(is_wide):
        return
    same_row = source[1:] == source[:-1]
    row = np.concatenate(([0], np.cumsum(~same_row, dtype=np.uint32)))
    mixed = np.zeros(int(row[-1]) + 1, np.bool_)
    mixed[row[1:][same_row & (weight[1:] != weight[:-1])]] = True
    bad = np.flatnonzero(is_wide & mixed[row])
    if bad.size:
        raise EspikeError(f"synapse {first + bad[0]} has a weight beyond int8 in a row of mixed weights", where=where)


def accumulator_bound(q: QuantizedConnectome) -> NDArray[np.int64]:
    """int64 (neurons,), int8 only: the largest |acc| a burst can reach, in codes.

    Sum of |weight << shift| over the fan-in, plus the area's stimulus limit, plus |power| (docs/numbers.md). Weights
    that the potential drives count 255 times, those of graded areas as often as these can send, those that learn as far
    as they may go.
    """

    bound = np.zeros(q.neurons, np.int64)
    for index, p in enumerate(q.projections):
        most = 0 if p.learning is None else int(max(abs(p.learning.low), abs(p.learning.high)))
        dynamics = q.areas[p.source].dynamics
        driven = q.drive_most(p.source) if dynamics is not None and dynamics.graded else 255
        times = (driven if p.psp_factor else 1) << p.shift
        for part in blocks(int(q.projection_start[index + 1]), int(q.projection_start[index])):
            size = np.maximum(np.abs(q.weight[part].astype(np.int64)), most) * times
            np.add.at(bound, q.target[part], size)
    bound += q.stimulus_limit.astype(np.int64)[q.area_of_neuron]
    np.add.at(bound, q.power_neuron, np.abs(q.power_value.astype(np.int64)))
    return bound


def _encode(q: QuantizedConnectome) -> tuple[dict[str, Any], npzfile.Arrays]:
    meta: dict[str, Any] = {"format": FORMAT, "version": VERSION, "report": q.report}
    meta["areas"] = [area_meta(area) for area in q.areas]
    meta["projections"] = [_projection_meta(projection) for projection in q.projections]
    for name in ("precision", "candidates_only", "timestep_s", "genome_hash", "connectome_hash"):
        meta[name] = getattr(q, name)
    if q.senses is not None:
        meta["senses"] = q.senses.as_json()
    trained = [name for name in (*_trained_layout(q.precision), "neuron_scale") if np.any(getattr(q, name))]
    return meta, {name: getattr(q, name) for name in (*_layout(q.precision), *trained)}


def save(q: QuantizedConnectome, path: Path) -> None:
    """Write a quantized connectome file, whole or not at all. Raises: EspikeError where it cannot."""
    npzfile.save(path, *_encode(q))


def load(path: Path) -> QuantizedConnectome:
    """Read a quantized connectome file. Raises: EspikeError saying what is wrong with it."""
    meta, arrays = npzfile.load(path, FORMAT, VERSION)
    where = str(path)
    if meta.get("precision") not in NUMBER_TYPES:
        raise EspikeError(f"precision {meta.get('precision')!r} is unknown", where=where)
    try:
        projections = tuple(_projection_from_meta(p, where) for p in meta["projections"])
        areas = tuple(area_from_meta(a, where) for a in meta["areas"])
        taken = {
            name: npzfile.take(arrays, name, dtype, None, where)
            for name, (dtype, _) in _layout(meta["precision"]).items()
        }
        trained = _trained_layout(meta["precision"]) | {"neuron_scale": ("<f8", "neurons")}
        taken |= {
            name: npzfile.take(arrays, name, dtype, None, where)
            for name, (dtype, _) in trained.items()
            if name in arrays
        }
        return QuantizedConnectome(
            precision=meta["precision"],
            candidates_only=bool(meta["candidates_only"]),
            areas=areas,
            projections=projections,
            timestep_s=float(meta["timestep_s"]),
            genome_hash=str(meta["genome_hash"]),
            connectome_hash=str(meta["connectome_hash"]),
            report=json.loads(json.dumps(meta["report"])),
            senses=senses_from_meta(meta.get("senses"), where),
            **taken,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EspikeError(f"meta is damaged ({error})", where=where) from None
