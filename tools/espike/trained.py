"""area with a neuron model -> scales per target neuron, guard bits, shifts, and its weights in codes.

Every neuron of a trained network has a scale of its own, so that its largest weight takes all bits; threshold, reset
and bias are in the same unit, so that it costs nothing when the network runs. `docs/quantization.md` has the choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.errors import EspikeError

from .calibration import Calibration
from .flips import flip
from .rounding import WEIGHT_MOST, Rounded, round_weights, to_nearest
from .scales import Inputs, Mapped

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

POTENTIAL_MOST = 32767
ROOM = 20.0
"""How many thresholds below rest a potential may go where no samples say how far it goes: inhibition reaches 20."""
THRESHOLD_MOST = 8192
"""Units of a threshold at most, so that one burst's input has room above it."""
CURRENT_BITS, GUARD_MOST, SHIFT_MOST, CURRENT_SHIFT_MOST = 4, 4, 7, 15
SHRINKS = (1.0, 0.975, 0.95, 0.925, 0.9)
"""Shares of the largest weight that a scale may stand for; what lies beyond is cut."""
DRIVE_CODES = 1023
"""Codes of a graded input's largest amount."""
SUM_MOST = 1 << 29
"""Largest sum of a burst's input, in units; with the bias below 2^30."""
FILLED_LEAST = {8: 0.5, 4: 0.34}
"""Share of the pairs of two areas from which on all of them take fewer bytes than those alone, by bits: no place is
stored then."""
DENSE_MOST = 1 << 24
"""Pairs of a mapping that are rounded by what its inputs do; beyond, so that sums are kept."""


@dataclass(frozen=True)
class Incoming:
    """One mapping into an area."""

    index: int
    part: slice
    source: I64  # (synapses,) from the source area's first neuron
    target: I64  # (synapses,) from this area's first neuron
    weight: F64  # (synapses,) potential per spike, of graded sources per unit of their potential
    times: int
    """What one code counts at most: 1, or the units of a graded source's potential."""
    sent: float = 1.0
    """The potential of such a unit."""


@dataclass(frozen=True)
class TrainedScale:
    """The numbers of an area with a neuron model."""

    code: F64  # (neurons,) potential per weight code, binary32 numbers
    guard_bits: int
    current_shift: int
    shifts: dict[int, int]
    limit: int
    sent: dict[int, float] = field(default_factory=dict)
    """By mapping from graded neurons: the potential of a unit of theirs."""
    codes: dict[int, Rounded] = field(default_factory=dict)
    """By mapping."""

    @property
    def unit(self) -> F64:
        """float64 (neurons,): potential of one unit."""
        return self.code * 2.0 ** (self.current_shift - self.guard_bits)


def groups_of(area: Area) -> I64:
    """int64 (neurons,): neurons with one number share their scale: those of a plane of constant x, a channel of a
    convolution, where an area has planes; else each has its own."""
    planes = area.dimensions[1] * area.dimensions[2] > 1
    return np.arange(area.count) // (area.count // area.dimensions[0] if planes else 1)


def levels(bits: int) -> tuple[int, int]:
    """Largest level of weights of some bits, and the codes between two levels: 127 and 1 for 8, 7 and 18 for 4."""
    most = (1 << (bits - 1)) - 1
    return most, WEIGHT_MOST // most


def thresholds(c: Connectome, area: Area, unit: F64) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """int16 (neurons,): thresholds, the least units that reach or, where it is strict, pass them; and limits."""
    part, dynamics = slice(area.first, area.first + area.count), area.dynamics
    assert dynamics is not None
    exact = c.threshold[part].astype(np.float64) / unit
    near = np.rint(exact)
    exact = np.where(np.abs(exact - near) < 1e-6, near, exact)
    least = np.floor(exact) + 1 if dynamics.strict else np.ceil(exact)
    upper = np.minimum(c.limit[part].astype(np.float64) / unit, POTENTIAL_MOST)
    if not dynamics.fires:
        least, upper = np.full(area.count, POTENTIAL_MOST), np.zeros(area.count)
    least = np.clip(least, -POTENTIAL_MOST, POTENTIAL_MOST)
    return least.astype(np.int16), np.floor(upper).astype(np.int16)


def input_scale(area: Area, reach: float) -> TrainedScale:
    """An area that takes nothing but stimulus: `reach` is the largest potential it will have."""
    graded = area.dynamics is not None and area.dynamics.graded
    most = DRIVE_CODES if graded else THRESHOLD_MOST
    code = np.full(area.count, np.float32(reach / most), np.float64)
    return TrainedScale(code, 0, 0, {}, most if graded else POTENTIAL_MOST)


