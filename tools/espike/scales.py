"""connectome -> scales: per area the potential of one unit, guard bits, shifts, the stimulus limit, and its codes.

The largest threshold of an area becomes about 2^13 units of potential, a multiple of the shares that common weights
have of it, so that they sum to it exactly; inhibition has four times the threshold to go down, more where it
is strong. Guard bits and shifts divide the distance between that unit and the weights; `rounding` does the rest.
`docs/quantization.md` explains the choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from espike_sim.blocks import blocks
from espike_sim.connectome import Connectome

from .bounds import is_core
from .rounding import WEIGHT_MOST, Rounded, choose_shifts, round_weights, to_nearest

THRESHOLD_UNITS = 8192
LIMIT_UNITS = 28672
POTENTIAL_MOST = 32767
UNIFORM_MOST = 32767
SHIFT_MOST, GUARD_MOST = 7, 4
BOUND_MOST = (1 << 30) - 1
LEAST_UNITS = 1024
"""A threshold keeps this many units, whatever its limits, weights and ranges."""
DEEP_UNITS = 1800
"""And this many where strong inhibition asks for room below rest."""
INHIBITING_SHARE, MEMORY_BURSTS = 0.05, 10
"""Share of inhibitory synapses that act in a burst, and the bursts over which they add up, at most."""
LEAK_UNITS = 32
"""A threshold of this many units / leak leaks as asked (docs/numbers.md)."""
COMMON_WEIGHTS, SHARES_MOST = 4, 512
FINE_CODES = 64
"""Guard bits are taken from uniform rows only while their smallest weight keeps this many codes."""
NOISE_MOST, ACTIVE_SHARE = 0.004, 0.02
"""Rounding may add this share of the input of a burst in which this share of a neuron's sources fires."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Mapped:
    """One mapping into an area: its place, its weights, and whether all weights of a row are equal."""

    index: int
    part: slice
    target: I64  # (synapses,) from the area's first neuron
    weight: F64  # (synapses,)
    uniform: bool
    largest: float
    smallest: float
    """Of the magnitudes that are not 0; 0 where all are."""
    wide: bool = False
    """Weights have 16 bits: rows are uniform, or they learn."""
    reach: float = 0.0
    """How far weights may learn, potential units."""
    times: int = 1
    """What one spike counts at most: 255 where the potential drives the weights."""

    @property
    def most_codes(self) -> int:
        """Largest code of a weight."""
        return UNIFORM_MOST if self.wide else WEIGHT_MOST


@dataclass(frozen=True)
class Inputs:
    """An area in floats, as the choice of its scale needs it."""

    part: slice
    threshold: F64  # (neurons,)
    limits: F64  # the finite ones
    weakest_leak: float
    """The smallest leak above 0; 1 where there is none."""
    power_at: I64  # (powered,) from the area's first neuron
    power: F64  # (powered,)
    mapped: tuple[Mapped, ...]
    room: int
    """Largest sum that 16 bits hold (docs/image.md, area flags)."""
    span: float = 0.0
    """The largest potential, up or down, that the genome's ranges ask for; 0 = none."""
    accumulates: bool = True

    @property
    def reach(self) -> float:
        """The highest threshold or limit."""
        return float(max(np.abs(self.threshold).max(), self.limits.max(initial=0)))

    @cached_property
    def noise_most(self) -> float:
        """Root mean square error of a mixed weight, in potential, that decisions do not feel.

        NOISE_MOST of the excitation of a burst in which ACTIVE_SHARE of the sources fires, spread over those that do.
        """
        mixed = [m.weight for m in self.mapped if not m.uniform]
        signed = np.concatenate([np.zeros(0), *mixed])
        driving = signed[signed > 0] if np.any(signed > 0) else -signed[signed < 0]
        if not driving.size:
            return 0.0
        active = max(1.0, ACTIVE_SHARE * len(driving) / len(self.threshold))
        return NOISE_MOST * float(driving.mean()) * math.sqrt(active)

    @cached_property
    def depth(self) -> float:
        """How far inhibition is likely to push nine of ten neurons below rest, potential units.

        The heaviest inhibitory synapse, or what INHIBITING_SHARE of them adds up to until a leak forgets it.
        """
        if not self.accumulates or not self.threshold.size:
            return 0.0
        sums, heaviest = np.zeros(len(self.threshold)), np.zeros(len(self.threshold))
        for m in self.mapped:
            down = np.maximum(-m.weight, 0)
            sums += np.bincount(m.target, weights=down, minlength=len(sums))
            np.maximum.at(heaviest, m.target, down)
        bursts = min(1 / self.weakest_leak, MEMORY_BURSTS)
        return float(np.quantile(np.maximum(heaviest, INHIBITING_SHARE * bursts * sums), 0.9))


