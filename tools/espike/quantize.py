"""connectome -> quantized connectome: every code that the engines use. `docs/numbers.md` has the arithmetic.

`scales` chooses what a code is worth, `rounding` how weights become codes, `bounds` what the genome's ranges ask for.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.blocks import blocks
from espike_sim.connectome import Connectome, Mapping
from espike_sim.errors import EspikeError
from espike_sim.learning import Learning
from espike_sim.pcg import fire_draw
from espike_sim.quantized import NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome

from .bounds import within_ranges
from .calibration import Calibration
from .rounding import Rounded, to_nearest
from .scales import LEAK_UNITS, POTENTIAL_MOST, THRESHOLD_UNITS, Inputs, Scale, inputs_of, scale_of
from .trained import TrainedScale, filled, thresholds, trained_report, trained_scales

LOST_MOST = 0.001
"""Share of an area's synapses that may round to nothing without a line: sums are kept (rounding.py)."""
ERROR_MOST = 0.02
"""Relative error of a weight or threshold that is worth a line."""
FP32_MOST = float(np.finfo(np.float32).max)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def quantize(
    c: Connectome, precision: str | None = None, calibration: Calibration | None = None
) -> QuantizedConnectome:
    """Every number of `c` at a precision (None: what its genome asks for); calibration: what samples showed, for int8.

    Raises: EspikeError where the precision is not run, or a refractory period does not fit.
    """
    chosen = precision or c.precision
    if chosen not in NUMBER_TYPES:
        raise EspikeError(
            f"precision {chosen} is not run" + (", and the genome asks for it" if precision is None else ""),
            do="choose --precision " + " or --precision ".join(NUMBER_TYPES),
        )
    _check_pauses(c)
    return _int8(c, calibration) if chosen == "int8" else _floats(c, chosen)


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
        "areas": tuple(replace(a, dynamics=a.dynamics and replace(a.dynamics, strict=False)) for a in c.areas),
        "refractory": c.refractory,
        "fire_limit": c.fire_limit,
        "snooze": c.snooze,
        "fire_draw": fire_draw(c.excitability),
        "projection_start": c.mapping_start,
        "source": c.source,
        "target": c.target,
        "power_neuron": c.power_neuron,
        "timestep_s": c.timestep_s,
        "senses": c.senses,
        "genome_hash": c.genome_hash,
        "connectome_hash": c.hash,
    }


def _floats(c: Connectome, precision: str) -> QuantizedConnectome:
    """fp32 as it is; fp16 rounded to binary16, what lies beyond 65504 cut to it."""
    count, types = len(c.areas), NUMBER_TYPES[precision]
    infinity = np.dtype(types.potential).type(np.inf)
    most = float(np.finfo(types.weight).max)

    def stored(values: NDArray[np.float32]) -> NDArray[Any]:
        cut = np.where(np.isinf(values), values, np.clip(values, -most, most))
        rounded: NDArray[Any] = cut.astype(types.weight) + np.dtype(types.weight).type(0)  # -0 + 0 = +0
        return rounded

    def rule(learning: Learning | None) -> Learning | None:
        if learning is None:
            return None
        low, high = stored(np.array([learning.low, learning.high], np.float32)).tolist()
        return replace(learning, low=low, high=high)

    threshold, limit = stored(c.threshold), stored(c.limit)
    for area in c.areas:
        part, dynamics = slice(area.first, area.first + area.count), area.dynamics
        if dynamics is not None:
            if dynamics.strict:
                threshold[part] = np.nextafter(threshold[part], infinity)
            if not dynamics.fires:
                threshold[part], limit[part] = most, 0
    cut = np.abs(c.weight) > most
    return QuantizedConnectome(
        precision=precision,
        projections=tuple(
            Projection(m.source, m.target, m.rule, delay=m.delay, psp_factor=int(m.driven), learning=rule(m.learning))
            for m in c.mappings
        ),
        guard_bits=np.zeros(count, np.uint8),
        scale=np.ones(count),
        stimulus_limit=np.full(count, FP32_MOST, np.float32),
        threshold=threshold,
        limit=limit,
        reset=stored(c.reset),
        bias=c.bias + np.float32(0),
        current_retained=np.where(_has_current(c), 1.0 - c.current_leak, 0).astype(np.float32),
        retained=(1.0 - c.leak).astype(np.float32),
        weight=stored(c.weight),
        power_value=c.power_amount + np.float32(0),
        report={"precision": precision, "areas": [], **({"weights_clamped": int(cut.sum())} if cut.any() else {})},
        **_common(c),
    )