def scale_of(
    c: Connectome, index: int, incoming: tuple[Incoming, ...], shared: bool, calibration: Calibration | None
) -> TrainedScale:
    """Scales, shifts and codes of area `index`, which weights reach; shared: one scale for all its neurons.

    Where weights may have fewer than 8 bits their levels lie `levels` codes apart, the same for all mappings.
    """
    area = c.areas[index]
    assert area.dynamics is not None
    bits = c.quantization.bits.get(area.id, 8)
    most, apart = levels(bits)
    groups = np.zeros(area.count, np.int64) if shared else groups_of(area)
    largest = {m.index: _grouped(m, groups) for m in incoming}
    relative = _relative_shifts(largest) if bits == 8 else dict.fromkeys(largest, 0)
    step = np.max([largest[i] * 2.0 ** -relative[i] for i in largest], axis=0) / most
    step[step == 0] = np.median(step[step > 0]) if np.any(step > 0) else 1.0
    code = step / apart
    fine = _fineness(c, area, code, calibration)
    guard = CURRENT_BITS if area.dynamics.current else min(max(fine, 0), GUARD_MOST)
    raise_by = min(max(0, fine - guard), SHIFT_MOST - max(relative.values(), default=0))
    guard, coarser = _fitting(c, area, incoming, code, relative, guard)
    code, fine = code * 2.0**coarser, fine + coarser
    fine = min(fine, guard + raise_by)
    code = (code / 2.0**raise_by).astype(np.float32).astype(np.float64)
    shift = min(max(0, guard + raise_by - fine), CURRENT_SHIFT_MOST)
    shifts = {i: relative[i] + raise_by for i in relative}
    made = TrainedScale(code, guard, shift, shifts, 1)
    if bits == 8:
        code, codes = _rounded(made, area, groups, incoming, calibration)
    else:
        codes = {m.index: _on_levels(made, m, most, apart) for m in incoming}
    made = TrainedScale(code, guard, shift, shifts, 1, codes=codes)
    sent = {m.index: m.sent for m in incoming}
    return TrainedScale(code, guard, shift, shifts, _limit(area, made, incoming), sent, codes)


def _grouped(m: Incoming, groups: I64) -> F64:
    """The largest weight into each neuron, or its group."""
    found = np.zeros(int(groups[-1]) + 1)
    np.maximum.at(found, groups[m.target], np.abs(m.weight))
    return found[groups]


def _relative_shifts(largest: dict[int, F64]) -> dict[int, int]:
    """Binary shifts that let weak and strong mappings use their bits alike."""
    typical = {i: float(np.median(values[values > 0])) if np.any(values > 0) else 0.0 for i, values in largest.items()}
    least = min((value for value in typical.values() if value > 0), default=1.0)
    return {i: min(3, round(math.log2(value / least))) if value > 0 else 0 for i, value in typical.items()}


def _fineness(c: Connectome, area: Area, code: F64, calibration: Calibration | None) -> int:
    """The largest f for which potentials fit 16 bits in units of 2^-f of a code."""
    part = slice(area.first, area.first + area.count)
    assert area.dynamics is not None
    threshold = np.abs(c.threshold[part].astype(np.float64)) if area.dynamics.fires else np.zeros(area.count)
    reset = np.abs(c.reset[part].astype(np.float64))
    if calibration is not None:
        reach, most = calibration.reach[part], np.maximum(threshold, reset)
    else:
        most, reach = np.maximum(threshold, reset), ROOM * threshold
    if not area.dynamics.fires and calibration is None:
        reach = np.full(area.count, 64 * float(np.median(code)) * WEIGHT_MOST)
    fits = np.log2(np.minimum(_room(POTENTIAL_MOST, reach / code), _room(THRESHOLD_MOST, most / code)))
    return int(np.clip(math.floor(float(np.quantile(fits, 0.1))), -CURRENT_SHIFT_MOST, GUARD_MOST + SHIFT_MOST))


def _room(most: float, codes: F64) -> F64:
    return most / np.maximum(codes, 1e-9)


def _fitting(
    c: Connectome, area: Area, incoming: tuple[Incoming, ...], code: F64, relative: dict[int, int], guard: int
) -> tuple[int, int]:
    """The most guard bits, up to `guard`, with which sums keep their bound, and how many bits coarser codes must be."""
    sums = np.abs(c.bias[area.first : area.first + area.count]) / code
    for m in incoming:
        size = (np.abs(m.weight) / code[m.target] + 2.0 ** relative[m.index]) * m.times
        sums += np.bincount(m.target, weights=size, minlength=len(sums))
    room = math.floor(math.log2(SUM_MOST / max(1.0, float(sums.max(initial=1)))))
    return max(0, min(guard, room)), max(0, -room)


