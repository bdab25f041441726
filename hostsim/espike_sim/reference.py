"""quantized connectome + stimulus -> fire ledger: the arithmetic of `docs/numbers.md`, in numpy, written to be read.

It shares no code with the C engine: every other engine is proven against this one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .dynamics import Dynamics
from .engine import CodedStimulus, Counters
from .errors import EspikeError
from .ledger import Ledger, from_queues
from .pcg import draw, pcg
from .quantized import ALWAYS, QuantizedConnectome

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Ids = NDArray[np.int64]
U32 = NDArray[np.uint32]

LANES = (0, 1)
GOLDEN = 0x9E3779B1
"""What a burst number is multiplied with in the state hash."""


class Numbers(Protocol):
    """The arithmetic of one precision, over the neurons `ids` only."""

    accumulator: str
    """dtype of the sum of a burst's input."""

    def contributions(self, weight: Array, synapses: Ids, psp: Array) -> Array:
        """accumulator dtype (synapses,): what a spike adds through some synapses, of which `weight` are the weights and
        `psp` what drives them (1: nothing does)."""

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """The potentials v with the input added, kept in range; and how many had to be clamped."""

    def leak(self, v: Array, ids: Ids) -> Array:
        """What remains of the potentials v after one leak."""

    def psp(self, v: Array, ids: Ids) -> Array:
        """int32 0..255: what the potentials v at firing drive their synapses with."""

    def take(self, v: Array, reset: Array) -> tuple[Array, int]:
        """v - reset, kept in range; and how many had to be clamped."""

    def integrate(
        self, v: Array, current: Array, acc: Array, taken: Array, ids: Ids, model: Dynamics
    ) -> tuple[Array, Array, int]:
        """Trained models: leak, input, bias and current, less what a late reset takes -> potentials and currents, kept
        in range; and how many had to be clamped."""

    def bits(self, v: Array) -> U32:
        """uint32: potentials or weights as the state hash takes them."""


class Int8Numbers:
    """int8 codes: potentials are int16 in 2^-guard_bits of a code, retained is Q0.15."""

    accumulator = "<i4"

    def __init__(self, q: QuantizedConnectome) -> None:
        self.q = q
        self.guard_factor = np.left_shift(1, q.guard_bits.astype(np.int32))[q.area_of_neuron].astype(np.int32)
        self.retained = q.retained.astype(np.int32)
        self.current_retained = q.current_retained.astype(np.int32)
        self.current_shift = q.current_shift.astype(np.int32)[q.area_of_neuron]
        shift = np.array([p.shift for p in q.projections], np.int32)
        self.shift = np.repeat(shift, np.diff(q.projection_start))
        factors = np.zeros(len(q.areas), np.int64)
        for p in q.projections:
            factors[p.source] = max(factors[p.source], p.psp_factor)
        self.psp_factor = factors[q.area_of_neuron]

    def contributions(self, weight: Array, synapses: Ids, psp: Array) -> Array:
        """weight * psp << shift of the synapse's projection."""
        amounts: Array = np.left_shift(weight.astype(np.int32) * psp, self.shift[synapses])
        return amounts

    def psp(self, v: Array, ids: Ids) -> Array:
        """(v * m + 2^15) >> 16, cut to 0..255; m is the psp factor of the area's projections."""
        exact = (v.astype(np.int64) * self.psp_factor[ids] + (1 << 15)) >> 16
        cut: Array = np.clip(exact, 0, 255).astype(np.int32)
        return cut

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """sat(v + acc * 2^guard_bits); the sum stays below 2^31 because |acc| * 2^guard_bits < 2^30."""
        exact = v.astype(np.int32) + acc * self.guard_factor[ids]
        clamped = np.clip(exact, -32767, 32767)
        return clamped.astype(np.int16), int(np.count_nonzero(clamped != exact))

    def take(self, v: Array, reset: Array) -> tuple[Array, int]:
        """sat(v - reset)."""
        exact = v.astype(np.int32) - reset
        clamped = np.clip(exact, -32767, 32767)
        return clamped.astype(np.int16), int(np.count_nonzero(clamped != exact))

    def leak(self, v: Array, ids: Ids) -> Array:
        """What remains by the retained fraction of the potential."""
        return self._retain(v, self.retained[ids])

    def integrate(
        self, v: Array, current: Array, acc: Array, taken: Array, ids: Ids, model: Dynamics
    ) -> tuple[Array, Array, int]:
        """x = acc * 2^F + b goes to the current or, over 2^G, to the potential, which else takes the current."""
        x, clamped = acc * self.guard_factor[ids] + self.q.bias[ids], 0
        if model.current:
            exact = self._retain(current, self.current_retained[ids]).astype(np.int32) + x
            after = np.clip(exact, -32767, 32767).astype(np.int16)
            clamped = int(np.count_nonzero(after != exact))
            x, current = (after if model.current == "new" else current).astype(np.int32), after
        shift = self.current_shift[ids]
        exact = self.leak(v, ids).astype(np.int32) + ((x + (np.left_shift(1, shift) >> 1)) >> shift) - taken
        v = np.clip(exact, -32767, 32767).astype(np.int16)
        return v, current, clamped + int(np.count_nonzero(v != exact))

    def _retain(self, v: Array, r: Array) -> Array:
        """(v * r + 2^14) >> 15, and one unit toward rest where that would leave v as it is; r = 32768 keeps v."""
        wide = v.astype(np.int32)
        product = (wide * r + 16384) >> 15  # below 2^15 * 2^15 + 2^14
        stuck = (product == wide) & (r != 32768)
        return np.where(stuck, wide - np.sign(wide), product).astype(np.int16)

    def bits(self, v: Array) -> U32:
        """Sign-extended to 32 bits."""
        return v.astype(np.int32).view(np.uint32)


