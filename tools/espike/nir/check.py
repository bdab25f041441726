"""connectome + recording -> where the network's rasters part from it: samples, bursts, neurons, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

from ..quantize import quantize
from .convert import Made
from .expect import INPUT, LAST, Expected

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

FLOAT_TOLERANCE = 1e-4
"""Of the largest potential: by how much a read-out's potentials may differ from another simulator's."""


@dataclass(frozen=True)
class AreaResult:
    """An area beside its recording."""

    area: str
    samples: int
    samples_equal: int
    spikes_expected: int
    spikes: int
    first: str = ""
    """Where they part first, in words; empty: nowhere."""
    potential_error: float | None = None
    """The largest difference of potentials; None: none are recorded."""
    potential_most: float = 0.0
    read_out: bool = False
    """Its potentials are the result, and have to agree."""

    @property
    def equal(self) -> bool:
        """Spike for spike; of a read-out: its potentials within the rounding of floats."""
        agrees = self.potential_error is None or self.potential_error <= FLOAT_TOLERANCE * max(
            self.potential_most, 1e-12
        )
        return self.samples == self.samples_equal and (agrees or not self.read_out)


@dataclass(frozen=True)
class Checked:
    """All areas that the recording holds."""

    areas: tuple[AreaResult, ...]
    bursts: int

    @property
    def equal(self) -> bool:
        """Whether all areas are."""
        return all(area.equal for area in self.areas)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "equal": self.equal, "bursts": self.bursts, "areas": [vars(a) | {"equal": a.equal} for a in self.areas],
        }  # fmt: skip


def check(made: Made, expected: Expected, lag: int) -> Checked:
    """Run every sample in fp32 and compare; `lag`: bursts by which the recording shows a spike later.

    Raises: EspikeError where the recording names no node of the network, or is of another size.
    """
    q = quantize(made.connectome, "fp32")
    inputs = {
        area: expected.inputs[name] for name, area in _named(made, expected, dict.fromkeys(expected.inputs), "input")
    }
    spikes = {
        area: expected.spikes[name] for name, area in _named(made, expected, dict.fromkeys(expected.spikes), "spikes")
    }
    potentials = {
        area: expected.potentials[name]
        for name, area in _named(made, expected, dict.fromkeys(expected.potentials), "potentials")
    }
    samples, bursts = next(iter(inputs.values())).shape[:2]
    engine = Reference(q)
    results = {area: _Tally(made, q, area, lag) for area in [*spikes, *(a for a in potentials if a not in spikes)]}
    for sample in range(samples):
        stimulus = _stimulus(made, {area: values[sample] for area, values in inputs.items()})
        fired, traces = run(engine, stimulus, bursts, traced=bool(potentials))
        for area, tally in results.items():
            part = slice(q.areas[area].first, q.areas[area].first + q.areas[area].count)
            if area in spikes:
                tally.compare(sample, spikes[area][sample], fired[:, part], stimulus)
            if area in potentials:
                tally.measure(sample, potentials[area][sample], traces[:, part] + made.rest[part])
    return Checked(tuple(tally.result(samples, area in spikes) for area, tally in results.items()), bursts)


def run(engine: Reference, stimulus: CodedStimulus, bursts: int, *, traced: bool) -> tuple[Mask, F64]:
    """Run a sample from rest -> bool (bursts, neurons) who fired; float64 potentials alike, empty where not traced."""
    engine.reset(track_potentials=False)
    fired = np.zeros((bursts, engine.q.neurons), np.bool_)
    traces = np.zeros((bursts if traced else 0, engine.q.neurons))
    if not traced:
        ledger = engine.run(bursts, stimulus)
        fired[ledger.burst_of_spike() - 1, ledger.ids] = True
        return fired, traces
    for burst in range(bursts):
        fired[burst, engine.run(1, stimulus).ids] = True
        traces[burst] = engine.potentials()
    return fired, traces


class _Tally:
    """What is found of one area, sample by sample."""

    def __init__(self, made: Made, q: QuantizedConnectome, area: int, lag: int) -> None:
        self.made, self.q, self.area, self.lag = made, q, q.areas[area], lag
        self.equal, self.expected, self.spikes, self.first = 0, 0, 0, ""
        self.error: float | None = None
        self.most = 0.0

    def compare(self, sample: int, wanted: Mask, fired: Mask, stimulus: CodedStimulus) -> None:
        """Rasters bool (bursts, neurons) of one sample."""
        dynamics = self.area.dynamics
        if dynamics is not None and (dynamics.graded or not dynamics.fires):
            what = f"area {self.area.id} sends potentials, the recording says spikes of it"
            raise EspikeError(what, do="give its potentials, as NODE.v")
        if self.lag:
            late = np.zeros_like(fired)
            late[self.lag :] = fired[: -self.lag]
            fired = late
        self.expected += int(wanted.sum())
        self.spikes += int(fired.sum())
        differs = np.argwhere(wanted != fired)
        if not len(differs):
            self.equal += 1
        elif not self.first:
            self.first = self._describe(sample, int(differs[0][0]), int(differs[0][1]), fired, stimulus)

    def measure(self, sample: int, wanted: F64, traces: F64) -> None:
        """Potentials (bursts, neurons) of one sample."""
        error = float(np.abs(wanted - traces).max(initial=0))
        self.error = error if self.error is None else max(self.error, error)
        self.most = max(self.most, float(np.abs(wanted).max(initial=0)))

    def result(self, samples: int, has_spikes: bool) -> AreaResult:
        """The sums."""
        return AreaResult(
            self.area.id, samples, self.equal if has_spikes else samples, self.expected, self.spikes, self.first,
            self.error, self.most, not has_spikes,
        )  # fmt: skip

    def _describe(self, sample: int, burst: int, neuron: int, fired: Mask, stimulus: CodedStimulus) -> str:
        """In words: who fired, with the potential that was tested and how far from the threshold it is."""
        at, id_ = burst - self.lag, self.area.first + neuron
        who = (
            "this network fires, the recording does not"
            if fired[burst, neuron]
            else "the recording fires, this network does not"
        )
        text = f"sample {sample}, burst {burst + 1}, neuron {neuron}: {who}"
        if at < 0:
            return text
        potential, threshold = tested(self.q, stimulus, at + 1, id_), float(self.q.threshold[id_])
        return f"{text}; potential {potential:.9g}, {potential - threshold:+.3g} from the threshold"


def tested(q: QuantizedConnectome, stimulus: CodedStimulus, burst: int, neuron: int) -> float:
    """The potential that a neuron's threshold tests in a burst, before any reset."""
    engine = Reference(q)
    engine.reset(track_potentials=False)
    engine.run(burst - 1, stimulus)
    blind = replace(q, threshold=np.where(np.arange(q.neurons) == neuron, np.float32(3e38), q.threshold))
    engine.q = blind
    engine.run(1, stimulus)
    return float(engine.potentials()[neuron])