def _potentials(values: NDArray[np.float32], unit: float) -> NDArray[np.int16]:
    """Potentials in units, rounded to nearest; what is above 0 stays above 0."""
    scaled = np.floor(values.astype(np.float64) / unit + 0.5)
    return np.clip(np.where(values > 0, np.maximum(scaled, 1), scaled), -POTENTIAL_MOST, NO_LIMIT).astype(np.int16)


def _retained(leak: F64) -> NDArray[np.uint16]:
    retained = np.floor(32768 * (1 - leak) + 0.5)
    return np.where(leak > 0, np.minimum(retained, 32767), 32768).astype(np.uint16)


def _int8(given: Connectome, calibration: Calibration | None) -> QuantizedConnectome:
    c, clamps = within_ranges(given)
    areas = inputs_of(c)
    trained = trained_scales(c, areas, calibration)
    scales: list[Scale | TrainedScale] = [trained.get(i) or scale_of(area) for i, area in enumerate(areas)]
    threshold, limit, reset = np.zeros((3, c.neurons), np.int16)
    bias, neuron_scale = np.zeros(c.neurons, np.int32), np.zeros(c.neurons)
    power: list[I64] = []
    report = []
    for index, (area, scale) in enumerate(zip(areas, scales, strict=True)):
        row: dict[str, Any] = {"area": c.areas[index].id}
        neuron_scale[area.part] = scale.code
        if isinstance(scale, TrainedScale):
            threshold[area.part], limit[area.part] = thresholds(c, c.areas[index], scale.unit)
            reset[area.part] = np.clip(to_nearest(c.reset[area.part] / scale.unit), -POTENTIAL_MOST, POTENTIAL_MOST)
            bias[area.part] = to_nearest(c.bias[area.part] * (1 << scale.guard_bits) / scale.code)
            codes = to_nearest(area.power / scale.code[area.power_at])
            power.append(np.clip(codes, -scale.limit, scale.limit))
            row |= trained_report(c, index, scale, threshold[area.part])
        else:
            threshold[area.part] = _potentials(c.threshold[area.part], scale.unit)
            limit[area.part] = _potentials(c.limit[area.part], scale.unit)
            power.append(scale.power(area))
            row |= _area_report(c, area, scale, threshold, limit)
        report.append(row | clamps.get(c.areas[index].id, {}))
    quantized_report: dict[str, Any] = {"precision": "int8", "areas": report}
    if c.quantization.log_quantization_loss:
        quantized_report["log_quantization_loss"] = True
    has_current = _has_current(c)
    return QuantizedConnectome(
        precision="int8",
        guard_bits=np.array([scale.guard_bits for scale in scales], np.uint8),
        scale=np.array([float(np.median(scale.code)) for scale in scales], np.float64),
        stimulus_limit=np.array([scale.limit for scale in scales], np.int32),
        threshold=threshold,
        limit=limit,
        retained=_retained(c.leak),
        power_value=np.concatenate([np.zeros(0, np.int64), *power]).astype(np.int32),
        report=quantized_report,
        reset=reset,
        bias=bias,
        current_retained=np.where(has_current, _retained(c.current_leak), 0).astype(np.uint16),
        current_shift=np.array([getattr(scale, "current_shift", 0) for scale in scales], np.uint8),
        neuron_scale=neuron_scale if trained else np.zeros(0),
        **(_common(given) | _projections(c, areas, scales)),
    )


def _has_current(c: Connectome) -> NDArray[np.bool_]:
    has = [area.dynamics is not None and bool(area.dynamics.current) for area in c.areas]
    return np.repeat(np.array(has, np.bool_), [area.count for area in c.areas])


def _projections(c: Connectome, areas: list[Inputs], scales: list[Scale | TrainedScale]) -> dict[str, Any]:
    """Projections and their synapses: a mapping becomes one for each shift that its weights have."""
    rounded = {
        m.index: scale.codes[m.index] if isinstance(scale, TrainedScale) else scale.rounded(area, m)
        for area, scale in zip(areas, scales, strict=True)
        for m in area.mapped
    }
    made: list[Projection] = []
    sources: list[NDArray[np.uint32]] = []
    targets: list[NDArray[np.uint32]] = []
    weights: list[NDArray[np.int16]] = []
    for index, m in enumerate(c.mappings):
        part, codes = slice(int(c.mapping_start[index]), int(c.mapping_start[index + 1])), rounded[index]
        for shift in codes.shifts or (0,):
            of_band = _band(codes, shift)
            drawn = None
            if m.wiring is not None and len(codes.shifts) == 1:
                drawn = m.wiring.coded(c.weight[part], codes.code)
            factor, learning = _psp_factor(c, m, scales[m.source]), _steps(c, m, scales[m.target], shift)
            made.append(Projection(m.source, m.target, m.rule, shift, drawn, m.delay, factor, learning))
            synapses = c.source[part][of_band], c.target[part][of_band], codes.code[of_band]
            if isinstance(scales[m.target], TrainedScale) and len(codes.shifts) == 1 and learning is None:
                synapses = filled(c, m, *synapses)
            sources.append(synapses[0])
            targets.append(synapses[1])
            weights.append(synapses[2])
    return {
        "projections": tuple(made),
        "projection_start": np.cumsum([0, *map(len, weights)], dtype=np.int64),
        "source": np.concatenate([np.zeros(0, np.uint32), *sources]),
        "target": np.concatenate([np.zeros(0, np.uint32), *targets]),
        "weight": np.concatenate([np.zeros(0, np.int16), *weights]),
    }


