"""connectome -> picture: areas as boxes from inputs to outputs, mappings as arrows; or the same as text."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim.connectome import Area, Connectome
from espike_sim.errors import EspikeError

from .model import core_kind

WIDTH, GAP_X, GAP_Y = 2.6, 2.6, 0.6
"""A box and the space beside and below it, in units of the drawing."""
FILL = {"IPU": "#cfe3f7", "OPU": "#f9dcc4", "CORE": "#e4e4e4", "MEMORY": "#e0d4f0"}
OTHER_FILL = "#d9ead3"
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Link:
    """All mappings from one area to another."""

    source: int
    target: int
    rules: tuple[str, ...]
    synapses: int
    plastic: bool
    inhibits: bool
    """No weight is above 0."""

    @property
    def label(self) -> str:
        """The rule where there is one, else how many, and the synapses."""
        rule = self.rules[0] if len(self.rules) == 1 else f"{len(self.rules)} rules"
        rule = rule if len(rule) <= 18 else rule[:16] + ".."
        return f"{rule}: {self.synapses:,}" + (" plastic" if self.plastic else "")


def links(connectome: Connectome) -> list[Link]:
    """Mappings joined by the pair of areas they connect, in the connectome's order."""
    start = connectome.mapping_start
    counts = np.diff(start).tolist()
    joined: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, mapping in enumerate(connectome.mappings):
        joined[mapping.source, mapping.target].append(number)
    made = []
    for (source, target), numbers in joined.items():
        rules = tuple(connectome.mappings[n].rule for n in numbers)
        plastic = any(connectome.mappings[n].plastic for n in numbers)
        inhibits = all(connectome.weight[start[n] : start[n + 1]].max(initial=0) <= 0 for n in numbers)
        made.append(Link(source, target, rules, sum(counts[n] for n in numbers), plastic, inhibits))
    return made


def layers(connectome: Connectome) -> tuple[list[list[int]], list[int]]:
    """Area indices in columns from inputs to outputs, and the areas that no synapse touches.

    A column is the distance from the inputs; outputs stand in the last one. Within a column areas stand near
    those that reach them.
    """
    made = [link for link in links(connectome) if link.synapses]
    touched = {end for link in made for end in (link.source, link.target)}
    areas = connectome.areas
    reached = {link.target for link in made if link.source != link.target and not _is_feedback(link, areas)}
    depth: dict[int, int] = {}
    order = [i for i in range(len(areas)) if i in touched]
    starts = [i for i in order if i not in reached]
    while len(depth) < len(order):
        wave = starts or [next(i for i in order if i not in depth)]
        starts = []
        depth |= dict.fromkeys(wave, 0)
        while wave:
            wave = list(dict.fromkeys(a.target for s in wave for a in made if a.source == s and a.target not in depth))
            level = 1 + max((depth[a.source] for a in made if a.target in wave and a.source in depth), default=0)
            depth |= dict.fromkeys(wave, level)
    last = max(depth.values(), default=0)
    for i in order:
        if areas[i].group == "OPU" and depth[i]:
            depth[i] = last
    columns: list[list[int]] = [[i for i in order if depth[i] == level] for level in range(last + 1)]
    for column, before in zip(columns[1:], columns, strict=False):
        _sort_column(column, before, made)
    return [column for column in columns if column], [i for i in range(len(areas)) if i not in touched]


def _is_feedback(link: Link, areas: tuple[Area, ...]) -> bool:
    return areas[link.source].group == "OPU" and areas[link.target].group == "IPU"


def _sort_column(column: list[int], before: list[int], made: list[Link]) -> None:
    """Order a column by the mean place, in the column before, of the areas that reach each."""
    place = {i: float(at) for at, i in enumerate(before)}

    def mean(i: int) -> float:
        found = [place[link.source] for link in made if link.target == i and link.source in place]
        return sum(found) / len(found) if found else float(len(before))

    column.sort(key=mean)


def text(connectome: Connectome) -> list[str]:
    """The areas and their mappings as lines for a terminal."""
    columns, alone = layers(connectome)
    areas = connectome.areas
    width = max((len(area.id) for area in areas), default=0)
    lines = [f"{connectome.neurons:,} neurons, {connectome.synapses:,} synapses, {len(areas)} areas"]
    outgoing: dict[int, list[Link]] = defaultdict(list)
    for link in links(connectome):
        outgoing[link.source].append(link)
    for column in columns:
        lines.append("")
        for i in column:
            lines.append(f"{areas[i].id:{width}}  {_describe(areas[i])}")
            for link in outgoing[i]:
                rules = ", ".join(link.rules[:3]) + (f" and {len(link.rules) - 3} more" if len(link.rules) > 3 else "")
                lines.append(f"{'':{width}}  -> {areas[link.target].id:{width}}  {link.synapses:,} synapses  {rules}")
    if alone:
        lines += ["", "touched by no synapse:"]
        lines += [f"{areas[i].id:{width}}  {_describe(areas[i])}" for i in alone]
    return lines


def _describe(area: Area) -> str:
    x, y, z = area.dimensions
    many = f" x {area.neurons_per_voxel}" if area.neurons_per_voxel > 1 else ""
    name = f"  {area.name}" if area.name != area.id else ""
    return f"{area.group:6}  {x} x {y} x {z}{many} = {area.count:,} neurons{name}"