@dataclass(frozen=True)
class Scale:
    """An area's numbers: potential per unit, guard bits, the shift of each incoming mapping, the stimulus limit."""

    unit: float
    guard_bits: int
    shifts: dict[int, int]
    """The highest shift of each mapping: it holds the largest weight."""
    cap: float
    """Weights beyond this potential are cut, so that sums fit."""
    limit: int
    _rounded: dict[int, Rounded] = field(default_factory=dict, compare=False, repr=False)

    @property
    def code(self) -> float:
        """Potential units per weight code."""
        return self.unit * (1 << self.guard_bits)

    def most(self, m: Mapped) -> float:
        """The largest weight of a mapping that is not cut, potential units."""
        return min(self.cap, (m.most_codes + 0.5) * self.code * (1 << self.shifts[m.index]))

    def rounded(self, area: Inputs, m: Mapped) -> Rounded:
        """A mapping's weights as codes, cut to what fits: in one band where rows are uniform, else in several."""
        if m.index not in self._rounded:
            shift = self.shifts[m.index]
            edge = (m.most_codes + 0.5) * (1 << shift) - 1e-6
            exact = np.clip(np.clip(m.weight, -self.cap, self.cap) / self.code, -edge, edge)
            if m.wide:
                code = np.clip(to_nearest(exact / (1 << shift)), -m.most_codes, m.most_codes)
                made = Rounded(code.astype(np.int16), np.full(len(code), shift, np.uint8))
            else:
                threshold = float(np.median(np.abs(area.threshold))) / self.code
                shifts = choose_shifts(exact, shift, area.noise_most / self.code, threshold)
                made = round_weights(exact, m.target, shifts)
            self._rounded[m.index] = made
        return self._rounded[m.index]

    def power(self, area: Inputs) -> I64:
        """int64 (powered,): power as codes, cut to the stimulus limit."""
        codes = np.floor(area.power / self.code + 0.5).astype(np.int64)
        return np.clip(codes, -self.limit, self.limit)

    def bound(self, area: Inputs) -> int:
        """Largest |acc| in codes over the neurons of an area (docs/numbers.md, Input)."""
        sums = np.zeros(len(area.threshold))
        for m in area.mapped:
            learned = math.ceil(m.reach / self.code) + (1 << self.shifts[m.index]) if m.reach else 0
            rounded = self.rounded(area, m)
            for part in blocks(len(m.target)):
                size = np.maximum(np.abs(rounded.part(part).value), learned) * m.times
                sums += np.bincount(m.target[part], weights=size, minlength=len(sums))
        np.add.at(sums, area.power_at, np.abs(self.power(area)))
        return int(sums.max(initial=0)) + self.limit


def inputs_of(c: Connectome) -> list[Inputs]:
    """Every area of a connectome, as the choice of its scale needs it."""
    into: list[list[Mapped]] = [[] for _ in c.areas]
    for index, mapping in enumerate(c.mappings):
        into[mapping.target].append(_mapping(c, index))
    made = []
    for area, mapped in zip(c.areas, into, strict=True):
        part = slice(area.first, area.first + area.count)
        limit, leak = c.limit[part].astype(np.float64), c.leak[part]
        lo, hi = np.searchsorted(c.power_neuron, [part.start, part.stop])
        made.append(
            Inputs(
                part,
                c.threshold[part].astype(np.float64),
                np.abs(limit[np.isfinite(limit)]),
                float(leak[leak > 0].min(initial=1.0)),
                c.power_neuron[lo:hi].astype(np.int64) - part.start,
                c.power_amount[lo:hi].astype(np.float64),
                tuple(mapped),
                16383 if c.candidates_only else 32767,
                c.quantization.span if not is_core(area) else 0.0,
                area.accumulate,
            )
        )
    return made


