"""run -> report: one HTML file without a network, a script or a clock; the same run gives the same bytes."""

from __future__ import annotations

from html import escape
from importlib import resources

from espike_sim.errors import EspikeError

from . import models, report_charts, views
from .contracts import PHASES, Model, Verdict
from .provenance import SHORT, Numbers, anchor, shown, source, tip
from .registry import Registry
from .rows import Phase, Run

KEY = {
    "adopt": "adopt/num_models", "evolve": "evolve/final_fitness", "settle": "settle/accuracy",
    "quant": "quant/accuracy", "train": "train/accuracy", "tune": "tune/solve_rate", "fit": "fit/accuracy",
    "pack": "pack/final_bytes",
}  # fmt: skip
"""The number that a phase is judged by at a glance."""
FACTS = (
    ("right answers, test", "pack/final_accuracy"), ("image, bytes", "pack/final_bytes"),
    ("bytes per synapse", "pack/bytes_per_synapse"), ("RAM, bytes", "fit/performance/ram_bytes"),
    ("burst as planned, us", "fit/performance/burst_us"),
    ("times smaller than 12 B per synapse", "pack/total_compression_ratio"),
)  # fmt: skip
"""Of the header."""


def report(registry: Registry, run: Run) -> str:
    """The report of a run, as HTML."""
    numbers = Numbers(registry, run.run)
    phases = {row.phase: row for row in registry.phases(run.run)}
    last = models.last_of(registry, run.run)
    parts = [
        _header(run, numbers, phases, last),
        _section("Phases", f'<div class="grid2">{"".join(_phase(p, phases.get(p), numbers) for p in PHASES)}</div>'),
        _section("How it came about", _grid(_curves(registry, numbers))),
        _section("What is there for a reason", report_charts.ablations(numbers)),
        _section("How it fires", report_charts.dynamics(numbers)),
        _ladder(registry, numbers, last),
        _confusion(registry, last),
        _section("All metrics", _all(numbers)),
    ]
    style = resources.files(__package__).joinpath("report.css").read_text("utf8")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(run.name)} {run.run[:8]}: report</title><style>{style}</style></head>'
    )
    return f"{head}<body>{''.join(parts)}</body></html>\n"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _grid(figures: list[str]) -> str:
    whole = "".join(figures)
    return f'<div class="grid2">{whole}</div>' if whole else ""


def _header(run: Run, numbers: Numbers, phases: dict[str, Phase], last: Model | None) -> str:
    results = [row.result for row in phases.values() if row.result is not None]
    gates = [gate for result in results for gate in result.gates]
    good = run.status == "done"
    said = f"success: {len(gates)} gates passed" if good else f"{run.status}: {run.reason or 'no reason was kept'}"
    verdict = f'<span class="verdict {"good" if good else "bad"}">{escape(said)}</span>'
    when = f"began {escape(run.started[:19])} UTC, {run.seconds:.1f} s"
    about = f"run <code>{run.run}</code>, seed {run.seed}, espike {escape(run.tool)}, {when}"
    model = (
        f"<p>Model <code>{last.id}</code>: {last.neurons:,} neurons, {last.synapses:,} synapses.</p>" if last else ""
    )
    facts = [(name, numbers.html(key)) for name, key in FACTS if key in numbers]
    facts += [(f"answers of {board} as host", numbers.html(m.name))
              for (board,), m in numbers.find("deploy/{board}/bit_exact")]  # fmt: skip
    tiles = "".join(f'<div><span class="dim">{escape(name)}</span><b>{value}</b></div>' for name, value in facts)
    config = f"<details><summary>Configuration</summary><pre><code>{escape(run.config)}</code></pre></details>"
    return (f"<header><h1>{escape(run.name)}</h1>{verdict}<p class='dim'>{about}</p>{model}{_about(numbers)}"
            f"<div class='facts'>{tiles}</div><br>{config}</header>")  # fmt: skip


def _about(numbers: Numbers) -> str:
    if not numbers.rows:
        return ""
    return (
        f"<p>What is underlined is one of {len(numbers.rows)} measurements. Its tooltip, and the row that it leads to, "
        "name the function that computed it, the objects (by SHA-256), the parameters and the seed; "
        "<code>espike forge validate --recompute</code> computes it again.</p>"
    )


