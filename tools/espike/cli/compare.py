"""compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from espike_sim.connectome import PRECISIONS
from espike_sim.errors import EspikeError
from espike_sim.similarity import Similarity

from .. import comparison, plot
from ..network import describe
from .common import FILE, growth_options, json_option, note, options, print_json, print_table, stimulus_option

HEAD = ("", "neurons", "spikes a", "spikes b", "decisions equal", "F1", "precision", "recall", "rate error", "rates r")


@click.command(name="compare")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE, required=False)
@click.option(
    "--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True,
    help="Of a, then of b. With one file: fp32 and int8. Default: what each file says.",
)  # fmt: skip
@click.option("-n", "--bursts", type=click.IntRange(1), help="Default: those of a ledger, else 1000.")
@click.option(
    "--ahead", is_flag=True, help="Begin every burst of b from a's state: what rounding does to one decision."
)
@click.option("--plot", "picture", type=FILE, help="Draw agreement over bursts and per area (.png or .svg).")
@click.option("--min-f1", type=click.FloatRange(0, 1), help="Exit 1 where F1 over all neurons is below.")
@stimulus_option
@growth_options
@json_option
def compare_verb(
    a: Path, b: Path | None, precisions: tuple[str, ...], bursts: int | None, ahead: bool, picture: Path | None,
    min_f1: float | None, stimuli: tuple[str, ...], as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Say how alike A and B behave: each a genome, connectome, quantized connectome, image or ledger.

    With A alone: its fp32 beside its int8. Networks run on the host, both under the same stimulus.
    """
    if len(precisions) > 2:
        raise click.UsageError("--precision is given once for a, once for b")
    if b is None:
        precisions = precisions or ("fp32", "int8")
        if len(precisions) < 2 or precisions[0] == precisions[1]:
            raise click.UsageError("one file is compared at two different precisions: give --precision twice")
    pair = [*precisions, *[None] * (2 - len(precisions))]
    found = comparison.compare(
        a, b or a, stimuli, bursts, options=[options(precision, **how) for precision in pair], ahead=ahead
    )
    if picture is not None:
        plot.comparison(found.result, picture, title=f"{found.a.short} beside {found.b.short}")
    total = found.result.total
    if as_json:
        print_json(found.as_json() | ({"picture": picture} if picture else {}))
    else:
        _print(found)
    if min_f1 is not None and total.f1 < min_f1:
        raise EspikeError(f"F1 is {total.f1:.6f}, below {min_f1:g}", where=f"{found.a.name} beside {found.b.name}")


def _print(found: comparison.Compared) -> None:
    result = found.result
    for side in (found.a, found.b):
        if side.clamped:
            note(f"note: {side.name}: {side.clamped:,} stimulus entries were cut to their area's stimulus limit")
    if not result.total.both + result.total.only_a + result.total.only_b:
        note("note: nothing fired; give a stimulus: --stimulus poisson:input:rate=0.02:amount=1")
    how = ", every burst of b from a's state" if found.ahead else ""
    print_table(f"a: {found.a.name}  b: {found.b.name}", HEAD, [_row(s) for s in (*result.areas, result.total)])
    saturations = ", ".join(
        f"{name} {side.saturations:,} saturations"
        for name, side in (("a", found.a), ("b", found.b))
        if side.saturations is not None
    )
    first = "none"
    if result.first_burst is not None and result.first_neuron is not None:
        place = describe(found.areas, result.first_neuron)
        first = f"burst {result.first_burst}, neuron {result.first_neuron} [{place}]"
    click.echo(
        f"{result.total.bursts:,} bursts{how}; first difference: {first}" + (f"; {saturations}" if saturations else "")
    )


def _row(s: Similarity) -> list[Any]:
    correlation = "-" if s.rate_correlation is None else f"{s.rate_correlation:.5f}"
    shares = [f"{value:.5f}" for value in (s.decisions_equal, s.f1, s.precision, s.recall, s.rate_error)]
    return [s.name, s.neurons, s.both + s.only_a, s.both + s.only_b, *shares, correlation]
