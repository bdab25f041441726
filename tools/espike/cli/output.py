"""plot; bench; demo."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from espike_sim import ledger as ledgers
from espike_sim.errors import EspikeError

from .. import bench as benches
from .. import demo as demos
from .. import demo_models, engines, network, plot, recording, segment_io
from ..bench.costs import measure as measure_costs
from ..boards import own_home
from .board import coded_stimulus
from .common import (
    FILE,
    bursts_option,
    json_option,
    network_options,
    note,
    options,
    print_json,
    print_table,
    progress,
    stimulus_option,
)


@click.command(name="plot")
@click.argument("path", metavar="NET", type=FILE)
@click.option("-l", "--ledger", "ledger_path", type=FILE, help="Plot this ledger; default: run NET on the host.")
@click.option("-k", "--kind", type=click.Choice(["raster", "rates", "potentials"]), default="raster", show_default=True)
@click.option("--neurons", default="0-7", show_default=True, help="Neurons whose potentials are drawn: 3,5,10-20.")
@click.option("-o", "--output", type=FILE, required=True, help="Picture to write: .png or .svg.")
@bursts_option
@stimulus_option
@network_options
@json_option
def plot_verb(
    path: Path, ledger_path: Path | None, kind: str, neurons: str, output: Path, bursts: int, stimuli: tuple[str, ...],
    as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Draw what NET does, or what a recording holds: raster, rates per area, or potentials."""
    if segment_io.is_store(path):
        _plot_recording(path, kind, neurons, output)
        print_json({"picture": output, "kind": kind}) if as_json else click.echo(str(output))
        return
    quantized = network.load_quantized(path, options(**how))
    if kind == "potentials":
        if ledger_path is not None:
            raise click.UsageError("a ledger holds no potentials: leave --ledger out")
        ids = _neurons(neurons, quantized.neurons)
        plot.potentials(demos.traces(quantized, ids, bursts, coded_stimulus(stimuli, quantized, bursts)), output)
    else:
        if ledger_path is not None:
            ledger = ledgers.load(ledger_path)
            if ledger.neurons != quantized.neurons:
                raise EspikeError(f"has {ledger.neurons} neurons, {path} {quantized.neurons}", where=str(ledger_path))
        else:
            ledger = engines.make("host", quantized).run(bursts, coded_stimulus(stimuli, quantized, bursts))
        (plot.raster if kind == "raster" else plot.rates)(ledger, quantized.areas, output)
    if as_json:
        print_json({"picture": output, "kind": kind})
    else:
        click.echo(str(output))


def _plot_recording(path: Path, kind: str, neurons: str, output: Path) -> None:
    found = recording.Recording(path)
    try:
        if kind == "potentials":
            traces, first = found.traces(_neurons(neurons, found.view.neurons))
            unit = "codes" if found.view.precision == "int8" else ""
            plot.potentials(traces, output, first_burst=first, unit=unit)
        else:
            (plot.raster if kind == "raster" else plot.rates)(found.ledger(), found.network.areas, output)
    finally:
        found.close()


def _neurons(text: str, count: int) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise click.UsageError(f"--neurons takes 3,5,10-20, not {text!r}")
        found += range(int(first), int(last if dash else first) + 1)
        if found and (max(found) >= count or len(found) > plot.LINES_MOST):
            raise EspikeError(f"--neurons {text}: there are {count} neurons, and {plot.LINES_MOST} are drawn at most")
    return found


@click.command(name="bench")
@click.option("--only", metavar="PREFIX", help="Only the keys that begin so.")
@click.option("--full", is_flag=True, help="Also what takes long.")
@click.option(
    "--costs", "costs_path", type=FILE, metavar="FILE", help="Measure the planner's cost table, and write it."
)
@click.option(
    "--peers", "python", metavar="PYTHON",
    help="Interpreter that has GeNN, Brian2 or NEST, for --full. Default: $ESPIKE_PEERS, else this one.",
)  # fmt: skip
@json_option
def bench_verb(only: str | None, full: bool, costs_path: Path | None, python: str | None, as_json: bool) -> None:
    """Measure every figure that espike is judged by, goals beside them."""
    if costs_path is not None:
        _write_costs(costs_path, as_json)
        return
    needs_boards = any(key.name == "engines_equal_bursts" for key in benches.chosen(only, full))
    with ExitStack() as stack:
        stack.enter_context(own_home())
        makers = stack.enter_context(engines.ready_boards()) if needs_boards else {}
        step = stack.enter_context(progress("measuring"))
        reasons: dict[str, str] = {}
        found = benches.measure(
            only, full=full, progress=lambda what, done, total: step(done, total, what), boards=list(makers.values()),
            python=python, reasons=reasons,
        )  # fmt: skip
    if as_json:
        for name, reason in reasons.items():
            note(f"{name}: {reason}")
        print_json(found)
        return
    rows = [
        (
            key.name,
            _figure(found[key.name]),
            "" if key.goal is None else f"{key.direction} {key.goal:,g}",
            key.unit,
            reasons.get(key.name, key.about),
        )
        for key in benches.KEYS
        if key.name in found
    ]
    print_table("figures", ("key", "measured", "goal", "unit", "what"), rows)


def _write_costs(path: Path, as_json: bool) -> None:
    with progress("measuring") as step:
        table = measure_costs(path.stem, progress=step)
    table.save(path)
    if as_json:
        print_json({"table": path, "prices": len(table.instructions), "flags": table.flags})
    else:
        click.echo(f"{path}: {len(table.instructions)} prices, {' '.join(table.flags)}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


@click.command(name="demo")
@click.argument("model", type=click.Choice(demo_models.NAMES), required=False)
@click.option("-o", "--output", type=FILE, help="Folder for its files.  [default: out/demo, out/MODEL]")
@click.option("-n", "--bursts", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--precision", type=click.Choice(["int8", "fp32"]), default="int8", show_default=True)
@json_option
def demo_verb(model: str | None, output: Path | None, bursts: int, precision: str, as_json: bool) -> None:
    """From a genome to a verified board: grow, pack, flash, run and prove, with a picture.

    With a MODEL, from a trained one (a NIR file of examples/) to boards that answer a whole test set as the host does.
    """

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    folder = output or Path("out") / (model or "demo")
    result: demos.Result | demo_models.Result
    if model is not None:
        result = demo_models.demo(model, folder, precision, say)
    else:
        result = demos.demo(folder, bursts, precision, say)
    if as_json:
        print_json(result.as_json())
    else:
        print_table("espike demo", ("what", ""), result.rows())
        click.echo("pictures: " + ", ".join(map(str, result.pictures)))
    sys.exit(0 if result.equal else 1)
