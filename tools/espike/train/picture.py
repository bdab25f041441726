"""outcome -> picture: loss and accuracy over the epochs, and which class was taken for which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..plot import _figure, _titles
from .fit import Outcome

NUMBERS_MOST = 12
"""Classes up to which the cells of the confusion matrix say their numbers."""
LOSS, LEARNED, TESTED = "#b4552d", "#7a8794", "#1f3b57"


def picture(outcome: Outcome, path: Path, *, title: str = "", size_in: tuple[float, float] = (10, 4.5)) -> Path:
    """Curves on the left, confusion matrix on the right -> `path`, a PNG or SVG.

    Raises: EspikeError where matplotlib is missing or `path` is no picture.
    """
    with _figure(path, size_in) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _curves(left, outcome)
        scores, which = (outcome.test, "test") if outcome.test is not None else (outcome.train, "training")
        _titles(left, title, "loss and accuracy over the epochs")
        _matrix(right, scores.confusion, outcome.labels)
        _titles(right, "", f"{which} set, {100 * scores.accuracy:.1f} % right")
    return path


def matrix_picture(
    confusion: Any, labels: tuple[str, ...], path: Path, *, title: str = "", size_in: tuple[float, float] = (5.2, 5)
) -> Path:
    """A confusion matrix, rows what it is, columns what it is taken for -> `path`, PNG or SVG. Raises: EspikeError."""
    with _figure(path, size_in) as figure:
        axes = figure.subplots()
        _matrix(axes, confusion, labels)
        _titles(axes, title, "rows: what it is, columns: what it is taken for")
    return path


def _curves(axes: Any, outcome: Outcome) -> None:
    epochs = np.arange(1, len(outcome.losses) + 1)
    axes.plot(epochs, outcome.losses, color=LOSS, linewidth=1.1)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss", color=LOSS)
    axes.set_ylim(bottom=0)
    percent = axes.twinx()
    percent.spines["right"].set_visible(True)
    percent.plot(epochs, 100 * np.array(outcome.accuracies), color=LEARNED, linewidth=1.1, label="training")
    if outcome.test_accuracies:
        percent.plot(epochs, 100 * np.array(outcome.test_accuracies), color=TESTED, linewidth=1.4, label="test")
    percent.set_ylim(0, 101)
    percent.set_ylabel("accuracy, %")
    percent.legend(loc="center right", frameon=False)


def _matrix(axes: Any, confusion: Any, labels: tuple[str, ...]) -> None:
    """Rows are shaded by their shares."""
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    names, places = [label[:12].replace("$", r"\$") for label in labels], np.arange(len(labels))
    axes.set_yticks(places, names)
    axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.tick_params(length=0)
    axes.set_ylabel("is")
    axes.set_xlabel("taken for")
    if len(labels) > NUMBERS_MOST:
        return
    for row, column in zip(*np.nonzero(confusion), strict=True):
        ink = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=ink, fontsize=7.5)
