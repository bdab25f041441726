"""ledger -> picture: who fired when, how often each area fired, how potentials moved. PNG or SVG, by the suffix.

matplotlib is imported when a picture is made. The same ledger gives the same SVG, byte for byte, under one version
of matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger
from espike_sim.similarity import Comparison

SUFFIXES = (".png", ".svg")
AREAS_MOST = 24
"""Areas that a raster shows all of; with more, only those that fire."""
LABELS_MOST = 40
"""Area names beside a raster."""
LINES_MOST = 10
"""Lines with a colour and a name of their own; further areas are summed, further neurons refused."""
RASTERISED_FROM = 5000
"""Spikes from which the points of an SVG are an image inside it."""
TITLE_CHARACTERS = 90

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "espike",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_INK, _BAND, _GRID = "#1f3b57", "#eef2f6", "#d5dce3"

Rows = NDArray[np.int64]


def raster(
    ledger: Ledger, areas: Sequence[Area], path: Path, *, title: str = "", size_in: tuple[float, float] = (10, 6)
) -> Path:
    """A point per spike: bursts across, neurons up, a band per area -> `path`.

    Core areas that never fire are left out, with more than AREAS_MOST areas all that never fire; the picture says so.

    Raises: EspikeError where matplotlib is missing, `path` is no PNG or SVG, or the areas are another network's.
    """
    shown = _shown_areas(ledger, areas)
    tops = np.cumsum([area.count for area in shown], dtype=np.int64)
    with _figure(path, size_in) as figure:
        axes = figure.add_subplot()
        _bands(axes, shown, tops)
        burst, row = _points(ledger, shown, tops)
        height = max(1, int(tops[-1]) if len(tops) else 1)
        marks = _mark_size(len(burst), size_in)
        axes.scatter(burst, row, s=marks, c=_INK, linewidths=0, rasterized=len(burst) >= RASTERISED_FROM)
        axes.set_xlim(ledger.first_burst - 0.5, max(ledger.last_burst, ledger.first_burst) + 0.5)
        axes.set_ylim(-0.5, height - 0.5)
        axes.set_xlabel("burst")
        left_out = len(areas) - len(shown)
        said = f"{ledger.spikes:,} spikes of {ledger.neurons:,} neurons in {ledger.bursts:,} bursts"
        said += f"; {left_out} silent areas left out" if left_out else ""
        _titles(axes, title, said)
    return path


def rates(
    ledger: Ledger,
    areas: Sequence[Area],
    path: Path,
    *,
    title: str = "",
    window_bursts: int = 1,
    size_in: tuple[float, float] = (10, 4.5),
) -> Path:
    """The share of each area's neurons that fired, burst by burst, as the mean of `window_bursts` bursts -> `path`.

    The LINES_MOST areas with the most spikes have a line each, the others one together.
    Raises: EspikeError as `raster`, or where the window is not 1 to the ledger's bursts.
    """
    if not 1 <= window_bursts <= max(1, ledger.bursts):
        raise EspikeError(f"window of {window_bursts} bursts", do=f"use 1 to {max(1, ledger.bursts)}")
    spikes = _area_spikes(ledger, areas)
    order = np.argsort(-spikes.sum(axis=1), kind="stable")
    own, others = (order, order[:0]) if len(order) <= LINES_MOST else (order[: LINES_MOST - 1], order[LINES_MOST - 1 :])
    lines = [(_name(areas[i]), spikes[i], areas[i].count) for i in sorted(own)]
    if len(others):
        together = sum(areas[i].count for i in others)
        lines.append((f"{len(others)} other areas", spikes[others].sum(axis=0), together))
    with _figure(path, size_in) as figure:
        axes = figure.add_subplot()
        burst = np.arange(ledger.first_burst, ledger.first_burst + ledger.bursts)
        for name, counts, neurons in lines:
            axes.plot(burst, _smooth(100 * counts / neurons, window_bursts), linewidth=1.1, label=name)
        axes.set_ylim(bottom=0)
        _line_axes(axes, "neurons that fired, %", named=bool(lines))
        mean = f", mean of {window_bursts} bursts" if window_bursts > 1 else ""
        _titles(axes, title, f"{ledger.spikes:,} spikes in {ledger.bursts:,} bursts{mean}")
    return path


def potentials(
    traces: Mapping[str, NDArray[Any]],
    path: Path,
    *,
    first_burst: int = 1,
    thresholds: Mapping[str, float] | None = None,
    unit: str = "",
    title: str = "",
    size_in: tuple[float, float] = (10, 4.5),
) -> Path:
    """Potentials after each burst, one line per name in `traces` (bursts,), thresholds dashed -> `path`.

    Raises: EspikeError as `raster`, or where there are more than LINES_MOST traces.
    """
    if len(traces) > LINES_MOST:
        raise EspikeError(f"{len(traces)} traces in one picture", do=f"choose at most {LINES_MOST} neurons")
    with _figure(path, size_in) as figure:
        axes = figure.add_subplot()
        for name, trace in traces.items():
            burst = np.arange(first_burst, first_burst + len(trace))
            shown = f"\u200b{name}" if name.startswith("_") else name  # matplotlib hides names that begin so
            (line,) = axes.plot(burst, trace, linewidth=1.1, label=shown)
            if thresholds is not None and name in thresholds:
                axes.axhline(thresholds[name], color=line.get_color(), linewidth=0.8, linestyle=(0, (4, 3)))
        _line_axes(axes, f"potential, {unit}" if unit else "potential", named=bool(traces))
        _titles(axes, title, "thresholds dashed" if thresholds else "")
    return path


def comparison(found: Comparison, path: Path, *, title: str = "", size_in: tuple[float, float] = (10, 4.5)) -> Path:
    """What two runs decide alike: the share over bursts, and F1 of the areas with the most spikes -> `path`.

    Raises: EspikeError where matplotlib is missing or `path` is no PNG or SVG.
    """
    bursts = len(found.agreement)
    window = max(1, bursts // 100)
    busiest = sorted(found.areas, key=lambda s: -(2 * s.both + s.only_a + s.only_b))[:AREAS_MOST]
    shown = [s for s in found.areas if s in busiest]
    with _figure(path, size_in) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        burst = np.arange(1, bursts + 1)
        left.plot(burst, _smooth(100 * found.agreement, window), color=_INK, linewidth=1.1)
        left.set_ylim(top=100 + 0.05 * max(0.01, 100 - 100 * float(found.agreement.min(initial=1))))
        left.ticklabel_format(axis="y", useOffset=False)
        _line_axes(left, "equal decisions, %", named=False)
        mean = f", mean of {window} bursts" if window > 1 else ""
        _titles(left, title, f"{100 * found.total.decisions_equal:.6g} % of {bursts:,} bursts' decisions{mean}")
        names = [*(s.name for s in shown), "all"]
        values = [*(s.f1 for s in shown), found.total.f1]
        rows = np.arange(len(names))[::-1]
        right.barh(rows, values, color=[*[_INK] * len(shown), "#7a8794"], height=0.7)
        right.set_yticks(rows, [name[:24].replace("$", r"\$") for name in names])
        right.tick_params(axis="y", length=0)
        right.set_xlim(0, 1)
        for row, value in zip(rows, values, strict=True):
            inside = value > 0.3
            right.text(
                value - 0.02 if inside else value + 0.02, row, f"{value:.4f}", va="center", fontsize=7.5,
                ha="right" if inside else "left", color="white" if inside else _INK,
            )  # fmt: skip
        _titles(right, "", f"F1 of spikes, {found.total.f1:.4f} in all")
    return path


@contextmanager
def _figure(path: Path, size_in: tuple[float, float]) -> Iterator[Any]:
    """A figure that is written to `path` when the block ends well."""
    if path.suffix.lower() not in SUFFIXES:
        raise EspikeError(f"a picture cannot be {path.suffix or 'a file without suffix'}", do="use .png or .svg")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EspikeError("matplotlib is not installed", do="run: pip install espike[plot]") from None
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=size_in, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        undated = {"Date": None, "Creator": "espike"} if path.suffix.lower() == ".svg" else {"Software": "espike"}
        try:
            figure.savefig(path, dpi=150, metadata=undated)
        except OSError as error:
            raise EspikeError(f"cannot write: {error.strerror}", where=str(path)) from None


def _shown_areas(ledger: Ledger, areas: Sequence[Area]) -> list[Area]:
    if sum(area.count for area in areas) != ledger.neurons:
        counted = sum(area.count for area in areas)
        raise EspikeError(f"the areas hold {counted} neurons, the ledger {ledger.neurons}", do="give its network's")
    fired = np.bincount(_area_of(ledger.ids, areas), minlength=len(areas))
    few = len(areas) <= AREAS_MOST
    return [a for a, spikes in zip(areas, fired, strict=True) if spikes or (few and a.group != "CORE")]


def _area_of(ids: NDArray[np.uint32], areas: Sequence[Area]) -> Rows:
    """int64 (ids,): index into `areas`, which cover all neurons in order."""
    found: Rows = np.searchsorted([area.first for area in areas], ids, side="right") - 1
    return found


def _area_spikes(ledger: Ledger, areas: Sequence[Area]) -> Rows:
    """int64 (areas, bursts): spikes of each area in each burst."""
    _shown_areas(ledger, areas)  # the check
    cell = _area_of(ledger.ids, areas) * ledger.bursts + ledger.burst_of_spike() - ledger.first_burst
    return np.bincount(cell, minlength=len(areas) * ledger.bursts).reshape(len(areas), ledger.bursts)


def _points(ledger: Ledger, shown: Sequence[Area], tops: Rows) -> tuple[Rows, Rows]:
    """Burst and row of each spike of the areas shown; their rows lie close, in the areas' order."""
    if not len(shown):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    ids, index = ledger.ids.astype(np.int64), _area_of(ledger.ids, shown)
    first = np.array([area.first for area in shown], np.int64)
    count = np.array([area.count for area in shown], np.int64)
    inside = (index >= 0) & (ids < first[index] + count[index])
    row = tops[index] - count[index] + ids - first[index]
    return ledger.burst_of_spike()[inside], row[inside]


