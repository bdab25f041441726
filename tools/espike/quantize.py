"""connectome -> quantized connectome: scales, guard bits, shifts and codes. `docs/numbers.md` has the arithmetic.

int8: the largest threshold of an area becomes about 2^13 units of potential, a multiple of the shares that common
weights have of it, so that they sum to it exactly; inhibition has four times the threshold to go down. Guard bits and
shifts divide the distance between that unit and the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.pcg import fire_draw
from espike_sim.quantized import NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome

THRESHOLD_UNITS = 8192
LIMIT_UNITS = 28672
POTENTIAL_MOST = 32767
WEIGHT_MOST = 127
UNIFORM_MOST = 32767
BOUND_MOST = (1 << 30) - 1
LEAST_UNITS = 1024
"""A threshold keeps this many units, whatever its limits and weights."""
LEAK_UNITS = 32
"""A threshold of this many units / leak leaks as asked (docs/numbers.md)."""
COMMON_WEIGHTS, SHARES_MOST = 4, 512
ERROR_MOST = 0.02
"""Relative error of a weight or threshold that is worth a line."""
FINE_CODES = 64
"""Guard bits are taken from uniform rows only while their smallest weight keeps this many codes."""
FP32_MOST = float(np.finfo(np.float32).max)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def quantize(c: Connectome, precision: str | None = None) -> QuantizedConnectome:
    """Every number of `c` at a precision (None: what its genome asks for).

    Raises: EspikeError where the precision is not run, or a refractory period does not fit.
    """
    chosen = precision or c.precision
    if chosen not in NUMBER_TYPES:
        raise EspikeError(
            f"precision {chosen} is not run" + (", and the genome asks for it" if precision is None else ""),
            do="choose --precision " + " or --precision ".join(NUMBER_TYPES),
        )
    _check_pauses(c)
    return _fp32(c) if chosen == "fp32" else _int8(c)


def _check_pauses(c: Connectome) -> None:
    pause = c.refractory.astype(np.int64) + np.where(c.fire_limit > 0, c.snooze, 0)
    for area in c.areas:
        most = int(pause[area.first : area.first + area.count].max())
        if most > 0xFFFF:
            raise EspikeError(
                f"refractory period plus snooze is {most} bursts", where=f"area {area.id}", do="keep it to 65535"
            )


def _common(c: Connectome) -> dict[str, Any]:
    return {
        "candidates_only": c.candidates_only,
        "areas": c.areas,
        "refractory": c.refractory,
        "fire_limit": c.fire_limit,
        "snooze": c.snooze,
        "fire_draw": fire_draw(c.excitability),
        "projection_start": c.mapping_start,
        "source": c.source,
        "target": c.target,
        "power_neuron": c.power_neuron,
        "timestep_s": c.timestep_s,
        "genome_hash": c.genome_hash,
        "connectome_hash": c.hash,
    }


def _fp32(c: Connectome) -> QuantizedConnectome:
    count = len(c.areas)
    positive_zero = np.float32(0)
    return QuantizedConnectome(
        precision="fp32",
        projections=tuple(Projection(m.source, m.target, m.rule) for m in c.mappings),
        guard_bits=np.zeros(count, np.uint8),
        scale=np.ones(count),
        stimulus_limit=np.full(count, FP32_MOST, np.float32),
        threshold=c.threshold + positive_zero,
        limit=c.limit + positive_zero,
        retained=(1.0 - c.leak).astype(np.float32),
        weight=c.weight + positive_zero,
        power_value=c.power_amount + positive_zero,
        report={"precision": "fp32", "areas": []},
        **_common(c),
    )


@dataclass(frozen=True)
class _Mapped:
    """One mapping into an area: its place, its weights, and whether all weights of a row are equal."""

    index: int
    part: slice
    target: I64  # (synapses,) from the area's first neuron
    weight: F64  # (synapses,)
    uniform: bool
    largest: float
    smallest: float
    """Of the magnitudes that are not 0; 0 where all are."""

    @property
    def most_codes(self) -> int:
        """Largest code of a weight."""
        return UNIFORM_MOST if self.uniform else WEIGHT_MOST


@dataclass(frozen=True)
class _Area:
    """An area in floats, as the choice of its scale needs it."""

    part: slice
    threshold: F64  # (neurons,)
    limits: F64  # the finite ones
    weakest_leak: float
    """The smallest leak above 0; 1 where there is none."""
    power_at: I64  # (powered,) from the area's first neuron
    power: F64  # (powered,)
    mapped: tuple[_Mapped, ...]
    room: int
    """Largest sum that 16 bits hold (docs/image.md, area flags)."""

    @property
    def reach(self) -> float:
        """The highest threshold or limit."""
        return float(max(np.abs(self.threshold).max(), self.limits.max(initial=0)))


@dataclass(frozen=True)
class _Scale:
    """An area's numbers: potential per unit, guard bits, the shift of each incoming mapping, the stimulus limit."""

    unit: float
    guard_bits: int
    shifts: dict[int, int]
    cap: float
    """Weights beyond this potential are cut, so that sums fit."""
    limit: int

    @property
    def code(self) -> float:
        """Potential units per weight code."""
        return self.unit * (1 << self.guard_bits)

    def codes(self, m: _Mapped) -> I64:
        """int64 (synapses,): a mapping's weights as codes, rounded to nearest, before they are cut."""
        step = self.code * (1 << self.shifts[m.index])
        return np.floor(np.clip(m.weight, -self.cap, self.cap) / step + 0.5).astype(np.int64)

    def power(self, area: _Area) -> I64:
        """int64 (powered,): power as codes, cut to the stimulus limit."""
        codes = np.floor(area.power / self.code + 0.5).astype(np.int64)
        return np.clip(codes, -self.limit, self.limit)

    def bound(self, area: _Area) -> int:
        """Largest |acc| in codes over the neurons of an area (docs/numbers.md, Input)."""
        sums = np.zeros(len(area.threshold))
        for m in area.mapped:
            size = np.minimum(np.abs(self.codes(m)), m.most_codes) << self.shifts[m.index]
            sums += np.bincount(m.target, weights=size, minlength=len(sums))
        np.add.at(sums, area.power_at, np.abs(self.power(area)))
        return int(sums.max(initial=0)) + self.limit