def _mapping(c: Connectome, index: int) -> Mapped:
    part = slice(int(c.mapping_start[index]), int(c.mapping_start[index + 1]))
    weight, source = c.weight[part].astype(np.float64), c.source[part]
    size = np.abs(weight[weight != 0])
    same_row = source[1:] == source[:-1]
    uniform = bool(np.all(weight[1:][same_row] == weight[:-1][same_row]))
    target = c.target[part].astype(np.int64) - c.areas[c.mappings[index].target].first
    mapping = c.mappings[index]
    reach = 0.0
    if mapping.learning is not None:
        rule = mapping.learning
        steps = np.abs(np.array([rule.ltp, rule.ltd, rule.low, rule.high], np.float64))
        size, reach = np.concatenate([size, steps[steps > 0]]), float(steps[2:].max())
    largest, smallest = (float(size.max()), float(size.min())) if size.size else (0.0, 0.0)
    wide, times = uniform or mapping.learning is not None, 255 if mapping.driven else 1
    return Mapped(index, part, target, weight, uniform, largest, smallest, wide, reach, times)


def _shares(area: Inputs, threshold: float) -> int:
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


def _unit(area: Inputs) -> float:
    """Potential per unit: the largest threshold is about THRESHOLD_UNITS, a multiple of its common shares.

    Twice as many where a slow leak asks for them; halved while a finite limit or the genome's range of potentials does
    not fit, down to LEAST_UNITS. An area without a threshold above 0 goes by its smallest weight.
    """
    smallest = min((m.smallest for m in area.mapped if m.smallest > 0), default=1.0)
    largest = float(np.abs(area.threshold).max()) or smallest * FINE_CODES
    units = THRESHOLD_UNITS * (2 if area.weakest_leak * THRESHOLD_UNITS < LEAK_UNITS else 1)
    share = 16 * _shares(area, largest)
    unit = largest / (units // share * share)
    while area.reach / unit > LIMIT_UNITS and largest / unit >= 2 * LEAST_UNITS:
        unit *= 2
    while area.span / unit > POTENTIAL_MOST and largest / unit >= 2 * LEAST_UNITS:
        unit *= 2
    enough = max(DEEP_UNITS, LEAK_UNITS / area.weakest_leak)
    while area.depth / unit > POTENTIAL_MOST and largest / unit >= 2 * enough:
        unit *= 2
    return unit


def _options(area: Inputs, unit: float, cap: float) -> list[Scale]:
    """The scales of a unit by guard bits, with a stimulus limit that suits 16-bit sums."""
    needs = {m.index: _bits_over(min(m.largest, cap) / unit / m.most_codes) for m in area.mapped}
    allowed = [2 if m.smallest == 0 else GUARD_MOST for m in area.mapped] or [2]
    for m in area.mapped:
        fine = _bits_under(m.smallest / unit / FINE_CODES) if m.wide and m.smallest else needs[m.index]
        allowed.append(min(GUARD_MOST, fine))
    least = min(*allowed, max(0, max(needs.values(), default=0) - SHIFT_MOST))
    reach = min(2 * POTENTIAL_MOST, max(2 * area.reach / unit, 1))
    return [
        Scale(unit, f, {i: min(SHIFT_MOST, max(0, need - f)) for i, need in needs.items()}, cap, int(reach) >> f or 1)
        for f in range(least, min(allowed) + 1)
    ]


def scale_of(area: Inputs) -> Scale:
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
        wide = replace(options[0], limit=2 * POTENTIAL_MOST >> options[0].guard_bits)
        if wide.bound(area) << wide.guard_bits <= BOUND_MOST:
            return wide
        if unit * 2 <= finest * (THRESHOLD_UNITS // LEAST_UNITS):
            unit *= 2
        else:
            cap = min(cap, max(m.largest for m in area.mapped)) / 2


def _bits_over(ratio: float) -> int:
    return max(0, math.ceil(math.log2(ratio))) if ratio > 0 else 0


def _bits_under(ratio: float) -> int:
    return max(0, math.floor(math.log2(ratio))) if ratio > 0 else 0
