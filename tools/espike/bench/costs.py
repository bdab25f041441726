"""probe networks -> cost table: instructions of everything that a burst does, counted on the emulated board.

Every probe runs under -icount; `trace` says what each of its bursts did. Least squares, group by group, turn the two
into a price of each kind of work: what a burst costs without synapses, then the loops over rows, each as the
difference of a burst that reads rows and one that is given the same sums, then delays and learning.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from .. import trace
from ..costs import Costs
from ..image import pack
from . import instructions, probes

F64 = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sample:
    """What a burst did, or how two bursts differ, and the instructions of that."""

    work: dict[str, float]
    instructions: float


def burst_samples(program: instructions.Program, q: QuantizedConnectome, run: probes.Stimuli) -> list[Sample]:
    """One run from a reset -> a sample of each burst."""
    return samples_of(program, q, pack(q).data, run)


def samples_of(program: instructions.Program, q: QuantizedConnectome, data: bytes, run: probes.Stimuli) -> list[Sample]:
    """The same of an image of `q`."""
    words = [[(neuron, _bits(q, value)) for neuron, value in entries] for entries in run]
    counted = instructions.count_image(program, data, [words])[0]
    flat = [(burst, *entry) for burst, entries in enumerate(run, 1) for entry in entries]
    stimulus = CodedStimulus(
        np.array([entry[0] for entry in flat], np.int64),
        np.array([entry[1] for entry in flat], np.uint32),
        np.array([entry[2] for entry in flat]).astype(q.types.input),
    )
    works = trace.run(q, ImageView(data), len(run), stimulus)
    return [Sample(did, burst.instructions) for did, burst in zip(works, counted, strict=True)]


def _bits(q: QuantizedConnectome, value: float) -> int:
    return int(value) & 0xFFFFFFFF if q.precision == "int8" else int(np.float32(value).view(np.uint32))


def difference(a: Sample, b: Sample) -> Sample:
    """What `a` did beyond `b`."""
    names = {*a.work, *b.work}
    work = {name: a.work.get(name, 0.0) - b.work.get(name, 0.0) for name in names}
    return Sample({name: count for name, count in work.items() if abs(count) > 1e-9}, a.instructions - b.instructions)


def solve(known: dict[str, float], samples: Sequence[Sample]) -> dict[str, float]:
    """`known` and the prices of everything else in the samples; the relative error of bursts is least."""
    names = sorted({name for sample in samples for name in sample.work} - set(known))
    if not names:
        return known
    rows, values = [], []
    for sample in samples:
        rest = sample.instructions - sum(known.get(name, 0.0) * count for name, count in sample.work.items())
        weight = 1 / max(abs(sample.instructions), 100.0)
        rows.append([sample.work.get(name, 0.0) * weight for name in names])
        values.append(rest * weight)
    price = _least_squares(np.array(rows), np.array(values), [name.startswith(DISCOUNTS) for name in names])
    return known | {name: round(float(value), 3) for name, value in zip(names, price, strict=True)}


DISCOUNTS = ("still.", "model_still.", "plain_model_still.", "model_graded.", "plain_fired.")
"""Work that takes less than what it is counted with: its price may be below zero."""


def _least_squares(matrix: F64, values: F64, free: Sequence[bool]) -> F64:
    """Prices, none below zero but the free ones: the lowest is taken out until none is."""
    size = np.maximum(np.abs(matrix).max(axis=0), 1e-12)
    kept = list(range(matrix.shape[1]))
    price = np.zeros(matrix.shape[1])
    while kept:
        found = np.linalg.lstsq((matrix / size)[:, kept], values, rcond=1e-7)[0] / size[kept]
        bound = [math.inf if free[k] else value for k, value in zip(kept, found, strict=True)]
        if min(bound) >= 0:
            price[kept] = found
            break
        kept.pop(int(np.argmin(bound)))
    return price


def solve_neurons(program: instructions.Program) -> dict[str, float]:
    """Prices of bursts without synapses; fp32 last, whose instructions depend on the numbers that it adds."""
    prices: dict[str, float] = {}
    for precision in ("int8", "fp32"):
        for kind in (probes.without_synapses, probes.models):
            found = [(q, run) for q, run in kind() if q.precision == precision]
            prices = solve(prices, [s for q, run in found for s in burst_samples(program, q, run)])
    return prices


def row_samples(program: instructions.Program, probe: probes.RowsProbe) -> list[Sample]:
    """Propagation alone: a burst that reads rows, less one in which stimulus had put the same sums there."""
    found = []
    for q, sources in probe.networks():
        data = pack(q, only={probe.codec}).data
        with_rows = samples_of(program, q, data, probes.fire(q, sources))[1]
        without = samples_of(program, q, data, [[], probes.sums(q, sources)])[1]
        found.append(difference(with_rows, without))
    return found


def measure(
    name: str,
    flags: Sequence[str] = (),
    progress: Progress | None = None,
    loops: Sequence[probes.RowsProbe] | None = None,
) -> Costs:
    """Measure every price on the emulated board of the table's `name`, compiled with `flags` behind the board's own.

    loops: only those of these loops over rows.

    Raises: EspikeError where compiler or emulator are missing.
    """
    target = instructions.COST_TARGETS.get(name, instructions.RV32)
    loops = list(probes.row_probes()) if loops is None else loops
    with tempfile.TemporaryDirectory(prefix="espike-costs-") as folder:
        program = instructions.build(Path(folder), flags, target)
        prices = solve_neurons(program)
        for done, probe in enumerate(loops):
            if progress is not None:
                progress(done, len(loops))
            prices = solve(prices, row_samples(program, probe))
        prices = solve_rest(program, prices)
    board = target.board
    return Costs(name, board["compiler"], (*board["flags"], *flags), dict(sorted(prices.items())))


def solve_rest(program: instructions.Program, prices: dict[str, float]) -> dict[str, float]:
    """Prices of what needs loops that are known: delays, kept potentials, learning."""
    for stage in (probes.delayed, probes.driven, probes.learning):
        prices = solve(prices, [s for q, run in stage() for s in burst_samples(program, q, run)])
    return prices


def prediction_errors(
    program: instructions.Program, costs: Costs, q: QuantizedConnectome, run: probes.Stimuli
) -> Iterator[tuple[float, float]]:
    """(predicted, counted) instructions of each burst of a run."""
    for sample in burst_samples(program, q, run):
        yield costs.price(sample.work), sample.instructions
