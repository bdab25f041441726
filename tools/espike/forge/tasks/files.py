"""data file -> suite: the examples' data, and the user's own recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from espike import train
from espike.toolchain import ROOT
from espike.train import Data, Examples, encoders
from espike.train import data as datafile
from espike.train.design import STATIC_BURSTS
from espike_sim.errors import EspikeError

from .draws import mixed, split_off
from .tasks import I64, Draw, Suite, Task

DIGITS, GESTURES = (ROOT / "examples" / name for name in ("digits/digits.npz", "gestures/basicmotions.npz"))
VALIDATION = (1, 5)
"""One of so many of each class of a training set."""


def parted(data: Data) -> dict[str, Examples]:
    """Examples by part: validation is split off the training set, by class and order; the test set is as it is."""
    kept, off = split_off(data.train.label, VALIDATION)
    return {"train": _of(data.train, kept), "val": _of(data.train, off), "test": data.test}


def _of(examples: Examples, chosen: I64) -> Examples:
    return Examples(examples.raw[chosen], examples.label[chosen])


def drawn(task: str, parts: dict[str, Examples]) -> Draw:
    """Examples of what is there, in an order drawn by (task, part, seed), classes by turns; never one twice.

    Raises: EspikeError where a part has none.
    """

    def draw(part: str, count: int, seed: int) -> Examples:
        if not len(parts[part]):
            raise EspikeError(f"has no {part} examples", where=task, do="give more series of each class")
        return _of(parts[part], mixed(parts[part].label, task, part, seed)[:count])

    return draw


def load_example(path: Path) -> Data:
    """One of the examples' files. Raises: EspikeError where it is not there."""
    if not path.exists():
        raise EspikeError("is not there", where=str(path), do="run in a checkout of espike, which has examples/")
    return train.load(path)


def _suite(name: str, about: str, data: Data, tasks: Sequence[Task]) -> Suite:
    static = data.samples == 1
    return Suite(
        name=name,
        about=about,
        channels=data.channels,
        samples=data.samples,
        unit=data.unit,
        labels=data.labels,
        encoders=encoders.STATIC if static else encoders.SERIES,
        bursts=STATIC_BURSTS if static else 1,
        settle=0,
        tasks=tuple(tasks),
    )


def _task(name: str, about: str, data: Data, level: int = 1) -> Task:
    return Task(name, level, about, tuple(range(len(data.labels))), drawn(name, parted(data)))


def digits() -> Suite:
    """Handwritten digits, 8 x 8 pixels."""
    about, data = "handwritten digits, 64 pixels", load_example(DIGITS)
    return _suite("digits", about, data, [_task("digits", about, data)])


def gestures() -> Suite:
    """Activities, recorded by a watch."""
    about, data = "four activities, recorded by a watch", load_example(GESTURES)
    return _suite("gestures", about, data, [_task("gestures", about, data)])


def split_digits() -> Suite:
    """Digits in five levels of two classes: what a network forgets that learns one after the other."""
    data = load_example(DIGITS)
    parts, tasks = parted(data), []
    for level in range(1, 6):
        pair = (2 * level - 2, 2 * level - 1)
        own = {part: _of(all_, np.flatnonzero(np.isin(all_.label, pair))) for part, all_ in parts.items()}
        name = f"digits-{pair[0]}{pair[1]}"
        tasks.append(Task(name, level, f"{pair[0]} or {pair[1]}", pair, drawn(name, own)))
    return _suite("split-digits", "digits in five levels of two classes", data, tasks)


# ---- the user's recordings


def recorded(path: Path) -> Suite:
    """A file that `espike train` reads is a suite of one task; a folder has a task per file, by name.

    Files of a folder have the same samples, channels and raw step; their labels are joined. Raises: EspikeError.
    """
    files = sorted(p for p in path.iterdir() if p.suffix in datafile.SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise EspikeError("has no recordings", where=str(path), do="put .npz or .csv files there (docs/train.md)")
    held = [train.load(file) for file in files]
    for file, data in zip(files, held, strict=True):
        if (data.samples, data.channels, data.unit) != (held[0].samples, held[0].channels, held[0].unit):
            has = f"{data.samples} samples of {data.channels} channels in steps of {data.unit:g}"
            raise EspikeError(f"has {has}, {files[0].name} not", where=str(file), do="give it a folder of its own")
    labels = tuple(dict.fromkeys(label for data in held for label in data.labels))
    tasks = [
        _renumbered(_task(f.stem, f.name, d, i), d, labels) for i, (f, d) in enumerate(zip(files, held, strict=True), 1)
    ]
    return _suite(path.stem, f"recordings of {path.name}", replace(held[0], labels=labels), tasks)


def _renumbered(task: Task, data: Data, labels: tuple[str, ...]) -> Task:
    """The task with its labels as the suite counts them."""
    place = np.array([labels.index(label) for label in data.labels], np.int64)

    def draw(part: str, count: int, seed: int) -> Examples:
        found = task.draw(part, count, seed)
        return replace(found, label=place[found.label])

    return replace(task, classes=tuple(place.tolist()), draw=draw)


def import_recordings(path: Path, folder: Path | None = None, *, test: float = 0.2, seed: int = 0) -> Suite:
    """The suite of a user's recordings (docs/train.md, Data): one task, its classes split into all parts.

    The share `test` of each class is the test set, drawn by `seed`, where the file has none. folder: where the split
    data is written, as NAME.npz, so that `suite` finds the same parts there; files that are there stay.
    Raises: EspikeError saying what is wrong with the file, or where the folder cannot be written.
    """
    data = train.load(path, test, seed)
    if not len(data.test):
        raise EspikeError("leaves no test examples", where=str(path), do="record more, or raise the share of the test")
    if folder is not None:
        _write(folder / f"{path.stem}.npz", data)
    return _suite(path.stem, f"recordings of {path.name}", data, [_task(path.stem, path.name, data)])


def _write(path: Path, data: Data) -> None:
    labels = np.array(data.labels)
    sets = {"x": data.train, "x_test": data.test}
    arrays: dict[str, Any] = {name: examples.raw for name, examples in sets.items()}
    arrays |= {name.replace("x", "y", 1): labels[examples.label] for name, examples in sets.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            np.savez_compressed(file, unit=np.array(data.unit), **arrays)
    except OSError as error:
        raise EspikeError(f"cannot be written: {error.strerror}", where=str(path)) from None