class Float32Numbers:
    """binary32: every operation is one float32 operation, rounded to nearest even, subnormals kept."""

    accumulator = "<f4"
    largest = np.float32(3e38)

    def __init__(self, q: QuantizedConnectome) -> None:
        self.q = q

    def contributions(self, weight: Array, synapses: Ids, psp: Array) -> Array:
        """weight * psp, one multiplication; what is infinite becomes the largest number that is not."""
        with np.errstate(over="ignore"):
            product: Array = weight * psp.astype(np.float32)
        most = np.finfo(np.float32).max
        return np.clip(product, -most, most)

    def psp(self, v: Array, ids: Ids) -> Array:
        """v rounded to nearest, halves up, cut to 0..255."""
        whole = np.floor(np.clip(v, 0, 256))
        rounded: Array = np.minimum(whole + (v - whole >= 0.5), 255).astype(np.int32)
        return rounded

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """v + acc, clamped to +-float32(3e38)."""
        with np.errstate(over="ignore"):
            return self._cut(v + acc)

    def take(self, v: Array, reset: Array) -> tuple[Array, int]:
        """v - reset, one subtraction, clamped."""
        return self._cut(v - reset)

    def _cut(self, exact: Array) -> tuple[Array, int]:
        """Clamped to +-largest; and how many had to be."""
        clamped = np.clip(exact, -self.largest, self.largest)
        return clamped, int(np.count_nonzero(clamped != exact))

    def leak(self, v: Array, ids: Ids) -> Array:
        """v * retained."""
        product: Array = v * self.q.retained[ids]
        return product

    def integrate(
        self, v: Array, current: Array, acc: Array, taken: Array, ids: Ids, model: Dynamics
    ) -> tuple[Array, Array, int]:
        """leak(v) + acc + b, or + the current after or before leak(c) + acc + b; one addition after the other."""
        bias = self.q.bias[ids]
        with np.errstate(over="ignore"):
            if model.current:
                after, first = self._cut(current * self.q.current_retained[ids] + acc + bias)
                v = self.leak(v, ids) + (after if model.current == "new" else current)
            else:
                after, first, v = current, 0, self.leak(v, ids) + acc + bias
            v, second = self._cut(v - taken)
        return v, after, first + second

    def bits(self, v: Array) -> U32:
        """The bits, with -0 taken as +0."""
        return (v + np.float32(0)).view(np.uint32)  # -0 + 0 = +0


class Float16Numbers(Float32Numbers):
    """binary16 in memory: weights, thresholds and potentials; every operation is that of fp32, on widened numbers."""

    largest = np.float32(65504)

    def contributions(self, weight: Array, synapses: Ids, psp: Array) -> Array:
        """The weight, widened; times psp, one multiplication."""
        return super().contributions(weight.astype(np.float32), synapses, psp)

    def bits(self, v: Array) -> U32:
        """The 16 bits, with -0 taken as +0."""
        return (v + np.float16(0)).view(np.uint16).astype(np.uint32)


