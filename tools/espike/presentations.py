"""data file + connectome -> presentations: what a network is given, one labelled series after the other.

A network with senses takes what `espike train` reads (docs/train.md), through its encoders; one without takes an npz of
spikes or potentials per burst into its input areas, as `espike import --expect` does (docs/nir.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from espike_sim import npzfile, sensing, stimulus
from espike_sim.connectome import Area
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.senses import Senses
from espike_sim.stimulus import INPUT_GROUPS, Stimulus

from . import train
from .nir.expect import PACKED, unpacked

I64 = NDArray[np.int64]

PARTS = ("test", "train", "all")
"""Of a data file with labels: its test set, what is trained on, both one after the other."""
OUTPUT_GROUPS = ("output", "opu")
INPUT, X = "input", "x"
"""Arrays of an npz that hold what goes in."""


class Network(Protocol):
    """What presentations need to know: a connectome, a quantized one, or what an image says of itself."""

    @property
    def areas(self) -> tuple[Area, ...]:
        """The areas, in id order."""

    @property
    def neurons(self) -> int:
        """Neurons of all areas."""

    @property
    def senses(self) -> Senses | None:
        """Encoders and decoder."""


@dataclass(frozen=True)
class Presentations:
    """Series for one network, and the answers that are right.

    raw: (series, samples, channels) raw values for its senses, or, where it has none, (series, bursts, elements) what
    its input areas are given, one after the other, in potential units.
    """

    raw: NDArray[Any]
    senses: Senses | None
    areas: tuple[Area, ...]
    labels: I64 | None
    """int64 (series,): the right answers, counted as `answer` does; -1: none of them. None: not known."""
    names: tuple[str, ...]
    """What the answers 0, 1, ... are called."""
    where: str = ""

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def bursts(self) -> int:
        """Bursts of a presentation."""
        return self.senses.bursts if self.senses is not None else int(self.raw.shape[1])

    @property
    def fresh(self) -> bool:
        """Does each presentation begin at the network's reset?"""
        return self.senses is None or self.senses.fresh

    @cached_property
    def inputs(self) -> I64:
        """int64 (elements,): the neurons that take what is given, where there are no senses."""
        return _elements(self.areas)

    @cached_property
    def answering(self) -> slice:
        """The neurons whose activity is the answer: the decoder's, else those of the output area, else the last."""
        if self.senses is not None:
            area = next(area for area in self.areas if area.id == self.senses.decoder.area)
            return self.senses.decoder.part(area)
        area = _output(self.areas)
        return slice(area.first, area.first + area.count)

    def stimulus(self, index: int) -> Stimulus:
        """Potential that presentation `index` injects; its first burst is 1."""
        if self.senses is None:
            burst, element = np.nonzero(self.raw[index])
            amount = self.raw[index][burst, element].astype(np.float64)
            return Stimulus(burst + 1, self.inputs[element].astype(np.uint32), amount)
        shown = sensing.presentation(self.senses, self.areas, self.raw[index])
        given = [e.gain if e.kind == "value" else e.amount for e in self.senses.encoders]
        amount = shown.value * np.array(given)[shown.encoder]
        return Stimulus(shown.burst, shown.neuron, amount)

    def coded(self, index: int, q: QuantizedConnectome) -> CodedStimulus:
        """The same in the numbers of a network, as its board computes them."""
        if self.senses is None:
            return stimulus.code(self.stimulus(index), q)
        return sensing.code(sensing.presentation(self.senses, self.areas, self.raw[index]), self.senses, q)

    def stimuli(self) -> Iterator[Stimulus]:
        """`stimulus` of one presentation after the other."""
        return map(self.stimulus, range(len(self)))

    def answer(self, ledger: Ledger, potentials: NDArray[Any], first_burst: int = 1) -> int:
        """What the network answered: the decoder's answer, else the neuron with the most spikes; of neurons that do
        not fire, the one with the highest potential at the end. Counts from 0; -1: none."""
        if self.senses is not None:
            values = sensing.decode(self.senses, self.areas, ledger, potentials, first_burst)
            return sensing.answer(self.senses.decoder, values)
        part, model = self.answering, _output(self.areas).dynamics
        if model is not None and (model.graded or not model.fires):
            return int(np.argmax(potentials[part]))
        counts = np.bincount(ledger.ids, minlength=ledger.neurons)
        return int(np.argmax(counts[part]))

    def part(self, share: float) -> Presentations:
        """A share of them, evenly picked, at least one. Raises: EspikeError where it is no share."""
        if not 0 < share <= 1:
            raise EspikeError(f"a share of {share:g} is none of 0 to 1", where="--calibrate-share")
        count = max(1, round(share * len(self)))
        chosen = np.arange(count) * len(self) // count
        labels = None if self.labels is None else self.labels[chosen]
        return Presentations(self.raw[chosen], self.senses, self.areas, labels, self.names, self.where)