def _limit(area: Area, made: TrainedScale, incoming: tuple[Incoming, ...]) -> int:
    """Largest stimulus: what 16 bits leave free, or twice the whole range of potentials."""
    sums = np.zeros(area.count)
    for m in incoming:
        size = np.abs(made.codes[m.index].value) * m.times
        sums += np.bincount(m.target, weights=size, minlength=area.count)
    bound = int(sums.max(initial=0))
    whole = (2 * POTENTIAL_MOST << made.current_shift) >> made.guard_bits
    if bound < POTENTIAL_MOST - 255 and not any(m.times > 1 for m in incoming):
        return min(whole, POTENTIAL_MOST - bound)
    return max(1, min(whole, (SUM_MOST >> made.guard_bits) - bound))


def _on_levels(made: TrainedScale, m: Incoming, most: int, apart: int) -> Rounded:
    """Weights of few bits: whole levels, to nearest."""
    shift = made.shifts[m.index]
    level = np.clip(to_nearest(m.weight / (made.code[m.target] * apart * 2.0**shift)), -most, most)
    return Rounded((level * apart).astype(np.int16), np.full(len(level), shift, np.uint8))


def _rounded(
    made: TrainedScale, area: Area, groups: I64, incoming: tuple[Incoming, ...], calibration: Calibration | None
) -> tuple[F64, dict[int, Rounded]]:
    """8 bits: scales and codes with the least error in what the inputs of a neuron add up to.

    With a calibration by the second moments of the inputs, trying SHRINKS of each scale; else so that sums are kept.
    """
    alone = len(np.unique(groups)) == area.count
    known = (
        calibration is not None
        and alone
        and all(
            m.index in calibration.moments and area.count * len(calibration.moments[m.index]) <= DENSE_MOST
            for m in incoming
        )
    )
    if not known:
        return made.code, {m.index: _kept(made, m, alone) for m in incoming}
    assert calibration is not None
    best = np.full(area.count, np.inf)
    code = made.code.copy()
    dense = {m.index: np.zeros((area.count, len(calibration.moments[m.index])), np.int16) for m in incoming}
    for shrink in SHRINKS:
        tried = (made.code * shrink).astype(np.float32).astype(np.float64)
        error, found = np.zeros(area.count), {}
        for m in incoming:
            step = tried * 2.0 ** made.shifts[m.index]
            exact = np.zeros((area.count, len(calibration.moments[m.index])))
            exact[m.target, m.source] = m.weight / step[m.target]
            present = np.zeros(exact.shape, np.bool_)
            present[m.target, m.source] = True
            found[m.index], left = flip(exact, present, calibration.moments[m.index])
            error += left * step**2
        better = error < best
        best[better], code[better] = error[better], tried[better]
        for m in incoming:
            dense[m.index][better] = found[m.index][better]
    shift = {m.index: np.uint8(made.shifts[m.index]) for m in incoming}
    codes = {m.index: dense[m.index][m.target, m.source] for m in incoming}
    return code, {i: Rounded(codes[i], np.full(len(codes[i]), shift[i], np.uint8)) for i in codes}


def _kept(made: TrainedScale, m: Incoming, alone: bool) -> Rounded:
    """Weights to nearest; sums over a neuron's synapses are kept where neurons have scales of their own."""
    shift = made.shifts[m.index]
    exact = np.clip(m.weight / (made.code[m.target] * 2.0**shift), -WEIGHT_MOST, WEIGHT_MOST)
    code = round_weights(exact, m.target, (0,)).code if alone else to_nearest(exact).astype(np.int16)
    return Rounded(code, np.full(len(code), shift, np.uint8))


def trained_scales(c: Connectome, areas: list[Inputs], calibration: Calibration | None) -> dict[int, TrainedScale]:
    """The scales of the areas that have a neuron model, by index.

    Raises: EspikeError where graded neurons reach each other in a circle, so that no scale can be first.
    """
    made: dict[int, TrainedScale] = {}
    waiting = [index for index, area in enumerate(c.areas) if area.dynamics is not None]
    while waiting:
        ready = [
            i for i in waiting if all(c.mappings[m.index].source in made for m in areas[i].mapped if _driven(c, m))
        ]
        if not ready:
            where = f"area {c.areas[waiting[0]].id}"
            raise EspikeError("graded neurons reach each other in a circle", where=where, do="run it in fp32")
        for index in ready:
            made[index] = _scale(c, index, areas[index], made, calibration)
        waiting = [index for index in waiting if index not in ready]
    return made


def _driven(c: Connectome, m: Mapped) -> bool:
    return c.mappings[m.index].driven and c.areas[c.mappings[m.index].source].dynamics is not None


