"""model of the registry -> what it answers on the host, and the files that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espike_sim import npzfile, quantized
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome

from .. import presentations, selftest
from ..classify import confusion
from ..network import QUANTIZED_SUFFIX
from .contracts import PHASES, Model
from .deploy import test_items
from .measures import examples_of, master_of
from .registry import Registry
from .rounded import as_integers
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
    """Write image.spk, master.npz, image.quantized.npz, image.toml and profile.json, those that there are -> the files.

    Raises: EspikeError where a file cannot be written, or an object is damaged.
    """
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {"master.npz": model.master, "image.spk": model.image, **_beside(registry, model)}
        for name, key in files.items():
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


BESIDE = {"deployment": "image.toml", "profile": "profile.json"}
"""Artefacts of the last phase, and their files."""


def _beside(registry: Registry, model: Model) -> dict[str, str]:
    """What the last phase wrote beside its image: files by name -> hashes."""
    found = registry.artefacts(model.session)
    if model.image is None or found.get(("pack", "image")) != model.image:
        return {}
    return {name: found["pack", what] for what, name in BESIDE.items() if ("pack", what) in found}


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
    learned = asked["calibrated"]
    raw = examples_of(registry.get(learned)).raw if learned else None
    c = master_of(registry.get(asked["master"]))
    return as_integers(c, asked["precision"], asked["bits"], raw, asked["share"], asked["weights"])