def _named(made: Made, expected: Expected, names: dict[str, None], what: str) -> list[tuple[str, int]]:
    """Names of a recording and the areas they mean: node paths, area ids, Outputs, Thresholds."""
    areas = made.connectome.areas
    found = []
    for name in names:
        place = _area(made, name)
        if place is None:
            listed = ", ".join(area.name for area in areas[:12])
            do = f"nodes are {listed}; --expect-keys NODE=ARRAY names arrays"
            raise EspikeError(
                f"{what} of {name or 'the one output'!r}, which is no node", where=str(expected.path), do=do
            )
        size = getattr(expected, "inputs" if what == "input" else what)[name].shape[2]
        if size != areas[place].count:
            text = f"{what} of {name or 'the output'} are of {size} elements, the area has {areas[place].count}"
            raise EspikeError(text, where=str(expected.path))
        if what == "input" and areas[place].group != "input":
            raise EspikeError(f"{name} is no Input", where=str(expected.path))
        found.append((name, place))
    return found


def _area(made: Made, name: str) -> int | None:
    if name in made.area_of:
        return made.area_of[name]
    if name in made.outputs:
        return made.area_of[made.outputs[name]]
    for integrator, threshold in made.thresholds.items():
        if name == threshold:
            return made.area_of[integrator]
    areas = made.connectome.areas
    if name == INPUT:
        found = [i for i, area in enumerate(areas) if area.group == "input"]
    elif name == LAST:
        found = sorted({made.area_of[station] for station in made.outputs.values()})
    else:
        found = [i for i, area in enumerate(areas) if area.id == name]
    return found[0] if len(found) == 1 else None


def _stimulus(made: Made, inputs: dict[int, F64]) -> CodedStimulus:
    """What goes in, (bursts, elements) by area, as entries."""
    width = made.connectome.neurons
    burst, neuron, value = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for area, values in inputs.items():
        held = made.connectome.areas[area]
        graded = held.dynamics is not None and held.dynamics.graded
        if not graded and np.any((values != 0) & (values != 1)):
            what = f"the input of {held.id} holds other values than 0 and 1"
            raise EspikeError(what, do="give --input graded")
        at, which = np.nonzero(values)
        burst.append(at + 1)
        neuron.append(which + held.first)
        value.append(values[at, which])
    key = np.concatenate(burst) * width + np.concatenate(neuron)
    order = np.argsort(key)
    return CodedStimulus(
        np.concatenate(burst)[order],
        np.concatenate(neuron)[order].astype(np.uint32),
        np.concatenate(value)[order].astype(np.float32),
    )