def _scale(
    c: Connectome, index: int, inputs: Inputs, made: dict[int, TrainedScale], calibration: Calibration | None
) -> TrainedScale:
    area = c.areas[index]
    assert area.dynamics is not None
    incoming = tuple(_incoming(c, m, made) for m in inputs.mapped)
    if any(len(m.weight) for m in incoming):
        return scale_of(c, index, incoming, area.dynamics.graded or _is_sensed(c, area.id), calibration)
    part = slice(area.first, area.first + area.count)
    reach = 4 * float(np.abs(c.threshold[part]).max())
    if area.dynamics.graded:
        reach = 1.0 if calibration is None else float(calibration.reach[part].max(initial=0))
    bias = float(np.abs(c.bias[part]).max(initial=0))
    scale = input_scale(area, max(reach, bias) or 1.0)
    return replace(scale, codes={m.index: Rounded(np.zeros(0, np.int16), np.zeros(0, np.uint8)) for m in incoming})


def _is_sensed(c: Connectome, area: str) -> bool:
    """Do encoders give to the area, or does the decoder compare its potentials?"""
    if c.senses is None:
        return False
    decoder = c.senses.decoder
    read = decoder.kind in ("potential", "number") and decoder.area == area
    return read or any(encoder.area == area for encoder in c.senses.encoders)


def _incoming(c: Connectome, m: Mapped, made: dict[int, TrainedScale]) -> Incoming:
    """A mapping as the scale's choice needs it; what graded neurons send counts in their units."""
    mapping = c.mappings[m.index]
    source = c.source[m.part].astype(np.int64) - c.areas[mapping.source].first
    if not mapping.driven:
        return Incoming(m.index, m.part, source, m.target, m.weight, 1)
    if mapping.source not in made:  # FEAGI's neurons: a psp of 0..255 potentials
        return Incoming(m.index, m.part, source, m.target, m.weight, 255)
    sends = made[mapping.source]
    times = min(POTENTIAL_MOST, sends.limit << sends.guard_bits) if not sends.shifts else POTENTIAL_MOST
    unit = float(sends.unit[0])
    return Incoming(m.index, m.part, source, m.target, m.weight * unit, times, unit)


def trained_report(c: Connectome, index: int, scale: TrainedScale, threshold: NDArray[np.int16]) -> dict[str, Any]:
    """What quantizing did to an area: the keys of the quantization report."""
    area = c.areas[index]
    part = slice(area.first, area.first + area.count)
    noise = signal = worst = 0.0
    count = lost = 0
    for number, rounded in scale.codes.items():
        of = slice(int(c.mapping_start[number]), int(c.mapping_start[number + 1]))
        weight = c.weight[of].astype(np.float64)
        value = rounded.value * scale.code[c.target[of].astype(np.int64) - area.first]
        value = value / scale.sent.get(number, 1.0)
        noise, signal = noise + float(((value - weight) ** 2).sum()), signal + float((weight**2).sum())
        worst = max(worst, float(np.abs(value - weight).max(initial=0)) / (float(np.abs(weight).max(initial=0)) or 1))
        count, lost = count + len(weight), lost + int(np.count_nonzero((value == 0) & (weight != 0)))
    exact = np.abs(c.threshold[part].astype(np.float64)) + 1e-30
    off = np.abs(threshold * scale.unit - c.threshold[part]) / exact
    fires = area.dynamics is not None and area.dynamics.fires and not area.dynamics.graded
    return {
        "unit": float(np.median(scale.unit)),
        "scale": float(np.median(scale.code)),
        "guard_bits": scale.guard_bits,
        "current_shift": scale.current_shift,
        "shifts": sorted(set(scale.shifts.values())),
        "bits": c.quantization.bits.get(area.id, 8),
        "weight_error": round(worst, 6),
        "weight_error_rms": round((noise / signal) ** 0.5, 6) if signal else 0.0,
        "synapses": count,
        "weights_lost": lost,
        "threshold_error": round(float(off.max()), 6) if fires else 0.0,
        "threshold_units": int(np.median(threshold)) if fires else 0,
    }


def filled(
    c: Connectome, m: Mapping, source: NDArray[np.uint32], target: NDArray[np.uint32], code: NDArray[np.int16]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int16]]:
    """A mapping's synapses; where most pairs have one, all of them, those without a weight of 0.

    A row of all targets stores weights alone. It changes no sum, and events that are counted.
    """
    a, b = c.areas[m.source], c.areas[m.target]
    pairs = a.count * b.count
    bits = c.quantization.bits.get(b.id, 8)
    least = FILLED_LEAST[8 if bits > 4 else 4] * pairs
    at = (source.astype(np.int64) - a.first) * b.count + (target.astype(np.int64) - b.first)
    if m.driven or not least <= len(at) < pairs or pairs > DENSE_MOST or np.any(np.diff(at) == 0):
        return source, target, code
    dense = np.zeros(pairs, np.int16)
    dense[at] = code
    every = np.arange(pairs)
    return (every // b.count + a.first).astype(np.uint32), (every % b.count + b.first).astype(np.uint32), dense