NUMBERS: dict[str, type[Int8Numbers] | type[Float32Numbers]] = {
    "int8": Int8Numbers,
    "fp16": Float16Numbers,
    "fp32": Float32Numbers,
}


class Reference:
    """Runs a quantized connectome burst by burst: add, test, leak (FEAGI's order), delays, learning.

    Implements `engine.Engine`. Raises: EspikeError where a countdown could pass 16 bits.
    """

    name = "reference"

    def __init__(self, q: QuantizedConnectome) -> None:
        self.q = q
        self.network_hash = q.hash
        self.numbers: Numbers = NUMBERS[q.precision](q)
        self.working = np.dtype(np.int16 if q.precision == "int8" else np.float32)
        """dtype of a potential between load and store; rounded when it is stored."""
        self.everyone: Ids = np.arange(q.neurons, dtype=np.int64)
        self.accumulates = np.array([area.accumulate for area in q.areas], np.bool_)[q.area_of_neuron]
        self.fire_limit = q.fire_limit.astype(np.int32)
        self.refractory = q.refractory.astype(np.int32)
        self.snooze = np.where(q.fire_limit > 0, q.snooze, 0).astype(np.int32)
        self.id_hash = [pcg(np.uint32(2) * self.everyone.astype(np.uint32) + np.uint32(k)) for k in LANES]
        projection = np.repeat(np.arange(len(q.projections)), np.diff(q.projection_start))
        self.target = q.target.astype(np.int64)
        self.is_driven = np.array([p.psp_factor > 0 for p in q.projections], np.bool_)[projection]
        delay = np.array([p.delay for p in q.projections], np.int64)[projection]
        self.rows = {int(d): self._index_rows(np.flatnonzero(delay == d)) for d in np.unique(delay)}
        self.parts, self.model_of_part = self._parts()
        self.is_graded = np.array([m is not None and m.graded for m in (a.dynamics for a in q.areas)], np.bool_)
        self.plastic = [(slice(*q.projection_start[i : i + 2]), p) for i, p in enumerate(q.projections) if p.learning]
        windows = [p.learning.window for p in q.projections if p.learning]
        self.depth = max([1, *self.rows, *windows])
        self.plastic_synapses = np.concatenate(
            [np.zeros(0, np.int64), *(np.arange(p.start, p.stop) for p, _ in self.plastic)]
        )
        self.reset()

    def _index_rows(self, synapses: Ids) -> tuple[Ids, Ids]:
        """Some synapses by source -> where each source's begin (neurons + 1,), and their numbers: a source's in
        projection order, then row order, which is the order in which they are added."""
        order = synapses[np.argsort(self.q.source[synapses], kind="stable")]
        return np.searchsorted(self.q.source[order], np.arange(self.q.neurons + 1)), order

    def reset(self, *, track_potentials: bool = True) -> None:
        """Back to burst 0: all potentials, countdowns and counts zero. `track_potentials`: keep their hash."""
        neurons = self.q.neurons
        self.burst = 0
        self.potential: Array = np.zeros(neurons, self.q.types.potential)
        self.countdown = np.zeros(neurons, np.int32)
        self.fire_count = np.zeros(neurons, np.int32)
        self.history: list[Ids] = [np.zeros(0, np.int64)] * self.depth
        """Fired ids, the last burst's first."""
        self.weight: Array = self.q.weight.copy()
        self.psp = np.zeros(neurons, np.int32)
        """int32 (neurons,) 0..255: potential at the last firing, for projections that it drives."""
        self.current: Array = np.zeros(neurons, self.q.types.potential)
        """Synaptic currents of trained models."""
        self.acc: Array = np.zeros(neurons, self.numbers.accumulator)
        self.touched = np.zeros(neurons, np.bool_)
        self.counts = Counters(0, 0, 0, 0)
        self.state_hash = list(LANES)
        self.potential_hash = list(LANES)
        self.track_potentials = track_potentials
        if track_potentials:
            bits = self.numbers.bits(self.potential)
            self.voltage_hash = [pcg(h ^ bits) for h in self.id_hash]
            self.voltage_sum = [int(v.sum(dtype=np.uint64)) for v in self.voltage_hash]

    def run(self, bursts: int, stimulus: CodedStimulus | None = None) -> Ledger:
        """Run `bursts` more bursts, with the stimulus entries that fall into them.

        Raises: EspikeError where the stimulus is not sorted, names a pair twice or a neuron that is missing, or
        exceeds an area's limit.
        """
        if bursts < 0:
            raise EspikeError(f"cannot run {bursts} bursts")
        first = self.burst + 1
        if stimulus is not None:
            if np.any(np.diff(stimulus.burst) < 0):
                raise EspikeError("stimulus is not sorted by burst")
            stimulus = stimulus.between(first, first + bursts - 1)
            check_stimulus(stimulus, self.q)
        queues, hashes, potential_hashes = [], [], []
        for _ in range(bursts):
            queues.append(self._one_burst(stimulus).astype(np.uint32))
            hashes.append(tuple(self.state_hash))
            potential_hashes.append(tuple(self.potential_hash))
        return from_queues(
            queues,
            first_burst=first,
            neurons=self.q.neurons,
            hashes=np.array(hashes, np.uint32).reshape(-1, 2),
            potential_hashes=np.array(potential_hashes, np.uint32).reshape(-1, 2) if self.track_potentials else None,
            network_hash=self.network_hash,
        )

    @property
    def previous(self) -> Ids:
        """int64: the ids that fired in the last burst, ascending."""
        return self.history[0]

    @previous.setter
    def previous(self, fired: Ids) -> None:
        self.history[0] = fired

    def potentials(self) -> Array:
        """int16 or float32 (neurons,): potentials after the last burst, a copy."""
        return self.potential.copy()

    def learned(self) -> Array:
        """int16 or float32 (plastic synapses,): weights of the projections that learn, in file order, a copy."""
        weights: Array = self.weight[self.plastic_synapses].copy()
        return weights

    def counters(self) -> Counters:
        """Counts since the reset."""
        return self.counts

    def close(self) -> None:
        """Nothing to give back."""

    def _one_burst(self, stimulus: CodedStimulus | None) -> Ids:
        """Inject, propagate, update, archive -> the ids that fired, ascending."""
        self.burst += 1
        if stimulus is not None:
            entries = stimulus.between(self.burst, self.burst)
            self._inject(entries.neuron.astype(np.int64), entries.value)
        self._inject(self.q.power_neuron.astype(np.int64), self.q.power_value)
        events = sum(self._propagate(d, self.history[d - 1]) for d in sorted(self.rows) if d > 0)

        updated, fired, saturations = [], [], 0
        for index, part in enumerate(self.parts):
            ids = part[self.touched[part]] if self.q.candidates_only else part
            model = self.model_of_part[index]
            fires, clamped = self._update(ids) if model is None else self._update_trained(ids, model)
            self.acc[ids] = 0
            self.touched[ids] = False
            if 0 in self.rows:
                events += self._propagate(0, fires)
            updated.append(ids)
            fired.append(fires)
            saturations += clamped

        self.history = [np.concatenate(fired), *self.history[:-1]]
        self._learn()
        before = self.counts
        self.counts = Counters(
            bursts=self.burst,
            fired=before.fired + len(self.history[0]),
            events=before.events + events,
            saturations=before.saturations + saturations,
        )
        self._hash(np.concatenate(updated), self.history[0])
        return self.history[0]

    def _parts(self) -> tuple[list[Ids], list[Dynamics | None]]:
        """Neurons that are updated together: all of them, or area by area where neuron models differ or rows without
        delay join areas; and their models."""
        models = [area.dynamics for area in self.q.areas]
        if (0 not in self.rows and not any(models)) or not models:
            return [self.everyone], [None]
        return [self.everyone[area.first : area.first + area.count] for area in self.q.areas], models

    def _propagate(self, delay: int, sources: Ids) -> int:
        """Add the rows of one delay of the neurons `sources`, one after the other -> their synapses."""
        start, order = self.rows[delay]
        length = start[sources + 1] - start[sources]
        begin = np.cumsum(length) - length  # where each row begins in the result
        synapses = order[np.arange(length.sum()) + np.repeat(start[sources] - begin, length)]
        source = self.q.source[synapses]
        psp: Array = np.where(self.is_driven[synapses], self.psp[source], 1)
        if np.any(graded := self.is_graded[self.q.area_of_neuron[source]]):
            psp = np.where(graded, self.potential[source].astype(self.working), psp)
        amounts = self.numbers.contributions(self.weight[synapses], synapses, psp)
        self._inject(self.target[synapses], amounts)
        return len(synapses)

    def _learn(self) -> None:
        """Windowed plasticity (docs/numbers.md, Learning): weights move by who fired in the last bursts."""
        for part, projection in self.plastic:
            learning = projection.learning
            assert learning is not None
            frames = self.history[: learning.window]
            counts = np.bincount(np.concatenate(frames), minlength=self.q.neurons)
            source, target = counts[self.q.source[part]], counts[self.q.target[part]]
            always = (source == learning.window) & (target == learning.window)
            wide = np.int32 if self.q.precision == "int8" else np.float32
            weight, step = self.weight[part].astype(wide), np.where(always, learning.ltp, learning.ltd).astype(wide)
            moved = np.clip(weight + step, wide(learning.low), wide(learning.high))
            self.weight[part] = np.where((source > 0) | (target > 0), moved, weight)

    def _inject(self, targets: Ids, amounts: Array) -> None:
        """Add amounts to the sums of their targets, one after the other, and make the targets candidates."""
        with np.errstate(over="ignore"):
            np.add.at(self.acc, targets, amounts)
        self.touched[targets] = True

    def _update(self, ids: Ids) -> tuple[Ids, int]:
        """One burst of each of these neurons -> the ids that fired, and how many potentials were clamped."""
        kept = np.where(self.accumulates[ids], self.potential[ids], self.potential.dtype.type(0)).astype(self.working)
        countdown, count = self.countdown[ids], self.fire_count[ids]
        fire_limit = self.fire_limit[ids]

        awake = self._count_down(countdown, count, fire_limit)
        v = kept
        v[awake], saturations = self.numbers.add(kept[awake], self.acc[ids[awake]], ids[awake])

        fires, exhausted = self._test(v, awake, count, ids)
        silent = awake & ~exhausted & ~fires
        v[silent] = self.numbers.leak(v[silent], ids[silent])
        self.psp[ids[fires]] = self.numbers.psp(v[fires], ids[fires])
        v[fires] = 0
        self._pause(countdown, count, fires, ids)

        self.potential[ids], self.countdown[ids], self.fire_count[ids] = v, countdown, count
        return ids[fires], saturations

    def _update_trained(self, ids: Ids, model: Dynamics) -> tuple[Ids, int]:
        """The same for an area with a neuron model: leak first, then input, then the test."""
        q, none = self.q, self.potential.dtype.type(0)
        v = np.where(self.accumulates[ids], self.potential[ids], none).astype(self.working)
        countdown, count = self.countdown[ids], self.fire_count[ids]
        awake = self._count_down(countdown, count, self.fire_limit[ids])
        reset = q.reset[ids].astype(self.working)
        late = np.isin(ids, self.history[0]) if model.late else np.zeros(len(ids), np.bool_)
        if model.reset == "value":
            v[late], late = reset[late], np.zeros(len(ids), np.bool_)
        taken = np.where(late & (model.reset == "subtract"), reset, self.working.type(0))

        current = self.current[ids].astype(self.working)
        v[awake], current[awake], clamped = self.numbers.integrate(
            v[awake], current[awake], self.acc[ids[awake]], taken[awake], ids[awake], model
        )
        fires, _ = self._test(v, awake, count, ids)
        if model.graded:
            fires = awake & (v != 0)
        elif not model.late and model.reset == "value":
            v[fires] = reset[fires]
        elif not model.late and model.reset == "subtract":
            v[fires], cut = self.numbers.take(v[fires], reset[fires])
            clamped += cut
        self._pause(countdown, count, fires, ids)

        self.potential[ids], self.current[ids] = v, current
        self.countdown[ids], self.fire_count[ids] = countdown, count
        return ids[fires], clamped

    def _count_down(self, countdown: Array, count: Array, fire_limit: Array) -> Mask:
        """Blocked neurons count down; who is awake."""
        resting = countdown > 0
        countdown[resting] -= 1
        count[resting & (countdown == 0) & (fire_limit > 0) & (count >= fire_limit)] = 0
        return ~resting

    def _test(self, v: Array, awake: Mask, count: Array, ids: Ids) -> tuple[Mask, Mask]:
        """Who fires, and who is kept from it by the fire limit; counts of those that do not fire end."""
        fire_limit = self.fire_limit[ids]
        met = awake & (self.q.threshold[ids] <= v) & (v <= self.q.limit[ids])
        exhausted = met & (fire_limit > 0) & (count >= fire_limit)
        fires = met & ~exhausted
        fires[fires] = self._draws(ids[fires])
        count[awake & ~fires] = 0
        return fires, exhausted

    def _pause(self, countdown: Array, count: Array, fires: Mask, ids: Ids) -> None:
        """What firing does to countdowns and counts."""
        fire_limit = self.fire_limit[ids]
        count[fires & (fire_limit > 0)] += 1
        countdown[fires] = self.refractory[ids[fires]]
        tired = fires & (fire_limit > 0) & (count == fire_limit)
        countdown[tired] += self.snooze[ids[tired]]

    def _draws(self, ids: Ids) -> Mask:
        """Which of these neurons, all at threshold, pass their excitability's draw of this burst."""
        bound = self.q.fire_draw[ids]
        passes: Mask = (bound == ALWAYS) | (draw(ids.astype(np.uint32), self.burst) < bound)
        return passes

    def _hash(self, ids: Ids, fired: Ids) -> None:
        """Extend the hash chains by this burst, in which the neurons `ids` were updated and `fired` fired."""
        fired_sums = [int(h[fired].sum(dtype=np.uint64)) for h in self.id_hash]
        self.state_hash = self._extend(self.state_hash, fired_sums)
        if not self.track_potentials:
            return
        bits = self.numbers.bits(self.potential[ids])
        for k in LANES:  # only the potentials of `ids` can have changed
            new = pcg(self.id_hash[k][ids] ^ bits)
            old = self.voltage_hash[k][ids]
            self.voltage_sum[k] += int(new.sum(dtype=np.uint64)) - int(old.sum(dtype=np.uint64))
            self.voltage_hash[k][ids] = new
        learned = self.numbers.bits(self.weight[self.plastic_synapses])
        number = np.arange(len(learned), dtype=np.uint32)
        weights = [int(pcg(pcg(np.uint32(2) * number + np.uint32(k)) ^ learned).sum(dtype=np.uint64)) for k in LANES]
        sums = [s + v + w for s, v, w in zip(fired_sums, self.voltage_sum, weights, strict=True)]
        self.potential_hash = self._extend(self.potential_hash, sums)

    def _extend(self, chain: list[int], sums: list[int]) -> list[int]:
        """Both lanes of a chain after this burst: pcg(h + t * GOLDEN + sum)."""
        terms = [(h + self.burst * GOLDEN + s) & 0xFFFFFFFF for h, s in zip(chain, sums, strict=True)]
        return [int(h) for h in pcg(np.array(terms, np.uint32))]


