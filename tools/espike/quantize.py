"""connectome -> quantized connectome: scales, guard bits, shifts and codes. `docs/numbers.md` has the arithmetic.

int8: the largest threshold (or finite limit) of an area becomes about 2^13 units of potential, so that a power-of-two
share of the threshold is exact and inhibition has four times the threshold to go down. Guard bits and shifts divide
the distance between that unit and the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
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
FINE_CODES = 64
"""Guard bits are taken from uniform rows only while their smallest weight keeps this many codes."""
FP32_MOST = float(np.finfo(np.float32).max)

F64 = NDArray[np.float64]


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
    """One mapping's weights: the slice, the largest and smallest non-zero magnitude, and whether rows are uniform."""

    part: slice
    target: int
    largest: float
    smallest: float
    uniform: bool


@dataclass(frozen=True)
class _Scale:
    """An area's numbers: potential per unit, guard bits, and the shift of each of its incoming mappings."""

    unit: float
    guard_bits: int
    shifts: dict[int, int]

    @property
    def code(self) -> float:
        """Potential units per weight code."""
        return self.unit * (1 << self.guard_bits)


def _mapped(c: Connectome, index: int) -> _Mapped:
    part = slice(int(c.mapping_start[index]), int(c.mapping_start[index + 1]))
    weight, source = c.weight[part], c.source[part]
    size = np.abs(weight[weight != 0]).astype(np.float64)
    same_row = source[1:] == source[:-1]
    uniform = bool(np.all(weight[1:][same_row] == weight[:-1][same_row]))
    largest, smallest = (float(size.max()), float(size.min())) if size.size else (0.0, 0.0)
    return _Mapped(part, c.mappings[index].target, largest, smallest, uniform)


def _unit(c: Connectome, area: int) -> float:
    """Potential per unit: the largest threshold is THRESHOLD_UNITS; doubled until every finite limit fits.

    It stops where the threshold itself would fall below a unit.
    """
    first, count = c.areas[area].first, c.areas[area].count
    threshold = np.abs(c.threshold[first : first + count].astype(np.float64))
    limit = c.limit[first : first + count].astype(np.float64)
    finite = np.abs(limit[np.isfinite(limit)])
    largest = float(threshold.max()) or 1.0
    unit = largest / THRESHOLD_UNITS
    while finite.size and float(finite.max()) / unit > LIMIT_UNITS and unit < largest:
        unit *= 2
    return unit


def _limit_codes(unit: float, guard_bits: int, reach: float) -> int:
    """Largest stimulus entry, in codes: twice the highest threshold or limit, as far as a potential can go."""
    units = min(2 * POTENTIAL_MOST, max(2 * reach / unit, 1))
    return int(units) >> guard_bits or 1


def _scale(c: Connectome, area: int, mapped: list[tuple[int, _Mapped]]) -> _Scale:
    """Unit, guard bits and shifts of one area.

    Mixed rows need guard bits + shift so that their largest weight is at most 127 codes; uniform rows have 16 bits
    and give guard bits only while their smallest weight keeps FINE_CODES. Of the guard bits that both allow the
    smallest that lets the sum fit 16 bits is taken, else none.
    """
    unit = _unit(c, area)
    while True:
        needs = {i: _bits_over(m.largest / unit / WEIGHT_MOST) for i, m in mapped if not m.uniform}
        allowed = [min(4, need) for need in needs.values()]
        allowed += [
            int(np.clip(np.floor(np.log2(max(m.smallest / unit / FINE_CODES, 1))), 0, 4))
            for _, m in mapped
            if m.uniform and m.smallest > 0
        ]
        most = min(allowed, default=2)
        options = [_Scale(unit, f, {i: min(7, max(0, need - f)) for i, need in needs.items()}) for f in range(most + 1)]
        room = 16383 if c.candidates_only else 32767
        bounds = [_scale_bound(c, area, option, mapped) for option in options]
        for option, bound in zip(options, bounds, strict=True):
            if bound <= room:
                return option
        if bounds[0] <= BOUND_MOST:
            return options[0]
        unit *= 2


def _bits_over(ratio: float) -> int:
    return max(0, int(np.ceil(np.log2(ratio)))) if ratio > 0 else 0


def _reach(c: Connectome, area: int) -> float:
    first, count = c.areas[area].first, c.areas[area].count
    limit = c.limit[first : first + count].astype(np.float64)
    tops = np.concatenate((np.abs(c.threshold[first : first + count].astype(np.float64)), limit[np.isfinite(limit)]))
    return float(tops.max())


