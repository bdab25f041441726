"""quantized connectome + stimulus -> fire ledger: the arithmetic of `docs/numbers.md`, in numpy, written to be read.

It shares no code with the C engine: every other engine is proven against this one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

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

    def contributions(self) -> Array:
        """accumulator dtype (synapses,): what one spike adds through each synapse, in file order."""

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """The potentials v with the input added, kept in range; and how many had to be clamped."""

    def leak(self, v: Array, ids: Ids) -> Array:
        """What remains of the potentials v after one leak."""

    def bits(self, v: Array) -> U32:
        """uint32: the potentials as the state hash takes them."""


class Int8Numbers:
    """int8 codes: potentials are int16 in 2^-guard_bits of a code, retained is Q0.15."""

    accumulator = "<i4"

    def __init__(self, q: QuantizedConnectome) -> None:
        self.q = q
        self.guard_factor = np.left_shift(1, q.guard_bits.astype(np.int32))[q.area_of_neuron].astype(np.int32)
        self.retained = q.retained.astype(np.int32)

    def contributions(self) -> Array:
        """weight << shift of the synapse's projection."""
        shift = np.array([p.shift for p in self.q.projections], np.int32)
        return np.left_shift(self.q.weight.astype(np.int32), np.repeat(shift, np.diff(self.q.projection_start)))

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """sat(v + acc * 2^guard_bits); the sum stays below 2^31 because |acc| * 2^guard_bits < 2^30."""
        exact = v.astype(np.int32) + acc * self.guard_factor[ids]
        clamped = np.clip(exact, -32767, 32767)
        return clamped.astype(np.int16), int(np.count_nonzero(clamped != exact))

    def leak(self, v: Array, ids: Ids) -> Array:
        """(v * r + 2^14) >> 15, and one unit toward rest where that would leave v as it is; r = 32768 keeps v."""
        wide, r = v.astype(np.int32), self.retained[ids]
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

    def contributions(self) -> Array:
        """The weights."""
        return self.q.weight

    def add(self, v: Array, acc: Array, ids: Ids) -> tuple[Array, int]:
        """v + acc, clamped to +-float32(3e38)."""
        with np.errstate(over="ignore"):
            exact = v + acc
        clamped = np.clip(exact, -self.largest, self.largest)
        return clamped, int(np.count_nonzero(clamped != exact))

    def leak(self, v: Array, ids: Ids) -> Array:
        """v * retained."""
        product: Array = v * self.q.retained[ids]
        return product

    def bits(self, v: Array) -> U32:
        """The bits, with -0 taken as +0."""
        return (v + np.float32(0)).view(np.uint32)  # -0 + 0 = +0


class Reference:
    """Runs a quantized connectome burst by burst: add, test, leak (FEAGI's order), delay 1.

    Implements `engine.Engine`. Raises: EspikeError where a countdown could pass 16 bits.
    """

    name = "reference"

    def __init__(self, q: QuantizedConnectome) -> None:
        self.q = q
        self.network_hash = q.hash
        self.numbers: Numbers = Int8Numbers(q) if q.precision == "int8" else Float32Numbers(q)
        self.everyone: Ids = np.arange(q.neurons, dtype=np.int64)
        self.accumulates = np.array([area.accumulate for area in q.areas], np.bool_)[q.area_of_neuron]
        self.fire_limit = q.fire_limit.astype(np.int32)
        self.refractory = q.refractory.astype(np.int32)
        self.snooze = np.where(q.fire_limit > 0, q.snooze, 0).astype(np.int32)
        self.id_hash = [pcg(np.uint32(2) * self.everyone.astype(np.uint32) + np.uint32(k)) for k in LANES]
        self._index_rows()
        self.reset()

    def _index_rows(self) -> None:
        """Synapses by source; a source's in projection order, then row order: the order in which they are added."""
        order = np.argsort(self.q.source, kind="stable")
        self.row_start = np.searchsorted(self.q.source[order], np.arange(self.q.neurons + 1))
        self.row_target = self.q.target[order].astype(np.int64)
        self.row_contribution = self.numbers.contributions()[order]

    def reset(self, *, track_potentials: bool = True) -> None:
        """Back to burst 0: all potentials, countdowns and counts zero. `track_potentials`: keep their hash."""
        neurons = self.q.neurons
        self.burst = 0
        self.potential: Array = np.zeros(neurons, self.q.types.potential)
        self.countdown = np.zeros(neurons, np.int32)
        self.fire_count = np.zeros(neurons, np.int32)
        self.previous: Ids = np.zeros(0, np.int64)
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

    def potentials(self) -> Array:
        """int16 or float32 (neurons,): potentials after the last burst, a copy."""
        return self.potential.copy()

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
        synapses = self._rows_of(self.previous)
        self._inject(self.row_target[synapses], self.row_contribution[synapses])

        ids = np.flatnonzero(self.touched) if self.q.candidates_only else self.everyone
        fired, saturations = self._update(ids)
        self.acc[ids] = 0
        self.touched[ids] = False

        self.previous = fired
        before = self.counts
        self.counts = Counters(
            bursts=self.burst,
            fired=before.fired + len(fired),
            events=before.events + len(synapses),
            saturations=before.saturations + saturations,
        )
        self._hash(ids, fired)
        return fired

    def _inject(self, targets: Ids, amounts: Array) -> None:
        """Add amounts to the sums of their targets, one after the other, and make the targets candidates."""
        with np.errstate(over="ignore"):
            np.add.at(self.acc, targets, amounts)
        self.touched[targets] = True

    def _rows_of(self, sources: Ids) -> Ids:
        """Indices of all synapses of some sources, source by source in the given order."""
        start = self.row_start[sources]
        length = self.row_start[sources + 1] - start
        begin = np.cumsum(length) - length  # where each row begins in the result
        indices: Ids = np.arange(length.sum()) + np.repeat(start - begin, length)
        return indices

    def _update(self, ids: Ids) -> tuple[Ids, int]:
        """One burst of each of these neurons -> the ids that fired, and how many potentials were clamped."""
        q = self.q
        kept = np.where(self.accumulates[ids], self.potential[ids], self.potential.dtype.type(0))
        countdown, count = self.countdown[ids], self.fire_count[ids]
        fire_limit = self.fire_limit[ids]

        resting = countdown > 0
        awake = ~resting
        countdown[resting] -= 1
        count[resting & (countdown == 0) & (fire_limit > 0) & (count >= fire_limit)] = 0

        v = kept
        v[awake], saturations = self.numbers.add(kept[awake], self.acc[ids[awake]], ids[awake])

        met = awake & (q.threshold[ids] <= v) & (v <= q.limit[ids])
        exhausted = met & (fire_limit > 0) & (count >= fire_limit)
        fires = met & ~exhausted
        fires[fires] = self._draws(ids[fires])
        silent = awake & ~exhausted & ~fires

        count[exhausted | silent] = 0
        v[silent] = self.numbers.leak(v[silent], ids[silent])

        v[fires] = 0
        count[fires & (fire_limit > 0)] += 1
        countdown[fires] = self.refractory[ids[fires]]
        tired = fires & (fire_limit > 0) & (count == fire_limit)
        countdown[tired] += self.snooze[ids[tired]]

        self.potential[ids], self.countdown[ids], self.fire_count[ids] = v, countdown, count
        return ids[fires], saturations

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
        sums = [s + v for s, v in zip(fired_sums, self.voltage_sum, strict=True)]
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
