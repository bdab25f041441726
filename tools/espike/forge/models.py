"""model of the registry -> what it answers on the host, and the files that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espike_sim import npzfile, quantized
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome

from .. import calibration, presentations, selftest, train
from ..classify import confusion
from ..network import QUANTIZED_SUFFIX
from ..quantize import quantize
from .context import with_bits
from .contracts import PHASES, Model
from .deploy import test_items
from .measures import examples_of, master_of
from .registry import Registry
from .rows import Step
from .subject import Subject

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """What a model answered to labelled items."""

    model: Model
    data: str
    """Hash of the items' object, or the file."""
    labels: tuple[str, ...]
    confusion: I64  # (classes, classes + 1): the last column counts items without an answer
    bursts_mean: float

    @property
    def items(self) -> int:
        """Items that were presented."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """Right answers."""
        return int(np.trace(self.confusion[:, :-1]))

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / max(1, self.items)


def find(registry: Registry, text: str) -> Model:
    """The model whose id is `text`, or has it in it. Raises: EspikeError where that is none, or several."""
    found = [model for model in registry.models() if text in model.id]
    exact = [model for model in found if model.id == text] or found
    if len(exact) != 1:
        what = f"{len(exact) or 'no'} models are called {text}"
        raise EspikeError(what, where=str(registry.folder), do="espike forge models list")
    return exact[0]


def last_of(registry: Registry, run: str) -> Model | None:
    """The last model of a run that has an image: what `pack` made where it came that far."""
    found = [model for model in registry.models(run) if model.image is not None]
    return max(found, key=lambda model: PHASES.index(model.phase), default=None)


def trial(registry: Registry, model: Model, data: Path | None = None, part: str = "test") -> Trial:
    """Present a model the test items of its run, or a part of a file of labelled series (docs/train.md).

    Raises: EspikeError where it has no image, the file does not fit it, or the run's items are not here.
    """
    image = _image(registry, model)
    with Subject(image, model.id) as subject:
        if data is None:
            key = test_items(registry, model.session)
            examples = examples_of(registry.get(key))
            raw, label, where = examples.raw, examples.label, key
        else:
            shown = presentations.load(data, subject.network, part)
            if shown.labels is None:
                raise EspikeError("has no labels", where=str(data))
            raw, label, where = shown.raw[shown.labels >= 0], shown.labels[shown.labels >= 0], str(data)
        found = subject.answers(raw)
        names = _labels(subject, label)
    made = confusion(label, found.answer, len(names))
    return Trial(model, where, names, made, float(found.bursts.mean()) if len(raw) else 0.0)


def _labels(subject: Subject, label: I64) -> tuple[str, ...]:
    part = subject.answering
    count = max(part.stop - part.start, int(label.max(initial=-1)) + 1)
    known = subject.senses.decoder.labels
    return known if len(known) == count else tuple(map(str, range(count)))


def _image(registry: Registry, model: Model) -> bytes:
    if model.image is None:
        raise EspikeError("has no image yet", where=f"model {model.id}", do="give one of a later phase")
    return registry.get(model.image)


def save(registry: Registry, model: Model, folder: Path) -> list[Path]:
    """Write image.spk, master.npz and image.quantized.npz, those that the model has -> the files.

    Raises: EspikeError where a file cannot be written, or an object is damaged.
    """
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, key in (("master.npz", model.master), ("image.spk", model.image)):
            if key:
                made.append(folder / name)
                npzfile.write_atomic(made[-1], registry.get(key))
    except OSError as error:
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(folder)) from None
    found = quantized_of(registry, model)
    if found is not None:
        made.append(folder / f"image{QUANTIZED_SUFFIX}")
        quantized.save(found, made[-1])
    return made


def quantized_of(registry: Registry, model: Model) -> QuantizedConnectome | None:
    """The integers of a model's image, quantized again as its step says; None where that does not give the image."""
    for step in registry.steps(model.session):
        if model.image is not None and step.outputs.get("image") == model.image and "precision" in step.inputs:
            made = _quantized(registry, step)
            if selftest.pack(made).data == registry.get(model.image):
                return made
    return None


def _quantized(registry: Registry, step: Step) -> QuantizedConnectome:
    asked = step.inputs
    c = master_of(registry.get(asked["master"]))
    if asked["bits"] is not None:
        c = with_bits(c, asked["bits"])
    fitted = asked["calibrated"] and asked["precision"] == "int8"
    some = _calibration(c, examples_of(registry.get(asked["calibrated"])), asked["share"]) if fitted else None
    return quantize(c, asked["precision"], some)


def _calibration(c: Connectome, examples: train.Examples, share: float) -> calibration.Calibration:
    assert c.senses is not None
    shown = presentations.Presentations(examples.raw, c.senses, c.areas, None, ()).part(share)
    return calibration.calibrate(c, shown.stimuli(), shown.bursts, len(shown))