def _phase(name: str, row: Phase | None, numbers: Numbers) -> str:
    status = row.status if row else "not begun"
    kind = {"done": "good", "failed": "bad"}.get(status, "")
    result = row.result if row else None
    seconds = f"{row.seconds:.1f} s" if row and result else ""
    key = KEY[name]
    value = f"<p>{escape(numbers[key].entry.meaning)}: <b>{numbers.html(key)}</b></p>" if key in numbers else ""
    why = f'<p class="bad">{escape(result.reason)}</p>' if result and result.reason else ""
    gates = "".join(_gate(gate, numbers) for gate in result.gates) if result else ""
    rows = (f'<div class="scroll"><table><tr><th>gate</th><th class="num">value</th><th class="num">limit</th><th></th>'
            f"</tr>{gates}</table></div>") if gates else ""  # fmt: skip
    return (f'<div class="card {kind}"><header><h3>{name}</h3><span class="{kind}">{status} '
            f'<span class="dim">{seconds}</span></span></header><p class="dim">{escape(views.about(name))}</p>'
            f"{value}{why}{rows}</div>")  # fmt: skip


def _gate(gate: Verdict, numbers: Numbers) -> str:
    """A row; a metric that was measured again since, for another candidate, is not what the gate saw."""
    value = escape(shown(gate.value))
    if gate.metric in numbers:
        now = numbers[gate.metric]
        told = tip(now) if now.value == gate.value else f"{gate.metric}, as the gate saw it\n{now.entry.meaning}"
        value = f'<a href="#{escape(numbers.link(gate.metric))}" title="{escape(told)}">{value}</a>'
    kind, said = ("good", "passed") if gate.passed else ("bad", f"missed: {gate.action or 'nothing followed'}")
    return (f'<tr><td title="{escape(gate.metric)}">{escape(gate.gate)}</td><td class="num">{value}</td>'
            f'<td class="num">{escape(shown(gate.limit))}</td><td class="{kind}">{escape(said)}</td></tr>')  # fmt: skip


def _curves(registry: Registry, numbers: Numbers) -> list[str]:
    charts = report_charts
    return [charts.candidates(numbers), charts.fitness(numbers), charts.levels(numbers, registry),
            charts.pruning(numbers), charts.front(numbers), charts.hypervolume(numbers)]  # fmt: skip


def _ladder(registry: Registry, numbers: Numbers, last: Model | None) -> str:
    reached = last.formats if last is not None and last.phase == "pack" else ()
    formats = _grid([report_charts.ladder(numbers, reached)]) + report_charts.ladder_table(numbers, reached)
    made = _section("The ladder of formats", formats + _missed(registry, numbers.run) if formats else "")
    chain = report_charts.chain(numbers)
    if chain and last is not None and last.image and last.master:
        where = f"image {last.image[:SHORT]}, master {last.master[:SHORT]}"
        chain += report_charts.honest(numbers, registry.get(last.image), registry.get(last.master), where)
    return made + _section("Compression", chain)


def _missed(registry: Registry, run: str) -> str:
    """What `pack` missed on its way down, from the run's log."""
    lines = dict.fromkeys(log.text for log in registry.logs(run, "pack") if log.level == "warning")
    return "".join(f'<p class="dim">{escape(text)}</p>' for text in lines)


def _confusion(registry: Registry, last: Model | None) -> str:
    """Presented anew; what cannot be presented is left out."""
    if last is None:
        return ""
    try:
        return _section("What the last image answers", report_charts.confusion(models.trial(registry, last)))
    except EspikeError as error:
        return _section("What the last image answers", f'<p class="dim">{escape(str(error))}</p>')


def _all(numbers: Numbers) -> str:
    rows = []
    for phase, m in numbers.rows:
        objects = "".join(f"\n{key}" for key in m.objects)
        rows.append(
            f'<tr id="{escape(anchor(m.name, phase))}"><td title="{escape(m.entry.meaning)}">{escape(m.name)}</td>'
            f'<td class="num" title="{escape(repr(m.value))}">{escape(shown(m.value))}</td>'
            f"<td>{escape(m.entry.unit)}</td>"
            f'<td class="mono" title="{escape(m.function + objects)}">{escape(source(m))}</td>'
            f'<td class="num">{"" if m.seed is None else m.seed}</td></tr>'
        )
    if not rows:
        return ""
    names = ('<th>metric</th><th class="num">value</th><th>unit</th>', '<th>computed by</th><th class="num">seed</th>')
    head = f"<thead><tr>{''.join(names)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