def show(connectome: Connectome, path: Path | str, title: str = "") -> None:
    """Draw areas and mappings to a PNG, SVG or PDF file, by its suffix.

    Raises: EspikeError where the suffix is another one, matplotlib is not installed, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise EspikeError("is no picture file", where=str(path), do="use the suffix " + ", ".join(FORMATS))
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise EspikeError("pictures need matplotlib", do="install espike[plot]") from None
    figure = Figure()
    FigureCanvasAgg(figure)
    _draw(figure, connectome, title)
    try:
        figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise EspikeError(f"cannot write: {error.strerror or error}", where=str(path)) from None


Boxes = dict[int, tuple[float, float, float]]
"""Centre x, centre y and height of each area's box."""


def _place(connectome: Connectome) -> Boxes:
    columns, alone = layers(connectome)
    alone = [i for i in alone if not core_kind(connectome.areas[i].id)]
    boxes: Boxes = {}
    lowest = 0.0
    for x, column in enumerate(columns):
        heights = [0.75 + 0.12 * log10(connectome.areas[i].count) for i in column]
        top = (sum(heights) + GAP_Y * (len(column) - 1)) / 2
        for i, height in zip(column, heights, strict=True):
            boxes[i] = (x * (WIDTH + GAP_X), top - height / 2, height)
            top -= height + GAP_Y
        lowest = min(lowest, top)
    per_row = max(4, len(columns) * 2 - 1)
    for place, i in enumerate(alone):
        row, column_at = divmod(place, per_row)
        boxes[i] = (column_at * (WIDTH + 0.3), lowest - 1.0 - row * 1.2, 0.9)
    return boxes


def _draw(figure: Any, connectome: Connectome, title: str) -> None:
    boxes = _place(connectome)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    xs, ys = [b[0] for b in boxes.values()] or [0.0], [b[1] for b in boxes.values()] or [0.0]
    left, right, low, high = min(xs) - 2, max(xs) + 2, min(ys) - 1.4, max(ys) + 1.4
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    figure.set_size_inches(max(5, 0.8 * (right - left)), max(3, 0.8 * (high - low)))
    said = f"{connectome.neurons:,} neurons, {connectome.synapses:,} synapses"
    axes.text(left, high, f"{title}: {said}" if title else said, fontsize=12, va="top")
    taken: list[tuple[float, float]] = []
    for link in links(connectome):
        if link.synapses and link.source in boxes and link.target in boxes:
            _draw_link(axes, link, boxes, taken)
    for i, box in boxes.items():
        _draw_box(axes, connectome.areas[i], box)


def _draw_box(axes: Any, area: Area, box: tuple[float, float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, height = box
    fill = FILL.get(area.group, OTHER_FILL)
    shape = FancyBboxPatch(
        (x - WIDTH / 2, y - height / 2), WIDTH, height, boxstyle="round,pad=0,rounding_size=0.1", fc=fill, ec="#555555"
    )
    axes.add_patch(shape)
    name = area.name if len(area.name) <= 24 else area.name[:22] + ".."
    sizes = [*area.dimensions, *([area.neurons_per_voxel] if area.neurons_per_voxel > 1 else [])]
    size = " x ".join(map(str, sizes))
    lines = [name, *([area.id] if area.id != area.name else []), f"{size} = {area.count:,}"]
    axes.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=7.5, zorder=3, parse_math=False)


def _draw_link(axes: Any, link: Link, boxes: Boxes, taken: list[tuple[float, float]]) -> None:
    """An arrow from left to right; dashed where it goes back, red where it inhibits."""
    (xs, ys, hs), (xt, yt, ht) = boxes[link.source], boxes[link.target]
    color = "#b04a4a" if link.inhibits else "#667788"
    style = {"arrowstyle": "-|>", "color": color, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
    if link.source == link.target:
        start, end, bend = (xs - 0.5, ys + hs / 2), (xs + 0.5, ys + hs / 2), -0.9
        middle = (xs, ys + hs / 2 + 0.42)
    elif xt > xs:
        start, end, bend = (xs + WIDTH / 2, ys), (xt - WIDTH / 2, yt), 0.0
        middle = (start[0] + 0.5 * (end[0] - start[0]), start[1] + 0.5 * (end[1] - start[1]))
        if xt - xs > 1.5 * (WIDTH + GAP_X):  # over at least one column: bow around it
            bend = -0.15
            middle = (middle[0], middle[1] + 0.075 * (end[0] - start[0]))
    elif xt == xs:
        side, down = WIDTH / 2, yt < ys
        start, end, bend = (xs + side, ys), (xt + side, yt), -0.45 if down else 0.45
        middle = (xs + side + 0.22 * abs(ys - yt), (ys + yt) / 2)
    else:
        bend = -0.12 * (xs - xt) / (WIDTH + GAP_X)
        start, end = (xs - WIDTH / 2, ys - hs / 4), (xt + WIDTH / 2, yt - ht / 4)
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + bend / 2 * (start[0] - end[0]))
        style["linestyle"] = "--"
    axes.annotate("", xy=end, xytext=start, arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"}, zorder=1)
    x, y = middle
    for near in (0.0, 0.28, -0.28, 0.56, -0.56, 0.84, -0.84):
        if not any(abs(x - a) < 1.9 and abs(y + near - b) < 0.24 for a, b in taken):
            y += near
            break
    taken.append((x, y))
    back = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85}
    axes.text(x, y, link.label, ha="center", va="center", fontsize=6.5, bbox=back, zorder=2, parse_math=False)