def _mapped(c: Connectome, index: int) -> _Mapped:
    part = slice(int(c.mapping_start[index]), int(c.mapping_start[index + 1]))
    weight, source = c.weight[part].astype(np.float64), c.source[part]
    size = np.abs(weight[weight != 0])
    same_row = source[1:] == source[:-1]
    uniform = bool(np.all(weight[1:][same_row] == weight[:-1][same_row]))
    target = c.target[part].astype(np.int64) - c.areas[c.mappings[index].target].first
    largest, smallest = (float(size.max()), float(size.min())) if size.size else (0.0, 0.0)
    return _Mapped(index, part, target, weight, uniform, largest, smallest)


def _areas(c: Connectome) -> list[_Area]:
    into: list[list[_Mapped]] = [[] for _ in c.areas]
    for index, mapping in enumerate(c.mappings):
        into[mapping.target].append(_mapped(c, index))
    made = []
    for area, mapped in zip(c.areas, into, strict=True):
        part = slice(area.first, area.first + area.count)
        limit, leak = c.limit[part].astype(np.float64), c.leak[part]
        lo, hi = np.searchsorted(c.power_neuron, [part.start, part.stop])
        made.append(
            _Area(
                part,
                c.threshold[part].astype(np.float64),
                np.abs(limit[np.isfinite(limit)]),
                float(leak[leak > 0].min(initial=1.0)),
                c.power_neuron[lo:hi].astype(np.int64) - part.start,
                c.power_amount[lo:hi].astype(np.float64),
                tuple(mapped),
                16383 if c.candidates_only else 32767,
            )
        )
    return made