def load(path: Path, network: Network, part: str = "test") -> Presentations:
    """Read what `network` is to be presented; part: one of PARTS, where the file knows training and test.

    Raises: EspikeError saying what is wrong with the file, or why it does not fit the network.
    """
    if network.senses is not None:
        return _sensed(path, network, network.senses, part)
    return _given(path, network, part)


def _sensed(path: Path, network: Network, senses: Senses, part: str) -> Presentations:
    data = train.load(path, unit=senses.unit)
    if (data.samples, data.channels) != (senses.samples, senses.channels):
        has = f"{data.samples} samples of {data.channels} channels"
        what = f"has {has}, the network takes {senses.samples} of {senses.channels}"
        raise EspikeError(what, where=str(path), do="give the data that it was trained on")
    sets = {"test": [data.test], "train": [data.train], "all": [data.train, data.test]}[part]
    raw = np.concatenate([examples.raw for examples in sets])
    if not len(raw):
        raise EspikeError(f"has no {part} set", where=str(path))
    decoder = senses.decoder
    names, labels = data.labels, np.concatenate([examples.label for examples in sets])
    made = Presentations(raw, senses, network.areas, None, decoder.labels or names, str(path))
    if decoder.kind == "number":
        return made
    count = made.answering.stop - made.answering.start
    if decoder.labels:
        place = np.array([decoder.labels.index(name) if name in decoder.labels else -1 for name in names])
        labels = place[labels]
        if np.all(labels < 0):
            what = f"labels are {_few(names)}, the network knows {_few(decoder.labels)}"
            raise EspikeError(what, where=str(path))
    elif len(names) > count:
        raise EspikeError(f"has {len(names)} classes, the network {count} answers", where=str(path))
    return Presentations(raw, senses, network.areas, labels, decoder.labels or names, str(path))


def _given(path: Path, network: Network, part: str) -> Presentations:
    """Spikes or potentials per burst; labels are numbers of the neurons that answer."""
    where = str(path)
    if path.suffix != ".npz":
        do = "give an npz with `input` (docs/nir.md), or a network with senses"
        raise EspikeError("the network has no senses to read this with", where=where, do=do)
    arrays = _arrays(path)
    name = next((name for name in (INPUT, X) if name in arrays), None)
    if name is None:
        raise EspikeError("holds neither `input` nor `x`", where=where, do="arrays are " + _few(sorted(arrays)))
    wanted = [name, f"{name}_test"] if f"{name}_test" in arrays else [name]
    kept = {"test": wanted[-1:], "train": wanted[:1], "all": wanted}[part]
    elements = len(_elements(network.areas))
    raw = np.concatenate([_values(arrays, array, elements, where) for array in kept])
    made = Presentations(raw, None, network.areas, None, (), where)
    answers = made.answering.stop - made.answering.start
    held = [arrays.get(array.replace(name, "y", 1)) for array in kept]
    if any(label is None for label in held):
        return made
    labels = np.concatenate([np.asarray(label).reshape(-1) for label in held])
    if labels.dtype.kind not in "biu" or len(labels) != len(raw):
        raise EspikeError(f"labels y are {labels.dtype} ({len(labels)},), expected integers ({len(raw)},)", where=where)
    if labels.min() < 0 or labels.max() >= answers:
        beyond = f"label {labels.max() if labels.max() >= answers else labels.min()}"
        raise EspikeError(f"{beyond} is none of the {answers} neurons that answer", where=where)
    names = tuple(map(str, range(answers)))
    return Presentations(raw, None, network.areas, labels.astype(np.int64), names, where)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror or error}", where=str(path)) from None
    except npzfile.UNREADABLE:
        raise EspikeError("is no npz file of plain arrays", where=str(path)) from None


def _values(arrays: dict[str, NDArray[Any]], name: str, elements: int, where: str) -> NDArray[Any]:
    values = arrays[name]
    if name + PACKED in arrays:
        values = unpacked(values, arrays[name + PACKED], f"{where}: {name}")
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3) or 0 in values.shape:
        what = f"{name} is {values.dtype} {values.shape}, expected numbers (series, bursts, elements)"
        raise EspikeError(what, where=where)
    values = values.reshape((-1, *values.shape[-2:]))
    if values.shape[2] != elements:
        do = "give the file of this network, or a network with senses (espike train)"
        raise EspikeError(f"{name} has {values.shape[2]} elements, the input areas {elements}", where=where, do=do)
    if not np.all(np.isfinite(values)):
        raise EspikeError(f"{name} holds a value that is not finite", where=where)
    return values


def _elements(areas: Sequence[Area]) -> I64:
    inputs = [area for area in areas if area.group.lower() in INPUT_GROUPS]
    if not inputs:
        raise EspikeError("the network has no input area", do="give a network with senses, or with areas of that group")
    return np.concatenate([np.arange(area.first, area.first + area.count) for area in inputs])


def _output(areas: Sequence[Area]) -> Area:
    return next((area for area in areas if area.group.lower() in OUTPUT_GROUPS), areas[-1])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
