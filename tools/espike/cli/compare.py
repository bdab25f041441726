"""compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from espike_sim.connectome import PRECISIONS
from espike_sim.errors import EspikeError
from espike_sim.similarity import Similarity

from .. import comparison, plot, presentations
from ..network import describe
from ..presented import AreaFigures, Presented, Run
from .common import (
    FILE,
    growth_options,
    json_option,
    note,
    options,
    print_json,
    print_table,
    quantize_options,
    stimulus_option,
)

HEAD = ("", "neurons", "spikes a", "spikes b", "decisions equal", "F1", "precision", "recall", "rate error", "rates r")
DATA_HEAD = ("", "neurons", "decisions equal", "F1", "rate a", "rate b", "silent a/b", "always a/b", "verdict")


@click.command(name="compare")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE, required=False)
@click.option(
    "--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True,
    help="Of a, then of b. With one file: fp32 and int8. Default: what each file says.",
)  # fmt: skip
@click.option("-n", "--bursts", type=click.IntRange(1), help="Default: those of a ledger, else 1000.")
@click.option(
    "--data", type=FILE, metavar="DATA",
    help="Present this to both (npz or csv, as for train, or npz spikes as for import --expect): accuracy, too.",
)  # fmt: skip
@click.option(
    "--set", "part", type=click.Choice(presentations.PARTS), default="test", show_default=True, help="Of DATA."
)
@click.option(
    "--ahead", is_flag=True, help="Begin every burst of b from a's state: what rounding does to one decision."
)
@click.option("--plot", "picture", type=FILE, help="Draw agreement over bursts and per area (.png or .svg).")
@click.option("--min-f1", type=click.FloatRange(0, 1), help="Exit 1 where F1 over all neurons is below.")
@stimulus_option
@growth_options
@quantize_options
@json_option
def compare_verb(
    a: Path, b: Path | None, precisions: tuple[str, ...], bursts: int | None, data: Path | None, part: str,
    ahead: bool, picture: Path | None, min_f1: float | None, stimuli: tuple[str, ...], as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Say how alike A and B behave: each a genome, connectome, quantized connectome, image or ledger.

    With A alone: its fp32 beside its int8. Networks run on the host, both under the same stimulus; trained networks
    best on DATA, what they were made for.
    """
    if data is not None and (ahead or stimuli or bursts is not None):
        raise click.UsageError("--data says what is presented and how long: leave out --stimulus, --bursts, --ahead")
    if len(precisions) > 2:
        raise click.UsageError("--precision is given once for a, once for b")
    if b is None:
        precisions = precisions or ("fp32", "int8")
        if len(precisions) < 2 or precisions[0] == precisions[1]:
            raise click.UsageError("one file is compared at two different precisions: give --precision twice")
    pair = [*precisions, *[None] * (2 - len(precisions))]
    both = [options(precision, **how) for precision in pair]
    if data is not None:
        _on_data(comparison.on_data(a, b or a, data, part, options=both), picture, min_f1, as_json)
        return
    found = comparison.compare(a, b or a, stimuli, bursts, options=both, ahead=ahead)
    if picture is not None:
        plot.comparison(found.result, picture, title=f"{found.a.short} beside {found.b.short}")
    total = found.result.total
    if as_json:
        print_json(found.as_json() | ({"picture": picture} if picture else {}))
    else:
        _print(found)
    _judge(total, min_f1, found.a, found.b)


def _judge(total: Similarity, min_f1: float | None, a: comparison.Side, b: comparison.Side) -> None:
    if min_f1 is not None and total.f1 < min_f1:
        raise EspikeError(f"F1 is {total.f1:.6f}, below {min_f1:g}", where=f"{a.name} beside {b.name}")


def _on_data(
    made: tuple[comparison.Side, comparison.Side, Presented], picture: Path | None, min_f1: float | None, as_json: bool
) -> None:
    a, b, found = made
    if picture is not None:
        plot.comparison(found.result, picture, title=f"{a.short} beside {b.short}")
    if as_json:
        print_json({"a": vars(a), "b": vars(b)} | found.as_json() | ({"picture": picture} if picture else {}))
    else:
        _print_on_data(a, b, found)
    _judge(found.total, min_f1, a, b)


def _print_on_data(a: comparison.Side, b: comparison.Side, found: Presented) -> None:
    _note_cut(a, b)
    print_table(f"a: {a.name}  b: {b.name}", DATA_HEAD, [_data_row(area) for area in found.areas])
    total = found.total
    click.echo(
        f"{len(found.a.answers):,} presentations of {found.bursts:,} bursts; decisions equal "
        f"{total.decisions_equal:.5f}, F1 {total.f1:.4f}; a {a.saturations:,}, b {b.saturations:,} saturations"
    )
    equal = f"{found.answers_equal:.1%} of the answers are equal"
    if found.accuracy is not None:
        for name, ran in (("a", found.a), ("b", found.b)):
            _print_confusion(found, name, ran)
        click.echo(f"accuracy: a {found.accuracy[0]:.1f} %, b {found.accuracy[1]:.1f} %; {equal}")
    else:
        click.echo(equal)
    click.echo(f"verdict: {found.verdict}")


def _print_confusion(found: Presented, name: str, ran: Run) -> None:
    table = found.confusion(ran)
    assert table is not None
    none = bool(table[:, -1].any())
    head = ("", *found.names, *(["none"] if none else []))
    rows = [[label, *row[: len(head) - 1]] for label, row in zip(found.names, table.tolist(), strict=True)]
    print_table(f"{name}: class down, answer across", head, rows)


def _data_row(area: AreaFigures) -> list[Any]:
    alike = area.alike
    return [
        alike.name, alike.neurons, f"{alike.decisions_equal:.5f}", f"{alike.f1:.4f}",
        *(f"{rate:.4f}" for rate in area.rates), "{}/{}".format(*area.silent), "{}/{}".format(*area.always),
        area.verdict,
    ]  # fmt: skip


def _note_cut(*sides: comparison.Side) -> None:
    for side in sides:
        if side.clamped:
            note(f"note: {side.name}: {side.clamped:,} stimulus entries were cut to their area's stimulus limit")


def _print(found: comparison.Compared) -> None:
    result = found.result
    _note_cut(found.a, found.b)
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