def _mark_size(spikes: int, size_in: tuple[float, float]) -> float:
    """Area of a point in square points: a quarter of the distance between spikes across, from 0.8 points to four."""
    distance = np.sqrt(0.7 * 72**2 * size_in[0] * size_in[1] / max(1, spikes))
    return float(np.clip(distance / 4, 0.8, 4)) ** 2


def _bands(axes: Any, shown: Sequence[Area], tops: Rows) -> None:
    """Every other area shaded; names where there is room for them, beside the middle of their area."""
    total = int(tops[-1]) if len(tops) else 1
    labels: list[tuple[float, str]] = []
    last = -np.inf
    for i, area in enumerate(shown):
        bottom, middle = int(tops[i]) - area.count, int(tops[i]) - area.count / 2 - 0.5
        if i % 2 == 0:
            axes.axhspan(bottom - 0.5, int(tops[i]) - 0.5, color=_BAND, linewidth=0, zorder=0)
        if (middle - last) / total >= 1 / LABELS_MOST:
            labels.append((middle, f"{_name(area)} ({area.count:,})"))
            last = middle
    axes.set_yticks([middle for middle, _ in labels], [name for _, name in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _name(area: Area) -> str:
    """The area's name, cut so that it fits beside a picture. `$` would begin a formula."""
    name = area.name or area.id
    return (name if len(name) <= 24 else name[:23] + "…").replace("$", r"\$")


def _smooth(values: NDArray[np.float64], window_bursts: int) -> NDArray[np.float64]:
    """The mean of the last `window_bursts` values, of fewer at the begin."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(0, end - window_bursts)
    means: NDArray[np.float64] = (sums[end] - sums[begin]) / (end - begin)
    return means


def _line_axes(axes: Any, y: str, *, named: bool) -> None:
    axes.set_xlabel("burst")
    axes.set_ylabel(y)
    axes.margins(x=0.01)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    if named:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _titles(axes: Any, title: str, said: str) -> None:
    """The title in bold where there is one, and below it what the picture holds."""
    axes.set_title(said, loc="left", fontsize=8.5, color="#55616d")
    if title:
        cut = title if len(title) <= TITLE_CHARACTERS else title[: TITLE_CHARACTERS - 1] + "…"
        axes.figure.suptitle(cut.replace("$", r"\$"), x=0.01, ha="left", fontsize=11, fontweight="bold")