def _shares(area: _Area, threshold: float) -> int:
    """A whole number that makes the commonest weights whole shares of `threshold` once it divides it.

    FEAGI divides weights by the fan-out, so k inputs of a threshold's k-th part are common: they must sum to it.
    """
    weights = [np.abs(m.weight[m.weight != 0]) for m in area.mapped]
    if not weights:
        return 1
    values, counts = np.unique(np.concatenate(weights), return_counts=True)
    found = 1
    for value in values[np.argsort(-counts, kind="stable")][:COMMON_WEIGHTS]:
        share = Fraction(threshold / value).limit_denominator(32)
        near = abs(float(share) - threshold / value) <= 1e-5 * threshold / value
        both = math.lcm(found, share.numerator) if near and share.numerator else found
        found = both if both <= SHARES_MOST else found
    return found


def _unit(area: _Area) -> float:
    """Potential per unit: the largest threshold is about THRESHOLD_UNITS, a multiple of its common shares.

    Twice as many where a slow leak asks for them; halved while a finite limit does not fit, down to LEAST_UNITS. An
    area without a threshold above 0 goes by its smallest weight.
    """
    smallest = min((m.smallest for m in area.mapped if m.smallest > 0), default=1.0)
    largest = float(np.abs(area.threshold).max()) or smallest * FINE_CODES
    units = THRESHOLD_UNITS * (2 if area.weakest_leak * THRESHOLD_UNITS < LEAK_UNITS else 1)
    share = 16 * _shares(area, largest)
    unit = largest / (units // share * share)
    while area.reach / unit > LIMIT_UNITS and largest / unit >= 2 * LEAST_UNITS:
        unit *= 2
    return unit


def _options(area: _Area, unit: float, cap: float) -> list[_Scale]:
    """The scales of a unit by guard bits, with a stimulus limit that suits 16-bit sums."""
    needs = {m.index: _bits_over(min(m.largest, cap) / unit / m.most_codes) for m in area.mapped}
    allowed = [2 if m.smallest == 0 else 4 for m in area.mapped] or [2]
    for m in area.mapped:
        fine = _bits_under(m.smallest / unit / FINE_CODES) if m.uniform and m.smallest else needs[m.index]
        allowed.append(min(4, fine))
    reach = min(2 * POTENTIAL_MOST, max(2 * area.reach / unit, 1))
    return [
        _Scale(unit, f, {i: min(7, max(0, need - f)) for i, need in needs.items()}, cap, int(reach) >> f or 1)
        for f in range(min(allowed) + 1)
    ]


def _scale(area: _Area) -> _Scale:
    """Unit, guard bits, shifts and stimulus limit of one area.

    Guard bits + shift bring a mapping's largest weight under its largest code. Uniform rows give guard bits only
    while their smallest weight keeps FINE_CODES. The fewest guard bits that let the sum fit 16 bits are taken, where
    none do, none. What the sum leaves free goes to the stimulus, up to the whole range. Where not even 32 bits hold
    the sum, units grow to LEAST_UNITS of the threshold, then weights are cut.
    """
    unit, cap = _unit(area), math.inf
    finest = unit
    while True:
        options = _options(area, unit, cap)
        for option in options:
            spare = area.room - option.bound(area)
            if spare >= 0:
                most = min(option.limit + spare, 2 * POTENTIAL_MOST >> option.guard_bits)
                return option if area.power.size else replace(option, limit=max(option.limit, most))
        wide = replace(options[0], limit=2 * POTENTIAL_MOST)
        if wide.bound(area) <= BOUND_MOST:
            return wide
        if unit * 2 <= finest * (THRESHOLD_UNITS // LEAST_UNITS):
            unit *= 2
        else:
            cap = min(cap, max(m.largest for m in area.mapped)) / 2


def _bits_over(ratio: float) -> int:
    return max(0, math.ceil(math.log2(ratio))) if ratio > 0 else 0


def _bits_under(ratio: float) -> int:
    return max(0, math.floor(math.log2(ratio))) if ratio > 0 else 0


def _potentials(values: NDArray[np.float32], unit: float) -> NDArray[np.int16]:
    """Potentials in units, rounded to nearest; what is above 0 stays above 0."""
    scaled = np.floor(values.astype(np.float64) / unit + 0.5)
    return np.clip(np.where(values > 0, np.maximum(scaled, 1), scaled), -POTENTIAL_MOST, NO_LIMIT).astype(np.int16)


def _retained(leak: F64) -> NDArray[np.uint16]:
    retained = np.floor(32768 * (1 - leak) + 0.5)
    return np.where(leak > 0, np.minimum(retained, 32767), 32768).astype(np.uint16)


def _int8(c: Connectome) -> QuantizedConnectome:
    areas = _areas(c)
    scales = [_scale(area) for area in areas]
    threshold, limit = np.zeros(c.neurons, np.int16), np.zeros(c.neurons, np.int16)
    weight = np.zeros(c.synapses, np.int16)
    power: list[I64] = []
    report = []
    for index, (area, scale) in enumerate(zip(areas, scales, strict=True)):
        threshold[area.part] = _potentials(c.threshold[area.part], scale.unit)
        limit[area.part] = _potentials(c.limit[area.part], scale.unit)
        power.append(scale.power(area))
        for m in area.mapped:
            weight[m.part] = np.clip(scale.codes(m), -m.most_codes, m.most_codes)
        report.append({"area": c.areas[index].id, **_area_report(c, area, scale, threshold, limit, weight)})
    shift = {i: s for scale in scales for i, s in scale.shifts.items()}
    return QuantizedConnectome(
        precision="int8",
        projections=tuple(Projection(m.source, m.target, m.rule, shift[i]) for i, m in enumerate(c.mappings)),
        guard_bits=np.array([scale.guard_bits for scale in scales], np.uint8),
        scale=np.array([scale.code for scale in scales], np.float64),
        stimulus_limit=np.array([scale.limit for scale in scales], np.int32),
        threshold=threshold,
        limit=limit,
        retained=_retained(c.leak),
        weight=weight,
        power_value=np.concatenate([np.zeros(0, np.int64), *power]).astype(np.int32),
        report={"precision": "int8", "areas": report},
        **_common(c),
    )


def _area_report(
    c: Connectome, area: _Area, scale: _Scale, threshold: NDArray[np.int16], limit: NDArray[np.int16],
    weight: NDArray[np.int16],
) -> dict[str, Any]:  # fmt: skip
    clamped, lost, worst = 0, 0, 0.0
    for m in area.mapped:
        codes = weight[m.part].astype(np.float64)
        step = scale.code * (1 << scale.shifts[m.index])
        clamped += int(np.count_nonzero(np.abs(m.weight) > min(scale.cap, (m.most_codes + 0.5) * step)))
        lost += int(np.count_nonzero((codes == 0) & (m.weight != 0)))
        worst = max(worst, float(np.abs(codes * step - m.weight).max(initial=0)) / (m.largest or 1))
    error = np.abs(threshold[area.part] * scale.unit - area.threshold)
    error /= np.where(area.threshold == 0, 1, np.abs(area.threshold))
    leak = c.leak[area.part]
    weak = (leak > 0) & (np.abs(threshold[area.part].astype(np.float64)) * leak < LEAK_UNITS)
    return {
        "unit": scale.unit,
        "guard_bits": scale.guard_bits,
        "shifts": sorted(set(scale.shifts.values())),
        "weight_error": round(worst, 6),
        "weights_clamped": clamped,
        "weights_lost": lost,
        "threshold_error": round(float(error.max()), 6),
        "limits_lost": int(np.count_nonzero((limit[area.part] == NO_LIMIT) & np.isfinite(c.limit[area.part]))),
        "leak_too_weak": int(np.count_nonzero(weak)),
    }


def warnings(report: dict[str, Any]) -> list[str]:
    """What a person should know of a quantization, one line each; empty where all is close."""
    told = {
        "weights_clamped": "weights were cut so that sums fit",
        "weights_lost": "weights are too small beside the threshold and became 0",
        "limits_lost": "limits lie beyond what a potential can reach and became none",
        "leak_too_weak": "neurons leak faster near rest than asked",
    }
    lines = []
    for row in report["areas"]:
        lines += [f"area {row['area']}: {row[name]:,} {text}" for name, text in told.items() if row[name]]
        for name in ("weight_error", "threshold_error"):
            if row[name] > ERROR_MOST:
                lines.append(f"area {row['area']}: {name.replace('_', ' ')} is up to {row[name]:.1%}")
    return lines
