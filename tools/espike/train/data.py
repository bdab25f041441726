"""file -> examples: labelled series of raw samples, for training and for the test.

npz: `x` (n, samples, channels) or (n, channels), integers (raw values) or floats; `y` (n,) labels; perhaps `x_test`
and `y_test`; perhaps `unit`, what a raw step is. CSV with a head: a column `label`, one column per channel, and where
rows are samples of series, a column `series` that tells which; rows of a series follow each other. Where all values
are integers, they are raw.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import npzfile
from espike_sim.errors import EspikeError
from espike_sim.senses import RAW, to_raw

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

RAW_BITS = 15
"""Measured values become raw ones of so many bits and a sign."""
SERIES_LEAST = 2
"""Of each class in the training set."""
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class Examples:
    """Labelled series."""

    raw: I32  # (series, samples, channels)
    label: I64  # (series,) index into the labels

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Data:
    """What is learned and what is tested."""

    train: Examples
    test: Examples
    labels: tuple[str, ...]
    """What the classes are called: ascending."""
    unit: float
    """What a raw step is."""

    @property
    def samples(self) -> int:
        """Samples of a series."""
        return int(self.train.raw.shape[1])

    @property
    def channels(self) -> int:
        """Values of a sample."""
        return int(self.train.raw.shape[2])


Table = tuple[NDArray[Any], NDArray[Any]]
"""x and y as they are in a file."""


def load(path: Path, test: float = 0.2, seed: int = 0, unit: float | None = None) -> Data:
    """Read a file; where it has no test set, the share `test` of each class, drawn by `seed`, becomes one.

    `unit`: what a raw step is to the network that takes them; None: the file's, or one that gives 16 bits.
    Raises: EspikeError saying what is wrong with the file.
    """
    where = str(path)
    if path.suffix not in SUFFIXES:
        raise EspikeError("is no data file", where=where, do="use .npz or .csv (docs/train.md)")
    given, tested, own_unit = _read_npz(path) if path.suffix == ".npz" else (_read_csv(path), None, None)
    tables = [_shaped(given, where, "x"), *([_shaped(tested, where, "x_test")] if tested is not None else [])]
    if len(tables) == 2 and tables[1][0].shape[1:] != tables[0][0].shape[1:]:
        raise EspikeError(f"x_test is {tables[1][0].shape}, x {tables[0][0].shape}", where=where)
    if unit is not None and own_unit not in (None, unit):
        raise EspikeError(f"a raw step is {own_unit}, to the network {unit}", where=where)
    unit = unit or own_unit or _unit(tables[0][0])
    names, labels = _classes([y for _, y in tables], where)
    sets = [Examples(_raw(x, unit, where), label) for (x, _), label in zip(tables, labels, strict=True)]
    train, tests = sets if len(sets) == 2 else _split(sets[0], test, seed)
    _check_classes(train, names, where)
    return Data(train, tests, names, unit)


def _read_npz(path: Path) -> tuple[Table, Table | None, float | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror or error}", where=str(path)) from None
    except npzfile.UNREADABLE:
        raise EspikeError("is no npz file of plain arrays", where=str(path)) from None
    for name in ("x", "y", *(("y_test",) if "x_test" in held else ())):
        if name not in held:
            raise EspikeError(f"array {name} is missing", where=str(path), do="store x, y and perhaps x_test, y_test")
    unit = held.get("unit")
    if unit is not None and (unit.size != 1 or unit.dtype.kind not in "iuf" or not 0 < float(unit.item()) < np.inf):
        raise EspikeError("unit is no number above 0", where=str(path))
    tested = (held["x_test"], held["y_test"]) if "x_test" in held else None
    return (held["x"], held["y"]), tested, None if unit is None else float(unit.item())


def _read_csv(path: Path) -> Table:
    where = str(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row] or [[]]
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=where) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise EspikeError(f"is no CSV file ({error})", where=where) from None
    channels = [i for i, name in enumerate(head) if name not in ("series", "label")]
    if "label" not in head or not channels or not rows:
        raise EspikeError("has no column label, no channel or no row", where=where, do="name columns in the first line")
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise EspikeError(f"row {number} has {len(row)} cells, the head {len(head)}", where=where)
    try:
        values: NDArray[Any] = np.array([[float(row[i]) for i in channels] for row in rows])
    except ValueError as error:
        raise EspikeError(f"a channel holds what is no number ({error})", where=where) from None
    if np.all(np.abs(values) <= RAW[1]) and np.all(values == np.floor(values)):
        values = values.astype(np.int64)
    labels = [row[head.index("label")] for row in rows]
    if "series" not in head:
        return values, np.array(labels)
    return _series(values, labels, [row[head.index("series")] for row in rows], where)


def _series(values: NDArray[Any], labels: Sequence[str], series: Sequence[str], where: str) -> Table:
    """Rows that follow each other and have one id are a series."""
    first = [i for i, name in enumerate(series) if i == 0 or name != series[i - 1]]
    if len({series[i] for i in first}) != len(first):
        raise EspikeError("rows of a series do not follow each other", where=where, do="sort them by series")
    parts = [slice(begin, end) for begin, end in zip(first, [*first[1:], len(series)], strict=True)]
    for part in parts:
        name, samples = series[part.start], part.stop - part.start
        if len(set(labels[part])) > 1:
            raise EspikeError(f"series {name} has several labels", where=where)
        if samples != parts[0].stop:
            what = f"series {name} has {samples} samples, {series[0]} {parts[0].stop}"
            raise EspikeError(what, where=where, do="cut or pad them to one length")
    return np.stack([values[part] for part in parts]), np.array([labels[part.start] for part in parts])


def _shaped(table: Table, where: str, name: str) -> Table:
    x, y = table
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3) or 0 in x.shape:
        shape = f"{x.dtype} {x.shape}"
        raise EspikeError(f"{name} is {shape}, expected numbers (n, samples, channels) or (n, channels)", where=where)
    if not np.all(np.isfinite(x)):
        raise EspikeError(
            f"{name} holds a value that is not finite", where=where, do="fill the gaps, or leave them out"
        )
    if y.shape != (len(x),) or y.dtype.kind not in "biuU":
        shape = f"{y.dtype} {y.shape}"
        raise EspikeError(f"labels of {name} are {shape}, expected integers or strings ({len(x)},)", where=where)
    return x if x.ndim == 3 else x[:, None, :], y


def _unit(x: NDArray[Any]) -> float:
    """1 for integers; else the power of two that makes the largest value a raw one of RAW_BITS bits."""
    largest = float(np.abs(x).max()) if x.dtype.kind == "f" else 0.0
    return 2.0 ** (int(np.frexp(largest)[1]) - RAW_BITS) if largest > 0 else 1.0


def _raw(x: NDArray[Any], unit: float, where: str) -> I32:
    if x.dtype.kind == "f":
        return to_raw(x, unit)
    if int(x.min()) < RAW[0] or int(x.max()) > RAW[1]:
        raise EspikeError("x holds integers of more than 32 bits", where=where, do="divide them")
    return x.astype(np.int32)


def _classes(labels: Sequence[NDArray[Any]], where: str) -> tuple[tuple[str, ...], list[I64]]:
    """Names of the classes, those of integers in the order of their numbers, and each label as an index into them."""
    if len({some.dtype.kind == "U" for some in labels}) > 1:
        raise EspikeError("labels are integers in one set and strings in the other", where=where)
    classes = np.unique(labels[0])
    if len(classes) < 2:
        raise EspikeError(f"all labels are {classes[0]}", where=where, do="give two classes or more")
    unknown = [label for some in labels[1:] for label in np.setdiff1d(some, classes).tolist()]
    if unknown:
        raise EspikeError(f"the test set has a label {unknown[0]}, the training set has not", where=where)
    return tuple(map(str, classes.tolist())), [np.searchsorted(classes, some).astype(np.int64) for some in labels]


def _split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """`share` of each class, rounded, to the test."""
    rng = np.random.default_rng(seed)
    tested = np.zeros(len(examples), np.bool_)
    for label in np.unique(examples.label):
        own = rng.permutation(np.flatnonzero(examples.label == label))
        tested[own[: round(share * len(own))]] = True
    parts = [Examples(examples.raw[part], examples.label[part]) for part in (~tested, tested)]
    return parts[0], parts[1]


def _check_classes(train: Examples, names: tuple[str, ...], where: str) -> None:
    counts = np.bincount(train.label, minlength=len(names))
    if counts.min() < SERIES_LEAST:
        few = names[int(np.argmin(counts))]
        what = f"class {few} has {counts.min()} series to train with, {SERIES_LEAST} are needed"
        raise EspikeError(what, where=where)
