"""run's numbers -> the charts and tables of a report, each empty where nothing of its kind was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from . import svg
from .measures import ratio_to_rows
from .models import Trial
from .provenance import SHORT, Numbers, shown, tip
from .registry import Metric, Registry
from .svg import Mark, Series


def candidates(numbers: Numbers) -> str:
    """Accuracy of what `adopt` made."""
    found = numbers.find("adopt/candidate/{candidate}/accuracy")
    if not found:
        return ""
    marks = [Mark(0, number(m), tip(m), numbers.link(m.name), name) for (name,), m in found]
    return svg.bars("Candidates: right answers on validation items", marks, "")


def number(metric: Metric) -> float:
    """The value as a number."""
    return float(metric.value)


def _series(numbers: Numbers, name: str, template: str) -> Series:
    """A template with one number in it, as a curve."""
    marks = [Mark(int(key[-1]), number(m), tip(m), numbers.link(m.name)) for key, m in numbers.find(template)]
    return Series(name, tuple(marks))


def _chart(title: str, series: Sequence[Series], x: str, y: str, *, zero: bool = False) -> str:
    given = [one for one in series if one.marks]
    return svg.chart(title, given, x, y, zero=zero, whole=True) if given else ""


def fitness(numbers: Numbers) -> str:
    """Best, mean and worst of each generation."""
    kinds = [(kind, f"evolve/generation/{{generation}}/{kind}_fitness") for kind in ("best", "avg", "min")]
    return _chart("Evolution: fitness", [_series(numbers, *kind) for kind in kinds], "generation", "fitness")


def levels(numbers: Numbers, registry: Registry) -> str:
    """Curves of each level's training: of its epochs' metrics, else of the history that its loss was read from."""
    made = []
    for (level,), loss in numbers.find("train/level/{level}/train_loss"):
        series = [_series(numbers, what, f"train/level/{level}/epoch/{{epoch}}/{what}")
                  for what in ("train_accuracy", "validation_accuracy")]  # fmt: skip
        if not any(one.marks for one in series):
            series = _history(registry, loss)
        made.append(_chart(f"Training, level {level}: right answers", series, "epoch", "share"))
    return "".join(made)


def _history(registry: Registry, metric: Metric) -> list[Series]:
    """Accuracies of the object that a metric was read from."""
    if metric.function != "recorded" or not metric.objects or not registry.has(metric.objects[0]):
        return []
    key = metric.objects[0]
    record = json.loads(registry.get(key))
    made = []
    for what in ("accuracies", "validation"):
        values = record.get(what) or []
        marks = [Mark(i + 1, v, f"{what} of epoch {i + 1}: {v:.4g}\nrecorded({key[:SHORT]}, path={[what, i]})")
                 for i, v in enumerate(values) if isinstance(v, int | float)]  # fmt: skip
        made.append(Series({"accuracies": "training"}.get(what, what), tuple(marks)))
    return made


def pruning(numbers: Numbers) -> str:
    """Accuracy after each step of pruning, over the neurons that are left."""
    marks = []
    for (step,), m in numbers.find("fit/prune/{step}/accuracy"):
        left = f"fit/prune/{step}/neurons"
        if left in numbers:
            marks.append(Mark(numbers.number(left), number(m), f"{tip(m)}\n{tip(numbers[left])}",
                              numbers.link(m.name), step))  # fmt: skip
    return _chart("Pruning: right answers by neurons left (numbers: steps)", [Series("", tuple(marks))], "neurons",
                  "share")  # fmt: skip


def front(numbers: Numbers) -> str:
    """The front of the search: wrong answers over bytes."""
    marks = []
    for (point,), m in numbers.find("fit/search/front/{point}/error"):
        size = f"fit/search/front/{point}/bytes"
        if size in numbers:
            said = f"{tip(m)}\n{tip(numbers[size])}"
            marks.append(Mark(numbers.number(size), number(m), said, numbers.link(m.name)))
    series = Series("", tuple(sorted(marks, key=lambda mark: mark.x)))
    return _chart("Search: the front", [series], "bytes", "wrong answers")


def hypervolume(numbers: Numbers) -> str:
    """What the search dominates, beside a random search with as many evaluations."""
    series = [_series(numbers, "search", "fit/search/generation/{generation}/hypervolume")]
    random = _series(numbers, "random, as many evaluations", "fit/search/generation/{generation}/random_hypervolume")
    return _chart("Search: hypervolume", [*series, random], "generation", "hypervolume")


def ladder(numbers: Numbers, reached: Sequence[str]) -> str:
    """The formats that were tried: bytes, and right answers; those that were not taken are hollow."""
    found = numbers.find("pack/rung/{rung}/bytes")
    if not found:
        return ""
    sizes = [Mark(0, number(m), tip(m), numbers.link(m.name), rung, rung not in reached) for (rung,), m in found]
    scores = [Mark(0, number(m), tip(m), numbers.link(m.name), rung if task in ("all", "") else f"{rung}, {task}",
                   rung not in reached)
              for (rung, task), m in numbers.find("pack/rung/{rung}/gate/{task}/score")]  # fmt: skip
    both = svg.bars("Formats: bytes (hollow: not taken)", sizes, "B")
    return both + (svg.bars("Formats: right answers on test items", scores, "") if scores else "")


def ladder_table(numbers: Numbers, reached: Sequence[str]) -> str:
    """The same in numbers, with the bounds that decided."""
    rows = []
    for (rung,), _ in numbers.find("pack/rung/{rung}/bytes"):
        base = f"pack/rung/{rung}"
        lows = [numbers.html(m.name) for _, m in numbers.find(f"{base}/gate/{{task}}/low")]
        taken = '<span class="good">taken</span>' if rung in reached else '<span class="dim">not taken</span>'
        cells = [escape(rung), numbers.html(f"{base}/bytes"), numbers.html(f"{base}/bytes_per_synapse"),
                 ", ".join(lows) or "-", numbers.html(f"{base}/rate_drift"), numbers.html(f"{base}/retries"),
                 taken]  # fmt: skip
        rows.append(cells)
    head = ("format", "bytes", "bytes per synapse", "kept, lower bound", "rates moved", "further tries", "")
    return table(head, rows) if rows else ""


def ablations(numbers: Numbers) -> str:
    """What settling and the early exit bring, by taking them out."""
    rows = []
    for (name,), _ in numbers.find("settle/ablation/{component}/kept"):
        base = f"settle/ablation/{name}"
        is_kept = bool(numbers[f"{base}/kept"].value)
        said = '<span class="good">kept</span>' if is_kept else '<span class="dim">taken out</span>'
        rows.append([escape(COMPONENTS.get(name, name)), numbers.html(f"{base}/score_change"), said])
    if not rows:
        return ""
    saved = f"<p>Bursts that answering early saves: {numbers.html('settle/bursts_saved')}.</p>"
    return table(("component", "accuracy with it less without", ""), rows) + saved


COMPONENTS = {"settle": "bursts after the last sample", "margin": "answering early"}


def dynamics(numbers: Numbers) -> str:
    """Branching, of the whole and task by task; which task needs most of what came before."""
    found = sorted(numbers.find("train/criticality/{task}/m"), key=lambda item: -float(item[1].value))
    tasks = [("all", "train/criticality")] + [(task, f"train/criticality/{task}") for (task,), _ in found]
    rows = [
        [escape(task), numbers.html(f"{base}/sigma"), numbers.html(f"{base}/m"), ""]
        for task, base in tasks if f"{base}/m" in numbers
    ]  # fmt: skip
    if not rows:
        return ""
    said = f"<p>Weights by which m would be near 1: times {numbers.html('train/criticality/gain')}.</p>"
    if len(found) > 1:
        most, least = escape(found[0][0][0]), escape(found[-1][0][0])
        said += f"<p>Activity lasts longest on <b>{most}</b>, and dies out soonest on <b>{least}</b>.</p>"
    return table(("task", "sigma, by twin runs", "m, by regression", ""), rows) + said


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML; all but the first and the last column are numbers."""
    classes = ["", *["num"] * (len(head) - 2), ""]
    top = "".join(f'<th class="{c}">{escape(name)}</th>' for c, name in zip(classes, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{c}">{cell}</td>' for c, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def confusion(trial: Trial) -> str:
    """What the image took each class for; shades are shares of the class."""
    where = f"confusion(image {(trial.model.image or '')[:SHORT]}, test items {trial.data[:SHORT]})"
    head = "".join(f"<th>{escape(name)}</th>" for name in (*trial.labels, "none"))
    rows = []
    for index, counts in enumerate(trial.confusion):
        total = max(1, int(counts.sum()))
        cells = []
        for other, count in enumerate(counts):
            kind = "right" if other == index else ""
            name = trial.labels[other] if other < len(trial.labels) else "none"
            said = f"{trial.labels[index]} taken for {name}: {count}\n{where}"
            share = f"--share:{100 * int(count) / total:.0f}"
            cells.append(f'<td class="{kind}" style="{share}" title="{escape(said)}">{int(count) or ""}</td>')
        rows.append(f"<tr><th>{escape(trial.labels[index])}</th>{''.join(cells)}</tr>")
    right = f"{trial.right} of {trial.items} test items right ({100 * trial.accuracy:.1f} %)"
    said = f"{right}, {trial.bursts_mean:.1f} bursts each. Rows are what was shown, columns what was answered."
    return (
        f'<p title="{escape(where)}">{said} <code>{where}</code></p>'
        f'<div class="scroll"><table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    )


CHAIN = (
    ("quantized", "quant/bytes", "quant/bytes_per_synapse"),
    ("final image", "pack/final_bytes", "pack/bytes_per_synapse"),
)
FEAGI_ROW, FLOAT_ROW, PROMISED = 12, 8, 280
"""Bytes of a synapse as FEAGI keeps it, of one in rows of floats (target and weight); what was once promised."""


def chain(numbers: Numbers) -> str:
    """Bytes per synapse from FEAGI's rows to the image."""
    rows = [["rows as FEAGI keeps them", "", str(FEAGI_ROW), "1", "constant"],
            ["rows of floats", "", str(FLOAT_ROW), shown(FEAGI_ROW / FLOAT_ROW), "constant"]]  # fmt: skip
    tried = [(f"format {rung}", f"pack/rung/{rung}/bytes", f"pack/rung/{rung}/bytes_per_synapse")
             for (rung,), _ in numbers.find("pack/rung/{rung}/bytes")]  # fmt: skip
    for what, size, each in (CHAIN[0], *tried, CHAIN[1]):
        if each in numbers:
            ratio = FEAGI_ROW / numbers.number(each)
            rows.append([escape(what), numbers.html(size), numbers.html(each), numbers.html(each, f"{ratio:.2f}"),
                         f"<code>{FEAGI_ROW} / {escape(each)}</code>"])  # fmt: skip
    return table(("stage", "bytes", "bytes per synapse", "x against 12 bytes", "from"), rows) if len(rows) > 2 else ""


def honest(numbers: Numbers, image: bytes, master: bytes, where: str) -> str:
    """What became of the 280x of the first specification."""
    left = FEAGI_ROW / PROMISED
    ratios = []
    for each in (FEAGI_ROW, FLOAT_ROW):
        said = f"ratio_to_rows({where}, each={each})"
        ratios.append(f'<span title="{escape(said)}">{ratio_to_rows(image, master, each):.2f}x</span>')
    adopted = "pack/total_compression_ratio"
    whole = f" Of all synapses of the adopted network: {numbers.html(adopted)}x." if adopted in numbers else ""
    return (
        f"<p>This image: <b>{ratios[0]}</b> against {FEAGI_ROW} bytes per synapse, {ratios[1]} against rows of floats "
        f"({FLOAT_ROW} bytes), of the synapses that are in it.{whole}</p>"
        f"<p>The first specification promised {PROMISED}x. That was a product of stages, each of which went back to "
        "floats, so that no file ever had the size. "
        f"Against {FEAGI_ROW} bytes, {PROMISED}x would leave {left:.3f} bytes, {8 * left:.2f} bits, for where a "
        "synapse leads and how strong it is. Wiring that was learned is not to be had for that: its targets "
        "alone are several bits each. Only wiring that follows a rule goes there: a procedural projection keeps "
        "seed, fan-out and 16 weights, however many synapses they make, and so passes any ratio with "
        "its size. It is for what is generated, not for what is learned (docs/image.md, Procedural).</p>"
    )