def _scale_bound(c: Connectome, area: int, scale: _Scale, mapped: list[tuple[int, _Mapped]]) -> int:
    first, count = c.areas[area].first, c.areas[area].count
    sums = np.zeros(count)
    for index, m in mapped:
        codes, _ = _codes(c.weight[m.part], scale.code * (1 << scale.shifts.get(index, 0)), m.uniform)
        size = np.abs(codes.astype(np.float64)) * (1 << scale.shifts.get(index, 0))
        sums += np.bincount(c.target[m.part] - first, weights=size, minlength=count)
    limit = _limit_codes(scale.unit, scale.guard_bits, _reach(c, area))
    powered = (c.power_neuron >= first) & (c.power_neuron < first + count)
    power = np.minimum(np.abs(np.round(c.power_amount[powered] / scale.code)), limit)
    np.add.at(sums, c.power_neuron[powered] - first, power)
    return int(sums.max()) + limit


def _codes(weight: NDArray[np.float32], code: float, uniform: bool) -> tuple[NDArray[np.int16], int]:
    """Weights as codes, rounded to nearest -> (int16 (synapses,), how many were clamped)."""
    most = UNIFORM_MOST if uniform else WEIGHT_MOST
    codes = np.floor(weight.astype(np.float64) / code + 0.5)
    clamped = int(np.count_nonzero(np.abs(codes) > most))
    return np.clip(codes, -most, most).astype(np.int16), clamped


def _potentials(values: NDArray[np.float32], unit: float) -> NDArray[np.int16]:
    scaled = np.floor(values.astype(np.float64) / unit + 0.5)
    return np.clip(scaled, -POTENTIAL_MOST, NO_LIMIT).astype(np.int16)


def _retained(leak: F64) -> NDArray[np.uint16]:
    retained = np.floor(32768 * (1 - leak) + 0.5)
    return np.where(leak > 0, np.minimum(retained, 32767), 32768).astype(np.uint16)


def _int8(c: Connectome) -> QuantizedConnectome:
    mapped = [_mapped(c, index) for index in range(len(c.mappings))]
    scales, rows = [], []
    threshold, limit = np.zeros(c.neurons, np.int16), np.zeros(c.neurons, np.int16)
    weight = np.zeros(c.synapses, np.int16)
    power = np.zeros(len(c.power_neuron), np.int32)
    limits = np.zeros(len(c.areas), np.int32)
    for index, area in enumerate(c.areas):
        into = [(i, m) for i, m in enumerate(mapped) if m.target == index]
        scale = _scale(c, index, into)
        part = slice(area.first, area.first + area.count)
        threshold[part] = _potentials(c.threshold[part], scale.unit)
        limit[part] = _potentials(c.limit[part], scale.unit)
        limits[index] = _limit_codes(scale.unit, scale.guard_bits, _reach(c, index))
        clamped, worst = 0, 0.0
        for i, m in into:
            step = scale.code * (1 << scale.shifts.get(i, 0))
            weight[m.part], cut = _codes(c.weight[m.part], step, m.uniform)
            clamped += cut
            error = np.abs(weight[m.part].astype(np.float64) * step - c.weight[m.part])
            worst = max(worst, float(error.max(initial=0)) / (m.largest or 1))
        here = (c.power_neuron >= part.start) & (c.power_neuron < part.stop)
        codes = np.floor(c.power_amount[here].astype(np.float64) / scale.code + 0.5)
        power[here] = np.clip(codes, -limits[index], limits[index])
        scales.append(scale)
        rows.append(_area_report(c, index, scale, worst, clamped, threshold[part]))
    shift = {i: s for scale in scales for i, s in scale.shifts.items()}
    return QuantizedConnectome(
        precision="int8",
        projections=tuple(Projection(m.source, m.target, m.rule, shift.get(i, 0)) for i, m in enumerate(c.mappings)),
        guard_bits=np.array([scale.guard_bits for scale in scales], np.uint8),
        scale=np.array([scale.code for scale in scales], np.float64),
        stimulus_limit=limits,
        threshold=threshold,
        limit=limit,
        retained=_retained(c.leak),
        weight=weight,
        power_value=power,
        report={"precision": "int8", "areas": rows},
        **_common(c),
    )


def _area_report(
    c: Connectome, index: int, scale: _Scale, weight_error: float, clamped: int, threshold: NDArray[np.int16]
) -> dict[str, Any]:
    area = c.areas[index]
    part = slice(area.first, area.first + area.count)
    exact = c.threshold[part].astype(np.float64)
    error = np.abs(threshold * scale.unit - exact) / np.where(exact == 0, 1, np.abs(exact))
    leak = c.leak[part]
    weak = int(np.count_nonzero((leak > 0) & (np.abs(threshold.astype(np.float64)) * leak < 32)))
    return {
        "area": area.id,
        "unit": scale.unit,
        "guard_bits": scale.guard_bits,
        "shifts": sorted(set(scale.shifts.values())),
        "weight_error": round(weight_error, 6),
        "weights_clamped": clamped,
        "threshold_error": round(float(error.max()), 6),
        "leak_too_weak": weak,
    }