def _band(codes: Rounded, shift: int) -> slice | NDArray[np.bool_]:
    """The synapses of a mapping that have a shift; one without copies where all do."""
    return slice(None) if len(codes.shifts) < 2 else codes.shift == shift


def _psp_factor(c: Connectome, m: Mapping, scale: Scale | TrainedScale) -> int:
    """65536 times the potential of a unit of the source area, which makes a potential a psp of 0..255; 1 where neurons
    are graded, 0 where nothing is driven."""
    if not m.driven or isinstance(scale, TrainedScale):
        return int(m.driven)
    factor = round(65536 * scale.unit)
    if not 1 <= factor < 1 << 32:
        what = f"potentials of {THRESHOLD_UNITS} units are too small or too large to drive weights"
        raise EspikeError(what, where=f"area {c.areas[m.source].id}", do="scale its threshold, or run it in fp32")
    return factor


def _steps(c: Connectome, m: Mapping, scale: Scale | TrainedScale, shift: int) -> Learning | None:
    """A rule in codes: steps that are not 0 stay at least 1."""
    if m.learning is None:
        return None
    if isinstance(scale, TrainedScale):
        what = "weights learn into an area whose neurons have scales of their own"
        raise EspikeError(what, where=f"area {c.areas[m.target].id}", do="run it in fp32, or fix them")
    code, rule = scale.code * (1 << shift), m.learning

    def whole(value: float) -> int:
        nearest = math.floor(value / code + 0.5)
        return nearest or (value > 0) - (value < 0)

    ends = [int(np.clip(whole(value), -POTENTIAL_MOST, POTENTIAL_MOST)) for value in (rule.low, rule.high)]
    return Learning(rule.window, whole(rule.ltp), whole(rule.ltd), *ends)


def _area_report(
    c: Connectome, area: Inputs, scale: Scale, threshold: NDArray[np.int16], limit: NDArray[np.int16]
) -> dict[str, Any]:
    clamped, lost, worst = 0, 0, 0.0
    noise, signal = 0.0, 0.0
    for m in area.mapped:
        rounded = scale.rounded(area, m)
        for part in blocks(len(m.weight)):
            weight, value = m.weight[part], rounded.part(part).value * scale.code
            clamped += int(np.count_nonzero(np.abs(weight) > scale.most(m)))
            lost += int(np.count_nonzero((value == 0) & (weight != 0)))
            worst = max(worst, float(np.abs(value - weight).max(initial=0)) / (m.largest or 1))
            noise += float(((value - weight) ** 2).sum())
            signal += float((weight**2).sum())
    error = np.abs(threshold[area.part] * scale.unit - area.threshold)
    error /= np.where(area.threshold == 0, 1, np.abs(area.threshold))
    leak = c.leak[area.part]
    weak = (leak > 0) & (np.abs(threshold[area.part].astype(np.float64)) * leak < LEAK_UNITS)
    return {
        "unit": scale.unit,
        "scale": scale.code,
        "guard_bits": scale.guard_bits,
        "shifts": sorted({shift for m in area.mapped for shift in scale.rounded(area, m).shifts}),
        "weight_error": round(worst, 6),
        "weight_error_rms": round((noise / signal) ** 0.5, 6) if signal else 0.0,
        "synapses": sum(len(m.weight) for m in area.mapped),
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
        "thresholds_clamped": "thresholds lay outside the genome's range and were clamped to it",
        "limits_beyond_range": "limits lie above the genome's range of potentials and became none",
    }
    lines = []
    for row in report["areas"]:
        few = {"weights_lost": LOST_MOST * row["synapses"]}
        lines += [
            f"area {row['area']}: {row[name]:,} {text}"
            for name, text in told.items()
            if row.get(name, 0) > few.get(name, 0)
        ]
        for name in ("weight_error", "threshold_error"):
            if row[name] > ERROR_MOST:
                lines.append(f"area {row['area']}: {name.replace('_', ' ')} is up to {row[name]:.1%}")
    return lines