def check_stimulus(stimulus: CodedStimulus, q: QuantizedConnectome) -> None:
    """A stimulus, sorted by burst, fits a network: neurons exist, pairs come once, amounts keep the areas' limits.

    Raises: EspikeError naming the first entry that does not.
    """

    def refuse(bad: Mask, what: str) -> None:
        if np.any(bad):
            i = int(np.flatnonzero(bad)[0])
            where = f"burst {stimulus.burst[i]}, neuron {stimulus.neuron[i]}"
            raise EspikeError(f"stimulus {stimulus.value[i]} {what}", where=where)

    if stimulus.value.dtype != np.dtype(q.types.input):
        raise EspikeError(f"stimulus is {stimulus.value.dtype}, the network takes {np.dtype(q.types.input)}")
    burst, neuron = stimulus.burst, stimulus.neuron.astype(np.int64)
    same = np.concatenate(([False], burst[1:] == burst[:-1]))
    step = np.concatenate(([1], np.diff(neuron)))
    refuse(neuron >= q.neurons, f"goes to a neuron that does not exist, there are {q.neurons}")
    refuse(same & (step < 0), "is not sorted by neuron within its burst")
    refuse(same & (step == 0), "is the second of its pair")
    refuse(np.signbit(stimulus.value) & (stimulus.value == 0), "is a negative zero")
    limit = q.stimulus_limit[q.area_of_neuron[neuron]]
    refuse(~(np.abs(stimulus.value.astype(np.float64)) <= limit), "exceeds the limit of its area")
